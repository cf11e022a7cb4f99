//! Where a checkpoint's entries are: runs of chunks that are sorted by hash, each with the first hash of every chunk and
//! a Bloom filter. It costs about 2 bytes of memory an entry, and tells almost always without reading that a key is not there.

use std::ops::Range;

/// Bits of the filter for an entry. With 16, about one absent key in a thousand looks present; there are as many filters to ask
/// as runs, a hundred where ten million entries were given in no order.
const BITS_PER_ENTRY: u64 = 16;
/// The factors that make the eight bits of a hash, one in each word of a block (those of Parquet's split block filter).
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of hashes that may contain more than was put into it: blocks of 8 words, of which a hash sets one bit in each.
struct Filter(Vec<[u32; 8]>);

impl Filter {
    fn new(entries: u64) -> Self {
        Self(vec![[0; 8]; (entries * BITS_PER_ENTRY).div_ceil(256).max(1) as usize])
    }

    fn block(&self, hash: u64) -> usize {
        // Runs are ranges of hashes where a snapshot is sorted as a whole: the upper bits alone would fill few blocks.
        let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ((spread * self.0.len() as u64) >> 32) as usize
    }

    fn insert(&mut self, hash: u64) {
        let block = self.block(hash);
        for (word, salt) in self.0[block].iter_mut().zip(SALT) {
            *word |= 1 << ((hash as u32).wrapping_mul(salt) >> 27);
        }
    }

    fn may_have(&self, hash: u64) -> bool {
        let block = &self.0[self.block(hash)];
        block.iter().zip(SALT).all(|(word, salt)| word & 1 << ((hash as u32).wrapping_mul(salt) >> 27) != 0)
    }
}

/// Chunks whose entries are sorted by hash.
pub(super) struct Run {
    first_chunk: u32,
    /// The hash of the first entry of each chunk.
    firsts: Vec<u64>,
    /// The hash of the last entry.
    last: u64,
    filter: Filter,
}

impl Run {
    pub(super) fn new(
        first_chunk: u32,
        firsts: Vec<u64>,
        hashes: impl ExactSizeIterator<Item = u64>,
    ) -> Self {
        let mut filter = Filter::new(hashes.len() as u64);
        let mut last = 0;
        for hash in hashes {
            filter.insert(hash);
            last = hash;
        }
        Self { first_chunk, firsts, last, filter }
    }

    /// The chunks of the run.
    pub(super) fn chunks(&self) -> Range<u32> {
        self.first_chunk..self.first_chunk + self.firsts.len() as u32
    }

    /// The lowest hash.
    pub(super) fn first_hash(&self) -> u64 {
        self.firsts.first().copied().unwrap_or(0)
    }

    /// The chunks that an entry with this hash can be in: none, one, or two and more where a chunk begins with the hash.
    pub(super) fn find(&self, hash: u64) -> Range<u32> {
        if hash < self.first_hash() || hash > self.last || !self.filter.may_have(hash) {
            return 0..0;
        }
        let begin = self.firsts.partition_point(|first| *first < hash).saturating_sub(1);
        let end = self.firsts.partition_point(|first| *first <= hash);
        self.first_chunk + begin as u32..self.first_chunk + end as u32
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.firsts.capacity() * 8 + self.filter.0.capacity() * 32
    }

    /// Appends the run to the bytes of an index.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        for number in [self.first_chunk, self.firsts.len() as u32, self.filter.0.len() as u32] {
            into.extend_from_slice(&number.to_le_bytes());
        }
        for hash in self.firsts.iter().chain([&self.last]) {
            into.extend_from_slice(&hash.to_le_bytes());
        }
        for word in self.filter.0.iter().flatten() {
            into.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Takes a run from the bytes of an index; `None` if they are no index of `chunks` chunks.
    fn decode(bytes: &mut &[u8], chunks: u32) -> Option<Self> {
        let mut number = || {
            let (number, rest) = bytes.split_first_chunk::<4>()?;
            *bytes = rest;
            Some(u32::from_le_bytes(*number))
        };
        let (first_chunk, count, blocks) = (number()?, number()?, number()?);
        if count == 0 || blocks == 0 || first_chunk.checked_add(count)? > chunks {
            return None;
        }
        let (hashes, rest) = bytes.split_at_checked((count as usize + 1) * 8)?;
        let (words, rest) = rest.split_at_checked(blocks as usize * 32)?;
        *bytes = rest;
        let mut firsts: Vec<u64> =
            hashes.as_chunks().0.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
        let last = firsts.pop()?;
        let block = |block: &[u8; 32]| {
            let mut words = block.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
            std::array::from_fn(|_| words.next().unwrap_or(0))
        };
        Some(Self {
            first_chunk,
            firsts,
            last,
            filter: Filter(words.as_chunks().0.iter().map(block).collect()),
        })
    }
}

/// The runs of a checkpoint of `chunks` chunks of entries; `None` if the bytes are no index of them.
pub(super) fn decode(mut bytes: &[u8], chunks: u32) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    while !bytes.is_empty() {
        let run = Run::decode(&mut bytes, chunks)?;
        if run.first_chunk != runs.last().map_or(0, |run| run.chunks().end) {
            return None;
        }
        runs.push(run);
    }
    (runs.last().map_or(0, |run| run.chunks().end) == chunks).then_some(runs)
}
