//! Segment files: their names, their headers, the seal at their end, and reading their frames in large blocks.
//!
//! A segment is named after its first number. Its header (32 bytes): magic, format version u32, salt of its checksums
//! u32, first number u64, four zeros, checksum of all that u32. Frames follow, and at last, once the next segment has been
//! made durable, a frame of kind seal. So a segment with a seal has a segment after it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::JournalError;
use super::frame::{self, HEADER_BYTES, Header, Kind, VERSION, u32_at, u64_at};

/// The size of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 32;

/// How far the places that the index names lie apart at least, in bytes.
const INDEX_STEP_BYTES: u64 = 64 << 10;

/// How much is read at once, in bytes.
const BLOCK_BYTES: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"sequorJ\n";

/// The path of the segment that begins with a number.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// The first number of the segment of this file name, if it is one.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

pub(super) fn encode_header(first: u64, salt: u32) -> [u8; SEGMENT_HEADER_BYTES as usize] {
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&u32::from(VERSION).to_le_bytes());
    header[12..16].copy_from_slice(&salt.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads the header of the segment that begins with `first`, and gives the salt.
pub(super) fn read_header(file: &mut File, path: &Path, first: u64) -> Result<u32, JournalError> {
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    match file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut header)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(JournalError::damaged(path, 0, "the header of a segment", "a file that is shorter"));
        }
        read => read.map_err(|error| JournalError::io("read", path, error))?,
    }
    let (version, salt, number, crc) =
        match (u32_at(&header, 8), u32_at(&header, 12), u64_at(&header, 16), u32_at(&header, 28)) {
            (Some(version), Some(salt), Some(number), Some(crc)) => (version, salt, number, crc),
            _ => (0, 0, 0, 0),
        };
    if !header.starts_with(MAGIC) || crc != crc32fast::hash(&header[..28]) {
        return Err(JournalError::damaged(path, 0, "the header of a segment", "other bytes"));
    }
    if version != u32::from(VERSION) {
        return Err(JournalError::Newer { path: path.to_owned(), found: version, known: VERSION.into() });
    }
    if number != first {
        let (expected, found) = (format!("first number {first}"), format!("first number {number}"));
        return Err(JournalError::damaged(path, 16, expected, found));
    }
    Ok(salt)
}

/// Where frames of a segment stand: pairs of a frame's first number and its offset, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index(Vec<(u64, u64)>);

impl Index {
    /// Takes up a frame, unless it is close to one that is there.
    pub(super) fn add(&mut self, first: u64, offset: u64) {
        if self.0.last().is_none_or(|last| last.1 + INDEX_STEP_BYTES <= offset) {
            self.0.push((first, offset));
        }
    }

    /// Forgets the frames from an offset on.
    pub(super) fn truncate(&mut self, offset: u64) {
        self.0.truncate(self.0.partition_point(|entry| entry.1 < offset));
    }

    /// The place from which to read on to find a number: a frame's first number and offset.
    pub(super) fn place_of(&self, number: u64) -> Option<(u64, u64)> {
        self.0.get(self.0.partition_point(|entry| entry.0 <= number).checked_sub(1)?).copied()
    }

