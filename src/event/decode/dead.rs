//! Lines that are no events: each becomes a dead letter, with its place and the reason in words.

use std::fmt;

use base64::Engine as _;

use crate::event::Timestamp;

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// How many events of its block stand before it.
    pub after: usize,
    /// The line's number in its partition, from 0.
    pub offset: u64,
    /// What is wrong with it.
    pub reason: Reason,
    /// Its bytes as they came, without the line break; of a line that is too long only the beginning.
    pub raw: Vec<u8>,
}

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is no JSON; what the JSON parser says.
    InvalidJson(String),
    /// It is no record of CSV, or not one of its file; why.
    InvalidCsv(String),
    /// It is JSON, but no object.
    NotAnObject,
    /// The named time field is missing or null.
    NoTime(String),
    /// The named time field holds no time.
    InvalidTime(String),
    /// It is longer than the limit, in bytes.
    TooLong(usize),
    /// Its time is further ahead of its partition's highest one than may be; the latest time that would have done.
    Ahead(Timestamp),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::InvalidJson(why) => write!(f, "invalid JSON: {why}"),
            Reason::InvalidCsv(why) => write!(f, "invalid CSV: {why}"),
            Reason::NotAnObject => write!(f, "not a JSON object"),
            Reason::NoTime(field) => write!(f, "no event time: `{field}` is missing"),
            Reason::InvalidTime(field) => write!(
                f,
                "invalid event time: `{field}` is neither a whole number of milliseconds nor an RFC 3339 time"
            ),
            Reason::TooLong(limit) => write!(f, "line longer than {limit} bytes"),
            Reason::Ahead(limit) => {
                write!(f, "event time too far ahead: `max_time_jump` allows times up to {limit} here")
            }
        }
    }
}

impl DeadLetter {
    /// Appends the dead letter as one JSON object, without a line break.
    pub fn write_json(&self, partition: u32, out: &mut Vec<u8>) {
        let raw = String::from_utf8_lossy(&self.raw);
        let (reason, offset) = (self.reason.to_string(), self.offset);
        out.extend_from_slice(b"{\"reason\":");
        write_text(&reason, out);
        out.extend_from_slice(format!(",\"partition\":{partition},\"offset\":{offset},\"raw\":").as_bytes());
        write_text(&raw, out);
        // Borrowed: the bytes were valid, and nothing was replaced.
        if let std::borrow::Cow::Owned(_) = raw {
            out.extend_from_slice(b",\"raw_base64\":");
            write_text(&base64::engine::general_purpose::STANDARD.encode(&self.raw), out);
        }
        out.push(b'}');
    }
}

/// Appends a JSON string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}
