//! A chunk: what sled stores under one key. A header that says which chunk of which checkpoint it is, a checksum over all
//! of it, and up to 32 KB of entries, compressed where that makes them smaller.
//!
//! `version (1) | kind (1) | compressed (1) | 0 | checkpoint (8) | chunk (4) | count (4) | part (4) | parts (4) |
//! length before compression (4) | crc32 of all else (4) | payload`, numbers little-endian. An entry that is longer than a
//! chunk has several to itself: they say which of its parts they are.

use super::error::Error;
use super::record::mix;
use std::path::Path;

/// The version of the format of chunks.
const VERSION: u8 = 1;
/// Bytes before compression that a chunk holds at most. sled rewrites a leaf of up to 16 values as one message of its log,
/// and puts what is larger than a segment (512 KB) into files of their own, which is slow.
pub(super) const RAW_MAX: usize = 30 << 10;
const HEADER_LEN: usize = 36;
const COMPRESSION_LEVEL: i32 = 1;

/// What a chunk is part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Entries.
    Data,
    /// Where entries are.
    Index,
}

/// What the header of a chunk says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub kind: Kind,
    pub checkpoint: u64,
    pub chunk: u32,
    /// Entries in the payload; in the last part of one that has several chunks 1, in the others 0.
    pub count: u32,
    pub part: u32,
    pub parts: u32,
}

/// Makes and reads chunks; keeps what compressing needs.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(COMPRESSION_LEVEL)? })
    }

    /// The bytes of a chunk, and its part of the checkpoint's checksum.
    pub(super) fn pack(&mut self, header: Header, raw: &[u8]) -> std::io::Result<(Vec<u8>, u64)> {
        let mut bytes = vec![0; HEADER_LEN + zstd::zstd_safe::compress_bound(raw.len())];
        let packed = match header.kind {
            Kind::Data => self.compressor.compress_to_buffer(raw, &mut bytes[HEADER_LEN..])?,
            Kind::Index => raw.len(),
        };
        let compressed = packed < raw.len();
        if compressed {
            bytes.truncate(HEADER_LEN + packed);
        } else {
            bytes.truncate(HEADER_LEN);
            bytes.extend_from_slice(raw);
        }
        bytes[0] = VERSION;
        bytes[1] = u8::from(header.kind == Kind::Index);
        bytes[2] = u8::from(compressed);
        bytes[4..12].copy_from_slice(&header.checkpoint.to_le_bytes());
        let numbers = [header.chunk, header.count, header.part, header.parts, raw.len() as u32];
        for (place, number) in bytes[12..32].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let crc = checksum(&bytes);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        Ok((bytes, share(header.chunk, crc)))
    }
}

/// A chunk that was read, and is what was written.
pub(super) struct Unpacked {
    pub header: Header,
    pub raw: Vec<u8>,
    /// Its part of the checkpoint's checksum.
    pub share: u64,
}

/// Reads a chunk that should be `chunk` of `checkpoint`.
pub(super) fn unpack(bytes: &[u8], checkpoint: u64, chunk: u32, path: &Path) -> Result<Unpacked, Error> {
    let damaged =
        |why: &str| Error::damaged(path, format!("chunk {chunk} of checkpoint {checkpoint}: {why}"));
    let Some((head, payload)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(damaged("too short"));
    };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let crc = number(32);
    if checksum(bytes) != crc {
        return Err(damaged("its checksum is another one"));
    }
    if head[0] != VERSION {
        return Err(Error::Newer { path: path.to_owned(), found: head[0].into(), known: VERSION.into() });
    }
    let header = Header {
        kind: if head[1] == 0 { Kind::Data } else { Kind::Index },
        checkpoint: u64::from(number(4)) | u64::from(number(8)) << 32,
        chunk: number(12),
        count: number(16),
        part: number(20),
        parts: number(24),
    };
    if (header.checkpoint, header.chunk) != (checkpoint, chunk) {
        return Err(damaged("another chunk lies in its place"));
    }
    let raw_len = number(28) as usize;
    let raw = if head[2] == 0 {
        payload.to_vec()
    } else {
        zstd::bulk::decompress(payload, raw_len).map_err(|error| damaged(&error.to_string()))?
    };
    if raw.len() != raw_len {
        return Err(damaged("its length is another one"));
    }
    Ok(Unpacked { header, raw, share: share(chunk, crc) })
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..32]);
    hasher.update(&bytes[HEADER_LEN..]);
    hasher.finalize()
}

/// What a chunk adds to the checkpoint's checksum. The sum is the same in whatever order chunks are read.
fn share(chunk: u32, crc: u32) -> u64 {
    mix(u64::from(chunk) << 32 | u64::from(crc))
}
