//! Writes one checkpoint: entries are collected, sorted by hash and packed into chunks, some megabytes at a time.

use super::checkpoint::Checkpoint;
use super::chunk::{Header, Kind, Packer, RAW_MAX};
use super::error::Error;
use super::generation::Generation;
use super::index::Run;
use super::manifest::Manifest;
use super::{Entry, disk, record};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of entries that are sorted together. More makes fewer runs, which later reads merge; this is what a checkpoint
/// costs in memory.
const RUN_BYTES: usize = 8 << 20;

/// An entry in the buffer.
struct Slot {
    hash: u64,
    begin: usize,
    end: usize,
}

/// A checkpoint that is being written.
pub(super) struct Build {
    generation: Arc<Generation>,
    /// The file of the manifest's copy outside sled.
    witness: PathBuf,
    number: u64,
    parent: Option<u64>,
    packer: Packer,
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    runs: Vec<Run>,
    chunks: u32,
    entries: u64,
    bytes: u64,
    checksum: u64,
}

impl Build {
    pub(super) fn new(
        generation: Arc<Generation>,
        witness: PathBuf,
        number: u64,
        parent: Option<u64>,
    ) -> Result<Self, Error> {
        let packer = Packer::new().map_err(Error::io("compress for", &generation.path))?;
        // If anything of this checkpoint survives a crash, so does this, which comes before it in sled's log.
        generation.set_next_number(number + 1)?;
        Ok(Self {
            generation,
            witness,
            number,
            parent,
            packer,
            buffer: Vec::new(),
            slots: Vec::new(),
            runs: Vec::new(),
            chunks: 0,
            entries: 0,
            bytes: 0,
            checksum: 0,
        })
    }

    pub(super) fn put(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        let begin = self.buffer.len();
        record::encode(entry, &mut self.buffer);
        self.slots.push(Slot { hash: record::hash(entry.pattern, entry.key), begin, end: self.buffer.len() });
        if self.buffer.len() >= RUN_BYTES { self.write_run() } else { Ok(()) }
    }

    /// Sorts what has been collected and stores it.
    fn write_run(&mut self) -> Result<(), Error> {
        if self.slots.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let mut slots = std::mem::take(&mut self.slots);
        let name = |slot: &Slot| {
            record::decode(&mut &buffer[slot.begin..slot.end]).map(|entry| (entry.pattern, entry.key))
        };
        // The latest of equal entries comes first and stays.
        slots.sort_unstable_by(|one, other| {
            one.hash
                .cmp(&other.hash)
                .then_with(|| name(one).cmp(&name(other)))
                .then_with(|| other.begin.cmp(&one.begin))
        });
        slots.dedup_by(|later, kept| later.hash == kept.hash && name(later) == name(kept));
        let first_chunk = self.chunks;
        let mut firsts = Vec::new();
        let mut raw = Vec::with_capacity(RAW_MAX);
        let (mut count, mut first) = (0, 0);
        for slot in &slots {
            let bytes = &buffer[slot.begin..slot.end];
            if count > 0 && raw.len() + bytes.len() > RAW_MAX {
                self.write_chunk(Kind::Data, count, (0, 1), &raw)?;
                firsts.push(first);
                raw.clear();
                count = 0;
            }
            if bytes.len() > RAW_MAX {
                let parts = bytes.len().div_ceil(RAW_MAX) as u32;
                for (part, bytes) in (0..).zip(bytes.chunks(RAW_MAX)) {
                    self.write_chunk(Kind::Data, u32::from(part + 1 == parts), (part, parts), bytes)?;
                    firsts.push(slot.hash);
                }
                continue;
            }
            if count == 0 {
                first = slot.hash;
            }
            raw.extend_from_slice(bytes);
            count += 1;
        }
        if count > 0 {
            self.write_chunk(Kind::Data, count, (0, 1), &raw)?;
            firsts.push(first);
        }
        self.entries += slots.len() as u64;
        self.runs.push(Run::new(first_chunk, firsts, slots.iter().map(|slot| slot.hash)));
        // The memory is used again, unless an entry of unusual size made it large.
        self.buffer = buffer;
        self.buffer.clear();
        self.buffer.shrink_to(2 * RUN_BYTES);
        self.slots = slots;
        self.slots.clear();
        Ok(())
    }

    fn write_chunk(
        &mut self,
        kind: Kind,
        count: u32,
        (part, parts): (u32, u32),
        raw: &[u8],
    ) -> Result<(), Error> {
        let header = Header { kind, checkpoint: self.number, chunk: self.chunks, count, part, parts };
        let (bytes, share) =
            self.packer.pack(header, raw).map_err(Error::io("compress for", &self.generation.path))?;
        self.checksum = self.checksum.wrapping_add(share);
        self.bytes += bytes.len() as u64;
        self.generation.put_chunk(self.number, self.chunks, bytes)?;
        self.chunks += 1;
        Ok(())
    }

    /// Stores the rest, the index and the manifest. When this returns the checkpoint outlives a power cut.
    pub(super) fn commit(&mut self, meta: serde_json::Value) -> Result<Checkpoint, Error> {
        self.write_run()?;
        let chunks = self.chunks;
        let data_checksum = self.checksum;
        let mut index = Vec::new();
        self.runs.iter().for_each(|run| run.encode(&mut index));
        for raw in index.chunks(RAW_MAX) {
            self.write_chunk(Kind::Index, 0, (0, 1), raw)?;
        }
        // Chunks first: a manifest that outlives a power cut must not be without them.
        self.generation.sync()?;
        let manifest = Manifest {
            number: self.number,
            parent: self.parent,
            chunks,
            index_chunks: self.chunks - chunks,
            entries: self.entries,
            bytes: self.bytes,
            checksum: self.checksum,
            meta,
        };
        let bytes = manifest.to_bytes(&self.generation.path)?;
        self.generation.put_manifest(self.number, &bytes)?;
        self.generation.sync()?;
        disk::replace(&self.witness, &bytes)?;
        let index_checksum = self.checksum.wrapping_sub(data_checksum);
        let runs = std::mem::take(&mut self.runs);
        Ok(Checkpoint::new(manifest, self.generation.clone(), runs, index_checksum))
    }

    /// Removes what has been written. What cannot be removed has no manifest and does not count.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        self.generation.remove(self.number)
    }
}
