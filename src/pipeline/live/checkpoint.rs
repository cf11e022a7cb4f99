//! Checkpoints: what the threads hold between two batches, gathered and made durable without anyone waiting for it.
//!
//! The owner passes a barrier to all. Each shard gives the keys that changed and goes on; the logs of output say how far
//! they are durable; when all parts of a number have come, the checkpoint is committed. What fails is told and tried again
//! with the next one: nothing is lost but the time that a restart would save.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::super::decision::Budgets;
use super::super::merger::Was;
use crate::engine::{Engine, KeyState, Progress};
use crate::event::{EventId, Timestamp};
use crate::ingest::Resume;
use crate::state::{Entry, StateStore, Writer};

/// Keys that a shard hands over together, in bytes about.
const PART_BYTES: usize = 1 << 20;

/// What suppression knows has this in the place of a pattern's id.
pub(super) const SENT: u64 = u64::MAX;

/// The ids of events that streams remember have this in the place of a pattern's id.
pub(super) const SEEN: u64 = u64::MAX - 2;

/// Keys that take no part any more have this.
pub(super) const BLOCKED: u64 = u64::MAX - 1;

/// Where everything stood at a checkpoint: with the keys, all that a start needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cut {
    /// Up to here events had left.
    pub(super) frontier: Option<Timestamp>,
    /// Where each stream is read again from.
    pub(super) streams: BTreeMap<String, Resume>,
    /// The next entry of the control log.
    pub(super) control: u64,
    /// The versions that were installed, and whether they began partial matches.
    pub(super) versions: Vec<Installed>,
    /// The budgets of patterns that have none of their own.
    #[serde(default)]
    pub(super) limits: Budgets,
    /// How far the engine had come, the same for all shards.
    pub(super) engine: Progress,
    /// The next line of the log of matches.
    #[serde(default)]
    pub(super) matches: u64,
    /// The next line of the log of rejected lines.
    #[serde(default)]
    pub(super) rejected: u64,
}

/// An installed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    /// What its keys are called by in the state.
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) version: u64,
    #[serde(flatten)]
    pub(super) was: Was,
}

/// What comes to the thread that writes checkpoints.
pub(super) enum Part {
    /// A checkpoint begins; how many shards take part, and whether it is a full one.
    Begin(u64, Box<Cut>, usize, bool),
    /// Keys of some shard.
    Keys(Vec<Saved>),
    /// A shard has given all its keys, and tells how far it has come.
    Shard(u64, Progress),
    /// How far the matches' log is durable.
    Matches(u64, u64),
    /// How far the log of rejected lines is durable.
    Rejected(u64, u64),
}

/// A key that changed.
pub(super) struct Saved {
    pub(super) pattern: u64,
    pub(super) key: Vec<u8>,
    pub(super) state: Option<Vec<u8>>,
}

impl Saved {
    /// An id of an event that a stream remembers; without a time, one that it does not remember any more.
    pub(super) fn seen(stream: &str, id: EventId, time: Option<Timestamp>) -> Saved {
        let key = [&id.to_bytes(), stream.as_bytes()].concat();
        Saved { pattern: SEEN, key, state: time.map(|time| time.0.to_le_bytes().to_vec()) }
    }
}

/// The stream, the id and the time of an entry about an id that a stream remembers.
pub(super) fn seen(entry: &Entry<'_>) -> Option<(String, EventId, Timestamp)> {
    let (id, stream) = entry.key.split_first_chunk().filter(|_| entry.pattern == SEEN)?;
    let time = entry.value?.try_into().ok()?;
    let stream = std::str::from_utf8(stream).ok()?.to_owned();
    Some((stream, EventId::from_bytes(*id)?, Timestamp(i64::from_le_bytes(time))))
}

/// What the owner hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// The checkpoint exists. By stream, from where on its log is needed, whichever checkpoint a start chooses.
    Committed(BTreeMap<String, u64>),
    /// It does not.
    Failed,
}

/// What a shard does between two batches.
pub(super) type Given = Arc<dyn Fn(&mut Engine) + Send + Sync>;

