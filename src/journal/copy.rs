//! A consistent copy of a journal that may be written meanwhile, and the check of a whole journal.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::disk::Disk;
use super::frame::Kind;
use super::scan::{self, SegmentInfo};
use super::segment::{self, Frames};
use super::{JournalError, RealDisk, Tail};

/// How much is copied at once, in bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// What a check of a whole journal has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of the first record.
    pub first: u64,
    /// The number after the last record.
    pub next: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Their size in bytes, the torn end included.
    pub bytes: u64,
    /// How much at the end is left of a write that was never confirmed; opening the journal would cut it.
    pub torn_bytes: u64,
}

/// Reads all frames of all segments of a journal that nobody writes, and checks them. Changes nothing. A folder without a
/// journal is fine.
pub fn verify(dir: &Path) -> Result<Verified, JournalError> {
    let Some(layout) = scan::scan(dir, true)? else { return Ok(Verified::default()) };
    let (segments, torn_bytes) = (&layout.segments, layout.torn_bytes);
    Ok(Verified {
        first: segments.first().map_or(0, |segment| segment.first),
        next: segments.last().map_or(0, |segment| segment.next),
        segments: segments.len(),
        bytes: segments.iter().map(|segment| segment.bytes).sum::<u64>() + torn_bytes,
        torn_bytes,
    })
}

impl Tail {
    /// Copies the journal, so that the copy has all numbers below `below` (as far as they are durable) and ends at the end of
    /// a frame; gives the number after its last record. The folder must not exist, or be empty. Whole segments are linked
    /// where the file system can; the copy is durable. The journal may be written meanwhile, but must not be cut. Where retention
    /// deletes meanwhile what is to be copied, the copy fails, and what has been copied is of no use.
    pub fn copy(&self, to: &Path, below: u64) -> Result<u64, JournalError> {
        self.copy_with(&RealDisk, to, below)
    }

    /// The same, on a disk.
    pub fn copy_with(&self, disk: &dyn Disk, to: &Path, below: u64) -> Result<u64, JournalError> {
        disk.create_dir(to).map_err(|error| JournalError::io("create", to, error))?;
        let mut entries = fs::read_dir(to).map_err(|error| JournalError::io("read", to, error))?;
        if entries.next().is_some() {
            return Err(JournalError::NotEmpty { dir: to.to_owned() });
        }
        let mut segments = self.segments();
        let last = segments.iter().position(|segment| segment.next >= below);
        segments.truncate(last.map_or(segments.len(), |last| last + 1));
        let Some((last, whole)) = segments.split_last() else { return Ok(0) };
        for segment in whole {
            let name = segment::path(to, segment.first);
            let from = segment::path(self.dir(), segment.first);
            if disk.hard_link(&from, &name).is_err() {
                self.copy_bytes(disk, to, segment, segment.bytes)?;
            }
        }
        let (end, next) = self.end_of_copy(last, below)?;
        self.copy_bytes(disk, to, last, end)?;
        let marker = scan::begin_marker(to, segments[0].first);
        disk.create(&marker).map_err(|error| JournalError::io("create", &marker, error))?;
        disk.sync_dir(to).map_err(|error| JournalError::io("sync", to, error))?;
        Ok(next)
    }

    /// Where in a segment the first frame ends that reaches `below`, or else the last one; and the number after it.
    fn end_of_copy(&self, segment: &SegmentInfo, below: u64) -> Result<(u64, u64), JournalError> {
        let open = Frames::open(self.dir(), segment.first);
        let mut frames = open.map_err(|error| self.pruned_or(segment.first, error))?;
        let mut end = (frames.offset, frames.expected);
        while end.1 < below {
            match frames.next(segment.bytes)? {
                Some(frame) if frame.header.kind != Some(Kind::Seal) => {
                    end = (frames.offset, frames.expected)
                }
                _ => break,
            }
        }
        Ok(end)
    }

    /// Copies the first `bytes` bytes of a segment.
    fn copy_bytes(
        &self,
        disk: &dyn Disk,
        to: &Path,
        segment: &SegmentInfo,
        bytes: u64,
    ) -> Result<(), JournalError> {
        let from = segment::path(self.dir(), segment.first);
        copy_file(disk, &from, &segment::path(to, segment.first), bytes)
            .map_err(|error| self.pruned_or(segment.first, error))
    }
}

/// Copies the first `bytes` bytes of a file to a new one, and syncs that.
pub(super) fn copy_file(disk: &dyn Disk, from: &Path, to: &Path, bytes: u64) -> Result<(), JournalError> {
    let file = File::open(from).map_err(|error| JournalError::io("open", from, error))?;
    let copy = || -> io::Result<()> {
        let (mut file, copy) = (file.take(bytes), disk.create(to)?);
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let read = file.read(&mut block)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            disk.write(&copy, offset, &block[..read])?;
            offset += read as u64;
        }
        disk.sync(&copy)
    };
    copy().map_err(|error| JournalError::io("copy to", to, error))
}
