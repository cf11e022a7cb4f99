//! Starting and stopping a live service.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::bounded;
use tokio::sync::Notify;
use tracing::info;

use super::super::collect::collect;
use super::super::decision::StreamDeclaration;
use super::super::failure::Failure;
use super::super::merger::Merger;
use super::super::progress::Progress;
use super::super::shard;
use super::backup;
use super::budgets::Reports;
use super::checkpoint::{self, Part};
use super::cold;
use super::due::Due;
use super::handle::{Handle, Shared};
use super::idempotency::Keys;
use super::intake::Preparing;
use super::look;
use super::mark::Mark;
use super::options::{Options, Silence, StreamOptions};
use super::output::{Matches, log_rejected};
use super::output_log::{Keep, OutputLog};
use super::owner::{Checkpoints, EventRetention, Owner, Shards, Watched, now};
use super::recovery::{self, Declared, entries};
use super::request::Request;
use super::sinks::{Logs, Sinks, Stop};
use super::stalls::Stalls;
use super::status::Status;
use crate::engine::Engine;
use crate::event::key::KeyHasher;
use crate::journal::commit::{GroupCommit, Limits};
use crate::journal::{self, Journal, JournalError, Opened, Tail};
use crate::state::{self, SledStore, StateStore};

/// Steps that may wait for a shard, and pieces of output that may wait to be put into order.
const QUEUE_LEN: usize = 8;
/// Parts of a checkpoint that may wait to be written.
const PARTS_LEN: usize = 8;
/// Durable batches that may wait for the owner, and rejected ones for their log.
const ARRIVALS_LEN: usize = 256;
/// Wishes that may wait for the owner.
const REQUESTS_LEN: usize = 64;

/// A running service.
pub struct Live {
    handle: Handle,
    events: GroupCommit,
    owner: JoinHandle<Result<(), Failure>>,
    others: Vec<JoinHandle<io::Result<()>>>,
    sinks: Sinks,
    /// Says to the logs of what comes out that they need not wait for sinks any more.
    giving_way: Arc<Stop>,
    /// Held as long as the service runs.
    _lock: File,
    /// What was found when the logs were opened, for whoever tells it.
    pub opened: Vec<(String, Opened)>,
}

