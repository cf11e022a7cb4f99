//! How single settings are read and shown: texts, numbers, durations, sizes, addresses, words.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::node::Value;
use super::settings::{LatePolicy, LimitPolicy, LogFormat, LogLevel, Silence, SinkInput, SourceKind};
use super::target::{Allowed, Selector, url_problem};
use crate::diagnostic::similar;
use crate::event::TimeSpan;
use crate::event::time::duration_of;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// The units of sizes, the largest first, and for what is written the binary ones before the decimal ones.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    /// With the largest unit that says it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        let (name, unit) = SIZES.iter().find(exact).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// Why a value is not taken.
pub(super) enum Refusal {
    /// It is not of the type that is needed.
    Type,
    /// It is, but says nothing that can be: why, and the way out.
    Value(String, Option<String>),
}

impl Refusal {
    fn value(why: impl Into<String>) -> Refusal {
        Refusal::Value(why.into(), None)
    }
}

/// What a single setting can be.
pub(super) trait Setting: Sized {
    /// What is expected, for messages and the documentation.
    const KIND: &'static str;
    /// Reads what is given.
    fn read(value: &Value) -> Result<Self, Refusal>;
    /// As it is written in the file.
    fn show(&self) -> String;
}

/// A text as TOML writes it.
fn quoted(text: impl fmt::Display) -> String {
    // JSON's escapes are TOML's, but for one character that JSON does not escape.
    serde_json::Value::from(text.to_string()).to_string().replace('\x7f', "\\u007f")
}

/// The text of a value, whether it came from the file or from outside.
fn text(value: &Value) -> Result<&str, Refusal> {
    match value {
        Value::Text(text) | Value::Word(text) => Ok(text),
        _ => Err(Refusal::Type),
    }
}

impl Setting for String {
    const KIND: &'static str = "text";

