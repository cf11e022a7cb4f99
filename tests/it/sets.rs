//! Partial matches held as sets against the same held one by one: random patterns that sets are chosen for, and the same
//! bytes in the same order from both, with windows so short that paths end within sets.

use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::Decoder;
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Position, TimeSpan};
use sequor::ingest::{Ingest, PartitionSettings};
use sequor::pattern::nfa::{self, Storage};
use sequor::pattern::plan::Plan;
use sequor::pattern::{Limits, compile};

use crate::generate::Random;

/// What an engine gives out.
#[derive(Default)]
struct Output {
    lines: Vec<u8>,
    matches: usize,
}

impl MatchSink for Output {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        self.lines.extend(format!("{order:?} ").into_bytes());
        found.write_json(&mut self.lines);
        self.lines.push(b'\n');
        self.matches += 1;
    }
}

/// What the patterns find, and the most partial matches that there were, asked after each event.
fn run(plans: &[Plan], partitions: &[String], with_runs: bool) -> (Output, Vec<usize>) {
    let settings = StreamSettings { out_of_orderness: TimeSpan(40), ..StreamSettings::default() };
    let set = PatternSet::new(plans.to_vec(), &settings, &["events".to_owned()]);
    let set = Arc::new(if with_runs { set.with_runs() } else { set });
    let hasher = KeyHasher::default();
    let mut decoder = Decoder::new(set.schema(), &settings, hasher.clone());
    let mut engine = Engine::new(set, hasher, 0, 1);
    let of = |number| PartitionSettings { stream: 0, number, out_of_orderness: settings.out_of_orderness };
    let mut ingest = Ingest::new(&(0..partitions.len() as u32).map(of).collect::<Vec<_>>(), usize::MAX);
    let mut output = Output::default();
    let mut partial_matches = Vec::new();
    for (partition, lines) in partitions.iter().enumerate() {
        let position = Position { stream: 0, partition: partition as u32, offset: 0 };
        ingest.push(partition, decoder.decode(lines.clone().into_bytes(), position)).unwrap();
        ingest.end(partition);
    }
    while let Some(batch) = ingest.batch(1) {
        engine.process(&batch, &mut output);
        partial_matches.push(engine.partial_matches());
    }
    assert!(ingest.rejected().is_empty());
    engine.finish(&mut output);
    assert_eq!(engine.held(), (0, 0, 0));
    (output, partial_matches)
}
