//! Which keys of a pattern changed since they were last given away: two bits beside each key's hash, the hashes of those
//! that changed, and the names of those that have ended.

use std::collections::BTreeSet;

use super::saved::put_name;
use super::store::Store;
use super::table::Table;
use crate::event::Fields;

/// Changed since it was given.
const CHANGED: u32 = 1 << 31;
/// Whoever keeps what is given has it.
const GIVEN: u32 = 1 << 30;
const HASH: u32 = GIVEN - 1;

/// Part of a key's hash, and what is known of its last change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    /// Of a key that was never given.
    #[inline]
    pub(crate) fn new(hash: u32) -> Tag {
        Tag(hash & HASH)
    }

    /// The part of the hash.
    #[inline]
    pub(crate) fn hash(self) -> u32 {
        self.0 & HASH
    }

    #[inline]
    pub(crate) fn is_given(self) -> bool {
        self.0 & GIVEN != 0
    }

    /// Whether it is a changed key of a hash.
    pub(crate) fn is_changed(self, hash: u32) -> bool {
        (self.0 ^ hash) & (HASH | CHANGED) == CHANGED
    }

    /// It is given as it is.
    pub(crate) fn give(&mut self) {
        self.0 = self.0 & HASH | GIVEN;
    }
}

/// Of a key that is loaded: that it was given, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) name: &'a [u8],
    /// Whether it has to be given again, as it would be encoded otherwise now.
    pub(crate) again: bool,
}

/// The changes of a pattern's keys.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Nothing is noted before somebody asks: then all keys are new to him.
    is_on: bool,
    /// The hashes of changed keys; of some more than once, and of some that are gone.
    touched: Vec<u32>,
    /// The names of given keys that hold nothing any more. A key that began again is among them.
    ended: BTreeSet<Vec<u8>>,
}

impl Changes {
    /// Changes are noted from now on.
    pub(crate) fn turn_on(&mut self) {
        self.is_on = true;
    }

    /// A key changed.
    #[inline]
    pub(crate) fn touch(&mut self, tag: &mut Tag) {
        if self.is_on && tag.0 & CHANGED == 0 {
            self.note(tag);
        }
    }

    fn note(&mut self, tag: &mut Tag) {
        tag.0 |= CHANGED;
        self.touched.push(tag.hash());
    }

    /// A key begins.
    #[inline]
    pub(crate) fn begin(&mut self, hash: u32) -> Tag {
        let mut tag = Tag::new(hash);
        self.touch(&mut tag);
        tag
    }

    /// A key is loaded. One that was given is known, but where it has to be given anew.
    pub(crate) fn load(&mut self, hash: u32, given: Option<Given<'_>>) -> Tag {
        let Some(Given { again, .. }) = given else { return self.begin(hash) };
        let mut tag = Tag(hash & HASH | GIVEN);
        if again {
            self.note(&mut tag);
        }
        tag
    }

    /// The key of an event holds nothing any more.
    #[inline]
    pub(crate) fn end<'a>(&mut self, tag: Tag, row: &impl Fields<'a>, slots: &[usize]) {
        if self.is_on && tag.is_given() {
            let mut name = Vec::new();
            put_name(row, slots, &mut name);
            self.ended.insert(name);
        }
    }

    /// The same of a key that is called so.
    pub(crate) fn end_named(&mut self, tag: Tag, name: &[u8]) {
        if self.is_on && tag.is_given() {
            self.ended.insert(name.to_vec());
        }
    }

    /// Whether all keys have to be given, if all are asked for or not.
    pub(crate) fn wants_all(&self, all: bool) -> bool {
        all || !self.is_on
    }

    /// The hashes of the keys that are to be given besides.
    pub(crate) fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// A key that had ended began again.
    pub(crate) fn forget_end(&mut self, name: &[u8]) {
        self.ended.remove(name);
    }

    /// The hashes of the keys to be given; none: all have to be.
    pub(crate) fn start(&mut self, all: bool) -> Option<Vec<u32>> {
        let touched = std::mem::take(&mut self.touched);
        if all || !self.is_on {
            *self = Changes { is_on: true, ..Changes::default() };
            return None;
        }
        Some(touched)
    }
}

/// Takes a key's name, and what it holds.
type Take<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// Gives keys of one pattern away.
pub(crate) struct Giver<'a> {
    /// The slots of the key's fields.
    pub(crate) slots: &'a [usize],
    pub(crate) table: &'a Table,
    pub(crate) store: &'a Store,
    pub(crate) take: &'a mut Take<'a>,
    /// A buffer.
    pub(crate) name: Vec<u8>,
}

impl Giver<'_> {
    /// Gives a key, which some event is of.
    pub(crate) fn give(&mut self, changes: &mut Changes, event: u32, state: &[u8]) {
        self.name.clear();
        put_name(&self.store.row(event), self.slots, &mut self.name);
        if !changes.ended.is_empty() {
            changes.ended.remove(&self.name);
        }
        (self.take)(&self.name, Some(state));
    }

    /// Gives those that have ended, after all others.
    pub(crate) fn give_ended(&mut self, changes: &mut Changes) {
        std::mem::take(&mut changes.ended).into_iter().for_each(|name| (self.take)(&name, None));
    }
}
