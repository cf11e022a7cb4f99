//! Random inputs: events that go along with the patterns, in and out of order, written in many ways, and lines that
//! are no events.

use serde_json::json;

use super::pattern::{Element, PatternSpec};
use super::{Features, Random};
use crate::naive::{Input, Settings};

/// The names of the type field and the time field.
pub(crate) fn field_names(random: &mut Random) -> Settings {
    if random.chance(12) {
        return Settings { type_field: "head.kind".into(), time_field: "when".into(), ..Settings::default() };
    }
    Settings::default()
}

/// Partitions of the streams `events` and `other`.
pub(crate) fn inputs(
    random: &mut Random,
    patterns: &[PatternSpec],
    settings: &Settings,
    partitions: usize,
    features: &mut Features,
) -> Vec<Input> {
    let mut inputs: Vec<Input> = (0..partitions)
        .map(|number| {
            let stream = if number == 0 || random.chance(60) { "events" } else { "other" };
            Input { stream: stream.into(), lines: Vec::new() }
        })
        .collect();
    if partitions > 1 {
        features.insert("several partitions");
    }
    let mut arrivals = arrivals(random, patterns, settings, features);
    arrivals.sort_by_key(|(arrival, ..)| *arrival);
    let odd = random.chance(40);
    for (_, time, kind) in arrivals {
        let lines = &mut inputs[random.below(partitions as u64) as usize].lines;
        if odd && random.chance(15) {
            lines.push(bad_line(random, settings, features));
        }
        lines.push(line(random, time, kind, settings, odd, features));
    }
    inputs
}

/// Events as (when it arrives, its time, its type).
fn arrivals(
    random: &mut Random,
    patterns: &[PatternSpec],
    settings: &Settings,
    features: &mut Features,
) -> Vec<(i64, i64, &'static str)> {
    let wanted = random.between(4, 20) as usize;
    let mut kinds = Vec::new();
    while kinds.len() < wanted {
        let pattern = random.pick(patterns);
        walk(random, &pattern.sequence, &mut kinds);
    }
    let mut time = *random.pick(&[1_000, 1_700_000_000_000, 951_782_399_000, -3_000]);
    let shuffled = random.chance(45);
    let steps = [(12, 0), (10, 1), (20, 100), (30, 500), (30, 1_000), (10, 1_500), (3, 6_000)];
    let mut arrivals = Vec::new();
    for kind in kinds {
        let step = *random.weighted(&steps);
        if step == 0 {
            features.insert("equal times");
        }
        time += step;
        let delay = if shuffled {
            random.between(0, settings.out_of_orderness_ms.min(4_000) * 3 / 2 + 200)
        } else {
            0
        };
        arrivals.push((time + delay, time, kind));
    }
    if shuffled {
        features.insert("out of order");
    }
    arrivals
}

