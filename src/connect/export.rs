//! Exports of events: a JSON line a record, with its place in its stream and the line as it came.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Source, Stretch};

/// Lines are passed on together up to this size, in bytes.
const STRETCH_BYTES: usize = 256 << 10;

/// How much of a file is looked at to see whether it is an export, in bytes.
const FIRST_BYTES: u64 = 64 << 20;

/// A record of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Its stream.
    #[serde(borrow)]
    pub stream: Cow<'a, str>,
    /// The topic, where the stream is one of several.
    #[serde(default)]
    pub topic: Option<Cow<'a, str>>,
    /// Its partition.
    pub partition: u32,
    /// Its number in the partition.
    pub offset: u64,
    /// When it was written, where its source says so.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// Its key, where its source has any.
    #[serde(default)]
    pub key: Option<Cow<'a, str>>,
    /// What its source says besides.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The line, where it is text.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Cow<'a, str>>,
    /// The line in base64, where it is not.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// A line of a stream that is one partition.
    pub fn new(stream: &'a str, offset: u64, line: &'a [u8]) -> Record<'a> {
        let text = std::str::from_utf8(line).ok().map(Cow::Borrowed);
        Record {
            stream: Cow::Borrowed(stream),
            topic: None,
            partition: 0,
            offset,
            timestamp: None,
            key: None,
            headers: BTreeMap::new(),
            raw_base64: text.is_none().then(|| Cow::Owned(STANDARD.encode(line))),
            raw: text,
        }
    }

    /// The record of a line; why it is none.
    pub fn read(line: &'a [u8]) -> Result<Record<'a>, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// Writes it with a line break.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        to.write_all(b"\n")
    }

    /// The line as it came.
    pub fn line(&self) -> Result<Cow<'_, [u8]>, String> {
        let line = match (&self.raw, &self.raw_base64) {
            (Some(text), None) => Cow::Borrowed(text.as_bytes()),
            (None, Some(coded)) => Cow::Owned(STANDARD.decode(&**coded).map_err(|error| error.to_string())?),
            _ => return Err("one of `raw` and `raw_base64` is expected".to_owned()),
        };
        match memchr::memchr(b'\n', &line) {
            None => Ok(line),
            Some(_) => Err("its line holds a line break".to_owned()),
        }
    }
}

/// The lines of a file, or of standard input for `-`; unpacked where its name says that it is packed.
pub fn open(path: &str) -> io::Result<Box<dyn BufRead + Send>> {
    Ok(Box::new(io::BufReader::with_capacity(256 << 10, super::file::reader(path)?)))
}

/// The lines of one stream of an export, as a source.
pub struct Exported {
    reader: Box<dyn BufRead + Send>,
    stream: String,
    bytes: u64,
}

impl Exported {
    /// The lines of a stream; none where the file is no export, by its first line.
    pub fn open(path: &str, stream: &str) -> io::Result<Option<Exported>> {
        let mut first = Vec::new();
        open(path)?.take(FIRST_BYTES).read_until(b'\n', &mut first)?;
        let stream = stream.to_owned();
        Record::read(first.trim_ascii())
            .is_ok()
            .then(|| Ok(Exported { reader: open(path)?, stream, bytes: 0 }))
            .transpose()
    }
}

impl Source for Exported {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        let bad = |why: String| io::Error::other(format!("a line is no record of an export: {why}"));
        while lines.len() < STRETCH_BYTES {
            line.clear();
            let read = self.reader.read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.bytes += read as u64;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let record = Record::read(text).map_err(bad)?;
            if record.stream == self.stream {
                lines.extend_from_slice(&record.line().map_err(bad)?);
                lines.push(b'\n');
            }
        }
        Ok((!lines.is_empty()).then_some(Stretch::Lines(lines)))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes
    }
}
