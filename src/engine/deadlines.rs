//! The deadlines of one pattern in one shard: the ends of windows, in the order of time, since a window is counted from
//! an event and events come in order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::store::Store;
use crate::event::{TimeSpan, Timestamp};

/// Deadlines that may be due one day: some events are gone by then, and with them what there was to close.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// The kept events that windows are counted from, and the lowest bits of their sequence numbers: a kept event's
    /// number may have become another's.
    queue: VecDeque<(u32, u32)>,
    /// The same for keys that were loaded, with their times: they come in any order.
    loaded: BinaryHeap<Reverse<(Timestamp, u32, u32)>>,
    /// The first one's time, or an earlier one.
    next: Timestamp,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines { queue: VecDeque::new(), loaded: BinaryHeap::new(), next: Timestamp::MAX }
    }
}

impl Deadlines {
    /// When the next deadline may be due.
    #[inline]
    pub(crate) fn next(&self) -> Option<Timestamp> {
        (!self.queue.is_empty() || !self.loaded.is_empty()).then_some(self.next)
    }

    /// Adds the end of a window that is counted from a kept event, which is the last event taken.
    #[inline]
    pub(crate) fn push(&mut self, at: Timestamp, event: u32, sequence: u64) {
        if self.queue.is_empty() && self.loaded.is_empty() {
            self.next = at;
        }
        self.queue.push_back((event, sequence as u32));
    }

    /// Adds the end of a window that is counted from any kept event.
    pub(crate) fn load(&mut self, at: Timestamp, event: u32, sequence: u64) {
        self.next = self.next().map_or(at, |next| next.min(at));
        self.loaded.push(Reverse((at, event, sequence as u32)));
    }

    /// Takes out the next deadline up to a time: the event that its window is counted from.
    pub(crate) fn pop(&mut self, up_to: Timestamp, span: TimeSpan, store: &Store) -> Option<u32> {
        // An event that nobody holds any more has nothing to close.
        let mut first = None;
        while let Some(&(event, sequence)) = self.queue.front() {
            first = store.time_if_kept(event, sequence).map(|time| (time.plus(span), event));
            if first.is_some() {
                break;
            }
            self.queue.pop_front();
        }
        let mut loaded = None;
        while let Some(&Reverse((at, event, sequence))) = self.loaded.peek() {
            loaded = store.time_if_kept(event, sequence).map(|_| (at, event));
            if loaded.is_some() {
                break;
            }
            self.loaded.pop();
        }
        let is_loaded = loaded.is_some_and(|(at, _)| first.is_none_or(|(other, _)| at < other));
        let Some((at, event)) = (if is_loaded { loaded } else { first }) else {
            if self.queue.capacity() > 1024 {
                self.queue = VecDeque::new();
            }
            return None;
        };
        self.next = at;
        if at > up_to {
            return None;
        }
        if is_loaded {
            self.loaded.pop();
        } else {
            self.queue.pop_front();
        }
        Some(event)
    }
}
