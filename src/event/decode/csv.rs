//! CSV beside JSON lines: a record becomes the JSON object of the header's names and its values, in their order, and is
//! then read like any other line. Which text is which value, docs/decisions.md says.

use csv_core::{ReadFieldResult, Reader};

use super::Aside;
use super::dead::{Reason, write_text};
use super::scan::Scanner;

/// Finds where records end: at a line break that is not within quotes.
#[derive(Debug, Default)]
pub struct RecordEnds {
    at: usize,
    in_quotes: bool,
}

impl RecordEnds {
    /// The end of the next record, if it is there; otherwise it is searched on when there are more bytes. They begin
    /// with a record.
    pub fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let rest = &bytes[self.at..];
            if self.in_quotes {
                let Some(quote) = memchr::memchr(b'"', rest) else {
                    self.at = bytes.len();
                    return None;
                };
                self.at += quote;
                match bytes.get(self.at + 1) {
                    None => return None,
                    Some(b'"') => self.at += 2,
                    Some(_) => {
                        self.at += 1;
                        self.in_quotes = false;
                    }
                }
            } else {
                let Some(found) = memchr::memchr2(b'"', b'\n', rest) else {
                    self.at = bytes.len();
                    return None;
                };
                let found = self.at + found;
                self.at = found + 1;
                if bytes[found] == b'\n' {
                    return Some(self.at);
                }
                // Only where a field begins, a quote begins a quoted one.
                self.in_quotes = found == 0 || matches!(bytes[found - 1], b',' | b'\n' | b'\r');
            }
        }
    }
}

/// The longest name of a column, in bytes: each of its values comes with it.
const NAME_BYTES_MAX: usize = 256;

/// The names of a file's columns.
#[derive(Debug)]
pub struct Header {
    /// Each as JSON, with the brace or comma before it and the colon after it.
    members: Vec<String>,
}

impl Header {
    /// Takes the first record away; none if there is no record. What is wrong with it otherwise.
    pub fn take(records: &mut Vec<u8>) -> Result<Option<Header>, Reason> {
        let mut members: Vec<String> = Vec::new();
        let mut fields = Fields::new(std::mem::take(records));
        if !fields.begin() {
            return Ok(None);
        }
        let mut too_long = false;
        fields.record(|field| {
            too_long |= field.text.len() > NAME_BYTES_MAX;
            let mut member = vec![if members.is_empty() { b'{' } else { b',' }];
            write_text(field.text, &mut member);
            member.push(b':');
            members.push(String::from_utf8(member).unwrap_or_default());
        })?;
        if too_long {
            return Err(Reason::InvalidCsv(format!("a column's name is longer than {NAME_BYTES_MAX} bytes")));
        }
        *records = fields.bytes.split_off(fields.at);
        Ok(Some(Header { members }))
    }
}

/// Records as lines of JSON.
pub(super) struct Converted {
    /// A line for each record, an empty one where it is no event.
    pub(super) text: String,
    pub(super) aside: Vec<Aside>,
    bytes: Vec<u8>,
    /// By record: where it begins.
    begins: Vec<usize>,
}

impl Converted {
    /// Converts whole records.
    pub(super) fn new(header: &Header, records: Vec<u8>) -> Converted {
        let mut text = Vec::with_capacity(records.len() * 2);
        let (mut aside, mut begins) = (Vec::new(), Vec::new());
        let mut fields = Fields::new(records);
        while fields.begin() {
            let begin = text.len();
            let mut columns = 0;
            begins.push(fields.at);
            let read = fields.record(|field| {
                if let Some(member) = header.members.get(columns) {
                    text.extend_from_slice(member.as_bytes());
                    field.write_json(&mut text);
                }
                columns += 1;
            });
            let wanted = header.members.len();
            let read = read.and_then(|()| match columns == wanted {
                true => Ok(()),
                false => Err(Reason::InvalidCsv(format!("{columns} columns, where the header has {wanted}"))),
            });
            match read {
                Ok(()) => text.extend_from_slice(b"}\n"),
                Err(reason) => {
                    text.truncate(begin);
                    text.push(b'\n');
                    aside.push(Aside { number: begins.len() as u64 - 1, reason, raw: Vec::new() });
                }
            }
        }
        let bytes = fields.bytes;
        Converted { text: String::from_utf8(text).unwrap_or_default(), aside, bytes, begins }
    }

    /// The record of a number as it came, without its line break.
    pub(super) fn raw(&self, number: u64) -> &[u8] {
        let number = number as usize;
        let end = self.begins.get(number + 1).copied().unwrap_or(self.bytes.len());
        let record = &self.bytes[self.begins[number]..end];
        let breaks = record.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        &record[..record.len() - breaks]
    }
}

