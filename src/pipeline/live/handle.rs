//! The outside's grip on a live service; cheap to clone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::Notify;

use super::idempotency::{Claimed, Keys};
use super::intake::{Intake, Preparing};
use super::owner::now;
use super::request::{Decided, Refusal, Request, Wish};
use super::sinks::{Progress, SinkStatus};
use super::stalls::Stalls;
use super::status::Status;
use crate::event::Timestamp;
use crate::event::decode::Decoded;
use crate::journal::commit::{Refused, Submitter};
use crate::journal::{Journal, JournalError, Pruned, Retention, Tail};
use crate::state::StateStore;

/// The outside's grip on a live service.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

/// What the service's threads and its handles share.
pub(super) struct Shared {
    pub(super) events: Submitter,
    /// By name: the journal's place among those of the writer, and what is durable of it.
    pub(super) streams: BTreeMap<String, (usize, Tail)>,
    /// By stream, the keys that make retries safe.
    pub(super) keys: Vec<Arc<Keys>>,
    pub(super) preparing: Preparing,
    /// Whether the owner has ended, and who waits for that.
    pub(super) has_ended: AtomicBool,
    pub(super) ended: Notify,
    /// Whether the service is about to stop, and who waits for matches.
    pub(super) is_leaving: AtomicBool,
    pub(super) matched: Arc<Notify>,
    /// When the owner turned last.
    pub(super) turns: Mutex<Instant>,
    pub(super) arrivals: Sender<Arrival>,
    pub(super) requests: Sender<Request>,
    pub(super) status: RwLock<Arc<Status>>,
    pub(super) matches: Tail,
    pub(super) rejected: Tail,
    pub(super) control: Tail,
    /// Why nothing can be written at the moment, where it cannot.
    pub(super) unwritable: RwLock<Option<String>>,
    /// Which logs of output wait until they can be written.
    pub(super) stalls: Arc<Stalls>,
    /// The data directory.
    pub(super) dir: PathBuf,
    /// By name, the logs of all streams, also of those that are not set any more.
    pub(super) logs: BTreeMap<String, Tail>,
    pub(super) store: Arc<dyn StateStore>,
    /// Whether a backup is being made.
    pub(super) backing_up: AtomicBool,
    pub(super) sinks: Vec<Arc<Progress>>,
    /// How many events may wait for the watermark before more are refused.
    pub(super) max_waiting: usize,
    /// How many shards there are.
    pub(super) shards: usize,
    /// Who looks inside does so alone.
    pub(super) looking: tokio::sync::Mutex<()>,
}

/// Durable lines on their way to the owner.
pub(super) struct Arrival {
    pub(super) stream: usize,
    pub(super) first: u64,
    pub(super) decoded: Decoded,
}

impl Arrival {
    /// How much room it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let Decoded { block, dead, .. } = &self.decoded;
        block.text.len() + dead.iter().map(|dead| dead.raw.len()).sum::<usize>()
    }
}

/// Where appended lines stand: durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The first line's offset.
    pub first: u64,
    /// How many lines.
    pub count: u32,
    /// How many of them are no events.
    pub rejected: u32,
    /// Whether this is the answer to an earlier request with the same key.
    pub is_replayed: bool,
}

/// Why lines were not appended.
#[derive(Debug, Clone)]
pub enum NotAppended {
    /// There is no stream of this name.
    NoStream(String),
    /// Too much waits already: later.
    Full,
    /// So many events wait for the watermark, as many as may.
    Crowded(usize),
    /// Another batch came with the same key.
    OtherBody,
    /// The service is stopping.
    Stopping,
    /// They could not be written, and are not there.
    Storage(Arc<JournalError>),
}

impl fmt::Display for NotAppended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAppended::NoStream(name) => {
                write!(f, "there is no stream `{name}`: `GET /v1/streams` lists them")
            }
            NotAppended::Full => f.write_str("more events wait than can be written at the moment"),
            NotAppended::Crowded(limit) => write!(
                f,
                "more than {limit} events wait for others that may still come before them: they leave as time goes on, which a heartbeat can say; lower `out_of_orderness`, or raise `engine.max_buffered_events` if there is memory for more"
            ),
            NotAppended::OtherBody => f.write_str("the same `Idempotency-Key` came with another body before"),
            NotAppended::Stopping => f.write_str("the service is stopping"),
            NotAppended::Storage(error) => write!(f, "the events could not be written: {error}"),
        }
    }
}

