//! State larger than memory: keys that were not used for longest lie outside, as bytes, and are loaded when an event or
//! a deadline needs them. The output is the same with any budget.
//!
//! Of a cold key there stays in memory: a part of its hash and its record's place (8 bytes in a table, as a hot key has
//! them), and where its windows close the hash once more, in the calendar. Both may say too much, never too little: equal
//! hashes are loaded all, and a key is loaded before its next deadline by up to a part of the window. What is known of its
//! last change stays with it, so keys that are cold are given away like others.

pub(super) mod evict;
mod look;
mod table;

use std::fmt;

use self::table::{ColdKeys, Held};
use super::changed::{Changes, Given};
use super::deadlines::Deadlines;
use super::keys;
use super::matched::MatchSink;
use super::matcher::{Matcher, Restoring};
use super::saved::{Damaged, Loader, Reader, put};
use super::set::PatternSet;
use super::shard::{Engine, SavedKey};
use super::store::Store;
use super::table::Table;
use super::truths::{Current, KeyHash, Truths};
use crate::event::Timestamp;
use crate::event::key::KeyHasher;

/// Cold keys that are read together, in the order in which they lie.
const READ_TOGETHER: usize = 1 << 16;

/// So many keys are restored or loaded before the budget is looked at.
const UNLOOKED: u32 = 1024;

/// Where keys lie that have no room in memory: records that need not outlive the engine.
pub trait Spill: fmt::Debug + Send {
    /// Keeps a record; its place, which is any number but the greatest. After an error, it is not kept, and all others
    /// still are.
    fn put(&mut self, record: &[u8]) -> Result<u32, String>;

    /// Reads the record of a place.
    fn get(&self, place: u32, into: &mut Vec<u8>) -> Result<(), String>;

    /// The record of a place is not needed any more.
    fn remove(&mut self, place: u32);

    /// Places around which hardly any record is needed, so that room could be given back if those that are were put
    /// anew; they may be among others that are not needed.
    fn sparse(&mut self) -> Result<Vec<u32>, String>;
}

/// The keys of a shard that lie outside.
#[derive(Debug)]
pub(super) struct Cold {
    spill: Option<Box<dyn Spill>>,
    /// About so many bytes may be held.
    budget: usize,
    /// By pattern.
    of: Vec<ColdKeys>,
    calendar: table::Calendar,
    /// Why a key could not be loaded: nothing is right any more from then on.
    lost: Option<String>,
    /// Why a key could not be given up.
    refused: Option<String>,
    turns: evict::Turns,
    /// Restored since the budget was looked at.
    unlooked: u32,
    record: Vec<u8>,
}

impl Default for Cold {
    fn default() -> Self {
        Cold {
            spill: None,
            budget: usize::MAX,
            of: Vec::new(),
            calendar: table::Calendar::default(),
            lost: None,
            refused: None,
            turns: evict::Turns::default(),
            unlooked: 0,
            record: Vec::new(),
        }
    }
}

/// What keys are loaded into.
pub(super) struct Warm<'a> {
    pub(super) set: &'a PatternSet,
    pub(super) hasher: &'a KeyHasher,
    pub(super) tables: &'a mut [Table],
    pub(super) runners: &'a mut [Matcher],
    pub(super) deadlines: &'a mut Deadlines,
    pub(super) store: &'a mut Store,
}

/// A key as it lies outside.
struct Record<'a> {
    /// The number that its pattern had then.
    pattern: u32,
    hash: u32,
    held: Held,
    name: &'a [u8],
    state: &'a [u8],
}

impl<'a> Record<'a> {
    fn put(&self, into: &mut Vec<u8>) {
        into.clear();
        put(self.pattern as usize, into);
        put(self.hash as usize, into);
        put(self.held.partial_matches as usize, into);
        put(self.held.bytes as usize, into);
        put(self.name.len(), into);
        into.extend_from_slice(self.name);
        into.extend_from_slice(self.state);
    }

