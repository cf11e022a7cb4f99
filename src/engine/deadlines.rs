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
pub(crate) struct Deadline {
    pub(crate) event: u32,
    pub(crate) sequence: u32,
    pub(crate) pattern: u32,
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

/// The deadlines of windows of one length, in pieces, so that growing copies nothing.
#[derive(Debug)]
struct Queue {
    span: TimeSpan,
    pieces: VecDeque<Piece>,
    /// How many of the first piece were taken out.
    taken: usize,
}

/// So many deadlines are in a piece.
const PIECE: usize = 1024;

/// Deadlines that were added one after the other.
#[derive(Debug, Default)]
struct Piece {
    /// Of each the event, and the lowest bits of that one's sequence number.
    events: Vec<(u32, u32)>,
    /// The pattern of all of them.
    pattern: u32,
    /// The pattern of each, where it is not one.
    patterns: Vec<u32>,
}

impl Deadline {
    /// The time of its event, as long as anybody holds that.
    #[inline]
    pub(crate) fn begins(&self, store: &Store) -> Option<Timestamp> {
        store.time_if_kept(self.event, self.sequence)
    }
}

impl Queue {
    fn new(span: TimeSpan) -> Queue {
        Queue { span, pieces: VecDeque::new(), taken: 0 }
    }

    fn push(&mut self, deadline: Deadline) {
        if self.pieces.back().is_none_or(|last| last.events.len() == PIECE) {
            // Most queues stay small.
            let room = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push_back(Piece { events: Vec::with_capacity(room), ..Piece::default() });
        }
        let Some(piece) = self.pieces.back_mut() else { unreachable!("there is a last piece") };
        let Deadline { event, sequence, pattern } = deadline;
        if piece.events.is_empty() {
            piece.pattern = pattern;
        } else if piece.patterns.is_empty() && piece.pattern != pattern {
            piece.patterns.resize(piece.events.len(), piece.pattern);
        }
        if piece.pattern != pattern || !piece.patterns.is_empty() {
            piece.patterns.push(pattern);
        }
        piece.events.push((event, sequence));
    }

    /// The next ones, in their order.
    #[inline]
    fn iter(&self) -> impl Iterator<Item = Deadline> {
        self.pieces.iter().enumerate().flat_map(|(number, piece)| {
            let taken = if number == 0 { self.taken } else { 0 };
            (taken..piece.events.len()).map(|at| piece.at(at))
        })
    }

    #[inline]
    fn front(&self) -> Option<Deadline> {
        self.pieces.front().filter(|first| self.taken < first.events.len()).map(|first| first.at(self.taken))
    }

    fn pop(&mut self) {
        self.taken += 1;
        let Some(first) = self.pieces.front_mut().filter(|first| self.taken >= first.events.len()) else {
            return;
        };
        self.taken = 0;
        first.events.clear();
        first.patterns.clear();
        if self.pieces.len() > 1 {
            self.pieces.pop_front();
        } else if self.pieces.capacity() > 64 {
            self.pieces = VecDeque::new();
        }
    }
}

impl Piece {
    #[inline]
    fn at(&self, at: usize) -> Deadline {
        let (event, sequence) = self.events[at];
        Deadline { event, sequence, pattern: self.patterns.get(at).copied().unwrap_or(self.pattern) }
    }
}

impl Deadlines {
    /// Makes room for the windows of these lengths.
    pub(crate) fn grow(&mut self, lengths: &[TimeSpan]) {
        let new = lengths.iter().skip(self.queues.len());
        self.queues.extend(new.map(|&span| Queue::new(span)));
    }

    /// Adds the end of a window of some length that is counted from the event taken last.
    #[inline]
    pub(crate) fn push(&mut self, length: u32, pattern: u32, event: u32, time: Timestamp, sequence: u64) {
        let queue = &mut self.queues[length as usize];
        if queue.front().is_none() {
            self.due.push(Reverse((time.plus(queue.span), length)));
        }
        queue.push(Deadline { event, sequence: sequence as u32, pattern });
    }

    /// Adds the end of a window that is counted from any kept event.
    pub(crate) fn load(&mut self, at: Timestamp, pattern: u32, event: u32, sequence: u64) {
        self.loaded.push(Reverse((at, Deadline { event, sequence: sequence as u32, pattern })));
    }

    /// How many there are, of events that are gone too.
    pub(crate) fn len(&self) -> usize {
        let queued = |queue: &Queue| queue.pieces.iter().map(|piece| piece.events.len()).sum::<usize>();
        self.queues.iter().map(queued).sum::<usize>() + self.loaded.len()
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        let pieces = self.queues.iter().map(|queue| queue.pieces.len()).sum::<usize>();
        pieces * PIECE * size_of::<(u32, u32)>() + self.loaded.len() * size_of::<(Timestamp, Deadline)>()
    }

    /// Forgets those of events that are gone.
    pub(crate) fn forget_gone(&mut self, store: &Store) {
        self.loaded.retain(|Reverse((_, deadline))| deadline.begins(store).is_some());
        self.loaded.shrink_to(self.loaded.len() * 2);
        self.due.clear();
        for (length, queue) in (0..).zip(&mut self.queues) {
            let mut old = std::mem::replace(queue, Queue::new(queue.span));
            while let Some(deadline) = old.front() {
                old.pop();
                if let Some(begins) = deadline.begins(store) {
                    if queue.front().is_none() {
                        self.due.push(Reverse((begins.plus(queue.span), length)));
                    }
                    queue.push(deadline);
                }
            }
        }
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
        let queue = &mut self.queues[length as usize];
        let deadline = queue.front()?;
        queue.pop();
        Some((deadline.pattern, deadline.event))
    }

    /// What is likely to be taken out next.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = Deadline> {
        let queue = self.due.peek().map(|due| &self.queues[due.0.1 as usize]);
        queue.into_iter().flat_map(Queue::iter)
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
            let queue = &mut self.queues[length as usize];
            let mut begins = None;
            while let Some(first) = queue.front() {
                begins = first.begins(store);
                if begins.is_some() {
                    break;
                }
                queue.pop();
            }
            match begins.map(|begins| begins.plus(queue.span)) {
                Some(time) if time == at => return Some((at, length)),
                // It is put where its time belongs.
                Some(time) => due.0.0 = time,
                None => {
                    std::collections::binary_heap::PeekMut::pop(due);
                }
            }
        }
        None
    }
}
