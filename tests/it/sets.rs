//! Partial matches held as sets, or by their first events in groups, against the same held one by one, and against the
//! naive matcher: random patterns that these are chosen for, and the same bytes in the same order from all, with windows
//! so short that paths end within sets.

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
use crate::naive::{self, Input};

/// Milliseconds.
const OUT_OF_ORDERNESS: i64 = 40;

/// What an engine gives out.
#[derive(Default)]
struct Output {
    lines: Vec<u8>,
    orders: Vec<Order>,
}

impl MatchSink for Output {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        found.write_json(&mut self.lines);
        self.lines.push(b'\n');
        self.orders.push(order);
    }
}

/// An engine with its inputs.
struct Feed {
    engine: Engine,
    decoder: Decoder,
    ingest: Ingest,
    next: Vec<Position>,
    output: Output,
}

impl Feed {
    fn new(plans: &[Plan], partitions: u32, out_of_orderness: i64, with_runs: bool) -> Feed {
        let settings =
            StreamSettings { out_of_orderness: TimeSpan(out_of_orderness), ..StreamSettings::default() };
        let set = PatternSet::new(plans.to_vec(), &settings, &["events".to_owned()]);
        let set = Arc::new(if with_runs { set.with_runs() } else { set });
        let hasher = KeyHasher::default();
        let of = |number| PartitionSettings::new(0, number, settings.out_of_orderness);
        Feed {
            decoder: Decoder::new(set.schema(), &settings),
            engine: Engine::new(set, hasher, 0, 1),
            ingest: Ingest::new(&(0..partitions).map(of).collect::<Vec<_>>(), usize::MAX),
            next: (0..partitions).map(|partition| Position { stream: 0, partition, offset: 0 }).collect(),
            output: Output::default(),
        }
    }

    fn lines(&mut self, partition: usize, lines: String) {
        let decoded = self.decoder.decode(lines.into_bytes(), self.next[partition]);
        self.next[partition].offset += decoded.lines;
        self.ingest.push(partition, decoded).unwrap();
    }

    /// Takes the events that may be taken, one by one; the partial matches after each.
    fn take(&mut self) -> Vec<usize> {
        let mut partial_matches = Vec::new();
        while let Some(batch) = self.ingest.batch(1) {
            self.engine.process(&batch, &mut self.output);
            partial_matches.push(self.engine.partial_matches());
        }
        assert!(self.ingest.rejected().is_empty());
        partial_matches
    }

    fn end(&mut self) -> Vec<usize> {
        (0..self.next.len()).for_each(|partition| self.ingest.end(partition));
        let partial_matches = self.take();
        self.engine.finish(&mut self.output);
        assert_eq!(self.engine.held(), (0, 0, 0));
        partial_matches
    }
}

/// What the patterns find, and the partial matches after each event.
fn run(plans: &[Plan], partitions: &[String], with_runs: bool) -> (Output, Vec<usize>) {
    let mut feed = Feed::new(plans, partitions.len() as u32, OUT_OF_ORDERNESS, with_runs);
    for (partition, lines) in partitions.iter().enumerate() {
        feed.lines(partition, lines.clone());
    }
    let partial_matches = feed.end();
    (feed.output, partial_matches)
}

/// A pattern that may be held as sets, or, if it skips, as groups: loops, optional elements, groups and negations over
/// few types.
fn pattern(random: &mut Random, name: &str, skips: bool) -> String {
    let mut text = format!("pattern {name} key by k\n  match ");
    let count = random.between(2, 4);
    for number in 0..count {
        if number > 0 {
            if random.chance(15) {
                let link = random.pick(&["not next", "not followed by"]);
                text += &format!(" {link} n{number}: {}", random.pick(&["c", "d"]));
            }
            text += *random.pick(&[
                " followed by ",
                " followed by ",
                " followed by any ",
                " followed by any ",
                " next ",
            ]);
        }
        let mut stage = |name: &str| {
            let types = random.pick(&["a", "a", "b", "c", "a | b", "b | c", "any"]);
            let quantifier = random.pick(&["", "", "", "", "?", "+", "*", "{2}", "{1,3}", "{2,}"]);
            let condition =
                random.pick(&["", "", " where v < 6", " where v > 3", " where v != 5", " where v % 2 == 0"]);
            let words = match *quantifier {
                "" | "?" => "",
                _ => *random.pick(&["", "", "", " combinations", " consecutive", " greedy", " until v == 9"]),
            };
            format!("{name}{quantifier}: {types}{condition}{words}")
        };
        let of = format!("s{number}");
        if number > 0 && number % 2 == 0 {
            let (left, right) = (stage(&format!("{of}x")), stage(&format!("{of}y")));
            let link = random.pick(&["followed by", "followed by any", "next"]);
            text += &format!("({left} {link} {right}){}", random.pick(&["", "", "?", "+", "{2}"]));
        } else {
            text += &stage(&of);
        }
    }
    if random.chance(8) {
        text += " not next z: d";
    }
    text += &format!("\n  within {}ms\n", random.pick(&[5, 20, 20, 40, 40, 80]));
    if !skips {
        return text;
    }
    let stage = format!("s{}", random.between(0, count - 1));
    match random.below(6) {
        0 | 1 => text + "  after match skip past last\n",
        2 | 3 => text + "  after match skip to next\n",
        4 => text + &format!("  after match skip to first {stage}\n"),
        _ => text + &format!("  after match skip to last {stage}\n"),
    }
}