    /// The seal of a segment with this index, as bytes; `end` is the number after its last, `offset` where the seal goes.
    pub(super) fn seal(&self, end: u64, offset: u64, salt: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        for (first, offset) in &self.0 {
            bytes.extend(first.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.extend((self.0.len() as u32).to_le_bytes());
        frame::finish(&mut bytes, Kind::Seal, 0, offset, end..end, salt);
        bytes
    }
}

/// The seal of a segment: where it stands, the number after the segment's last, and the index.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) offset: u64,
    pub(super) next: u64,
    pub(super) index: Index,
}

/// Reads the seal at the end of a segment of `len` bytes; none where no whole one is there.
pub(super) fn read_seal(file: &mut File, len: u64, salt: u32) -> io::Result<Option<Seal>> {
    let Some(end) = len.checked_sub(4).filter(|end| *end >= SEGMENT_HEADER_BYTES + HEADER_BYTES as u64)
    else {
        return Ok(None);
    };
    let mut count = [0; 4];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut count)?;
    let seal_bytes = HEADER_BYTES as u64 + 16 * u64::from(u32::from_le_bytes(count)) + 4;
    let Some(offset) = len.checked_sub(seal_bytes).filter(|offset| *offset >= SEGMENT_HEADER_BYTES) else {
        return Ok(None);
    };
    let mut bytes = vec![0; seal_bytes as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    let Some(header) = Header::decode(&bytes, salt) else { return Ok(None) };
    let payload = &bytes[HEADER_BYTES..];
    let whole = header.frame_bytes() == seal_bytes && header.payload_crc == frame::crc(salt, payload);
    if header.kind != Some(Kind::Seal) || !whole {
        return Ok(None);
    }
    let entries = payload[..payload.len() - 4].chunks_exact(16);
    let index = entries.filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?))).collect();
    Ok(Some(Seal { offset, next: header.next, index: Index(index) }))
}

/// Reads the frames of a segment one after the other and checks them.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    path: PathBuf,
    first: u64,
    salt: u32,
    /// Where the next frame begins.
    pub(super) offset: u64,
    /// The first number of the next frame.
    pub(super) expected: u64,
    /// What was read of the file, and where in the file it begins.
    block: Vec<u8>,
    block_offset: u64,
}

/// A frame that was read: its header, where it begins, and its payload as a range of [`Frames::block`].
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) offset: u64,
    pub(super) payload: Range<usize>,
}

/// Why there is no frame where one should be.
#[derive(Debug)]
pub(super) enum BadFrame {
    /// The bytes there are no whole frame: a torn tail, or damage.
    Broken(JournalError),
    /// Anything else.
    Error(JournalError),
}

impl From<BadFrame> for JournalError {
    fn from(bad: BadFrame) -> JournalError {
        match bad {
            BadFrame::Broken(error) | BadFrame::Error(error) => error,
        }
    }
}

impl Frames {
    /// Opens the segment that begins with `first`, at its first frame.
    pub(super) fn open(dir: &Path, first: u64) -> Result<Frames, JournalError> {
        let path = path(dir, first);
        let mut file = File::open(&path).map_err(|error| JournalError::io("open", &path, error))?;
        let salt = read_header(&mut file, &path, first)?;
        let offset = SEGMENT_HEADER_BYTES;
        Ok(Frames {
            file,
            path,
            first,
            salt,
            offset,
            expected: first,
            block: Vec::new(),
            block_offset: offset,
        })
    }

    /// Goes to a place that the index names.
    pub(super) fn seek(&mut self, (first, offset): (u64, u64)) {
        (self.expected, self.offset) = (first, offset);
    }

    pub(super) fn salt(&self) -> u32 {
        self.salt
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number that the segment begins with.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// When the file was last written to.
    pub(super) fn modified(&self) -> Result<SystemTime, JournalError> {
        let modified = self.file.metadata().and_then(|metadata| metadata.modified());
        modified.map_err(|error| JournalError::io("read", &self.path, error))
    }

    pub(super) fn len(&self) -> Result<u64, JournalError> {
        let metadata = self.file.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| JournalError::io("read", &self.path, error))
    }

    /// The seal, if the segment has one.
    pub(super) fn seal(&mut self) -> Result<Option<Seal>, JournalError> {
        let len = self.len()?;
        read_seal(&mut self.file, len, self.salt).map_err(|error| JournalError::io("read", &self.path, error))
    }

    /// The bytes of the payload of a frame, until the next one is read.
    pub(super) fn payload(&self, range: &Range<usize>) -> &[u8] {
        self.block.get(range.clone()).unwrap_or_default()
    }

