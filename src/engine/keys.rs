//! The keys of one pattern: which of them hold something, by half of their hashes. A table of open addressing whose
//! places are 8 bytes, so that a look-up most often reads one line of the cache. A large one is many small ones, which
//! grow by a quarter each: growing takes no moment that anybody could notice, and leaves little room unused.

use super::changed::Tag;
use super::store::NONE;

/// With so many keys a table becomes `PARTS` ones.
const MANY: usize = 1 << 15;
const PARTS: usize = 256;

/// Keys that hold something: each has a part of its hash and a number that says what it holds.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// All of them, as long as they are few.
    one: Part,
    /// None, or `PARTS`.
    parts: Box<[Part]>,
    len: usize,
}

/// Where a key is, as long as none is added or removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    part: u32,
    at: u32,
}

impl Found {
    /// The place behind.
    pub(crate) fn behind(self) -> Found {
        Found { at: self.at + 1, ..self }
    }
}

#[derive(Debug, Clone, Copy)]
struct Key {
    tag: Tag,
    /// What it holds; `NONE` where the place is free.
    held: u32,
}

impl Default for Key {
    fn default() -> Self {
        Key { tag: Tag::default(), held: NONE }
    }
}

#[derive(Debug, Default)]
struct Part {
    places: Box<[Key]>,
    len: usize,
}

impl Keys {
    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key of this hash for which `is_same` holds of what it holds.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is_same: impl Fn(u32) -> bool) -> Option<Found> {
        let hash = Tag::new(hash).hash();
        let part = self.part_of(hash);
        let places = &self.part(part).places;
        let mut at = home(hash, places.len());
        loop {
            let key = places.get(at)?;
            if key.held == NONE {
                return None;
            }
            if key.tag.hash() == hash && is_same(key.held) {
                return Some(Found { part: part as u32, at: at as u32 });
            }
            at = after(at, places.len());
        }
    }

    /// The first key from a place on.
    pub(crate) fn next(&self, from: Found) -> Option<Found> {
        let mut first = from.at as usize;
        (from.part..self.parts.len().max(1) as u32).find_map(|part| {
            let places = &self.part(part as usize).places;
            let at = (std::mem::take(&mut first)..places.len()).find(|&at| places[at].held != NONE)?;
            Some(Found { part, at: at as u32 })
        })
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<Key>() * 4 / 3
    }

    /// What a key holds.
    #[inline]
    pub(crate) fn get(&self, found: Found) -> u32 {
        self.part(found.part as usize).places[found.at as usize].held
    }

    /// All keys: the part of the hash, and what each holds.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = (u32, u32)> {
        let places = self.parts.iter().chain([&self.one]).flat_map(|part| &part.places);
        places.filter(|key| key.held != NONE).map(|key| (key.tag.hash(), key.held))
    }

    /// Sets what a key holds.
    #[inline]
    pub(crate) fn set(&mut self, found: Found, held: u32) {
        self.part_mut(found.part as usize).places[found.at as usize].held = held;
    }

    /// What is known of a key's last change.
    #[inline]
    pub(crate) fn tag(&self, found: Found) -> Tag {
        self.part(found.part as usize).places[found.at as usize].tag
    }

    #[inline]
    pub(crate) fn tag_mut(&mut self, found: Found) -> &mut Tag {
        &mut self.part_mut(found.part as usize).places[found.at as usize].tag
    }

    /// A changed key of a hash: its tag and what it holds.
    pub(crate) fn changed(&mut self, hash: u32) -> Option<(&mut Tag, u32)> {
        let part = self.part_mut(self.part_of(hash));
        let len = part.places.len();
        let mut at = home(hash, len);
        while !part.places.get(at)?.tag.is_changed(hash) {
            if part.places[at].held == NONE {
                return None;
            }
            at = after(at, len);
        }
        let key = &mut part.places[at];
        (key.held != NONE).then_some((&mut key.tag, key.held))
    }

    /// The tags of all keys, and what they hold.
    pub(crate) fn tags(&mut self) -> impl Iterator<Item = (&mut Tag, u32)> {
        let places = self.parts.iter_mut().chain([&mut self.one]).flat_map(|part| &mut part.places);
        places.filter(|key| key.held != NONE).map(|key| (&mut key.tag, key.held))
    }

    /// Adds a key that is not there.
    pub(crate) fn insert(&mut self, tag: Tag, held: u32) {
        if self.parts.is_empty() && self.len >= MANY {
            self.divide(PARTS);
        }
        self.len += 1;
        let is_one = self.parts.is_empty();
        self.part_mut(self.part_of(tag.hash())).insert(Key { tag, held }, is_one);
    }

    /// Removes a key, and gives memory back where few are left.
    pub(crate) fn remove(&mut self, found: Found) -> Tag {
        let tag = self.tag(found);
        self.len -= 1;
        self.part_mut(found.part as usize).remove(found.at as usize);
        if !self.parts.is_empty() && self.len < MANY / 8 {
            self.divide(0);
        }
        tag
    }

    /// What the keys hold.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let places = self.parts.iter().chain([&self.one]).flat_map(|part| &part.places);
        places.map(|key| key.held).filter(|&held| held != NONE)
    }

    /// The part that a key belongs to.
    #[inline]
    fn part_of(&self, hash: u32) -> usize {
        if self.parts.is_empty() { 0 } else { (spread(hash) >> 56) as usize }
    }

    #[inline]
    fn part(&self, number: usize) -> &Part {
        self.parts.get(number).unwrap_or(&self.one)
    }

    #[inline]
    fn part_mut(&mut self, number: usize) -> &mut Part {
        self.parts.get_mut(number).unwrap_or(&mut self.one)
    }

    /// Makes so many parts of all, or one.
    #[cold]
    fn divide(&mut self, parts: usize) {
        let old = std::mem::take(self);
        self.len = old.len;
        // Room for all at once: keys come in the order of their places, and would crowd what only grows with them.
        let room = old.len / parts.max(1) * 3 / 2 + 4;
        let part = || Part { places: vec![Key::default(); room].into(), len: 0 };
        self.parts = (0..parts).map(|_| part()).collect();
        if parts == 0 {
            self.one = part();
        }
        let places = old.parts.into_iter().chain([old.one]).flat_map(|part| part.places);
        for key in places.filter(|key| key.held != NONE) {
            self.part_mut(self.part_of(key.tag.hash())).insert(key, false);
        }
    }
}

