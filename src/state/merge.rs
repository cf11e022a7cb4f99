//! Reads a chain as one: the newest version of every entry, in the order of hashes. All runs of all checkpoints are sorted
//! by hash, so this is a merge that has one chunk of each run in memory, however many entries there are.

use super::checkpoint::{Block, Checkpoint, Tally};
use super::error::Error;
use super::index::Run;
use super::{Entry, record};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

/// How many entries a load gave, and the bytes of their keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Loaded {
    /// Entries.
    pub entries: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Where the merge is in a run.
struct Cursor<'a> {
    checkpoint: usize,
    run: &'a Run,
    next_chunk: u32,
    block: Block,
    /// Entries of the block behind the one that the cursor is at.
    left: u32,
    /// Where in the block the entry begins.
    at: usize,
    /// The hash of the entry. Before the first block is read it comes from the index.
    hash: u64,
}

/// Gives the newest version of every entry that is no tombstone. On an error, what has been given is worth nothing.
pub(super) fn merge(chain: &[Arc<Checkpoint>], take: &mut dyn FnMut(Entry<'_>)) -> Result<Loaded, Error> {
    let mut merge = Merge {
        chain,
        tallies: chain.iter().map(|_| Tally::default()).collect(),
        cursors: Vec::new(),
        heap: BinaryHeap::new(),
        loaded: Loaded::default(),
    };
    // The newest run first: of equal entries the one with the lowest rank holds.
    for (number, checkpoint) in chain.iter().enumerate().rev() {
        for run in checkpoint.runs.iter().rev() {
            merge.heap.push(Reverse((run.first_hash(), merge.cursors.len())));
            let block = Block { bytes: Vec::new(), count: 0, next_chunk: run.chunks().start };
            let (next_chunk, hash) = (block.next_chunk, run.first_hash());
            merge.cursors.push(Cursor { checkpoint: number, run, next_chunk, block, left: 0, at: 0, hash });
        }
    }
    merge.run(take)?;
    for (checkpoint, tally) in chain.iter().zip(&merge.tallies) {
        checkpoint.verify(tally)?;
    }
    Ok(merge.loaded)
}

struct Merge<'a> {
    chain: &'a [Arc<Checkpoint>],
    tallies: Vec<Tally>,
    cursors: Vec<Cursor<'a>>,
    /// Hash and rank of each cursor that is not at its end.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    loaded: Loaded,
}

impl Merge<'_> {
    fn run(&mut self, take: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error> {
        let mut group = Vec::new();
        while let Some(Reverse((hash, rank))) = self.heap.pop() {
            group.clear();
            group.push(rank);
            while let Some(top) = self.heap.peek_mut().filter(|top| top.0.0 == hash) {
                group.push(PeekMut::pop(top).0.1);
            }
            for &rank in &group {
                if self.cursors[rank].left == 0 && self.cursors[rank].block.count == 0 {
                    self.next_block(rank)?;
                }
            }
            self.drain(hash, &mut group, take)?;
        }
        Ok(())
    }

    /// Gives the entries of the cursors in `group`, which all are at entries with this hash, until none is any more.
    fn drain(
        &mut self,
        hash: u64,
        group: &mut Vec<usize>,
        take: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(), Error> {
        // Usually one run alone has the hash, and often the next hashes too.
        if let [rank] = group[..] {
            let until = self.heap.peek().map_or(u64::MAX, |next| next.0.0);
            loop {
                self.give(rank, take)?;
                if !self.advance(rank)? {
                    return Ok(());
                }
                if self.cursors[rank].hash >= until {
                    self.heap.push(Reverse((self.cursors[rank].hash, rank)));
                    return Ok(());
                }
            }
        }
        while !group.is_empty() {
            let mut lowest = group[0];
            for &rank in &group[1..] {
                // Ranks are not in order after some have gone; equal entries must fall to the lowest.
                if (self.name(rank)?, rank) < (self.name(lowest)?, lowest) {
                    lowest = rank;
                }
            }
            self.give(lowest, take)?;
            let mut equal = Vec::new();
            for &rank in group.iter() {
                if self.name(rank)? == self.name(lowest)? {
                    equal.push(rank);
                }
            }
            for rank in equal {
                let more = self.advance(rank)?;
                if !more || self.cursors[rank].hash != hash {
                    group.retain(|other| *other != rank);
                }
                if more && self.cursors[rank].hash != hash {
                    self.heap.push(Reverse((self.cursors[rank].hash, rank)));
                }
            }
        }
        Ok(())
    }

    fn entry(&self, rank: usize) -> Result<(Entry<'_>, usize), Error> {
        let cursor = &self.cursors[rank];
        cursor.block.entry(cursor.at).ok_or_else(|| self.chain[cursor.checkpoint].damaged())
    }

    fn name(&self, rank: usize) -> Result<(u64, &[u8]), Error> {
        self.entry(rank).map(|(entry, _)| (entry.pattern, entry.key))
    }

    fn give(&mut self, rank: usize, take: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error> {
        let (entry, _) = self.entry(rank)?;
        if let Some(value) = entry.value {
            let bytes = (entry.key.len() + value.len()) as u64;
            take(entry);
            self.loaded.entries += 1;
            self.loaded.bytes += bytes;
        }
        Ok(())
    }

    /// Goes to the next entry of the run; whether there is one.
    fn advance(&mut self, rank: usize) -> Result<bool, Error> {
        let (_, next) = self.entry(rank)?;
        let cursor = &mut self.cursors[rank];
        if cursor.left > 0 {
            cursor.left -= 1;
            cursor.at = next;
        } else if cursor.next_chunk < cursor.run.chunks().end {
            self.next_block(rank)?;
        } else {
            cursor.block.bytes = Vec::new();
            return Ok(false);
        }
        let (pattern, key) = self.name(rank)?;
        let hash = record::hash(pattern, key);
        // Out of order is damage that no checksum of a chunk can show, and it would make the merge go wrong.
        if hash < self.cursors[rank].hash {
            return Err(self.chain[self.cursors[rank].checkpoint].damaged());
        }
        self.cursors[rank].hash = hash;
        Ok(true)
    }

    fn next_block(&mut self, rank: usize) -> Result<(), Error> {
        let cursor = &mut self.cursors[rank];
        let checkpoint = &self.chain[cursor.checkpoint];
        let block = checkpoint.block(cursor.next_chunk, &mut self.tallies[cursor.checkpoint])?;
        let block = block.ok_or_else(|| checkpoint.damaged())?;
        cursor.left = block.count.checked_sub(1).ok_or_else(|| checkpoint.damaged())?;
        cursor.next_chunk = block.next_chunk;
        cursor.at = 0;
        cursor.block = block;
        Ok(())
    }
}
