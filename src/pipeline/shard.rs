//! Engine shards, each on a thread of its own or one on the caller's.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Receiver, Sender};

use super::failure::Failure;
use super::feed::Shards;
use super::progress::Progress;
use crate::engine::{Clock, Counters, Engine, MatchSink, MatchView, Order, PatternSet};
use crate::event::{Batch, Timestamp};

/// How much a shard gathers before it passes it on, in bytes: one event may complete any number of matches.
const PIECE_BYTES: usize = 1 << 20;

/// One batch in so many is timed.
const TIMED: usize = 32;

/// What a shard is told. All shards are told the same.
#[derive(Clone)]
pub(super) enum Step {
    /// To take events.
    Batch(Arc<Batch>),
    /// All events up to a time have come.
    Reach(Timestamp),
    /// Other patterns go on from here.
    Cut(Arc<Cut>),
    /// To do something with what it holds, between two batches; the number is for those who take the output.
    Barrier(u64, Arc<dyn Fn(&mut Engine) + Send + Sync>),
    /// To say something of what it holds, between two batches.
    Look(Arc<dyn Fn(&Engine) + Send + Sync>),
    /// All inputs have ended, and with them time. Without this, a shard whose channel closes just stops.
    Finish,
}

/// Where other patterns go on.
#[derive(Debug)]
pub(super) struct Cut {
    /// Deadlines up to this time pass before.
    pub(super) reached: Option<Timestamp>,
    /// The patterns from here on.
    pub(super) set: Arc<PatternSet>,
    /// Whether the set is numbered anew.
    pub(super) renumbers: bool,
    /// The names and versions of those whose matches no sink gets.
    pub(super) shadow: Arc<BTreeSet<(String, u64)>>,
}

/// What those who take the output learn between two batches.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    /// Other patterns go on from here.
    Cut(Arc<Cut>),
    /// A barrier has been passed.
    Barrier(u64),
}

/// What a shard found: lines, and the order of each.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// The order of each line, and where it ends.
    pub(super) lines: Vec<(Order, usize)>,
    /// Whether it is the last of its batch.
    pub(super) ends_batch: bool,
    /// What comes after its lines.
    pub(super) signal: Option<Signal>,
}

/// Runs a shard: each step gives one piece or several. `watch` sees it after each step, and up to which time it has
/// come. Why it could not go on, if so: then its last batch has no end.
///
/// With a clock, one batch in some is timed, to tell what patterns cost.
pub(super) fn run(
    mut engine: Engine,
    steps: &Receiver<Step>,
    to: &Sender<Piece>,
    clock: Option<Clock>,
    watch: impl Fn(&mut Engine, Timestamp),
) -> Result<Counters, String> {
    let mut pieces = Pieces { piece: Piece::default(), to, gone: false };
    let mut batches = 0_usize;
    let mut reached = Timestamp::MIN;
    for step in steps {
        match step {
            Step::Batch(batch) => {
                match clock.filter(|_| batches.is_multiple_of(TIMED)) {
                    Some(clock) => engine.timed(clock, |engine| engine.process(&batch, &mut pieces)),
                    None => engine.process(&batch, &mut pieces),
                }
                batches += 1;
                reached = batch.last_time().unwrap_or(reached);
            }
            Step::Reach(time) => {
                engine.reach(time, &mut pieces);
                reached = time;
            }
            Step::Cut(cut) => {
                if let Some(time) = cut.reached {
                    engine.reach(time, &mut pieces);
                }
                engine.go_on_with(&cut);
                pieces.piece.signal = Some(Signal::Cut(cut));
            }
            Step::Barrier(number, with) => {
                with(&mut engine);
                pieces.piece.signal = Some(Signal::Barrier(number));
            }
            Step::Look(with) => with(&engine),
            Step::Finish => engine.finish(&mut pieces),
        }
        if let Some(why) = engine.lost() {
            pieces.piece.signal = None;
            pieces.send();
            return Err(why.to_owned());
        }
        watch(&mut engine, reached);
        pieces.piece.ends_batch = true;
        pieces.send();
        if pieces.gone {
            break;
        }
    }
    Ok(engine.counters())
}

impl Engine {
    fn go_on_with(&mut self, cut: &Cut) {
        let set = Arc::clone(&cut.set);
        if cut.renumbers {
            // What an engine has encoded, it can load.
            let loaded = self.renumber(set);
            debug_assert!(loaded.is_ok(), "{loaded:?}");
        } else {
            self.install(set);
        }
    }
}

/// Passes on what is found, piece by piece.
struct Pieces<'a> {
    piece: Piece,
    to: &'a Sender<Piece>,
    /// Nobody takes it any more: the writer has failed, and says why.
    gone: bool,
}

impl Pieces<'_> {
    fn send(&mut self) {
        let room = self.piece.bytes.len();
        let next = Piece { bytes: Vec::with_capacity(room), ..Piece::default() };
        self.gone |= self.to.send(std::mem::replace(&mut self.piece, next)).is_err();
    }
}

impl MatchSink for Pieces<'_> {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        if self.gone {
            return;
        }
        found.write_json(&mut self.piece.bytes);
        self.piece.bytes.push(b'\n');
        self.piece.lines.push((order, self.piece.bytes.len()));
        if self.piece.bytes.len() >= PIECE_BYTES {
            self.send();
        }
    }
}

/// The one shard of a run on the caller's thread.
pub(super) struct Inline<'a> {
    pub(super) engine: Engine,
    pub(super) out: Lines<'a>,
}

/// Writes what is found as it comes.
pub(super) struct Lines<'a> {
    bytes: Vec<u8>,
    count: u64,
    to: Box<dyn Write + Send + 'a>,
    progress: &'a Progress,
    failure: Option<Failure>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(to: Box<dyn Write + Send + 'a>, progress: &'a Progress) -> Lines<'a> {
        Lines { bytes: Vec::new(), count: 0, to, progress, failure: None }
    }

    fn write(&mut self) {
        if self.failure.is_none() {
            let written = self.to.write_all(&self.bytes).and_then(|()| self.to.flush());
            self.failure = written.err().map(|error| Failure::Write("matches", error));
        }
        self.progress.matches.fetch_add(self.count, Relaxed);
        self.count = 0;
        self.bytes.clear();
    }
}

impl MatchSink for Lines<'_> {
    fn take(&mut self, _: Order, found: &MatchView<'_>) {
        found.write_json(&mut self.bytes);
        self.bytes.push(b'\n');
        self.count += 1;
        if self.bytes.len() >= PIECE_BYTES {
            self.write();
        }
    }
}

impl Inline<'_> {
    /// Takes the end of all inputs.
    pub(super) fn finish(mut self) -> Result<Counters, Failure> {
        self.engine.finish(&mut self.out);
        self.pause()?;
        Ok(self.engine.counters())
    }
}

impl Shards for Inline<'_> {
    fn take(&mut self, batch: Batch) -> Result<(), Failure> {
        self.engine.process(&batch, &mut self.out);
        self.out.failure.take().map_or(Ok(()), Err)
    }

    fn pause(&mut self) -> Result<(), Failure> {
        if !self.out.bytes.is_empty() {
            self.out.write();
        }
        self.out.failure.take().map_or(Ok(()), Err)
    }
}
