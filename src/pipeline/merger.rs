//! From durable lines and durable decisions to what the shards take: the one merged order, cut where decisions take
//! effect. It reads no clock and writes nothing, so that the live service and a replay of its logs go the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decision::{Change, Decision, Entry, OldState, StreamDeclaration, What};
use super::failure::Failure;
use super::live::Preparation;
use super::shard::Cut;
use crate::engine::PatternSet;
use crate::event::decode::{Decoded, Decoder};
use crate::event::key::KeyHasher;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Block, Position, Timestamp};
use crate::ingest::{BufferFull, Ingest, PartitionSettings, Rejected};
use crate::pattern::{self, plan::Plan};

/// Takes what the merger gives, in order.
pub(super) trait Taker {
    /// The next events.
    fn batch(&mut self, batch: Batch) -> Result<(), Failure>;
    /// All events up to a time have come.
    fn advance(&mut self, to: Timestamp) -> Result<(), Failure>;
    /// Other patterns go on from here.
    fn cut(&mut self, cut: Cut) -> Result<(), Failure>;
}

/// Merges the streams of a service.
#[derive(Debug)]
pub(super) struct Merger {
    streams: Vec<Stream>,
    ingest: Ingest,
    set: Arc<PatternSet>,
    /// Patterns that begin nothing because they are paused, by name.
    batch_size: usize,
    hasher: Option<KeyHasher>,
    /// Grows with each set; a block says with which it was prepared.
    epoch: u64,
    /// The first epoch whose set reads what the present one reads.
    same_fields_since: u64,
    /// Decisions that have not taken effect, by when they do.
    pending: BTreeMap<(Timestamp, u64), Vec<Change>>,
    /// The time that the shards know to have been reached.
    advanced: Option<Timestamp>,
}

/// A stream, which is one partition.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    settings: StreamSettings,
    decoder: Decoder,
    /// How many lines have come.
    pub(super) next: u64,
    pub(super) is_idle: bool,
    /// Lines that could not be read, blank lines, events and late events since the start.
    pub(super) counts: Counts,
}

/// What was counted of a stream since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) dead_letters: u64,
}

impl Merger {
    /// Over these streams, in the order of their names, with no patterns.
    pub(super) fn new(
        streams: Vec<(String, StreamDeclaration)>,
        batch_size: usize,
        max_buffered: usize,
        hasher: Option<KeyHasher>,
    ) -> Merger {
        let names: Vec<String> = streams.iter().map(|(name, _)| name.clone()).collect();
        let type_field = streams.first().map_or_else(StreamSettings::default, |(_, first)| first.settings());
        let set = Arc::new(PatternSet::of_versions(Vec::new(), &type_field, &names));
        let partitions: Vec<PartitionSettings> = (0..)
            .zip(&streams)
            .map(|(rank, (_, declared))| PartitionSettings {
                max_time_jump: declared.max_time_jump,
                flushes: declared.flushes,
                ..PartitionSettings::new(rank, 0, declared.out_of_orderness)
            })
            .collect();
        let stream = |(name, declared): (String, StreamDeclaration)| Stream {
            name,
            decoder: Decoder::new(set.schema(), &declared.settings()),
            settings: declared.settings(),
            next: 0,
            is_idle: false,
            counts: Counts::default(),
        };
        Merger {
            streams: streams.into_iter().map(stream).collect(),
            ingest: Ingest::new(&partitions, max_buffered),
            batch_size,
            hasher,
            epoch: 1,
            same_fields_since: 1,
            pending: BTreeMap::new(),
            advanced: None,
            set,
        }
    }

    /// The streams, in the order of their names.
    pub(super) fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The number of a stream.
    pub(super) fn stream(&self, name: &str) -> Option<usize> {
        self.streams.binary_search_by(|stream| stream.name.as_str().cmp(name)).ok()
    }

    /// Where events wait.
    pub(super) fn ingest(&mut self) -> &mut Ingest {
        &mut self.ingest
    }

    /// The installed patterns.
    pub(super) fn set(&self) -> &Arc<PatternSet> {
        &self.set
    }

    /// When a decision that is made now can take effect at the earliest; none: before any event.
    pub(super) fn next_cut(&self) -> Option<Timestamp> {
        self.ingest.frontier().map(after)
    }

