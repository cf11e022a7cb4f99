//! What partial matches are made of: events that were accepted, kept once per shard, and the steps of their paths,
//! shared by all paths that begin alike. Both are counted references; what nobody refers to is gone at once.

use std::sync::Arc;

use smallvec::SmallVec;

use super::carried::Carried;
use super::kept::KeptRow;
use super::key_state::{Group, KeyState, Waiting};
use super::page::PackedRow;
use super::payload::{Payloads, Place};
use super::recent::{At, Recent, RecentRow};
use super::slab::Slab;
use crate::event::{Block, Fields, Head, Position, Row, Timestamp, TypeId};

/// No step, no group: the beginning of every path, the end of every list.
pub(crate) const NONE: u32 = u32::MAX;

/// Set in what stands for the step before where values are carried: the number of the first of them.
const CARRIED: u32 = 1 << 31;

/// An event that some partial match has accepted.
#[derive(Debug, Default)]
struct Kept {
    place: Place,
    /// The lowest bits of its sequence number: most often they tell that a number has become another event's.
    sequence: u16,
    references: u32,
}

/// A step of a path: an event, the stage that took it, and the step before. The last step of a partial match stands
/// for the partial match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// The step before, or what is carried from there.
    link: u32,
    pub(crate) event: u32,
    /// The first event of the path.
    pub(crate) first: u32,
    /// As a partial match: the next one in the same state; of a key's only one, its state.
    pub(crate) next: u32,
    pub(crate) stage: u32,
    references: u32,
}

impl Default for Node {
    fn default() -> Self {
        Node { link: NONE, event: NONE, first: NONE, next: NONE, stage: 0, references: 0 }
    }
}

/// A value that a step carries; the last one is followed by the step before.
#[derive(Debug, Default)]
struct Link {
    value: Carried,
    link: u32,
}

/// The kept events, paths and keys of one shard.
#[derive(Debug, Default)]
pub(crate) struct Store {
    events: Slab<Kept>,
    recent: Recent,
    payloads: Payloads,
    pub(crate) nodes: Slab<Node>,
    carried: Slab<Link>,
    pub(crate) groups: Slab<Group>,
    pub(crate) waiting: Slab<Vec<Waiting>>,
}

impl Store {
    /// Keeps so many fields of each event from now on: the first ones of the schema.
    pub(crate) fn set_fields(&mut self, fields: usize) {
        if fields != self.recent.width() {
            while self.let_go() {}
            self.payloads.set_width(fields);
            self.recent.set_width(fields);
        }
    }

    /// How many events are kept.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Keeps an event of a block, with one reference: that of whoever takes it now.
    pub(crate) fn keep_of(&mut self, block: &Arc<Block>, row: u32, sequence: u64) -> u32 {
        let seat = match self.recent.seat(block) {
            Some(seat) => seat,
            None if !Recent::may_hold(block) => return self.keep(&block.row(row as usize), sequence),
            None => self.hold_block(block),
        };
        let place = Place::default();
        let event = self.events.insert(Kept { place, sequence: sequence as u16, references: 1 });
        let place = match self.recent.add(seat, row, event, sequence) {
            Some(at) => at.into(),
            None => self.pack(&block.row(row as usize), sequence),
        };
        self.events[event].place = place;
        event
    }

    /// Keeps an event of no block.
    pub(crate) fn keep(&mut self, row: &Row<'_>, sequence: u64) -> u32 {
        let place = self.pack(row, sequence);
        self.events.insert(Kept { place, sequence: sequence as u16, references: 1 })
    }

    #[cold]
    fn hold_block(&mut self, block: &Arc<Block>) -> usize {
        while !self.recent.has_room(block) && self.let_go() {}
        self.recent.hold(block)
    }

    /// Lets the oldest block go, if there is one: what is still kept of it is packed.
    fn let_go(&mut self) -> bool {
        let Some((seat, held)) = self.recent.oldest() else { return false };
        for (number, entry) in held.entries.iter().enumerate() {
            let here = Place::from(At { seat: seat as u16, entry: number as u16 });
            let is_here = |kept: &Kept| kept.references > 0 && kept.place == here;
            if self.events.get(entry.event).is_some_and(is_here) {
                let RecentRow { row, sequence } = held.row(number, self.recent.width());
                self.events[entry.event].place = self.pack(&row, sequence);
            }
        }
        true
    }

    fn pack(&mut self, row: &Row<'_>, sequence: u64) -> Place {
        if self.payloads.is_sparse() {
            self.move_together();
        }
        self.payloads.add(row, sequence)
    }

    #[cold]
    fn move_together(&mut self) {
        let mut payloads = self.payloads.emptied();
        let packed = |kept: &&mut Kept| kept.references > 0 && kept.place.recent().is_none();
        for kept in self.events.iter_mut().filter(packed) {
            let row = self.payloads.get(kept.place);
            let raw = 0..row.object_len() as u32;
            let head = Head { time: row.time(), position: row.position(), kind: TypeId::NONE, raw };
            let (text, slots) = (row.text(), row.slots().collect::<Vec<_>>());
            let text = String::from_utf8_lossy(&text);
            let whole = Row { head: &head, text: &text, unescaped: &text, slots: &slots };
            kept.place = payloads.add(&whole, row.sequence());
        }
        self.payloads = payloads;
    }

