//! Files, compressed files and standard input as sources.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Source, Stretch};
use crate::event::decode::{Format, LINE_BYTES_MAX, RecordEnds};

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// How much is kept of a line that is too long, in bytes.
const KEPT_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a reader, or its records.
pub struct Lines {
    reader: Box<dyn Read + Send>,
    /// How much is read at once, in bytes: less than a longest line, so that of the lines in one read only the first can
    /// be longer.
    read_bytes: usize,
    bytes: Arc<AtomicU64>,
    format: Format,
    line_bytes_max: usize,
    /// What was read and not given: the beginning of a line whose end has not been read yet, or what follows a line
    /// that was too long.
    rest: Vec<u8>,
    at_start: bool,
}

/// Opens a file, or standard input for `-`. Files that end in `.gz` or `.zst` are unpacked, all of their members one
/// after the other. What is called `.csv` before that is CSV, all else JSON lines.
pub fn open(path: &str) -> io::Result<Lines> {
    let suffix =
        |path: &Path, wanted| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(wanted));
    let name = Path::new(path);
    let packed = suffix(name, "gz") || suffix(name, "zst");
    let unpacked = name.file_stem().filter(|_| packed).map_or(name, Path::new);
    let is_csv = suffix(unpacked, "csv");
    open_as(path, if is_csv { Format::Csv } else { Format::JsonLines })
}

/// Opens a file, or standard input for `-`, whatever its name says of its format.
pub fn open_as(path: &str, format: Format) -> io::Result<Lines> {
    if path == "-" {
        return Ok(Lines::new(io::stdin(), format, LINE_BYTES_MAX));
    }
    let bytes = Arc::new(AtomicU64::new(0));
    let file = Counted { inner: File::open(path)?, bytes: Arc::clone(&bytes) };
    Ok(Lines::counted(unpacked(path, file)?, bytes, format, LINE_BYTES_MAX))
}

/// What a file holds, or standard input for `-`; unpacked where its name says that it is packed.
pub(super) fn reader(path: &str) -> io::Result<Box<dyn Read + Send>> {
    if path == "-" {
        return Ok(Box::new(io::stdin()));
    }
    unpacked(path, File::open(path)?)
}

fn unpacked(path: &str, file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let suffix = Path::new(path).extension().map(|suffix| suffix.to_ascii_lowercase());
    Ok(match suffix.as_ref().and_then(|suffix| suffix.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, file))),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file)?),
        _ => Box::new(file),
    })
}

impl Lines {
    /// The lines of anything that can be read. Longer ones than the limit are given as too long.
    pub fn new(reader: impl Read + Send + 'static, format: Format, line_bytes_max: usize) -> Lines {
        let bytes = Arc::new(AtomicU64::new(0));
        let reader = Box::new(Counted { inner: reader, bytes: Arc::clone(&bytes) });
        Lines::counted(reader, bytes, format, line_bytes_max)
    }

    fn counted(
        reader: Box<dyn Read + Send>,
        bytes: Arc<AtomicU64>,
        format: Format,
        line_bytes_max: usize,
    ) -> Lines {
        let read_bytes = READ_BYTES.min(line_bytes_max);
        Lines { reader, read_bytes, bytes, format, line_bytes_max, rest: Vec::new(), at_start: true }
    }

    /// Whole lines that were read, of which only the first can be too long: it was put together from several reads.
    fn stretch(&mut self, mut lines: Vec<u8>) -> io::Result<Stretch> {
        let max = self.line_bytes_max;
        let end = match self.format {
            _ if lines.len() <= max => return Ok(Stretch::Lines(lines)),
            Format::JsonLines => memchr::memchr(b'\n', &lines),
            Format::Csv => RecordEnds::default().next(&lines).map(|end| end - 1),
        };
        if end.unwrap_or(lines.len()) <= max {
            return Ok(Stretch::Lines(lines));
        }
        // It goes on after the next line break, of a record also within quotes: one may be missing.
        let rest = std::mem::take(&mut self.rest);
        let after = [&lines[max..], &rest].concat();
        match memchr::memchr(b'\n', &after) {
            Some(end) => self.rest = after[end + 1..].to_vec(),
            None => self.skip_line()?,
        }
        lines.truncate(KEPT_BYTES.min(max));
        Ok(Stretch::TooLong(lines))
    }

