//! Keys that make retries of posted batches safe. A key and what its batch was answered stand in the batch's own record of
//! the event log, so they are durable together; what is held here is an index of the newest ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::{Appended, NotAppended};
use crate::journal::{JournalError, Tail};

/// The size of what a body is known by, in bytes.
pub(super) const BODY_HASH_BYTES: usize = 16;

/// The version of [`Stored::encode`].
const VERSION: u8 = 1;

type BodyHash = [u8; BODY_HASH_BYTES];

/// Who waits for an answer.
pub(super) type Reply = Box<dyn FnOnce(Result<Appended, NotAppended>) + Send>;

/// What a batch's record says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) key: &'a str,
    pub(super) body: BodyHash,
    /// How many of its lines were no events.
    pub(super) rejected: u32,
}

impl<'a> Stored<'a> {
    /// The version, the number of rejected lines, the body's hash, the key.
    pub(super) fn encode(&self) -> Vec<u8> {
        [&[VERSION], &self.rejected.to_le_bytes()[..], &self.body, self.key.as_bytes()].concat()
    }

    /// None where a record says nothing of a key, or says it in a newer version.
    pub(super) fn decode(meta: &'a [u8]) -> Option<Stored<'a>> {
        let meta = meta.strip_prefix(&[VERSION])?;
        let (rejected, meta) = meta.split_first_chunk::<4>()?;
        let (body, key) = meta.split_first_chunk::<BODY_HASH_BYTES>()?;
        let key = std::str::from_utf8(key).ok()?;
        Some(Stored { key, body: *body, rejected: u32::from_le_bytes(*rejected) })
    }
}

/// The keys of one stream.
pub(super) struct Keys {
    limit: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_key: BTreeMap<Arc<str>, Entry>,
    /// The keys that have an answer, oldest first.
    answered: VecDeque<Arc<str>>,
}

struct Entry {
    body: BodyHash,
    state: State,
}

enum State {
    /// Its batch is being written; these wait for the same answer.
    Pending(Vec<Reply>),
    Answered(Appended),
}

/// What is to be done with a batch that has a key.
pub(super) enum Claimed {
    /// It is to be written.
    Write(Claim),
    /// Whoever asked has the answer, or will have it.
    Answered,
}

/// The right to write the batch of a key. Whoever waits hears how it went, at the latest when this is dropped.
pub(super) struct Claim {
    keys: Arc<Keys>,
    key: Arc<str>,
    reply: Option<Reply>,
}

impl Keys {
    /// As many of the newest keys as are remembered, of a stream's log.
    pub(super) fn of(log: &Tail, limit: usize) -> Result<Keys, JournalError> {
        let mut newest = Vec::new();
        if limit > 0 {
            for record in log.backward(log.next()).without_bodies() {
                let record = record?;
                if let Some(stored) = Stored::decode(&record.meta) {
                    let Stored { key, body, rejected } = stored;
                    let appended =
                        Appended { first: record.first, count: record.count, rejected, is_replayed: true };
                    newest.push((Arc::<str>::from(key), Entry { body, state: State::Answered(appended) }));
                }
                if newest.len() == limit {
                    break;
                }
            }
        }
        let mut known = Known::default();
        for (key, entry) in newest.into_iter().rev() {
            known.answered.push_back(Arc::clone(&key));
            known.by_key.insert(key, entry);
        }
        Ok(Keys { limit, known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a key up, and claims it where it is new.
    pub(super) fn claim(self: &Arc<Keys>, key: &str, body: BodyHash, reply: Reply) -> Claimed {
        let mut known = self.known();
        let answer = match known.by_key.get_mut(key) {
            None => {
                let key: Arc<str> = key.into();
                let state = State::Pending(Vec::new());
                known.by_key.insert(Arc::clone(&key), Entry { body, state });
                drop(known);
                return Claimed::Write(Claim { keys: Arc::clone(self), key, reply: Some(reply) });
            }
            Some(entry) if entry.body != body => Err(NotAppended::OtherBody),
            Some(Entry { state: State::Answered(appended), .. }) => Ok(*appended),
            Some(Entry { state: State::Pending(waiting), .. }) => {
                waiting.push(reply);
                return Claimed::Answered;
            }
        };
        drop(known);
        reply(answer);
        Claimed::Answered
    }
}

impl Claim {
    /// Tells all who wait how it went, and remembers it where it went well.
    pub(super) fn settle(mut self, result: Result<Appended, NotAppended>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<Appended, NotAppended>) {
        let Some(reply) = self.reply.take() else { return };
        let again = result.clone().map(|appended| Appended { is_replayed: true, ..appended });
        let mut known = self.keys.known();
        let entry = known.by_key.get_mut(&self.key);
        let state = entry.map(|entry| std::mem::replace(&mut entry.state, State::Pending(Vec::new())));
        match again {
            Ok(appended) => {
                if let Some(entry) = known.by_key.get_mut(&self.key) {
                    entry.state = State::Answered(appended);
                }
                known.answered.push_back(Arc::clone(&self.key));
                if known.answered.len() > self.keys.limit
                    && let Some(oldest) = known.answered.pop_front()
                {
                    known.by_key.remove(&oldest);
                }
            }
            Err(_) => _ = known.by_key.remove(&self.key),
        }
        drop(known);
        reply(result);
        if let Some(State::Pending(waiting)) = state {
            waiting.into_iter().for_each(|reply| reply(again.clone()));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(Err(NotAppended::Stopping));
    }
}
