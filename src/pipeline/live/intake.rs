//! What is done with posted lines before they are appended, on the thread that brings them: they are packed for their log,
//! and decoded as the patterns of the moment need them. The owner only puts them into order.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::handle::NotAppended;
use super::idempotency::{BODY_HASH_BYTES, Stored};
use crate::engine::PatternSet;
use crate::event::Position;
use crate::event::decode::{Decoded, Decoder};
use crate::event::key::KeyHasher;
use crate::journal::EncodedRecord;

/// From so many bytes on, a batch is compressed in its log.
const COMPRESS_FROM: usize = 4 << 10;

/// Decoders of one stream that are kept for the next batch.
const SPARE_DECODERS: usize = 8;

/// Lines that are ready to be appended.
#[derive(Debug)]
pub struct Intake {
    pub(super) stream: usize,
    pub(super) count: u32,
    pub(super) rejected: u32,
    pub(super) record: EncodedRecord,
    pub(super) decoded: Decoded,
    /// The key that makes a retry safe, and what the body is known by.
    pub(super) key: Option<(String, [u8; BODY_HASH_BYTES])>,
}

/// How events are decoded at the moment.
#[derive(Debug)]
pub(in crate::pipeline) struct Preparation {
    /// Says which patterns these are; see [`crate::event::Block::epoch`].
    pub(in crate::pipeline) epoch: u64,
    pub(in crate::pipeline) set: Arc<PatternSet>,
    /// Where several shards take the events.
    pub(in crate::pipeline) hasher: Option<KeyHasher>,
    /// By stream.
    pub(in crate::pipeline) decoders: Vec<Decoder>,
}

/// How events are decoded, for many threads; the owner says when it changes.
#[derive(Debug)]
pub(super) struct Preparing(RwLock<Arc<Current>>);

#[derive(Debug)]
struct Current {
    preparation: Preparation,
    /// By stream, decoders that have learnt how its lines look.
    spare: Vec<Mutex<Vec<Decoder>>>,
}

impl Preparing {
    pub(super) fn new(preparation: Preparation) -> Preparing {
        Preparing(RwLock::new(Arc::new(Current::new(preparation))))
    }

    pub(super) fn set(&self, preparation: Preparation) {
        let current = Arc::new(Current::new(preparation));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Makes lines ready, each with its line break and none of them blank. It takes its time.
    pub(super) fn take(
        &self,
        stream: usize,
        lines: Vec<u8>,
        key: Option<&str>,
    ) -> Result<Intake, NotAppended> {
        let current = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        // Decoding takes the lines, and gives them back as text only where all of them are text.
        let kept = std::str::from_utf8(&lines).is_err().then(|| lines.clone());
        let decoded = current.decode(stream, lines);
        let lines = kept.as_deref().unwrap_or(decoded.block.text.as_bytes());
        let (count, rejected) = (decoded.lines as u32, decoded.dead.len() as u32);
        let key = key.map(|key| (key.to_owned(), body_hash(lines)));
        let stored = key.as_ref().map(|(key, body)| Stored { key, body: *body, rejected }.encode());
        let record = EncodedRecord::new(count, &stored.unwrap_or_default(), lines, COMPRESS_FROM)
            .map_err(|error| NotAppended::Storage(Arc::new(error)))?;
        Ok(Intake { stream, count, rejected, record, decoded, key })
    }
}

impl Current {
    fn new(preparation: Preparation) -> Current {
        Current { spare: preparation.decoders.iter().map(|_| Mutex::default()).collect(), preparation }
    }

    fn decode(&self, stream: usize, lines: Vec<u8>) -> Decoded {
        let Preparation { epoch, set, hasher, decoders } = &self.preparation;
        let spare = || self.spare[stream].lock().unwrap_or_else(PoisonError::into_inner);
        let found = spare().pop();
        let mut decoder = found.unwrap_or_else(|| decoders[stream].clone());
        let first = Position { stream: stream as u32, partition: 0, offset: 0 };
        let mut decoded = decoder.decode(lines, first);
        let mut spare = spare();
        if spare.len() < SPARE_DECODERS {
            spare.push(decoder);
        }
        drop(spare);
        set.prepare(&mut decoded.block, hasher.as_ref());
        decoded.block.epoch = *epoch;
        decoded
    }
}

fn body_hash(lines: &[u8]) -> [u8; BODY_HASH_BYTES] {
    let hash = Sha256::digest(lines);
    std::array::from_fn(|at| hash[at])
}
