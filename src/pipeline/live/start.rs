//! Starting and stopping a live service.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};

use crossbeam_channel::bounded;
use tokio::sync::Notify;

use super::super::collect::collect;
use super::super::decision::{Decision, Entry, StreamDeclaration};
use super::super::failure::Failure;
use super::super::merger::Merger;
use super::super::progress::Progress;
use super::super::shard;
use super::handle::{Handle, Shared};
use super::idempotency::Keys;
use super::intake::Preparing;
use super::options::Options;
use super::output::{Matches, OutputLog, log_rejected};
use super::owner::{Keep, Owner, Shards, Watched, now};
use super::recovery::{declared, entries};
use super::request::Request;
use super::status::Status;
use crate::engine::Engine;
use crate::event::key::KeyHasher;
use crate::journal::commit::{GroupCommit, Limits};
use crate::journal::{self, Journal, JournalError, NewRecord, Opened};

/// Steps that may wait for a shard, and pieces of output that may wait to be put into order.
const QUEUE_LEN: usize = 8;
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
        let mut control = open("control".to_owned())?;
        let matches = open("matches".to_owned())?;
        let rejected = open("rejected".to_owned())?;
        let mut known = entries(control.tail()).map_err(StartError::Recovery)?;

        let mut declarations = declared(&known);
        let mut journals = Vec::new();
        let mut streams = Vec::new();
        let mut wanted = options.streams.clone();
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        for stream in &wanted {
            let journal = open(format!("streams/{}", stream.name))?;
            if declarations.get(&stream.name) != Some(&stream.declaration) {
                let entry = declaration(&mut control, &journal, &stream.name, &stream.declaration)?;
                declarations.insert(stream.name.clone(), stream.declaration.clone());
                known.push(entry);
            }
            streams.push((stream.name.clone(), stream.declaration.clone()));
            journals.push(journal);
        }

        let logs = journals.iter().map(|journal| journal.tail().clone()).collect::<Vec<_>>();
        let places = wanted.iter().map(|stream| stream.name.clone()).zip(logs.iter().cloned().enumerate());
        let (match_tail, rejected_tail) = (matches.tail().clone(), rejected.tail().clone());
        let io = |error| StartError::Io(dir.clone(), error);
        let matches = OutputLog::new(matches, 0).map_err(io)?;
        let rejected = OutputLog::new(rejected, 0).map_err(io)?;

        let shards = options.threads.max(1);
        let hasher = KeyHasher::default();
        let of_several = (shards > 1).then(|| hasher.clone());
        let merger = Merger::new(streams, options.batch_size.max(1), options.max_buffered_events, of_several);
        let (mut to_shards, mut from_shards, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..shards as u32 {
            let engine = Engine::new(Arc::clone(merger.set()), hasher.clone(), number, shards as u32);
            let (to_shard, steps) = bounded(QUEUE_LEN);
            let (pieces, from_shard) = bounded(QUEUE_LEN);
            to_shards.push(to_shard);
            from_shards.push(from_shard);
            let run = move || {
                shard::run(engine, &steps, &pieces);
                Ok(())
            };
            others.push(named("shard", run).map_err(io)?);
        }
        let matched = Arc::new(Notify::new());
        let told = Arc::clone(&matched);
        let collecting = move || {
            let mut matches = Matches::new(matches, Box::new(|_, _| {}), told);
            collect(&from_shards, &mut matches, &Progress::default())
        };
        others.push(named("collect", collecting).map_err(io)?);
        let (rejects, from_owner) = bounded(ARRIVALS_LEN);
        let rejecting = move || log_rejected(rejected, &from_owner, &(Box::new(|_, _| {}) as _));
        others.push(named("rejected", rejecting).map_err(io)?);

        let events = GroupCommit::start("events", journals, Limits::default()).map_err(io)?;
        let keys = logs.iter().map(|log| Ok(Arc::new(Keys::of(log, options.idempotency_keys)?)));
        let keys = keys.collect::<Result<_, _>>().map_err(StartError::Journal)?;
        let (arrivals, arriving) = bounded(ARRIVALS_LEN);
        let (requests, wishes) = bounded(REQUESTS_LEN);
        let shared = Arc::new(Shared {
            events: events.submitter(),
            streams: places.collect::<BTreeMap<_, _>>(),
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
        });
        let mut owner = Owner {
            merger,
            shards: Shards(to_shards),
            control,
            registry: Arc::default(),
            max_patterns: options.max_patterns,
            rejects,
            streams: wanted.into_iter().map(|options| Watched { options, heard: now() }).collect(),
            shared: Arc::clone(&shared),
            epoch: 0,
            holder: None,
            retention: (Keep { bytes: options.retain_bytes, time: options.retain_time }, now()),
        };
        owner.recover(&known, logs).map_err(StartError::Recovery)?;
        let ends = Ends(Arc::clone(&shared));
        let owning = move || {
            let _ends = ends;
            owner.run(&arriving, &wishes)
        };
        let owner = named("owner", owning).map_err(io)?;
        Ok(Live { handle: Handle(shared), events, owner, others, _lock: lock, opened })
    }

    /// The outside's grip on it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Takes what has been promised, writes how far everything has come, and ends.
    pub fn stop(self) -> Result<(), Failure> {
        // All that was answered is with the owner before it hears that it is to stop.
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

/// Writes that a stream is read in this way from its next line on.
fn declaration(
    control: &mut Journal,
    journal: &Journal,
    stream: &str,
    settings: &StreamDeclaration,
) -> Result<Entry, StartError> {
    let decision = Decision::Stream {
        stream: stream.to_owned(),
        offset: journal.next(),
        floor: None,
        settings: settings.clone(),
    };
    let entry = Entry { sequence: control.next(), at: 0, by: "config".to_owned(), decision };
    let body = serde_json::to_vec(&entry).unwrap_or_default();
    control.append(&[NewRecord { count: 1, meta: b"", body: &body }]).map_err(StartError::Journal)?;
    Ok(entry)
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