/// Lines of events, some of one time, some out of order by less than the bound.
fn lines(random: &mut Random, count: u64) -> String {
    let mut lines = String::new();
    let mut time = 1_000;
    for _ in 0..count {
        time += *random.pick(&[0, 0, 1, 2, 5, 20]);
        let kind = random.pick(&["a", "a", "b", "b", "c", "d"]);
        let (back, key) = (*random.pick(&[0, 0, 0, 7, 30]), random.below(2));
        lines += &format!(
            "{{\"type\":\"{kind}\",\"ts\":{},\"k\":{key},\"v\":{}}}\n",
            time - back,
            random.below(10)
        );
    }
    lines
}

/// Runs patterns over partitions with sets and without; what was found, and the most partial matches.
#[track_caller]
fn compare(text: &str, plans: &[Plan], partitions: &[String]) -> (Output, usize) {
    let (sets, held_by_sets) = run(plans, partitions, false);
    let (runs, held_by_runs) = run(plans, partitions, true);
    if sets.lines != runs.lines {
        let [sets, runs] = [&sets, &runs].map(|found| String::from_utf8_lossy(&found.lines));
        panic!("{text}\n{partitions:#?}\nsets:\n{sets}\nruns:\n{runs}");
    }
    assert!(sets.orders == runs.orders, "{text}\n{partitions:#?}");
    // Groups hold of each first event only what may become the match that is taken.
    let is_held =
        |(sets, runs): (&usize, &usize)| if has(Storage::Sets, plans) { sets == runs } else { sets <= runs };
    assert!(held_by_sets.iter().zip(&held_by_runs).all(is_held), "{text}\n{partitions:#?}");
    (sets, held_by_runs.into_iter().max().unwrap_or(0))
}

/// Whether some of the patterns is held like this.
fn has(held: Storage, plans: &[Plan]) -> bool {
    let storage = |plan: &Plan| nfa::storage(plan, &nfa::compile(plan, usize::MAX).unwrap());
    plans.iter().any(|plan| storage(plan) == held)
}

/// Random patterns, of which some are held like this.
fn compare_all(held: Storage) {
    let cases = std::env::var("SEQUOR_CASES").map_or(5_000, |text| text.parse().expect("a number"));
    let settings = naive::Settings { out_of_orderness_ms: OUT_OF_ORDERNESS, ..naive::Settings::default() };
    let skips = held == Storage::StartGroups;
    let (mut so_held, mut with_matches, mut large, mut without_naive) = (0, 0, 0, 0);
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let text: String =
            (0..random.between(1, 2)).map(|n| pattern(&mut random, &format!("p{n}"), skips)).collect();
        let compiled = compile(&text, &Limits::default());
        if compiled.diagnostics.has_errors() || !has(held, &compiled.plans) {
            continue;
        }
        so_held += 1;
        let count = random.below(12) + 4;
        let partitions: Vec<String> = (0..random.between(1, 3)).map(|_| lines(&mut random, count)).collect();
        let text = format!("seed {seed}\n{text}");
        let (found, most) = compare(&text, &compiled.plans, &partitions);
        with_matches += u64::from(!found.orders.is_empty());
        large += u64::from(most > 40);
        let inputs: Vec<Input> = partitions
            .iter()
            .map(|lines| Input {
                stream: "events".into(),
                lines: lines.lines().map(|line| line.as_bytes().to_vec()).collect(),
            })
            .collect();
        match naive::run(&[compiled.file], &inputs, &settings) {
            Ok(expected) => assert!(
                expected.matches == found.lines,
                "{text}\n{partitions:#?}\nnaive:\n{}\nfound:\n{}",
                String::from_utf8_lossy(&expected.matches),
                String::from_utf8_lossy(&found.lines)
            ),
            Err(naive::TooMany) => without_naive += 1,
        }
    }
    println!(
        "{cases} cases, {so_held} held so, {with_matches} with matches, {large} large, {without_naive} without naive"
    );
    // A strategy leaves less to find, and drops partial matches before they are many.
    let (held_min, matched_min, large_min) = if skips { (3, 6, 60) } else { (2, 4, 20) };
    assert!(so_held * held_min > cases && with_matches * matched_min > cases && large * large_min > cases);
    assert!(without_naive * 20 < so_held);
}

