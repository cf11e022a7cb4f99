//! What a key holds as groups of starts.
//!
//! ```text
//! count of steps, each after the one before it: 1 + that one's number or 0, event's number, stage
//! count of segments, each after the one that it leads to: 1 + that one's number or 0,
//!     count of slots, each: 1 + the number of its last step or 0, base
//! count of groups, each: count of states in their order, those, number of its segment, its starts
//! starts whose match is complete
//! ```
//!
//! Starts are a count and each: event's number, count of the stages that took it, those, 1 + number of its segment or 0.

use smallvec::SmallVec;

use super::history::Slot;
use super::rankings::Rankings;
use super::starts::Start;
use super::{Group, Held, Keyed, first_steps};
use crate::engine::changed::Tag;
use crate::engine::saved::runs::Numbers;
use crate::engine::saved::{Damaged, Events, Loader, Reader, put, put_state, state};
use crate::engine::set::{PatternSet, Shape};
use crate::engine::store::{NONE, Store};
use crate::engine::table::Table;

/// Encodes what a key holds.
pub(super) fn encode(
    keyed: &Keyed,
    held: &Held,
    rankings: &Rankings,
    store: &Store,
    table: &Table,
) -> Vec<u8> {
    let starts = |heap: u32| held.starts.all(heap).collect::<Vec<Start>>();
    let groups: Vec<(&Group, Vec<Start>)> = keyed.groups.iter().map(|of| (of, starts(of.starts))).collect();
    let complete = starts(keyed.complete);
    let all = || groups.iter().flat_map(|(_, starts)| starts).chain(&complete);
    let steps_of = |start: &Start| {
        let next = |node: u32| (node != NONE).then_some(node);
        std::iter::successors(next(start.nodes), move |&node| next(store.nodes[node].next))
    };

    let (mut segments, mut steps) = (Numbers::default(), Numbers::default());
    all().for_each(|start| segments.add_path(start.segment, |at| held.history.segments[at].next));
    let slots = segments.all.iter().flat_map(|&segment| &held.history.segments[segment].slots);
    slots.for_each(|slot| steps.add_path(slot.last, |step| store.before(step)));
    let nodes = steps.all.iter().copied().chain(all().flat_map(steps_of));
    let events = Events::new(nodes.map(|node| store.nodes[node].event).collect(), store);

    let mut out = events.begin();
    put(steps.all.len(), &mut out);
    for &step in &steps.all {
        put(steps.one_more(store.before(step)), &mut out);
        let step = store.nodes[step];
        put(events.number(step.event), &mut out);
        put(step.stage as usize, &mut out);
    }
    put(segments.all.len(), &mut out);
    for &segment in &segments.all {
        let segment = &held.history.segments[segment];
        put(segments.one_more(segment.next), &mut out);
        put(segment.slots.len(), &mut out);
        for slot in &segment.slots {
            put(steps.one_more(slot.last), &mut out);
            put(slot.base as usize, &mut out);
        }
    }
    let put_starts = |starts: &[Start], out: &mut Vec<u8>| {
        put(starts.len(), out);
        for start in starts {
            put(events.number(store.nodes[start.nodes].event), out);
            put(steps_of(start).count(), out);
            steps_of(start).for_each(|node| put(store.nodes[node].stage as usize, out));
            put(segments.one_more(start.segment), out);
        }
    };
    put(groups.len(), &mut out);
    for (group, starts) in &groups {
        let states = rankings.states(group.ranking);
        put(states.len(), &mut out);
        states.iter().for_each(|&state| put_state(table, state, &mut out));
        put(segments.of(group.segment), &mut out);
        put_starts(starts, &mut out);
    }
    put_starts(&complete, &mut out);
    out
}

/// Where a key is loaded into.
pub(super) struct Loading<'a> {
    pub(super) held: &'a mut Held,
    pub(super) rankings: &'a mut Rankings,
    pub(super) store: &'a mut Store,
    pub(super) table: &'a mut Table,
    pub(super) shape: &'a Shape,
    /// How many stages the pattern has.
    pub(super) stages: usize,
}

/// What was read so far; steps and segments with a reference each.
#[derive(Default)]
struct Read {
    events: Vec<u32>,
    steps: Vec<u32>,
    segments: Vec<u32>,
}