    fn read(bytes: &'a [u8]) -> Result<Record<'a>, Damaged> {
        let mut read = Reader::new(bytes);
        let (pattern, hash) = (read.short()?, read.short()?);
        let held = Held { partial_matches: read.number()?, bytes: read.number()? };
        let len = read.count()?;
        let (name, state) = read.rest().split_at_checked(len).ok_or(read.damaged("a key's name"))?;
        Ok(Record { pattern, hash, held, name, state })
    }
}

impl Cold {
    /// Whether some keys of a pattern are cold.
    #[inline]
    pub(super) fn has(&self, pattern: u32) -> bool {
        self.of.get(pattern as usize).is_some_and(|keys| !keys.table.is_empty())
    }

    /// Whether some keys of a pattern are cold that may have this hash.
    #[inline]
    pub(super) fn has_key(&self, pattern: u32, hash: u32) -> bool {
        self.of.get(pattern as usize).is_some_and(|keys| keys.table.find(hash, |_| true).is_some())
    }

    /// What the cold keys of a pattern hold.
    pub(super) fn held(&self, pattern: u32) -> Held {
        self.of.get(pattern as usize).map_or(Held::default(), |keys| keys.held)
    }

    /// How many keys of a pattern are cold.
    pub(super) fn keys(&self, pattern: u32) -> usize {
        self.of.get(pattern as usize).map_or(0, |keys| keys.table.len())
    }

    /// Whether keys have to be loaded before time reaches this.
    #[inline]
    pub(super) fn is_due(&self, to: Timestamp) -> bool {
        self.calendar.next <= to
    }

    /// Whether a key could not be loaded.
    #[inline]
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Makes room for so many patterns.
    pub(super) fn resize(&mut self, patterns: usize) {
        self.of.resize_with(patterns, ColdKeys::default);
    }

    /// A pattern goes on with what another one has.
    pub(super) fn take_over(&mut self, number: u32, old: u32) {
        self.of.swap(number as usize, old as usize);
    }

    /// Forgets the keys of a pattern.
    pub(super) fn clear(&mut self, pattern: u32) {
        let keys = std::mem::take(&mut self.of[pattern as usize]);
        if let Some(spill) = &mut self.spill {
            keys.table.iter().for_each(|place| spill.remove(place));
        }
    }

    /// Drops the keys of a pattern, as something that happened to them.
    pub(super) fn drop_all(&mut self, pattern: u32, changes: &mut Changes) {
        let mut keys = std::mem::take(&mut self.of[pattern as usize]);
        let Cold { spill: Some(spill), record, lost, .. } = self else { return };
        for (tag, place) in keys.table.tags() {
            let read = match tag.is_given() {
                true => spill.get(place, record).and_then(|()| {
                    let record = Record::read(record).map_err(|damaged| damaged.to_string())?;
                    changes.end_named(*tag, record.name);
                    Ok(())
                }),
                false => Ok(()),
            };
            if let Err(why) = read {
                *lost = Some(why);
                return;
            }
            spill.remove(place);
        }
    }

    /// Loads what an event of a key needs, if it may change anything for the pattern. False: that failed.
    #[cold]
    pub(super) fn load_for(
        &mut self,
        event: &Current<'_>,
        key: &KeyHash<'_>,
        number: u32,
        truths: &mut Truths,
        into: &mut Warm<'_>,
    ) -> bool {
        let pattern = &event.set.patterns[number as usize];
        // The runner asks again; type errors count once.
        let before = event.type_errors.get();
        let concerns = truths.ask(event, pattern) || pattern.sees_all;
        event.type_errors.set(before);
        !concerns || self.load(number, key.get(event.row) as u32, into)
    }

    /// Loads the keys of a pattern that have this hash. False: that failed, and nothing is right any more.
    pub(super) fn load(&mut self, pattern: u32, hash: u32, into: &mut Warm<'_>) -> bool {
        while let Some(found) = self.of[pattern as usize].table.find(hash, |_| true) {
            if let Err(why) = self.load_one(pattern, found, into) {
                self.lost = Some(why);
                return false;
            }
        }
        true
    }

