//! From durable lines and durable decisions to what the shards take: the one merged order, cut where decisions take
//! effect. It reads no clock and writes nothing, so that the live service and a replay of its logs go the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decision::{
    Budgets, Change, Decision, Duplicates, Entry, OldState, Properties, StreamDeclaration, What,
};
use super::failure::Failure;
use super::live::Preparation;
use super::shard::Cut;
use crate::engine::PatternSet;
use crate::event::decode::{Decoded, Decoder};
use crate::event::key::KeyHasher;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Block, FieldPath, Position, Schema, TimeSpan, Timestamp};
use crate::ingest::{BufferFull, Ingest, PartitionSettings, Rejected, Remember, Resume};
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
    /// The names and versions of patterns whose matches no sink gets.
    shadow: Arc<BTreeSet<(String, u64)>>,
    batch_size: usize,
    hasher: Option<KeyHasher>,
    /// Grows with each set and each declaration; a block says with which it was prepared.
    epoch: u64,
    /// The first epoch whose set reads what the present one reads.
    same_fields_since: u64,
    /// Decisions that have not taken effect, by when they do.
    pending: BTreeMap<(Timestamp, u64), Pending>,
    /// The budgets of patterns that have none of their own, and those of versions that have some.
    limits: Budgets,
    own_limits: BTreeMap<(String, u64), Budgets>,
    /// The time that the shards know to have been reached.
    advanced: Option<Timestamp>,
    /// Nothing leaves beyond it.
    end: Timestamp,
}

/// A decision about patterns that waits for its cut.
#[derive(Debug)]
enum Pending {
    Changes(Vec<Change>),
    Limits(Budgets),
}

/// A stream, which is one partition.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    /// How its lines are read, the first ones first; at least one.
    eras: Vec<Era>,
    /// The one that is in force.
    era: usize,
    /// How many lines have come.
    pub(super) next: u64,
    pub(super) is_idle: bool,
    /// Lines that could not be read, blank lines, events and late events since the start.
    pub(super) counts: Counts,
}

/// How the lines of a stream are read from an offset on.
#[derive(Debug)]
struct Era {
    from: u64,
    declaration: StreamDeclaration,
    decoder: Decoder,
}

impl Stream {
    /// The number of the era that a line belongs to.
    fn era_of(&self, offset: u64) -> usize {
        self.eras.partition_point(|era| era.from <= offset).saturating_sub(1)
    }

    /// How a line is read.
    pub(super) fn declaration_of(&self, offset: u64) -> &StreamDeclaration {
        &self.eras[self.era_of(offset)].declaration
    }
}

/// What was counted of a stream since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) dead_letters: u64,
}

/// How an installed version was when an earlier run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Was {
    /// It began no partial match.
    pub(super) is_retired: bool,
    /// It gave one match per key in this length of time.
    #[serde(default)]
    pub(super) suppress: Option<TimeSpan>,
    /// Its own budgets.
    #[serde(default, skip_serializing_if = "Budgets::is_empty")]
    pub(super) limits: Budgets,
}

impl Merger {
    /// Over these streams as they were declared first, in the order of their names, with no patterns.
    pub(super) fn new(
        streams: Vec<(String, StreamDeclaration)>,
        batch_size: usize,
        max_buffered: usize,
        hasher: Option<KeyHasher>,
    ) -> Merger {
        let names: Vec<String> = streams.iter().map(|(name, _)| name.clone()).collect();
        let type_field = streams.first().map_or_else(StreamSettings::default, |(_, first)| first.settings());
        let set = Arc::new(PatternSet::of_versions(Vec::new(), &type_field, &names));
        let partitions: Vec<PartitionSettings> =
            (0..).zip(&streams).map(|(rank, (_, declared))| declared.partition(rank)).collect();
        let stream = |(name, declared): (String, StreamDeclaration)| Stream {
            name,
            eras: vec![Era { from: 0, decoder: declared.decoder(set.schema()), declaration: declared }],
            era: 0,
            next: 0,
            is_idle: false,
            counts: Counts::default(),
        };
        Merger {
            streams: streams.into_iter().map(stream).collect(),
            ingest: Ingest::new(&partitions, max_buffered),
            shadow: Arc::default(),
            batch_size,
            hasher,
            epoch: 1,
            same_fields_since: 1,
            pending: BTreeMap::new(),
            limits: Budgets::default(),
            own_limits: BTreeMap::new(),
            advanced: None,
            end: Timestamp::MAX,
            set,
        }
    }

