//! The outside's grip on a live service; cheap to clone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::Sender;
use tokio::sync::Notify;

use super::request::{Decided, Refusal, Request, Wish};
use super::sinks::{Progress, SinkStatus};
use super::status::Status;
use crate::event::decode::Decoder;
use crate::event::{Position, Timestamp};
use crate::journal::commit::{Refused, Submitter};
use crate::journal::{EncodedRecord, JournalError, Tail};

/// The outside's grip on a live service.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

/// What the service's threads and its handles share.
pub(super) struct Shared {
    pub(super) events: Submitter,
    /// By name: the journal's place among those of the writer, and what is durable of it.
    pub(super) streams: BTreeMap<String, (usize, Tail)>,
    /// By stream, what tells whether a line is an event.
    pub(super) checks: Vec<Decoder>,
    /// Whether the owner has ended, and who waits for that.
    pub(super) has_ended: AtomicBool,
    pub(super) ended: Notify,
    pub(super) arrivals: Sender<Arrival>,
    pub(super) requests: Sender<Request>,
    pub(super) status: RwLock<Arc<Status>>,
    pub(super) matches: Tail,
    pub(super) rejected: Tail,
    pub(super) control: Tail,
    /// Why nothing can be written at the moment, where it cannot.
    pub(super) unwritable: RwLock<Option<String>>,
    pub(super) sinks: Vec<Arc<Progress>>,
    /// How many shards there are.
    pub(super) shards: usize,
    /// Who looks inside does so alone.
    pub(super) looking: tokio::sync::Mutex<()>,
}

/// Durable lines on their way to the owner.
pub(super) struct Arrival {
    pub(super) stream: usize,
    pub(super) first: u64,
    pub(super) lines: Vec<u8>,
}

/// Where appended lines stand: durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The first line's offset.
    pub first: u64,
    /// How many lines.
    pub count: u32,
}

/// Why lines were not appended.
#[derive(Debug, Clone)]
pub enum NotAppended {
    /// There is no such stream.
    NoStream,
    /// Too much waits already: later.
    Full,
    /// The service is stopping.
    Stopping,
    /// They could not be written, and are not there.
    Storage(Arc<JournalError>),
}

impl fmt::Display for NotAppended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAppended::NoStream => f.write_str("there is no such stream"),
            NotAppended::Full => f.write_str("more events wait than can be written at the moment"),
            NotAppended::Stopping => f.write_str("the service is stopping"),
            NotAppended::Storage(error) => write!(f, "the events could not be written: {error}"),
        }
    }
}

impl std::error::Error for NotAppended {}

impl Handle {
    /// Appends lines, each with its line break and none of them blank, to a stream. `reply` is called once they are durable
    /// or could not be written; it has to be quick. Of what is refused at once nothing happens.
    pub fn append(
        &self,
        stream: &str,
        lines: Vec<u8>,
        count: u32,
        meta: &[u8],
        reply: impl FnOnce(Result<Appended, NotAppended>) + Send + 'static,
    ) -> Result<(), NotAppended> {
        let shared = &self.0;
        let (journal, _) = shared.streams.get(stream).ok_or(NotAppended::NoStream)?;
        let journal = *journal;
        let record = EncodedRecord::new(count, meta, &lines, 4 << 10)
            .map_err(|error| NotAppended::Storage(Arc::new(error)))?;
        let arrivals = shared.arrivals.clone();
        let told = Arc::clone(shared);
        let written = move |numbers: crate::journal::commit::Reply| match numbers {
            Ok(numbers) => {
                // The owner has it before anybody knows: what is asked after the answer comes behind. Where the owner is
                // gone, what is durable is taken after the next start.
                let _ = arrivals.send(Arrival { stream: journal, first: numbers.start, lines });
                reply(Ok(Appended { first: numbers.start, count }));
            }
            Err(error) => {
                told.set_unwritable(Some(error.to_string()));
                reply(Err(NotAppended::Storage(error)));
            }
        };
        shared.events.try_submit(journal, record, written).map_err(|refused| match refused {
            Refused::Full => NotAppended::Full,
            Refused::Stopped => NotAppended::Stopping,
        })
    }

    /// How many of some lines are no events of a stream, whatever the patterns are; none where there is no such stream.
    pub fn rejects(&self, stream: &str, lines: &[u8]) -> Option<u64> {
        let (number, _) = self.0.streams.get(stream)?;
        let mut decoder = self.0.checks[*number].clone();
        let nowhere = Position { stream: 0, partition: 0, offset: 0 };
        Some(decoder.decode(lines.to_vec(), nowhere).dead.len() as u64)
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

    fn ask(&self, request: Request) {
        if let Err(refused) = self.0.requests.try_send(request) {
            match refused.into_inner() {
                Request::Change(_, reply) => reply(Err(Refusal::Stopping)),
                Request::Heartbeat(_, _, _, reply) => reply(Err(Refusal::Stopping)),
                Request::Look(_) | Request::Stop => {}
            }
        }
    }

    /// How the service stood a moment ago.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.0.status.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why nothing can be written at the moment, where it cannot: a full disk, or one that is read-only.
    pub fn unwritable(&self) -> Option<String> {
        self.0.unwritable()
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

impl Shared {
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
