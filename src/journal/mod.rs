//! Append-only logs of checksummed segment files: what the event logs, the control log and the log of matches stand on.
//!
//! A journal knows bytes only. A *record* has a range of sequence numbers, a few bytes of `meta` and a `body`; records that
//! are appended together form a *frame*, which is written at once and is there as a whole or not at all. Numbers have no
//! gaps. What [`Journal::sync`] has confirmed survives a power cut; what it has not may be lost, all or a part of it, and
//! never comes back as something else. Damage to what was durable is refused with its place.
//!
//! - [`Journal`] writes; there is one per folder, and it has no lock of its own.
//! - [`Tail`] is the view of what is durable, from any thread: [`Reader`] reads on from a number and follows,
//!   [`Backward`] reads newest first, [`Tail::copy`] makes a backup.
//! - [`commit`] is a thread that appends what many others hand it, with one sync for all that waits.
//! - [`verify`] reads everything and checks it.
//!
//! What is not here: the meaning of any byte, a clock, and a retry of anything.

mod backward;
pub mod commit;
mod copy;
mod disk;
mod error;
mod frame;
mod prune;
mod reader;
mod scan;
mod segment;
mod tail;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub use backward::Backward;
pub use copy::{Verified, verify};
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::JournalError;
pub use frame::EncodedRecord;
pub use prune::{Pruned, Retention};
pub use reader::Reader;
pub use scan::SegmentInfo;
pub use tail::Tail;
pub use writer::Journal;

/// How a journal is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The number of the first record of a journal that does not exist yet.
    pub start: u64,
    /// A number that the journal is known to have reached, as the next one: an error if it ends before. This is what notices
    /// that whole frames at the end are gone, which nothing in the files can tell.
    pub known_next: Option<u64>,
    /// The size from which on the next segment is begun, in bytes.
    pub segment_bytes: u64,
    /// The size from which on a body is compressed, in bytes.
    pub compress_from: usize,
    /// What files are changed by.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            start: 0,
            known_next: None,
            segment_bytes: 64 << 20,
            compress_from: 4 << 10,
            disk: Arc::new(RealDisk),
        }
    }
}

/// What was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Whether it was begun.
    pub is_new: bool,
    /// The number of the first record, or `next` where there is none.
    pub first: u64,
    /// The number that the next record gets.
    pub next: u64,
    /// The size of the torn end that was cut, in bytes: of a write that was never confirmed.
    pub cut_bytes: u64,
    /// Where it was cut, in bytes from the beginning of the file.
    pub cut_at: u64,
    /// The last segment.
    pub path: PathBuf,
}

/// A record to append. It gets the next `count` numbers.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// How many numbers it has, at least 1.
    pub count: u32,
    /// A few bytes about it; they are not compressed.
    pub meta: &'a [u8],
    /// What it holds.
    pub body: &'a [u8],
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its first number.
    pub first: u64,
    /// How many numbers it has.
    pub count: u32,
    /// What was appended as `meta`.
    pub meta: Vec<u8>,
    /// What was appended as `body`.
    pub body: Vec<u8>,
}

impl Record {
    /// The number after its last.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.count.into())
    }
}
