//! The owner of decisions and of the merged order: the one thread that decides when what takes effect, and that the shards
//! follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, select};

use super::super::decision::{Change, Decision, Entry, OldState, Properties, What};
use super::super::failure::Failure;
use super::super::merger::{Merger, Taker, plan_of};
use super::super::registry::{Pattern, Registry};
use super::super::shard::{Cut, Step};
use super::handle::{Arrival, Shared};
use super::options::{Silence, StreamOptions};
use super::output::Reject;
use super::request::{Action, ChangeRequest, Decided, Expected, Outcome, Refusal, Request, Wish};
use super::status::{Status, StreamStatus};
use crate::engine::PatternSet;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Timestamp};
use crate::ingest::RejectedKind;
use crate::journal::{Journal, NewRecord};

/// How often silence is looked at.
const TICK: Duration = Duration::from_millis(20);

/// From so many bytes of lines on, the order is made before more is taken.
const INTAKE_BYTES: usize = 4 << 20;

/// The owner.
pub(super) struct Owner {
    pub(super) merger: Merger,
    pub(super) shards: Shards,
    pub(super) control: Journal,
    pub(super) registry: Arc<Registry>,
    pub(super) max_patterns: usize,
    pub(super) rejects: Sender<Reject>,
    pub(super) streams: Vec<Watched>,
    pub(super) shared: Arc<Shared>,
}

/// A stream as the owner watches it.
pub(super) struct Watched {
    pub(super) options: StreamOptions,
    /// When its last lines came.
    pub(super) heard: Instant,
}

/// The shards' channels.
pub(super) struct Shards(pub(super) Vec<Sender<Step>>);

impl Shards {
    fn tell(&self, step: &Step) -> Result<(), Failure> {
        self.0.iter().try_for_each(|shard| shard.send(step.clone()).map_err(|_| Failure::Panicked))
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
        loop {
            select! {
                recv(arrivals) -> arrival => {
                    let Ok(arrival) = arrival else { return Ok(()) };
                    let mut bytes = arrival.lines.len();
                    self.arrive(arrival)?;
                    while bytes < INTAKE_BYTES && let Ok(arrival) = arrivals.try_recv() {
                        bytes += arrival.lines.len();
                        self.arrive(arrival)?;
                    }
                }
                recv(requests) -> request => match request {
                    Ok(Request::Change(wish, reply)) => reply(self.change(wish)),
                    Ok(Request::Heartbeat(stream, time, by, reply)) => {
                        reply(self.heartbeat(&stream, time, by));
                    }
                    Ok(Request::Stop) | Err(_) => return self.stop(arrivals),
                },
                default(TICK) => {}
            }
            self.silence()?;
            self.go_on()?;
        }
    }

    /// Passes on what may leave.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        self.merger.run(&mut self.shards)?;
        self.pass_rejected()?;
        self.publish(None);
        Ok(())
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), Failure> {
        let Arrival { stream, first, lines } = arrival;
        self.streams[stream].heard = now();
        if self.merger.streams()[stream].is_idle {
            let floor = self.merger.ingest().frontier();
            let name = self.merger.streams()[stream].name.clone();
            self.decide("sequor", Decision::Resume { stream: name, offset: first, floor })
                .map_err(Failure::Decision)?;
        }
        self.merger.lines(stream, first, lines).map_err(Failure::Full)
    }

    /// Takes partitions out of the minimum that have been silent for long.
    fn silence(&mut self) -> Result<(), Failure> {
        for stream in 0..self.streams.len() {
            let Watched { options, heard } = &self.streams[stream];
            let state = &self.merger.streams()[stream];
            if state.is_idle || heard.elapsed() < options.idle_timeout || self.only_holds(stream) {
                continue;
            }
            let idle = Decision::Idle { stream: state.name.clone(), offset: state.next };
            self.decide("sequor", idle).map_err(Failure::Decision)?;
        }
        Ok(())
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
        self.control.append(&[NewRecord { count: 1, meta: b"", body: &body }])?;
        self.take(&entry);
        Ok(sequence)
    }

    /// Takes a decision that is durable.
    pub(super) fn take(&mut self, entry: &Entry) {
        if let Decision::Patterns { effective_from, changes } = &entry.decision {
            Arc::make_mut(&mut self.registry).decide(
                entry.sequence,
                entry.at,
                &entry.by,
                *effective_from,
                changes,
            );
        }
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
                What::Set { .. } => Action::Set,
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
            if wish.dry_run {
                let (revision, at) = (self.control.next(), wall_clock());
                Arc::make_mut(&mut registry).decide(revision, at, &wish.by, effective_from, &changes);
            } else {
                let decision = Decision::Patterns { effective_from, changes };
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
                let properties = properties.over(known.properties.clone());
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

    fn pass_rejected(&mut self) -> Result<(), Failure> {
        let (mut lines, mut meta) = (Vec::new(), String::new());
        for rejected in self.merger.rejected() {
            let stream = &self.streams[rejected.stream as usize].options;
            let kind = match rejected.kind {
                RejectedKind::Late { .. } if !stream.keeps_late => continue,
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
        Ok(())
    }

    fn publish(&mut self, failure: Option<String>) {
        let mut status = Status {
            frontier: self.merger.ingest().frontier(),
            waiting: self.merger.ingest().waiting(),
            counters: self.merger.ingest().counters(),
            failure,
            registry: Arc::clone(&self.registry),
            streams: BTreeMap::new(),
        };
        for number in 0..self.streams.len() {
            let watermark = self.merger.ingest().watermark_of(number);
            let stream = &self.merger.streams()[number];
            let told = StreamStatus {
                taken: stream.next,
                watermark,
                is_idle: stream.is_idle,
                events: stream.counts.events,
                dead_letters: stream.counts.dead_letters,
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
    reason = "the control log tells people when it was; nothing depends on it"
)]
fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