/// Types of events that go along with a sequence, with some noise between them.
fn walk(random: &mut Random, sequence: &[(Option<&'static str>, Element)], kinds: &mut Vec<&'static str>) {
    for (link, element) in sequence {
        let negation = link.is_some_and(|link| link.starts_with("not"));
        let (quantifier, times) = match element {
            Element::Stage(stage) => (&stage.quantifier, 3),
            Element::Group { quantifier, .. } => (quantifier, 2),
        };
        let times = match quantifier.as_str() {
            _ if negation => i64::from(random.chance(12)),
            "" => 1,
            "?" => random.between(0, 1),
            "*" => random.between(0, times),
            "+" => random.between(1, times),
            counts => {
                let digits: Vec<i64> = counts.chars().filter_map(|c| c.to_digit(10)).map(i64::from).collect();
                random.between(digits[0], digits.get(1).copied().unwrap_or(digits[0] + 1).max(digits[0]))
            }
        };
        for _ in 0..times {
            match element {
                Element::Stage(stage) => kinds.push(match *random.pick(&stage.types) {
                    "any" => *random.pick(&["a", "b", "c", "e"]),
                    kind => kind,
                }),
                Element::Group { sequence, .. } => walk(random, sequence, kinds),
            }
            if random.chance(12) {
                kinds.push(*random.pick(&["a", "b", "c", "d", "e", ""]));
            }
        }
    }
    if kinds.is_empty() {
        kinds.push("a");
    }
}

/// An event as a line.
fn line(
    random: &mut Random,
    time: i64,
    kind: &str,
    settings: &Settings,
    odd: bool,
    features: &mut Features,
) -> Vec<u8> {
    let mut members: Vec<(String, String)> = Vec::new();
    let kind = match kind {
        "" => {
            features.insert("no type");
            (*random.pick(&["null", "7", "[]"])).to_owned()
        }
        _ if odd && random.chance(10) => {
            features.insert("escapes");
            format!("\"\\u{:04x}\"", u32::from(kind.as_bytes()[0]))
        }
        _ => format!("\"{kind}\""),
    };
    match settings.type_field.split_once('.') {
        Some((head, name)) => members.push((head.into(), format!("{{\"{name}\":{kind}}}"))),
        None => members.push((settings.type_field.clone(), kind)),
    }
    if odd && random.chance(6) {
        features.insert("duplicate members");
        members.push((settings.time_field.clone(), "\"no time\"".into()));
    }
    members.push((settings.time_field.clone(), written_time(random, time, odd, features)));
    members.extend(fields(random, odd, features));
    if odd && random.chance(10) {
        members.reverse();
        // Of members that come twice the last one counts: the true time must stay the last.
        let at = members.iter().position(|(name, _)| *name == settings.time_field);
        if let Some(at) = at {
            let time = members.remove(at);
            members.push(time);
        }
    }
    let space =
        |random: &mut Random| if odd { *random.pick(&["", "", "", " ", "\t", "  ", "\r"]) } else { "" };
    let mut text = String::new();
    text.push_str(space(random));
    text.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (a, b, c) = (space(random), space(random), space(random));
        text.push_str(&format!("{comma}{a}\"{name}\"{b}:{c}{value}"));
    }
    text.push_str(space(random));
    text.push('}');
    text.push_str(space(random));
    if odd && text.contains(['\t', '\r']) {
        features.insert("odd white space");
    }
    text.into_bytes()
}

fn written_time(random: &mut Random, time: i64, odd: bool, features: &mut Features) -> String {
    if !odd || random.chance(60) {
        return time.to_string();
    }
    let date = chrono::DateTime::from_timestamp_millis(time).unwrap();
    features.insert("times as text");
    match random.below(5) {
        0 => format!("{time}.0"),
        1 => format!("{time}e0"),
        2 => format!("\"{}\"", date.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
        3 => format!("\"{}999\"", date.format("%Y-%m-%dT%H:%M:%S%.3f")).replace("999\"", "999z\""),
        _ => {
            let ahead = chrono::FixedOffset::east_opt(*random.pick(&[3_600, -5 * 3_600, 19_800])).unwrap();
            format!("\"{}\"", date.with_timezone(&ahead).to_rfc3339())
        }
    }
}

fn fields(random: &mut Random, odd: bool, features: &mut Features) -> Vec<(String, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    let v = match random.below(100) {
        0..80 => random.between(0, 9).to_string(),
        80..90 => (*random.pick(&["1.0", "2.5", "0.5", "7.0", "-0.0", "3e0"])).to_owned(),
        90..93 => (*random.pick(&["\"x\"", "true", "[1]"])).to_owned(),
        93..96 => "null".into(),
        96..98 => {
            (*random.pick(&["9007199254740993", "18446744073709551615", "-9223372036854775808", "1e400"]))
                .to_owned()
        }
        _ => String::new(),
    };
    fields.push(("v", v));
    fields.push((
        "w",
        (*random.weighted(&[(50, "\"x\""), (30, "\"y\""), (12, "\"z\""), (4, "null"), (4, "")])).into(),
    ));
    let key = *random.weighted(&[
        (60, "\"u\""),
        (12, "1"),
        (6, "1.0"),
        (6, "\"1\""),
        (6, "true"),
        (3, "null"),
        (3, "{}"),
        (4, ""),
    ]);
    match key {
        "1" | "1.0" | "\"1\"" => drop(features.insert("keys 1, 1.0 and \"1\"")),
        "" | "null" | "{}" => drop(features.insert("no key")),
        _ => {}
    }
    fields.push(("k", key.to_owned()));
    if random.chance(70) {
        fields.push((
            "num",
            (*random.pick(&["1", "2.5", "-7", "1e3", "0.1", "1e300", "-2.5", "12345678901"])).into(),
        ));
    }
    if random.chance(70) {
        let text = *random.pick(&["Ab cd", "x", "", "b\u{e9}d", "say \"b\"", "12", " a\tb "]);
        fields.push(("text", if text.len() > 5 && odd { escaped(text) } else { json!(text).to_string() }));
    }
    if random.chance(50) {
        fields.push(("flag", (*random.pick(&["true", "false", "0"])).into()));
    }
    if random.chance(50) {
        fields.push((
            "at",
            (*random.pick(&["\"2024-01-01T05:00:00.5Z\"", "86399999", "\"noon\"", "1.5"])).into(),
        ));
    }
    if random.chance(50) {
        fields.push(("ip", (*random.pick(&["\"10.0.0.7\"", "\"2001:db8::7\"", "\"10.0.0\"", "10"])).into()));
    }
    if random.chance(75) {
        let nest = json!({"x": random.between(-1, 3), "list": [1, random.between(0, 2)], "k": random.pick(&["u", "u", "v"])});
        let nest = if random.chance(8) { "[1, {\"x\": 2}]".to_owned() } else { nest.to_string() };
        fields.push(("nest", if odd { nest.replace(',', ",\r") } else { nest }));
    }
    if odd && random.chance(10) {
        features.insert("duplicate members");
        fields.insert(0, ("v", "99".into()));
        fields.insert(0, ("nest", "{\"x\":5,\"k\":\"w\"}".into()));
    }
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A string with its first letter escaped.
fn escaped(text: &str) -> String {
    let json = json!(text).to_string();
    format!("\"\\u{:04X}{}", u32::from(json.chars().nth(1).unwrap()), &json[2..])
}

/// A line that is no event.
fn bad_line(random: &mut Random, settings: &Settings, features: &mut Features) -> Vec<u8> {
    let (kind, time) = (&settings.type_field, &settings.time_field);
    let bad: [(&str, String); 16] = [
        ("blank line", String::new()),
        ("blank line", " \t\r".into()),
        ("bad JSON", "{\"type\":\"a\",".into()),
        ("bad JSON", format!("{{\"{kind}\":\"a\",\"{time}\":1000}} x")),
        ("bad JSON", "{'type':'a'}".into()),
        ("bad JSON", format!("{{\"{kind}\":\"a\",\"{time}\":01000}}")),
        ("bad JSON", format!("{{\"{time}\":1000,\"s\":\"a\tb\"}}")),
        ("bad JSON", format!("{{\"{time}\":1000,\"s\":\"\\x\"}}")),
        ("no object", "[1,2]".into()),
        ("no object", "\"text\"".into()),
        ("no object", "null".into()),
        ("no time", "{\"type\":\"a\"}".into()),
        ("no time", format!("{{\"{time}\":null}}")),
        ("bad time", format!("{{\"{time}\":1000.5}}")),
        ("bad time", format!("{{\"{time}\":\"yesterday\"}}")),
        ("bad time", format!("{{\"{time}\":1e300}}")),
    ];
    if random.chance(8) {
        features.insert("bad UTF-8");
        return b"{\"type\":\"a\",\"ts\":1000,\"s\":\"\xff\"}".to_vec();
    }
    let (feature, line) = random.pick(&bad);
    features.insert(feature);
    line.clone().into_bytes()
}
