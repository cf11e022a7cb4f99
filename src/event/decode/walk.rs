//! Goes over the lines of a block and puts what is wanted of them where it stays. A line most often has the members of
//! the one before it, in the same order and spaced alike: that is guessed first, and one comparison tells.

use super::instant;
use super::scan::{Malformed, Quoted, Scanner, unescape};
use super::tree::{Names, Node, NodeId, Tree};
use crate::event::{EventId, Slot, Timestamp, TypeId};

/// What a line holds.
pub(super) enum Line {
    Blank,
    /// An object, from one byte to another.
    Event {
        from: usize,
        to: usize,
    },
}

/// What is known of an event's time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Time {
    Missing,
    Invalid,
    At(Timestamp),
}

/// For each node of the tree the members that came last, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Guesses(Vec<Vec<Guess>>);

impl Guesses {
    /// Members of one object that are guessed; those after them are looked up.
    const MEMBERS_MAX: usize = 256;

    /// None yet.
    pub(super) fn new(tree: &Tree) -> Guesses {
        Guesses(vec![Vec::new(); tree.len()])
    }
}

/// A member that came: its name in quotes and the colon, with the white space around them, and what is wanted of it.
#[derive(Debug, Clone, Copy)]
struct Guess {
    text: u128,
    /// Which bytes of the text count.
    mask: u128,
    len: usize,
    wanted: Option<NodeId>,
}

impl Guess {
    /// None for a text that is too long to be compared at once.
    fn new(text: &[u8], wanted: Option<NodeId>) -> Option<Guess> {
        let mut bytes = [0; size_of::<u128>()];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let mask = u128::MAX.checked_shr(8 * (bytes.len() - text.len()) as u32).unwrap_or(0);
        Some(Guess { text: u128::from_le_bytes(bytes), mask, len: text.len(), wanted })
    }
}

/// The walk over the lines of a block: the place in the text, and where what it finds goes.
pub(super) struct Walk<'a, 't> {
    pub(super) tree: &'a Tree,
    pub(super) types: &'a Names,
    pub(super) guesses: &'a mut Guesses,
    pub(super) bytes: &'t [u8],
    /// The brackets that are open while a value is skipped.
    pub(super) open: Vec<u8>,
    pub(super) slots: &'a mut Vec<Slot>,
    /// The first slot of this line.
    pub(super) base: usize,
    /// Slots of an event.
    pub(super) width: usize,
    /// Where a value goes that has no slot: a time or type that no pattern reads.
    pub(super) spare: Slot,
    pub(super) unescaped: &'a mut String,
    pub(super) time: Time,
    pub(super) kind: TypeId,
    /// What tells the event apart.
    pub(super) id: Slot,
}