/// What a shard does at a barrier: it gives its keys, named by the patterns' ids.
pub(super) fn give(number: u64, ids: Arc<[u64]>, full: bool, to: Sender<Part>) -> Given {
    Arc::new(move |engine| {
        let (mut part, mut bytes) = (Vec::new(), 0);
        engine.changes(full, |KeyState { pattern, key, state }| {
            bytes += key.len() + state.map_or(0, <[u8]>::len);
            let pattern = match pattern {
                KeyState::BLOCKED => BLOCKED,
                pattern => ids.get(pattern as usize).copied().unwrap_or(SENT),
            };
            part.push(Saved { pattern, key: key.to_vec(), state: state.map(<[u8]>::to_vec) });
            if bytes >= PART_BYTES {
                bytes = 0;
                // Where nobody takes it any more, the service has failed and says why.
                let _ = to.send(Part::Keys(std::mem::take(&mut part)));
            }
        });
        if engine.lost().is_some() {
            // The checkpoint will not be whole.
            return;
        }
        let _ = to.send(Part::Keys(part));
        let _ = to.send(Part::Shard(number, engine.progress()));
    })
}

/// A checkpoint whose parts are coming.
struct Open<'a> {
    number: u64,
    cut: Box<Cut>,
    shards: usize,
    matches: Option<u64>,
    rejected: Option<u64>,
    /// None once something has failed.
    writer: Option<Box<dyn Writer + 'a>>,
}

impl Open<'_> {
    fn is_whole(&self) -> bool {
        self.shards == 0 && self.matches.is_some() && self.rejected.is_some()
    }
}

/// Writes checkpoints until nobody sends any more.
pub(super) fn write(store: &dyn StateStore, parts: &Receiver<Part>, done: &Sender<Done>) {
    let mut open: Option<Open<'_>> = None;
    for part in parts {
        match (part, &mut open) {
            (Part::Begin(number, cut, shards, full), open) => {
                let writer =
                    store.begin(full).map_err(|error| warn!(%error, "a checkpoint cannot be begun")).ok();
                *open = Some(Open { number, cut, shards, matches: None, rejected: None, writer });
            }
            (Part::Keys(keys), Some(open)) => {
                for Saved { pattern, key, state } in &keys {
                    let entry = Entry { pattern: *pattern, key, value: state.as_deref() };
                    let put = open.writer.as_mut().map_or(Ok(()), |writer| writer.put(entry));
                    if let Err(error) = put {
                        warn!(%error, "a checkpoint cannot be written");
                        open.writer = None;
                    }
                }
            }
            (Part::Shard(number, progress), Some(open)) if number == open.number => {
                open.shards -= 1;
                open.cut.engine = progress;
            }
            (Part::Matches(number, next), Some(open)) if number == open.number => open.matches = Some(next),
            (Part::Rejected(number, next), Some(open)) if number == open.number => open.rejected = Some(next),
            _ => {}
        }
        if let Some(whole) = open.take_if(|open| open.is_whole()) {
            let _ = done.send(commit(store, whole));
        }
    }
}

fn commit(store: &dyn StateStore, open: Open<'_>) -> Done {
    let Open { mut cut, writer, matches, rejected, .. } = open;
    (cut.matches, cut.rejected) = (matches.unwrap_or_default(), rejected.unwrap_or_default());
    let Some(writer) = writer else { return Done::Failed };
    // A cut is plain data: it can be written.
    let meta = serde_json::to_value(&cut).unwrap_or_default();
    match writer.commit(meta) {
        Ok(manifest) => debug!(number = manifest.number, "checkpoint"),
        Err(error) => {
            warn!(%error, "a checkpoint cannot be committed");
            return Done::Failed;
        }
    }
    if store.wants_full()
        && let Err(error) = store.compact()
    {
        warn!(%error, "checkpoints cannot be put together");
    }
    Done::Committed(needed(store))
}

/// From where on each stream is read again at the earliest: by one of the newest two checkpoints, or where their directory
/// is damaged, by the newest of the other one. A stream that a checkpoint does not know is read from its beginning.
fn needed(store: &dyn StateStore) -> BTreeMap<String, u64> {
    let of_newest = store.chain().len();
    let candidates = store.candidates().into_iter().enumerate();
    let candidates = candidates.filter(|(place, _)| *place < 2 || *place == of_newest).map(|(_, one)| one);
    let cuts: Vec<Cut> =
        candidates.filter_map(|manifest| serde_json::from_value(manifest.meta).ok()).collect();
    let from = |cut: &Cut, stream: &String| cut.streams.get(stream).map_or(0, |at| at.from);
    let lowest = |stream: &String| cuts.iter().map(|cut| from(cut, stream)).min().unwrap_or(0);
    let streams = cuts.iter().flat_map(|cut| cut.streams.keys());
    streams.map(|stream| (stream.clone(), lowest(stream))).collect()
}
