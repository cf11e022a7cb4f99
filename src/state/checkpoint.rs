//! A checkpoint that can be read, and the chain of those that it builds on.

use super::chunk::Kind;
use super::error::Error;
use super::generation::Generation;
use super::index::{self, Run};
use super::manifest::Manifest;
use super::{Entry, record};
use std::sync::Arc;

/// A checkpoint with its index in memory.
pub(super) struct Checkpoint {
    pub(super) manifest: Manifest,
    pub(super) generation: Arc<Generation>,
    pub(super) runs: Vec<Run>,
    /// What the chunks of the index add to the checksum.
    index_checksum: u64,
}

/// Checkpoints, each the parent of the next; the first one is full.
pub(super) type Chain = Vec<Arc<Checkpoint>>;

impl Checkpoint {
    pub(super) fn new(
        manifest: Manifest,
        generation: Arc<Generation>,
        runs: Vec<Run>,
        index_checksum: u64,
    ) -> Self {
        Self { manifest, generation, runs, index_checksum }
    }

    /// Reads the index of a checkpoint.
    fn read(manifest: Manifest, generation: &Arc<Generation>) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let mut index_checksum = 0u64;
        let chunks = manifest.chunks;
        let index_chunks = chunks..chunks.saturating_add(manifest.index_chunks);
        for chunk in index_chunks {
            let unpacked = generation.chunk(manifest.number, chunk)?;
            if unpacked.header.kind != Kind::Index {
                return Err(manifest_is_wrong(&manifest, generation));
            }
            index_checksum = index_checksum.wrapping_add(unpacked.share);
            bytes.extend_from_slice(&unpacked.raw);
        }
        let runs = index::decode(&bytes, chunks).ok_or_else(|| manifest_is_wrong(&manifest, generation))?;
        Ok(Self { manifest, generation: generation.clone(), runs, index_checksum })
    }

    /// Reads the entries that begin at a chunk, of which one may have several chunks; none begins at a later part of such.
    pub(super) fn block(&self, chunk: u32, tally: &mut Tally) -> Result<Option<Block>, Error> {
        let number = self.manifest.number;
        let wrong = || {
            Error::damaged(
                &self.generation.path,
                format!("chunk {chunk} of checkpoint {number} is misplaced"),
            )
        };
        let mut unpacked = self.generation.chunk(number, chunk)?;
        tally.add(&unpacked.header, unpacked.share);
        let (mut count, parts) = (unpacked.header.count, unpacked.header.parts);
        if unpacked.header.kind != Kind::Data {
            return Err(wrong());
        }
        if unpacked.header.part != 0 {
            return Ok(None);
        }
        for part in 1..parts {
            let next = self.generation.chunk(number, chunk.checked_add(part).ok_or_else(wrong)?)?;
            if next.header.kind != Kind::Data || (next.header.part, next.header.parts) != (part, parts) {
                return Err(wrong());
            }
            tally.add(&next.header, next.share);
            count += next.header.count;
            unpacked.raw.extend_from_slice(&next.raw);
        }
        Ok(Some(Block { bytes: unpacked.raw, count, next_chunk: chunk + parts }))
    }

    /// The newest value of an entry in this checkpoint: none, a tombstone, or a value.
    pub(super) fn find(
        &self,
        (pattern, key): (u64, &[u8]),
        hash: u64,
        mut block: impl FnMut(&Self, u32) -> Result<Option<Arc<Block>>, Error>,
    ) -> Result<Option<Option<Vec<u8>>>, Error> {
        for run in self.runs.iter().rev() {
            for chunk in run.find(hash) {
                let Some(block) = block(self, chunk)? else { continue };
                let mut bytes = block.bytes.as_slice();
                for _ in 0..block.count {
                    let entry = record::decode(&mut bytes).ok_or_else(|| self.damaged())?;
                    if entry.pattern == pattern && entry.key == key {
                        return Ok(Some(entry.value.map(<[u8]>::to_vec)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether what has been read of the checkpoint is what its manifest promised.
    pub(super) fn verify(&self, tally: &Tally) -> Result<(), Error> {
        let promised = (self.manifest.chunks, self.manifest.entries, self.manifest.checksum);
        if (tally.chunks, tally.entries, tally.checksum.wrapping_add(self.index_checksum)) == promised {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }

    pub(super) fn damaged(&self) -> Error {
        manifest_is_wrong(&self.manifest, &self.generation)
    }
}

fn manifest_is_wrong(manifest: &Manifest, generation: &Generation) -> Error {
    let number = manifest.number;
    Error::damaged(&generation.path, format!("checkpoint {number} is not what its manifest says"))
}

/// Entries as they were written together.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
    pub(super) next_chunk: u32,
}

impl Block {
    /// The entry that begins at a place, and where the next one begins.
    pub(super) fn entry(&self, at: usize) -> Option<(Entry<'_>, usize)> {
        let mut bytes = self.bytes.get(at..)?;
        let entry = record::decode(&mut bytes)?;
        Some((entry, self.bytes.len() - bytes.len()))
    }
}

/// What has been read of a checkpoint.
#[derive(Default)]
pub(super) struct Tally {
    chunks: u32,
    entries: u64,
    checksum: u64,
}

impl Tally {
    fn add(&mut self, header: &super::chunk::Header, share: u64) {
        self.chunks += 1;
        self.entries += u64::from(header.count);
        self.checksum = self.checksum.wrapping_add(share);
    }
}

/// The longest chain of a directory that leads to the newest checkpoint, and what is wrong with newer ones.
pub(super) fn newest_chain(generation: &Arc<Generation>) -> Result<(Chain, Vec<String>), Error> {
    let (manifests, mut problems) = generation.manifests()?;
    for newest in manifests.iter().rev() {
        match chain_to(newest, &manifests, generation) {
            Ok(chain) => return Ok((chain, problems)),
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Ok((Chain::new(), problems))
}

fn chain_to(newest: &Manifest, all: &[Manifest], generation: &Arc<Generation>) -> Result<Chain, Error> {
    let mut chain = vec![Arc::new(Checkpoint::read(newest.clone(), generation)?)];
    let mut child = newest;
    while let Some(number) = child.parent {
        let parent = all.iter().find(|manifest| manifest.number == number && number < child.number);
        child = parent.ok_or_else(|| {
            let why = format!("checkpoint {number}, which checkpoint {} follows, is not there", child.number);
            Error::damaged(&generation.path, why)
        })?;
        chain.push(Arc::new(Checkpoint::read(child.clone(), generation)?));
    }
    chain.reverse();
    Ok(chain)
}
