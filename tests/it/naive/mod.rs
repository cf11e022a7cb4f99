//! A second, naive implementation of the whole of Sequor, written from the language's reference and nothing else: the
//! oracle that the real one is compared with, byte by byte.
//!
//! It reads patterns as syntax trees and inputs as lines, and says what the three outputs hold. Nothing here is fast, shared with the
//! engine or clever: each part of the reference stands in one place, as directly as it can be written down.
//!
//! - [`json`], [`value`], [`eval`], [`functions`]: what an expression says.
//! - [`input`]: which lines are events, which are late or bad, and in which order the events are taken.
//! - [`shape`]: what a partial match waits for after each event that it accepted.
//! - [`matcher`]: partial matches, deadlines and skips of one key.
//! - [`output`]: how matches, late events and dead letters are written, and in which order.

mod eval;
mod functions;
mod input;
mod json;
mod matcher;
mod output;
mod shape;
mod value;

use std::rc::Rc;

use sequor::pattern::ast;

use self::input::Event;
use self::matcher::KeyMatcher;
pub(crate) use self::matcher::Open;
use self::shape::Pattern;
use self::value::Value;

/// One partition of the input: the stream that it belongs to, and its lines without their line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// The stream's name.
    pub(crate) stream: String,
    /// The lines.
    pub(crate) lines: Vec<Vec<u8>>,
}

/// What is set for all streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How far behind its partition's highest time an event may come, in milliseconds.
    pub(crate) out_of_orderness_ms: i64,
    /// The field with the event's type.
    pub(crate) type_field: String,
    /// The field with the event's time.
    pub(crate) time_field: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { out_of_orderness_ms: 5_000, type_field: "type".into(), time_field: "ts".into() }
    }
}

/// The three outputs, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outputs {
    /// Matches and timeouts.
    pub(crate) matches: Vec<u8>,
    /// Late events.
    pub(crate) late: Vec<u8>,
    /// Lines that are no events.
    pub(crate) dead: Vec<u8>,
}

/// More partial matches were alive at once than a naive matcher should be asked to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// What Sequor's outputs hold for these patterns and inputs; or nothing where it would take too long to find out.
pub(crate) fn run(files: &[ast::File], inputs: &[Input], settings: &Settings) -> Result<Outputs, TooMany> {
    let input = input::read(inputs, settings);
    let mut found = Vec::new();
    for tree in files.iter().flat_map(|file| &file.patterns) {
        let pattern = Rc::new(Pattern::new(tree));
        let mut keys: Vec<(Vec<Value>, KeyMatcher)> = Vec::new();
        for event in &input.events {
            if !pattern.streams.as_ref().is_none_or(|streams| streams.contains(&event.stream)) {
                continue;
            }
            let Some(key) = key_of(&pattern, event) else { continue };
            let known = keys.iter().position(|(other, _)| other.iter().zip(&key).all(|(a, b)| a.equals(b)));
            let index = known.unwrap_or_else(|| {
                keys.push((key, KeyMatcher::new(Rc::clone(&pattern))));
                keys.len() - 1
            });
            keys[index].1.event(event)?;
        }
        for (_, matcher) in keys {
            found.extend(matcher.end_of_input().into_iter().map(|found| (Rc::clone(&pattern), found)));
        }
    }
    Ok(Outputs {
        matches: output::matches(found),
        late: output::late(&input.late),
        dead: output::dead(&input.dead),
    })
}

/// Tells what of each pattern is open after each event: the pattern's place in the files, how many events there were, and
/// what each key holds that holds something.
pub(crate) fn follow(
    files: &[ast::File],
    inputs: &[Input],
    settings: &Settings,
    mut see: impl FnMut(usize, usize, Vec<Vec<Open>>),
) -> Result<(), TooMany> {
    let input = input::read(inputs, settings);
    for (number, tree) in files.iter().flat_map(|file| &file.patterns).enumerate() {
        let pattern = Rc::new(Pattern::new(tree));
        let mut keys: Vec<(Vec<Value>, KeyMatcher)> = Vec::new();
        for (count, event) in (1..).zip(&input.events) {
            let reads = pattern.streams.as_ref().is_none_or(|streams| streams.contains(&event.stream));
            if let Some(key) = key_of(&pattern, event).filter(|_| reads) {
                let same = |other: &[Value]| other.iter().zip(&key).all(|(a, b)| a.equals(b));
                let index = keys.iter().position(|(other, _)| same(other)).unwrap_or_else(|| {
                    keys.push((key, KeyMatcher::new(Rc::clone(&pattern))));
                    keys.len() - 1
                });
                keys[index].1.event(event)?;
            }
            let open = keys.iter().map(|(_, key)| key.open_at(event.time)).filter(|open| !open.is_empty());
            see(number, count, open.collect());
        }
    }
    Ok(())
}

/// The values of the pattern's key in an event; nothing where one of them is missing, null or no scalar.
fn key_of(pattern: &Pattern, event: &Event) -> Option<Vec<Value>> {
    let values = pattern.key.iter().map(|path| event.field(&path.segments));
    let values: Vec<Value> = values.collect();
    values.iter().all(|value| !matches!(value, Value::Null | Value::Json(_))).then_some(values)
}
