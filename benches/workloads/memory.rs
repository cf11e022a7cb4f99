//! Events that lie decoded in memory, through one engine on one thread.

use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::{Decoded, Decoder};
use sequor::event::key::KeyHasher;
use sequor::event::{Batch, Position};
use sequor::ingest::{BufferFull, Ingest, PartitionSettings};

use crate::case::Case;
use crate::measure::{Runs, Spent, count, timed};

/// Bytes that are decoded at once, and events in a batch: as a replay has them.
const STRETCH_BYTES: usize = 256 << 10;
const BATCH_LEN: usize = 4096;

/// Counts matches; the sum tells whether two engines found the same ones.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Tally {
    pub(crate) matches: u64,
    /// The sum of 31 * first event's time + last event's time.
    pub(crate) check: i64,
}

impl MatchSink for Tally {
    fn take(&mut self, _: Order, found: &MatchView<'_>) {
        self.matches += 1;
        let last = found.events().last().map_or(0, |(_, time, _)| time.0);
        self.check = self.check.wrapping_add(found.start().0.wrapping_mul(31)).wrapping_add(last);
    }
}

/// A pattern set and what reads events for it.
pub(crate) struct Bench {
    set: Arc<PatternSet>,
    hasher: KeyHasher,
    decoder: Decoder,
    partition: PartitionSettings,
}

impl Bench {
    pub(crate) fn new(case: &Case) -> Result<Bench, String> {
        let settings = case.settings();
        let set = Arc::new(PatternSet::new(case.plans()?, &settings, &["events".to_owned()]));
        let hasher = KeyHasher::default();
        let decoder = Decoder::new(set.schema(), &settings, hasher.clone());
        let partition =
            PartitionSettings { stream: 0, number: 0, out_of_orderness: settings.out_of_orderness };
        Ok(Bench { set, hasher, decoder, partition })
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(Arc::clone(&self.set), self.hasher.clone(), 0, 1)
    }

    /// Decodes lines in stretches.
    pub(crate) fn decode(&mut self, lines: &[u8], first_line: u64) -> Vec<Decoded> {
        let mut decoded = Vec::new();
        let (mut rest, mut offset) = (lines, first_line);
        while !rest.is_empty() {
            let end = rest.len().min(STRETCH_BYTES);
            let end = memchr::memrchr(b'\n', &rest[..end]).map_or(rest.len(), |at| at + 1);
            let stretch =
                self.decoder.decode(rest[..end].to_vec(), Position { stream: 0, partition: 0, offset });
            offset += stretch.lines;
            decoded.push(stretch);
            rest = &rest[end..];
        }
        decoded
    }

    /// Puts decoded events in order and gives them on in batches.
    pub(crate) fn order(&self, decoded: Vec<Decoded>, mut take: impl FnMut(Batch)) -> Result<(), BufferFull> {
        let mut ingest = Ingest::new(&[self.partition], usize::MAX);
        for stretch in decoded {
            ingest.push(0, stretch)?;
            while let Some(batch) = ingest.batch(BATCH_LEN) {
                take(batch);
            }
        }
        ingest.end(0);
        while let Some(batch) = ingest.batch(BATCH_LEN) {
            take(batch);
        }
        Ok(())
    }
}

/// What one workload came to.
pub(crate) struct Outcome {
    pub(crate) runs: Runs,
    tally: Tally,
    /// Keys, steps and events that were held when the last event had been taken.
    held: (usize, usize, usize),
}

/// Runs a workload so many times.
pub(crate) fn run(case: &Case, lines: &[u8], times: usize) -> Result<Outcome, String> {
    let mut bench = Bench::new(case)?;
    let decoded = bench.decode(lines, 0);
    let events = decoded.iter().map(|d| d.block.heads.len()).sum();
    let mut batches = Vec::new();
    if !case.reorders {
        bench.order(decoded, |batch| batches.push(batch)).map_err(|e| e.to_string())?;
    }
    let mut outcome = Outcome { runs: Runs::new(events), tally: Tally::default(), held: (0, 0, 0) };
    for _ in 0..times {
        let mut tally = Tally::default();
        let mut engine = bench.engine();
        let spent: Spent;
        if case.reorders {
            let decoded = bench.decode(lines, 0);
            let result;
            (result, spent) = timed(|| {
                let result = bench.order(decoded, |batch| engine.process(&batch, &mut tally));
                outcome.held = engine.held();
                engine.finish(&mut tally);
                result
            });
            result.map_err(|e| e.to_string())?;
        } else {
            ((), spent) = timed(|| {
                batches.iter().for_each(|batch| engine.process(batch, &mut tally));
                outcome.held = engine.held();
                engine.finish(&mut tally);
            });
        }
        outcome.runs.push(spent);
        outcome.tally = tally;
    }
    Ok(outcome)
}

/// The line above the outcomes.
pub(crate) fn heading() -> String {
    format!(
        "{:<18} {:>10} {:>12} {:>12} {:>12} {:>10} {:>21} {:>8} {:>8} {:>8}",
        "in memory", "events", "events/s", "best", "by CPU", "matches", "check", "keys", "steps", "kept"
    )
}

impl Outcome {
    /// The outcome in one line.
    pub(crate) fn line(&self, name: &str) -> String {
        let Outcome { runs, tally, held: (keys, steps, kept) } = self;
        format!(
            "{name:<18} {:>10} {:>12} {:>12} {:>12} {:>10} {:>21} {keys:>8} {steps:>8} {kept:>8}",
            runs.events(),
            count(runs.median()),
            count(runs.best()),
            count(runs.by_cpu()),
            tally.matches,
            tally.check,
        )
    }
}
