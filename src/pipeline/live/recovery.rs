//! What is read again at a start: the control log as a whole, and of each event log what had not left.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;

use tracing::{info, warn};

use super::super::decision::{Decision, Entry, StreamDeclaration, What};
use super::super::failure::Failure;
use super::super::merger::{Was, plan_of};
use super::super::registry::Registry;
use super::checkpoint::{BLOCKED, Cut, Installed, SENT, seen};
use super::handle::Arrival;
use super::owner::Owner;
use crate::engine::{Engine, KeyState, PatternSet};
use crate::event::{EventId, Timestamp};
use crate::ingest::Resume;
use crate::journal::{Reader, Record, Tail};
use crate::pattern::plan::Plan;
use crate::state::StateStore;

/// The entries of a control log.
pub(crate) fn entries(control: &Tail) -> Result<Vec<Entry>, Failure> {
    let reader =
        control.reader(control.first()).map_err(|error| Failure::Journal("the control log", error))?;
    let mut entries = Vec::new();
    for record in reader {
        let record = record.map_err(|error| Failure::Journal("the control log", error))?;
        let entry = serde_json::from_slice(&record.body)
            .map_err(|error| Failure::ControlEntry(record.first, error.to_string()))?;
        entries.push(entry);
    }
    Ok(entries)
}

/// How each stream was declared.
pub(crate) struct Declared {
    /// At its beginning.
    pub(crate) first: BTreeMap<String, StreamDeclaration>,
    /// At last.
    pub(crate) last: BTreeMap<String, StreamDeclaration>,
}

impl Declared {
    pub(crate) fn of(entries: &[Entry]) -> Declared {
        let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            if let Decision::Stream { stream, settings, .. } = &entry.decision {
                first.entry(stream.clone()).or_insert_with(|| settings.clone());
                last.insert(stream.clone(), settings.clone());
            }
        }
        Declared { first, last }
    }
}

/// The streams that are idle in the end, each with its next line.
pub(crate) fn idle(entries: &[Entry]) -> BTreeMap<String, u64> {
    let mut idle = BTreeMap::new();
    for entry in entries {
        match &entry.decision {
            Decision::Idle { stream, offset } => _ = idle.insert(stream.clone(), *offset),
            Decision::Resume { stream, .. } | Decision::Stream { stream, .. } => _ = idle.remove(stream),
            _ => {}
        }
    }
    idle
}

/// The patterns as the entries decide.
pub(super) fn registry(entries: &[Entry]) -> Registry {
    let mut registry = Registry::default();
    for entry in entries {
        registry.note(entry);
    }
    registry
}

/// What a start goes on from.
pub(super) struct Found {
    /// The checkpoint's number.
    pub(super) number: u64,
    /// Where everything stood.
    pub(super) cut: Cut,
    /// What streams remember where they are read again from, once it was read.
    seen: Vec<(String, EventId, Timestamp)>,
}

/// The newest checkpoint that is whole, that the logs of output reach to, and after which all events are kept: `firsts`
/// says from where on, by stream. None: everything is read from the beginning.
pub(super) fn checkpoint(
    store: &dyn StateStore,
    matches: u64,
    rejected: u64,
    firsts: &BTreeMap<&str, u64>,
) -> Result<Option<Found>, Failure> {
    let candidates = store.candidates();
    for (place, manifest) in candidates.iter().enumerate() {
        let number = manifest.number;
        let Ok(cut) = serde_json::from_value::<Cut>(manifest.meta.clone()) else {
            warn!(number, "a checkpoint says what this version does not know");
            continue;
        };
        if cut.matches > matches || cut.rejected > rejected {
            warn!(number, "a checkpoint is ahead of the logs of output");
            continue;
        }
        let is_kept =
            |(stream, first): (&&str, &u64)| cut.streams.get(*stream).map_or(0, |at| at.from) >= *first;
        if !firsts.iter().all(is_kept) {
            warn!(number, "a checkpoint is older than the events that are kept");
            continue;
        }
        // Only once it is known to be whole it is taken: a part of it is worth nothing, and all may be more than there is
        // memory.
        let mut keys = 0;
        match store.load(number, &mut |_| keys += 1) {
            Ok(_) => {
                if place > 0 {
                    store.resume(Some(number)).map_err(Failure::State)?;
                }
                info!(number, keys, "going on from a checkpoint");
                return Ok(Some(Found { number, cut, seen: Vec::new() }));
            }
            Err(error) => warn!(number, %error, "a checkpoint is damaged"),
        }
    }
    if let Some((stream, first)) = firsts.iter().find(|(_, first)| **first > 0) {
        return Err(Failure::NoCheckpoint((*stream).to_owned(), *first));
    }
    if !candidates.is_empty() {
        store.resume(None).map_err(Failure::State)?;
    }
    Ok(None)
}