    fn load_one(&mut self, pattern: u32, found: keys::Found, into: &mut Warm<'_>) -> Result<(), String> {
        let keys = &mut self.of[pattern as usize];
        let (tag, place) = (keys.table.tag(found), keys.table.get(found));
        let Some(spill) = &mut self.spill else { return Err("nothing lies outside".to_owned()) };
        spill.get(place, &mut self.record)?;
        let record = Record::read(&self.record).map_err(|damaged| damaged.to_string())?;
        // One that nobody was given begins like a new one: that marks it as changed.
        let again = tag.is_changed(tag.hash());
        let given = tag.is_given().then_some(Given { name: record.name, again });
        let Warm { set, hasher, tables, runners, deadlines, store } = into;
        let table = &mut tables[set.patterns[pattern as usize].shape as usize];
        let restoring = Restoring { set, hasher, table, given };
        let mut loader = Loader::default();
        let runner = &mut runners[pattern as usize];
        let loaded = runner.load(record.state, &mut loader, restoring, deadlines, store);
        loader.finish(store);
        loaded.map_err(|damaged| damaged.to_string())?;
        keys.remove(found, record.held);
        spill.remove(place);
        Ok(())
    }

    /// Gives the cold keys of a pattern that changed, or all. Comes before the hot ones are given. False: that failed.
    pub(super) fn give(
        &mut self,
        pattern: u32,
        changes: &mut Changes,
        all: bool,
        take: &mut dyn FnMut(&[u8], &[u8]),
    ) -> bool {
        let given = self.try_give(pattern, changes, all, take);
        self.lost = given.err();
        !self.is_lost()
    }

    fn try_give(
        &mut self,
        pattern: u32,
        changes: &mut Changes,
        all: bool,
        take: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), String> {
        let Cold { spill: Some(spill), of, record, .. } = self else { return Ok(()) };
        let table = &mut of[pattern as usize].table;
        let mut places = Vec::new();
        let mut read = |places: &mut Vec<u32>, changes: &mut Changes| {
            places.sort_unstable();
            for place in places.drain(..) {
                spill.get(place, record)?;
                let record = Record::read(record).map_err(|damaged| damaged.to_string())?;
                changes.forget_end(record.name);
                take(record.name, record.state);
            }
            Ok::<(), String>(())
        };
        if changes.wants_all(all) {
            for (tag, place) in table.tags() {
                tag.give();
                places.push(place);
                if places.len() == READ_TOGETHER {
                    read(&mut places, changes)?;
                }
            }
        } else {
            for at in 0..changes.touched().len() {
                let hash = changes.touched()[at];
                while let Some((tag, place)) = table.changed(hash) {
                    tag.give();
                    places.push(place);
                }
                if places.len() >= READ_TOGETHER {
                    read(&mut places, changes)?;
                }
            }
        }
        read(&mut places, changes)
    }
}

impl Engine {
    /// Holds about so many bytes from now on; what was not used for longest goes to `spill`, and comes back when it is
    /// needed. The bytes are those of keys and of what is known of cold ones; what suppression knows, and partial matches
    /// that are held as sets, stay in memory.
    pub fn spill(&mut self, spill: Box<dyn Spill>, bytes: usize) {
        self.cold.spill = Some(spill);
        self.cold.budget = bytes;
    }

    /// Why a key that lay outside could not be read. The engine takes and gives nothing from then on.
    pub fn lost(&self) -> Option<&str> {
        self.cold.lost.as_deref()
    }

    /// Why keys could not be given up when that was last tried: more is held than there should be.
    pub fn refused(&self) -> Option<&str> {
        self.cold.refused.as_deref()
    }

    /// How many keys lie outside.
    pub fn cold_keys(&self) -> usize {
        self.cold.of.iter().map(|keys| keys.table.len()).sum()
    }