impl<'t> Walk<'_, 't> {
    /// Takes the line at a place, and its line break; where it ends. Slots are there afterwards, even of a malformed line.
    #[inline]
    pub(super) fn line(&mut self, at: usize) -> Result<(Line, usize), Malformed> {
        let mut scan = self.scanner(at);
        self.base = self.slots.len();
        let line = match scan.past_space() {
            b'{' => {
                self.slots.resize(self.base + self.width, Slot::Null);
                self.time = Time::Missing;
                self.kind = TypeId::NONE;
                self.id = Slot::Null;
                let from = scan.at;
                scan.at = self.object(Tree::ROOT, from)?;
                Line::Event { from, to: scan.at }
            }
            _ => Line::Blank,
        };
        match scan.past_space() {
            b'\n' => scan.at += 1,
            _ if scan.at == self.bytes.len() => {}
            _ => return Err(Malformed),
        }
        Ok((line, scan.at))
    }

    #[inline(always)]
    fn scanner(&self, at: usize) -> Scanner<'t> {
        Scanner { bytes: self.bytes, at }
    }

    /// Takes the object at a place; where it ends.
    fn object(&mut self, node: NodeId, at: usize) -> Result<usize, Malformed> {
        let mut scan = self.scanner(at + 1);
        let mut number = 0;
        let mut more = !scan.closes(b'}');
        while more {
            match self.member(&mut scan, node, number)? {
                Some(node) => self.value(&mut scan, node)?,
                None => scan.skip(&mut self.open)?,
            }
            number += 1;
            more = scan.goes_on(b'}')?;
        }
        Ok(scan.at)
    }

    /// Goes past the name of a member and its colon; what is wanted of it.
    #[inline(always)]
    fn member(
        &mut self,
        scan: &mut Scanner<'t>,
        node: NodeId,
        number: usize,
    ) -> Result<Option<NodeId>, Malformed> {
        if let Some(guess) = self.guesses.0[node as usize].get(number)
            && let Some(&text) = scan.rest().first_chunk()
            && (u128::from_le_bytes(text) ^ guess.text) & guess.mask == 0
        {
            scan.at += guess.len;
            scan.past_space();
            return Ok(guess.wanted);
        }
        let (wanted, at) = self.other_member(scan.at, node, number)?;
        scan.at = at;
        Ok(wanted)
    }

    /// A member other than the one that was guessed, which is the next guess; and where its value begins.
    #[inline(never)]
    fn other_member(
        &mut self,
        at: usize,
        node: NodeId,
        number: usize,
    ) -> Result<(Option<NodeId>, usize), Malformed> {
        let mut scan = self.scanner(at);
        scan.past_space();
        let name = scan.name()?;
        let members = &self.tree.node(node).members;
        let wanted = match name {
            Quoted { escaped: false, from, to } => members.get(&self.bytes[from..to]),
            escaped => members.get(unescaped(self.bytes, escaped).as_bytes()),
        };
        let guesses = &mut self.guesses.0[node as usize];
        if let Some(guess) = Guess::new(&self.bytes[at..scan.at], wanted) {
            if let Some(known) = guesses.get_mut(number) {
                *known = guess;
            } else if number == guesses.len() && number < Guesses::MEMBERS_MAX {
                guesses.push(guess);
            }
        }
        Ok((wanted, scan.at))
    }

    /// Takes the array at a place; where it ends.
    fn array(&mut self, node: NodeId, at: usize) -> Result<usize, Malformed> {
        let tree = self.tree;
        let node = tree.node(node);
        let reach = node.from_end.last().map_or(0, |(number, _)| *number);
        let mut wanted = node.elements.iter().peekable();
        let mut last = std::collections::VecDeque::new();
        let mut scan = self.scanner(at + 1);
        let mut more = !scan.closes(b']');
        let mut index = 0;
        while more {
            scan.past_space();
            if reach > 0 {
                if last.len() as u64 == reach {
                    last.pop_front();
                }
                last.push_back(scan.at);
            }
            match wanted.next_if(|(number, _)| *number == index) {
                Some((_, node)) => self.value(&mut scan, *node)?,
                None => scan.skip(&mut self.open)?,
            }
            index += 1;
            more = scan.goes_on(b']')?;
        }
        // Only now is it known which elements are the last ones.
        for &(number, node) in &node.from_end {
            if let Some(index) = last.len().checked_sub(number as usize) {
                self.value(&mut self.scanner(last[index]), node)?;
            }
        }
        Ok(scan.at)
    }

    /// Takes a wanted value, and the wanted parts of it.
    #[inline(always)]
    fn value(&mut self, scan: &mut Scanner<'t>, id: NodeId) -> Result<(), Malformed> {
        let tree = self.tree;
        let node = tree.node(id);
        for &below in &node.below {
            self.forget(tree.node(below));
        }
        if let b'{' | b'[' = scan.peek() {
            let from = scan.at;
            scan.at = self.nested(id, from)?;
            *self.place(node) = Slot::Json { at: from as u32, len: (scan.at - from) as u32 };
        } else {
            self.scalar(scan, node)?;
        }
        if node.is_time {
            self.time = self.time_of(self.placed(node));
        }
        if node.is_type {
            self.kind = self.type_of(self.placed(node));
        }
        if matches!(*self.placed(node), Slot::Float(float) if float.is_infinite()) {
            *self.place(node) = Slot::Null;
        }
        if node.is_id {
            self.id = *self.placed(node);
        }
        Ok(())
    }

    /// Where the value of a node goes.
    #[inline(always)]
    fn place(&mut self, node: &Node) -> &mut Slot {
        match node.slot {
            Some(slot) => &mut self.slots[self.base + slot as usize],
            None => &mut self.spare,
        }
    }

    #[inline(always)]
    fn placed(&self, node: &Node) -> &Slot {
        match node.slot {
            Some(slot) => &self.slots[self.base + slot as usize],
            None => &self.spare,
        }
    }

    /// Takes a string, a number or a word. It is written where it stays: moving a `Slot` about is what would cost most.
    #[inline(always)]
    fn scalar(&mut self, scan: &mut Scanner<'t>, node: &Node) -> Result<(), Malformed> {
        match scan.peek() {
            b'"' => {
                scan.at += 1;
                let string = scan.string()?;
                if string.escaped {
                    let at = self.unescaped.len();
                    unescape(self.bytes, string, self.unescaped);
                    let len = self.unescaped.len() - at;
                    *self.place(node) = Slot::Unescaped { at: at as u32, len: len as u32 };
                } else {
                    let len = string.to - string.from;
                    *self.place(node) = Slot::Str { at: string.from as u32, len: len as u32 };
                }
            }
            b'-' | b'0'..=b'9' => scan.number(self.place(node))?,
            _ => *self.place(node) = scan.word()?,
        }
        Ok(())
    }

    /// Takes the object or array at a place; where it ends.
    #[inline(never)]
    fn nested(&mut self, id: NodeId, at: usize) -> Result<usize, Malformed> {
        let node = self.tree.node(id);
        let scan = self.scanner(at);
        match scan.peek() {
            b'{' if !node.members.is_empty() => self.object(id, at),
            b'[' if !(node.elements.is_empty() && node.from_end.is_empty()) => self.array(id, at),
            _ => scan.past_nested(&mut self.open),
        }
    }

    /// What a wanted part was before a member that came again.
    fn forget(&mut self, node: &Node) {
        if let Some(slot) = node.slot {
            self.slots[self.base + slot as usize] = Slot::Null;
        }
        if node.is_time {
            self.time = Time::Missing;
        }
        if node.is_type {
            self.kind = TypeId::NONE;
        }
        if node.is_id {
            self.id = Slot::Null;
        }
    }

    /// The id of the event that was taken last.
    pub(super) fn event_id(&self) -> Option<EventId> {
        EventId::of(self.id, self.text_of(&self.id).unwrap_or_default())
    }

    #[inline(always)]
    fn type_of(&self, value: &Slot) -> TypeId {
        match self.text_of(value) {
            Some(name) => self.types.get(name).map_or(TypeId::OTHER, TypeId),
            None => TypeId::NONE,
        }
    }

    #[inline(always)]
    fn time_of(&self, value: &Slot) -> Time {
        match *value {
            Slot::Null => Time::Missing,
            Slot::Int(ms) => Time::At(Timestamp(ms)),
            // From -2^63 up to, but not including, 2^63: what a whole float converts to exactly.
            Slot::Float(ms) if ms.trunc() == ms && (-(2f64.powi(63))..2f64.powi(63)).contains(&ms) => {
                Time::At(Timestamp(ms as i64))
            }
            _ => self.written_time(value),
        }
    }

    #[inline(never)]
    fn written_time(&self, value: &Slot) -> Time {
        self.text_of(value).and_then(instant::read).map_or(Time::Invalid, Time::At)
    }

    #[inline(always)]
    fn text_of(&self, value: &Slot) -> Option<&[u8]> {
        match *value {
            Slot::Str { at, len } => Some(&self.bytes[at as usize..][..len as usize]),
            Slot::Unescaped { at, len } => Some(&self.unescaped.as_bytes()[at as usize..][..len as usize]),
            _ => None,
        }
    }
}

#[cold]
fn unescaped(bytes: &[u8], name: Quoted) -> String {
    let mut out = String::new();
    unescape(bytes, name, &mut out);
    out
}
