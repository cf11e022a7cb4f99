//! Events that lie decoded in memory, through one engine on one thread.

use std::hint::black_box;
use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::{Decoded, Decoder};
use sequor::event::key::KeyHasher;
use sequor::event::{Batch, Position};
use sequor::ingest::{BufferFull, Ingest, PartitionSettings};

use crate::case::Case;
use crate::measure::{Runs, timed};

/// Bytes that are decoded at once, and events in a batch: as a replay has them.
const STRETCH_BYTES: usize = 256 << 10;
const BATCH_LEN: usize = 4096;

/// After so long a workload is not run again.
const LONG_SECONDS: f64 = 10.0;

/// Counts matches; the sum tells whether two engines found the same ones.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Tally {
    pub(crate) matches: u64,
    /// The sum of 31 * first event's time + last event's time.
    pub(crate) check: i64,
}

impl MatchSink for Tally {
    /// Reads time and position of the first and the last event: what finds a match has to say where it is.
    fn take(&mut self, _: Order, found: &MatchView<'_>) {
        let mut events = found.events();
        let first = events.next();
        let last = events.last().or(first);
        self.matches += 1;
        if let Some(((first_at, first, _), (last_at, last, _))) = first.zip(last) {
            self.check = self.check.wrapping_add(first.0.wrapping_mul(31)).wrapping_add(last.0);
            black_box((first_at, last_at));
        }
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
        let decoder = Decoder::new(set.schema(), &settings);
        let partition = PartitionSettings::new(0, 0, settings.out_of_orderness);
        Ok(Bench { set, hasher, decoder, partition })
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(Arc::clone(&self.set), self.hasher.clone(), 0, 1)
    }

    /// Decodes lines in stretches.
    #[inline(never)]
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
        for mut stretch in decoded {
            self.set.prepare(&mut stretch.block, None);
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

    /// Puts decoded events in order, and no more than that.
    #[inline(never)]
    pub(crate) fn order_all(&self, decoded: Vec<Decoded>) -> Result<Vec<Batch>, BufferFull> {
        let mut batches = Vec::new();
        self.order(decoded, |batch| batches.push(batch))?;
        Ok(batches)
    }

    /// Matches over events that are in order.
    #[inline(never)]
    pub(crate) fn match_all(&self, batches: &[Batch]) -> Tally {
        let (mut engine, mut tally) = (self.engine(), Tally::default());
        batches.iter().for_each(|batch| engine.process(batch, &mut tally));
        engine.finish(&mut tally);
        tally
    }
}

/// What one workload came to.
pub(crate) struct Outcome {
    pub(crate) runs: Runs,
    pub(crate) tally: Tally,
    /// Keys, steps and events that were held when the last event had been taken.
    pub(crate) held: (usize, usize, usize),
}

/// Runs a workload so many times: from decoded events to the positions of the matches.
pub(crate) fn run(case: &Case, lines: &[u8], times: usize) -> Result<Outcome, String> {
    let mut bench = Bench::new(case)?;
    let mut outcome = Outcome { runs: Runs::default(), tally: Tally::default(), held: (0, 0, 0) };
    for _ in 0..times {
        let decoded = bench.decode(lines, 0);
        outcome.runs.events = count(&decoded);
        let (mut engine, mut tally) = (bench.engine(), Tally::default());
        let (result, spent) = timed(|| {
            let result = bench.order(decoded, |batch| engine.process(&batch, &mut tally));
            outcome.held = engine.held();
            engine.finish(&mut tally);
            result
        });
        result.map_err(|e| e.to_string())?;
        outcome.runs.push(spent);
        outcome.tally = tally;
        if outcome.runs.spent.iter().map(|spent| spent.wall).sum::<f64>() > LONG_SECONDS {
            break;
        }
    }
    Ok(outcome)
}

/// Puts the events in order and does nothing with them.
pub(crate) fn ordering(case: &Case, lines: &[u8], times: usize) -> Result<Runs, String> {
    let mut bench = Bench::new(case)?;
    let mut runs = Runs::default();
    for _ in 0..times {
        let decoded = bench.decode(lines, 0);
        runs.events = count(&decoded);
        let (result, spent) = timed(|| bench.order(decoded, |batch| drop(black_box(batch))));
        result.map_err(|e| e.to_string())?;
        runs.push(spent);
    }
    Ok(runs)
}

fn count(decoded: &[Decoded]) -> usize {
    decoded.iter().map(|stretch| stretch.block.heads.len()).sum()
}
