//! Replay: recorded inputs from their beginnings to their ends.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::output::{Found, write_merged};
use super::progress::Progress;
use crate::connect::{Source, Stretch};
use crate::engine::{Counters, Engine, PatternSet};
use crate::event::decode::{DeadLetter, Decoded, Decoder, LINE_BYTES_MAX, Reason};
use crate::event::key::KeyHasher;
use crate::event::record::StreamSettings;
use crate::event::{Batch, Position};
use crate::ingest::{self, BufferFull, Ingest, PartitionSettings, Rejected, RejectedKind};
use crate::pattern::plan::Plan;

/// Batches that may wait for a shard, and outputs that may wait for the writer.
const QUEUE_LEN: usize = 8;

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
    /// Engine shards, each on a thread of its own where there is more than one.
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

/// Why a replay ended early.
#[derive(Debug)]
pub enum Failure {
    /// An input could not be read.
    Read(String, io::Error),
    /// An output could not be written.
    Write(&'static str, io::Error),
    /// Too many events wait.
    Full(BufferFull),
    /// A thread panicked: a defect of the engine.
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Read(name, error) => write!(f, "cannot read {name}: {error}"),
            Failure::Write(what, error) => write!(f, "cannot write the {what}: {error}"),
            Failure::Full(full) => full.fmt(f),
            Failure::Panicked => write!(f, "internal error: a thread panicked; the output is not complete"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Read(_, error) | Failure::Write(_, error) => Some(error),
            Failure::Full(full) => Some(full),
            Failure::Panicked => None,
        }
    }
}

impl Replay {
    /// Reads all inputs to their ends and writes what was found.
    pub fn run(self, outputs: Outputs<'_>) -> Result<Summary, Failure> {
        let Replay { plans, settings, inputs, threads, batch_size, max_buffered_events, progress } = self;
        let mut streams: Vec<String> = inputs.iter().map(|i| i.stream.clone()).collect();
        streams.sort();
        streams.dedup();
        let set = Arc::new(PatternSet::new(plans, &settings, &streams));
        let hasher = KeyHasher::default();
        let Outputs { matches, late, dead_letters } = outputs;
        let feeder = Feeder::new(
            inputs,
            &streams,
            &set,
            &settings,
            &hasher,
            max_buffered_events,
            (late, dead_letters),
            &progress,
        );
        let engine = |shard, shards| Engine::new(Arc::clone(&set), hasher.clone(), shard, shards);
        let (ingest, engine) = if threads <= 1 {
            run_inline(feeder, engine(0, 1), batch_size.max(1), matches, &progress)?
        } else {
            let engines = (0..threads as u32).map(|shard| engine(shard, threads as u32)).collect();
            run_threads(feeder, engines, batch_size.max(1), matches, &progress)?
        };
        Ok(Summary { ingest, engine, patterns: set.names().map(str::to_owned).collect() })
    }
}

fn run_inline(
    mut feeder: Feeder<'_>,
    mut engine: Engine,
    batch_size: usize,
    mut matches: Box<dyn Write + Send + '_>,
    progress: &Progress,
) -> Result<(ingest::Counters, Counters), Failure> {
    let mut found = Found::default();
    let mut write = |found: &mut Found| -> Result<(), Failure> {
        if !found.is_empty() {
            let count =
                write_merged(std::slice::from_ref(found), &mut *matches).map_err(unwritten_matches)?;
            progress.matches.fetch_add(count, Relaxed);
            found.clear();
        }
        Ok(())
    };
    let counters = feeder.feed(batch_size, &mut |batch| {
        engine.process(&batch, &mut found);
        write(&mut found)
    })?;
    engine.finish(&mut found);
    write(&mut found)?;
    matches.flush().map_err(unwritten_matches)?;
    Ok((counters, engine.counters()))
}

fn run_threads(
    mut feeder: Feeder<'_>,
    engines: Vec<Engine>,
    batch_size: usize,
    matches: Box<dyn Write + Send + '_>,
    progress: &Progress,
) -> Result<(ingest::Counters, Counters), Failure> {
    thread::scope(|scope| {
        let (mut to_shards, mut from_shards, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        for engine in engines {
            let (to_shard, batches) = bounded::<Arc<Batch>>(QUEUE_LEN);
            let (found, from_shard) = bounded::<Found>(QUEUE_LEN);
            to_shards.push(to_shard);
            from_shards.push(from_shard);
            shards.push(scope.spawn(move || run_shard(engine, &batches, &found)));
        }
        let writer = scope.spawn(move || collect(&from_shards, matches, progress));
        let fed = feeder.feed(batch_size, &mut |batch| {
            let batch = Arc::new(batch);
            // A shard that is gone has a reason that the join below tells.
            to_shards.iter().try_for_each(|to| to.send(Arc::clone(&batch)).map_err(|_| Failure::Panicked))
        });
        drop(to_shards);
        let mut total = Counters::default();
        let mut failed = false;
        for shard in shards {
            match shard.join() {
                Ok(counters) => add(&mut total, counters),
                Err(_) => failed = true,
            }
        }
        let written = writer.join();
        match (failed, written) {
            (true, _) | (_, Err(_)) => Err(Failure::Panicked),
            (_, Ok(Err(error))) => Err(unwritten_matches(error)),
            _ => Ok((fed?, total)),
        }
    })
}

/// One shard: every batch gives one output, and the end gives the last.
fn run_shard(mut engine: Engine, batches: &Receiver<Arc<Batch>>, to: &Sender<Found>) -> Counters {
    for batch in batches {
        let mut found = Found::default();
        engine.process(&batch, &mut found);
        if to.send(found).is_err() {
            // The writer has failed and says why; there is nobody to work for.
            return engine.counters();
        }
    }
    let mut found = Found::default();
    engine.finish(&mut found);
    let _ = to.send(found);
    engine.counters()
}

/// Merges the shards' outputs batch by batch and writes them.
fn collect(
    shards: &[Receiver<Found>],
    mut matches: Box<dyn Write + Send + '_>,
    progress: &Progress,
) -> io::Result<()> {
    // All shards take the same batches, so the n-th output of each belongs to the same one.
    while let Ok(found) = shards.iter().map(Receiver::recv).collect::<Result<Vec<Found>, _>>() {
        let count = write_merged(&found, &mut *matches)?;
        progress.matches.fetch_add(count, Relaxed);
    }
    matches.flush()
}

fn add(total: &mut Counters, shard: Counters) {
    total.matches += shard.matches;
    total.timeouts += shard.timeouts;
    total.type_errors += shard.type_errors;
    total.without_key.resize(shard.without_key.len(), 0);
    total.without_key.iter_mut().zip(shard.without_key).for_each(|(sum, count)| *sum += count);
}

fn unwritten_matches(error: io::Error) -> Failure {
    Failure::Write("matches", error)
}

type Letters<'a> = (Option<Box<dyn Write + Send + 'a>>, Option<Box<dyn Write + Send + 'a>>);

/// Reads, decodes and merges the inputs.
struct Feeder<'a> {
    partitions: Vec<Partition>,
    ingest: Ingest,
    letters: Letters<'a>,
    progress: &'a Progress,
}

