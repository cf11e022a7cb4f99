//! Replay: recorded inputs from their beginnings to their ends.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::collect::collect;
use super::failure::Failure;
use super::feed::{Rejects, Shards, feed};
use super::progress::Progress;
use super::reader::{Arrival, Arrivals, Preparation, ReadAhead, Reader};
use super::shard::{self, Inline, Lines, Step};
use crate::connect::Source;
use crate::engine::{Counters, Engine, PatternSet};
use crate::event::decode::Decoder;
use crate::event::key::KeyHasher;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Position};
use crate::ingest::{self, Ingest, PartitionSettings};
use crate::pattern::plan::Plan;

/// Batches that may wait for a shard, and pieces of output that may wait for the writer.
pub(super) const QUEUE_LEN: usize = 8;

/// One partition to replay.
pub struct Input {
    /// The stream that it belongs to.
    pub stream: String,
    /// What it is called in messages.
    pub name: String,
    /// Its lines.
    pub source: Box<dyn Source>,
}

/// Where the results go.
pub struct Outputs<'a> {
    /// Matches and timeouts.
    pub matches: Box<dyn Write + Send + 'a>,
    /// Late events; none: they are only counted.
    pub late: Option<Box<dyn Write + Send + 'a>>,
    /// Lines that are no events; none: they are only counted.
    pub dead_letters: Option<Box<dyn Write + Send + 'a>>,
}

/// A replay, ready to run.
pub struct Replay {
    /// The patterns.
    pub plans: Vec<Plan>,
    /// How events are read.
    pub settings: StreamSettings,
    /// The partitions, in the order of their numbers.
    pub inputs: Vec<Input>,
    /// Engine shards. With one, all runs on the caller's thread; with more, each has a thread, as many others decode, and
    /// reading has another.
    pub threads: usize,
    /// Events in a batch at most.
    pub batch_size: usize,
    /// Events that may wait for their watermark.
    pub max_buffered_events: usize,
    /// Raised as the run goes.
    pub progress: Arc<Progress>,
}

/// What a replay has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines and events.
    pub ingest: ingest::Counters,
    /// Matches, timeouts, type errors, and by pattern the events without its key.
    pub engine: Counters,
    /// The patterns' names, in the order of `engine.without_key`.
    pub patterns: Vec<String>,
}

impl Replay {
    /// Reads all inputs to their ends and writes what was found.
    pub fn run(self, outputs: Outputs<'_>) -> Result<Summary, Failure> {
        catch_unwind(AssertUnwindSafe(|| self.run_unguarded(outputs))).unwrap_or(Err(Failure::Panicked))
    }

    fn run_unguarded(self, outputs: Outputs<'_>) -> Result<Summary, Failure> {
        let mut streams: Vec<String> = self.inputs.iter().map(|input| input.stream.clone()).collect();
        streams.sort();
        streams.dedup();
        let set = Arc::new(PatternSet::new(self.plans, &self.settings, &streams));
        let hasher = KeyHasher::default();
        let rank = |stream: &String| streams.binary_search(stream).map_or(0, |rank| rank as u32);
        let partitions: Vec<PartitionSettings> = (0..)
            .zip(&self.inputs)
            .map(|(number, input)| {
                PartitionSettings::new(rank(&input.stream), number, self.settings.out_of_orderness)
            })
            .collect();
        let first = |at: &PartitionSettings| Position { stream: at.stream, partition: at.number, offset: 0 };
        let inputs =
            self.inputs.into_iter().zip(&partitions).map(|(input, at)| (input.name, input.source, first(at)));
        let preparation = Preparation {
            decoder: Decoder::new(set.schema(), &self.settings),
            set: Arc::clone(&set),
            hasher: (self.threads > 1).then(|| hasher.clone()),
        };
        let reader = Reader::new(inputs, preparation);
        let flow = Flow {
            reader,
            ingest: Ingest::new(&partitions, self.max_buffered_events),
            batch_size: self.batch_size.max(1),
            rejects: Rejects { late: outputs.late, dead_letters: outputs.dead_letters },
            matches: outputs.matches,
            progress: &self.progress,
        };
        let shards = self.threads.max(1) as u32;
        let mut engines =
            (0..shards).map(|shard| Engine::new(Arc::clone(&set), hasher.clone(), shard, shards));
        let (ingest, engine) = match (engines.next(), shards) {
            (Some(engine), 1) => flow.run_inline(engine)?,
            (first, _) => flow.run_threads(first.into_iter().chain(engines).collect())?,
        };
        Ok(Summary { ingest, engine, patterns: set.names().map(str::to_owned).collect() })
    }
}

/// What a run is made of, but for its engines.
struct Flow<'a> {
    reader: Reader,
    ingest: Ingest,
    batch_size: usize,
    rejects: Rejects<'a>,
    matches: Box<dyn Write + Send + 'a>,
    progress: &'a Progress,
}

