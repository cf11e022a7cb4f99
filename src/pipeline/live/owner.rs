//! The owner of decisions and of the merged order: the one thread that decides when what takes effect, and that the shards
//! follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, select};

use super::super::decision::{Change, Decision, Entry, OldState, What};
use super::super::failure::Failure;
use super::super::merger::{Merger, Taker, plan_of};
use super::super::registry::Registry;
use super::super::shard::{Cut, Step};
use super::handle::{Arrival, Shared};
use super::options::{Silence, StreamOptions};
use super::output::Reject;
use super::request::{ChangeRequest, Decided, Effective, Refusal, Request};
use super::status::{Status, StreamStatus};
use crate::engine::PatternSet;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Timestamp};
use crate::ingest::RejectedKind;
use crate::journal::{Journal, NewRecord, Retention};

/// How often silence is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How often is looked for events that need not be kept any more.
const RETAIN_EVERY: Duration = Duration::from_secs(10);

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
    /// Which patterns posted lines are prepared for.
    pub(super) epoch: u64,
    /// The stream that the others wait for, and since when by the wall clock.
    pub(super) holder: Option<(usize, i64)>,
    /// How much of the event logs is kept, and when that was looked at.
    pub(super) retention: (Keep, Instant),
}

/// How much of an event log is kept beyond what recovery needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) bytes: u64,
    pub(super) time: Duration,
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
                    let mut bytes = arrival.decoded.block.text.len();
                    self.arrive(arrival)?;
                    while bytes < INTAKE_BYTES && let Ok(arrival) = arrivals.try_recv() {
                        bytes += arrival.decoded.block.text.len();
                        self.arrive(arrival)?;
                    }
                }
                recv(requests) -> request => match request {
                    Ok(Request::Change(changes, effective, by, reply)) => {
                        reply(self.change(changes, effective, by));
                    }
                    Ok(Request::Heartbeat(stream, time, by, reply)) => {
                        reply(self.heartbeat(&stream, time, by));
                    }
                    Ok(Request::Stop) | Err(_) => return self.stop(arrivals),
                },
                default(TICK) => {}
            }
            self.silence()?;
            self.go_on()?;
            self.retain();
            self.shared.turned();
        }
    }

    /// Passes on what may leave.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        self.merger.run(&mut self.shards)?;
        if self.epoch != self.merger.epoch() {
            self.epoch = self.merger.epoch();
            self.shared.preparing.set(self.merger.preparation());
        }
        self.pass_rejected()?;
        self.publish(None);
        Ok(())
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), Failure> {
        let Arrival { stream, first, decoded } = arrival;
        self.streams[stream].heard = now();
        if self.merger.streams()[stream].is_idle {
            let floor = self.merger.ingest().frontier();
            let name = self.merger.streams()[stream].name.clone();
            self.decide("sequor", Decision::Resume { stream: name, offset: first, floor })
                .map_err(Failure::Decision)?;
        }
        self.merger.decoded(stream, first, decoded).map_err(Failure::Full)
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

    /// Lets go of old events that recovery does not need.
    fn retain(&mut self) {
        let (keep, looked) = &mut self.retention;
        if looked.elapsed() < RETAIN_EVERY {
            return;
        }
        *looked = now();
        let keep_since = system_time().checked_sub(keep.time);
        let policy = Retention { bytes_max: Some(keep.bytes), keep_since };
        for (stream, log) in self.shared.streams.values() {
            // Recovery reads a log from its first line.
            let needed_from = log.first();
            self.shared.retain(*stream, policy, needed_from);
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

    fn change(
        &mut self,
        requests: Vec<ChangeRequest>,
        effective: Effective,
        by: String,
    ) -> Result<Decided, Refusal> {
        let mut names = BTreeSet::new();
        let mut changes = Vec::with_capacity(requests.len());
        let mut effective_from = self.merger.next_cut();
        if let Effective::From(time) = effective {
            effective_from = effective_from.max(Some(time));
        }
        for request in requests {
            if !names.insert(request.name().to_owned()) {
                return Err(Refusal::Twice(request.name().to_owned()));
            }
            if let Some(known) = self.registry.get(request.name()) {
                effective_from = effective_from.max(known.effective_from);
            }
            changes.push(self.checked(request)?);
        }
        let more = changes.iter().filter(|change| matches!(change.what, What::Put { .. })).count();
        if self.registry.len() + more > self.max_patterns {
            let replaced = names.iter().filter(|name| self.registry.get(name).is_some_and(|p| p.is_there));
            if self.registry.len() + more - replaced.count() > self.max_patterns {
                return Err(Refusal::TooMany(self.max_patterns));
            }
        }
        let versions = changes.iter().map(|change| (change.name.clone(), change.version)).collect();
        let revision =
            self.decide(&by, Decision::Patterns { effective_from, changes }).map_err(Refusal::Storage)?;
        self.publish(None);
        Ok(Decided { revision, effective_from, versions })
    }

    /// A wish as a change, where it can be one.
    fn checked(&self, request: ChangeRequest) -> Result<Change, Refusal> {
        let there = self.registry.get(request.name()).filter(|pattern| pattern.is_there);
        let current = |name: &str, revision: u64| match there {
            None => Err(Refusal::Missing(name.to_owned())),
            Some(known) if known.revision != revision => Err(Refusal::Stale(name.to_owned(), known.revision)),
            Some(known) => Ok(known),
        };
        let version = self.registry.next_version(request.name());
        let (name, version, what) = match request {
            ChangeRequest::Create { name, .. } if there.is_some() => return Err(Refusal::Exists(name)),
            ChangeRequest::Create { name, source, properties } => {
                (name, version, What::Put { source, state: None, properties })
            }
            ChangeRequest::Put { name, source, properties, state, revision } => {
                let before = match revision {
                    Some(revision) => Some(current(&name, revision)?),
                    None if there.is_some() => return Err(Refusal::Exists(name)),
                    None => None,
                };
                let state = match before {
                    Some(_) => Some(self.state(&name, state, Some(&source))?),
                    None if state == Some(OldState::Carry) => return Err(Refusal::NothingToCarry(name)),
                    None => None,
                };
                let kept = || before.map(|known| known.properties.clone()).unwrap_or_default();
                let properties = properties.unwrap_or_else(kept);
                (name, version, What::Put { source, state, properties })
            }
            ChangeRequest::Set { name, properties, revision } => {
                current(&name, revision)?;
                (name, version - 1, What::Set { properties })
            }
            ChangeRequest::Remove { name, state, revision } => {
                current(&name, revision)?;
                let state = self.state(&name, state, None)?;
                (name, version - 1, What::Remove { state })
            }
        };
        Ok(Change { name, version, what })
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
        let holder = self.merger.ingest().holder();
        if holder != self.holder.map(|(stream, _)| stream) {
            self.holder = holder.map(|stream| (stream, wall_clock()));
        }
        let mut status = Status {
            frontier: self.merger.ingest().frontier(),
            waiting: self.merger.ingest().waiting(),
            counters: self.merger.ingest().counters(),
            failure,
            registry: Arc::clone(&self.registry),
            streams: BTreeMap::new(),
            holder: self.holder.map(|(stream, since)| (self.merger.streams()[stream].name.clone(), since)),
        };
        for number in 0..self.streams.len() {
            let ingest = self.merger.ingest();
            let watermark = ingest.watermark_of(number);
            let (late, bound_for_99_9) = (ingest.late_of(number), ingest.bound_for(number, 0.999));
            let stream = &self.merger.streams()[number];
            let told = StreamStatus {
                taken: stream.next,
                watermark,
                is_idle: stream.is_idle,
                events: stream.counts.events,
                dead_letters: stream.counts.dead_letters,
                late,
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

fn wall_clock() -> i64 {
    let since = system_time().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
