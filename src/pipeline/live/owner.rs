//! The owner of decisions and of the merged order: the one thread that decides when what takes effect, and that the shards
//! follow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, never, select};

use super::super::decision::{
    Budgets, Change, Decision, Entry, OldState, Properties, StreamDeclaration, What,
};
use super::super::failure::Failure;
use super::super::merger::{Merger, Stream, Taker, Was, plan_of};
use super::super::registry::{Pattern, Registry};
use super::super::shard::{Cut, Step};
use super::budgets::Reports;
use super::checkpoint::{self, Cut as Checkpoint, Done, Installed, Part, Saved};
use super::due::Due;
use super::handle::{Arrival, Shared};
use super::mark::Mark;
use super::options::{Silence, StreamOptions};
use super::output::Reject;
use super::request::{Action, ChangeRequest, Decided, Expected, Outcome, Refusal, Reply, Request, Wish};
use super::status::{Dropped, Status, StreamStatus};
use crate::engine::PatternSet;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Timestamp};
use crate::ingest::RejectedKind;
use crate::journal::{Journal, NewRecord, Retention};

/// How often silence is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long the last checkpoint is waited for.
const LAST_CHECKPOINT: Duration = Duration::from_secs(60);

/// From so many bytes of lines on, the order is made before more is taken.
const INTAKE_BYTES: usize = 4 << 20;

/// How long after a decision that could not be made durable it is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How much is written to see whether there is room again, in bytes.
const PROBE_BYTES: usize = 64 << 10;

/// The owner.
pub(super) struct Owner {
    pub(super) merger: Merger,
    pub(super) shards: Shards,
    pub(super) control: Journal,
    pub(super) registry: Arc<Registry>,
    pub(super) max_patterns: usize,
    pub(super) rejects: Sender<Reject>,
    pub(super) streams: Vec<Watched>,
    pub(super) checkpoints: Checkpoints,
    /// What shards tell about budgets, and what was dropped since the start.
    pub(super) reports: Arc<Reports>,
    pub(super) dropped: Arc<BTreeMap<String, Dropped>>,
    pub(super) shared: Arc<Shared>,
    /// Which patterns posted lines are prepared for.
    pub(super) epoch: u64,
    /// The stream that the others wait for, and since when by the wall clock.
    pub(super) holder: Option<(usize, i64)>,
    pub(super) retention: EventRetention,
    pub(super) mark: Mark,
    /// Before this, nothing is written that the owner decides by itself.
    pub(super) retry_at: Instant,
}

/// How much of the event logs is kept.
pub(super) struct EventRetention {
    /// Of each stream, beyond what recovery needs.
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// When checkpoints are made.
pub(super) struct Checkpoints {
    /// None: never.
    pub(super) interval: Option<Duration>,
    pub(super) parts: Sender<Part>,
    pub(super) done: Receiver<Done>,
    /// The number of the last one that was begun.
    pub(super) last: u64,
    /// When it was begun.
    pub(super) begun: Instant,
    pub(super) is_open: bool,
    /// Whether the next one has to hold every key.
    pub(super) full: bool,
    /// Who wants one that begins from now on.
    pub(super) wanted: Vec<Reply<u64>>,
    /// Who waits for the one that has begun.
    pub(super) awaited: Vec<Reply<u64>>,
}

/// A stream as the owner watches it.
pub(super) struct Watched {
    pub(super) options: StreamOptions,
    /// When its last lines came.
    pub(super) heard: Instant,
    /// Whether it is set. Of one that was once, the events are still there.
    pub(super) is_wanted: bool,
    /// Durable lines that wait for the decision that the stream speaks again, where that could not be written yet.
    pub(super) held: VecDeque<Arrival>,
}

/// The shards' channels.
pub(super) struct Shards {
    channels: Vec<Sender<Step>>,
    /// When the next deadline of each passes.
    dues: Vec<Arc<Due>>,
    /// Why one of them has stopped, if it could.
    lost: Arc<OnceLock<String>>,
    /// Whether all keys were named anew since the last checkpoint.
    is_renumbered: bool,
}

impl Shards {
    pub(super) fn new(
        channels: Vec<Sender<Step>>,
        dues: Vec<Arc<Due>>,
        lost: Arc<OnceLock<String>>,
    ) -> Shards {
        Shards { channels, dues, lost, is_renumbered: false }
    }

