//! The shared view of a journal: what is durable of it, for readers on other threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::scan::{self, SegmentInfo};
use super::segment::{Frames, Index};
use super::{Backward, JournalError, Reader};

/// How many indexes of sealed segments are kept in memory.
const INDEXES_MAX: usize = 32;

/// The durable part of a journal. Cheap to clone, and to be used from any thread while the journal is written.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    state: Mutex<State>,
    moved: Condvar,
    /// Indexes of sealed segments by first number, the one used last at the end.
    indexes: Mutex<Vec<(u64, Arc<Index>)>>,
}

/// What the writer tells: the segments as far as they are durable, and the index of the last one.
#[derive(Debug)]
pub(super) struct State {
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) index: Index,
    pub(super) is_closed: bool,
}

impl State {
    pub(super) fn first(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.first)
    }

    pub(super) fn next(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.next)
    }

    /// The segment that has a number, or that it will be written to.
    pub(super) fn segment_of(&self, number: u64) -> Option<&SegmentInfo> {
        let after = self.segments.partition_point(|segment| segment.first <= number);
        self.segments.get(after.checked_sub(1)?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    pub(super) fn new(dir: &Path, segments: Vec<SegmentInfo>, index: Index) -> Tail {
        let state = Mutex::new(State { segments, index, is_closed: false });
        let (moved, indexes) = (Condvar::new(), Mutex::default());
        Tail(Arc::new(Shared { dir: dir.to_owned(), state, moved, indexes }))
    }

    /// What is in the folder of a journal that nobody writes: without its torn end, if it has one. Changes nothing. A
    /// folder without a journal has no records.
    pub fn open(dir: &Path) -> Result<Tail, JournalError> {
        let layout = scan::scan(dir, false)?;
        let (segments, index) = layout.map(|layout| (layout.segments, layout.index)).unwrap_or_default();
        let tail = Tail::new(dir, segments, index);
        tail.update(|state| state.is_closed = true);
        Ok(tail)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Changes the state and wakes who waits.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.0.moved.notify_all();
        result
    }

    /// The folder of the journal.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The number of the first record that is there; [`Tail::next`] where there is none.
    pub fn first(&self) -> u64 {
        self.state().first()
    }

    /// The number after the last durable record.
    pub fn next(&self) -> u64 {
        self.state().next()
    }

    /// The size of all segments in bytes.
    pub fn bytes(&self) -> u64 {
        self.state().segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The segments, oldest first. The last one is being written.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.state().segments.clone()
    }

    /// Waits until number `number` is durable, the journal has been closed, or the time is over; says whether it is durable.
    pub fn wait_for(&self, number: u64, timeout: Duration) -> bool {
        let waiting = self
            .0
            .moved
            .wait_timeout_while(self.state(), timeout, |state| state.next() <= number && !state.is_closed);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        state.next() > number
    }

    /// Records from the one that has number `from`, in ascending order. It gives none at the end of what is durable, and
    /// more when asked again after more has become durable.
    pub fn reader(&self, from: u64) -> Result<Reader, JournalError> {
        Reader::new(self.clone(), from)
    }

    /// The records whose first number is below `before`, newest first.
    pub fn backward(&self, before: u64) -> Backward {
        Backward::new(self.clone(), before)
    }

    /// The index of a segment.
    pub(super) fn index_of(&self, first: u64) -> Result<Arc<Index>, JournalError> {
        let state = self.state();
        if state.segments.last().is_some_and(|last| last.first == first) {
            return Ok(Arc::new(state.index.clone()));
        }
        drop(state);
        let mut indexes = lock(&self.0.indexes);
        if let Some(at) = indexes.iter().position(|(held, _)| *held == first) {
            let found = indexes.remove(at);
            let index = Arc::clone(&found.1);
            indexes.push(found);
            return Ok(index);
        }
        drop(indexes);
        let mut frames = Frames::open(self.dir(), first).map_err(|error| self.pruned_or(first, error))?;
        let Some(seal) = frames.seal()? else {
            let end = frames.len()?;
            return Err(JournalError::damaged(frames.path(), end, "a seal", "the end of the file"));
        };
        let index = Arc::new(seal.index);
        let mut indexes = lock(&self.0.indexes);
        if indexes.len() >= INDEXES_MAX {
            indexes.remove(0);
        }
        indexes.push((first, Arc::clone(&index)));
        Ok(index)
    }

    /// The error, or that the number has been deleted, if it has.
    pub(super) fn pruned_or(&self, number: u64, error: JournalError) -> JournalError {
        let first = self.first();
        if number < first { JournalError::Pruned { from: number, first } } else { error }
    }

    /// Forgets the indexes of sealed segments: the journal is being cut back.
    pub(super) fn forget_indexes(&self) {
        lock(&self.0.indexes).clear();
    }
}
