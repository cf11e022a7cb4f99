//! What a key holds as runs.
//!
//! ```text
//! count of steps, each after the one before it: 1 + that one's number or 0, event's number, stage
//! count of groups, each: state, count of partial matches, their last steps
//! count of complete matches that wait, each: last step, moment
//! ```

use std::collections::BTreeSet;

use super::{Damaged, Events, Loader, Reader, put, put_state, state};
use crate::engine::key_state::{KeyState, Waiting};
use crate::engine::set::{Compiled, PatternSet};
use crate::engine::store::{NONE, Store};
use crate::engine::table::Table;

/// Encodes what a key holds.
pub(in crate::engine) fn encode(key: KeyState, store: &Store, table: &Table) -> Vec<u8> {
    let groups: Vec<(u32, Vec<u32>)> =
        key.groups(store).map(|(state, runs)| (state, runs.collect())).collect();
    let waiting = key.waiting(store).map_or(&[][..], |list| &store.waiting[list]);
    let mut steps = Numbers::default();
    for last in groups.iter().flat_map(|(_, runs)| runs.iter().copied()).chain(waiting.iter().map(|w| w.node))
    {
        steps.add_path(last, |step| store.before(step));
    }
    let events = Events::new(steps.all.iter().map(|&step| store.nodes[step].event).collect(), store);
    let mut out = events.begin();
    put(steps.all.len(), &mut out);
    for &step in &steps.all {
        put(steps.one_more(store.before(step)), &mut out);
        let step = store.nodes[step];
        put(events.number(step.event), &mut out);
        put(step.stage as usize, &mut out);
    }
    put(groups.len(), &mut out);
    for (state, runs) in &groups {
        put_state(table, *state, &mut out);
        put(runs.len(), &mut out);
        runs.iter().for_each(|&run| put(steps.of(run), &mut out));
    }
    put(waiting.len(), &mut out);
    for Waiting { node, moment, .. } in waiting {
        put(steps.of(*node), &mut out);
        put(*moment as usize, &mut out);
    }
    out
}

/// Numbers for the steps of some paths: each after the one before it.
#[derive(Default)]
pub(in crate::engine) struct Numbers {
    pub(in crate::engine) all: Vec<u32>,
    numbers: hashbrown::HashMap<u32, usize, ahash::RandomState>,
}

impl Numbers {
    /// Adds a step and all those before it.
    pub(in crate::engine) fn add_path(&mut self, last: u32, before: impl Fn(u32) -> u32) {
        let (mut at, from) = (last, self.all.len());
        while at != NONE && !self.numbers.contains_key(&at) {
            self.all.push(at);
            at = before(at);
        }
        self.all[from..].reverse();
        self.numbers.extend((from..).zip(&self.all[from..]).map(|(number, &step)| (step, number)));
    }

    /// The number of a step that was added.
    pub(in crate::engine) fn of(&self, step: u32) -> usize {
        self.numbers[&step]
    }

    /// One more than the number of a step that was added, or 0 where there is none.
    pub(in crate::engine) fn one_more(&self, step: u32) -> usize {
        if step == NONE { 0 } else { 1 + self.of(step) }
    }
}

/// Adds what a key held to the store. Nothing is added if the bytes are damaged.
pub(in crate::engine) fn load(
    loader: &mut Loader,
    bytes: &[u8],
    pattern: &Compiled,
    set: &PatternSet,
    store: &mut Store,
    table: &mut Table,
) -> Result<KeyState, Damaged> {
    let mut key = KeyState { first: NONE };
    let mut steps = Vec::new();
    let mut read = Reader::new(bytes);
    let loaded = groups(loader, &mut read, &mut steps, &mut key, pattern, set, store, table);
    // Those that are part of a partial match have a reference of its own by now.
    steps.into_iter().for_each(|step| store.release(step));
    if loaded.is_err() {
        key.clear(store);
    }
    loaded.map(|()| key)
}

#[expect(clippy::too_many_arguments, reason = "all of it is what one key is made of")]
fn groups(
    loader: &mut Loader,
    read: &mut Reader<'_>,
    steps: &mut Vec<u32>,
    key: &mut KeyState,
    pattern: &Compiled,
    set: &PatternSet,
    store: &mut Store,
    table: &mut Table,
) -> Result<(), Damaged> {
    let events = loader.begin(read, set, store)?;
    for _ in 0..read.count()? {
        let before = match read.number()? {
            0 => NONE,
            one_more => *steps.get(one_more as usize - 1).ok_or(read.damaged("the number of a step"))?,
        };
        let event = *read.of(&events)?;
        let stage = read.below(pattern.stages.len())?;
        steps.push(pattern.carries.extend(&set.around, store, before, event, stage));
    }
    let mut runs = BTreeSet::new();
    for _ in 0..read.count()? {
        let state = state(read, &set.shapes[pattern.shape as usize], table)?;
        for _ in 0..read.count()? {
            let step = read.below(steps.len())?;
            if !runs.insert(step) {
                return Err(read.damaged("a partial match that is in one state"));
            }
            let node = steps[step];
            store.hold(node);
            key.add(store, state, node);
        }
    }
    for _ in 0..read.count()? {
        let node = *read.of(steps)?;
        let moment = read.number()?;
        loader.moment = loader.moment.max(moment);
        let first = store.sequence(store.nodes[node].first);
        store.hold(node);
        key.waiting_mut(store).push(Waiting { node, first, moment });
    }
    match (key.first, read.is_at_end()) {
        (NONE, _) => Err(read.damaged("a partial match")),
        (_, false) => Err(read.damaged("the end")),
        _ => Ok(()),
    }
}