    /// When the next deadline after a time passes, as the shards knew a moment ago.
    fn due_after(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        self.dues.iter().filter_map(|due| due.get()).filter(|&due| Some(due) > time).min()
    }

    fn tell(&self, step: &Step) -> Result<(), Failure> {
        let stopped = || self.lost.get().cloned().map_or(Failure::Panicked, Failure::Lost);
        self.channels.iter().try_for_each(|shard| shard.send(step.clone()).map_err(|_| stopped()))
    }
}

impl Taker for Shards {
    fn batch(&mut self, batch: Batch) -> Result<(), Failure> {
        self.tell(&Step::Batch(Arc::new(batch)))
    }

    fn advance(&mut self, to: Timestamp) -> Result<(), Failure> {
        self.tell(&Step::Reach(to))
    }

    fn cut(&mut self, cut: Cut) -> Result<(), Failure> {
        self.is_renumbered |= cut.renumbers;
        self.tell(&Step::Cut(Arc::new(cut)))
    }
}

impl Owner {
    /// Runs until it is asked to stop, or cannot go on.
    pub(super) fn run(
        mut self,
        arrivals: &Receiver<Arrival>,
        requests: &Receiver<Request>,
    ) -> Result<(), Failure> {
        self.publish(None);
        let done = self.serve(arrivals, requests);
        self.publish(done.as_ref().err().map(ToString::to_string));
        done
    }

    fn serve(&mut self, arrivals: &Receiver<Arrival>, requests: &Receiver<Request>) -> Result<(), Failure> {
        let nothing = never();
        loop {
            // What is held is bounded: then the channel fills up, and posting is refused.
            let held: usize = self.streams.iter().flat_map(|s| &s.held).map(Arrival::bytes).sum();
            let heard = if held < INTAKE_BYTES { arrivals } else { &nothing };
            select! {
                recv(heard) -> arrival => {
                    let Ok(arrival) = arrival else { return Ok(()) };
                    let mut bytes = arrival.bytes();
                    self.arrive(arrival)?;
                    while bytes < INTAKE_BYTES && let Ok(arrival) = arrivals.try_recv() {
                        bytes += arrival.bytes();
                        self.arrive(arrival)?;
                    }
                }
                recv(requests) -> request => match request {
                    Ok(Request::Change(wish, reply)) => reply(self.change(wish)),
                    Ok(Request::Heartbeat(stream, time, by, reply)) => {
                        self.take_answered(arrivals)?;
                        reply(self.heartbeat(&stream, time, by));
                    }
                    Ok(Request::Moment(reply)) => {
                        self.take_answered(arrivals)?;
                        reply(self.moment());
                    }
                    Ok(Request::Savepoint(reply)) => self.checkpoints.wanted.push(reply),
                    Ok(Request::Look(with)) => {
                        self.take_answered(arrivals)?;
                        self.go_on()?;
                        self.shards.tell(&Step::Look(with))?;
                    }
                    Ok(Request::Stop) | Err(_) => return self.stop(arrivals),
                },
                default(TICK) => {}
            }
            self.try_again()?;
            self.silence();
            self.clock();
            self.keep_to_budgets();
            self.go_on()?;
            self.shared.turned();
            self.checkpoint()?;
            self.shared.turned();
        }
    }

    /// Takes all that was answered before a request came.
    fn take_answered(&mut self, arrivals: &Receiver<Arrival>) -> Result<(), Failure> {
        arrivals.try_iter().take(arrivals.len()).try_for_each(|arrival| self.arrive(arrival))
    }

    /// Passes on what may leave, and tells how far everything has come.
    fn go_on(&mut self) -> Result<(), Failure> {
        self.pass_on()?;
        if self.epoch != self.merger.epoch() {
            self.epoch = self.merger.epoch();
            self.shared.preparing.set(self.merger.preparation());
        }
        self.publish(None);
        Ok(())
    }

    /// Passes on what may leave. In recovery nobody is told: how far it has come does not yet fit the decisions.
    pub(super) fn pass_on(&mut self) -> Result<(), Failure> {
        self.merger.run(&mut self.shards)?;
        self.pass_rejected()
    }

