//! What the conditions of patterns are for one event: asked at most once, in words of bits, before any key is looked
//! up.

use std::cell::Cell;
use std::sync::Arc;

use super::condition::Condition;
use super::gate::Asked;
use super::path::{Iterative, Unary};
use super::set::{AtomId, Compiled, PatternSet, Shape};
use super::store::{NONE, Store};
use super::table::{Bits, StateId, Table};
use crate::event::key::KeyHasher;
use crate::event::{Block, Row};
use crate::pattern::eval;

/// What is known of the event being taken, for all patterns.
pub(crate) struct Current<'a> {
    pub(crate) set: &'a PatternSet,
    pub(crate) row: &'a Row<'a>,
    /// The block that it is in, and its number there.
    pub(crate) block: (&'a Arc<Block>, u32),
    /// What is known of the conditions of the only pattern that it concerns.
    pub(crate) asked: Asked,
    /// Its number in the merged order.
    pub(crate) sequence: u64,
    /// Its number in the store, once some path has it.
    pub(crate) kept: Cell<u32>,
    pub(crate) type_errors: &'a Cell<u64>,
    /// Counts events and deadlines.
    pub(crate) moment: u64,
}

impl<'a> Current<'a> {
    fn unary(&self) -> Unary<'a> {
        Unary { row: self.row, around: &self.set.around, type_errors: self.type_errors }
    }

    /// Its number in the store, where it is kept from now on.
    #[inline]
    pub(crate) fn keep(&self, store: &mut Store) -> u32 {
        if self.kept.get() == NONE {
            let (block, number) = self.block;
            self.kept.set(store.keep_of(block, number, self.sequence));
        }
        self.kept.get()
    }

    /// A path that goes one step further, with this event.
    #[inline]
    pub(crate) fn extend(&self, pattern: &Compiled, store: &mut Store, before: u32, stage: usize) -> u32 {
        let event = self.keep(store);
        pattern.carries.extend(&self.set.around, store, before, event, stage)
    }
}

/// The hash of an event's key, made when the first pattern asks for it: most events concern none.
pub(crate) struct KeyHash<'a> {
    hasher: &'a KeyHasher,
    slots: &'a [usize],
    /// 0: not known yet.
    hash: Cell<u64>,
}

impl<'a> KeyHash<'a> {
    /// Of an event that has this key. `hash` is 0 where it is not known.
    pub(crate) fn new(hasher: &'a KeyHasher, slots: &'a [usize], hash: u64) -> KeyHash<'a> {
        KeyHash { hasher, slots, hash: Cell::new(hash) }
    }

    /// The slots of the key's fields.
    pub(crate) fn slots(&self) -> &'a [usize] {
        self.slots
    }

    #[inline]
    pub(crate) fn get(&self, row: &Row<'_>) -> u64 {
        if self.hash.get() == 0 {
            self.hash.set(self.hasher.hash(row, self.slots));
        }
        self.hash.get()
    }
}

/// What predicates were for the current event, for those that take more than a glance.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// The sequence number of the event that the answer is for plus one, and the answer in the lowest bit; and the type
    /// errors that the answer cost. They count for each condition that asks, so that it does not matter which of them
    /// share an answer.
    answers: Vec<(u64, u32)>,
}

impl Memo {
    #[inline]
    fn get(
        &mut self,
        index: u32,
        sequence: u64,
        type_errors: &Cell<u64>,
        ask: impl FnOnce() -> bool,
    ) -> bool {
        let (known, errors) = self.answers[index as usize];
        let before = type_errors.get();
        if known >> 1 == sequence + 1 {
            type_errors.set(before + u64::from(errors));
            return known & 1 == 1;
        }
        let answer = ask();
        let errors = (type_errors.get() - before) as u32;
        self.answers[index as usize] = ((sequence + 1) << 1 | u64::from(answer), errors);
        answer
    }
}

/// What the conditions of one pattern are for the current event, as far as the event alone says: a bit each.
#[derive(Debug)]
pub(crate) struct Truths {
    yes: Vec<u64>,
    /// What depends on the partial match.
    depends: Vec<u64>,
    memo: Memo,
}

impl Default for Truths {
    fn default() -> Self {
        Truths { yes: vec![0], depends: vec![0], memo: Memo::default() }
    }
}

impl Truths {
    /// Makes room for so many predicates.
    pub(crate) fn grow(&mut self, predicates: usize) {
        self.memo.answers.resize(predicates, (0, 0));
    }

    /// Asks all conditions of a pattern; whether any is or may be true.
    #[inline]
    pub(crate) fn ask(&mut self, event: &Current<'_>, pattern: &Compiled) -> bool {
        let (yes, depends) = match event.asked.conditions() {
            Some(conditions) => (conditions & !pattern.iterative, conditions & pattern.iterative),
            None if pattern.atoms.len() > 64 => return self.ask_many(event, pattern),
            None => self.word(event, &pattern.atoms),
        };
        (self.yes[0], self.depends[0]) = (yes, depends);
        yes | depends != 0
    }

