//! The bytes and values of kept events, one behind the other in pages: keeping an event allocates nothing, and a page
//! goes back to the allocator when none of its events is left. Where many pages hold little that is alive, all of it
//! is moved together.

use crate::event::{Row, Slot};

/// Bytes of text after which a page takes no more events.
const PAGE_BYTES: usize = 32 << 10;

/// About what the text of an event takes.
const EVENT_BYTES: usize = 128;

/// So many emptied pages keep their room for what comes next.
const SPARE_PAGES: usize = 16;

/// Below so much nothing is moved together.
const LEAN_BYTES: usize = 1 << 20;

/// Where an event's payload is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    page: u32,
    /// The first of its slots there.
    slots: u32,
    /// Where its text begins.
    pub(crate) text: u32,
    /// Length of its text, unescaped strings included.
    len: u32,
    /// How many slots it has.
    width: u32,
}

#[derive(Debug, Default)]
struct Page {
    /// Original objects, and behind each the unescaped strings of its fields.
    text: String,
    slots: Vec<Slot>,
    /// How many of its events are alive.
    alive: u32,
}

/// The payloads of one shard's kept events.
#[derive(Debug)]
pub(crate) struct Payloads {
    pages: Vec<Page>,
    /// The page that events are added to.
    current: u32,
    /// Pages that hold nothing.
    unused: Vec<u32>,
    /// Slots of events that are added.
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
    /// Sets how many slots events have from now on.
    pub(crate) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Adds the payload of a row, which may be one of a kept event; its slots point into its page afterwards.
    pub(crate) fn add(&mut self, row: &Row<'_>) -> Place {
        let raw = row.raw();
        if self.pages[self.current as usize].text.len() + raw.len() > PAGE_BYTES {
            self.open_page();
        }
        let page = &mut self.pages[self.current as usize];
        let (text, slots) = (page.text.len(), page.slots.len() as u32);
        page.text.push_str(raw);
        let moved = |at: u32| at - row.head.raw.start + text as u32;
        // An event that was kept before more fields were needed has no more.
        let fields = &row.slots[..self.width.min(row.slots.len())];
        for slot in fields {
            page.slots.push(match *slot {
                Slot::Str { at, len } => Slot::Str { at: moved(at), len },
                Slot::Json { at, len } => Slot::Json { at: moved(at), len },
                Slot::Unescaped { at, len } => {
                    let to = page.text.len() as u32;
                    page.text.push_str(&row.unescaped[at as usize..][..len as usize]);
                    Slot::Unescaped { at: to, len }
                }
                other => other,
            });
        }
        page.alive += 1;
        let len = (page.text.len() - text) as u32;
        let width = fields.len() as u32;
        let place = Place { page: self.current, slots, text: text as u32, len, width };
        self.used += place.bytes();
        self.alive += place.bytes();
        place
    }

    /// An event is gone.
    pub(crate) fn remove(&mut self, place: Place) {
        self.alive -= place.bytes();
        let page = &mut self.pages[place.page as usize];
        page.alive -= 1;
        if page.alive > 0 {
            return;
        }
        self.used -= page.text.len() + page.slots.len() * size_of::<Slot>();
        page.text.clear();
        page.slots.clear();
        if place.page != self.current {
            if self.unused.len() >= SPARE_PAGES || page.text.capacity() > 2 * PAGE_BYTES {
                *page = Page::default();
            }
            self.unused.push(place.page);
        }
    }

    /// The text of an event's page, and its slots.
    #[inline]
    pub(crate) fn get(&self, place: Place) -> (&str, &[Slot]) {
        let page = &self.pages[place.page as usize];
        (&page.text, &page.slots[place.slots as usize..][..place.width as usize])
    }

    /// Reads a byte of an event's text and the kind of its first slot: they are in the cache afterwards.
    pub(crate) fn touch(&self, place: Place) -> u64 {
        let Some(page) = self.pages.get(place.page as usize) else { return 0 };
        let byte = page.text.as_bytes().get(place.text as usize).copied().unwrap_or(0);
        let is_null = page.slots.get(place.slots as usize) == Some(&Slot::Null);
        u64::from(byte) + u64::from(is_null)
    }

    /// An event's own text.
    pub(crate) fn text(&self, place: Place) -> &str {
        &self.pages[place.page as usize].text[place.text as usize..][..place.len as usize]
    }

    /// Whether most of what pages hold belongs to no event any more.
    pub(crate) fn is_sparse(&self) -> bool {
        self.used > LEAN_BYTES && self.used / 4 > self.alive
    }

    /// Room for the same payloads, with none in it.
    pub(crate) fn emptied(&self) -> Payloads {
        Payloads { width: self.width, ..Payloads::default() }
    }

    fn open_page(&mut self) {
        if self.pages[self.current as usize].alive == 0 {
            // What is too long for a page has one of its own; nothing else is in this one.
            return;
        }
        self.current = self.unused.pop().unwrap_or_else(|| {
            self.pages.push(Page::default());
            self.pages.len() as u32 - 1
        });
        // Room for all of a page at once: growing would copy.
        let page = &mut self.pages[self.current as usize];
        page.text.reserve(PAGE_BYTES);
        page.slots.reserve(PAGE_BYTES / EVENT_BYTES * self.width);
    }
}

impl Place {
    fn bytes(self) -> usize {
        self.len as usize + self.width as usize * size_of::<Slot>()
    }
}
