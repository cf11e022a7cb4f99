//! Making a journal smaller: at its beginning, where retention deletes segments, and at its end, where recovery cuts.

use std::sync::Arc;
use std::time::SystemTime;

use super::scan::{self, SegmentInfo};
use super::segment::{self, Frames};
use super::{Journal, JournalError};

/// What retention keeps. Without a limit it keeps everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The largest size of all segments together, in bytes.
    pub bytes_max: Option<u64>,
    /// Segments that were last written to before this time are deleted.
    pub keep_since: Option<SystemTime>,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many segments.
    pub segments: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Journal {
    /// Deletes the segments all of whose numbers are below `below`; never the one that is being written.
    pub fn prune(&mut self, below: u64) -> Result<Pruned, JournalError> {
        let segments = self.tail.segments();
        let sealed = segments.len().saturating_sub(1);
        self.delete(&segments, segments[..sealed].iter().take_while(|segment| segment.next <= below).count())
    }

    /// Deletes the oldest segments that a policy does not keep, as far as all of their numbers are below
    /// `never_at_or_above`.
    pub fn retain(&mut self, policy: &Retention, never_at_or_above: u64) -> Result<Pruned, JournalError> {
        let segments = self.tail.segments();
        let sealed = segments.len().saturating_sub(1);
        let mut bytes = segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let count = segments[..sealed].iter().take_while(|segment| {
            let is_too_much = policy.bytes_max.is_some_and(|max| bytes > max);
            let is_too_old = policy.keep_since.is_some_and(|since| segment.modified < since);
            bytes -= segment.bytes;
            (is_too_much || is_too_old) && segment.next <= never_at_or_above
        });
        let count = count.count();
        self.delete(&segments, count)
    }

    /// Deletes the first `count` segments. The marker comes first, durably: from then on they are no part of the journal.
    fn delete(&mut self, segments: &[SegmentInfo], count: usize) -> Result<Pruned, JournalError> {
        let Some(new) = segments.get(count).filter(|_| count > 0) else { return Ok(Pruned::default()) };
        let disk = Arc::clone(&self.options.disk);
        let marker = scan::begin_marker(&self.dir, new.first);
        if self.begin != new.first {
            disk.rename(&scan::begin_marker(&self.dir, self.begin), &marker)
                .map_err(|error| JournalError::io("rename", &marker, error))?;
            self.begin = new.first;
        }
        disk.sync_dir(&self.dir).map_err(|error| JournalError::io("sync", &self.dir, error))?;
        self.tail.update(|state| drop(state.segments.drain(..count.min(state.segments.len()))));
        for segment in &segments[..count] {
            let path = segment::path(&self.dir, segment.first);
            disk.remove(&path).map_err(|error| JournalError::io("delete", &path, error))?;
        }
        disk.sync_dir(&self.dir).map_err(|error| JournalError::io("sync", &self.dir, error))?;
        let bytes = segments[..count].iter().map(|segment| segment.bytes).sum();
        Ok(Pruned { segments: count, bytes })
    }

    /// Cuts the journal back so that it ends at or before number `at`, at the end of a frame, and gives the number after its
    /// last record then. For what can be computed again; what lies between that and `at` is to be appended again.
    ///
    /// A power cut leaves the journal as it was, or cut. Readers that have gone beyond are not told.
    pub fn cut(&mut self, at: u64) -> Result<u64, JournalError> {
        self.sync()?;
        let (dir, tail, first) = (self.dir.clone(), self.tail.clone(), self.first());
        if at < first {
            return Err(JournalError::Pruned { from: at, first });
        }
        let target = tail.state().segment_of(at).cloned();
        let Some(target) = target.filter(|_| at < self.next()) else { return Ok(self.next()) };
        let mut frames = Frames::open(&dir, target.first)?;
        let mut end = frames.offset;
        while frames.next(target.bytes)?.is_some_and(|frame| frame.header.next <= at) {
            end = frames.offset;
        }
        let marker = scan::cut_marker(&dir, target.first, end);
        let disk = Arc::clone(&self.options.disk);
        // From here on the journal may be cut when it is opened next: nothing may be appended if this fails.
        self.unfinished = Some(marker.clone());
        disk.create(&marker)
            .and_then(|_| disk.sync_dir(&dir))
            .map_err(|error| JournalError::io("create", &marker, error))?;
        let Some(layout) = scan::scan(&dir, false)? else {
            return Err(JournalError::damaged(&dir, 0, "a journal", "none"));
        };
        *self = Journal::of(&dir, self.options.clone(), layout, Some(tail))?;
        self.tail.update(|state| state.is_closed = false);
        Ok(self.next())
    }
}
