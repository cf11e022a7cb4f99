//! How matches, late events and dead letters are written, and in which order.

use std::rc::Rc;

use base64::Engine as _;
use sequor::pattern::ast::{Path, PathSegment};
use sha2::{Digest, Sha256};

use super::eval::Scope;
use super::input::{Dead, Late, Position};
use super::matcher::{Found, Kind, Taken};
use super::shape::Pattern;
use super::value::Value;

/// All patterns have their first version: nothing here replaces one.
const VERSION: u64 = 1;

/// Writes matches and timeouts in their order.
pub(crate) fn matches(mut found: Vec<(Rc<Pattern>, Found)>) -> Vec<u8> {
    found.sort_by_cached_key(|(pattern, found)| {
        let positions: Vec<Position> = found.taken.iter().map(|taken| taken.event.position.clone()).collect();
        let stages: Vec<usize> = found.taken.iter().map(|taken| taken.stage).collect();
        (found.trigger.clone(), pattern.name.clone(), VERSION, found.kind, positions, stages)
    });
    found.iter().flat_map(|(pattern, found)| format!("{}\n", one(pattern, found)).into_bytes()).collect()
}

fn one(pattern: &Pattern, found: &Found) -> String {
    let first = &found.taken[0].event;
    let name = serde_json::to_string(&pattern.name).unwrap();
    let kind = match found.kind {
        Kind::Match => "match",
        Kind::Timeout => "timeout",
    };
    let key = pattern.key.iter().map(|path| (path_text(path), first.field(&path.segments)));
    let events = (0..pattern.stages.len()).filter_map(|stage| {
        let events: Vec<String> = of_stage(found, stage).map(|taken| on_one_line(&taken.event.raw)).collect();
        let name = serde_json::to_string(&pattern.stages[stage].name).unwrap();
        (!events.is_empty()).then(|| format!("{name}:[{}]", events.join(",")))
    });
    let names: Vec<String> = pattern.stages.iter().map(|stage| stage.name.clone()).collect();
    let scope = Scope { stages: &names, this: None, taken: &found.taken, key: &pattern.key };
    let fields = pattern.select.iter().map(|(name, expr)| (name.clone(), scope.value(expr)));
    format!(
        r#"{{"pattern":{name},"version":{VERSION},"kind":"{kind}","id":"{}","key":{},"start":{},"end":{},"events":{{{}}},"fields":{}}}"#,
        id(pattern, found),
        object(key),
        first.time,
        found.trigger.time,
        events.collect::<Vec<_>>().join(","),
        object(fields),
    )
}

fn of_stage(found: &Found, stage: usize) -> impl Iterator<Item = &Taken> {
    found.taken.iter().filter(move |taken| taken.stage == stage)
}

fn object(members: impl Iterator<Item = (String, Value)>) -> String {
    let members: Vec<String> = members
        .map(|(name, value)| format!("{}:{}", serde_json::to_string(&name).unwrap(), value.to_json()))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A path as it is written.
pub(crate) fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for segment in &path.segments {
        match segment {
            PathSegment::Name(name) if text.is_empty() => text.push_str(&name.text),
            PathSegment::Name(name) => text.push_str(&format!(".{}", name.text)),
            PathSegment::Meta(name) if text.is_empty() => text.push_str(&format!("@{}", name.text)),
            PathSegment::Meta(name) => text.push_str(&format!(".@{}", name.text)),
            PathSegment::Index(index, _) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

fn id(pattern: &Pattern, found: &Found) -> String {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.bytes());
    }
    let mut bytes = b"sequor-match-1".to_vec();
    text(&mut bytes, &pattern.name);
    bytes.extend(VERSION.to_le_bytes());
    bytes.push(match found.kind {
        Kind::Match => 0,
        Kind::Timeout => 1,
    });
    for (number, stage) in pattern.stages.iter().enumerate() {
        let events: Vec<&Taken> = of_stage(found, number).collect();
        if events.is_empty() {
            continue;
        }
        text(&mut bytes, &stage.name);
        bytes.extend((events.len() as u32).to_le_bytes());
        for taken in events {
            let (stream, partition, offset) = &taken.event.position;
            text(&mut bytes, stream);
            bytes.extend(partition.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
    }
    Sha256::digest(&bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON text whose line breaks between tokens (none are inside a line but carriage returns) are spaces.
pub(crate) fn on_one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// Writes late events, which come in their order.
pub(crate) fn late(late: &[Late]) -> Vec<u8> {
    let lines = late.iter().map(|late| {
        let ((_, partition, offset), watermark) = (late.rank, late.watermark);
        let event = on_one_line(&late.raw);
        format!(
            r#"{{"reason":"late","partition":{partition},"offset":{offset},"watermark":{watermark},"event":{event}}}"#
        ) + "\n"
    });
    lines.collect::<String>().into_bytes()
}

/// Writes dead letters, which come in their order.
pub(crate) fn dead(dead: &[Dead]) -> Vec<u8> {
    let lines = dead.iter().map(|dead| {
        let (_, partition, offset) = dead.rank;
        let reason = serde_json::to_string(&dead.reason).unwrap();
        let text = String::from_utf8_lossy(&dead.raw);
        let raw = serde_json::to_string(&text).unwrap();
        let mut line =
            format!(r#"{{"reason":{reason},"partition":{partition},"offset":{offset},"raw":{raw}"#);
        if std::str::from_utf8(&dead.raw).is_err() {
            let bytes = base64::engine::general_purpose::STANDARD.encode(&dead.raw);
            line.push_str(&format!(r#","raw_base64":"{bytes}""#));
        }
        line + "}\n"
    });
    lines.collect::<String>().into_bytes()
}
