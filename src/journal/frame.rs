//! Frames: what one append writes, as bytes. A header with a checksum of its own, and records behind it.
//!
//! All numbers are little-endian. A header (48 bytes): magic u32, checksum of the rest of the header u32, checksum of the
//! payload u32, length of the payload u32, format version u8, kind u8, two zeros, number of records u32, *synced* u64,
//! first number u64, number after the last u64. Checksums are CRC-32 that begin with the salt of the segment, so that bytes
//! which a user sends cannot be taken for a frame.
//!
//! `synced` is how much of the segment was durable when the frame was written. It tells a torn tail from damage: bytes
//! that are bad, and that no later frame says were durable, are what a power cut left of writes that nobody was told of.

use std::io;

use super::{JournalError, Record};

/// The newest format version that is read, and the one that is written.
pub(super) const VERSION: u8 = 1;

/// The size of a frame's header, in bytes.
pub(super) const HEADER_BYTES: usize = 48;

/// The largest payload, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

const MAGIC: [u8; 4] = [0xf5, b'S', b'q', 0xfa];

/// The size of what stands before each record's bytes: count u32, length of the meta u32, length of the body as stored
/// u32, length of the body u32. The body is compressed where the last two differ.
const RECORD_BYTES: usize = 16;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has records.
    Records = 0,
    /// It is the end of a segment after which the next one was begun; its payload is the segment's index.
    Seal = 1,
}

/// The header of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u8,
    /// What it is; none where a newer version has more kinds.
    pub(super) kind: Option<Kind>,
    pub(super) payload_crc: u32,
    pub(super) payload_bytes: u32,
    pub(super) records: u32,
    pub(super) synced: u64,
    pub(super) first: u64,
    pub(super) next: u64,
}

pub(super) fn crc(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Header {
    /// The header at the beginning of some bytes, if a whole one is there.
    pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if !bytes.starts_with(&MAGIC) || u32_at(bytes, 4)? != crc(salt, &bytes[8..]) {
            return None;
        }
        Some(Header {
            payload_crc: u32_at(bytes, 8)?,
            payload_bytes: u32_at(bytes, 12)?,
            version: bytes[16],
            kind: [Kind::Records, Kind::Seal].into_iter().find(|kind| *kind as u8 == bytes[17]),
            records: u32_at(bytes, 20)?,
            synced: u64_at(bytes, 24)?,
            first: u64_at(bytes, 32)?,
            next: u64_at(bytes, 40)?,
        })
    }

    /// The size of the frame, in bytes.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

/// A frame of these parts, as bytes: `frame` has room for the header in front, and the payload.
pub(super) fn finish(
    frame: &mut [u8],
    kind: Kind,
    records: u32,
    synced: u64,
    numbers: std::ops::Range<u64>,
    salt: u32,
) {
    let (header, payload) = frame.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&crc(salt, payload).to_le_bytes());
    header[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[16..20].copy_from_slice(&[VERSION, kind as u8, 0, 0]);
    header[20..24].copy_from_slice(&records.to_le_bytes());
    header[24..32].copy_from_slice(&synced.to_le_bytes());
    header[32..40].copy_from_slice(&numbers.start.to_le_bytes());
    header[40..48].copy_from_slice(&numbers.end.to_le_bytes());
    let header_crc = crc(salt, &header[8..]);
    header[4..8].copy_from_slice(&header_crc.to_le_bytes());
}

/// Where in some bytes the next whole header stands, and the header.
pub(super) fn find_header(bytes: &[u8], salt: u32) -> Option<(usize, Header)> {
    memchr::memmem::find_iter(bytes, &MAGIC).find_map(|at| Some((at, Header::decode(&bytes[at..], salt)?)))
}

/// A record as it will stand in a frame. Making one is where compression takes its time; it needs no journal, so it can be
/// done on any thread.
#[derive(Debug, Clone)]
pub struct EncodedRecord {
    pub(super) count: u32,
    pub(super) bytes: Vec<u8>,
}

impl EncodedRecord {
    /// Encodes a record of `count` numbers. A body of `compress_from` bytes or more is compressed if that makes it smaller.
    pub fn new(
        count: u32,
        meta: &[u8],
        body: &[u8],
        compress_from: usize,
    ) -> Result<EncodedRecord, JournalError> {
        if count == 0 {
            return Err(JournalError::NoNumbers);
        }
        let size = (RECORD_BYTES + meta.len() + body.len()) as u64;
        if size > PAYLOAD_BYTES_MAX {
            return Err(JournalError::TooLarge { bytes: size, bytes_max: PAYLOAD_BYTES_MAX });
        }
        let compressed = if body.len() >= compress_from { zstd::bulk::compress(body, 1).ok() } else { None };
        let stored = compressed.as_deref().filter(|bytes| bytes.len() < body.len()).unwrap_or(body);
        let mut bytes = Vec::with_capacity(RECORD_BYTES + meta.len() + stored.len());
        for number in [count, meta.len() as u32, stored.len() as u32, body.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(meta);
        bytes.extend(stored);
        Ok(EncodedRecord { count, bytes })
    }

    /// Its size in a segment, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a record has a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A record in a payload: its parts, and where the next one begins.
struct Parts<'a> {
    count: u32,
    meta: &'a [u8],
    stored: &'a [u8],
    body_bytes: usize,
    end: usize,
}

fn parts(payload: &[u8], at: usize) -> Option<Parts<'_>> {
    let count = u32_at(payload, at)?;
    let meta_at = at + RECORD_BYTES;
    let body_at = meta_at + u32_at(payload, at + 4)? as usize;
    let end = body_at + u32_at(payload, at + 8)? as usize;
    let body_bytes = u32_at(payload, at + 12)? as usize;
    let (meta, stored) = (payload.get(meta_at..body_at)?, payload.get(body_at..end)?);
    Some(Parts { count, meta, stored, body_bytes, end })
}

/// What a payload that ends too early is.
fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a record that ends beyond its frame")
}

/// The same as [`record`] with an empty body, which is not unpacked.
pub(super) fn record_without_body(payload: &[u8], at: usize, first: u64) -> io::Result<(Record, usize)> {
    let parts = parts(payload, at).ok_or_else(cut_short)?;
    Ok((Record { first, count: parts.count, meta: parts.meta.to_vec(), body: Vec::new() }, parts.end))
}

/// The record at `at` in a payload, whose first number is `first`, and where the next one begins.
pub(super) fn record(payload: &[u8], at: usize, first: u64) -> io::Result<(Record, usize)> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let parts = parts(payload, at).ok_or_else(cut_short)?;
    let body = if parts.stored.len() == parts.body_bytes {
        parts.stored.to_vec()
    } else {
        zstd::bulk::decompress(parts.stored, parts.body_bytes)?
    };
    if body.len() != parts.body_bytes {
        return Err(invalid("a compressed record of another length than it says"));
    }
    Ok((Record { first, count: parts.count, meta: parts.meta.to_vec(), body }, parts.end))
}

/// How many numbers the record at `at` in a payload has, and where the next one begins: without unpacking it.
pub(super) fn skip(payload: &[u8], at: usize) -> Option<(u32, usize)> {
    parts(payload, at).map(|parts| (parts.count, parts.end))
}