/// A value as it stands in a record.
struct Field<'a> {
    text: &'a str,
    quoted: bool,
}

impl Field<'_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self.text {
            text if self.quoted => write_text(text, out),
            "" => out.extend_from_slice(b"null"),
            "true" | "false" => out.extend_from_slice(self.text.as_bytes()),
            text if is_number(text) => out.extend_from_slice(text.as_bytes()),
            text => write_text(text, out),
        }
    }
}

fn is_number(text: &str) -> bool {
    let scan = Scanner { bytes: text.as_bytes(), at: 0 };
    matches!(text.as_bytes()[0], b'-' | b'0'..=b'9')
        && matches!(scan.past_number(), Ok(end) if end == text.len())
}

/// Goes over the fields of records.
struct Fields {
    bytes: Vec<u8>,
    at: usize,
    reader: Reader,
    /// Room for a field without its quotes.
    field: Vec<u8>,
}

impl Fields {
    fn new(mut bytes: Vec<u8>) -> Fields {
        if bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        // A reader takes a byte order mark away before all else. Only a file's beginning has one, which is gone by now.
        let mut reader = Reader::new();
        reader.read_field(b"\n", &mut []);
        Fields { field: vec![0; bytes.len()], at: 0, bytes, reader }
    }

    /// Goes to the beginning of a record, if there is one: empty lines are none.
    fn begin(&mut self) -> bool {
        self.at += self.bytes[self.at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.at < self.bytes.len()
    }

    /// Goes past a record, field by field. All of it is gone past also where something is wrong with it.
    fn record(&mut self, mut with: impl FnMut(Field<'_>)) -> Result<(), Reason> {
        let mut result = Ok(());
        loop {
            let begin = self.at;
            let (read, taken, written) = self.reader.read_field(&self.bytes[begin..], &mut self.field);
            self.at += taken;
            // What ends a field is its last byte; at the end of all there is none.
            let ends = usize::from(matches!(read, ReadFieldResult::Field { .. }));
            let raw = &self.bytes[begin..self.at - ends];
            match check(raw, &self.field[..written]) {
                Ok(field) => with(field),
                Err(reason) => result = result.and(Err(Reason::InvalidCsv(reason))),
            }
            match read {
                ReadFieldResult::Field { record_end: false } => {}
                ReadFieldResult::Field { record_end: true } => return result,
                // A quote that is not closed is told by now.
                ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull | ReadFieldResult::End => {
                    self.at = self.bytes.len();
                    return result;
                }
            }
        }
    }
}

/// A field as it came and without its quotes: whether it is quoted as it should be.
fn check<'a>(raw: &'a [u8], field: &'a [u8]) -> Result<Field<'a>, String> {
    let quotes = memchr::memchr_iter(b'"', field).count();
    let quoted = raw.first() == Some(&b'"');
    // Its own quotes, and each quote in it once more.
    if quoted && (raw.last() != Some(&b'"') || raw.len() != field.len() + quotes + 2) {
        return Err("a quoted field goes on after its closing quote, or has none".to_owned());
    }
    if !quoted && quotes > 0 {
        return Err("a quote within a field that does not begin with one".to_owned());
    }
    let text = std::str::from_utf8(field).map_err(|error| error.to_string())?;
    Ok(Field { text, quoted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Header {
        Header::take(&mut text.as_bytes().to_vec()).unwrap().unwrap()
    }

    /// The lines of JSON that records become, and what is wrong with those that are none.
    fn convert(names: &str, records: &str) -> (Vec<String>, Vec<(u64, String)>) {
        let converted = Converted::new(&header(names), records.into());
        let aside = converted.aside.iter().map(|aside| (aside.number, aside.reason.to_string())).collect();
        (converted.text.lines().map(str::to_owned).collect(), aside)
    }

    fn only(names: &str, record: &str) -> String {
        let (lines, aside) = convert(names, record);
        assert_eq!((lines.len(), aside), (1, vec![]), "{record}");
        lines[0].clone()
    }

    #[test]
    fn values_are_what_their_text_says() {
        let line = only("a,b,c,d,e,f", "1,-2.50,1e3,true,false,\n");
        assert_eq!(line, r#"{"a":1,"b":-2.50,"c":1e3,"d":true,"e":false,"f":null}"#);
        let line = only("a,b,c,d,e,f,g", "\"1\",\"\",\"true\",007, 8,null,+1");
        assert_eq!(line, r#"{"a":"1","b":"","c":"true","d":"007","e":" 8","f":"null","g":"+1"}"#);
        assert_eq!(only("a", "-\n"), r#"{"a":"-"}"#);
    }

    #[test]
    fn quotes_line_breaks_and_names_of_any_kind() {
        let line = only("\"a \"\"b\"\"\",device.os,é\r\n", "\"one\ntwo, \"\"three\"\"\",a\\b,é\r\n");
        assert_eq!(line, r#"{"a \"b\"":"one\ntwo, \"three\"","device.os":"a\\b","é":"é"}"#);
        let (lines, aside) = convert("a,b", "\r\n1,2\r\n\r\n\n3,4\r5,6");
        assert_eq!(lines, [r#"{"a":1,"b":2}"#, r#"{"a":3,"b":4}"#, r#"{"a":5,"b":6}"#]);
        assert_eq!(aside, []);
    }

    #[test]
    fn bad_records_are_set_aside_and_the_others_go_on() {
        let records = "1,2\n1\n1,2,3\n\"1\"2,3\n1\"2,3\n4,\"5\n6\"\n\"7,8\n";
        let converted = Converted::new(&header("a,b"), records.into());
        let found: Vec<_> = converted
            .aside
            .iter()
            .map(|a| (a.number, a.reason.to_string(), converted.raw(a.number)))
            .collect();
        let after = "invalid CSV: a quoted field goes on after its closing quote, or has none".to_owned();
        assert_eq!(
            found,
            [
                (1, "invalid CSV: 1 columns, where the header has 2".to_owned(), &b"1"[..]),
                (2, "invalid CSV: 3 columns, where the header has 2".to_owned(), b"1,2,3"),
                (3, after.clone(), b"\"1\"2,3"),
                (4, "invalid CSV: a quote within a field that does not begin with one".to_owned(), b"1\"2,3"),
                (6, after, b"\"7,8"),
            ]
        );
        assert_eq!(converted.raw(5), b"4,\"5\n6\"");
        let text = ["{\"a\":1,\"b\":2}", "", "", "", "", "{\"a\":4,\"b\":\"5\\n6\"}", ""].join("\n");
        assert_eq!(converted.text, text + "\n");
    }

    #[test]
    fn text_that_is_no_utf_8_is_set_aside() {
        let converted = Converted::new(&header("a,b"), b"1,\xff\n2,\xef\xbb\xbf\n".to_vec());
        assert_eq!(converted.text, "\n{\"a\":2,\"b\":\"\u{feff}\"}\n");
        assert_eq!(converted.raw(0), b"1,\xff");
    }

    #[test]
    fn a_header_is_the_first_record() {
        let mut records = b"\n\na,\"b\nc\"\r\n1,2\n".to_vec();
        assert_eq!(Header::take(&mut records).unwrap().unwrap().members, ["{\"a\":", ",\"b\\nc\":"]);
        assert_eq!(records, b"\n1,2\n");
        assert!(Header::take(&mut b"\r\n\n".to_vec()).unwrap().is_none());
        assert!(Header::take(&mut b"a,\"b\n1,2\n".to_vec()).is_err());
        assert!(Header::take(&mut vec![b'a'; NAME_BYTES_MAX + 1]).is_err());
    }

    proptest::proptest! {
        /// Records end where the conversion ends them, however few bytes are there at a time.
        #[test]
        fn a_cut_between_records_changes_nothing(text in "([ab1\",\n]|\"\"|\",|,\"|\r\n){0,40}", step in 1..9usize) {
            let text = format!("{text}\n");
            let whole = Converted::new(&header("a,b"), text.clone().into());
            let (mut ends, mut from, mut parts, mut aside) = (RecordEnds::default(), 0, String::new(), Vec::new());
            for there in (0..text.len() + step).step_by(step).map(|there| there.min(text.len())) {
                while let Some(end) = ends.next(&text.as_bytes()[from..there]) {
                    let before = parts.lines().count() as u64;
                    let part = Converted::new(&header("a,b"), text.as_bytes()[from..from + end].to_vec());
                    aside.extend(part.aside.iter().map(|a| (a.number + before, part.raw(a.number).to_vec())));
                    parts += &part.text;
                    (from, ends) = (from + end, RecordEnds::default());
                }
            }
            let part = Converted::new(&header("a,b"), text.as_bytes()[from..].to_vec());
            let before = parts.lines().count() as u64;
            aside.extend(part.aside.iter().map(|a| (a.number + before, part.raw(a.number).to_vec())));
            proptest::prop_assert_eq!(&whole.text, &(parts + &part.text));
            let of_whole: Vec<_> = whole.aside.iter().map(|a| (a.number, whole.raw(a.number).to_vec())).collect();
            proptest::prop_assert_eq!(of_whole, aside);
        }
    }
}
