//! Group commit: a thread that appends what many threads hand it, with one sync for all that waits.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::{EncodedRecord, Journal, JournalError};

/// The limits of a group commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes may wait to be written; what would go beyond is refused. One request is always taken.
    pub queued_bytes_max: u64,
    /// How many requests may wait.
    pub queued_max: usize,
    /// From how many bytes on no more is taken into one commit.
    pub commit_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { queued_bytes_max: 64 << 20, queued_max: 4_096, commit_bytes: 8 << 20 }
    }
}

/// What a request is answered: the numbers of its record, which is durable; or why it isn't there.
pub type Reply = Result<Range<u64>, Arc<JournalError>>;

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too much is waiting already: later it may be taken.
    Full,
    /// The writer has stopped.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full => "too much is waiting to be written",
            Refused::Stopped => "the log has been closed",
        })
    }
}

impl std::error::Error for Refused {}

/// Hands requests to the writer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Submitter {
    requests: Sender<Request>,
    queued_bytes: Arc<AtomicU64>,
    queued_bytes_max: u64,
}

/// The thread that owns journals and writes to them.
#[derive(Debug)]
pub struct GroupCommit {
    submitter: Submitter,
    thread: JoinHandle<Vec<Journal>>,
}

type Answer = Box<dyn FnOnce(Reply) + Send>;
type Run = Box<dyn FnOnce(&mut Vec<Journal>) + Send>;

enum Request {
    Append(Append),
    With(Run),
    Stop,
}

struct Append {
    journal: usize,
    record: EncodedRecord,
    reply: Answer,
}

impl Submitter {
    /// Hands over a record for one of the journals, by its place among them. `reply` is called by the writer, in the order of
    /// the numbers, once the record is durable or has failed; it must not wait for anything that waits for the writer. Of what
    /// is refused nothing is written, and `reply` is not called. It is dropped without a call only where the writer stops at
    /// the same moment; then nothing was written either.
    pub fn try_submit(
        &self,
        journal: usize,
        record: EncodedRecord,
        reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), Refused> {
        let bytes = record.len() as u64;
        let before = self.queued_bytes.fetch_add(bytes, Relaxed);
        let sent = if before > 0 && before + bytes > self.queued_bytes_max {
            Err(Refused::Full)
        } else {
            let request = Request::Append(Append { journal, record, reply: Box::new(reply) });
            self.requests.try_send(request).map_err(|error| match error {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Disconnected(_) => Refused::Stopped,
            })
        };
        if sent.is_err() {
            self.queued_bytes.fetch_sub(bytes, Relaxed);
        }
        sent
    }

    /// Runs something on the writer's thread, between two commits: pruning, or adding a journal. It does not wait: where
    /// the queue is full, it is refused.
    pub fn with(&self, run: impl FnOnce(&mut Vec<Journal>) + Send + 'static) -> Result<(), Refused> {
        self.requests.try_send(Request::With(Box::new(run))).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Stopped,
        })
    }

    /// How many bytes wait to be written.
    pub fn queued_bytes(&self) -> u64 {
        self.queued_bytes.load(Relaxed)
    }
}

impl GroupCommit {
    /// Starts the thread. `name` is its name.
    pub fn start(name: &str, journals: Vec<Journal>, limits: Limits) -> io::Result<GroupCommit> {
        let (requests, receiver) = crossbeam_channel::bounded(limits.queued_max);
        let queued_bytes = Arc::new(AtomicU64::new(0));
        let submitter = Submitter {
            requests,
            queued_bytes: Arc::clone(&queued_bytes),
            queued_bytes_max: limits.queued_bytes_max,
        };
        let writer = Writer { journals, requests: receiver, queued_bytes, limits };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(|| writer.run())?;
        Ok(GroupCommit { submitter, thread })
    }

    /// What hands requests to the writer.
    pub fn submitter(&self) -> Submitter {
        self.submitter.clone()
    }

    /// Writes what is waiting, stops the thread and gives the journals back; none if the thread has panicked.
    pub fn stop(self) -> Option<Vec<Journal>> {
        // Where the thread has ended already, there is nothing to tell it.
        let _ = self.submitter.requests.send(Request::Stop);
        self.thread.join().ok()
    }
}

struct Writer {
    journals: Vec<Journal>,
    requests: Receiver<Request>,
    queued_bytes: Arc<AtomicU64>,
    limits: Limits,
}

impl Writer {
    fn run(mut self) -> Vec<Journal> {
        let mut batch = Vec::new();
        let mut is_stopping = false;
        loop {
            // What was handed over before the stop is still written.
            let request = if is_stopping { self.requests.try_recv().ok() } else { self.requests.recv().ok() };
            let Some(request) = request else { break };
            let mut bytes = 0;
            let mut next = Some(request);
            let other = loop {
                match next.take() {
                    Some(Request::Append(append)) => {
                        bytes += append.record.len() as u64;
                        batch.push(append);
                    }
                    other => break other,
                }
                if bytes < self.limits.commit_bytes {
                    next = self.requests.try_recv().ok();
                }
            };
            self.commit(&mut batch);
            match other {
                Some(Request::Stop) => is_stopping = true,
                Some(Request::With(run)) => run(&mut self.journals),
                Some(Request::Append(_)) | None => {}
            }
        }
        self.journals
    }

    /// Writes all of a batch, one frame and one sync for each journal, and answers.
    fn commit(&mut self, batch: &mut Vec<Append>) {
        let mut of_journal: BTreeMap<usize, (Vec<EncodedRecord>, Vec<Answer>)> = BTreeMap::new();
        let mut bytes = 0;
        for append in batch.drain(..) {
            bytes += append.record.len() as u64;
            let (records, replies) = of_journal.entry(append.journal).or_default();
            records.push(append.record);
            replies.push(append.reply);
        }
        for (at, (records, replies)) in of_journal {
            let written = match self.journals.get_mut(at) {
                Some(journal) => journal
                    .write_encoded(&records)
                    .and_then(|numbers| journal.sync().map(|_| numbers.start))
                    .map_err(Arc::new),
                None => Err(Arc::new(JournalError::NoSuchJournal { at })),
            };
            let mut first = written;
            for (record, reply) in records.iter().zip(replies) {
                let numbers = first.clone().map(|first| first..first + u64::from(record.count));
                if let Ok(numbers) = &numbers {
                    first = Ok(numbers.end);
                }
                reply(numbers);
            }
        }
        self.queued_bytes.fetch_sub(bytes, Relaxed);
    }
}