    /// About how many bytes it takes, and how many of them if all events lay together.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let slabs = self.events.len() * size_of::<Kept>()
            + self.nodes.len() * size_of::<Node>()
            + self.carried.len() * size_of::<Link>()
            + self.groups.len() * size_of::<Group>()
            + self.waiting.len() * 2 * size_of::<Waiting>();
        let (used, alive) = self.payloads.bytes();
        (slabs + used, slabs + alive)
    }

    /// Lets events lie together, where there is much room between them.
    pub(crate) fn gather(&mut self) {
        let (used, alive) = self.payloads.bytes();
        if used > alive + alive / 4 {
            self.move_together();
        }
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
        self.nodes.insert(Node { link: before, event, first, next: NONE, stage: stage as u32, references: 1 })
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
            node = step.link;
            while is_carried(node) {
                node = self.carried.remove(node & !CARRIED).link;
            }
        }
    }

    /// The step before another.
    #[inline]
    pub(crate) fn before(&self, node: u32) -> u32 {
        let mut link = self.nodes[node].link;
        while is_carried(link) {
            link = self.carried[link & !CARRIED].link;
        }
        link
    }

    /// Adds a value in front of those that a step carries.
    pub(crate) fn carry(&mut self, node: u32, value: Carried) {
        let link = self.nodes[node].link;
        self.nodes[node].link = self.carried.insert(Link { value, link }) | CARRIED;
    }

    /// The values that a step carries.
    #[inline]
    pub(crate) fn carried(&self, node: u32) -> impl Iterator<Item = Carried> {
        let mut link = self.nodes.get(node).map_or(NONE, |step| step.link);
        std::iter::from_fn(move || {
            let here = is_carried(link).then(|| &self.carried[link & !CARRIED])?;
            link = here.link;
            Some(here.value)
        })
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
            if kept.place.recent().is_none() {
                self.payloads.remove(kept.place);
            }
        }
    }

    /// The steps of a path as (event, stage), from its first.
    pub(crate) fn path(&self, mut node: u32, into: &mut Vec<(u32, u32)>) {
        into.clear();
        while node != NONE {
            let step = self.nodes[node];
            into.push((step.event, step.stage));
            node = self.before(node);
        }
        into.reverse();
    }

    /// Reads what leads from keys to the events they are known by, one step for all keys at a time.
    pub(crate) fn warm(&self, keys: SmallVec<[KeyState; 16]>) {
        let mut at: SmallVec<[u32; 16]> = keys.into_iter().filter_map(|key| key.some_run(self)).collect();
        at.retain(|at| match self.nodes.get(*at) {
            Some(node) => {
                *at = node.first;
                true
            }
            None => false,
        });
        let kept = at.iter().filter_map(|&at| self.events.get(at));
        let places: SmallVec<[Place; 16]> = kept.map(|kept| kept.place).collect();
        let packed = places.iter().filter(|place| place.recent().is_none());
        let touched: u64 = packed.map(|&place| self.payloads.touch(place)).sum();
        std::hint::black_box(touched);
    }

    /// A kept event.
    #[inline]
    pub(crate) fn row(&self, event: u32) -> KeptRow<'_> {
        let place = self.events[event].place;
        match place.recent() {
            Some(at) => KeptRow::Recent(self.recent.get(at)),
            None => KeptRow::Packed(self.payloads.get(place)),
        }
    }

    /// A kept event as it is packed, or would be.
    pub(crate) fn with_packed<T>(&self, event: u32, with: impl FnOnce(&PackedRow<'_>) -> T) -> T {
        match self.row(event) {
            KeptRow::Recent(RecentRow { row, sequence }) => self.payloads.with_packed(&row, sequence, with),
            KeptRow::Packed(row) => with(&row),
        }
    }

    /// The time of a kept event.
    #[inline]
    pub(crate) fn time(&self, event: u32) -> Timestamp {
        self.time_of(self.events[event].place)
    }

    #[inline]
    fn time_of(&self, place: Place) -> Timestamp {
        match place.recent() {
            Some(at) => self.recent.time(at),
            None => self.payloads.get(place).time(),
        }
    }

    /// Where a kept event stands in its source.
    #[inline]
    pub(crate) fn position(&self, event: u32) -> Position {
        self.row(event).position()
    }

    /// The sequence number of a kept event.
    #[inline]
    pub(crate) fn sequence(&self, event: u32) -> u64 {
        self.sequence_of(self.events[event].place)
    }

    #[inline]
    fn sequence_of(&self, place: Place) -> u64 {
        match place.recent() {
            Some(at) => self.recent.sequence(at),
            None => self.payloads.get(place).sequence(),
        }
    }

    /// The time of a kept event if it is still the one with this sequence number (its lowest bits).
    #[inline]
    pub(crate) fn time_if_kept(&self, event: u32, sequence: u32) -> Option<Timestamp> {
        let is_it = |kept: &&Kept| kept.references > 0 && kept.sequence == sequence as u16;
        let place = self.events.get(event).filter(is_it)?.place;
        (self.sequence_of(place) as u32 == sequence).then(|| self.time_of(place))
    }
}

/// Whether what stands for the step before is a value that is carried.
#[inline]
fn is_carried(link: u32) -> bool {
    link & CARRIED != 0 && link != NONE
}
