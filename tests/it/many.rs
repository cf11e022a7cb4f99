//! Many patterns in one engine: each finds what it finds alone, in whatever order they were added, and those that are
//! added while events pass find what they find from there on.

use std::collections::BTreeSet;
use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::Decoder;
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Batch, Position, TimeSpan};
use sequor::ingest::{Ingest, PartitionSettings};
use sequor::pattern::plan::Plan;

use crate::generate::{Case, Random};
use crate::harness::{Run, run_engine};
use crate::naive::{self, Input, Settings};

/// Random patterns that run together.
const TOGETHER: u64 = 24;

/// The inputs of one random case, and patterns of many.
pub(crate) struct Many {
    inputs: Vec<Input>,
    settings: Settings,
    pub(crate) plans: Vec<Plan>,
    /// What the naive matcher finds.
    expected: String,
}

impl Many {
    pub(crate) fn new(round: u64) -> Many {
        let seeds = round * TOGETHER..(round + 1) * TOGETHER;
        let Case { inputs, settings, .. } = Case::new(seeds.start).0;
        let (mut plans, mut files) = (Vec::new(), Vec::new());
        for mut pattern in seeds.flat_map(|seed| Case::new(seed).0.patterns) {
            pattern.name = format!("p{}", plans.len());
            let case = Case { patterns: vec![pattern], inputs: Vec::new(), settings: settings.clone() };
            let compiled = case.compile().expect("generated patterns are accepted");
            // The inputs were made for other patterns: some have far too many matches.
            let found = naive::run(std::slice::from_ref(&compiled.file), &inputs, &settings);
            if found.is_ok_and(|found| found.matches.len() < 200_000) {
                plans.extend(compiled.plans);
                files.push(compiled.file);
            }
        }
        let expected = naive::run(&files, &inputs, &settings).expect("each of them can be done");
        let expected = String::from_utf8(expected.matches).unwrap();
        Many { inputs, settings, plans, expected }
    }

    pub(crate) fn settings(&self) -> StreamSettings {
        StreamSettings {
            type_field: self.settings.type_field.clone(),
            time_field: self.settings.time_field.clone(),
            out_of_orderness: TimeSpan(self.settings.out_of_orderness_ms),
        }
    }

    pub(crate) fn streams(&self) -> Vec<String> {
        let names: BTreeSet<_> = self.inputs.iter().map(|input| input.stream.clone()).collect();
        names.into_iter().collect()
    }

    pub(crate) fn set(&self, plans: &[Plan]) -> PatternSet {
        PatternSet::new(plans.to_vec(), &self.settings(), &self.streams())
    }

    /// The events in batches of some size, decoded for a set, and prepared by one if it has patterns.
    pub(crate) fn batches(
        &self,
        set: &PatternSet,
        by: &PatternSet,
        hasher: Option<&KeyHasher>,
        size: usize,
    ) -> Vec<Batch> {
        let (settings, streams) = (self.settings(), self.streams());
        let mut decoder = Decoder::new(set.schema(), &settings);
        let of = |(number, input): (u32, &Input)| {
            PartitionSettings::new(
                streams.iter().position(|s| *s == input.stream).unwrap() as u32,
                number,
                settings.out_of_orderness,
            )
        };
        let partitions: Vec<_> = (0..).zip(&self.inputs).map(of).collect();
        let mut ingest = Ingest::new(&partitions, usize::MAX);
        for (index, (input, partition)) in self.inputs.iter().zip(&partitions).enumerate() {
            let lines = input.lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
            let first = Position { stream: partition.stream, partition: partition.number, offset: 0 };
            let mut decoded = decoder.decode(lines, first);
            if by.names().next().is_some() {
                by.prepare(&mut decoded.block, hasher);
            }
            ingest.push(index, decoded).unwrap();
            ingest.end(index);
        }
        std::iter::from_fn(|| ingest.batch(size)).collect()
    }
}

/// The lines of what is found.
#[derive(Default)]
struct Lines(Vec<u8>);

