//! The decoder against examples, a tree of the same text, and damaged lines.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::event::key::KeyHasher;
use crate::event::{Segment, Timestamp, Value};

/// `a.b[0]` as a path.
fn path(text: &str) -> FieldPath {
    let mut segments = Vec::new();
    for part in text.split('.') {
        let mut pieces = part.split('[');
        segments
            .extend(pieces.next().filter(|name| !name.is_empty()).map(|name| Segment::Name(name.to_owned())));
        segments.extend(pieces.map(|index| Segment::Index(index.trim_end_matches(']').parse().unwrap())));
    }
    FieldPath(segments)
}

fn schema(fields: &[&str]) -> Schema {
    let mut schema = Schema { types: vec!["a".into(), "b\n".into()], ..Schema::default() };
    fields.iter().for_each(|field| _ = schema.field(&path(field)));
    schema
}

fn decode_with(schema: &Schema, lines: impl Into<Vec<u8>>) -> Decoded {
    let first = Position { stream: 0, partition: 3, offset: 100 };
    Decoder::new(schema, &StreamSettings::default()).decode(lines.into(), first)
}

/// The values of one event's fields.
fn values(fields: &[&str], line: &str) -> Vec<Value<'static>> {
    let decoded = decode_with(&schema(fields), line);
    assert_eq!(decoded.dead, [], "{line}");
    assert_eq!(decoded.block.heads.len(), 1);
    (0..fields.len()).map(|slot| decoded.block.row(0).value(slot).into_owned()).collect()
}

