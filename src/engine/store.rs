//! What partial matches are made of: events that were accepted, kept once per shard, and the steps of their paths,
//! shared by all paths that begin alike. Both are counted references; what nobody refers to is gone at once.

use smallvec::SmallVec;

use super::key_state::{Group, Waiting};
use super::payload::{Payloads, Place};
use super::slab::Slab;
use crate::event::{Head, Position, Row, Timestamp, TypeId};

/// No step, no group: the beginning of every path, the end of every list.
pub(crate) const NONE: u32 = u32::MAX;

/// An event that some partial match has accepted.
#[derive(Debug)]
struct Kept {
    head: Head,
    place: Place,
    /// Its number in the merged order.
    sequence: u64,
    references: u32,
}

impl Default for Kept {
    fn default() -> Self {
        let position = Position { stream: 0, partition: 0, offset: 0 };
        let head = Head { time: Timestamp(0), position, kind: TypeId::NONE, raw: 0..0 };
        Kept { head, place: Place::default(), sequence: 0, references: 0 }
    }
}

/// A step of a path: an event, the stage that took it, and the step before. The last step of a partial match stands
/// for the partial match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) before: u32,
    pub(crate) event: u32,
    /// The first event of the path.
    pub(crate) first: u32,
    /// As a partial match: the next one in the same state.
    pub(crate) next: u32,
    pub(crate) stage: u32,
    references: u32,
}

impl Default for Node {
    fn default() -> Self {
        Node { before: NONE, event: NONE, first: NONE, next: NONE, stage: 0, references: 0 }
    }
}

/// The kept events, paths and keys of one shard.
#[derive(Debug, Default)]
pub(crate) struct Store {
    events: Slab<Kept>,
    payloads: Payloads,
    pub(crate) nodes: Slab<Node>,
    pub(crate) groups: Slab<Group>,
    pub(crate) waiting: Slab<Vec<Waiting>>,
}

impl Store {
    /// Keeps so many fields of each event from now on: the first ones of the schema.
    pub(crate) fn set_fields(&mut self, fields: usize) {
        self.payloads.set_width(fields);
    }

    /// How many events are kept.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Keeps an event, with one reference: that of whoever takes it now.
    pub(crate) fn keep(&mut self, row: &Row<'_>, sequence: u64) -> u32 {
        if self.payloads.is_sparse() {
            self.move_together();
        }
        let place = self.payloads.add(row);
        let raw = place.text..place.text + (row.head.raw.end - row.head.raw.start);
        let head = Head { raw, ..row.head.clone() };
        self.events.insert(Kept { head, place, sequence, references: 1 })
    }

    #[cold]
    fn move_together(&mut self) {
        let mut payloads = self.payloads.emptied();
        for kept in self.events.iter_mut().filter(|kept| kept.references > 0) {
            let (text, slots) = self.payloads.get(kept.place);
            kept.place = payloads.add(&Row { head: &kept.head, text, unescaped: text, slots });
            let len = kept.head.raw.end - kept.head.raw.start;
            kept.head.raw = kept.place.text..kept.place.text + len;
        }
        self.payloads = payloads;
    }

    /// A path that goes one step further, with one reference.
    #[inline]
    pub(crate) fn extend(&mut self, before: u32, event: u32, stage: usize) -> u32 {
        let mut first = event;
        if before != NONE {
            let before = &mut self.nodes[before];
            before.references += 1;
            first = before.first;
        }
        self.events[event].references += 1;
        self.nodes.insert(Node { before, event, first, next: NONE, stage: stage as u32, references: 1 })
    }

    /// A path of these steps (event, stage), with one reference.
    pub(crate) fn insert_path(&mut self, steps: &[(u32, u32)]) -> u32 {
        steps.iter().fold(NONE, |before, &(event, stage)| {
            let node = self.extend(before, event, stage as usize);
            self.release(before);
            node
        })
    }

    /// One reference more to a path.
    #[inline]
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
    #[inline]
    pub(crate) fn hold_event(&mut self, event: u32) {
        self.events[event].references += 1;
    }

    /// One reference to an event less.
    #[inline]
    pub(crate) fn release_event(&mut self, event: u32) {
        let kept = &mut self.events[event];
        kept.references -= 1;
        if kept.references == 0 {
            let kept = self.events.remove(event);
            self.payloads.remove(kept.place);
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

    /// Reads what leads from groups to the texts of their events, one step for all groups at a time.
    pub(crate) fn warm(&self, mut groups: SmallVec<[u32; 16]>) {
        groups.retain(|at| {
            *at = self.groups[*at].runs;
            self.nodes.get(*at).is_some()
        });
        groups.iter_mut().for_each(|at| *at = self.nodes[*at].first);
        groups.retain(|at| self.events.get(*at).is_some());
        let places: SmallVec<[Place; 16]> = groups.iter().map(|&at| self.events[at].place).collect();
        let touched: u64 = places.iter().map(|&place| self.payloads.touch(place)).sum();
        std::hint::black_box(touched);
    }

    /// A kept event.
    #[inline]
    pub(crate) fn row(&self, event: u32) -> Row<'_> {
        let Kept { head, place, .. } = &self.events[event];
        let (text, slots) = self.payloads.get(*place);
        Row { head, text, unescaped: text, slots }
    }

    /// The text of a kept event: its object, and behind it the unescaped strings of its fields.
    pub(crate) fn text(&self, event: u32) -> &str {
        self.payloads.text(self.events[event].place)
    }

    /// The time of a kept event.
    #[inline]
    pub(crate) fn time(&self, event: u32) -> Timestamp {
        self.events[event].head.time
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

    /// The time of a kept event if it is still the one with this sequence number (its lowest bits).
    #[inline]
    pub(crate) fn time_if_kept(&self, event: u32, sequence: u32) -> Option<Timestamp> {
        let kept = self.events.get(event)?;
        (kept.references > 0 && kept.sequence as u32 == sequence).then_some(kept.head.time)
    }
}