impl Found {
    /// Makes the engines hold what the checkpoint has.
    pub(super) fn restore(
        &mut self,
        store: &dyn StateStore,
        set: &PatternSet,
        engines: &mut [Engine],
    ) -> Result<(), Failure> {
        let number =
            |installed: &Installed| Some((installed.id, set.number(&installed.name, installed.version)?));
        let by_name = [(SENT, KeyState::SENT), (BLOCKED, KeyState::BLOCKED)];
        let numbers: BTreeMap<u64, u32> =
            self.cut.versions.iter().filter_map(number).chain(by_name).collect();
        for engine in engines.iter_mut() {
            engine.resume(&self.cut.engine);
        }
        let (mut damaged, mut remembered) = (None, Vec::new());
        let loaded = store.load(self.number, &mut |entry| {
            let Some(&pattern) = numbers.get(&entry.pattern) else {
                remembered.extend(seen(&entry));
                return;
            };
            let key = KeyState { pattern, key: entry.key, state: entry.value };
            for engine in engines.iter_mut() {
                match engine.restore(key) {
                    Ok(false) => {}
                    Ok(true) => return,
                    Err(error) => return damaged = Some(error),
                }
            }
        });
        loaded.map_err(Failure::State)?;
        if let Some(error) = damaged {
            return Err(Failure::Key(self.number, error));
        }
        self.seen = remembered;
        engines.iter_mut().for_each(Engine::restored);
        Ok(())
    }

    /// Where each of some streams is read again from.
    pub(super) fn resumes(&self, streams: &[String]) -> Vec<Resume> {
        streams.iter().map(|stream| self.cut.streams.get(stream).copied().unwrap_or_default()).collect()
    }

    /// The versions that were installed, as plans.
    pub(super) fn versions(&self, registry: &Registry) -> Vec<(Plan, u64, Was)> {
        let installed = |installed: &Installed| {
            let version = registry.version(&installed.name, installed.version)?;
            Some((plan_of(&version.source, &installed.name)?, installed.version, installed.was))
        };
        self.cut.versions.iter().filter_map(installed).collect()
    }

    /// The versions whose matches no sink gets.
    pub(super) fn shadow(&self, entries: &[Entry]) -> BTreeSet<(String, u64)> {
        let mut shadow = BTreeSet::new();
        for entry in entries.iter().filter(|entry| self.has(entry)) {
            let Decision::Patterns { changes, .. } = &entry.decision else { continue };
            for change in changes {
                let (What::Put { properties, .. } | What::Set { properties }) = &change.what else {
                    continue;
                };
                let version = (change.name.clone(), change.version);
                if properties.shadow {
                    shadow.insert(version)
                } else {
                    shadow.remove(&version)
                };
            }
        }
        shadow.retain(|(name, version)| {
            self.cut.versions.iter().any(|there| there.name == *name && there.version == *version)
        });
        shadow
    }