    /// Appends what can be read at once; nothing at the end.
    fn read(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let from = to.len();
        to.resize(from + self.read_bytes, 0);
        let read = loop {
            match self.reader.read(&mut to[from..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        to.truncate(from + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Goes past the next line break, or to the end.
    fn skip_line(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        while self.read(&mut bytes)? > 0 {
            if let Some(end) = memchr::memchr(b'\n', &bytes) {
                self.rest = bytes.split_off(end + 1);
                break;
            }
            bytes.clear();
        }
        Ok(())
    }
}

impl Source for Lines {
    /// As many lines as are there; waits only until one is whole.
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        let mut lines = std::mem::take(&mut self.rest);
        while self.at_start && BYTE_ORDER_MARK.starts_with(&lines) && self.read(&mut lines)? > 0 {}
        if std::mem::take(&mut self.at_start) && lines.starts_with(BYTE_ORDER_MARK) {
            lines.drain(..BYTE_ORDER_MARK.len());
        }
        let (mut searched, mut records) = (0, RecordEnds::default());
        loop {
            let end = match self.format {
                Format::JsonLines => memchr::memrchr(b'\n', &lines[searched..]).map(|at| searched + at + 1),
                Format::Csv => std::iter::from_fn(|| records.next(&lines)).last(),
            };
            if let Some(end) = end {
                let rest = &lines[end..];
                self.rest.reserve_exact(rest.len() + self.read_bytes);
                self.rest.extend_from_slice(rest);
                lines.truncate(end);
                break;
            }
            searched = lines.len();
            if searched > self.line_bytes_max || self.read(&mut lines)? == 0 {
                break;
            }
        }
        // What is kept as long as its events should not be larger than they are.
        if lines.len() < lines.capacity() / 2 {
            lines.shrink_to_fit();
        }
        (!lines.is_empty()).then(|| self.stretch(lines)).transpose()
    }

    fn format(&self) -> Format {
        self.format
    }

    fn bytes_read(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// Counts what is read, before it is unpacked.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of one size.
    struct Pieces(Vec<u8>, usize, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.2.min(buffer.len()).min(self.0.len() - self.1);
            buffer[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
            self.1 += count;
            Ok(count)
        }
    }

    /// All lines of a text that is read in pieces, without line breaks; too long ones with a mark.
    fn lines(text: &[u8], piece: usize, max: usize) -> Vec<String> {
        let mut source = Lines::new(Pieces(text.to_vec(), 0, piece), Format::JsonLines, max);
        let mut found = Vec::new();
        while let Some(stretch) = source.next().unwrap() {
            match stretch {
                Stretch::Lines(lines) => {
                    let text = String::from_utf8(lines).unwrap();
                    assert!(!text.is_empty());
                    found.extend(text.lines().map(str::to_owned));
                }
                Stretch::TooLong(line) => {
                    found.push(format!("too long: {}", String::from_utf8(line).unwrap()))
                }
            }
        }
        assert_eq!(source.bytes_read(), text.len() as u64);
        found
    }

    #[test]
    fn lines_are_whole_however_they_are_read() {
        let text = b"\xef\xbb\xbfone\n\ntwo, longer than max\r\nthree is\n12345678\n123456789\nfour\nfive";
        for piece in 1..text.len() + 1 {
            assert_eq!(
                lines(text, piece, 8),
                [
                    "one",
                    "",
                    "too long: two, lon",
                    "three is",
                    "12345678",
                    "too long: 12345678",
                    "four",
                    "five"
                ],
                "read {piece} bytes at a time"
            );
            let all =
                ["one", "", "two, longer than max", "three is", "12345678", "123456789", "four", "five"];
            assert_eq!(lines(text, piece, 100), all);
        }
        assert_eq!(lines(b"", 1, 8), [""; 0]);
        assert_eq!(lines(b"\xef\xbb\xbf", 1, 8), [""; 0]);
        assert_eq!(lines(b"123456789", 4, 8), ["too long: 12345678"]);
        assert_eq!(lines(b"\xef\xbb\xbf12345678", 4, 8), ["12345678"]);
    }

    #[test]
    fn records_are_whole_however_they_are_read() {
        let text = b"\xef\xbb\xbf\"a\nb\",c\n1,\"\"\"\n\"\"\"\n\n2,\"never closed\n3,4\n5,\"6\n7\"";
        let records = |piece, max| {
            let mut source = Lines::new(Pieces(text.to_vec(), 0, piece), Format::Csv, max);
            std::iter::from_fn(|| source.next().unwrap()).fold(Vec::new(), |mut all, stretch| {
                match stretch {
                    Stretch::Lines(lines) => {
                        let mut at = 0;
                        while let Some(end) = RecordEnds::default().next(&lines[at..]) {
                            all.push(String::from_utf8_lossy(&lines[at..at + end]).into_owned());
                            at += end;
                        }
                        all.extend(
                            (at < lines.len()).then(|| String::from_utf8_lossy(&lines[at..]).into_owned()),
                        );
                    }
                    Stretch::TooLong(line) => {
                        all.push(format!("too long: {}", String::from_utf8_lossy(&line)))
                    }
                }
                all
            })
        };
        for piece in 1..text.len() + 1 {
            let begin = ["\"a\nb\",c\n", "1,\"\"\"\n\"\"\"\n", "\n"];
            let all = records(piece, 100);
            assert_eq!(all[..3], begin);
            assert_eq!(
                all[3..],
                ["2,\"never closed\n3,4\n5,\"6\n", "7\""],
                "the quote before the 6 closes it"
            );
            let all = records(piece, 12);
            assert_eq!(all[..3], begin);
            assert_eq!(
                all[3..],
                ["too long: 2,\"never clo", "3,4\n", "5,\"6\n7\""],
                "read {piece} bytes at a time"
            );
        }
    }

    #[test]
    fn a_line_without_end_takes_little_memory() {
        let text = [vec![b'x'; 40 << 20], b"\n{}\n".to_vec()].concat();
        let mut source = Lines::new(io::Cursor::new(text), Format::JsonLines, 1 << 20);
        assert_eq!(source.next().unwrap(), Some(Stretch::TooLong(vec![b'x'; KEPT_BYTES])));
        assert_eq!(source.next().unwrap(), Some(Stretch::Lines(b"{}\n".to_vec())));
        assert_eq!(source.next().unwrap(), None);
    }
}