impl MatchSink for Lines {
    fn take(&mut self, _: Order, found: &MatchView<'_>) {
        found.write_json(&mut self.0);
        self.0.push(b'\n');
    }
}

/// What an engine finds that begins with the first of some sets and goes on with each of the others from a batch on.
fn run(sets: &[(usize, Arc<PatternSet>)], batches: &[Batch], hasher: &KeyHasher) -> String {
    let mut engine = Engine::new(Arc::clone(&sets[0].1), hasher.clone(), 0, 1);
    let mut lines = Lines::default();
    for (number, batch) in batches.iter().enumerate() {
        for (_, set) in sets.iter().skip(1).filter(|(from, _)| *from == number) {
            engine.install(Arc::clone(set));
        }
        engine.process(batch, &mut lines);
    }
    engine.finish(&mut lines);
    String::from_utf8(lines.0).unwrap()
}

/// The lines of one pattern.
fn of(pattern: &Plan, lines: &str) -> String {
    let name = format!("\"pattern\":\"{}\"", pattern.name);
    lines.split_inclusive('\n').filter(|line| line.contains(&name)).collect()
}

#[test]
fn each_of_many_patterns_finds_what_it_finds_alone() {
    let mut found = [0, 0];
    for round in 0..40 {
        let many = Many::new(round);
        for (threads, batch_size) in [(1, 50), (3, 7)] {
            let run = Run { threads, batch_size, stretch: 100 };
            let outputs = run_engine(many.plans.clone(), &many.inputs, &many.settings, run);
            let together = String::from_utf8(outputs.matches).unwrap();
            assert_eq!(together, many.expected, "round {round}, {threads} threads");
        }
        for plan in &many.plans {
            found[usize::from(!of(plan, &many.expected).is_empty())] += 1;
        }
    }
    assert!(found.iter().all(|&patterns| patterns > 150), "without and with matches: {found:?}");
}

#[test]
fn the_order_in_which_patterns_are_added_does_not_show() {
    for round in 0..20 {
        let many = Many::new(round);
        let mut random = Random::new(round);
        let mut left = many.plans.clone();
        let first = left.split_off(left.len() / 2 + random.below(left.len() as u64 / 2) as usize);
        let mut set = many.set(&first);
        while !left.is_empty() {
            set = set.with(left.swap_remove(random.below(left.len() as u64) as usize));
        }
        let hasher = KeyHasher::default();
        let batches = many.batches(&set, &set, None, 5);
        assert_eq!(run(&[(0, Arc::new(set))], &batches, &hasher), many.expected, "round {round}");
    }
}

#[test]
fn patterns_that_are_added_while_events_pass_leave_the_others_as_they_are() {
    let mut changed = 0;
    for round in 0..20 {
        let many = Many::new(round);
        let (old, new) = many.plans.split_at(many.plans.len() / 2);
        let mut sets = vec![Arc::new(many.set(old))];
        for plan in new {
            sets.push(Arc::new(sets[sets.len() - 1].with(plan.clone())));
        }
        let hasher = KeyHasher::default();
        let last = sets.last().unwrap();
        let batches = many.batches(last, last, None, 5);
        // The new patterns come one after the other, some in a row.
        let from = |n: usize| n * batches.len() / (new.len() + 1) / 2 * 2;
        let sets: Vec<_> = sets.into_iter().enumerate().map(|(n, set)| (from(n), set)).collect();
        let found = run(&sets, &batches, &hasher);
        for plan in old {
            assert_eq!(of(plan, &found), of(plan, &many.expected), "round {round}, {}", plan.name);
        }
        for (n, plan) in (1..).zip(new) {
            let alone = many.set(std::slice::from_ref(plan));
            let batches = many.batches(&alone, &alone, None, 5).split_off(from(n));
            let alone = run(&[(0, Arc::new(alone))], &batches, &hasher);
            assert_eq!(of(plan, &found), alone, "round {round}, {}", plan.name);
            changed += usize::from(alone != of(plan, &many.expected));
        }
    }
    assert!(changed > 50, "hardly any pattern came too late for something: {changed}");
}