    /// The next frame of those that lie below `limit`; none at the limit.
    pub(super) fn next(&mut self, limit: u64) -> Result<Option<Frame>, BadFrame> {
        if self.offset >= limit {
            return Ok(None);
        }
        let offset = self.offset;
        let broken = |expected: String, found: &str| {
            BadFrame::Broken(JournalError::damaged(&self.path, offset, expected, found))
        };
        let ends = |what: &str| broken(what.to_owned(), &format!("the end of the file at byte {limit}"));
        if limit - offset < HEADER_BYTES as u64 {
            return Err(ends("the header of a frame"));
        }
        let salt = self.salt;
        let header = Header::decode(self.fill(HEADER_BYTES, limit)?, salt);
        let broken = |expected: String, found: &str| {
            BadFrame::Broken(JournalError::damaged(&self.path, offset, expected, found))
        };
        let Some(header) = header else {
            return Err(broken("the header of a frame".to_owned(), "bytes that are none"));
        };
        let (first, expected) = (header.first, self.expected);
        if header.version != VERSION || header.kind.is_none() {
            let (path, found) = (self.path.clone(), u32::from(header.version).max(u32::from(VERSION) + 1));
            return Err(BadFrame::Error(JournalError::Newer { path, found, known: VERSION.into() }));
        }
        if first != expected || header.next < first {
            let found = format!("a frame with numbers {first} to {}", header.next);
            let error = JournalError::damaged(&self.path, offset, format!("number {expected}"), found);
            return Err(BadFrame::Error(error));
        }
        if limit - offset < header.frame_bytes() {
            let expected = format!("a frame of {} bytes", header.frame_bytes());
            return Err(broken(expected, &format!("the end of the file at byte {limit}")));
        }
        self.fill(header.frame_bytes() as usize, limit)?;
        let begin = (offset - self.block_offset) as usize;
        let payload = begin + HEADER_BYTES..begin + header.frame_bytes() as usize;
        if frame::crc(salt, self.payload(&payload)) != header.payload_crc {
            let error = JournalError::damaged(
                &self.path,
                offset,
                "a frame with the checksum that its header names",
                "another checksum",
            );
            return Err(BadFrame::Broken(error));
        }
        self.offset += header.frame_bytes();
        self.expected = header.next;
        Ok(Some(Frame { header, offset, payload }))
    }

    /// The `len` bytes from the offset on, read if they have not been; as many more as fit a block, up to `limit`, are read
    /// with them.
    fn fill(&mut self, len: usize, limit: u64) -> Result<&[u8], BadFrame> {
        let held = self.block_offset..self.block_offset + self.block.len() as u64;
        if !held.contains(&self.offset) || self.offset + len as u64 > held.end {
            let keep =
                if held.contains(&self.offset) { self.offset - held.start } else { held.end - held.start };
            self.block.drain(..keep as usize);
            self.block_offset = self.offset;
            let have = self.block.len();
            let want = (len.max(BLOCK_BYTES) as u64).min(limit - self.offset) as usize;
            self.block.resize(want.max(have), 0);
            let mut from = &self.file;
            let read = from
                .seek(SeekFrom::Start(self.offset + have as u64))
                .and_then(|_| from.read_exact(&mut self.block[have..]));
            if let Err(error) = read {
                self.block.truncate(have);
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    return Err(BadFrame::Error(JournalError::io("read", &self.path, error)));
                }
                let error = JournalError::damaged(
                    &self.path,
                    self.offset,
                    format!("{limit} bytes in the file"),
                    "a shorter file",
                );
                return Err(BadFrame::Error(error));
            }
        }
        let begin = (self.offset - self.block_offset) as usize;
        Ok(&self.block[begin..begin + len])
    }

    /// Whether a frame further on says that what stands at `bad` was durable: then it is not the torn end.
    pub(super) fn was_durable(&mut self, bad: u64, limit: u64) -> Result<bool, JournalError> {
        let mut rest = Vec::new();
        let mut from = &self.file;
        from.seek(SeekFrom::Start(bad))
            .and_then(|_| from.take(limit.saturating_sub(bad)).read_to_end(&mut rest))
            .map_err(|error| JournalError::io("read", &self.path, error))?;
        let mut at = 1;
        while let Some((found, header)) = rest.get(at..).and_then(|rest| frame::find_header(rest, self.salt))
        {
            if header.synced > bad {
                return Ok(true);
            }
            at += found + 1;
        }
        Ok(false)
    }
}