    /// Takes note of how streams are to be read from now on and what patterns may hold, where that has changed.
    pub(super) fn declare(
        &mut self,
        known: &BTreeMap<String, StreamDeclaration>,
        wanted: &[StreamOptions],
        limits: Budgets,
    ) -> Result<(), Failure> {
        for StreamOptions { name, declaration, .. } in wanted {
            if known.get(name) == Some(declaration) {
                continue;
            }
            let Some(stream) = self.merger.stream(name) else { continue };
            let decision = Decision::Stream {
                stream: name.clone(),
                offset: self.merger.streams()[stream].next,
                // What was late stays late, however long the new bound is.
                floor: self.merger.ingest().frontier().max(self.merger.ingest().watermark_of(stream)),
                settings: declaration.clone(),
            };
            self.decide("config", decision).map_err(Failure::Decision)?;
        }
        if self.registry.limits().0 != limits {
            let effective_from = self.merger.next_cut();
            let decision = Decision::Limits { effective_from, limits };
            self.decide("config", decision).map_err(Failure::Decision)?;
        }
        self.go_on()
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) -> Result<(), Failure> {
        let stream = arrival.stream;
        self.streams[stream].heard = now();
        if !self.streams[stream].held.is_empty() || !self.resumes(stream, arrival.first) {
            self.streams[stream].held.push_back(arrival);
            return Ok(());
        }
        self.merger.decoded(stream, arrival.first, arrival.decoded).map_err(Failure::Full)
    }

    /// Makes a stream count that was silent; false where that cannot be written now.
    fn resumes(&mut self, stream: usize, offset: u64) -> bool {
        if !self.merger.streams()[stream].is_idle {
            return true;
        }
        let floor = self.merger.ingest().frontier();
        let name = self.merger.streams()[stream].name.clone();
        self.decides(Decision::Resume { stream: name, offset, floor })
    }

    /// Makes a decision of its own durable and takes it; false where it cannot be written now.
    pub(super) fn decides(&mut self, decision: Decision) -> bool {
        if now() < self.retry_at {
            return false;
        }
        let is_written = self.decide("sequor", decision).is_ok();
        if !is_written {
            self.retry_at = now() + RETRY;
        }
        is_written
    }

    /// After a write that failed: looks whether there is room again, and goes on with what was held.
    fn try_again(&mut self) -> Result<(), Failure> {
        if now() < self.retry_at {
            return Ok(());
        }
        if self.shared.unwritable().is_some() {
            match self.probe() {
                Ok(()) => self.shared.set_unwritable(None),
                Err(error) => {
                    self.shared.set_unwritable(Some(format!("the data directory: {error}")));
                    self.retry_at = now() + RETRY;
                    return Ok(());
                }
            }
        }
        for stream in 0..self.streams.len() {
            while let Some(first) = self.streams[stream].held.front().map(|held| held.first)
                && self.resumes(stream, first)
                && let Some(held) = self.streams[stream].held.pop_front()
            {
                self.merger.decoded(stream, held.first, held.decoded).map_err(Failure::Full)?;
            }
        }
        Ok(())
    }

    /// Whether a file can be written and made durable.
    fn probe(&self) -> io::Result<()> {
        let path = self.control.tail().dir().with_file_name("probe");
        let wrote = fs::write(&path, [0; PROBE_BYTES]).and_then(|()| fs::File::open(&path)?.sync_all());
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        wrote.and(removed)
    }

    /// Takes partitions out of the minimum that have been silent for long.
    fn silence(&mut self) {
        for stream in 0..self.streams.len() {
            let Watched { options, heard, is_wanted, .. } = &self.streams[stream];
            let state = &self.merger.streams()[stream];
            let is_silent = !is_wanted || heard.elapsed() >= options.idle_timeout;
            if state.is_idle || !is_silent || self.only_holds(stream) {
                continue;
            }
            let idle = Decision::Idle { stream: state.name.clone(), offset: state.next };
            self.decides(idle);
        }
    }

