//! The state of one key of one pattern by itself, as bytes: what it takes to drop a key and to go on with it later as
//! if nothing had been. States are named by what they wait for and events are included, so nothing in the bytes
//! depends on the numbers that a table or a store happens to give.
//!
//! Layout, version 1; numbers are LEB128, signed ones zigzag:
//!
//! ```text
//! version
//! count of events, each: sequence, time, stream, partition, offset, length of the object, text, count of
//!                  slots, those
//! count of steps, each after the one before it: 1 + that one's number or 0, event's number, stage
//! count of groups, each: state (count of threads, each: position, fresh, edges), count of partial matches, their last steps
//! count of complete matches that wait, each: last step, moment
//! ```

use std::collections::BTreeSet;
use std::fmt;

use super::key_state::{KeyState, Waiting};
use super::set::{Compiled, PatternSet};
use super::store::{NONE, Store};
use super::table::{DEAD, START, Table, Thread};
use crate::event::{Head, Position, Row, Slot, Timestamp, TypeId};

const VERSION: u8 = 1;

/// Bytes that are no state of a key of the pattern: where, and what was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// How many bytes were read before.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the saved state of a key is damaged at byte {}: expected {}", self.at, self.expected)
    }
}

impl std::error::Error for Damaged {}

/// Encodes what a key holds.
pub(crate) fn encode(key: KeyState, store: &Store, table: &Table) -> Vec<u8> {
    let groups: Vec<(u32, Vec<u32>)> =
        key.states(store).map(|at| (store.groups[at].state, key.in_group(store, at).collect())).collect();
    let waiting = key.waiting(store).map_or(&[][..], |list| &store.waiting[list]);
    let mut steps = Numbers::default();
    for last in groups.iter().flat_map(|(_, runs)| runs.iter().copied()).chain(waiting.iter().map(|w| w.node))
    {
        steps.add_path(last, store);
    }
    let mut events: Vec<u32> = steps.all.iter().map(|&step| store.nodes[step].event).collect();
    events.sort_unstable_by_key(|&event| store.sequence(event));
    events.dedup();
    let event_number =
        |event: u32| events.partition_point(|&other| store.sequence(other) < store.sequence(event));

    let mut out = vec![VERSION];
    put(events.len(), &mut out);
    for &event in &events {
        put_event(store.sequence(event), &store.row(event), store.text(event), &mut out);
    }
    put(steps.all.len(), &mut out);
    for &step in &steps.all {
        let step = store.nodes[step];
        put(if step.before == NONE { 0 } else { 1 + steps.of(step.before) }, &mut out);
        put(event_number(step.event), &mut out);
        put(step.stage as usize, &mut out);
    }
    put(groups.len(), &mut out);
    for (state, runs) in &groups {
        let threads = table.threads(*state);
        put(threads.len(), &mut out);
        for thread in threads {
            put(thread.position as usize, &mut out);
            out.push(u8::from(thread.fresh));
            put(thread.alive.len(), &mut out);
            thread.alive.iter().for_each(|&edge| put(edge as usize, &mut out));
        }
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
struct Numbers {
    all: Vec<u32>,
    numbers: hashbrown::HashMap<u32, usize, ahash::RandomState>,
}

impl Numbers {
    fn add_path(&mut self, last: u32, store: &Store) {
        let (mut at, from) = (last, self.all.len());
        while at != NONE && !self.numbers.contains_key(&at) {
            self.all.push(at);
            at = store.nodes[at].before;
        }
        self.all[from..].reverse();
        self.numbers.extend((from..).zip(&self.all[from..]).map(|(number, &step)| (step, number)));
    }

    fn of(&self, step: u32) -> usize {
        self.numbers[&step]
    }
}

fn put(number: usize, out: &mut Vec<u8>) {
    let mut left = number as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn put_signed(number: i64, out: &mut Vec<u8>) {
    put(((number << 1) ^ (number >> 63)) as u64 as usize, out);
}

fn put_event(sequence: u64, row: &Row<'_>, text: &str, out: &mut Vec<u8>) {
    let Head { time, position, raw, .. } = row.head;
    put(sequence as usize, out);
    put_signed(time.0, out);
    put(position.stream as usize, out);
    put(position.partition as usize, out);
    put(position.offset as usize, out);
    put((raw.end - raw.start) as usize, out);
    put(text.len(), out);
    out.extend_from_slice(text.as_bytes());
    put(row.slots.len(), out);
    for slot in row.slots {
        let mut range = |tag: u8, at: u32, len: u32| {
            out.push(tag);
            put((at - raw.start) as usize, out);
            put(len as usize, out);
        };
        match *slot {
            Slot::Str { at, len } => range(5, at, len),
            Slot::Unescaped { at, len } => range(6, at, len),
            Slot::Json { at, len } => range(7, at, len),
            Slot::Null => out.push(0),
            Slot::Bool(value) => out.extend([1, u8::from(value)]),
            Slot::Int(value) => {
                out.push(2);
                put_signed(value, out);
            }
            Slot::UInt(value) => {
                out.push(3);
                put(value as usize, out);
            }
            Slot::Float(value) => {
                out.push(4);
                out.extend(value.to_le_bytes());
            }
        }
    }
}

/// Loads keys. Events that several of them hold are kept once.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    /// The events loaded so far by their sequence numbers, each with a reference.
    events: hashbrown::HashMap<u64, u32, ahash::RandomState>,
}

impl Loader {
    /// Adds what a key held to the store; its hash is still to be told. Nothing is added if the bytes are damaged.
    pub(crate) fn load(
        &mut self,
        bytes: &[u8],
        pattern: &Compiled,
        set: &PatternSet,
        store: &mut Store,
        table: &mut Table,
    ) -> Result<KeyState, Damaged> {
        let mut key = KeyState { first: NONE, hash: 0 };
        let mut steps = Vec::new();
        let mut read = Reader { bytes, at: 0 };
        let loaded = self.groups(&mut read, &mut steps, &mut key, pattern, set, store, table);
        // Those that are part of a partial match have a reference of its own by now.
        steps.into_iter().for_each(|step| store.release(step));
        if loaded.is_err() {
            key.clear(store);
        }
        loaded.map(|()| key)
    }

    /// All keys are loaded.
    pub(crate) fn finish(self, store: &mut Store) {
        self.events.into_values().for_each(|event| store.release_event(event));
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is what one key is made of")]
    fn groups(
        &mut self,
        read: &mut Reader<'_>,
        steps: &mut Vec<u32>,
        key: &mut KeyState,
        pattern: &Compiled,
        set: &PatternSet,
        store: &mut Store,
        table: &mut Table,
    ) -> Result<(), Damaged> {
        if read.byte()? != VERSION {
            read.at -= 1;
            return Err(read.damaged("version 1"));
        }
        let mut events = Vec::new();
        for _ in 0..read.count()? {
            events.push(self.event(read, set.kept_fields, store)?);
        }
        for _ in 0..read.count()? {
            let before = match read.number()? {
                0 => NONE,
                one_more => *steps.get(one_more as usize - 1).ok_or(read.damaged("the number of a step"))?,
            };
            let event = *read.of(&events)?;
            let stage = read.below(pattern.stages.len())?;
            steps.push(store.extend(before, event, stage));
        }
        let mut runs = BTreeSet::new();
        for _ in 0..read.count()? {
            let mut threads = Vec::new();
            for _ in 0..read.count()? {
                let position = read.number()?.min(u64::from(u32::MAX)) as u32;
                let fresh = read.byte()? != 0;
                let mut alive = Vec::new();
                for _ in 0..read.count()? {
                    alive.push(read.number()?.min(u64::from(u32::MAX)) as u32);
                }
                threads.push(Thread { position, fresh, alive });
            }
            let state = table
                .restore(&set.shapes[pattern.shape as usize], threads)
                .ok_or(read.damaged("a state of the pattern"))?;
            if state == DEAD || state == START {
                return Err(read.damaged("a state that waits"));
            }
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
            let first = store.sequence(store.nodes[node].first);
            store.hold(node);
            key.waiting_mut(store).push(Waiting { node, first, moment });
        }
        match (key.first, read.at == read.bytes.len()) {
            (NONE, _) => Err(read.damaged("a partial match")),
            (_, false) => Err(read.damaged("the end")),
            _ => Ok(()),
        }
    }

    fn event(&mut self, read: &mut Reader<'_>, fields: usize, store: &mut Store) -> Result<u32, Damaged> {
        let sequence = read.number()?;
        let time = Timestamp(read.signed()?);
        let short = |number: u64| u32::try_from(number);
        let stream = short(read.number()?).or(Err(read.damaged("a stream")))?;
        let partition = short(read.number()?).or(Err(read.damaged("a partition")))?;
        let offset = read.number()?;
        let object = read.number()?;
        let text = read.text()?;
        if object > text.len() as u64 || !text.is_char_boundary(object as usize) {
            return Err(read.damaged("an event's object"));
        }
        let (object, unescaped) = text.split_at(object as usize);
        let mut slots = Vec::new();
        for _ in 0..read.count()? {
            slots.push(read.slot(object, unescaped)?);
        }
        // A field that was not needed when the event was kept is not asked for either.
        slots.resize(fields.max(slots.len()), Slot::Null);
        let head = Head {
            time,
            position: Position { stream, partition, offset },
            kind: TypeId::NONE,
            raw: 0..object.len() as u32,
        };
        let row = Row { head: &head, text: object, unescaped, slots: &slots };
        Ok(*self.events.entry(sequence).or_insert_with(|| store.keep(&row, sequence)))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, expected: &'static str) -> Damaged {
        Damaged { at: self.at, expected }
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        let byte = *self.bytes.get(self.at).ok_or(self.damaged("more bytes"))?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number of at most 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// How many things follow, each of a byte at least.
    fn count(&mut self) -> Result<usize, Damaged> {
        self.below(self.bytes.len() - self.at + 1)
    }

    fn below(&mut self, limit: usize) -> Result<usize, Damaged> {
        let number = self.number()?;
        if number < limit as u64 { Ok(number as usize) } else { Err(self.damaged("a smaller number")) }
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> Result<&'t T, Damaged> {
        let number = self.below(all.len())?;
        Ok(&all[number])
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let len = self.count()?;
        let bytes = self.bytes.get(self.at..self.at + len).ok_or(self.damaged("a text"))?;
        let text = std::str::from_utf8(bytes).or(Err(self.damaged("UTF-8")))?;
        self.at += len;
        Ok(text)
    }

    fn slot(&mut self, object: &str, unescaped: &str) -> Result<Slot, Damaged> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Slot::Null,
            1 => Slot::Bool(self.byte()? != 0),
            2 => Slot::Int(self.signed()?),
            3 => Slot::UInt(self.number()?),
            4 => {
                let bytes = self.bytes.get(self.at..self.at + 8).ok_or(self.damaged("a float"))?;
                self.at += 8;
                Slot::Float(f64::from_bits(
                    bytes.iter().rev().fold(0, |bits, &byte| bits << 8 | u64::from(byte)),
                ))
            }
            5 | 7 => {
                let (at, len) = self.range(object)?;
                if tag == 5 { Slot::Str { at, len } } else { Slot::Json { at, len } }
            }
            6 => {
                let (at, len) = self.range_behind(object, unescaped)?;
                Slot::Unescaped { at, len }
            }
            _ => return Err(self.damaged("the kind of a value")),
        })
    }

    fn range(&mut self, text: &str) -> Result<(u32, u32), Damaged> {
        let (at, len) = (self.number()?, self.number()?);
        let range = at as usize..(at as usize).saturating_add(len as usize);
        text.get(range).map(|_| (at as u32, len as u32)).ok_or(self.damaged("a part of the event's text"))
    }

    /// A range of the unescaped text, which is counted on from the object's.
    fn range_behind(&mut self, object: &str, unescaped: &str) -> Result<(u32, u32), Damaged> {
        let (at, len) = (self.number()?, self.number()?);
        let begin =
            (at as usize).checked_sub(object.len()).ok_or(self.damaged("a part behind the object"))?;
        let range = begin..begin.saturating_add(len as usize);
        unescaped
            .get(range)
            .map(|_| (begin as u32, len as u32))
            .ok_or(self.damaged("a part of the event's text"))
    }
}
