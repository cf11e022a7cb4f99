//! Which of many patterns an event may change something for: found by the values and numbers that they ask for, so that
//! patterns that cannot react cost nothing. What is found may be too much, never too little: conditions are evaluated.

mod need;
mod ranges;
#[cfg(test)]
mod tests;

use self::need::{Anchor, Guard, Kind, Range, Token, number};
pub(crate) use self::need::{Need, Tokens};
use self::ranges::Ranges;
use crate::event::Row;

/// An index of patterns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// Those with a condition that only evaluating it can tell of, or that see every event.
    always: Vec<u32>,
    units: Vec<Unit>,
    /// Whether something was added since `finish`.
    is_open: bool,
}

/// What is looked up in one way, and has the same guards.
#[derive(Debug, Clone)]
struct Unit {
    slot: usize,
    guards: Box<[Guard]>,
    by: By,
    /// All of its patterns.
    patterns: Vec<u32>,
}

#[derive(Debug, Clone)]
enum By {
    Value(Kind, Values),
    Number(Ranges),
}

/// Patterns by the values that they ask for.
#[derive(Debug, Clone, Default)]
struct Values {
    /// By token, which are hashes: where its entries begin. Probed from a place that its lowest bits say; twice as long
    /// as there are tokens at least.
    places: Vec<Place>,
    /// In the order of the tokens.
    entries: Vec<(Token, Entry)>,
}

/// Where the entries of a token begin.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The token's highest bits.
    tag: u32,
    /// `NO_ENTRY` where there are none.
    first: u32,
}

const NO_ENTRY: u32 = u32::MAX;

/// A condition of a pattern behind a look-up.
#[derive(Debug, Clone, Copy)]
struct Entry {
    pattern: u32,
    /// The field that has to be in `range` besides.
    slot: u32,
    range: Range,
}

/// No field has to be in a range.
const NO_SLOT: u32 = u32::MAX;

impl Entry {
    #[inline]
    fn may_hold(&self, row: &Row<'_>) -> bool {
        self.slot == NO_SLOT || number(row.slots[self.slot as usize]).is_some_and(|x| x.meets(self.range))
    }
}

impl Index {
    /// Adds a pattern that every event may change something for.
    pub(crate) fn add_always(&mut self, pattern: u32) {
        self.always.push(pattern);
    }

    /// Adds a pattern by what a condition of it needs. Conditions of one pattern are added in a row.
    pub(crate) fn add(&mut self, pattern: u32, need: &Need) {
        self.is_open = true;
        let (slot, range) = need.besides.map_or((NO_SLOT, Range::ALL), |(slot, range)| (slot as u32, range));
        let entry = Entry { pattern, slot, range };
        match &need.anchor {
            Anchor::Equal(slot, kind, tokens) => {
                let fits = |by: &By| matches!(by, By::Value(other, _) if other == kind);
                let unit = self.unit(*slot, need, fits, || By::Value(*kind, Values::default()));
                unit.add(pattern);
                if let By::Value(_, values) = &mut unit.by {
                    values.entries.extend(tokens.iter().map(|&token| (token, entry)));
                }
            }
            Anchor::Within(slot, range) => {
                let fits = |by: &By| matches!(by, By::Number(_));
                let unit = self.unit(*slot, need, fits, || By::Number(Ranges::default()));
                unit.add(pattern);
                if let By::Number(ranges) = &mut unit.by {
                    ranges.add(*range, entry);
                }
            }
        }
    }

    fn unit(
        &mut self,
        slot: usize,
        need: &Need,
        fits: impl Fn(&By) -> bool,
        by: impl FnOnce() -> By,
    ) -> &mut Unit {
        let same = |unit: &Unit| unit.slot == slot && *unit.guards == *need.guards && fits(&unit.by);
        let at = self.units.iter().position(same).unwrap_or_else(|| {
            let guards = need.guards.as_slice().into();
            self.units.push(Unit { slot, guards, by: by(), patterns: Vec::new() });
            self.units.len() - 1
        });
        &mut self.units[at]
    }

    /// Takes a pattern out.
    pub(crate) fn remove(&mut self, pattern: u32) {
        self.always.retain(|&other| other != pattern);
        for unit in self.units.iter_mut().filter(|unit| unit.patterns.contains(&pattern)) {
            unit.patterns.retain(|&other| other != pattern);
            match &mut unit.by {
                By::Value(_, values) => values.remove(pattern),
                By::Number(ranges) => ranges.remove(pattern),
            }
        }
        self.units.retain(|unit| !unit.patterns.is_empty());
    }

