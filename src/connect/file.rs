//! Files and standard input as sources.

use std::fs::File;
use std::io::{self, Read};

use super::{Source, Stretch};

/// Lines of a reader.
pub struct Lines {
    reader: Box<dyn Read + Send>,
    rest: Vec<u8>,
    bytes: u64,
    ended: bool,
}

/// Opens a file, or standard input for `-`.
pub fn open(path: &str) -> io::Result<Lines> {
    let reader: Box<dyn Read + Send> = match path {
        "-" => Box::new(io::stdin()),
        path if path.ends_with(".gz") => Box::new(flate2::read::MultiGzDecoder::new(File::open(path)?)),
        path if path.ends_with(".zst") => Box::new(zstd::stream::read::Decoder::new(File::open(path)?)?),
        path => Box::new(File::open(path)?),
    };
    Ok(Lines { reader, rest: Vec::new(), bytes: 0, ended: false })
}

impl Source for Lines {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        while !self.ended {
            let from = self.rest.len();
            self.rest.resize(from + (256 << 10), 0);
            let read = self.reader.read(&mut self.rest[from..])?;
            self.rest.truncate(from + read);
            self.bytes += read as u64;
            if read == 0 {
                self.ended = true;
                break;
            }
            if let Some(end) = memchr::memrchr(b'\n', &self.rest[from..]) {
                let tail = self.rest.split_off(from + end + 1);
                return Ok(Some(Stretch::Lines(std::mem::replace(&mut self.rest, tail))));
            }
        }
        let rest = std::mem::take(&mut self.rest);
        Ok((!rest.is_empty()).then_some(Stretch::Lines(rest)))
    }
    fn bytes_read(&self) -> u64 {
        self.bytes
    }
}
