//! The state of one key of one pattern by itself, as bytes: what it takes to drop a key and to go on with it later as
//! if nothing had been. States are named by what they wait for and events are included, so nothing in the bytes
//! depends on the numbers that a table or a store happens to give.
//!
//! Layout, version 1; numbers are LEB128, signed ones zigzag:
//!
//! ```text
//! version
//! count of events, each: sequence, time, stream, partition, offset, length of the object, text, count of slots, those
//! what holds them: `runs` or `sets::saved`, as the pattern's storage is
//! ```
//!
//! A key that is given has a `name` besides. A state is what it waits for: count of threads, each: position, fresh, count of edges, those.

mod bytes;
mod name;
pub(super) mod runs;

use std::fmt;

pub(super) use self::bytes::{Reader, put};
use self::bytes::{put_event, zigzag};
pub(super) use self::name::{hash_of_name, put_name};
use super::set::{PatternSet, Shape};
use super::shard::Progress;
use super::store::Store;
use super::table::{DEAD, START, StateId, Table, Thread};
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

/// The events of what is saved, numbered in their order.
pub(super) struct Events<'a> {
    all: Vec<u32>,
    store: &'a Store,
}

impl<'a> Events<'a> {
    pub(super) fn new(mut all: Vec<u32>, store: &'a Store) -> Events<'a> {
        all.sort_unstable_by_key(|&event| store.sequence(event));
        all.dedup();
        Events { all, store }
    }

    /// The number of one of them.
    pub(super) fn number(&self, event: u32) -> usize {
        let sequence = self.store.sequence(event);
        self.all.partition_point(|&other| self.store.sequence(other) < sequence)
    }

    /// The beginning of what is saved: the version, and the events.
    pub(super) fn begin(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(self.all.len(), &mut out);
        for &event in &self.all {
            self.store.with_packed(event, |row| put_event(row, &mut out));
        }
        out
    }
}

pub(super) fn put_state(table: &Table, state: StateId, out: &mut Vec<u8>) {
    let threads = table.threads(state);
    put(threads.len(), out);
    for thread in threads {
        put(thread.position as usize, out);
        out.push(u8::from(thread.fresh));
        put(thread.alive.len(), out);
        thread.alive.iter().for_each(|&edge| put(edge as usize, out));
    }
}

/// A state that something can be in.
pub(super) fn state(read: &mut Reader<'_>, shape: &Shape, table: &mut Table) -> Result<StateId, Damaged> {
    let mut threads = Vec::new();
    for _ in 0..read.count()? {
        let position = read.short()?;
        let fresh = read.byte()? != 0;
        let mut alive = Vec::new();
        for _ in 0..read.count()? {
            alive.push(read.short()?);
        }
        threads.push(Thread { position, fresh, alive });
    }
    match table.restore(shape, threads) {
        None | Some(DEAD | START) => Err(read.damaged("a state of the pattern that waits")),
        Some(state) => Ok(state),
    }
}

/// How many events a state that was encoded holds.
pub(super) fn events_of(bytes: &[u8]) -> u64 {
    let mut read = Reader::new(bytes);
    read.byte().and_then(|_| read.number()).unwrap_or_default()
}

/// Loads keys. Events that several of them hold are kept once.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    /// The events loaded so far by their sequence numbers, each with a reference.
    events: hashbrown::HashMap<u64, u32, ahash::RandomState>,
    /// By slot: the one that the field had when the keys were encoded, where fields have been numbered anew.
    slots: Option<Vec<usize>>,
    /// By the number that a stream had then: its number, where streams have been numbered anew.
    streams: Option<Vec<Option<u32>>>,
    /// The latest moment at which a match became complete that waits.
    pub(super) moment: u64,
}

impl Loader {
    /// Of keys that were encoded with other numbers of fields: by slot, the one that the field had.
    pub(crate) fn of_slots(slots: Vec<usize>) -> Loader {
        Loader { slots: Some(slots), ..Loader::default() }
    }

    /// Of keys that an engine encoded when it had come so far.
    pub(crate) fn of_progress(progress: &Progress, set: &PatternSet) -> Loader {
        let (fields, streams) = (&set.schema().fields, &set.around.streams);
        let were = |field| progress.fields.iter().position(|other| other == field).unwrap_or(usize::MAX);
        let number = |name| streams.iter().position(|other| other == name).map(|number| number as u32);
        Loader {
            slots: (!fields.starts_with(&progress.fields)).then(|| fields.iter().map(were).collect()),
            streams: (!streams.starts_with(&progress.streams))
                .then(|| progress.streams.iter().map(number).collect()),
            ..Loader::default()
        }
    }

    /// Whether the keys are encoded otherwise than they would be now.
    pub(crate) fn translates(&self) -> bool {
        self.slots.is_some() || self.streams.is_some()
    }

    /// The version, and the events, kept as long as the loader holds them.
    pub(super) fn begin(
        &mut self,
        read: &mut Reader<'_>,
        set: &PatternSet,
        store: &mut Store,
    ) -> Result<Vec<u32>, Damaged> {
        if read.byte()? != VERSION {
            return Err(Damaged { at: 0, expected: "version 1" });
        }
        let mut events = Vec::new();
        for _ in 0..read.count()? {
            events.push(self.event(read, set.kept_fields, store)?);
        }
        Ok(events)
    }

    /// Lets go of the events loaded so far: keys that hold them and are still to come have them once again.
    pub(crate) fn let_go(&mut self, store: &mut Store) {
        self.events.drain().for_each(|(_, event)| store.release_event(event));
    }

    /// All keys are loaded.
    pub(crate) fn finish(self, store: &mut Store) {
        self.events.into_values().for_each(|event| store.release_event(event));
    }

    fn event(&mut self, read: &mut Reader<'_>, fields: usize, store: &mut Store) -> Result<u32, Damaged> {
        let sequence = read.number()?;
        let time = Timestamp(read.signed()?);
        let (mut stream, partition) = (read.short()?, read.short()?);
        if let Some(streams) = &self.streams {
            let known = streams.get(stream as usize).copied().flatten();
            stream = known.ok_or(read.damaged("a stream that is there"))?;
        }
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
        if let Some(were) = &self.slots {
            let of = |&were: &usize| slots.get(were).copied().unwrap_or(Slot::Null);
            slots = were.iter().take(fields).map(of).collect();
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