impl std::error::Error for NotAppended {}

impl Handle {
    /// Makes lines ready to be appended to a stream, each with its line break and none of them blank. It takes its time: no
    /// thread that others wait for should do it. `key` makes a retry safe.
    pub fn intake(&self, stream: &str, lines: Vec<u8>, key: Option<&str>) -> Result<Intake, NotAppended> {
        let (stream, _) =
            self.0.streams.get(stream).ok_or_else(|| NotAppended::NoStream(stream.to_owned()))?;
        self.0.preparing.take(*stream, lines, key)
    }

    /// Appends lines to their stream. `reply` is called once they are durable or could not be written; it has to be quick. Of
    /// what is refused nothing happens.
    pub fn append(&self, intake: Intake, reply: impl FnOnce(Result<Appended, NotAppended>) + Send + 'static) {
        let Intake { stream, count, rejected, record, decoded, key } = intake;
        let shared = &self.0;
        let settle: Box<dyn FnOnce(Result<Appended, NotAppended>) + Send> = match key {
            None => Box::new(reply),
            Some((key, body)) => match shared.keys[stream].claim(&key, body, Box::new(reply)) {
                Claimed::Write(claim) => Box::new(|result| claim.settle(result)),
                Claimed::Answered => return,
            },
        };
        // Where it is refused there and then, the answer is still to be given.
        let settle = Arc::new(Mutex::new(Some(settle)));
        let told = move |settle: &Settle, result| {
            if let Some(settle) = settle.lock().unwrap_or_else(PoisonError::into_inner).take() {
                settle(result);
            }
        };
        let arrivals = shared.arrivals.clone();
        let written = {
            let (settle, service) = (Arc::clone(&settle), Arc::clone(shared));
            move |numbers: crate::journal::commit::Reply| match numbers {
                Ok(numbers) => {
                    let first = numbers.start;
                    // The owner has it before anybody knows: what is asked after the answer comes behind. Where the owner
                    // is gone, what is durable is taken after the next start.
                    let _ = arrivals.send(Arrival { stream, first, decoded });
                    told(&settle, Ok(Appended { first, count, rejected, is_replayed: false }));
                }
                Err(error) => {
                    service.set_unwritable(Some(error.to_string()));
                    told(&settle, Err(NotAppended::Storage(error)));
                }
            }
        };
        let submitted = match shared.is_crowded(stream) {
            true => Err(NotAppended::Crowded(shared.max_waiting)),
            false => shared.events.try_submit(stream, record, written).map_err(NotAppended::from),
        };
        if let Err(refused) = submitted {
            told(&settle, Err(refused));
        }
    }

    /// How many bytes of events wait to be written.
    pub fn queued_bytes(&self) -> u64 {
        self.0.events.queued_bytes()
    }

    /// Asks for changes of patterns, all at one cut.
    pub fn change(&self, wish: Wish, reply: impl FnOnce(Result<Decided, Refusal>) + Send + 'static) {
        self.ask(Request::Change(wish, Box::new(reply)));
    }

    /// Says that time has come so far in a stream: no event at or before it comes any more. `reply` gets the stream's
    /// watermark.
    pub fn heartbeat(
        &self,
        stream: &str,
        time: Timestamp,
        by: &str,
        reply: impl FnOnce(Result<Option<Timestamp>, Refusal>) + Send + 'static,
    ) {
        self.ask(Request::Heartbeat(stream.to_owned(), time, by.to_owned(), Box::new(reply)));
    }

    /// Asks for a checkpoint now. `reply` gets its number when it is durable, or that of a newer one.
    pub fn savepoint(&self, reply: impl FnOnce(Result<u64, Refusal>) + Send + 'static) {
        self.ask(Request::Savepoint(Box::new(reply)));
    }