    fn read(value: &Value) -> Result<Self, Refusal> {
        match text(value)? {
            "" => Err(Refusal::value("is empty")),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "path";

    fn read(value: &Value) -> Result<Self, Refusal> {
        String::read(value).map(PathBuf::from)
    }

    fn show(&self) -> String {
        quoted(self.display())
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &Value) -> Result<Self, Refusal> {
        match value {
            Value::Boolean(value) => Ok(*value),
            Value::Word(word) => word.parse().map_err(|_| Refusal::Type),
            _ => Err(Refusal::Type),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Whole numbers, from 0.
macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Setting for $number {
            const KIND: &'static str = "whole number";

            fn read(value: &Value) -> Result<Self, Refusal> {
                let number = match value {
                    Value::Integer(number) => *number,
                    Value::Word(word) => word.parse().map_err(|_| Refusal::Type)?,
                    _ => return Err(Refusal::Type),
                };
                <$number>::try_from(number).map_err(|_| Refusal::value(match number < 0 {
                    true => "cannot be below 0",
                    false => "is too large",
                }))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(u32 u64 usize);

impl Setting for ByteSize {
    const KIND: &'static str = "size";

    fn read(value: &Value) -> Result<Self, Refusal> {
        let text = match value {
            Value::Integer(_) => return u64::read(value).map(ByteSize),
            value => text(value)?,
        };
        let form = || Refusal::value("is no size: sizes are written like 64MiB, 1.5GB or 4096 (bytes)");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim_start());
        let unit = match unit {
            "" => 1,
            unit => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(form)?.1,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(form());
        }
        crate::event::time::scaled(whole, fraction, unit)
            .map(ByteSize)
            .ok_or_else(|| Refusal::value("is out of range, or no whole number of bytes"))
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for TimeSpan {
    const KIND: &'static str = "duration";

    fn read(value: &Value) -> Result<Self, Refusal> {
        match value {
            Value::Integer(number) => Err(Refusal::Value(
                "has no unit".into(),
                Some(format!("did you mean `\"{number}s\"`? The units are ms, s, m, h, d and w")),
            )),
            value => duration_of(text(value)?).map_err(Refusal::value_of_duration),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Refusal {
    fn value_of_duration(why: String) -> Refusal {
        Refusal::Value("is no duration that can be".into(), Some(why))
    }
}

impl Setting for Duration {
    const KIND: &'static str = TimeSpan::KIND;

    fn read(value: &Value) -> Result<Self, Refusal> {
        TimeSpan::read(value).map(|span| Duration::from_millis(span.0.unsigned_abs()))
    }

    fn show(&self) -> String {
        TimeSpan(i64::try_from(self.as_millis()).unwrap_or(i64::MAX)).show()
    }
}

impl Setting for SocketAddr {
    const KIND: &'static str = "address";

    fn read(value: &Value) -> Result<Self, Refusal> {
        text(value)?.parse().map_err(|_| {
            let help = "an IP address and a port, as in 127.0.0.1:7878, 0.0.0.0:7878 or [::1]:0".into();
            Refusal::Value("is no address to listen on".into(), Some(help))
        })
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

/// A URL that can be sent to.
pub(super) struct Url(pub(super) String);

impl Setting for Url {
    const KIND: &'static str = "URL";

    fn read(value: &Value) -> Result<Self, Refusal> {
        let text = text(value)?;
        match url_problem(text) {
            None => Ok(Url(text.to_owned())),
            Some(why) => Err(Refusal::Value("cannot be sent to".into(), Some(why.into()))),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// What streams and sinks are called.
pub(super) struct Name(pub(super) String);

impl Setting for Name {
    const KIND: &'static str = "name";

    fn read(value: &Value) -> Result<Self, Refusal> {
        let text = text(value)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed) {
            return Ok(Name(text.to_owned()));
        }
        let help = "names have 1 to 64 letters, digits, `_` and `-`".into();
        Err(Refusal::Value("is no name that can be".into(), Some(help)))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// The place of a field in events: names that dots part.
pub(super) struct Field(pub(super) String);

impl Setting for Field {
    const KIND: &'static str = "field";

    fn read(value: &Value) -> Result<Self, Refusal> {
        let text = text(value)?;
        if text.split('.').any(str::is_empty) {
            return Err(Refusal::value("is no field: fields are written like `ts` or `meta.ts`"));
        }
        Ok(Field(text.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// Texts that are read one by one.
trait Element: Sized + fmt::Display {
    const KIND: &'static str;
    fn parse(text: &str) -> Result<Self, String>;
}

impl Element for Selector {
    const KIND: &'static str = "list of patterns";

    fn parse(text: &str) -> Result<Self, String> {
        Selector::parse(text)
    }
}

impl Element for Allowed {
    const KIND: &'static str = "list of hosts and networks";

    fn parse(text: &str) -> Result<Self, String> {
        Allowed::parse(text)
    }
}

impl<T: Element> Setting for Vec<T> {
    const KIND: &'static str = T::KIND;

    fn read(value: &Value) -> Result<Self, Refusal> {
        let one = |text: &str| {
            T::parse(text).map_err(|why| Refusal::Value("holds what it cannot".into(), Some(why)))
        };
        match value {
            Value::List(nodes) => nodes.iter().map(|node| one(text(&node.value)?)).collect(),
            // From outside, with commas between them.
            Value::Word(word) => word.split(',').map(|part| one(part.trim())).collect(),
            _ => Err(Refusal::Type),
        }
    }

    fn show(&self) -> String {
        let shown: Vec<String> = self.iter().map(quoted).collect();
        format!("[{}]", shown.join(", "))
    }
}

/// A setting that is one of some words.
trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
    /// Words that something else has which is not in this version.
    const FUTURE: &'static [&'static str] = &[];
}

impl<T: Words> Setting for T {
    const KIND: &'static str = "word";

    fn read(value: &Value) -> Result<Self, Refusal> {
        let given = text(value)?;
        if let Some((_, meant)) = T::WORDS.iter().find(|(word, _)| *word == given) {
            return Ok(*meant);
        }
        let all: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
        let help = match similar(given, T::WORDS.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean `{word}`?"),
            None if all.len() == 1 => format!("it can only be {}", all[0]),
            None => format!("it is one of {}", all.join(", ")),
        };
        if T::FUTURE.contains(&given) {
            return Err(Refusal::Value(format!("cannot be `{given}` in this version"), Some(help)));
        }
        Err(Refusal::Value("is none of the words that it can be".into(), Some(help)))
    }

    fn show(&self) -> String {
        let word = T::WORDS.iter().find(|(_, meant)| meant == self);
        quoted(word.map_or("", |(word, _)| *word))
    }
}

impl Words for LimitPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("suspend", LimitPolicy::Suspend), ("drop_oldest", LimitPolicy::DropOldest)];
}

impl Words for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
}

impl Words for SourceKind {
    const WORDS: &'static [(&'static str, Self)] = &[("http", SourceKind::Http)];
    const FUTURE: &'static [&'static str] = &["kafka", "file", "mqtt", "nats", "redpanda"];
}

impl Words for Silence {
    const WORDS: &'static [(&'static str, Self)] =
        &[("flush", Silence::Flush), ("hold", Silence::Hold), ("clock", Silence::Clock)];
}

impl Words for LatePolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("output", LatePolicy::Output), ("drop", LatePolicy::Drop)];
}

impl Words for SinkInput {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("matches", SinkInput::Matches),
        ("late", SinkInput::Late),
        ("dead_letters", SinkInput::DeadLetters),
    ];
}

/// Which kind of sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkKind {
    File,
    Webhook,
}

impl Words for SinkKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("file", SinkKind::File), ("webhook", SinkKind::Webhook)];
    const FUTURE: &'static [&'static str] = &["kafka", "mqtt", "nats", "redpanda", "stdout"];
}
