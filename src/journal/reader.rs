//! Reading records in ascending order, up to what is durable.

use std::ops::Range;

use super::frame::{self, Kind};
use super::segment::Frames;
use super::{JournalError, Record, Tail};

/// Reads records one after the other; see [`Tail::reader`].
///
/// As an iterator it gives none where the durable part ends, and goes on after that once more is durable. After an error it
/// gives nothing more.
#[derive(Debug)]
pub struct Reader {
    tail: Tail,
    /// Records whose numbers all lie below are skipped.
    from: u64,
    /// The segment that is being read, and how far it is durable.
    segment: Option<(Frames, u64)>,
    /// What has not been given yet of the frame that was read last.
    rest: Option<Rest>,
    has_failed: bool,
}

#[derive(Debug)]
struct Rest {
    payload: Range<usize>,
    at: usize,
    records: u32,
    number: u64,
    /// Where the frame begins in its file.
    offset: u64,
}

impl Reader {
    pub(super) fn new(tail: Tail, from: u64) -> Result<Reader, JournalError> {
        let first = tail.first();
        if from < first {
            return Err(JournalError::Pruned { from, first });
        }
        Ok(Reader { tail, from, segment: None, rest: None, has_failed: false })
    }

    /// The number up to which records have been given: the next one begins with it.
    pub fn number(&self) -> u64 {
        self.from
    }

    fn try_next(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            if let Some(record) = self.of_frame()? {
                self.from = record.next();
                return Ok(Some(record));
            }
            let Some((frames, limit)) = &mut self.segment else {
                if !self.enter()? {
                    return Ok(None);
                }
                continue;
            };
            match frames.next(*limit)? {
                Some(frame) if frame.header.kind == Some(Kind::Seal) => self.segment = None,
                Some(frame) if frame.header.next <= self.from => {}
                Some(frame) => {
                    let (number, records) = (frame.header.first, frame.header.records);
                    let offset = frame.offset;
                    self.rest = Some(Rest { at: 0, payload: frame.payload, records, number, offset });
                }
                None => {
                    let state = self.tail.state();
                    let first = frames.first();
                    let durable = state.segments.iter().rev().find(|s| s.first == first).map(|s| s.bytes);
                    match durable {
                        Some(durable) if durable > *limit => *limit = durable,
                        Some(_) => return Ok(None),
                        // It was deleted while it was read: what it had up to its end has been given.
                        None => {
                            drop(state);
                            self.segment = None;
                        }
                    }
                }
            }
        }
    }

    /// Opens the segment that has the number from which to go on; false where there is none yet.
    fn enter(&mut self) -> Result<bool, JournalError> {
        let state = self.tail.state();
        let first = state.first();
        if self.from < first {
            return Err(JournalError::Pruned { from: self.from, first });
        }
        let Some((first, bytes)) = state.segment_of(self.from).map(|s| (s.first, s.bytes)) else {
            return Ok(false);
        };
        drop(state);
        let index = self.tail.index_of(first)?;
        let open = Frames::open(self.tail.dir(), first);
        let mut frames = open.map_err(|error| self.tail.pruned_or(self.from, error))?;
        if let Some(place) = index.place_of(self.from) {
            frames.seek(place);
        }
        self.segment = Some((frames, bytes));
        Ok(true)
    }

    /// The next record of the frame that was read last.
    fn of_frame(&mut self) -> Result<Option<Record>, JournalError> {
        let (Some(rest), Some((frames, _))) = (&mut self.rest, &self.segment) else { return Ok(None) };
        let payload = frames.payload(&rest.payload);
        while rest.records > 0 {
            let damaged = |found: String| {
                JournalError::damaged(frames.path(), rest.offset, "records as its header tells", found)
            };
            rest.records -= 1;
            let Some((count, end)) = frame::skip(payload, rest.at) else {
                return Err(damaged("fewer bytes than they need".to_owned()));
            };
            let (at, number) = (rest.at, rest.number);
            rest.at = end;
            rest.number = number.saturating_add(count.into());
            if rest.number <= self.from {
                continue;
            }
            let (record, _) =
                frame::record(payload, at, number).map_err(|error| damaged(error.to_string()))?;
            return Ok(Some(record));
        }
        self.rest = None;
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.try_next().transpose();
        self.has_failed = matches!(next, Some(Err(_)));
        next
    }
}
