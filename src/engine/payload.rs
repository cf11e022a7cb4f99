//! Where kept events lie: first in the block that they came in (`recent`), later in pages. Keeping an event allocates
//! nothing, and a page goes back to the allocator when none of its events is left. Where many pages hold little that is alive, all of it is moved together.

use super::page::{PackedRow, Page};
use super::recent::At;
use crate::event::Row;

/// Bytes after which a page takes no more events.
const PAGE_BYTES: usize = 32 << 10;

/// So many emptied pages keep their room for what comes next.
const SPARE_PAGES: usize = 16;

/// Below so much nothing is moved together.
const LEAN_BYTES: usize = 1 << 20;

/// Where an event is: its page, and the byte there; or where it is of a recent block. Of 2 bytes each, so that nothing is
/// lost beside others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    page: [u16; 2],
    at: u16,
}

impl Place {
    /// No event begins behind `PAGE_BYTES`.
    fn new(page: u32, at: u32) -> Place {
        Place { page: [page as u16, (page >> 16) as u16], at: at as u16 }
    }

    #[inline]
    fn page(self) -> u32 {
        u32::from(self.page[0]) | u32::from(self.page[1]) << 16
    }

    #[inline]
    fn at(self) -> u32 {
        u32::from(self.at)
    }
}

/// In the upper half of what stands for a page: it is the seat of a recent block.
const RECENT: u16 = u16::MAX;

impl From<At> for Place {
    #[inline]
    fn from(at: At) -> Place {
        Place { page: [at.seat, RECENT], at: at.entry }
    }
}

impl Place {
    /// Where it is of a recent block, if it is of one.
    #[inline]
    pub(crate) fn recent(self) -> Option<At> {
        (self.page[1] == RECENT).then_some(At { seat: self.page[0], entry: self.at })
    }
}

/// The pages of one shard's kept events.
#[derive(Debug)]
pub(crate) struct Payloads {
    pages: Vec<Page>,
    /// The page that events are added to.
    current: u32,
    /// Pages that hold nothing.
    unused: Vec<u32>,
    /// Fields of events that are added.
    width: usize,
    /// Bytes that pages have in use, and those among them that belong to events alive.
    used: usize,
    alive: usize,
}

impl Default for Payloads {
    fn default() -> Self {
        Payloads { pages: vec![Page::default()], current: 0, unused: Vec::new(), width: 0, used: 0, alive: 0 }
    }
}

impl Payloads {
    /// Sets how many fields events have from now on.
    pub(crate) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// A row as it would be packed.
    pub(crate) fn with_packed<T>(
        &self,
        row: &Row<'_>,
        sequence: u64,
        with: impl FnOnce(&PackedRow<'_>) -> T,
    ) -> T {
        let mut page = Page::default();
        page.width = self.width;
        let at = page.add(row, sequence);
        with(&page.row(at))
    }

    /// Adds an event.
    pub(crate) fn add(&mut self, row: &Row<'_>, sequence: u64) -> Place {
        let page = &self.pages[self.current as usize];
        let is_full = page.bytes.len() + Page::bytes_of(row, self.width) > PAGE_BYTES;
        if is_full || page.width != self.width {
            self.open_page();
        }
        let page = &mut self.pages[self.current as usize];
        let at = page.add(row, sequence);
        page.alive += 1;
        let bytes = page.bytes.len() - at as usize;
        self.used += bytes;
        self.alive += bytes;
        Place::new(self.current, at)
    }

    /// An event is gone.
    pub(crate) fn remove(&mut self, place: Place) {
        let page = &mut self.pages[place.page() as usize];
        self.alive -= page.row(place.at()).len();
        page.alive -= 1;
        if page.alive > 0 {
            return;
        }
        self.used -= page.bytes.len();
        page.bytes.clear();
        if place.page() != self.current {
            if self.unused.len() >= SPARE_PAGES || page.bytes.capacity() > 2 * PAGE_BYTES {
                *page = Page::default();
            }
            self.unused.push(place.page());
        }
    }

    /// An event.
    #[inline]
    pub(crate) fn get(&self, place: Place) -> PackedRow<'_> {
        self.pages[place.page() as usize].row(place.at())
    }

    /// Reads a byte of an event: its beginning is in the cache afterwards.
    pub(crate) fn touch(&self, place: Place) -> u64 {
        let page = self.pages.get(place.page() as usize);
        page.and_then(|page| page.bytes.get(place.at() as usize)).map_or(0, |&byte| u64::from(byte))
    }

    /// Whether most of what pages hold belongs to no event any more.
    pub(crate) fn is_sparse(&self) -> bool {
        self.used > LEAN_BYTES && self.used / 4 > self.alive
    }

    /// Bytes in use, and those among them of events alive.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (self.used, self.alive)
    }

    /// Room for the same payloads, with none in it.
    pub(crate) fn emptied(&self) -> Payloads {
        Payloads { width: self.width, ..Payloads::default() }
    }

    fn open_page(&mut self) {
        // What is too long for a page has one of its own.
        if self.pages[self.current as usize].alive > 0 {
            self.current = self.unused.pop().unwrap_or_else(|| {
                self.pages.push(Page::default());
                self.pages.len() as u32 - 1
            });
            // Room for all of a page at once: growing would copy.
            self.pages[self.current as usize].bytes.reserve(PAGE_BYTES);
        }
        self.pages[self.current as usize].width = self.width;
    }
}