    /// Takes lines that are durable.
    pub(super) fn lines(&mut self, stream: usize, first: u64, lines: Vec<u8>) -> Result<(), BufferFull> {
        let position = Position { stream: stream as u32, partition: 0, offset: 0 };
        let mut decoded = self.streams[stream].decoder.decode(lines, position);
        self.prepare(&mut decoded);
        self.decoded(stream, first, decoded)
    }

    /// Takes lines that are durable and were decoded as [`Merger::preparation`] says, now or before, numbered from 0.
    pub(super) fn decoded(
        &mut self,
        stream: usize,
        first: u64,
        mut decoded: Decoded,
    ) -> Result<(), BufferFull> {
        decoded.number_from(first);
        let at = &mut self.streams[stream];
        at.next = first + decoded.lines;
        at.counts.events += decoded.block.heads.len() as u64;
        at.counts.dead_letters += decoded.dead.len() as u64;
        self.ingest.push(stream, decoded)
    }

    /// Which patterns lines are prepared for: it grows with each change.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How lines are prepared at the moment.
    pub(super) fn preparation(&self) -> Preparation {
        Preparation {
            epoch: self.epoch,
            set: Arc::clone(&self.set),
            hasher: self.hasher.clone(),
            decoders: self.streams.iter().map(|stream| stream.decoder.clone()).collect(),
        }
    }

    fn prepare(&self, decoded: &mut Decoded) {
        self.set.prepare(&mut decoded.block, self.hasher.as_ref());
        decoded.block.epoch = self.epoch;
    }

    /// Takes a decision that is durable. Patterns wait for their cut.
    pub(super) fn decide(&mut self, entry: &Entry) {
        match &entry.decision {
            Decision::Patterns { effective_from, changes } => {
                let at = effective_from.unwrap_or(Timestamp::MIN);
                self.pending.insert((at, entry.sequence), changes.clone());
            }
            Decision::Idle { stream, .. } => self.set_idle(stream, true),
            Decision::Resume { stream, offset, floor } => {
                self.set_idle(stream, false);
                if let (Some(stream), Some(floor)) = (self.stream(stream), floor) {
                    self.ingest.mark(stream, *offset, *floor);
                }
            }
            Decision::Heartbeat { stream, offset, floor } => {
                if let Some(stream) = self.stream(stream) {
                    self.ingest.mark(stream, *offset, *floor);
                }
            }
            Decision::Stream { .. } | Decision::Frontier { .. } => {}
        }
    }

    fn set_idle(&mut self, stream: &str, is_idle: bool) {
        if let Some(stream) = self.stream(stream) {
            self.streams[stream].is_idle = is_idle;
            self.ingest.set_idle(stream, is_idle);
        }
    }

    /// Passes on all that may leave, and cuts it where decisions take effect.
    pub(super) fn run(&mut self, taker: &mut impl Taker) -> Result<(), Failure> {
        loop {
            let cut = self.pending.keys().next().map(|&(at, _)| at);
            // What takes effect before any event needs no time to be reached.
            let before = cut.map_or(Timestamp::MAX, |at| Timestamp(at.0.saturating_sub(1)));
            self.ingest.set_cap(before);
            if cut != Some(Timestamp::MIN) {
                while let Some(batch) = self.next_batch() {
                    taker.batch(batch)?;
                }
            }
            match cut {
                Some(at) if at == Timestamp::MIN || self.ingest.frontier() >= Some(before) => {
                    self.cut(at, taker)?;
                }
                _ => break,
            }
        }
        if self.ingest.frontier() > self.advanced {
            self.advanced = self.ingest.frontier();
            if let Some(to) = self.advanced {
                taker.advance(to)?;
            }
        }
        Ok(())
    }

    /// The late events and dead letters that may leave.
    pub(super) fn rejected(&mut self) -> Vec<Rejected> {
        self.ingest.rejected()
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let Merger { streams, ingest, set, hasher, epoch, same_fields_since, batch_size, .. } = self;
        ingest.batch_renewed(*batch_size, |block| {
            if block.epoch == *epoch {
                return None;
            }
            let stream = block.heads.first()?.position.stream;
            let decoder = &mut streams[stream as usize].decoder;
            let mut renewed =
                if block.epoch < *same_fields_since { decoded_again(block, decoder) } else { copied(block) };
            set.prepare(&mut renewed, hasher.as_ref());
            renewed.epoch = *epoch;
            Some(renewed)
        })
    }

