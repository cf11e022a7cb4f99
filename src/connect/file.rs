//! Files, compressed files and standard input as sources.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Source, Stretch};
use crate::event::decode::LINE_BYTES_MAX;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// How much is kept of a line that is too long, in bytes.
const KEPT_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a reader.
pub struct Lines {
    reader: Box<dyn Read + Send>,
    /// How much is read at once, in bytes: less than a longest line, so that of the lines in one read only the first can
    /// be longer.
    read_bytes: usize,
    bytes: Arc<AtomicU64>,
    line_bytes_max: usize,
    /// The beginning of a line whose end has not been read yet.
    rest: Vec<u8>,
    /// What follows a line that was too long.
    next: Option<Vec<u8>>,
    at_start: bool,
}

/// Opens a file, or standard input for `-`. Files that end in `.gz` or `.zst` are unpacked, all of their members one
/// after the other.
pub fn open(path: &str) -> io::Result<Lines> {
    if path == "-" {
        return Ok(Lines::new(io::stdin(), LINE_BYTES_MAX));
    }
    let bytes = Arc::new(AtomicU64::new(0));
    let file = Counted { inner: File::open(path)?, bytes: Arc::clone(&bytes) };
    let suffix = Path::new(path).extension().map(|suffix| suffix.to_ascii_lowercase());
    let reader: Box<dyn Read + Send> = match suffix.as_ref().and_then(|suffix| suffix.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, file))),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file)?),
        _ => Box::new(file),
    };
    Ok(Lines::counted(reader, bytes, LINE_BYTES_MAX))
}

impl Lines {
    /// The lines of anything that can be read. Longer ones than the limit are given as too long.
    pub fn new(reader: impl Read + Send + 'static, line_bytes_max: usize) -> Lines {
        let bytes = Arc::new(AtomicU64::new(0));
        let reader = Box::new(Counted { inner: reader, bytes: Arc::clone(&bytes) });
        Lines::counted(reader, bytes, line_bytes_max)
    }

    fn counted(reader: Box<dyn Read + Send>, bytes: Arc<AtomicU64>, line_bytes_max: usize) -> Lines {
        let read_bytes = READ_BYTES.min(line_bytes_max);
        Lines { reader, read_bytes, bytes, line_bytes_max, rest: Vec::new(), next: None, at_start: true }
    }

    /// Whole lines that were read, of which only the first can be too long: it was put together from several reads.
    fn stretch(&mut self, mut lines: Vec<u8>) -> Stretch {
        if lines.len() <= self.line_bytes_max {
            return Stretch::Lines(lines);
        }
        let end = memchr::memchr(b'\n', &lines).unwrap_or(lines.len());
        if end <= self.line_bytes_max {
            return Stretch::Lines(lines);
        }
        let after = lines.split_off((end + 1).min(lines.len()));
        self.next = Some(after).filter(|after| !after.is_empty());
        lines.truncate(KEPT_BYTES.min(self.line_bytes_max));
        Stretch::TooLong(lines)
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
        if let Some(lines) = self.next.take() {
            return Ok(Some(Stretch::Lines(lines)));
        }
        let mut lines = std::mem::take(&mut self.rest);
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memrchr(b'\n', &lines[searched..]) {
                let rest = &lines[searched + end + 1..];
                self.rest.reserve_exact(rest.len() + self.read_bytes);
                self.rest.extend_from_slice(rest);
                lines.truncate(searched + end + 1);
                break;
            }
            searched = lines.len();
            if searched > self.line_bytes_max + BYTE_ORDER_MARK.len() {
                self.skip_line()?;
                break;
            }
            if self.read(&mut lines)? == 0 {
                break;
            }
        }
        if std::mem::take(&mut self.at_start) && lines.starts_with(BYTE_ORDER_MARK) {
            lines.drain(..BYTE_ORDER_MARK.len());
        }
        // What is kept as long as its events should not be larger than they are.
        if lines.len() < lines.capacity() / 2 {
            lines.shrink_to_fit();
        }
        Ok((!lines.is_empty()).then(|| self.stretch(lines)))
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
        let mut source = Lines::new(Pieces(text.to_vec(), 0, piece), max);
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
    fn a_line_without_end_takes_little_memory() {
        let text = [vec![b'x'; 40 << 20], b"\n{}\n".to_vec()].concat();
        let mut source = Lines::new(io::Cursor::new(text), 1 << 20);
        assert_eq!(source.next().unwrap(), Some(Stretch::TooLong(vec![b'x'; KEPT_BYTES])));
        assert_eq!(source.next().unwrap(), Some(Stretch::Lines(b"{}\n".to_vec())));
        assert_eq!(source.next().unwrap(), None);
    }
}