    /// Goes on where an earlier run stood: with these versions installed, and events taken up to `frontier`. Lines are to
    /// come again from where `streams` say, and no sink gets the matches of the versions of `shadow`. Decisions that are taken from now on have not had effect before.
    pub(super) fn resume(
        &mut self,
        versions: Vec<(Plan, u64, Was)>,
        streams: &[Resume],
        frontier: Option<Timestamp>,
        shadow: Arc<BTreeSet<(String, u64)>>,
        limits: Budgets,
    ) {
        (self.shadow, self.limits) = (shadow, limits);
        let were: Vec<(String, u64, Was)> =
            versions.iter().map(|(plan, version, was)| (plan.name.clone(), *version, *was)).collect();
        let plans = versions.into_iter().map(|(plan, version, _)| (plan, version)).collect();
        let names: Vec<String> = self.streams.iter().map(|stream| stream.name.clone()).collect();
        let settings = self.streams.first();
        let settings =
            settings.map_or_else(StreamSettings::default, |first| first.eras[0].declaration.settings());
        let mut set = PatternSet::of_versions(plans, &settings, &names);
        for (name, version, was) in were {
            if !was.limits.is_empty() {
                self.own_limits.insert((name.clone(), version), was.limits);
            }
            let Some(number) = set.number(&name, version) else { continue };
            if was.is_retired {
                set = set.retire(number);
            }
            if was.suppress.is_some() {
                set = set.suppress(number, was.suppress);
            }
        }
        let set = set.limit_all(|name, version| self.effective(name, version).budget());
        self.install(Arc::new(set), true);
        self.ingest.resume(streams, frontier);
        self.advanced = frontier;
        for (stream, at) in self.streams.iter_mut().zip(streams) {
            stream.next = at.from;
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

    /// The time that has to be reached for something to happen that waits for time: an event that leaves, or a decision that
    /// takes effect.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let decision = self.pending.keys().next().map(|(at, _)| Timestamp(at.0.saturating_sub(1)));
        decision.into_iter().chain(self.ingest.due()).min()
    }

    /// Lets nothing leave beyond a time.
    pub(super) fn set_end(&mut self, end: Timestamp) {
        self.end = end;
    }

    /// Takes lines that are durable.
    pub(super) fn lines(
        &mut self,
        stream: usize,
        mut first: u64,
        mut lines: Vec<u8>,
    ) -> Result<(), BufferFull> {
        while !lines.is_empty() {
            self.enter_era(stream, first);
            let at = &mut self.streams[stream];
            // What another declaration begins with is read by that.
            let rest = match at.eras.get(at.era + 1) {
                Some(next) => split_lines(&mut lines, next.from - first),
                None => Vec::new(),
            };
            let position = Position { stream: stream as u32, partition: 0, offset: first };
            let mut decoded = at.eras[at.era].decoder.decode(std::mem::replace(&mut lines, rest), position);
            first += decoded.lines;
            self.prepare(&mut decoded);
            self.push(stream, decoded, first)?;
        }
        self.enter_era(stream, first);
        Ok(())
    }

    /// Reads lines as the stream is declared at last, numbered from 0.
    pub(super) fn decode(&mut self, stream: usize, lines: Vec<u8>) -> Decoded {
        let position = Position { stream: stream as u32, partition: 0, offset: 0 };
        let last = self.streams[stream].eras.last_mut();
        let mut decoded = last.map_or_else(Decoded::default, |era| era.decoder.decode(lines, position));
        self.prepare(&mut decoded);
        decoded
    }

    /// Takes lines that are durable, and were decoded as [`Merger::preparation`] says, now or before other patterns came. They
    /// come behind the last declaration of their stream: a service declares its streams before it takes lines for them.
    pub(super) fn decoded(
        &mut self,
        stream: usize,
        first: u64,
        mut decoded: Decoded,
    ) -> Result<(), BufferFull> {
        self.enter_era(stream, first);
        decoded.number_from(first);
        let next = first + decoded.lines;
        self.push(stream, decoded, next)
    }

    fn push(&mut self, stream: usize, decoded: Decoded, next: u64) -> Result<(), BufferFull> {
        let at = &mut self.streams[stream];
        at.next = next;
        at.counts.events += decoded.block.heads.len() as u64;
        at.counts.dead_letters += decoded.dead.len() as u64;
        self.ingest.push(stream, decoded)
    }

    /// Says how lines are prepared: it grows with each change of patterns and each declaration.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How lines that come next are prepared.
    pub(super) fn preparation(&self) -> Preparation {
        let decoder = |stream: &Stream| stream.eras.last().map(|era| era.decoder.clone());
        Preparation {
            epoch: self.epoch,
            set: Arc::clone(&self.set),
            hasher: self.hasher.clone(),
            decoders: self.streams.iter().filter_map(decoder).collect(),
        }
    }

    /// Reads the stream as it was declared for the line at an offset, which comes next.
    fn enter_era(&mut self, stream: usize, offset: u64) {
        let at = &mut self.streams[stream];
        let era = at.era_of(offset);
        if at.era != era {
            at.era = era;
            self.ingest.redeclare(stream, &at.eras[era].declaration.partition(stream as u32));
        }
    }

    /// From an offset on, the lines of a stream are read in this way.
    fn declare(&mut self, stream: usize, from: u64, declaration: &StreamDeclaration) {
        let at = &mut self.streams[stream];
        let era =
            Era { from, declaration: declaration.clone(), decoder: declaration.decoder(self.set.schema()) };
        // A declaration that no line was read by is as if it had never been; so is any that an edited log puts back.
        at.eras.truncate(at.eras.partition_point(|known| known.from < from));
        at.eras.push(era);
        self.epoch += 1;
        if from <= at.next {
            at.era = at.eras.len() - 1;
            self.ingest.redeclare(stream, &declaration.partition(stream as u32));
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
                self.pending.insert((at, entry.sequence), Pending::Changes(changes.clone()));
            }
            Decision::Limits { effective_from, limits } => {
                let at = effective_from.unwrap_or(Timestamp::MIN);
                self.pending.insert((at, entry.sequence), Pending::Limits(*limits));
            }
            Decision::Idle { stream, .. } => self.set_idle(stream, true),
            Decision::Resume { stream, offset, floor } => {
                self.set_idle(stream, false);
                if let (Some(stream), Some(floor)) = (self.stream(stream), floor) {
                    self.ingest.mark(stream, *offset, *floor, entry.sequence);
                }
            }
            Decision::Heartbeat { stream, offset, floor } => {
                if let Some(stream) = self.stream(stream) {
                    self.ingest.mark(stream, *offset, *floor, entry.sequence);
                }
            }
            Decision::Stream { stream, offset, floor, settings } => {
                self.set_idle(stream, false);
                if let Some(stream) = self.stream(stream) {
                    self.declare(stream, *offset, settings);
                    if let Some(floor) = floor {
                        self.ingest.mark(stream, *offset, *floor, entry.sequence);
                    }
                }
            }
            Decision::Frontier { .. } => {}
        }
    }

