//! Any bytes as lines: which of them are events and what their fields hold is what `serde_json` says, and nothing
//! depends on how the bytes are cut into blocks.

#![no_main]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use libfuzzer_sys::fuzz_target;
use sequor::event::decode::{Decoded, Decoder};
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{FieldPath, Position, Schema, Segment, TypeId, Value};
use serde::de::{Deserialize, Deserializer, IgnoredAny, Visitor};
use serde_json::value::RawValue;

fuzz_target!(|input: (u64, &[u8])| {
    let (cuts, bytes) = input;
    let (schema, paths) = schema();
    let hasher = KeyHasher::default();
    let mut decoder = Decoder::new(&schema, &StreamSettings::default());
    let first = Position { stream: 1, partition: 2, offset: 0 };
    let whole = decoder.decode(bytes.to_vec(), first);

    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(whole.lines as usize, lines.len());
    assert_eq!(whole.lines, whole.blank + whole.dead.len() as u64 + whole.block.heads.len() as u64);
    let mut dead = whole.dead.iter().peekable();
    let mut row = 0;
    for (offset, line) in lines.iter().enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            continue;
        }
        let Some((text, time)) = event(line) else {
            let letter = dead.next().expect("a line that is no event is a dead letter");
            assert_eq!((letter.offset, letter.after), (offset as u64, row), "{letter:?}");
            assert_eq!(letter.raw, line);
            let mut json = Vec::new();
            letter.write_json(2, &mut json);
            serde_json::from_slice::<serde_json::Value>(&json).expect("a dead letter is JSON");
            continue;
        };
        let found = whole.block.row(row);
        row += 1;
        assert_eq!((found.head.time.0, found.head.position.offset), (time, offset as u64));
        assert_eq!(found.raw(), text);
        for (slot, path) in paths.iter().enumerate() {
            if let Some(expected) = value(text, &path.0) {
                assert_eq!(found.value(slot), expected, "{path} of {text}");
            }
        }
        if let Some(kind) = value(text, &FieldPath::dotted("type").0) {
            let expected = match kind {
                Value::Str(name) => schema.type_id(&name),
                _ => TypeId::NONE,
            };
            assert_eq!(found.head.kind, expected, "{text}");
        }
    }
    assert_eq!(row, whole.block.heads.len());

    let mut next = first;
    let mut parts = Vec::new();
    let mut block = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        block.extend_from_slice(line);
        if cuts >> (number % 64) & 1 == 1 || number + 1 == lines.len() {
            let part = decoder.decode(std::mem::take(&mut block), next);
            next.offset += part.lines;
            parts.push(part);
        }
    }
    assert_eq!(facts(&[whole], &schema, &hasher), facts(&parts, &schema, &hasher));
});

/// What is read: fields of every depth, and a key.
fn schema() -> (Schema, Vec<FieldPath>) {
    let name = |name: &str| Segment::Name(name.to_owned());
    let paths = vec![
        FieldPath(vec![name("x")]),
        FieldPath(vec![name("d")]),
        FieldPath(vec![name("d"), name("x")]),
        FieldPath(vec![name("d"), Segment::Index(1)]),
        FieldPath(vec![name("d"), Segment::Index(-1)]),
        FieldPath(vec![name("d"), Segment::Index(-2), name("x")]),
        FieldPath(vec![name("long_name_of_a_field")]),
        FieldPath(vec![name("ts")]),
    ];
    let mut schema =
        Schema { types: vec!["a".into(), "b".into(), "long_name_of_a_type".into()], ..Schema::default() };
    paths.iter().for_each(|path| _ = schema.field(path));
    schema.key(&[]);
    schema.key(&[0, 2]);
    (schema, paths)
}

/// All that was found, without where in memory it stands.
fn facts(parts: &[Decoded], schema: &Schema, hasher: &KeyHasher) -> Vec<String> {
    let mut facts = Vec::new();
    for part in parts {
        let block = &part.block;
        for row in 0..block.heads.len() {
            let row = block.row(row);
            let keys: Vec<u64> = schema.keys.iter().map(|key| hasher.hash(&row, key)).collect();
            let values: Vec<Value> = (0..schema.fields.len()).map(|slot| row.value(slot)).collect();
            let head = row.head;
            facts.push(format!(
                "{:?} {:?} {:?} {keys:?} {values:?} {}",
                head.position,
                head.time,
                head.kind,
                row.raw()
            ));
        }
        facts.extend(part.dead.iter().map(|d| format!("{} {} {:?}", d.offset, d.reason, d.raw)));
    }
    facts.push(format!("{} blank", parts.iter().map(|part| part.blank).sum::<u64>()));
    facts.sort();
    facts
}

/// The object and the time of a line that is an event.
fn event(line: &[u8]) -> Option<(&str, i64)> {
    let text = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t', '\r']);
    serde_json::from_str::<IgnoredAny>(text).ok().filter(|_| text.starts_with('{'))?;
    let time = match value(text, &FieldPath::dotted("ts").0)? {
        Value::Int(ms) => ms,
        Value::Float(ms) if ms.trunc() == ms && ms >= i64::MIN as f64 && ms < i64::MAX as f64 => ms as i64,
        Value::Str(text) => chrono::DateTime::parse_from_rfc3339(&text).ok()?.timestamp_millis(),
        _ => return None,
    };
    Some((text, time))
}

/// What a path leads to in valid JSON, as `serde_json` reads it.
fn value<'a>(json: &'a str, path: &[Segment]) -> Option<Value<'a>> {
    let Some((step, rest)) = path.split_first() else { return scalar(json) };
    let part = match step {
        Segment::Name(name) if json.starts_with('{') => members(json).remove(name.as_str()),
        Segment::Index(index) if json.starts_with('[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).expect("valid JSON");
            let len = elements.len() as i64;
            let at = if *index < 0 { len + index } else { *index };
            usize::try_from(at).ok().and_then(|at| elements.get(at).map(|element| element.get()))
        }
        _ => None,
    };
    part.map_or(Some(Value::Null), |part| value(part, rest))
}

/// A value as it stands in an event; none where it has half of a surrogate pair, which `serde_json` has no text for.
fn scalar(json: &str) -> Option<Value<'_>> {
    Some(match json.as_bytes()[0] {
        b'n' => Value::Null,
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'{' | b'[' => Value::Json(Cow::Borrowed(json)),
        b'"' => {
            let Text(bytes) = serde_json::from_str(json).expect("valid JSON");
            Value::Str(Cow::Owned(String::from_utf8(bytes).ok()?))
        }
        _ if json.contains(['.', 'e', 'E']) => float(json),
        _ => match (json.parse::<i64>(), json.parse::<u64>()) {
            (Ok(int), _) => Value::Int(int),
            (_, Ok(uint)) => Value::UInt(uint),
            _ => float(json),
        },
    })
}

/// The float that is nearest; `serde_json` refuses those that are too large, and may miss the nearest by a bit.
fn float(json: &str) -> Value<'static> {
    let float = json.parse::<f64>().expect("valid JSON");
    if float.is_finite() { Value::Float(float) } else { Value::Null }
}

/// The members of an object; of those that come twice, the last.
fn members(json: &str) -> BTreeMap<String, &str> {
    let members: BTreeMap<Text, &RawValue> = serde_json::from_str(json).expect("valid JSON");
    members
        .into_iter()
        .map(|(name, value)| (String::from_utf8_lossy(&name.0).into_owned(), value.get()))
        .collect()
}

/// A string, which may have half of a surrogate pair: text that is not quite UTF-8.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(bytes.to_vec()))
            }
        }
        from.deserialize_bytes(Bytes)
    }
}