    /// Lets time go on by the clock where all have fallen silent and a stream is set so; only where that releases something,
    /// so that the control log grows by what happens.
    fn clock(&mut self) {
        let is_silent = |(watched, stream): (&Watched, &Stream)| {
            // After a start, what clients have held back meanwhile is to have its chance.
            let for_long = watched.heard.elapsed() >= watched.options.idle_timeout;
            stream.is_idle && watched.held.is_empty() && (for_long || !watched.is_wanted)
        };
        let by_clock = |&number: &usize| {
            let Watched { options, is_wanted, .. } = &self.streams[number];
            *is_wanted && options.silence == Silence::Clock
        };
        let bound = |number: usize| self.streams[number].options.declaration.out_of_orderness;
        let Some(number) = (0..self.streams.len()).filter(by_clock).min_by_key(|&number| bound(number))
        else {
            return;
        };
        if !self.streams.iter().zip(self.merger.streams()).all(is_silent) {
            return;
        }
        let to = Timestamp(wall_clock().saturating_sub(bound(number).0).saturating_sub(1));
        let frontier = self.merger.ingest().frontier();
        let due = self.merger.due().into_iter().chain(self.shards.due_after(frontier)).min();
        if Some(to) <= frontier || due.is_none_or(|due| due > to) {
            return;
        }
        let Stream { name, next, .. } = &self.merger.streams()[number];
        let heartbeat = Decision::Heartbeat { stream: name.clone(), offset: *next, floor: to };
        self.decides(heartbeat);
    }

    /// Lets go of old events that no start needs.
    fn retain(&self, needed_from: &BTreeMap<String, u64>) {
        let EventRetention { bytes, time } = self.retention;
        let policy = Retention { bytes_max: Some(bytes), keep_since: system_time().checked_sub(time) };
        for (name, (stream, _)) in &self.shared.streams {
            self.shared.retain(*stream, policy, needed_from.get(name).copied().unwrap_or(0));
        }
    }

    /// Whether nothing would change if a stream no longer counted: it is the only one, and time would stand still, or
    /// nothing has come since it did not.
    fn only_holds(&self, stream: usize) -> bool {
        let alone = self.streams.len() == 1;
        let spoke = self.merger.streams()[stream].next > 0;
        alone && (!spoke || self.streams[stream].options.silence == Silence::Hold)
    }

    /// Makes a decision durable and takes it.
    fn decide(&mut self, by: &str, decision: Decision) -> Result<u64, Arc<crate::journal::JournalError>> {
        let sequence = self.control.next();
        let entry = Entry { sequence, at: wall_clock(), by: by.to_owned(), decision };
        // An entry is plain data: it can be written.
        let body = serde_json::to_vec(&entry).unwrap_or_default();
        if let Err(error) = self.control.append(&[NewRecord { count: 1, meta: b"", body: &body }]) {
            self.shared.set_unwritable(Some(error.to_string()));
            return Err(Arc::new(error));
        }
        self.take(&entry);
        Ok(sequence)
    }

    /// Takes a decision that is durable.
    fn take(&mut self, entry: &Entry) {
        Arc::make_mut(&mut self.registry).note(entry);
        self.merger.decide(entry);
    }

    fn heartbeat(&mut self, stream: &str, time: Timestamp, by: String) -> Result<Option<Timestamp>, Refusal> {
        let Some(number) = self.merger.stream(stream) else {
            return Err(Refusal::NoStream(stream.to_owned()));
        };
        let offset = self.merger.streams()[number].next;
        let watermark = self.merger.ingest().watermark_of(number);
        if watermark >= Some(time) {
            return Ok(watermark);
        }
        let heartbeat = Decision::Heartbeat { stream: stream.to_owned(), offset, floor: time };
        self.decide(&by, heartbeat).map_err(Refusal::Storage)?;
        Ok(Some(time))
    }