#[test]
fn sets_find_what_runs_and_the_naive_matcher_find_in_the_same_order() {
    compare_all(Storage::Sets);
}

#[test]
fn groups_find_what_runs_and_the_naive_matcher_find_in_the_same_order() {
    compare_all(Storage::StartGroups);
}

/// Groups of hundreds of first events, which wait for each other, are united, and end while they grow.
#[test]
fn large_groups_find_what_runs_find() {
    const PATTERNS: [&str; 7] = [
        "a: a followed by any b: b followed by any c: c where v == 9; skip to next",
        "a: a followed by any b: b followed by any c: c where v == 9; skip past last",
        "a: a | b followed by any b?: b followed by any c: c where v > 7; skip to next",
        "(x: a followed by any n: d where v == 9)? followed by any b: b followed by any c: c; skip to next",
        "a: a followed by b+: b until v == 9 followed by any c: c where v > 6; skip to last b",
        "a: any where v > 4 followed by any b: b next c: c followed by any d: d where v < 2; skip to first b",
        "a{2,}: a followed by any c: c where v > 6 not next d: d; skip to next",
    ];
    for (seed, pattern) in (0..).zip(PATTERNS) {
        let (sequence, skip) = pattern.split_once(';').unwrap();
        let text = format!("pattern p key by k match {sequence} within 300ms after match {skip}");
        let compiled = compile(&text, &Limits::default());
        assert!(!compiled.diagnostics.has_errors() && has(Storage::StartGroups, &compiled.plans), "{text}");
        let mut random = Random::new(seed);
        let partitions: Vec<String> = (0..3).map(|_| lines(&mut random, 500)).collect();
        let (found, most) = compare(&text, &compiled.plans, &partitions);
        println!("{} matches, {most} partial matches: {text}", found.orders.len());
        assert!(found.orders.len() > 20 && most > 50);
    }
}

/// Sets of hundreds of elements, which expire while they grow.
#[test]
fn large_sets_find_what_runs_find() {
    const SEQUENCES: [&str; 6] = [
        "a: a followed by any b: b followed by any c: c",
        "a+: a followed by any c: c",
        "a: a | b followed by any b?: b followed by any c: any where v < 3",
        "a{2}: a followed by any (b: b followed by c: c)? followed by any d: d",
        "a: a followed by b+: b until v == 9 followed by any c: c followed by any d: d",
        "a: a followed by any b: any where v > 4 followed by any c: c not next d: d",
    ];
    for (seed, sequence) in (0..).zip(SEQUENCES) {
        let text = format!("pattern p key by k match {sequence} within 300ms");
        let compiled = compile(&text, &Limits::default());
        assert!(!compiled.diagnostics.has_errors() && has(Storage::Sets, &compiled.plans), "{text}");
        let mut random = Random::new(seed);
        let partitions: Vec<String> = (0..3).map(|_| lines(&mut random, 200)).collect();
        let (found, most) = compare(&text, &compiled.plans, &partitions);
        println!("{} matches, {most} partial matches: {text}", found.orders.len());
        assert!(found.orders.len() > 500 && most > 50);
    }
}

/// A year of one key, in which partial matches begin all the time and none of them is ever asked for.
#[test]
fn what_sets_hold_follows_the_window_not_the_year() {
    let text = "pattern p match a: A followed by any b: B followed by any c: C within 1h";
    let mut feed = Feed::new(&compile(text, &Limits::default()).plans, 1, 0, false);
    let mut most = (0, 0, 0);
    for day in 0..365_u64 {
        let minute = |minute: u64| {
            let kind = if minute == 1_439 { "C" } else { ["A", "B"][minute as usize % 2] };
            format!("{{\"type\":\"{kind}\",\"ts\":{}}}\n", (day * 1_440 + minute) * 60_000)
        };
        feed.lines(0, (0..1_440).map(minute).collect());
        feed.take();
        let (keys, steps, events) = feed.engine.held();
        most = (most.0.max(keys), most.1.max(steps), most.2.max(events));
    }
    // Each day ends with an hour of 60 events, the oldest of them a `B` after an `A` that is outside.
    assert_eq!(most, (1, 59, 59));
    feed.end();
    // Each `C` completes what its hour has: with 30 `A` and 29 `B` in turn, each `A` goes with all later `B`.
    assert_eq!(feed.output.orders.len(), 365 * 29 * 30 / 2);
}
