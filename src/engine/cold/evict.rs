//! Which keys become cold, and when: where more is held than the budget, a hand goes over the keys of one pattern after
//! the other. It leaves those that changed since it was there last, unless all did.

use super::{Cold, Record};
use crate::engine::changed::Tag;
use crate::engine::keys::Found;
use crate::engine::saved::put_name;
use crate::engine::shard::Engine;
use crate::engine::store::Store;
use crate::engine::table::Table;
use crate::event::Timestamp;
use crate::pattern::plan::Within;

/// Where evicting goes on.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The pattern.
    pattern: u32,
    /// How many events had been taken when it last began.
    began: Option<u64>,
    /// Whether the budget was exceeded, and not yet enough was given back.
    goes_on: bool,
    /// Deadlines of keys that are cold by now, of which some may still be in their queues.
    stale: usize,
}

/// So many keys become cold at once at most: others wait for the next batch, so that events do not wait for long.
const AT_ONCE: usize = 1 << 14;

/// What is left when evicting ends, in sixteenths of the budget.
const LEFT: usize = 12;

/// Takes keys of one pattern out of memory.
pub(crate) struct Evict<'a> {
    /// The slots of the key's fields.
    slots: &'a [usize],
    pub(crate) within: Option<Within>,
    pub(crate) table: &'a Table,
    pub(crate) store: &'a mut Store,
    /// Where to begin.
    pub(crate) hand: Found,
    number: u32,
    cold: &'a mut Cold,
    /// Keys that took an event from this one on stay.
    before: u64,
    /// Bytes of the store that may stay.
    keep: usize,
    /// How many keys may go.
    left: usize,
}

/// A key that is hot.
pub(crate) struct Hot {
    pub(crate) tag: Tag,
    /// Some event that it holds.
    pub(crate) event: u32,
    /// The number of the event that it took last.
    pub(crate) newest: u64,
    /// Its next deadline.
    pub(crate) deadline: Option<Timestamp>,
}

impl Evict<'_> {
    /// Whether more keys are to go.
    pub(crate) fn goes_on(&self) -> bool {
        self.left > 0 && self.cold.refused.is_none() && self.store.bytes().1 > self.keep
    }

    /// Whether a key is cold from now on: then it is to be dropped. If not, it stays as it is.
    pub(crate) fn takes(&mut self, hot: &Hot, state: impl FnOnce(&Store) -> Vec<u8>) -> bool {
        if hot.newest >= self.before {
            return false;
        }
        let Cold { spill, of, calendar, record, turns, refused, .. } = &mut *self.cold;
        let Some(spill) = spill else { return false };
        let window = hot.deadline.zip(self.within);
        if window.is_some_and(|(at, within)| calendar.is_near(at, within.span)) {
            return false;
        }
        let mut name = Vec::new();
        put_name(&self.store.row(hot.event), self.slots, &mut name);
        let (number, hash) = (self.number, hot.tag.hash());
        Record { pattern: number, hash, name: &name, state: &state(self.store) }.put(record);
        match spill.put(record) {
            Ok(place) => of[number as usize].table.insert(hot.tag, place),
            Err(why) => {
                *refused = Some(why);
                return false;
            }
        }
        if let Some((at, within)) = window {
            let table = &of[number as usize].table;
            calendar.add(at, within.span, number, hash, |hash| table.find(hash, |_| true).is_some());
            turns.stale += 1;
        }
        self.left -= 1;
        true
    }
}

impl Engine {
    /// About how many bytes are held: by keys and what they share, their deadlines, and what is known of cold keys.
    pub fn held_bytes(&self) -> usize {
        self.store.bytes().0 + self.other_bytes()
    }

    fn other_bytes(&self) -> usize {
        let runners = self.runners.iter().map(|runner| runner.bytes()).sum::<usize>();
        let cold = self.cold.of.iter().map(|keys| keys.table.bytes()).sum::<usize>();
        runners + cold + self.cold.calendar.bytes + self.deadlines.bytes()
    }

    pub(in crate::engine) fn is_over_budget(&self) -> bool {
        self.cold.spill.is_some() && (self.cold.turns.goes_on || self.held_bytes() > self.cold.budget)
    }

    /// Makes keys cold where more is held than the budget.
    #[inline]
    pub(in crate::engine) fn keep_to_budget(&mut self) {
        if self.is_over_budget() {
            self.evict_some(self.cold.budget / 16 * LEFT, AT_ONCE);
        }
    }

    /// Makes keys cold until about so many bytes are held, or no more can be given up.
    pub fn evict(&mut self, keep: usize) {
        self.evict_some(keep, usize::MAX);
    }

    fn evict_some(&mut self, keep: usize, mut left: usize) {
        if self.cold.spill.is_none() || self.cold.is_lost() || self.runners.is_empty() {
            return;
        }
        let began = self.cold.turns.began.unwrap_or(self.sequence / 2);
        if !self.cold.turns.goes_on {
            self.cold.turns.began = Some(self.sequence);
        }
        self.cold.refused = None;
        for before in [began, u64::MAX] {
            for _ in 0..self.runners.len() {
                let number = self.cold.turns.pattern % self.runners.len() as u32;
                let of_store = keep.saturating_sub(self.other_bytes());
                let Engine { set, runners, tables, store, cold, .. } = &mut *self;
                let compiled = &set.patterns[number as usize];
                let hand = cold.of[number as usize].hand;
                let mut evict = Evict {
                    slots: &set.schema().keys[compiled.key],
                    within: compiled.within,
                    table: &tables[compiled.shape as usize],
                    store,
                    hand,
                    number,
                    cold,
                    before,
                    keep: of_store,
                    left,
                };
                runners[number as usize].evict(&mut evict);
                let (hand, goes_on) = (evict.hand, evict.goes_on());
                left = evict.left;
                cold.of[number as usize].hand = hand;
                if !goes_on {
                    break;
                }
                cold.turns.pattern = number + 1;
            }
        }
        self.cold.turns.goes_on = left == 0;
        if left > 0 {
            self.store.gather();
        }
        if self.cold.turns.stale > self.deadlines.len() / 2 {
            self.cold.turns.stale = 0;
            self.deadlines.forget_gone(&self.store);
        }
        if let Err(why) = self.cold.tidy(&self.set.heirs) {
            self.cold.refused = Some(why);
        }
    }
}

impl Cold {
    /// Puts records anew that lie among many that are not needed.
    fn tidy(&mut self, heirs: &[u32]) -> Result<(), String> {
        let Cold { spill: Some(spill), of, record, .. } = self else { return Ok(()) };
        for place in spill.sparse()? {
            spill.get(place, record)?;
            let Ok(Record { pattern, hash, .. }) = Record::read(record) else { continue };
            let table = heirs.get(pattern as usize).and_then(|&heir| of.get_mut(heir as usize));
            let Some(table) = table.map(|keys| &mut keys.table) else { continue };
            if let Some(found) = table.find(hash, |at| at == place) {
                table.set(found, spill.put(record)?);
                spill.remove(place);
            }
        }
        Ok(())
    }
}