    fn ask(&self, request: Request) {
        if let Err(refused) = self.0.requests.try_send(request) {
            match refused.into_inner() {
                Request::Change(_, reply) => reply(Err(Refusal::Stopping)),
                Request::Heartbeat(_, _, _, reply) => reply(Err(Refusal::Stopping)),
                Request::Savepoint(reply) => reply(Err(Refusal::Stopping)),
                Request::Moment(_) | Request::Look(_) | Request::Stop => {}
            }
        }
    }

    /// How the service stood a moment ago.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.0.status.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why nothing can be written at the moment, where it cannot: a full disk, or one that is read-only.
    pub fn unwritable(&self) -> Option<String> {
        self.0.unwritable().or_else(|| self.0.stalls.any())
    }

    /// Waits until the service does not go on any more, whatever the reason.
    pub async fn ended(&self) {
        let ended = self.0.ended.notified();
        if !self.0.has_ended.load(Relaxed) {
            ended.await;
        }
    }

    /// The log of a stream's events.
    pub fn events(&self, stream: &str) -> Option<&Tail> {
        self.0.streams.get(stream).map(|(_, tail)| tail)
    }

    /// The names of the streams.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.0.streams.keys().map(String::as_str)
    }

    /// The log of matches and timeouts: a line each.
    pub fn matches(&self) -> &Tail {
        &self.0.matches
    }

    /// Waits until there may be more matches, from now on.
    pub fn matched(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.0.matched).notified_owned()
    }

    /// How long ago the owner of the pipeline looked at everything; it does so many times a second.
    pub fn since_turn(&self) -> Duration {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Ends what would go on for ever: the service is about to stop.
    pub fn leave(&self) {
        self.0.is_leaving.store(true, Relaxed);
        self.0.matched.notify_waiters();
    }

    /// Whether the service is about to stop.
    pub fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Relaxed)
    }

    /// The log of late events and dead letters: a line each.
    pub fn rejected(&self) -> &Tail {
        &self.0.rejected
    }

    /// How the sinks stand.
    pub fn sinks(&self) -> Vec<SinkStatus> {
        self.0.sinks.iter().map(|sink| sink.status()).collect()
    }

    /// The control log.
    pub fn control(&self) -> &Tail {
        &self.0.control
    }
}

/// Who is told how an append went: once.
type Settle = Mutex<Option<Box<dyn FnOnce(Result<Appended, NotAppended>) + Send>>>;

impl From<Refused> for NotAppended {
    fn from(refused: Refused) -> NotAppended {
        match refused {
            Refused::Full => NotAppended::Full,
            Refused::Stopped => NotAppended::Stopping,
        }
    }
}

impl Shared {
    /// The owner has looked at everything once more.
    pub(super) fn turned(&self) {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner) = now();
    }

    /// Whether too many events wait for the watermark to take more of a stream. The one that the others wait for may bring
    /// time on, so it is refused later than they are.
    fn is_crowded(&self, stream: usize) -> bool {
        let status = self.status.read().unwrap_or_else(PoisonError::into_inner);
        let holder = status.holder.as_ref().and_then(|(name, _)| self.streams.get(name));
        let holds = holder.is_some_and(|(holder, _)| *holder == stream);
        status.waiting > self.max_waiting.saturating_mul(if holds { 2 } else { 1 })
    }

    /// Deletes what a stream's log need not keep, by size and age: nothing from `needed_from` on, where recovery reads.
    pub(super) fn retain(&self, stream: usize, policy: Retention, needed_from: u64) {
        let retain = move |journals: &mut Vec<Journal>| {
            let Some(journal) = journals.get_mut(stream) else { return };
            match journal.retain(&policy, needed_from) {
                Ok(pruned) if pruned.segments > 0 => {
                    let Pruned { segments, bytes } = pruned;
                    tracing::info!(log = ?journal.tail().dir(), segments, bytes, "old events were deleted");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "old events could not be deleted"),
            }
        };
        // Where the writer has too much to do, there is a next time.
        let _ = self.events.with(retain);
    }

    pub(super) fn unwritable(&self) -> Option<String> {
        self.unwritable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_unwritable(&self, why: Option<String>) {
        *self.unwritable.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn publish(&self, status: Status) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }
}