    fn change(&mut self, wish: Wish) -> Result<Decided, Refusal> {
        if wish.revision.is_some_and(|revision| revision != self.registry.revision()) {
            return Err(Refusal::StaleAll);
        }
        let mut requests = wish.changes;
        let mut names = BTreeSet::new();
        for request in &requests {
            if !names.insert(request.name().to_owned()) {
                return Err(Refusal::Twice(request.name().to_owned()));
            }
        }
        if wish.only_these {
            let others = self.registry.iter().filter(|(name, _)| !names.contains(*name));
            requests.extend(others.map(|(name, _)| ChangeRequest::Remove {
                name: name.to_owned(),
                state: None,
                expected: Expected::Present,
            }));
        }
        let mut effective_from = self.merger.next_cut().max(wish.effective_from);
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut changes = Vec::with_capacity(requests.len());
        let (mut added, mut removed) = (0, 0);
        for request in requests {
            let name = request.name().to_owned();
            let known = self.registry.get(&name);
            let (last, begins) = known.map_or((0, None), |known| (known.last(), known.effective_from));
            let Some(change) = self.checked(request)? else {
                outcomes.push(Outcome { name, version: last, action: Action::Keep });
                continue;
            };
            effective_from = effective_from.max(begins);
            let action = match &change.what {
                What::Put { .. } if known.is_some_and(|known| known.is_there) => Action::Replace,
                What::Put { .. } => Action::Create,
                What::Set { .. } | What::Suspend { .. } => Action::Set,
                What::Remove { .. } => Action::Remove,
            };
            added += usize::from(action == Action::Create);
            removed += usize::from(action == Action::Remove);
            outcomes.push(Outcome { name, version: change.version, action });
            changes.push(change);
        }
        if added > removed && self.registry.len() + added - removed > self.max_patterns {
            return Err(Refusal::TooMany(self.max_patterns));
        }
        let mut registry = Arc::clone(&self.registry);
        if !changes.is_empty() {
            let decision = Decision::Patterns { effective_from, changes };
            if wish.dry_run {
                let (sequence, by) = (self.control.next(), wish.by);
                Arc::make_mut(&mut registry).note(&Entry { sequence, at: wall_clock(), by, decision });
            } else {
                self.decide(&wish.by, decision).map_err(Refusal::Storage)?;
                self.publish(None);
                registry = Arc::clone(&self.registry);
            }
        }
        let frontier = self.merger.ingest().frontier();
        Ok(Decided { effective_from, outcomes, registry, frontier })
    }

    /// A wish as a change, where it can be one; none where it changes nothing.
    fn checked(&self, request: ChangeRequest) -> Result<Option<Change>, Refusal> {
        let known = self.registry.get(request.name());
        let there = known.filter(|known| known.is_there);
        let last = known.map_or(0, Pattern::last);
        let expected = match &request {
            ChangeRequest::Put { expected, .. }
            | ChangeRequest::Set { expected, .. }
            | ChangeRequest::Remove { expected, .. } => expected,
        };
        let stale = |known: &Pattern| Refusal::Stale(request.name().to_owned(), known.revision);
        match (expected, there) {
            (Expected::Absent, Some(_)) => return Err(Refusal::Exists(request.name().to_owned())),
            (Expected::Present | Expected::OneOf(_), None) => {
                return Err(Refusal::Missing(request.name().to_owned()));
            }
            (Expected::OneOf(revisions), Some(known)) if !revisions.contains(&known.revision) => {
                return Err(stale(known));
            }
            _ => {}
        }
        let (name, version, what) = match (request, there) {
            (ChangeRequest::Put { name, source, properties, .. }, Some(known))
                if known.current().is_some_and(|version| version.source == source) =>
            {
                let properties = properties.over(known.properties.clone());
                if properties == known.properties {
                    return Ok(None);
                }
                (name, last, What::Set { properties })
            }
            (ChangeRequest::Put { name, source, properties, state, .. }, Some(known)) => {
                let state = Some(self.state(&name, state, Some(&source))?);
                // What exceeded a budget was the version before.
                let paused = known.properties.paused && known.suspended.is_none();
                let properties = properties.over(Properties { paused, ..known.properties.clone() });
                (name, last + 1, What::Put { source, state, properties })
            }
            (ChangeRequest::Put { name, state: Some(OldState::Carry), expected, .. }, None)
                if expected != Expected::Any =>
            {
                return Err(Refusal::NothingToCarry(name));
            }
            (ChangeRequest::Put { name, source, properties, .. }, None) => {
                let properties = properties.over(Properties::default());
                (name, last + 1, What::Put { source, state: None, properties })
            }
            (ChangeRequest::Set { name, .. } | ChangeRequest::Remove { name, .. }, None) => {
                return Err(Refusal::Missing(name));
            }
            (ChangeRequest::Set { properties, .. }, Some(known)) if known.properties == properties => {
                return Ok(None);
            }
            (ChangeRequest::Set { name, properties, .. }, Some(_)) => (name, last, What::Set { properties }),
            (ChangeRequest::Remove { name, state, .. }, Some(_)) => {
                let state = self.state(&name, state, None)?;
                (name, last, What::Remove { state })
            }
        };
        Ok(Some(Change { name, version, what }))
    }

