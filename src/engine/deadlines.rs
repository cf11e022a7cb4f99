//! When windows close: a queue for each length of a window, of all patterns together. A window is counted from an event
//! and events come in order, so what comes last into a queue leaves it last.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::store::Store;
use crate::event::{TimeSpan, Timestamp};

/// The end of a window: the kept event that it is counted from, the lowest bits of that one's sequence number (a kept
/// event's number may become another's), and the pattern. Some events are gone by then, and with them what there was to
/// close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    event: u32,
    sequence: u32,
    pattern: u32,
}

/// The deadlines of a shard.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// By the number of a length.
    queues: Vec<Queue>,
    /// For each queue that is not empty, its first time, or an earlier one.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// Those of keys that were loaded: they come in any order.
    loaded: BinaryHeap<Reverse<(Timestamp, Deadline)>>,
}

#[derive(Debug)]
struct Queue {
    span: TimeSpan,
    deadlines: VecDeque<Deadline>,
}

impl Deadline {
    /// The time of its event, as long as anybody holds that.
    #[inline]
    fn begins(&self, store: &Store) -> Option<Timestamp> {
        store.time_if_kept(self.event, self.sequence)
    }
}

impl Deadlines {
    /// Makes room for the windows of these lengths.
    pub(crate) fn grow(&mut self, lengths: &[TimeSpan]) {
        let new = lengths.iter().skip(self.queues.len());
        self.queues.extend(new.map(|&span| Queue { span, deadlines: VecDeque::new() }));
    }

    /// Adds the end of a window of some length that is counted from the event taken last.
    #[inline]
    pub(crate) fn push(&mut self, length: u32, pattern: u32, event: u32, time: Timestamp, sequence: u64) {
        let queue = &mut self.queues[length as usize];
        if queue.deadlines.is_empty() {
            self.due.push(Reverse((time.plus(queue.span), length)));
        }
        queue.deadlines.push_back(Deadline { event, sequence: sequence as u32, pattern });
    }

    /// Adds the end of a window that is counted from any kept event.
    pub(crate) fn load(&mut self, at: Timestamp, pattern: u32, event: u32, sequence: u64) {
        self.loaded.push(Reverse((at, Deadline { event, sequence: sequence as u32, pattern })));
    }

    /// Whether something may be due up to a time.
    #[inline]
    pub(crate) fn may_be_due(&self, to: Timestamp) -> bool {
        self.due.peek().is_some_and(|due| due.0.0 <= to)
            || self.loaded.peek().is_some_and(|due| due.0.0 <= to)
    }

    /// The next time up to `to` at which there is something to close.
    pub(crate) fn next(&mut self, to: Timestamp, store: &Store) -> Option<Timestamp> {
        let queued = self.first_queued(to, store).map(|(at, _)| at);
        let loaded = self.first_loaded(to, store);
        queued.into_iter().chain(loaded).min()
    }

    /// Takes out a deadline that is due up to a time: the pattern, and the event that its window is counted from.
    pub(crate) fn pop(&mut self, to: Timestamp, store: &Store) -> Option<(u32, u32)> {
        if self.first_loaded(to, store).is_some() {
            return self.loaded.pop().map(|Reverse((_, deadline))| (deadline.pattern, deadline.event));
        }
        let (_, length) = self.first_queued(to, store)?;
        let deadline = self.queues[length as usize].deadlines.pop_front()?;
        Some((deadline.pattern, deadline.event))
    }

    fn first_loaded(&mut self, to: Timestamp, store: &Store) -> Option<Timestamp> {
        while let Some(&Reverse((at, deadline))) = self.loaded.peek().filter(|due| due.0.0 <= to) {
            if deadline.begins(store).is_some() {
                return Some(at);
            }
            self.loaded.pop();
        }
        None
    }

    /// The queue with the first deadline up to a time of an event that somebody holds.
    fn first_queued(&mut self, to: Timestamp, store: &Store) -> Option<(Timestamp, u32)> {
        while let Some(mut due) = self.due.peek_mut().filter(|due| due.0.0 <= to) {
            let Reverse((at, length)) = *due;
            let Queue { span, deadlines } = &mut self.queues[length as usize];
            let mut begins = None;
            while let Some(first) = deadlines.front() {
                begins = first.begins(store);
                if begins.is_some() {
                    break;
                }
                deadlines.pop_front();
            }
            match begins.map(|begins| begins.plus(*span)) {
                Some(time) if time == at => return Some((at, length)),
                // It is put where its time belongs.
                Some(time) => due.0.0 = time,
                None => {
                    if deadlines.capacity() > 1024 {
                        *deadlines = VecDeque::new();
                    }
                    std::collections::binary_heap::PeekMut::pop(due);
                }
            }
        }
        None
    }
}
