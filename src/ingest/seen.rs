//! The ids of events that a partition remembers, so that an event which comes again is known. What is remembered at a line
//! follows from the lines and decisions before it alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::event::{EventId, TimeSpan, Timestamp};

/// How long ids are remembered, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remember {
    /// Until the partition's watermark is so far beyond the event.
    pub window: TimeSpan,
    /// Of more, those of the earliest events are forgotten.
    pub max_ids: usize,
}

/// What a partition remembers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    remember: Option<Remember>,
    times: HashMap<EventId, Timestamp, ahash::RandomState>,
    /// The same in the order in which they are forgotten.
    by_time: BTreeSet<(Timestamp, EventId)>,
    /// What has changed at which lines, as far as a start might read them again; none where nobody asks for it.
    changes: Option<VecDeque<Change>>,
}

/// An id that was added or forgotten.
#[derive(Debug, Clone, Copy)]
struct Change {
    offset: u64,
    id: EventId,
    time: Timestamp,
    is_new: bool,
}

impl Seen {
    pub(super) fn new(remember: Option<Remember>) -> Seen {
        Seen { remember, ..Seen::default() }
    }

    /// Whether ids are remembered.
    pub(super) fn is_on(&self) -> bool {
        self.remember.is_some()
    }

    /// Remembers in another way from the line `next` on.
    pub(super) fn set(&mut self, remember: Option<Remember>, next: u64) {
        self.remember = remember;
        if remember.is_none() {
            while let Some(&(time, id)) = self.by_time.first() {
                // Before that line: whoever goes on there knows nothing.
                self.forget(time, id, next.saturating_sub(1));
            }
        }
    }

    /// Whether an id is known at a line, where the watermark is so far.
    pub(super) fn knows(&mut self, id: EventId, watermark: Option<Timestamp>, offset: u64) -> bool {
        let Some(Remember { window, .. }) = self.remember else { return false };
        while let Some(&(time, old)) =
            self.by_time.first().filter(|(time, _)| Some(time.plus(window)) <= watermark)
        {
            self.forget(time, old, offset);
        }
        self.times.contains_key(&id)
    }

    /// Remembers the id of the event at a line, which is not known.
    pub(super) fn add(&mut self, id: EventId, time: Timestamp, offset: u64) {
        let Some(Remember { max_ids, .. }) = self.remember else { return };
        self.put(id, time);
        self.note(Change { offset, id, time, is_new: true });
        while self.times.len() > max_ids
            && let Some(&(time, id)) = self.by_time.first()
        {
            self.forget(time, id, offset);
        }
    }

    /// Remembers an id again after a restart.
    pub(super) fn put(&mut self, id: EventId, time: Timestamp) {
        if self.is_on() {
            self.times.insert(id, time);
            self.by_time.insert((time, id));
        }
    }

    fn forget(&mut self, time: Timestamp, id: EventId, offset: u64) {
        self.by_time.remove(&(time, id));
        self.times.remove(&id);
        self.note(Change { offset, id, time, is_new: false });
    }

    fn note(&mut self, change: Change) {
        if let Some(changes) = &mut self.changes {
            changes.push_back(change);
        }
    }

    /// From now on, somebody asks for what changes.
    pub(super) fn track(&mut self) {
        self.changes = Some(VecDeque::new());
    }

    /// Gives what has changed since the last call, as it was before the line `from`, where a start goes on: ids with their
    /// times, and without where they are forgotten. With `all`, all that were remembered there.
    pub(super) fn give(&mut self, from: u64, all: bool, mut take: impl FnMut(EventId, Option<Timestamp>)) {
        let Some(changes) = &mut self.changes else { return };
        let before = changes.partition_point(|change| change.offset < from);
        let mut given: BTreeMap<EventId, Option<Timestamp>> = BTreeMap::new();
        for Change { id, time, is_new, .. } in changes.drain(..before) {
            given.insert(id, is_new.then_some(time));
        }
        if all {
            given = self.by_time.iter().map(|&(time, id)| (id, Some(time))).collect();
            // What came later is undone, the last first.
            for &Change { id, time, is_new, .. } in changes.iter().rev() {
                if is_new {
                    given.remove(&id);
                } else {
                    given.insert(id, Some(time));
                }
            }
        }
        given.into_iter().for_each(|(id, time)| take(id, time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event: its id, its time, and the watermark before it.
    type Event = (EventId, Timestamp, Option<Timestamp>);

    fn id(number: u64) -> EventId {
        EventId::from_bytes(u128::from(number + 1).to_le_bytes()).unwrap()
    }

    /// Whether each event came before, from one on.
    fn known(seen: &mut Seen, events: &[Event], from: usize) -> Vec<bool> {
        let events = (from as u64..).zip(&events[from..]);
        let one = |(offset, &(id, time, watermark))| {
            let known = seen.knows(id, watermark, offset);
            if !known {
                seen.add(id, time, offset);
            }
            known
        };
        events.map(one).collect()
    }

    #[test]
    fn ids_are_forgotten_by_the_watermark_and_the_earliest_where_there_are_too_many() {
        let at = |time| Some(Timestamp(time));
        let mut seen = Seen::new(Some(Remember { window: TimeSpan(10), max_ids: 2 }));
        let events = [
            (id(1), Timestamp(0), None),
            (id(1), Timestamp(5), at(0)),
            (id(1), Timestamp(9), at(9)),
            (id(1), Timestamp(12), at(10)),
            (id(2), Timestamp(11), at(11)),
            (id(3), Timestamp(13), at(11)),
            (id(2), Timestamp(13), at(11)),
            (id(3), Timestamp(13), at(11)),
        ];
        let expected = [false, true, true, false, false, false, false, true];
        assert_eq!(known(&mut seen, &events, 0), expected);
    }

    #[test]
    fn a_start_from_what_was_given_knows_what_was_known() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..300 {
            let remember =
                Remember { window: TimeSpan(1 + random(40) as i64), max_ids: 1 + random(12) as usize };
            let mut highest = 0;
            let events: Vec<Event> = (0..200)
                .map(|_| {
                    let watermark = Some(Timestamp(highest - 6));
                    let time = highest - 5 + random(9) as i64;
                    highest = highest.max(time);
                    (id(random(20)), Timestamp(time), watermark)
                })
                .collect();
            let mut seen = Seen::new(Some(remember));
            let expected = known(&mut seen, &events, 0);
            let mut seen = Seen::new(Some(remember));
            seen.track();
            let (mut given, mut from, mut next) = (BTreeMap::new(), 0, 0);
            while next < events.len() {
                let end = events.len().min(next + 1 + random(30) as usize);
                assert_eq!(known(&mut seen, &events[..end], next), expected[next..end], "round {round}");
                next = end;
                // What is read again begins somewhere between here and where it began before.
                from = (from + random((end - from) as u64 + 1) as usize).min(end);
                let all = random(3) == 0;
                if all {
                    given.clear();
                }
                seen.give(from as u64, all, |id, time| match time {
                    Some(time) => _ = given.insert(id, time),
                    None => _ = given.remove(&id),
                });
                if random(4) == 0 {
                    seen = Seen::new(Some(remember));
                    given.iter().for_each(|(&id, &time)| seen.put(id, time));
                    seen.track();
                    assert_eq!(known(&mut seen, &events[..end], from), expected[from..end], "round {round}");
                }
            }
        }
    }
}