    #[cold]
    fn ask_many(&mut self, event: &Current<'_>, pattern: &Compiled) -> bool {
        let words = pattern.atoms.len().div_ceil(64);
        self.yes.resize(words.max(self.yes.len()), 0);
        self.depends.resize(words.max(self.depends.len()), 0);
        let mut any = false;
        for (word, atoms) in pattern.atoms.chunks(64).enumerate() {
            (self.yes[word], self.depends[word]) = self.word(event, atoms);
            any |= self.yes[word] | self.depends[word] != 0;
        }
        any
    }

    /// Up to 64 conditions: those that are true, and those that depend on the partial match.
    #[inline]
    fn word(&mut self, event: &Current<'_>, atoms: &[Condition]) -> (u64, u64) {
        let (row, all) = (event.row, &event.set.predicates);
        let (mut yes, mut depends, mut bit) = (0, 0, 1_u64);
        'atoms: for atom in atoms {
            let this = bit;
            bit <<= 1;
            if !atom.types.has(row.head.kind) {
                continue;
            }
            for &predicate in &atom.unary {
                let holds = match all.quickly(predicate, row.slots, row.text) {
                    Some(answer) => answer,
                    None => self.slowly(predicate, event),
                };
                if !holds {
                    continue 'atoms;
                }
            }
            if atom.iterative.is_empty() {
                yes |= this;
            } else {
                depends |= this;
            }
        }
        (yes, depends)
    }

    #[inline(never)]
    fn slowly(&mut self, predicate: u32, event: &Current<'_>) -> bool {
        let ask = || event.set.predicates.slowly(predicate, event.row, &event.unary());
        self.memo.get(predicate, event.sequence, event.type_errors, ask)
    }

    /// What the event does to all partial matches in a state; none where that depends on more.
    #[inline(always)]
    pub(crate) fn cell(&self, table: &mut Table, shape: &Shape, state: StateId) -> Option<u32> {
        if table.is_narrow() {
            let of = &table.states[state as usize];
            let (truths, depends) = (self.yes[0] & of.mask, self.depends[0] & of.mask);
            return (depends == 0).then(|| table.narrow_cell(shape, state, truths));
        }
        self.wide_cell(table, shape, state)
    }

    #[inline(never)]
    fn wide_cell(&self, table: &mut Table, shape: &Shape, state: StateId) -> Option<u32> {
        let bits = self.shared(&table.states[state as usize].care)?;
        Some(table.cell(shape, state, &bits))
    }

    /// What the event does to a partial match in a state.
    pub(crate) fn cell_of_run(
        &self,
        table: &mut Table,
        state: StateId,
        event: &Current<'_>,
        pattern: &Compiled,
        store: &Store,
        node: u32,
    ) -> u32 {
        let shape = &event.set.shapes[pattern.shape as usize];
        let of = &table.states[state as usize];
        if table.is_narrow() {
            let truths = self.narrow_of_run(of.mask, event, pattern, store, node);
            return table.narrow_cell(shape, state, truths);
        }
        let bits = self.of_run(&of.care, event, pattern, store, node);
        table.cell(shape, state, &bits)
    }

    /// Of the conditions of a narrow pattern those that are true for a partial match, as far as `mask` asks for them.
    fn narrow_of_run(
        &self,
        mask: u64,
        event: &Current<'_>,
        pattern: &Compiled,
        store: &Store,
        node: u32,
    ) -> u64 {
        let (mut truths, mut left) = (self.yes[0] & mask, self.depends[0] & mask);
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            truths |= u64::from(is_true_of_run(bit as usize, event, pattern, store, node)) << bit;
        }
        truths
    }

    /// The conditions of a state that are true, where the event alone says; none where some depend on the partial match.
    #[inline]
    fn shared(&self, care: &[AtomId]) -> Option<Bits> {
        let mut depends = 0;
        let bits = gather(care, |word, bit| {
            depends |= self.depends[word] >> bit;
            self.yes[word] >> bit & 1
        });
        (depends & 1 == 0).then_some(bits)
    }

    /// The conditions of a state that are true for a partial match.
    fn of_run(
        &self,
        care: &[AtomId],
        event: &Current<'_>,
        pattern: &Compiled,
        store: &Store,
        node: u32,
    ) -> Bits {
        gather(care, |word, bit| {
            if self.depends[word] >> bit & 1 == 0 {
                return self.yes[word] >> bit & 1;
            }
            u64::from(is_true_of_run(word * 64 + bit, event, pattern, store, node))
        })
    }
}

/// Whether what depends on the partial match is true of a condition.
fn is_true_of_run(atom: usize, event: &Current<'_>, pattern: &Compiled, store: &Store, node: u32) -> bool {
    let env = Iterative { tested: event.unary(), store, node, carries: &pattern.carries };
    pattern.atoms[atom].iterative.iter().all(|e| eval::is_true(e, &env))
}

/// One bit for each of the conditions, in their order.
#[inline]
fn gather(care: &[AtomId], mut of: impl FnMut(usize, usize) -> u64) -> Bits {
    let mut bits = Bits::new();
    for atoms in care.chunks(64) {
        let mut word = 0;
        for (i, &atom) in atoms.iter().enumerate() {
            word |= of(atom as usize / 64, atom as usize % 64) << i;
        }
        bits.push(word);
    }
    bits
}