    /// Whether the others wait for a stream.
    pub(super) fn set_idle(&mut self, stream: &str, is_idle: bool) {
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
            self.ingest.set_cap(before.min(self.end));
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
            let Position { stream, offset, .. } = block.heads.first()?.position;
            let stream = &mut streams[stream as usize];
            let era = stream.era_of(offset);
            let decoder = &mut stream.eras[era].decoder;
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
            match entry.remove() {
                Pending::Changes(changes) => {
                    for change in changes {
                        set = changed(&set, &change);
                        self.note_shadow(&change, &set);
                        set = self.decided(&change, set);
                    }
                }
                Pending::Limits(limits) => {
                    self.limits = limits;
                    set = set.limit_all(|name, version| self.effective(name, version).budget());
                }
            }
        }
        let renumbers = set.is_sparse();
        let reached = Some(Timestamp(at.0.saturating_sub(1))).filter(|_| at != Timestamp::MIN);
        self.advanced = self.advanced.max(reached);
        let set = match renumbers {
            // Numbering anew knows nothing of versions that take over from others: they do before.
            true => {
                taker.cut(Cut {
                    reached,
                    set: Arc::new(set.clone()),
                    renumbers: false,
                    shadow: Arc::clone(&self.shadow),
                })?;
                Arc::new(set.compacted())
            }
            false => Arc::new(set),
        };
        self.install(Arc::clone(&set), renumbers);
        taker.cut(Cut { reached, set, renumbers, shadow: Arc::clone(&self.shadow) })
    }

    fn install(&mut self, set: Arc<PatternSet>, renumbers: bool) {
        self.epoch += 1;
        if renumbers
            || set.schema().fields != self.set.schema().fields
            || set.schema().types != self.set.schema().types
        {
            self.same_fields_since = self.epoch;
            for era in self.streams.iter_mut().flat_map(|stream| &mut stream.eras) {
                era.decoder = era.declaration.decoder(set.schema());
            }
        }
        self.set = set;
    }

    /// The budgets of patterns that have none of their own.
    pub(super) fn limits(&self) -> Budgets {
        self.limits
    }

    /// The own budgets of an installed version.
    pub(super) fn own_limits(&self, name: &str, version: u64) -> Budgets {
        self.own_limits.get(&(name.to_owned(), version)).copied().unwrap_or_default()
    }

    fn effective(&self, name: &str, version: u64) -> Budgets {
        self.own_limits(name, version).over(self.limits)
    }

    /// The set in which a version that was changed has its budgets, and no key is out any more.
    fn decided(&mut self, Change { name, version, what }: &Change, set: PatternSet) -> PatternSet {
        if let What::Put { properties, .. } | What::Set { properties } = what {
            self.own_limits.remove(&(name.clone(), *version));
            if !properties.limits.is_empty() {
                self.own_limits.insert((name.clone(), *version), properties.limits);
            }
        }
        self.own_limits.retain(|(name, version), _| set.number(name, *version).is_some());
        let Some(number) = set.number(name, *version) else { return set };
        let drops = matches!(what, What::Suspend { state: OldState::Drop, .. });
        set.limit(number, self.effective(name, *version).budget()).decided(number, drops)
    }

    /// Notes whether a version is one whose matches no sink gets. It stays so while it ends.
    fn note_shadow(&mut self, Change { name, version, what }: &Change, set: &PatternSet) {
        let (What::Put { properties, .. } | What::Set { properties }) = what else { return };
        if !properties.shadow && self.shadow.is_empty() {
            return;
        }
        let shadow = Arc::make_mut(&mut self.shadow);
        shadow.remove(&(name.clone(), *version));
        if properties.shadow {
            shadow.insert((name.clone(), *version));
        }
        shadow.retain(|(name, version)| set.number(name, *version).is_some());
    }
}