impl Loading<'_> {
    /// Adds what a key held. Nothing is added if the bytes are damaged.
    pub(super) fn key(
        &mut self,
        loader: &mut Loader,
        bytes: &[u8],
        set: &PatternSet,
    ) -> Result<Keyed, Damaged> {
        let mut keyed = Keyed { tag: Tag::default(), starts: 0, groups: SmallVec::new(), complete: NONE };
        let mut read = Read::default();
        let loaded = self.parts(loader, &mut Reader::new(bytes), set, &mut read, &mut keyed);
        // Those that are part of a path have a reference of its own by now.
        read.segments.into_iter().for_each(|segment| self.held.history.release(segment, self.store));
        read.steps.into_iter().for_each(|step| self.store.release(step));
        if loaded.is_err() {
            self.held.clear(&mut keyed, self.store);
        }
        loaded.map(|()| keyed)
    }

    fn parts(
        &mut self,
        loader: &mut Loader,
        reader: &mut Reader<'_>,
        set: &PatternSet,
        read: &mut Read,
        keyed: &mut Keyed,
    ) -> Result<(), Damaged> {
        read.events = loader.begin(reader, set, self.store)?;
        for _ in 0..reader.count()? {
            let before = one_less(reader, &read.steps)?;
            let event = *reader.of(&read.events)?;
            let stage = reader.below(self.stages)?;
            read.steps.push(self.store.extend(before, event, stage));
        }
        for _ in 0..reader.count()? {
            let next = one_less(reader, &read.segments)?;
            let mut slots: SmallVec<[Slot; 2]> = SmallVec::new();
            for _ in 0..reader.count()? {
                slots.push(Slot { last: one_less(reader, &read.steps)?, base: reader.short()? });
            }
            slots.iter().filter(|slot| slot.last != NONE).for_each(|slot| self.store.hold(slot.last));
            read.segments.push(self.held.history.restore(slots, next));
        }
        for _ in 0..reader.count()? {
            let group = self.group(reader, read)?;
            let mut others = keyed.groups.iter();
            let is_new = !others.any(|of| of.ranking == group.ranking || of.segment == group.segment);
            keyed.groups.push(group);
            if group.starts == NONE || !is_new {
                return Err(reader.damaged("a group of its own"));
            }
        }
        self.starts(reader, read, &mut keyed.complete)?;
        match (keyed.is_empty(), reader.is_at_end()) {
            (true, _) => Err(reader.damaged("a start")),
            (_, false) => Err(reader.damaged("the end")),
            _ => Ok(()),
        }
    }

    fn group(&mut self, reader: &mut Reader<'_>, read: &Read) -> Result<Group, Damaged> {
        let mut states = SmallVec::new();
        for _ in 0..reader.count()? {
            let state = state(reader, self.shape, self.table)?;
            if states.contains(&state) {
                return Err(reader.damaged("a state once"));
            }
            states.push(state);
        }
        let segment = *reader.of(&read.segments)?;
        if states.is_empty() || self.held.history.segments[segment].next != NONE {
            return Err(reader.damaged("a group that goes on"));
        }
        let mut group = Group { ranking: self.rankings.number(states), starts: NONE, segment };
        match self.starts(reader, read, &mut group.starts) {
            Ok(()) => Ok(group),
            Err(damaged) => {
                self.held.prune(&mut group.starts, |_| true, self.store);
                Err(damaged)
            }
        }
    }

    fn starts(&mut self, reader: &mut Reader<'_>, read: &Read, heap: &mut u32) -> Result<(), Damaged> {
        for _ in 0..reader.count()? {
            let event = *reader.of(&read.events)?;
            let mut stages: SmallVec<[usize; 2]> = SmallVec::new();
            for _ in 0..reader.count()? {
                stages.push(reader.below(self.stages)?);
            }
            let segment = one_less(reader, &read.segments)?;
            if stages.is_empty() {
                return Err(reader.damaged("a stage"));
            }
            if segment != NONE {
                self.held.history.hold(segment);
            }
            let nodes =
                first_steps(stages.into_iter(), self.store, |store, stage| store.extend(NONE, event, stage));
            let start = self.held.starts.add(self.store.sequence(event), nodes, segment);
            *heap = self.held.starts.merge(*heap, start);
        }
        Ok(())
    }
}

/// What a number that is one more stands for; `NONE` for 0.
fn one_less(reader: &mut Reader<'_>, all: &[u32]) -> Result<u32, Damaged> {
    let number = reader.below(all.len() + 1)?;
    Ok(number.checked_sub(1).map_or(NONE, |number| all[number]))
}