impl Flow<'_> {
    fn run_inline(mut self, engine: Engine) -> Result<(ingest::Counters, Counters), Failure> {
        let mut shard = Inline { engine, out: Lines::new(self.matches, self.progress) };
        let fed = feed(
            &mut self.reader,
            self.ingest,
            self.batch_size,
            &mut shard,
            &mut self.rejects,
            self.progress,
        )?;
        Ok((fed, shard.finish()?))
    }

    fn run_threads(mut self, engines: Vec<Engine>) -> Result<(ingest::Counters, Counters), Failure> {
        let (mut matches, progress) = (self.matches, self.progress);
        let decoders = engines.len();
        thread::scope(|scope| {
            let (mut to_shards, mut from_shards, mut shards) = (Vec::new(), Vec::new(), Vec::new());
            for engine in engines {
                let (to_shard, steps) = bounded(QUEUE_LEN);
                let (pieces, from_shard) = bounded(QUEUE_LEN);
                to_shards.push(to_shard);
                from_shards.push(from_shard);
                shards.push(scope.spawn(move || shard::run(engine, &steps, &pieces, None, |_, _| {})));
            }
            // The writer's end closes this channel, whatever ends it.
            let (writes, writer_lives) = bounded::<()>(0);
            let writer = scope.spawn(move || {
                let written = collect(&from_shards, &mut matches, progress);
                drop(writes);
                written
            });
            let mut arrivals = Guarded { reader: self.reader.ahead(decoders), writer_lives };
            let mut to_shards = Remote { shards: to_shards };
            let fed = feed(
                &mut arrivals,
                self.ingest,
                self.batch_size,
                &mut to_shards,
                &mut self.rejects,
                progress,
            );
            let fed = fed.and_then(|fed| to_shards.tell(|| Step::Finish).map(|()| fed));
            drop(to_shards);
            let counters: Vec<_> = shards.into_iter().map(|shard| ended(shard.join())).collect();
            // A shard or the writer that has failed is why the rest could not go on.
            match writer.join() {
                Err(_) => return Err(Failure::Panicked),
                Ok(Err(error)) => return Err(Failure::Write("matches", error)),
                Ok(Ok(())) => {}
            }
            let counters: Result<Vec<Counters>, _> = counters.into_iter().collect();
            let total = counters?.into_iter().reduce(sum).unwrap_or_default();
            Ok((fed?, total))
        })
    }
}

/// What a shard counted, if it came to its end.
pub(super) fn ended(shard: thread::Result<Result<Counters, String>>) -> Result<Counters, Failure> {
    shard.map_err(|_| Failure::Panicked)?.map_err(Failure::Lost)
}

pub(super) fn sum(mut total: Counters, shard: Counters) -> Counters {
    total.matches += shard.matches;
    total.timeouts += shard.timeouts;
    total.type_errors += shard.type_errors;
    total.without_key.iter_mut().zip(shard.without_key).for_each(|(sum, count)| *sum += count);
    total
}

/// A reader on other threads, which is waited for only as long as there is somebody to write for.
struct Guarded {
    reader: ReadAhead,
    writer_lives: Receiver<()>,
}

impl Arrivals for Guarded {
    fn next(&mut self, wanted: usize) -> Result<Arrival, Failure> {
        let awaited = self.reader.ask(wanted).clone();
        let arrival = self.receive(&awaited)?;
        let mut arrival = self.receive(&arrival)??;
        self.reader.arrived(&mut arrival);
        Ok(arrival)
    }
}

impl Guarded {
    fn receive<T>(&self, from: &Receiver<T>) -> Result<T, Failure> {
        select! {
            recv(from) -> received => received.map_err(|_| Failure::Panicked),
            recv(self.writer_lives) -> _ => Err(closed()),
        }
    }
}

/// Shards on other threads.
pub(super) struct Remote {
    pub(super) shards: Vec<Sender<Step>>,
}

impl Remote {
    pub(super) fn tell(&self, step: impl Fn() -> Step) -> Result<(), Failure> {
        self.shards.iter().try_for_each(|shard| shard.send(step()).map_err(|_| closed()))
    }
}

impl Shards for Remote {
    fn take(&mut self, batch: Batch) -> Result<(), Failure> {
        let batch = Arc::new(batch);
        self.tell(|| Step::Batch(Arc::clone(&batch)))
    }

    fn pause(&mut self) -> Result<(), Failure> {
        // The writer sees for itself when it has nothing to do.
        Ok(())
    }
}

/// Stands in for the failure of the thread that is gone, which tells its own when it is joined.
pub(super) fn closed() -> Failure {
    Failure::Write("matches", io::ErrorKind::BrokenPipe.into())
}