    /// Makes the decisions of one time take effect.
    fn cut(&mut self, at: Timestamp, taker: &mut impl Taker) -> Result<(), Failure> {
        let mut set = PatternSet::clone(&self.set);
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 == at) {
            for change in entry.remove() {
                set = changed(&set, &change);
            }
        }
        let renumbers = set.is_sparse();
        let set = Arc::new(if renumbers { set.compacted() } else { set });
        self.epoch += 1;
        if renumbers
            || set.schema().fields != self.set.schema().fields
            || set.schema().types != self.set.schema().types
        {
            self.same_fields_since = self.epoch;
            for stream in &mut self.streams {
                stream.decoder = Decoder::new(set.schema(), &stream.settings);
            }
        }
        self.set = Arc::clone(&set);
        let reached = Some(Timestamp(at.0.saturating_sub(1))).filter(|_| at != Timestamp::MIN);
        self.advanced = self.advanced.max(reached);
        taker.cut(Cut { reached, set, renumbers })
    }
}

impl StreamDeclaration {
    pub(super) fn settings(&self) -> StreamSettings {
        StreamSettings {
            type_field: self.type_field.clone(),
            time_field: self.time_field.clone(),
            out_of_orderness: self.out_of_orderness,
        }
    }
}

/// The first moment after a time.
fn after(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_add(1))
}

/// The set after a change. What the log says was checked when it was decided; what does not fit any more (a log that was
/// edited by hand) changes nothing.
fn changed(set: &PatternSet, change: &Change) -> PatternSet {
    let Change { name, version, what } = change;
    let last = version.checked_sub(1).and_then(|before| set.number(name, before));
    match what {
        What::Put { source, state, properties } => {
            let Some(plan) = plan_of(source, name) else { return set.clone() };
            let next = match (last, state.unwrap_or(OldState::Drain)) {
                (Some(old), OldState::Carry) => match set.replace(old, plan.clone(), *version) {
                    Ok(next) => next,
                    Err(_) => set.without(old).with_version(plan, *version),
                },
                (Some(old), OldState::Drop) => set.without(old).with_version(plan, *version),
                (Some(old), OldState::Drain) => set.retire(old).with_version(plan, *version),
                (None, _) => set.with_version(plan, *version),
            };
            paused(next, name, *version, properties.paused)
        }
        What::Set { properties } => paused(set.clone(), name, *version, properties.paused),
        What::Remove { state } => match (set.number(name, *version), state) {
            (None, _) => set.clone(),
            (Some(number), OldState::Drain) => set.retire(number),
            (Some(number), _) => set.without(number),
        },
    }
}

fn paused(set: PatternSet, name: &str, version: u64, paused: bool) -> PatternSet {
    match set.number(name, version) {
        Some(number) if paused => set.retire(number),
        Some(number) => set.activate(number),
        None => set,
    }
}

/// The plan of the one pattern of a text.
pub(super) fn plan_of(source: &str, name: &str) -> Option<Plan> {
    let compiled = pattern::compile(source, &pattern::Limits::default());
    compiled.plans.into_iter().find(|plan| plan.name == name)
}

/// The same events with the fields that the decoder takes now.
fn decoded_again(block: &Block, decoder: &mut Decoder) -> Block {
    let nowhere = Position { stream: 0, partition: 0, offset: 0 };
    let mut again = decoder.decode(block.text.clone().into_bytes(), nowhere).block;
    // Which lines are events does not depend on what is taken of them.
    for (head, old) in again.heads.iter_mut().zip(&block.heads) {
        head.position = old.position;
    }
    again
}

fn copied(block: &Block) -> Block {
    Block {
        text: block.text.clone(),
        unescaped: block.unescaped.clone(),
        heads: block.heads.clone(),
        slots: block.slots.clone(),
        width: block.width,
        ..Block::default()
    }
}
