//! Sinks: each has a thread that follows a log of what comes out, and a durable cursor in it. The logs are written without
//! them and can be computed again, so a sink needs nothing else to be exact.

mod cursor;
mod file;
mod guard;
mod progress;
mod selection;
mod webhook;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::file::FileSink;
use self::progress::Backoff;
use self::selection::Selection;
use self::webhook::Webhook;
use super::options::SinkOptions;
use super::owner::now;
use crate::config::settings::{SinkInput, Target};
use crate::journal::{self, Disk, Journal, RealDisk, Tail};

pub use progress::SinkStatus;
pub(super) use progress::{Progress, Stop};

/// How often a cursor is made durable at most.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The sinks of a service.
pub(super) struct Sinks {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
    /// Those of the log of matches, and those of the log of rejected lines.
    pub(super) of_matches: Vec<Arc<Progress>>,
    pub(super) of_rejected: Vec<Arc<Progress>>,
}

/// What a thread does.
enum Run {
    File(Box<FileSink>),
    Webhook(Box<Webhook>),
}

/// The logs that sinks follow.
pub(super) struct Logs {
    pub(super) matches: Tail,
    pub(super) rejected: Tail,
    pub(super) control: Tail,
}

/// The name of the sink that cannot be opened, and why.
pub(super) struct Refused(pub(super) String, pub(super) io::Error);

impl Sinks {
    /// Opens all sinks, and starts their threads if none of them has a reason not to.
    pub(super) fn start(dir: &Path, options: &[SinkOptions], logs: &Logs) -> Result<Sinks, Refused> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let cursors = dir.join("sinks");
        let made = disk.create_dir(&cursors).and_then(|()| disk.sync_dir(dir));
        made.map_err(|error| Refused("sinks".to_owned(), error))?;
        let mut sinks = Sinks {
            threads: Vec::new(),
            stop: Arc::default(),
            of_matches: Vec::new(),
            of_rejected: Vec::new(),
        };
        let mut opened = Vec::new();
        let mut undelivered = None;
        for SinkOptions { sink, secret } in options {
            let is_of_matches = sink.what == SinkInput::Matches;
            let tail = if is_of_matches { &logs.matches } else { &logs.rejected };
            let selection = Selection::new(sink, &logs.control);
            let sidecar = cursors.join(format!("{}.json", sink.name));
            let refused = |error| Refused(sink.name.clone(), error);
            let (kind, next, run) = match &sink.target {
                Target::File(target) => {
                    let named = (sink.name.as_str(), target);
                    let file = FileSink::open(Arc::clone(&disk), named, sidecar, tail.clone(), selection);
                    let file = file.map_err(refused)?;
                    ("file", file.next(), Run::File(Box::new(file)))
                }
                Target::Webhook(target) => {
                    let aside = match &undelivered {
                        Some(log) => Arc::clone(log),
                        None => {
                            let options = journal::Options::default();
                            let (log, _) = Journal::open(&dir.join("undelivered"), options)
                                .map_err(|error| refused(io::Error::other(error)))?;
                            undelivered.insert(Arc::new(Mutex::new(log))).clone()
                        }
                    };
                    let named = (sink.name.as_str(), target);
                    let hook = Webhook::open(named, secret.as_ref(), sidecar, tail.clone(), selection, aside)
                        .map_err(refused)?;
                    ("webhook", hook.next(), Run::Webhook(Box::new(hook)))
                }
            };
            let progress = Progress::new(&sink.name, kind, tail.clone(), next);
            let of_log = if is_of_matches { &mut sinks.of_matches } else { &mut sinks.of_rejected };
            of_log.push(Arc::clone(&progress));
            opened.push((sink.name.clone(), tail.clone(), progress, run));
        }
        for (name, tail, progress, run) in opened {
            let stop = Arc::clone(&sinks.stop);
            let run = move || match run {
                Run::File(file) => write_file(*file, &tail, &progress, &stop),
                Run::Webhook(hook) => hook.run(&progress, &stop),
            };
            let thread = thread::Builder::new().name(format!("sink {name}")).spawn(run);
            sinks.threads.push(thread.map_err(|error| Refused(name, error))?);
        }
        Ok(sinks)
    }

    /// Lets them take what is durable, as far as they can at once, and ends them.
    pub(super) fn stop(mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            // One that has panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.stop.set();
    }
}

/// Writes a file as the log grows, until it is told to stop.
fn write_file(mut file: FileSink, tail: &Tail, progress: &Progress, stop: &Stop) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    let mut saved = now();
    loop {
        let is_stopping = stop.is_set();
        let mut done = file.go_on();
        if file.is_ahead() && (saved.elapsed() >= SAVE_EVERY || (is_stopping && matches!(done, Ok(false)))) {
            match file.save() {
                Ok(()) => saved = now(),
                Err(error) => done = Err(error),
            }
        }
        progress.came(file.next(), file.durable_next(), file.delivered(), 0);
        match done {
            Ok(true) => progress.succeeded(),
            Ok(false) if is_stopping => return,
            Ok(false) => {
                progress.succeeded();
                backoff.reset();
                let left = SAVE_EVERY.saturating_sub(saved.elapsed());
                let timeout = if file.is_ahead() { left } else { SAVE_EVERY };
                await_line(tail, file.next(), timeout, stop);
            }
            Err(error) => {
                progress.failed(error.to_string());
                // At the end, what cannot be written now is written after the next start.
                if is_stopping || stop.wait(backoff.next()) {
                    return;
                }
            }
        }
    }
}

/// Waits until a line is durable, or for as long, or less where it is time to stop.
fn await_line(tail: &Tail, number: u64, timeout: Duration, stop: &Stop) {
    let began = now();
    if !tail.wait_for(number, timeout) && began.elapsed() < timeout {
        // The log has been closed: no more comes, and waiting for it takes no time.
        stop.wait(timeout.saturating_sub(began.elapsed()).max(Duration::from_millis(1)));
    }
}
