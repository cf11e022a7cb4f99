//! The states of partial matches that began with one event, and what an event does to all of them at once.
//!
//! A skip strategy takes one match of those that begin with an event: of those complete first, the one that is ahead in
//! the order of language.md ("Time and order"). Partial matches in one state have the same future, so only the one
//! ahead can become that match. What is left is a list of states, each once, in the order of their paths: a ranking.
//! Where it leads does not depend on the paths themselves: a path that takes the event is ahead of the same path
//! without it, the earlier stage is ahead of the later, and what goes on from a path that is ahead is ahead.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::engine::store::NONE;
use crate::engine::table::{DEAD, NOTHING, START, StateId, Table};

/// The number of a ranking.
pub(super) type RankingId = u32;

/// The ranking before the first event.
pub(super) const BEGINNING: RankingId = 0;

/// So many rankings or moves are kept at hand.
const LIMIT: usize = 50_000;

type States = SmallVec<[StateId; 4]>;

/// Where a path comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// Its place in the ranking before.
    pub(super) from: u32,
    /// The stage that took the event; `NONE` if it is the path as it was.
    pub(super) stage: u32,
}

/// What an event does to the partial matches that began with one event.
#[derive(Debug)]
pub(super) enum Move {
    /// They are in other states, or have other paths: one for each state of the ranking.
    To(RankingId, SmallVec<[Origin; 2]>),
    /// One of them is the match.
    Complete(Origin),
    /// None is left.
    Over,
}

/// The rankings of one pattern in one shard that were met so far.
#[derive(Debug)]
pub(super) struct Rankings {
    all: Vec<States>,
    /// Empty where the states have new numbers.
    numbers: HashMap<States, RankingId, ahash::RandomState>,
    moves: Vec<Move>,
    /// By ranking and what the event does to each of its states, the move.
    known: HashMap<(RankingId, SmallVec<[u32; 4]>), u32, ahash::RandomState>,
    limit: usize,
}

impl Rankings {
    pub(super) fn new() -> Rankings {
        Rankings {
            all: vec![States::from_slice(&[START])],
            numbers: HashMap::default(),
            moves: Vec::new(),
            known: HashMap::default(),
            limit: LIMIT,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The states of a ranking in their order.
    pub(super) fn states(&self, ranking: RankingId) -> &[StateId] {
        &self.all[ranking as usize]
    }

    /// What an event does; none if nothing. `cell` says it for a state.
    #[inline]
    pub(super) fn step(
        &mut self,
        ranking: RankingId,
        table: &mut Table,
        cell: impl Fn(&mut Table, StateId) -> u32,
    ) -> Option<&Move> {
        let states = &self.all[ranking as usize];
        let cells: SmallVec<[u32; 4]> = states.iter().map(|&state| cell(table, state)).collect();
        if cells.iter().all(|&cell| cell == NOTHING) {
            return None;
        }
        let key = (ranking, cells);
        let number = match self.known.get(&key) {
            Some(&number) => number,
            None => self.make_move(key, table),
        };
        Some(&self.moves[number as usize])
    }

    #[cold]
    fn make_move(&mut self, key: (RankingId, SmallVec<[u32; 4]>), table: &Table) -> u32 {
        let made = self.transition(key.0, &key.1, table);
        let number = self.moves.len() as u32;
        self.moves.push(made);
        self.known.insert(key, number);
        number
    }

    fn transition(&mut self, ranking: RankingId, cells: &[u32], table: &Table) -> Move {
        let (mut to, mut origins) = (States::new(), SmallVec::new());
        let mut add = |state, origin| {
            if state != DEAD && !to.contains(&state) {
                to.push(state);
                origins.push(origin);
            }
        };
        for (from, (&state, &number)) in (0..).zip(self.all[ranking as usize].iter().zip(cells)) {
            let cell = &table.cells[number as usize];
            let mut takes = cell.takes.clone();
            takes.sort_unstable_by_key(|take| take.stage);
            for take in takes {
                let origin = Origin { from, stage: take.stage as u32 };
                if take.complete {
                    return Move::Complete(origin);
                }
                add(take.next, origin);
            }
            let as_it_was = Origin { from, stage: NONE };
            if cell.completes {
                return Move::Complete(as_it_was);
            }
            match number {
                _ if ranking == BEGINNING => {}
                NOTHING => add(state, as_it_was),
                _ => add(cell.keep, as_it_was),
            }
        }
        if to.is_empty() { Move::Over } else { Move::To(self.number(to), origins) }
    }

    /// The number of a ranking.
    pub(super) fn number(&mut self, states: States) -> RankingId {
        if self.numbers.is_empty() {
            self.numbers.extend(self.all.iter().cloned().zip(0..));
        }
        let (all, next) = (&mut self.all, self.numbers.len() as RankingId);
        *self.numbers.entry(states).or_insert_with_key(|states| {
            all.push(states.clone());
            next
        })
    }

    /// Whether there are more than should be kept at hand.
    pub(super) fn is_full(&self) -> bool {
        self.all.len().max(self.moves.len()) > self.limit
    }

    /// Forgets all rankings but those in use, which get new numbers.
    pub(super) fn retain<'a>(&mut self, in_use: impl Iterator<Item = &'a mut RankingId>) {
        let old = std::mem::replace(self, Rankings::new());
        for ranking in in_use {
            *ranking = self.number(old.all[*ranking as usize].clone());
        }
        self.limit = LIMIT.max(self.all.len() * 2);
    }

    /// All states of all rankings, for new numbers.
    pub(super) fn renumber(&mut self) -> impl Iterator<Item = &mut StateId> {
        self.numbers.clear();
        self.moves.clear();
        self.known.clear();
        self.all.iter_mut().skip(1).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_that_are_in_use_are_still_the_same_when_all_have_new_numbers() {
        let mut rankings = Rankings::new();
        let states = |number: u32| States::from_slice(&[number + 2, number + 3, 5_000]);
        let numbers: Vec<RankingId> = (0..1_000).map(|i| rankings.number(states(i))).collect();
        assert_eq!((numbers[0], numbers[999], rankings.number(states(0))), (1, 1_000, 1));
        let mut in_use = [numbers[700], numbers[3], numbers[700]];
        rankings.retain(in_use.iter_mut());
        assert_eq!((in_use, rankings.len()), ([1, 2, 1], 3));
        assert_eq!(in_use.map(|of| rankings.states(of)[0]), [702, 5, 702]);
        rankings.renumber().for_each(|state| *state += 10_000);
        let moved = |number: u32| states(number).into_iter().map(|state| state + 10_000).collect::<States>();
        assert_eq!(rankings.number(moved(3)), 2, "the same states have the same number");
        assert_eq!(rankings.number(states(3)), 3, "other states have their own");
        assert_eq!(rankings.states(BEGINNING), [START]);
    }
}
