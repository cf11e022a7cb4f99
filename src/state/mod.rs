//! Checkpoints: what is kept on disk so that work goes on after a stop where it was. Knows bytes only.
//!
//! A checkpoint is a set of [entries](Entry) and a [manifest](Manifest). A full one stands for itself; another holds what
//! changed since its parent. [`StateStore`] is what others see, [`SledStore`] the one that there is.
//!
//! On disk there are two sled directories that take turns, `a/` and `b/`. Changes go to the current one. A full checkpoint
//! is written into the other, emptied one, and from its commit on that is the current one, while the former stays as a
//! fallback that shares no file with it: so disk space is bounded, and what is damaged in one is whole in the other.
//!
//! In a directory, entries are packed into [chunks](chunk) of up to 32 KB, sorted by a hash of their names in
//! [runs](writer) of some megabytes. So a chain of checkpoints is read by a [merge](merge) that needs a chunk of memory for
//! each run, and a single entry is found by an [index](index) of about 2 bytes an entry.
//!
//! What need not outlive the process is kept apart: a [`Spill`] holds records that have no room in memory.
//!
//! Not here: what the bytes mean, when a checkpoint is due, and any clock.

mod cache;
mod checkpoint;
mod chunk;
mod disk;
mod error;
mod generation;
mod index;
mod manifest;
mod merge;
mod open;
mod record;
mod spill;
mod store;
mod writer;

pub use error::Error;
pub use manifest::Manifest;
pub use merge::Loaded;
pub use open::Opened;
pub use spill::Spill;
pub use store::{Options, SledStore};

/// A part of the state: what one key of one pattern is as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry<'a> {
    /// The pattern.
    pub pattern: u64,
    /// The canonical bytes of the key.
    pub key: &'a [u8],
    /// The value; none says that there is no entry of this name any more (a tombstone).
    pub value: Option<&'a [u8]>,
}

/// Where checkpoints are kept. All methods may be called from any thread; one checkpoint is written at a time.
pub trait StateStore: Send + Sync {
    /// The manifests of the checkpoints that may be loaded, newest first.
    fn candidates(&self) -> Vec<Manifest>;

    /// The newest checkpoint.
    fn latest(&self) -> Option<Manifest> {
        self.candidates().into_iter().next()
    }

    /// Gives the newest version of each entry that a checkpoint and those it builds on have, without tombstones; in no
    /// order that means anything. Counts and checksums are compared with the manifests as all is read: on an error, what
    /// has been given is worth nothing, and the next candidate is to be tried.
    fn load(&self, number: u64, take: &mut dyn FnMut(Entry<'_>)) -> Result<Loaded, Error>;

    /// Goes on from this checkpoint, or from nothing: newer ones do not exist any more. Needed before the next
    /// checkpoint where another than the latest one was loaded.
    fn resume(&self, number: Option<u64>) -> Result<(), Error>;

    /// The manifests that the newest checkpoint is made of, the full one first.
    fn chain(&self) -> Vec<Manifest>;

    /// The value of one entry in the newest checkpoint.
    fn get(&self, pattern: u64, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Whether the next checkpoint should be full, or [`StateStore::compact`] be called after it.
    fn wants_full(&self) -> bool;

    /// Begins a checkpoint: a full one, or one of changes since the newest.
    fn begin(&self, full: bool) -> Result<Box<dyn Writer + '_>, Error>;

    /// Makes a full checkpoint of the newest one, with the same meta. Nobody need give it an entry again.
    fn compact(&self) -> Result<Manifest, Error>;

    /// Checkpoints below this number need not be candidates any more.
    fn prune(&self, below: u64) -> Result<(), Error>;
}

/// Takes the entries of one checkpoint. Dropped without a commit, it is as if it had never begun, but for its number.
pub trait Writer {
    /// The number of the checkpoint.
    fn number(&self) -> u64;

    /// Adds an entry. Of several with one name the last one holds.
    fn put(&mut self, entry: Entry<'_>) -> Result<(), Error>;

    /// Makes the checkpoint exist. When this returns it outlives a power cut. After an error it does not exist, and what
    /// it was to hold belongs into the next one.
    fn commit(self: Box<Self>, meta: serde_json::Value) -> Result<Manifest, Error>;

    /// Leaves the checkpoint.
    fn abort(self: Box<Self>);
}
