//! A slab in pages: values under small numbers, freed singly, and a page goes back to the allocator as soon as
//! nothing on it is in use, so that a peak leaves no memory behind.

const PAGE_BITS: u32 = 10;
const PAGE: u32 = 1 << PAGE_BITS;

/// So many freed places stay at hand.
const SPARE: usize = 32;

/// Values under `u32` numbers. A freed place holds `T::default()` until it is used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Option<Page<T>>>,
    /// Pages that have a free place; a page stands here at most once.
    open: Vec<u32>,
    /// Numbers of pages that were given back.
    unused: Vec<u32>,
    /// Places freed last, which are used first; to their pages they are in use.
    spare: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    items: Vec<T>,
    free: Vec<u16>,
    is_open: bool,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { pages: Vec::new(), open: Vec::new(), unused: Vec::new(), spare: Vec::new(), len: 0 }
    }
}

impl<T: Default> Slab<T> {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a value and tells its number.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        match self.spare.pop() {
            Some(number) => {
                self[number] = value;
                number
            }
            None => self.insert_in_page(value),
        }
    }

    fn insert_in_page(&mut self, value: T) -> u32 {
        let number = match self.open.last() {
            Some(&number) => number,
            None => self.new_page(),
        };
        let Some(page) = &mut self.pages[number as usize] else { unreachable!("an open page is there") };
        let place = match page.free.pop() {
            Some(place) => {
                page.items[place as usize] = value;
                u32::from(place)
            }
            None => {
                page.items.push(value);
                page.items.len() as u32 - 1
            }
        };
        if page.free.is_empty() && page.items.len() as u32 == PAGE {
            page.is_open = false;
            self.open.pop();
        }
        (number << PAGE_BITS) | place
    }

    fn new_page(&mut self) -> u32 {
        // Room for all of a page at once, but for the first: most slabs stay small, and growing would copy.
        let room = if self.pages.is_empty() { 0 } else { PAGE as usize };
        let page = Some(Page { items: Vec::with_capacity(room), free: Vec::new(), is_open: true });
        let number = match self.unused.pop() {
            Some(number) => {
                self.pages[number as usize] = page;
                number
            }
            None => {
                self.pages.push(page);
                self.pages.len() as u32 - 1
            }
        };
        self.open.push(number);
        number
    }

    /// Removes a value. Its number may be given out again.
    #[inline]
    pub(crate) fn remove(&mut self, number: u32) -> T {
        self.len -= 1;
        let value = std::mem::take(&mut self[number]);
        if self.len == 0 && self.pages.len() > 1 {
            *self = Slab::default();
        } else if self.spare.len() < SPARE {
            self.spare.push(number);
        } else {
            self.free(number);
        }
        value
    }

    /// Gives a place back to its page, and the page to the allocator if it was the last one.
    fn free(&mut self, number: u32) {
        let page_number = number >> PAGE_BITS;
        let Some(page) = &mut self.pages[page_number as usize] else {
            unreachable!("a value's page is there")
        };
        page.free.push((number & (PAGE - 1)) as u16);
        if page.free.len() == page.items.len() && self.open.last() != Some(&page_number) {
            if page.is_open {
                self.open.retain(|&p| p != page_number);
            }
            self.pages[page_number as usize] = None;
            self.unused.push(page_number);
        } else if !page.is_open {
            page.is_open = true;
            // Behind the page in use, so that this one has time to empty.
            let behind = self.open.len().saturating_sub(1);
            self.open.insert(behind, page_number);
        }
    }

    /// All places, free ones included: those hold `T::default()`.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten().flat_map(|page| &mut page.items)
    }

    /// What is in the place of a number, `T::default()` where it is free; none where its page was given back.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.pages.get((number >> PAGE_BITS) as usize)?.as_ref()?.items.get((number & (PAGE - 1)) as usize)
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    #[inline]
    fn index(&self, number: u32) -> &T {
        match &self.pages[(number >> PAGE_BITS) as usize] {
            Some(page) => &page.items[(number & (PAGE - 1)) as usize],
            None => unreachable!("a value's page is there"),
        }
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, number: u32) -> &mut T {
        match &mut self.pages[(number >> PAGE_BITS) as usize] {
            Some(page) => &mut page.items[(number & (PAGE - 1)) as usize],
            None => unreachable!("a value's page is there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_numbers_and_pages_are_given_back() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..10_000_u64).map(|i| slab.insert(i)).collect();
        for (i, &number) in numbers.iter().enumerate() {
            assert_eq!(slab[number], i as u64);
        }
        for &number in &numbers[..9_000] {
            slab.remove(number);
        }
        assert!(slab.pages.iter().flatten().count() <= 3, "emptied pages must go");
        for &number in &numbers[9_000..] {
            let held = slab[number];
            assert_eq!(held, slab.remove(number));
        }
        assert_eq!((slab.len(), slab.pages.capacity()), (0, 0), "an emptied slab must give its pages back");
    }
}