    /// Whether nothing was added since `finish`.
    pub(crate) fn is_finished(&self) -> bool {
        !self.is_open
    }

    /// Has to be called when all patterns have been added. More can be added afterwards.
    pub(crate) fn finish(&mut self) {
        self.is_open = false;
        for unit in &mut self.units {
            match &mut unit.by {
                By::Value(_, values) => values.finish(),
                By::Number(ranges) => ranges.finish(),
            }
        }
    }

    /// Whether each pattern is found by what it needs.
    pub(crate) fn has_all(&self) -> bool {
        self.always.is_empty()
    }

    /// All patterns, where none is found by what it needs.
    #[inline]
    pub(crate) fn always(&self) -> Option<&[u32]> {
        self.units.is_empty().then_some(&self.always)
    }

    /// Whether there are patterns that an event may change something for.
    #[inline]
    pub(crate) fn may_concern(&self, row: &Row<'_>, tokens: &Tokens) -> bool {
        !self.always.is_empty()
            || self.units.iter().any(|unit| !unit.suits(row) || unit.any(row, tokens, |_| true))
    }

    /// Tells the patterns that an event may change something for, each once, in their order.
    #[inline]
    pub(crate) fn concerned(&self, row: &Row<'_>, tokens: &Tokens, into: &mut Vec<u32>) {
        into.clear();
        into.extend_from_slice(&self.always);
        let mut sources = usize::from(!into.is_empty());
        for unit in &self.units {
            let before = into.len();
            unit.concerned(row, tokens, into);
            sources += into.len() - before;
        }
        if sources > 1 {
            into.sort_unstable();
            into.dedup();
        }
    }
}

impl Unit {
    fn add(&mut self, pattern: u32) {
        if self.patterns.last() != Some(&pattern) {
            self.patterns.push(pattern);
        }
    }

    #[inline]
    fn concerned(&self, row: &Row<'_>, tokens: &Tokens, into: &mut Vec<u32>) {
        if !self.suits(row) {
            into.extend_from_slice(&self.patterns);
            return;
        }
        self.any(row, tokens, |entry| {
            into.push(entry.pattern);
            false
        });
    }

    /// Whether the fields are of the kinds that are looked up.
    #[inline]
    fn suits(&self, row: &Row<'_>) -> bool {
        self.guards.iter().all(|&(slot, kind)| kind.suits(row.slots[slot]))
    }

    /// Whether `with` is true of an entry that an event has what it takes for; it is asked of them until then.
    #[inline]
    fn any(&self, row: &Row<'_>, tokens: &Tokens, mut with: impl FnMut(&Entry) -> bool) -> bool {
        let mut with = |entry: &Entry| entry.may_hold(row) && with(entry);
        match &self.by {
            By::Value(kind, values) => {
                let token = tokens.of_field(row, self.slot, *kind);
                token.is_some_and(|token| values.of(token).any(with))
            }
            By::Number(ranges) => {
                number(row.slots[self.slot]).is_some_and(|number| ranges.any(number, &mut with))
            }
        }
    }
}

impl Values {
    fn finish(&mut self) {
        self.entries.sort_by_key(|(token, _)| *token);
        let tokens = self.entries.chunk_by(|a, b| a.0 == b.0).count();
        let empty = Place { tag: 0, first: NO_ENTRY };
        self.places.clear();
        self.places.resize((tokens * 2).next_power_of_two(), empty);
        let mut first = 0;
        for of_token in self.entries.chunk_by(|a, b| a.0 == b.0) {
            let token = of_token[0].0;
            let mut at = token as usize & (self.places.len() - 1);
            while self.places[at].first != NO_ENTRY {
                at = (at + 1) & (self.places.len() - 1);
            }
            self.places[at] = Place { tag: (token >> 32) as u32, first };
            first += of_token.len() as u32;
        }
    }

    fn remove(&mut self, pattern: u32) {
        self.entries.retain(|(_, entry)| entry.pattern != pattern);
        self.finish();
    }

    /// The entries of a token.
    #[inline]
    fn of(&self, token: Token) -> impl Iterator<Item = &Entry> {
        let (tag, last) = ((token >> 32) as u32, self.places.len() - 1);
        let mut at = token as usize & last;
        let mut from = self.entries.len();
        while self.places[at].first != NO_ENTRY {
            let first = self.places[at].first as usize;
            if self.places[at].tag == tag && self.entries[first].0 == token {
                from = first;
                break;
            }
            at = (at + 1) & last;
        }
        self.entries[from..].iter().take_while(move |(other, _)| *other == token).map(|(_, entry)| entry)
    }
}