    /// What becomes of the partial matches of the version that is there, when a text follows it or nothing does.
    fn state(&self, name: &str, asked: Option<OldState>, next: Option<&str>) -> Result<OldState, Refusal> {
        let version = self.registry.get(name).and_then(|known| known.current());
        let old = version.and_then(|version| plan_of(&version.source, name));
        let ends = old.as_ref().is_some_and(|plan| plan.within.is_some());
        match (asked, old, next) {
            (None, _, _) => Ok(if ends { OldState::Drain } else { OldState::Drop }),
            (Some(OldState::Drain), _, _) if !ends => Err(Refusal::DrainsForEver(name.to_owned())),
            (Some(OldState::Carry), Some(old), Some(next)) => {
                let Some(next) = plan_of(next, name) else {
                    return Err(Refusal::NothingToCarry(name.to_owned()));
                };
                let set = PatternSet::of_versions(vec![(old, 1)], &StreamSettings::default(), &[]);
                set.replace(0, next, 2).map_err(|differs| Refusal::Carry(name.to_owned(), differs))?;
                Ok(OldState::Carry)
            }
            (Some(OldState::Carry), _, _) => Err(Refusal::NothingToCarry(name.to_owned())),
            (Some(state), _, _) => Ok(state),
        }
    }

    /// Begins a checkpoint where one is due, and takes what became of the last one.
    fn checkpoint(&mut self) -> Result<(), Failure> {
        while let Ok(done) = self.checkpoints.done.try_recv() {
            self.checkpointed(done);
        }
        let Checkpoints { interval, begun, is_open, wanted, .. } = &self.checkpoints;
        let is_due = interval.is_some_and(|interval| begun.elapsed() >= interval);
        let is_wanted = is_due || !wanted.is_empty();
        if *is_open || !is_wanted {
            return Ok(());
        }
        self.begin_checkpoint()
    }

    fn checkpointed(&mut self, done: Done) {
        self.checkpoints.is_open = false;
        let made =
            self.shared.store.latest().filter(|_| done != Done::Failed).map(|manifest| manifest.number);
        for reply in self.checkpoints.awaited.drain(..) {
            reply(made.ok_or(Refusal::NoCheckpoint));
        }
        match done {
            Done::Committed(needed_from) => self.retain(&needed_from),
            // Keys that were given are not given again: after a failure, the next one takes all.
            Done::Failed => self.checkpoints.full = true,
        }
    }

    fn begin_checkpoint(&mut self) -> Result<(), Failure> {
        let resumes = self.merger.ingest().resume_points();
        let from: Vec<u64> = resumes.iter().map(|at| at.from).collect();
        let streams = self.merger.streams().iter().zip(resumes);
        let set = self.merger.set();
        let mut ids = vec![u64::MAX; set.names().count()];
        let mut versions = Vec::new();
        for (number, name, version, is_retired) in set.installed() {
            let id = self.registry.version(name, version).map_or(u64::MAX, |version| version.id);
            ids[number as usize] = id;
            let limits = self.merger.own_limits(name, version);
            let was = Was { is_retired, suppress: set.suppressed(number), limits };
            versions.push(Installed { id, name: name.to_owned(), version, was });
        }
        let cut = Checkpoint {
            frontier: None,
            streams: streams.map(|(stream, at)| (stream.name.clone(), at)).collect(),
            control: self.control.next(),
            versions,
            limits: self.merger.limits(),
            ..Checkpoint::default()
        };
        let cut = Box::new(Checkpoint { frontier: self.merger.ingest().frontier(), ..cut });
        let number = self.checkpoints.last + 1;
        let renumbered = std::mem::take(&mut self.shards.is_renumbered);
        let full = std::mem::take(&mut self.checkpoints.full) || renumbered;
        self.checkpoints.last = number;
        self.checkpoints.begun = now();
        self.checkpoints.is_open = true;
        self.checkpoints.awaited = std::mem::take(&mut self.checkpoints.wanted);
        let parts = &self.checkpoints.parts;
        parts
            .send(Part::Begin(number, cut, self.shards.channels.len(), full))
            .map_err(|_| Failure::Panicked)?;
        for (stream, from) in (0..).zip(from) {
            let name = &self.merger.streams()[stream].name.clone();
            let mut ids = Vec::new();
            self.merger
                .ingest()
                .give_ids(stream, from, full, |id, time| ids.push(Saved::seen(name, id, time)));
            if !ids.is_empty() {
                self.checkpoints.parts.send(Part::Keys(ids)).map_err(|_| Failure::Panicked)?;
            }
        }
        let give = checkpoint::give(number, ids.into(), full, parts.clone());
        self.shards.tell(&Step::Barrier(number, give))?;
        self.rejects.send(Reject::Barrier(number)).map_err(|_| Failure::Panicked)
    }

