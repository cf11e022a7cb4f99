//! Reading records newest first: stretch by stretch as the index names them, each read forwards and given backwards.

use super::frame::{self, Kind};
use super::segment::Frames;
use super::{JournalError, Record, Tail};

/// Reads records newest first; see [`Tail::backward`]. After an error it gives nothing more.
#[derive(Debug)]
pub struct Backward {
    tail: Tail,
    /// What comes next begins below this number.
    before: u64,
    /// The records of the stretch that was read last, oldest first.
    stretch: Vec<Record>,
    is_done: bool,
    with_bodies: bool,
}

impl Backward {
    pub(super) fn new(tail: Tail, before: u64) -> Backward {
        let before = before.min(tail.next());
        Backward { tail, before, stretch: Vec::new(), is_done: false, with_bodies: true }
    }

    /// The same with empty bodies, which are not unpacked then: for whoever wants only what stands in `meta`.
    pub fn without_bodies(self) -> Backward {
        Backward { with_bodies: false, ..self }
    }

    /// Reads the stretch that ends at `before`.
    fn read_stretch(&mut self) -> Result<(), JournalError> {
        let Some(last) = self.before.checked_sub(1) else { return Ok(()) };
        let state = self.tail.state();
        if self.before <= state.first() {
            return Ok(());
        }
        let Some((first, bytes)) = state.segment_of(last).map(|segment| (segment.first, segment.bytes))
        else {
            return Ok(());
        };
        drop(state);
        let index = self.tail.index_of(first)?;
        let open = Frames::open(self.tail.dir(), first);
        let mut frames = open.map_err(|error| self.tail.pruned_or(last, error))?;
        if let Some(place) = index.place_of(last) {
            frames.seek(place);
        }
        while frames.expected < self.before {
            let Some(frame) = frames.next(bytes)? else { break };
            if frame.header.kind == Some(Kind::Seal) {
                break;
            }
            let (payload, mut at, mut number) = (frames.payload(&frame.payload), 0, frame.header.first);
            for _ in 0..frame.header.records {
                let read = if self.with_bodies { frame::record } else { frame::record_without_body };
                let (record, end) = read(payload, at, number).map_err(|error| {
                    JournalError::damaged(frames.path(), frame.offset, "records", error.to_string())
                })?;
                (at, number) = (end, record.next());
                if record.first < self.before {
                    self.stretch.push(record);
                }
            }
        }
        Ok(())
    }
}

impl Iterator for Backward {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        if self.stretch.is_empty() {
            match self.read_stretch() {
                // What retention deletes meanwhile is the end, as if it had been deleted before.
                Ok(()) | Err(JournalError::Pruned { .. }) => {}
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            }
        }
        let record = self.stretch.pop();
        match &record {
            Some(record) => self.before = record.first,
            None => self.is_done = true,
        }
        record.map(Ok)
    }
}