    /// When the next deadline passes at which something may be found, or keys have to be loaded for one; none where nothing
    /// waits for time.
    pub fn due(&mut self) -> Option<Timestamp> {
        self.deadlines
            .next(Timestamp::MAX, &self.store)
            .into_iter()
            .chain(self.cold.calendar.due(Timestamp::MAX))
            .min()
    }

    /// Passes deadlines up to a time where keys have to be loaded for that: a stretch of time after the other, so that
    /// memory suffices however far time goes.
    #[cold]
    pub(super) fn pass_loading(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
        while let Some(begin) = self.cold.calendar.due(to).filter(|_| !self.cold.is_lost()) {
            self.pass_deadlines(Timestamp(begin.0.saturating_sub(1)), sink);
            self.load_due();
            self.keep_to_budget();
        }
        if !self.cold.is_lost() {
            self.pass_deadlines(to, sink);
        }
    }

    /// Loads the keys of the calendar's first leaf.
    fn load_due(&mut self) {
        let Some((pattern, hashes)) = self.cold.calendar.pop() else { return };
        let pattern = self.set.heirs[pattern as usize];
        let Engine { set, hasher, runners, tables, deadlines, store, cold, .. } = self;
        let mut into = Warm { set, hasher, tables, runners, deadlines, store };
        // As they lie outside, which is not as they are hashed.
        let table = &cold.of[pattern as usize].table;
        let place = |hash: u32| Some((table.get(table.find(hash, |_| true)?), hash));
        let mut places: Vec<(u32, u32)> = hashes.into_iter().filter_map(place).collect();
        places.sort_unstable();
        for (_, hash) in places {
            if !cold.load(pattern, hash, &mut into) {
                return;
            }
        }
    }

    /// Loads all keys.
    pub(super) fn load_all(&mut self) {
        for pattern in 0..self.cold.of.len() as u32 {
            let Engine { set, hasher, runners, tables, deadlines, store, cold, .. } = self;
            let mut into = Warm { set, hasher, tables, runners, deadlines, store };
            while let Some(found) = cold.of[pattern as usize].table.next(keys::Found::default()) {
                if let Err(why) = cold.load_one(pattern, found, &mut into) {
                    cold.lost = Some(why);
                    return;
                }
            }
        }
    }

    /// Goes on with the keys that lay outside of an engine with other numbers: its patterns' numbers here, and what reads
    /// its keys.
    pub(super) fn load_renumbered(
        &mut self,
        cold: Cold,
        numbers: &[Option<u32>],
        loader: impl Fn() -> Loader,
    ) -> Result<(), Damaged> {
        let Cold { spill, budget, of, lost, .. } = cold;
        (self.cold.spill, self.cold.budget, self.cold.lost) = (spill, budget, lost);
        let mut result = Ok(());
        for (keys, number) in of.into_iter().zip(numbers) {
            let mut places = keys.table.iter();
            loop {
                let mut saved = Vec::new();
                for place in places.by_ref().take(UNLOOKED as usize) {
                    let Some(spill) = self.cold.spill.as_mut() else { return result };
                    if let Err(why) = spill.get(place, &mut self.cold.record) {
                        self.cold.lost = Some(why);
                        return result;
                    }
                    spill.remove(place);
                    let state = Record::read(&self.cold.record)?.state.to_vec();
                    saved.extend(number.map(|pattern| SavedKey { pattern, bytes: state }));
                }
                if saved.is_empty() {
                    break;
                }
                result = result.and(self.load_by(loader(), &saved));
                self.keep_to_budget();
            }
        }
        result
    }

    /// Looks at the budget, once in a while.
    pub(super) fn note_restored(&mut self) {
        self.cold.unlooked += 1;
        if self.cold.unlooked >= UNLOOKED {
            self.cold.unlooked = 0;
            if self.is_over_budget() {
                self.loader.let_go(&mut self.store);
                self.keep_to_budget();
            }
        }
    }
}