/// Why a service did not start.
#[derive(Debug)]
pub enum StartError {
    /// Another process has the data directory.
    InUse(PathBuf, String),
    /// Something of the data directory could not be made or read.
    Io(PathBuf, io::Error),
    /// A log could not be opened.
    Journal(JournalError),
    /// A sink could not be opened: its name, and why.
    Sink(String, io::Error),
    /// What is there could not be taken.
    Recovery(Failure),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::InUse(dir, who) => {
                write!(f, "the data directory `{}` is in use by another process{who}", dir.display())
            }
            StartError::Io(path, error) => write!(f, "cannot use `{}`: {error}", path.display()),
            StartError::Journal(error) => error.fmt(f),
            StartError::Sink(name, error) => write!(f, "cannot open the sink `{name}`: {error}"),
            StartError::Recovery(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl Live {
    /// Opens the data directory, takes what is there, and goes on.
    pub fn start(options: Options) -> Result<Live, StartError> {
        let dir = options.dir.clone();
        fs::create_dir_all(&dir).map_err(|error| StartError::Io(dir.clone(), error))?;
        let lock = lock(&dir)?;
        backup::clean(&dir).map_err(|error| StartError::Io(dir.clone(), error))?;
        let mut opened = Vec::new();
        let mut open = |name: String| {
            let path = dir.join(&name);
            if let Some(above) = path.parent() {
                fs::create_dir_all(above).map_err(|error| StartError::Io(above.to_owned(), error))?;
            }
            let settings =
                journal::Options { segment_bytes: options.segment_bytes, ..journal::Options::default() };
            let (journal, found) = Journal::open(&path, settings).map_err(StartError::Journal)?;
            opened.push((name, found));
            Ok(journal)
        };
        let control = open("control".to_owned())?;
        let matches = open("matches".to_owned())?;
        let rejected = open("rejected".to_owned())?;
        let known = entries(control.tail()).map_err(StartError::Recovery)?;

        let Declared { first, last } = Declared::of(&known);
        let watched = watched(&options.streams, &last);
        let (mut journals, mut streams) = (Vec::new(), Vec::new());
        for Watched { options, .. } in &watched {
            journals.push(open(format!("streams/{}", options.name))?);
            let declaration = first.get(&options.name).unwrap_or(&options.declaration);
            streams.push((options.name.clone(), declaration.clone()));
        }

        let logs = journals.iter().map(|journal| journal.tail().clone()).collect::<Vec<_>>();
        let places = watched.iter().zip(logs.iter().cloned().enumerate());
        let places = places.filter(|(stream, _)| stream.is_wanted);
        let places = places.map(|(stream, place)| (stream.options.name.clone(), place)).collect();
        let io = |error| StartError::Io(dir.clone(), error);
        let recovery = StartError::Recovery;
        let (store, state) = SledStore::open(&dir.join("state"), state::Options::default())
            .map_err(|error| recovery(Failure::State(error)))?;
        let store: Arc<dyn StateStore> = Arc::new(store);
        info!("{state}");
        let mut found = match options.checkpoint_interval {
            Some(_) => {
                let names = watched.iter().map(|stream| stream.options.name.as_str());
                let firsts = names.zip(logs.iter().map(Tail::first)).collect();
                recovery::checkpoint(&*store, matches.next(), rejected.next(), &firsts).map_err(recovery)?
            }
            None => None,
        };
        let (match_tail, rejected_tail) = (matches.tail().clone(), rejected.tail().clone());
        let tails = Logs {
            matches: match_tail.clone(),
            rejected: rejected_tail.clone(),
            control: control.tail().clone(),
        };
        let sinks = Sinks::start(&dir, &options.sinks, &tails)
            .map_err(|refused| StartError::Sink(refused.0, refused.1))?;
        let giving_way = Arc::<Stop>::default();
        let stalls = Arc::<Stalls>::default();
        let keep = |name, bytes, sinks: &[_]| Keep {
            name,
            bytes,
            sinks: sinks.to_vec(),
            stop: Arc::clone(&giving_way),
            stalls: Arc::clone(&stalls),
        };
        let (from, from_rejected) = found.as_ref().map_or((0, 0), |at| (at.cut.matches, at.cut.rejected));
        let kept = keep("matches", options.matches_retain_bytes, &sinks.of_matches);
        let matches = OutputLog::new(matches, from, kept).map_err(io)?;
        let kept = keep("rejected lines", options.rejected_retain_bytes, &sinks.of_rejected);
        let rejected = OutputLog::new(rejected, from_rejected, kept).map_err(io)?;
        let shadow = Arc::new(found.as_ref().map_or_else(BTreeSet::new, |found| found.shadow(&known)));

        let shards = options.threads.max(1);
        let hasher = KeyHasher::default();
        let of_several = (shards > 1).then(|| hasher.clone());
        let names: Vec<String> = streams.iter().map(|(name, _)| name.clone()).collect();
        let mut merger =
            // What is durable is taken, however much it is: what is too much is refused before.
            Merger::new(streams, options.batch_size.max(1), usize::MAX, of_several);
        let registry = recovery::registry(&known);
        if let Some(found) = &found {
            let at = found.cut.frontier;
            let (versions, limits) = (found.versions(&registry), found.cut.limits);
            merger.resume(versions, &found.resumes(&names), at, Arc::clone(&shadow), limits);
        }
        let engine = |number| Engine::new(Arc::clone(merger.set()), hasher.clone(), number, shards as u32);
        let mut engines: Vec<Engine> = (0..shards as u32).map(engine).collect();
        cold::limit(&dir, options.state_memory, &mut engines)
            .map_err(|error| recovery(Failure::State(error)))?;
        if let Some(found) = &mut found {
            found.restore(&*store, merger.set(), &mut engines).map_err(recovery)?;
        }

        let (parts, to_checkpoint) = bounded(PARTS_LEN);
        let (mut to_shards, mut from_shards, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut dues = Vec::new();
        let reports = Arc::new(Reports::new(shards));
        let lost = Arc::<OnceLock<String>>::default();
        for (number, mut engine) in engines.into_iter().enumerate() {
            let reports = Arc::clone(&reports);
            let (to_shard, steps) = bounded(QUEUE_LEN);
            let (pieces, from_shard) = bounded(QUEUE_LEN);
            to_shards.push(to_shard);
            from_shards.push(from_shard);
            let due = Arc::new(Due::new(&mut engine));
            dues.push(Arc::clone(&due));
            let lost = Arc::clone(&lost);
            let run = move || {
                let watch = |engine: &mut _, time| {
                    reports.take(number, engine, time);
                    due.note(engine);
                };
                if let Err(why) = shard::run(engine, &steps, &pieces, Some(look::nanos), watch) {
                    let _ = lost.set(why);
                }
                Ok(())
            };
            others.push(named("shard", run).map_err(io)?);
        }
        let told = parts.clone();
        let matched = Arc::new(Notify::new());
        let waiting = Arc::clone(&matched);
        let collecting = move || {
            let at_barrier = move |number, next| _ = told.send(Part::Matches(number, next));
            let mut matches = Matches::new(matches, shadow, Box::new(at_barrier), waiting);
            collect(&from_shards, &mut matches, &Progress::default())
        };
        others.push(named("collect", collecting).map_err(io)?);
        let (rejects, from_owner) = bounded(ARRIVALS_LEN);
        let told = parts.clone();
        let rejecting = move || {
            let at_barrier = move |number, next| _ = told.send(Part::Rejected(number, next));
            log_rejected(rejected, &from_owner, &(Box::new(at_barrier) as _))
        };
        others.push(named("rejected", rejecting).map_err(io)?);

        let events = GroupCommit::start("events", journals, Limits::default()).map_err(io)?;
        let keys = logs.iter().map(|log| Ok(Arc::new(Keys::of(log, options.idempotency_keys)?)));
        let keys = keys.collect::<Result<_, _>>().map_err(StartError::Journal)?;
        let (checkpointed, done) = bounded(1);
        let storing = Arc::clone(&store);
        let checkpointing = move || {
            checkpoint::write(&*storing, &to_checkpoint, &checkpointed);
            Ok(())
        };
        others.push(named("checkpoint", checkpointing).map_err(io)?);

        let (arrivals, arriving) = bounded(ARRIVALS_LEN);
        let (requests, wishes) = bounded(REQUESTS_LEN);
        let shared = Arc::new(Shared {
            events: events.submitter(),
            streams: places,
            keys,
            preparing: Preparing::new(merger.preparation()),
            has_ended: AtomicBool::new(false),
            ended: Notify::new(),
            is_leaving: AtomicBool::new(false),
            turns: Mutex::new(now()),
            matched,
            arrivals,
            requests,
            status: RwLock::new(Arc::new(Status::default())),
            matches: match_tail,
            rejected: rejected_tail,
            control: control.tail().clone(),
            unwritable: RwLock::new(None),
            stalls,
            dir: dir.clone(),
            logs: names.iter().cloned().zip(logs.iter().cloned()).collect(),
            store: Arc::clone(&store),
            backing_up: AtomicBool::new(false),
            max_waiting: options.max_buffered_events,
            shards,
            looking: tokio::sync::Mutex::new(()),
            sinks: sinks.of_matches.iter().chain(&sinks.of_rejected).cloned().collect(),
        });
        let checkpoints = Checkpoints {
            interval: options.checkpoint_interval,
            parts,
            done,
            last: 0,
            begun: now(),
            is_open: false,
            full: found.is_none(),
            wanted: Vec::new(),
            awaited: Vec::new(),
        };
        let mut owner = Owner {
            merger,
            shards: Shards::new(to_shards, dues, lost),
            control,
            registry: Arc::default(),
            max_patterns: options.max_patterns,
            rejects,
            streams: watched,
            checkpoints,
            reports,
            dropped: Arc::default(),
            shared: Arc::clone(&shared),
            epoch: 0,
            holder: None,
            retention: EventRetention { bytes: options.retain_bytes, time: options.retain_time },
            mark: Mark::new(&dir),
            retry_at: now(),
        };
        let lines = owner.recover(&known, found.as_ref(), &last, &logs).map_err(recovery)?;
        if lines > 0 {
            info!(lines, "lines were read again");
        }
        owner.declare(&last, &options.streams, options.limits).map_err(recovery)?;
        let ends = Ends(Arc::clone(&shared));
        let owning = move || {
            let _ends = ends;
            owner.run(&arriving, &wishes)
        };
        let owner = named("owner", owning).map_err(io)?;
        Ok(Live { handle: Handle(shared), events, owner, others, sinks, giving_way, _lock: lock, opened })
    }

    /// The outside's grip on it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Takes what has been promised, writes how far everything has come, and ends.
    pub fn stop(self) -> Result<(), Failure> {
        // All that was answered is with the owner before it hears that it is to stop.
        self.giving_way.set();
        let written = self.events.stop();
        let _ = self.handle.0.requests.send(Request::Stop);
        let owned = self.owner.join().unwrap_or(Err(Failure::Panicked));
        drop(self.handle);
        let mut failed = None;
        for other in self.others {
            match other.join() {
                Err(_) => failed = Some(Failure::Panicked),
                Ok(Err(error)) => failed = Some(Failure::Write("matches", error)),
                Ok(Ok(())) => {}
            }
        }
        self.sinks.stop();
        match (failed, written) {
            (Some(failure), _) => Err(failure),
            (None, None) => Err(Failure::Panicked),
            (None, Some(_)) => owned,
        }
    }
}

/// Tells all who wait that the owner has ended, also when it panics.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Relaxed);
        self.0.ended.notify_waiters();
    }
}

/// The streams that are set and those that were once, by name.
fn watched(wanted: &[StreamOptions], declared: &BTreeMap<String, StreamDeclaration>) -> Vec<Watched> {
    let set = wanted.iter().map(|options| Watched {
        options: options.clone(),
        heard: now(),
        held: VecDeque::new(),
        is_wanted: true,
    });
    let gone = declared.iter().filter(|(name, _)| wanted.iter().all(|stream| stream.name != **name));
    let gone = gone.map(|(name, declaration)| Watched {
        options: StreamOptions {
            name: name.clone(),
            declaration: declaration.clone(),
            idle_timeout: Duration::ZERO,
            silence: Silence::Hold,
        },
        heard: now(),
        held: VecDeque::new(),
        is_wanted: false,
    });
    let mut all: Vec<Watched> = set.chain(gone).collect();
    all.sort_by(|a, b| a.options.name.cmp(&b.options.name));
    all
}

fn named<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Takes the data directory for this process.
fn lock(dir: &Path) -> Result<File, StartError> {
    let path = dir.join("LOCK");
    let fail = |error| StartError::Io(path.clone(), error);
    let mut file =
        File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let who = fs::read_to_string(&path).unwrap_or_default();
            let who = who.trim();
            let who = if who.is_empty() { String::new() } else { format!(" (process {who})") };
            return Err(StartError::InUse(dir.to_owned(), who));
        }
        Err(TryLockError::Error(error)) => return Err(fail(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
    Ok(file)
}
