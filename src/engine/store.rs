//! What partial matches are made of: events that were accepted, kept once per shard, and the steps of their paths,
//! shared by all paths that begin alike. Both are counted references; what nobody refers to is gone at once.

use super::slab::Slab;
use crate::event::{Head, Position, Row, Slot, Timestamp, TypeId};

/// No step: the beginning of every path.
pub(crate) const NONE: u32 = u32::MAX;

/// An event that some partial match has accepted.
#[derive(Debug)]
pub(crate) struct Kept {
    head: Head,
    /// The original object, and behind it the unescaped strings of its fields.
    text: Box<str>,
    slots: Box<[Slot]>,
    /// Its number in the merged order.
    pub(crate) sequence: u64,
    references: u32,
}

impl Default for Kept {
    fn default() -> Self {
        let position = Position { stream: 0, partition: 0, offset: 0 };
        let head = Head { time: Timestamp(0), position, kind: TypeId::NONE, raw: 0..0 };
        Kept { head, text: Box::default(), slots: Box::default(), sequence: u64::MAX, references: 0 }
    }
}

impl Kept {
    fn new(row: &Row<'_>, sequence: u64) -> Kept {
        let mut text = row.raw().to_owned();
        let start = row.head.raw.start;
        let slots = row
            .slots
            .iter()
            .map(|slot| match *slot {
                Slot::Str { at, len } => Slot::Str { at: at - start, len },
                Slot::Json { at, len } => Slot::Json { at: at - start, len },
                Slot::Unescaped { at, len } => {
                    let moved = Slot::Unescaped { at: text.len() as u32, len };
                    text.push_str(&row.unescaped[at as usize..at as usize + len as usize]);
                    moved
                }
                other => other,
            })
            .collect();
        let head = Head { raw: 0..row.head.raw.end - start, ..row.head.clone() };
        Kept { head, text: text.into_boxed_str(), slots, sequence, references: 0 }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        Row { head: &self.head, text: &self.text, unescaped: &self.text, slots: &self.slots }
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.head.time
    }
}

/// A step of a path: an event, the stage that took it, and the step before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) before: u32,
    pub(crate) event: u32,
    pub(crate) stage: u32,
    references: u32,
}

impl Default for Node {
    fn default() -> Self {
        Node { before: NONE, event: NONE, stage: 0, references: 0 }
    }
}

/// The kept events and paths of one shard.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) events: Slab<Kept>,
    pub(crate) nodes: Slab<Node>,
}

impl Store {
    /// Keeps an event, with one reference: that of whoever takes it now.
    pub(crate) fn keep(&mut self, row: &Row<'_>, sequence: u64) -> u32 {
        self.events.insert(Kept { references: 1, ..Kept::new(row, sequence) })
    }

    /// A path that goes one step further, with one reference.
    pub(crate) fn extend(&mut self, before: u32, event: u32, stage: usize) -> u32 {
        if before != NONE {
            self.nodes[before].references += 1;
        }
        self.events[event].references += 1;
        self.nodes.insert(Node { before, event, stage: stage as u32, references: 1 })
    }

    /// One reference more.
    pub(crate) fn hold(&mut self, node: u32) {
        self.nodes[node].references += 1;
    }

    /// One reference less; frees what nobody refers to any more.
    pub(crate) fn release(&mut self, mut node: u32) {
        while node != NONE {
            let step = &mut self.nodes[node];
            step.references -= 1;
            if step.references > 0 {
                return;
            }
            let step = self.nodes.remove(node);
            self.release_event(step.event);
            node = step.before;
        }
    }

    /// One reference to an event more.
    pub(crate) fn hold_event(&mut self, event: u32) {
        self.events[event].references += 1;
    }

    /// One reference to an event less.
    pub(crate) fn release_event(&mut self, event: u32) {
        let kept = &mut self.events[event];
        kept.references -= 1;
        if kept.references == 0 {
            self.events.remove(event);
        }
    }

    /// The steps of a path as (event, stage), from its first.
    pub(crate) fn path(&self, mut node: u32, into: &mut Vec<(u32, u32)>) {
        into.clear();
        while node != NONE {
            let step = self.nodes[node];
            into.push((step.event, step.stage));
            node = step.before;
        }
        into.reverse();
    }

    /// A kept event.
    #[inline]
    pub(crate) fn row(&self, event: u32) -> Row<'_> {
        self.events[event].row()
    }

    /// Where a kept event stands in its source.
    #[inline]
    pub(crate) fn position(&self, event: u32) -> Position {
        self.events[event].head.position
    }

    /// The sequence number of a kept event.
    #[inline]
    pub(crate) fn sequence(&self, event: u32) -> u64 {
        self.events[event].sequence
    }
}