    /// Whether a decision had taken effect.
    fn has(&self, entry: &Entry) -> bool {
        match &entry.decision {
            Decision::Patterns { effective_from, .. } | Decision::Limits { effective_from, .. } => {
                let reached = self
                    .cut
                    .frontier
                    .map_or(Timestamp::MIN, |frontier| Timestamp(frontier.0.saturating_add(1)));
                entry.sequence < self.cut.control && effective_from.is_none_or(|from| from <= reached)
            }
            // What lies before the first line that is read again changes nothing any more.
            _ => false,
        }
    }
}

impl Owner {
    /// Takes all decisions and all durable lines that a checkpoint, if there is one, does not hold; how many lines were read.
    ///
    /// A stream that is idle in the end counts until what came before is read: so far its lines were taken. What follows
    /// was durable but not taken when the service ended; it comes now as if it had just arrived, behind all that has left.
    pub(super) fn recover(
        &mut self,
        entries: &[Entry],
        found: Option<&Found>,
        declared: &BTreeMap<String, StreamDeclaration>,
        logs: &[Tail],
    ) -> Result<u64, Failure> {
        let idle = idle(entries);
        for entry in entries {
            Arc::make_mut(&mut self.registry).note(entry);
            let had_effect = found.is_some_and(|found| found.has(entry));
            if !had_effect && !matches!(entry.decision, Decision::Idle { .. }) {
                self.merger.decide(entry);
            }
        }
        // What streams remember comes after they are declared as where they go on.
        for (stream, id, time) in found.iter().flat_map(|found| &found.seen) {
            if let Some(stream) = self.merger.stream(stream) {
                self.merger.ingest().remember(stream, *id, *time);
            }
        }
        if self.checkpoints.interval.is_some() {
            self.merger.ingest().track_ids();
        }
        let names: Vec<String> = self.merger.streams().iter().map(|stream| stream.name.clone()).collect();
        // One that is new joins later.
        for name in names.iter().filter(|name| !declared.contains_key(*name)) {
            self.merger.set_idle(name, true);
        }
        let known = |stream: usize| found?.cut.streams.get(&self.merger.streams()[stream].name);
        let from = |stream: usize| known(stream).map_or(0, |at| at.from);
        let readers: Result<Vec<Reader>, _> =
            logs.iter().enumerate().map(|(stream, log)| log.reader(from(stream))).collect();
        let mut readers = readers.map_err(|error| Failure::Journal("an event log", error))?;
        let mut open: Vec<usize> = (0..readers.len()).collect();
        let (mut lines, mut untaken) = (0, Vec::new());
        while !open.is_empty() {
            // The stream that the others wait for is read first, so that little has to wait.
            let ingest = self.merger.ingest();
            let place = (0..open.len()).min_by_key(|&place| ingest.watermark_of(open[place]));
            let Some(place) = place else { break };
            let stream = open[place];
            let record = readers[stream].next().transpose();
            let record = record.map_err(|error| Failure::Journal("an event log", error))?;
            match (record, idle.get(&names[stream])) {
                (Some(record), offset) if offset.is_none_or(|&offset| record.first < offset) => {
                    lines += u64::from(record.count);
                    self.merger.lines(stream, record.first, record.body).map_err(Failure::Full)?;
                }
                (record, offset) => {
                    untaken.extend(record.map(|record| (stream, record)));
                    if offset.is_some() {
                        self.merger.set_idle(&names[stream], true);
                    }
                    open.swap_remove(place);
                }
            }
            self.pass_on()?;
        }
        for (stream, first) in untaken {
            for record in iter::once(Ok(first)).chain(readers[stream].by_ref()) {
                let Record { first, count, body, .. } =
                    record.map_err(|error| Failure::Journal("an event log", error))?;
                lines += u64::from(count);
                let decoded = self.merger.decode(stream, body);
                self.arrive(Arrival { stream, first, decoded })?;
                self.pass_on()?;
            }
        }
        self.pass_on()?;
        Ok(lines)
    }
}