struct Partition {
    name: String,
    source: Box<dyn Source>,
    decoder: Decoder,
    /// Where its next line stands.
    next: Position,
}

/// A line that is longer than the limit.
fn too_long(raw: Vec<u8>, at: Position) -> Decoded {
    let letter = DeadLetter { after: 0, offset: at.offset, reason: Reason::TooLong(LINE_BYTES_MAX), raw };
    Decoded { dead: vec![letter], lines: 1, ..Decoded::default() }
}

impl<'a> Feeder<'a> {
    #[expect(clippy::too_many_arguments, reason = "called once, by `run`, with its own parts")]
    fn new(
        inputs: Vec<Input>,
        streams: &[String],
        set: &PatternSet,
        settings: &StreamSettings,
        hasher: &KeyHasher,
        max_buffered_events: usize,
        letters: Letters<'a>,
        progress: &'a Progress,
    ) -> Feeder<'a> {
        let rank = |stream: &String| streams.binary_search(stream).map_or(0, |rank| rank as u32);
        let of = |(number, input): (u32, &Input)| PartitionSettings {
            stream: rank(&input.stream),
            number,
            out_of_orderness: settings.out_of_orderness,
        };
        let numbers: Vec<PartitionSettings> = (0..).zip(&inputs).map(of).collect();
        let partitions = (0..).zip(inputs).map(|(partition, input)| Partition {
            next: Position { stream: rank(&input.stream), partition, offset: 0 },
            decoder: Decoder::new(set.schema(), settings, hasher.clone()),
            name: input.name,
            source: input.source,
        });
        Feeder {
            partitions: partitions.collect(),
            ingest: Ingest::new(&numbers, max_buffered_events),
            letters,
            progress,
        }
    }

    /// Gives all events to `take`, in batches and in their order, and writes what was rejected.
    fn feed(
        &mut self,
        batch_size: usize,
        take: &mut dyn FnMut(Batch) -> Result<(), Failure>,
    ) -> Result<ingest::Counters, Failure> {
        while let Some(index) = self.ingest.wants() {
            let partition = &mut self.partitions[index];
            let before = partition.source.bytes_read();
            let stretch =
                partition.source.next().map_err(|error| Failure::Read(partition.name.clone(), error))?;
            self.progress.bytes.fetch_add(partition.source.bytes_read() - before, Relaxed);
            let decoded = match stretch {
                None => {
                    self.ingest.end(index);
                    None
                }
                Some(Stretch::Lines(lines)) => Some(partition.decoder.decode(lines, partition.next)),
                Some(Stretch::TooLong(raw)) => Some(too_long(raw, partition.next)),
            };
            if let Some(decoded) = decoded {
                partition.next.offset += decoded.lines;
                self.ingest.push(index, decoded).map_err(Failure::Full)?;
            }
            self.progress.events.store(self.ingest.counters().events, Relaxed);
            if let Some(time) = self.ingest.watermark().filter(|t| t.0 != i64::MAX) {
                self.progress.time.store(time.0, Relaxed);
            }
            while let Some(batch) = self.ingest.batch(batch_size) {
                take(batch)?;
            }
            self.write_rejected()?;
        }
        let (late, dead) = &mut self.letters;
        for (what, writer) in [("late events", late), ("dead letters", dead)] {
            writer.as_mut().map_or(Ok(()), |w| w.flush()).map_err(|error| Failure::Write(what, error))?;
        }
        Ok(self.ingest.counters())
    }

    fn write_rejected(&mut self) -> Result<(), Failure> {
        let mut line = Vec::new();
        for rejected in self.ingest.rejected() {
            let (what, writer) = match &rejected {
                Rejected { kind: RejectedKind::Late { .. }, .. } => ("late events", &mut self.letters.0),
                Rejected { kind: RejectedKind::Dead(_), .. } => ("dead letters", &mut self.letters.1),
            };
            if let Some(writer) = writer {
                line.clear();
                rejected.write_json(&mut line);
                line.push(b'\n');
                writer.write_all(&line).map_err(|error| Failure::Write(what, error))?;
            }
        }
        Ok(())
    }
}