    fn pass_rejected(&mut self) -> Result<(), Failure> {
        let (mut lines, mut meta) = (Vec::new(), String::new());
        for rejected in self.merger.rejected() {
            let stream = &self.merger.streams()[rejected.stream as usize];
            let declared = stream.declaration_of(rejected.offset);
            let kind = match rejected.kind {
                RejectedKind::Late { .. } if !declared.keeps_late => continue,
                RejectedKind::Late { .. } => "late",
                RejectedKind::Dead(_) => "dead_letter",
            };
            let of_this = format!("{{\"stream\":\"{}\",\"kind\":\"{kind}\"}}", stream.name);
            if of_this != meta {
                self.send_rejected(&mut lines, meta)?;
                meta = of_this;
            }
            rejected.write_json(&mut lines);
            lines.push(b'\n');
        }
        self.send_rejected(&mut lines, meta)
    }

    fn send_rejected(&self, lines: &mut Vec<u8>, meta: String) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let lines = Reject::Lines(std::mem::take(lines), meta.into_bytes());
        self.rejects.send(lines).map_err(|_| Failure::Panicked)
    }

    /// Takes what is durable already, and says in the control log how far everything has come.
    fn stop(&mut self, arrivals: &Receiver<Arrival>) -> Result<(), Failure> {
        while let Ok(arrival) = arrivals.try_recv() {
            self.arrive(arrival)?;
        }
        self.go_on()?;
        let time = self.merger.ingest().frontier();
        let offsets = self.merger.streams().iter().map(|stream| (stream.name.clone(), stream.next)).collect();
        self.decide("sequor", Decision::Frontier { time, offsets }).map_err(Failure::Decision)?;
        // So that the next start has little to read again. Where it fails, it has more.
        if self.checkpoints.is_open
            && let Ok(done) = self.checkpoints.done.recv_timeout(LAST_CHECKPOINT)
        {
            self.checkpointed(done);
        }
        if !self.checkpoints.is_open && self.checkpoints.interval.is_some() {
            self.begin_checkpoint()?;
            let _ = self.checkpoints.done.recv_timeout(LAST_CHECKPOINT);
        }
        Ok(())
    }

    fn publish(&mut self, failure: Option<String>) {
        let holder = self.merger.ingest().holder();
        if holder != self.holder.map(|(stream, _)| stream) {
            self.holder = holder.map(|stream| (stream, wall_clock()));
        }
        let mut status = Status {
            frontier: self.merger.ingest().frontier(),
            waiting: self.merger.ingest().waiting(),
            counters: self.merger.ingest().counters(),
            failure,
            decisions: self.control.next(),
            taken: self.merger.streams().iter().map(|stream| (stream.name.clone(), stream.next)).collect(),
            registry: Arc::clone(&self.registry),
            dropped: Arc::clone(&self.dropped),
            streams: BTreeMap::new(),
            holder: self.holder.map(|(stream, since)| (self.merger.streams()[stream].name.clone(), since)),
        };
        self.mark.note(&status);
        // A stream that is not set any more is none for those who look.
        for number in (0..self.streams.len()).filter(|&number| self.streams[number].is_wanted) {
            let ingest = self.merger.ingest();
            let watermark = ingest.watermark_of(number);
            let (late, bound_for_99_9) = (ingest.late_of(number), ingest.bound_for(number, 0.999));
            let duplicates = ingest.duplicates_of(number);
            let stream = &self.merger.streams()[number];
            let told = StreamStatus {
                taken: stream.next,
                watermark,
                is_idle: stream.is_idle,
                events: stream.counts.events,
                dead_letters: stream.counts.dead_letters,
                late,
                duplicates,
                silence: self.streams[number].options.silence,
                out_of_orderness: self.streams[number].options.declaration.out_of_orderness,
                bound_for_99_9,
            };
            status.streams.insert(stream.name.clone(), told);
        }
        self.shared.publish(status);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "silence is by the clock; what it decides goes to the control log first"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the control log tells people when it was, and retention is by the clock; no output depends on it"
)]
fn system_time() -> SystemTime {
    SystemTime::now()
}

pub(super) fn wall_clock() -> i64 {
    let since = system_time().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