impl StreamDeclaration {
    fn partition(&self, rank: u32) -> PartitionSettings {
        PartitionSettings {
            max_time_jump: self.max_time_jump,
            flushes: self.flushes,
            remember: self
                .duplicates
                .as_ref()
                .map(|&Duplicates { window, max_ids, .. }| Remember { window, max_ids }),
            ..PartitionSettings::new(rank, 0, self.out_of_orderness)
        }
    }

    fn decoder(&self, schema: &Schema) -> Decoder {
        let decoder = Decoder::new(schema, &self.settings());
        match &self.duplicates {
            Some(Duplicates { id, .. }) => decoder.with_ids(&FieldPath::dotted(id)),
            None => decoder,
        }
    }

    pub(super) fn settings(&self) -> StreamSettings {
        StreamSettings {
            type_field: self.type_field.clone(),
            time_field: self.time_field.clone(),
            out_of_orderness: self.out_of_orderness,
        }
    }
}

/// Cuts lines behind the first `count` ones; the others, if there are any.
fn split_lines(lines: &mut Vec<u8>, count: u64) -> Vec<u8> {
    let end = count.checked_sub(1).and_then(|last| memchr::memchr_iter(b'\n', lines).nth(last as usize));
    end.map_or_else(Vec::new, |end| lines.split_off(end + 1))
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
                    Err(_) => set.with_version(plan, *version).without(old),
                },
                // In this order, the new one finds the shard of the old one, which knows what was sent.
                (Some(old), OldState::Drop) => set.with_version(plan, *version).without(old),
                (Some(old), OldState::Drain) => set.retire(old).with_version(plan, *version),
                (None, _) => set.with_version(plan, *version),
            };
            with_properties(next, name, *version, properties)
        }
        What::Set { properties } => with_properties(set.clone(), name, *version, properties),
        What::Suspend { .. } => match set.number(name, *version) {
            None => set.clone(),
            Some(number) => set.retire(number),
        },
        What::Remove { state } => match (set.number(name, *version), state) {
            (None, _) => set.clone(),
            (Some(number), OldState::Drain) => set.retire(number),
            (Some(number), _) => set.without(number),
        },
    }
}

fn with_properties(set: PatternSet, name: &str, version: u64, properties: &Properties) -> PatternSet {
    let Some(number) = set.number(name, version) else { return set };
    let set = if properties.paused { set.retire(number) } else { set.activate(number) };
    set.suppress(number, properties.suppress)
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
