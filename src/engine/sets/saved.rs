//! What a key holds as sets.
//!
//! ```text
//! count of elements, each after those that it leads to: left and right (1 + number or 0), then
//!     1 + the number of what it is a copy of; or 0, event's number, stage, prefix (1 + number or 0)
//! count of sets, each: state, number of its root
//! ```

use super::heap::{Heaps, Id, NONE, Part};
use super::{StateSet, Store};
use crate::engine::saved::{Damaged, Events, Loader, Reader, put, put_state, state};
use crate::engine::set::{Compiled, PatternSet};
use crate::engine::table::{StateId, Table};

/// Encodes what a key holds.
pub(super) fn encode(sets: &[StateSet], heaps: &Heaps, store: &Store, table: &Table) -> Vec<u8> {
    let elements = heaps.reachable(sets.iter().map(|of| of.set));
    let number = |id: Id| elements.binary_search_by_key(&heaps.age(id), |&id| heaps.age(id));
    let one_more = |id: Id| if id == NONE { 0 } else { number(id).map_or(0, |number| number + 1) };
    let parts: Vec<Part> = elements.iter().filter_map(|&id| heaps.part(id)).collect();
    let events = Events::new(parts.iter().map(|part| part.event).collect(), store);
    let mut out = events.begin();
    put(parts.len(), &mut out);
    for part in &parts {
        put(one_more(part.left), &mut out);
        put(one_more(part.right), &mut out);
        if part.origin != NONE {
            put(one_more(part.origin), &mut out);
        } else {
            put(0, &mut out);
            put(events.number(part.event), &mut out);
            put(part.stage.into(), &mut out);
            put(one_more(part.prefix), &mut out);
        }
    }
    put(sets.len(), &mut out);
    for of in sets {
        put_state(table, of.state, &mut out);
        put(one_more(of.set), &mut out);
    }
    out
}

/// What a key held, before it is added to the heaps: elements name others by their numbers here, and `NONE`.
pub(super) struct Loaded {
    pub(super) parts: Vec<Part>,
    pub(super) sets: Vec<(StateId, u32)>,
}

/// Reads what a key held.
pub(super) fn read(
    loader: &mut Loader,
    bytes: &[u8],
    pattern: &Compiled,
    set: &PatternSet,
    store: &mut Store,
    table: &mut Table,
) -> Result<Loaded, Damaged> {
    let mut read = Reader::new(bytes);
    let events = loader.begin(&mut read, set, store)?;
    let mut parts: Vec<Part> = Vec::new();
    for _ in 0..read.count()? {
        let known = |read: &mut Reader<'_>| {
            read.below(parts.len() + 1).map(|number| number.checked_sub(1).map_or(NONE, |n| n as Id))
        };
        let (left, right, origin) = (known(&mut read)?, known(&mut read)?, known(&mut read)?);
        let part = match parts.get(origin as usize) {
            Some(&of) if of.origin == NONE => Part { left, right, origin, ..of },
            Some(_) => return Err(read.damaged("what is no copy itself")),
            None => {
                let event = *read.of(&events)?;
                let stage = read.below(pattern.stages.len())? as u16;
                Part { event, stage, prefix: known(&mut read)?, left, right, origin }
            }
        };
        parts.push(part);
    }
    let mut sets: Vec<(StateId, u32)> = Vec::new();
    for _ in 0..read.count()? {
        let state = state(&mut read, &set.shapes[pattern.shape as usize], table)?;
        let root = read.below(parts.len() + 1)?.checked_sub(1).ok_or(read.damaged("a set"))?;
        if sets.iter().any(|(other, _)| *other == state) {
            return Err(read.damaged("a state once"));
        }
        sets.push((state, root as u32));
    }
    match (sets.is_empty(), read.is_at_end()) {
        (true, _) => Err(read.damaged("a set")),
        (_, false) => Err(read.damaged("the end")),
        _ => Ok(Loaded { parts, sets }),
    }
}
