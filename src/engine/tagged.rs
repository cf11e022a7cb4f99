//! Tables of what keys hold beside their tags: what sets and start groups do alike. Runs have a table of their own.

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;

use super::changed::{Changes, Tag};
use super::keys::spread;

/// What a key holds, with its tag.
pub(crate) trait Tagged {
    fn tag(&self) -> Tag;

    /// Where it belongs in a table.
    #[inline]
    fn spread(&self) -> u64 {
        spread(self.tag().hash())
    }
}

/// Removes a key that holds nothing.
pub(crate) fn forget<K: Tagged>(entry: OccupiedEntry<'_, K>) -> Tag {
    let (keyed, place) = entry.remove();
    shrink(place.into_table());
    keyed.tag()
}

/// Gives room back that most keys have left.
pub(crate) fn shrink<K: Tagged>(keys: &mut HashTable<K>) {
    if keys.len() * 8 < keys.capacity() && keys.capacity() > 1024 {
        keys.shrink_to(keys.len() * 2, K::spread);
    }
}

/// Calls `give` for the keys that changed, or for all.
pub(crate) fn give<K: Tagged>(
    keys: &mut HashTable<K>,
    changes: &mut Changes,
    all: bool,
    mut give: impl FnMut(&mut K, &mut Changes),
) {
    match changes.start(all) {
        None => keys.iter_mut().for_each(|keyed| give(keyed, changes)),
        Some(touched) => {
            for hash in touched {
                let alike = keys.iter_hash_mut(spread(hash));
                let changed = alike.filter(|keyed| keyed.tag().is_changed(hash));
                changed.for_each(|keyed| give(keyed, changes));
            }
        }
    }
}