impl Part {
    /// Adds a key. A table that has room is quicker to look into, and takes little as long as it is small.
    fn insert(&mut self, key: Key, has_room: bool) {
        if has_room && (self.len + 1) * 2 > self.places.len() {
            self.resize(self.places.len() * 2 + 4);
        } else if (self.len + 1) * 5 > self.places.len() * 4 {
            self.resize(self.places.len() + self.places.len() / 4 + 4);
        }
        self.len += 1;
        self.put(key);
    }

    fn put(&mut self, key: Key) {
        let mut at = home(key.tag.hash(), self.places.len());
        while self.places[at].held != NONE {
            at = after(at, self.places.len());
        }
        self.places[at] = key;
    }

    /// Frees a place; keys behind it that would have liked to be nearer move up.
    fn remove(&mut self, mut free: usize) {
        let len = self.places.len();
        let (mut at, mut far) = (after(free, len), 1);
        while self.places[at].held != NONE {
            let home = home(self.places[at].tag.hash(), len);
            let from_home = if at >= home { at - home } else { at + len - home };
            if from_home >= far {
                self.places[free] = self.places[at];
                (free, far) = (at, 0);
            }
            (at, far) = (after(at, len), far + 1);
        }
        self.places[free] = Key::default();
        self.len -= 1;
        if self.len * 8 < len && len > 64 {
            self.resize(self.len * 2);
        }
    }

    fn resize(&mut self, len: usize) {
        let old = std::mem::replace(&mut self.places, vec![Key::default(); len].into());
        old.into_iter().filter(|key| key.held != NONE).for_each(|key| self.put(key));
    }
}

/// Half of a key's hash as a table wants it: all bits matter in both ends of the number.
#[inline]
pub(crate) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The place that a key would like; the bits above those of its part say which.
#[inline]
fn home(hash: u32, places: usize) -> usize {
    let bits = (spread(hash) >> 24) & 0xffff_ffff;
    ((bits * places as u64) >> 32) as usize
}

#[inline]
fn after(at: usize, places: usize) -> usize {
    if at + 1 == places { 0 } else { at + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of few hashes, so that many of them want one place, beside a map.
    #[test]
    fn the_table_knows_what_a_map_knows() {
        for hashes in [7, 1_000, 1 << 20] {
            let (mut keys, mut map) = (Keys::default(), std::collections::BTreeMap::new());
            let mut random = 1_u64;
            let mut most = 0;
            for round in 0..300_000_u32 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Grows beyond what one table holds, then shrinks to little, and again.
                let grows = (round / 60_000).is_multiple_of(2);
                let number = (random >> 33) as u32 % if hashes < 100 { 60 } else { 90_000 };
                let hash = (number % hashes).wrapping_mul(0x85eb_ca6b);
                let found = keys.find(hash, |held| held % 100_000 == number);
                assert_eq!(found.map(|found| keys.get(found)), map.get(&number).copied());
                match found {
                    Some(found) if grows => {
                        let other = number + 100_000 * (round % 1_000);
                        keys.set(found, other);
                        map.insert(number, other);
                    }
                    Some(found) => {
                        keys.remove(found);
                        map.remove(&number);
                    }
                    None if grows || random.is_multiple_of(16) => {
                        keys.insert(Tag::new(hash), number);
                        map.insert(number, number);
                    }
                    None => {}
                }
                most = most.max(keys.len());
                assert_eq!(keys.len(), map.len());
            }
            let mut held: Vec<u32> = keys.iter().collect();
            held.sort_unstable();
            let mut expected: Vec<u32> = map.into_values().collect();
            expected.sort_unstable();
            assert_eq!(held, expected);
            assert!(hashes != 1 << 20 || most > MANY, "one table sufficed for {most}");
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut keys = Keys::default();
        let hash = |number: u32| number.wrapping_mul(0x85eb_ca6b);
        (0..100_000).for_each(|number| keys.insert(Tag::new(hash(number)), number));
        let places =
            |keys: &Keys| keys.parts.iter().chain([&keys.one]).map(|part| part.places.len()).sum::<usize>();
        assert!((125_000..160_000).contains(&places(&keys)));
        for number in 0..99_990 {
            if let Some(found) = keys.find(hash(number), |held| held == number) {
                keys.remove(found);
            }
        }
        assert!(keys.len() == 10 && places(&keys) <= 128, "{} places for 10 keys", places(&keys));
    }
}