/// The value of `x`.
fn x(value: &str) -> Value<'static> {
    values(&["x"], &format!(r#"{{"ts":1,"x":{value}}}"#)).remove(0)
}

fn reasons(lines: &str) -> Vec<String> {
    decode_with(&schema(&["x"]), lines).dead.iter().map(|dead| dead.reason.to_string()).collect()
}

#[test]
fn scalars_of_every_kind() {
    assert_eq!(x("null"), Value::Null);
    assert_eq!(x("true"), Value::Bool(true));
    assert_eq!(x("false"), Value::Bool(false));
    assert_eq!(x("-0"), Value::Int(0));
    assert_eq!(x("9223372036854775807"), Value::Int(i64::MAX));
    assert_eq!(x("-9223372036854775808"), Value::Int(i64::MIN));
    assert_eq!(x("9223372036854775808"), Value::UInt(1 << 63));
    assert_eq!(x("18446744073709551615"), Value::UInt(u64::MAX));
    assert_eq!(x("18446744073709551616"), Value::Float(18_446_744_073_709_551_616.0));
    assert_eq!(x("-9223372036854775809"), Value::Float(-9_223_372_036_854_775_808.0));
    assert_eq!(x("1.0"), Value::Float(1.0));
    assert_eq!(x("-12.34"), Value::Float(-12.34));
    assert_eq!(x("0.1"), Value::Float(0.1));
    assert_eq!(x("1e2"), Value::Float(100.0));
    assert_eq!(x("1.5E-7"), Value::Float(1.5e-7));
    assert_eq!(x("123456789.12345678912345"), Value::Float(123_456_789.123_456_79));
    assert_eq!(x("1e999"), Value::Null, "too large for a float");
    assert_eq!(x(r#""tea""#), Value::Str("tea".into()));
    assert_eq!(x(r#""""#), Value::Str("".into()));
    assert_eq!(
        x(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#),
        Value::Str("a\"\\/\u{8}\u{c}\n\r\té😀z".into())
    );
    assert_eq!(x(r#""\ud83d, \ude00, \ud83dA""#), Value::Str("\u{fffd}, \u{fffd}, \u{fffd}A".into()));
    assert_eq!(x(r#"{ "y": [1] }"#), Value::Json(r#"{ "y": [1] }"#.into()));
    assert_eq!(x("[]"), Value::Json("[]".into()));
}

#[test]
fn paths_reach_into_objects_and_arrays() {
    let line = r#"{"ts":1,"d":{"os":"ios","v":[1,[2,3],{"z":4}]},"e":[],"d2":{"os":1}}"#;
    let fields = [
        "d.os",
        "d",
        "d.v[0]",
        "d.v[1][-1]",
        "d.v[-1].z",
        "d.v[-3]",
        "d.v[-4]",
        "d.v[3]",
        "e[-1]",
        "d.os.x",
        "d[0]",
    ];
    let found = values(&fields, line);
    assert_eq!(found[0], Value::Str("ios".into()));
    assert_eq!(found[1], Value::Json(r#"{"os":"ios","v":[1,[2,3],{"z":4}]}"#.into()));
    assert_eq!(found[2..6], [Value::Int(1), Value::Int(3), Value::Int(4), Value::Int(1)]);
    assert_eq!(found[6..], [const { Value::Null }; 5]);
}

#[test]
fn of_a_repeated_member_the_last_counts_with_all_that_is_in_it() {
    assert_eq!(x(r#"1,"x":2"#), Value::Int(2));
    assert_eq!(x(r#"1,"x":null"#), Value::Null);
    assert_eq!(x(r#"1,"\u0078":3"#), Value::Int(3), "an escaped name is the same name");
    assert_eq!(
        values(&["a.b", "a.c"], r#"{"ts":1,"a":{"b":1,"c":2},"a":{"c":3}}"#),
        [Value::Null, Value::Int(3)]
    );
    assert_eq!(values(&["a[0].b", "a[-1].b"], r#"{"ts":1,"a":[{"b":1}],"a":7}"#), [Value::Null, Value::Null]);
    let decoded = decode_with(&schema(&[]), r#"{"ts":1,"type":"a","ts":2,"type":null}"#);
    assert_eq!((decoded.block.heads[0].time, decoded.block.heads[0].kind), (Timestamp(2), TypeId::NONE));
    assert_eq!(reasons(r#"{"ts":1,"ts":null}"#), ["no event time: `ts` is missing"]);
}

#[test]
fn types_are_numbered_and_times_are_read() {
    let decoded = decode_with(
        &schema(&[]),
        concat!(
            r#"{"ts":1700000000000,"type":"a"}"#,
            "\n",
            r#"{"ts":1.7e12,"type":"b\n"}"#,
            "\n",
            r#"{"ts":"2023-11-14T22:13:20.0009Z","type":"c"}"#,
            "\n",
            r#"{"ts":"1969-12-31T23:59:59.9991+00:00","type":5}"#,
            "\n",
            r#"{"ts":-9223372036854775808}"#,
        ),
    );
    assert_eq!(decoded.dead, []);
    let heads: Vec<_> = decoded.block.heads.iter().map(|h| (h.time.0, h.kind.0, h.position.offset)).collect();
    assert_eq!(
        heads,
        [
            (1_700_000_000_000, 2, 100),
            (1_700_000_000_000, 3, 101),
            (1_700_000_000_000, 1, 102),
            (-1, 0, 103),
            (i64::MIN, 0, 104)
        ]
    );
}

#[test]
fn time_and_type_may_be_nested_and_may_be_fields_too() {
    let settings =
        StreamSettings { time_field: "m.t".into(), type_field: "m.k".into(), ..StreamSettings::default() };
    let schema = schema(&["m.t", "m"]);
    let decoded = Decoder::new(&schema, &settings).decode(
        br#"{"m":{"k":"a","t":"1970-01-01T00:00:01Z"}}"#.to_vec(),
        Position { stream: 0, partition: 0, offset: 0 },
    );
    assert_eq!((decoded.block.heads[0].time, decoded.block.heads[0].kind), (Timestamp(1000), TypeId(2)));
    assert_eq!(decoded.block.row(0).value(0), Value::Str("1970-01-01T00:00:01Z".into()));
}

#[test]
fn bad_lines_say_why_and_the_others_go_on() {
    let decoded = decode_with(
        &schema(&["x"]),
        b"{\"ts\":1}\n\n{oops\n \t\r\n[1]\n{\"ts\":2,\"x\":\"\xff\"}\r\n{\"x\":1}\n{\"ts\":\"noon\"}\n{\"ts\":1e999}\n{\"ts\":3}\r\n".to_vec(),
    );
    assert_eq!((decoded.lines, decoded.blank, decoded.block.heads.len()), (10, 2, 2));
    let dead: Vec<_> = decoded.dead.iter().map(|d| (d.after, d.offset, d.reason.to_string())).collect();
    let invalid_time =
        "invalid event time: `ts` is neither a whole number of milliseconds nor an RFC 3339 time";
    assert_eq!(
        dead,
        [
            (1, 102, "invalid JSON: key must be a string at line 1 column 2".to_owned()),
            (1, 104, "not a JSON object".to_owned()),
            (1, 105, "invalid JSON: invalid utf-8 sequence of 1 bytes from index 13".to_owned()),
            (1, 106, "no event time: `ts` is missing".to_owned()),
            (1, 107, invalid_time.to_owned()),
            (1, 108, invalid_time.to_owned()),
        ]
    );
    let mut out = Vec::new();
    decoded.dead[0].write_json(3, &mut out);
    decoded.dead[2].write_json(3, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"reason":"invalid JSON: key must be a string at line 1 column 2","partition":3,"offset":102,"raw":"{oops"}"#,
            r#"{"reason":"invalid JSON: invalid utf-8 sequence of 1 bytes from index 13","partition":3,"offset":105,"#,
            r#""raw":"{\"ts\":2,\"x\":\"�\"}\r","raw_base64":"eyJ0cyI6MiwieCI6Iv8ifQ0="}"#
        )
    );
}

#[test]
fn depth_is_bounded_by_the_line_alone() {
    let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(matches!(x(&deep), Value::Json(text) if text.len() == 2_000_001));
    assert_eq!(reasons(&format!(r#"{{"ts":1,"y":{}}}"#, &deep[..1_000_100])).len(), 1);
}

#[test]
fn paths_of_any_length_are_safe() {
    for depth in [200, 201, 100_000] {
        let field = format!("x{}", ".x".repeat(depth - 1));
        let line = format!("{{\"ts\":1,\"x\":{}7{}}}", "{\"x\":".repeat(depth - 1), "}".repeat(depth - 1));
        let found = values(&["x", &field], &line);
        assert_eq!(found[1], if depth == 200 { Value::Int(7) } else { Value::Null });
    }
}

#[test]
fn equal_keys_hash_alike_and_a_missing_one_is_zero() {
    let mut schema = schema(&["x", "y"]);
    schema.keys = vec![vec![0], vec![], vec![0, 1]];
    let decoded = decode_with(
        &schema,
        "{\"ts\":1,\"x\":1,\"y\":\"k\"}\n{\"ts\":1,\"x\":1.0,\"y\":\"\\u006b\"}\n{\"ts\":1,\"x\":2}\n",
    );
    let hasher = KeyHasher::default();
    let of = |row| schema.keys.iter().map(|key| hasher.hash(&decoded.block.row(row), key)).collect();
    let hashes: Vec<Vec<u64>> = (0..3).map(of).collect();
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0][0], hashes[2][0]);
    assert_eq!((hashes[0][1], hashes[2][2]), (hashes[2][1], 0));
    assert!(!hashes[0].contains(&0));
}

/// JSON texts of all shapes, with odd spacing, escapes and repeated names.
fn json() -> impl Strategy<Value = String> {
    let space = "[ \t]{0,2}";
    let name = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("ts".to_owned()),
        Just("\\u0061".to_owned())
    ];
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|i| i.to_string()),
        any::<u64>().prop_map(|i| i.to_string()),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(|f| serde_json::to_string(&f).unwrap()),
        "-?[0-9]{1,4}(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        "\"([a-z]{0,9}|\\\\[nrtbf\"/u\\\\]|\\\\u[0-9a-f]{4})*\"",
    ];
    scalar.prop_recursive(4, 40, 5, move |inner| {
        let items = prop::collection::vec((space, inner.clone(), space), 0..4);
        let members = prop::collection::vec((space, name.clone(), inner, space), 0..5);
        prop_oneof![
            items.prop_map(|l| format!(
                "[{}]",
                l.iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect::<Vec<_>>().join(",")
            )),
            members.prop_map(|l| format!(
                "{{{}}}",
                l.iter().map(|(a, n, v, b)| format!("{a}\"{n}\"{b}:{a}{v}{b}")).collect::<Vec<_>>().join(",")
            )),
        ]
    })
}

/// What a path names in a tree of JSON.
fn lookup<'j>(mut at: &'j Json, path: &FieldPath) -> &'j Json {
    for segment in &path.0 {
        at = match (segment, at) {
            (Segment::Name(name), Json::Object(members)) => members.get(name).unwrap_or(&Json::Null),
            (Segment::Index(index @ 0..), Json::Array(items)) => {
                items.get(*index as usize).unwrap_or(&Json::Null)
            }
            (Segment::Index(index), Json::Array(items)) => items
                .len()
                .checked_sub(index.unsigned_abs() as usize)
                .map_or(&Json::Null, |index| &items[index]),
            _ => &Json::Null,
        };
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A line is an event exactly where `serde_json` skips it as a valid object, whatever was cut out of it or put in.
    #[test]
    fn accepts_what_serde_json_accepts(text in json(), at in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:0-9.eE+ a\\\\-]{0,2}", cut in 0..3usize) {
        let mut chars: Vec<char> = text.chars().filter(|c| *c != '\n').collect();
        let from = at.index(chars.len() + 1);
        let to = (from + cut).min(chars.len());
        chars.splice(from..to, put.chars());
        let line: String = format!("{{\"ts\":1,\"x\":{}}}", chars.into_iter().collect::<String>());
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok();
        for fields in [&[][..], &["x"], &["x.a.b", "x.a", "x[0]", "x[-1].a", "x.b[-2]"]] {
            let decoded = decode_with(&schema(fields), line.clone());
            let invalid = decoded.dead.iter().any(|dead| matches!(dead.reason, Reason::InvalidJson(_)));
            prop_assert_eq!(invalid, !valid, "{} {:?}", line, decoded.dead);
            prop_assert!(!decoded.dead.iter().any(|dead| dead.reason == Reason::NotAnObject));
        }
    }

    /// Every path gives what a tree of the whole text would.
    #[test]
    fn takes_what_a_tree_would_give(text in json()) {
        let line = format!("{{\"ts\":1,\"x\":{}}}", text.replace('\n', " "));
        let Ok(tree) = serde_json::from_str::<Json>(&line) else { return Ok(()) };
        let fields = ["x", "x.a", "x.a.b", "x.a[0]", "x.b", "x[0]", "x[-1]", "x[-2].a", "x[1].b[-1]", "x.a.a.a"];
        for (field, value) in fields.iter().zip(values(&fields, &line)) {
            let wanted = lookup(&tree, &path(field));
            let same = match (&value, wanted) {
                (Value::Null, wanted) => wanted.is_null(),
                (Value::Bool(b), wanted) => wanted == &Json::Bool(*b),
                (Value::Int(i), Json::Number(n)) => n.as_i64() == Some(*i) || (*i == 0 && n.as_f64() == Some(0.0)),
                (Value::UInt(u), Json::Number(n)) => n.as_u64() == Some(*u),
                // This parser may be off by one unit in the last place; ours is not (see the next test).
                (Value::Float(f), Json::Number(n)) => n.as_f64().is_some_and(|g| (f - g).abs() <= g.abs() * 1e-15),
                (Value::Str(s), Json::String(t)) => s == t,
                (Value::Json(text), wanted) => serde_json::from_str::<Json>(text).unwrap() == *wanted,
                _ => false,
            };
            prop_assert!(same, "{field} of {line}: {value:?}, not {wanted}");
        }
    }

    #[test]
    fn floats_are_the_nearest(text in "-?(0|[1-9][0-9]{0,17})\\.[0-9]{1,18}([eE][+-]?[0-9]{1,3})?") {
        let float: f64 = text.parse().unwrap();
        prop_assert_eq!(x(&text), if float.is_finite() { Value::Float(float) } else { Value::Null });
    }

    /// What a line gives does not depend on those before it, though its members are guessed from theirs.
    #[test]
    fn lines_are_independent(texts in prop::collection::vec((json(), 0..4usize), 1..8)) {
        let lines: Vec<String> = texts
            .iter()
            .map(|(text, form)| match form {
                0 => format!("{{\"ts\":1,\"x\":{text}}}\n"),
                1 => format!("{{\"ts\":1, \"x\" : {text}}}\n"),
                2 => format!("{{ \"x\":{text},\"type\":\"a\",\"ts\":1}}\n"),
                _ => format!("{{\"ts\":1,\"a member with a long name\":1,\"x\":{text},}}\n"),
            })
            .collect();
        let schema = schema(&["x", "x.a", "x[-1]"]);
        let rows = |d: &Decoded| {
            let values = |row| (0..3).map(|slot| d.block.row(row).value(slot).into_owned()).collect::<Vec<_>>();
            d.block.heads.iter().enumerate().map(|(row, head)| (head.kind, values(row))).collect::<Vec<_>>()
        };
        let alone: Vec<Decoded> = lines.iter().map(|line| decode_with(&schema, line.as_str())).collect();
        let whole = decode_with(&schema, lines.concat());
        prop_assert_eq!(rows(&whole), alone.iter().flat_map(rows).collect::<Vec<_>>());
        let dead = alone.iter().flat_map(|decoded| &decoded.dead).map(|dead| (&dead.reason, &dead.raw));
        prop_assert!(whole.dead.iter().map(|dead| (&dead.reason, &dead.raw)).eq(dead));
    }
}

#[test]
fn many_names_are_told_apart() {
    let names: Vec<String> = (0..40).map(|i| format!("{}{i}", "n".repeat(i % 11))).collect();
    let line = names.iter().enumerate().map(|(i, name)| format!(",\"{name}\":{i}")).collect::<String>();
    for count in [1, 7, 8, 9, 40] {
        let fields: Vec<&str> = names[..count].iter().map(String::as_str).collect();
        let wanted: Vec<Value> = (0..count as i64).map(Value::Int).collect();
        assert_eq!(values(&fields, &format!("{{\"ts\":1{line}}}")), wanted);
    }
}

#[test]
fn a_decoder_that_grows_is_like_one_made_for_all() {
    let fields = ["x", "type", "y.a", "y", "list[0]", "list[-1]", "y.b", "z"];
    let line = r#"{"ts":1,"type":"new","x":1,"y":{"a":2,"b":3},"list":[4,5],"z":6}"#;
    for first in 0..fields.len() {
        let mut some = schema(&fields[..first]);
        let mut decoder = Decoder::new(&some, &StreamSettings::default());
        let at = Position { stream: 0, partition: 3, offset: 100 };
        // What is not wanted yet has been guessed to be of no use.
        assert_eq!(decoder.decode(line.into(), at).block.heads[0].kind, TypeId::OTHER);
        some.types.push("new".into());
        fields[first..].iter().for_each(|field| _ = some.field(&path(field)));
        decoder.grow(&some);
        let (grown, new) = (decoder.decode(line.into(), at).block, decode_with(&some, line).block);
        assert_eq!((grown.heads[0].kind, &grown.slots), (new.heads[0].kind, &new.slots), "from {first}");
        assert_eq!((grown.width, grown.heads[0].kind), (fields.len(), TypeId(TypeId::FIRST_NAMED + 2)));
    }
}
