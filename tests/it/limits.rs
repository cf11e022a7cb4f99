//! Budgets of patterns: what leaves and what is dropped follows from the events and the decisions alone, whatever the number
//! of shards, the size of batches and the restarts; and what is dropped is what the rule says.

use std::collections::BTreeMap;
use std::sync::Arc;

use sequor::engine::{Budget, Engine, Excess, KeyState, MatchSink, MatchView, Order, PatternSet};
use sequor::event::decode::Decoder;
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Batch, Position, TimeSpan};
use sequor::ingest::{Ingest, PartitionSettings};
use sequor::pattern::{self, compile};

use crate::generate::{Case, Random};
use crate::naive;

#[derive(Default)]
struct Lines(Vec<(Order, Vec<u8>)>);

impl MatchSink for Lines {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        let mut json = Vec::new();
        found.write_json(&mut json);
        self.0.push((order, json));
    }
}

/// Events and patterns with budgets, and what is decided about them before some events.
struct World {
    settings: StreamSettings,
    inputs: Vec<naive::Input>,
    streams: Vec<String>,
    /// By the number of the event; the first one is the beginning.
    sets: BTreeMap<usize, Arc<PatternSet>>,
}

/// How events are taken.
#[derive(Debug, Clone, Copy)]
struct Way {
    shards: u32,
    batch: usize,
    /// One event in so many is followed by a restart; none: there is none.
    restarts: Option<u64>,
}

/// What came out.
#[derive(Debug, Default, PartialEq)]
struct Out {
    lines: String,
    /// By pattern: partial matches that were dropped, matches that were, and the first budget that was exceeded.
    dropped: BTreeMap<(String, u64), Excess>,
}

impl World {
    fn of_case(case: &Case) -> World {
        let mut streams: Vec<String> = case.inputs.iter().map(|input| input.stream.clone()).collect();
        streams.sort();
        streams.dedup();
        let settings = StreamSettings {
            type_field: case.settings.type_field.clone(),
            time_field: case.settings.time_field.clone(),
            out_of_orderness: TimeSpan(case.settings.out_of_orderness_ms),
        };
        let set = PatternSet::new(case.compile().unwrap().plans, &settings, &streams);
        let sets = BTreeMap::from([(0, Arc::new(set))]);
        World { settings, inputs: case.inputs.clone(), streams, sets }
    }

    fn of(text: &str, lines: &[String], budget: Budget) -> World {
        let settings = StreamSettings { out_of_orderness: TimeSpan(0), ..StreamSettings::default() };
        let compiled = compile(text, &pattern::Limits::default());
        assert!(!compiled.diagnostics.has_errors(), "{:?}", compiled.diagnostics);
        let set = PatternSet::new(compiled.plans, &settings, &["events".to_owned()]).limit(0, Some(budget));
        let lines = lines.iter().map(|line| line.clone().into_bytes()).collect();
        let inputs = vec![naive::Input { stream: "events".to_owned(), lines }];
        let sets = BTreeMap::from([(0, Arc::new(set))]);
        World { settings, inputs, streams: vec!["events".to_owned()], sets }
    }

    fn batches(&self, size: usize) -> Vec<Batch> {
        let mut decoder = Decoder::new(self.sets[&0].schema(), &self.settings);
        let number = |name: &str| self.streams.iter().position(|stream| stream == name).unwrap() as u32;
        let partition = |(partition, input): (u32, &naive::Input)| {
            PartitionSettings::new(number(&input.stream), partition, self.settings.out_of_orderness)
        };
        let partitions: Vec<PartitionSettings> = (0..).zip(&self.inputs).map(partition).collect();
        let mut ingest = Ingest::new(&partitions, usize::MAX);
        for (at, input) in self.inputs.iter().enumerate() {
            let lines = input.lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
            let first = Position { stream: partitions[at].stream, partition: at as u32, offset: 0 };
            ingest.push(at, decoder.decode(lines, first)).unwrap();
            ingest.end(at);
        }
        std::iter::from_fn(|| ingest.batch(size)).collect()
    }

    fn engines(&self, set: &Arc<PatternSet>, shards: u32) -> Vec<Engine> {
        let hasher = KeyHasher::default();
        (0..shards).map(|shard| Engine::new(Arc::clone(set), hasher.clone(), shard, shards)).collect()
    }

    fn run(&self, way: Way, random: &mut Random) -> Out {
        assert!(way.batch == 1 || self.sets.len() == 1);
        let mut out = Out::default();
        let mut set = &self.sets[&0];
        let mut engines = self.engines(set, way.shards);
        // By pattern (a number stays), what its keys hold.
        let mut model: BTreeMap<(u32, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for (at, batch) in self.batches(way.batch).iter().enumerate() {
            if let Some(next) = self.sets.get(&at).filter(|_| at > 0) {
                set = next;
                engines.iter_mut().for_each(|engine| engine.install(Arc::clone(set)));
            }
            out.step(&mut engines, |engine, lines| engine.process(batch, lines));
            let Some(restarts) = way.restarts.filter(|_| random.chance(70)) else { continue };
            for engine in &mut engines {
                engine.changes(false, |KeyState { pattern, key, state }| {
                    let place = (pattern, key.to_vec());
                    match state {
                        Some(state) => _ = model.insert(place, state.to_vec()),
                        None => assert!(model.remove(&place).is_some(), "{pattern} {key:?} was never given"),
                    }
                });
            }
            if random.below(restarts) == 0 {
                let progress = engines[0].progress();
                let shards = 1 + random.below(3) as u32;
                engines = self.engines(set, shards);
                for engine in &mut engines {
                    engine.resume(&progress);
                    for ((pattern, key), state) in &model {
                        engine.restore(KeyState { pattern: *pattern, key, state: Some(state) }).unwrap();
                    }
                    engine.restored();
                }
            }
        }
        out.step(&mut engines, |engine, lines| engine.finish(lines));
        out
    }
}

impl Out {
    fn step(&mut self, engines: &mut [Engine], mut with: impl FnMut(&mut Engine, &mut Lines)) {
        let mut lines = Lines::default();
        for engine in engines.iter_mut() {
            with(engine, &mut lines);
            for excess in engine.excess() {
                let place = (excess.pattern.clone(), excess.version);
                match self.dropped.get_mut(&place) {
                    Some(known) => known.add(excess),
                    None => _ = self.dropped.insert(place, excess),
                }
            }
        }
        lines.0.sort_by_key(|line| line.0);
        lines.0.iter().for_each(|(_, json)| self.lines.extend([std::str::from_utf8(json).unwrap(), "\n"]));
    }
}

fn budget(random: &mut Random, is_tame: bool) -> Budget {
    let mut some = |chance: u64, most: i64| match random.chance(chance) {
        true => random.between(1, most) as u64,
        false => u64::MAX,
    };
    let grows = if is_tame { 60 } else { 100 };
    Budget {
        partial_matches_per_key: some(grows, 12),
        events_per_key: some(30, 9),
        bytes_per_key: some(20, 700),
        matches_per_event: some(grows.max(30), 4),
        drops_oldest: some(50, 1) == 1,
        ..Budget::default()
    }
}

#[test]
fn what_is_dropped_depends_on_events_and_decisions_alone() {
    let cases = std::env::var("SEQUOR_CASES").map_or(300, |cases| cases.parse().unwrap());
    let (mut partial_matches, mut matches, mut suspended, mut lines) = (0, 0, 0, 0);
    for seed in 0..cases {
        let (case, _) = Case::new(seed);
        let random = &mut Random::new(seed);
        let compiled = case.compile().unwrap();
        // Also where partial matches double with every event: budgets are there for that.
        let is_tame = naive::run(&[compiled.file], &case.inputs, &case.settings).is_ok();
        let mut world = World::of_case(&case);
        let mut set = PatternSet::clone(&world.sets[&0]);
        let patterns = compiled.plans.len() as u64;
        for number in 0..patterns as u32 {
            set = set.limit(number, Some(budget(random, is_tame)));
        }
        world.sets.insert(0, Arc::new(set.clone()));
        let mut ways = vec![
            Way { shards: 1, batch: 1, restarts: None },
            Way { shards: 3, batch: 1, restarts: None },
            Way { shards: 2, batch: 1, restarts: Some(1) },
            Way { shards: 1, batch: 1, restarts: Some(5) },
        ];
        if random.chance(50) {
            let events = case.inputs.iter().map(|input| input.lines.len()).sum::<usize>() as u64;
            for _ in 0..random.below(4) {
                let number = random.below(patterns) as u32;
                let next = match random.below(4) {
                    0 => set.retire(number),
                    1 => set.activate(number),
                    2 => set.limit(number, Some(budget(random, is_tame))),
                    _ => set.clone(),
                };
                set = next.decided(number, random.chance(20));
                let at = world.sets.keys().next_back().unwrap() + 1 + random.below(1 + events / 3) as usize;
                world.sets.insert(at, Arc::new(set.clone()));
            }
        } else {
            ways.extend([3, 7, 4096].map(|batch| Way { shards: 2, batch, restarts: None }));
        }
        let expected = world.run(ways[0], random);
        for way in &ways[1..] {
            let found = world.run(*way, random);
            let budgets: Vec<_> = (0..patterns as u32).map(|number| world.sets[&0].budget(number)).collect();
            assert_eq!(found, expected, "seed {seed}, {way:?}, {budgets:?}\n{}", case.text());
        }
        for excess in expected.dropped.values() {
            partial_matches += excess.partial_matches;
            matches += excess.matches;
            suspended += u64::from(excess.hit.suspends);
        }
        lines += expected.lines.lines().count() as u64;
    }
    let counts = format!("{partial_matches} {matches} {suspended} {lines}");
    assert!(partial_matches > 3 * cases && matches > cases && lines > 3 * cases, "{counts}");
    assert!(suspended > cases / 10, "{counts}");
}

/// What becomes of the starts of a key in one of the patterns below.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// Each is over with the first `b` that is not smaller.
    Each,
    /// All go on.
    All,
    /// The first one has the match, which skips the others.
    First,
}

/// The matches as (key, start, end), and how many starts were dropped.
fn by_hand(rule: Rule, events: &[(i64, char, i64, i64)], budget: &Budget) -> (Vec<(i64, i64, i64)>, u64) {
    let mut starts: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    let mut blocked = Vec::new();
    let (mut matches, mut dropped) = (Vec::new(), 0);
    for &(ts, kind, k, n) in events {
        let of_key = starts.entry(k).or_default();
        of_key.retain(|(start, _)| start + 1_000 > ts);
        if blocked.contains(&k) {
            continue;
        }
        let completes = |&(_, of): &(i64, i64)| rule != Rule::Each || of <= n;
        if kind == 'a' {
            of_key.push((ts, n));
        } else {
            let found = of_key.iter().filter(|start| completes(start));
            let most = if rule == Rule::First { 1 } else { usize::MAX };
            matches.extend(found.take(most).map(|&(start, _)| (k, start, ts)));
            match rule {
                Rule::Each => of_key.retain(|start| !completes(start)),
                Rule::All => {}
                Rule::First => of_key.clear(),
            }
        }
        let most = budget.partial_matches_per_key as usize;
        if of_key.len() > most && budget.drops_oldest {
            let last = of_key[of_key.len() - most - 1].0;
            let before = of_key.len();
            of_key.retain(|&(start, _)| start > last);
            dropped += (before - of_key.len()) as u64;
        } else if of_key.len() > most {
            dropped += of_key.drain(..).count() as u64;
            blocked.push(k);
        }
    }
    (matches, dropped)
}

#[test]
fn the_oldest_are_dropped_or_the_key_is_out() {
    let patterns = [
        (Rule::Each, "key by k match a: a followed by b: b where n >= a.n within 1s"),
        (Rule::All, "key by k match a: a followed by any b: b within 1s"),
        (Rule::First, "key by k match a: a followed by any b: b within 1s after match skip past last"),
    ];
    let mut total = 0;
    for seed in 0..120 {
        let random = &mut Random::new(seed);
        let mut ts = 1_000;
        let events: Vec<(i64, char, i64, i64)> = (0..150)
            .map(|_| {
                ts += *random.pick(&[0, 0, 5, 20, 60]);
                (ts, *random.pick(&['a', 'a', 'a', 'b']), random.below(3) as i64, random.below(9) as i64)
            })
            .collect();
        let lines: Vec<String> = events
            .iter()
            .map(|(ts, kind, k, n)| format!("{{\"type\":\"{kind}\",\"ts\":{ts},\"k\":{k},\"n\":{n}}}"))
            .collect();
        let budget = Budget {
            partial_matches_per_key: random.between(1, 9) as u64,
            drops_oldest: random.chance(70),
            ..Budget::default()
        };
        for (rule, text) in patterns {
            let (mut expected, dropped) = by_hand(rule, &events, &budget);
            let world = World::of(&format!("pattern p {text}"), &lines, budget);
            let out = world.run(Way { shards: 2, batch: 1, restarts: Some(9) }, random);
            let number = |found: &serde_json::Value, field: &str| found[field].as_i64().unwrap();
            let mut found: Vec<(i64, i64, i64)> = out
                .lines
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .map(|line| (number(&line["key"], "k"), number(&line, "start"), number(&line, "end")))
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "seed {seed}, {rule:?}, {budget:?}\n{lines:#?}");
            let counted = out.dropped.values().map(|excess| excess.partial_matches).sum::<u64>();
            assert_eq!(counted, dropped, "seed {seed}, {rule:?}, {budget:?}");
            total += dropped;
        }
    }
    assert!(total > 2_000, "{total}");
}

#[test]
fn what_a_key_exceeded_is_told_again_after_a_restart_until_something_is_decided() {
    let line = |i: i64| format!("{{\"type\":\"a\",\"ts\":{},\"k\":\"x\"}}", 1_000 + i);
    let budget = Budget { partial_matches_per_key: 2, ..Budget::default() };
    let text = "pattern p key by k match a: a followed by any b: b within 1h";
    let world = World::of(text, &(0..5).map(line).collect::<Vec<_>>(), budget);
    let set = &world.sets[&0];
    let mut engine = world.engines(set, 1).remove(0);
    let mut lines = Lines::default();
    world.batches(9).iter().for_each(|batch| engine.process(batch, &mut lines));
    let told = engine.excess().remove(0);
    assert_eq!((told.partial_matches, told.hit.reached, &*told.hit.key), (3, 3, "{\"k\":\"x\"}"));
    assert!(engine.excess().is_empty() && engine.partial_matches() == 0);
    let mut keys = Vec::new();
    engine.changes(false, |KeyState { pattern, key, state }| {
        keys.push((pattern, key.to_vec(), state.map(<[u8]>::to_vec)));
    });
    assert_eq!(keys.len(), 1);
    let (pattern, key, state) = &keys[0];
    let mut others = world.engines(set, 3);
    let known = KeyState { pattern: *pattern, key, state: state.as_deref() };
    let takes = |engine: &mut Engine| engine.restore(known).unwrap();
    assert_eq!(others.iter_mut().map(takes).filter(|taken| *taken).count(), 1);
    others.iter_mut().for_each(Engine::restored);
    let again: Vec<Excess> = others.iter_mut().flat_map(Engine::excess).collect();
    assert_eq!(again, [Excess { partial_matches: 0, ..told }]);
    let next = Arc::new(PatternSet::clone(set).decided(0, false));
    let mut gone = Vec::new();
    for engine in &mut others {
        engine.install(Arc::clone(&next));
        engine.changes(false, |KeyState { key, state, .. }| gone.push((key.to_vec(), state.is_none())));
    }
    assert_eq!(gone, [(key.clone(), true)]);
}

#[test]
fn a_budget_of_matches_lets_the_first_ones_leave() {
    let line = |i: i64, kind: &str| format!("{{\"type\":\"{kind}\",\"ts\":{},\"n\":1}}", 1_000 + i);
    let mut lines: Vec<String> = (0..40).map(|i| line(i, "a")).collect();
    lines.extend([line(40, "b"), line(41, "b")]);
    // Of 40 starts, every choice of some: more than anybody could walk.
    let texts = [
        ("a+: a combinations followed by any b: b within 1h", 2_u64.pow(40) - 1),
        ("a: a followed by any b: b within 1h", 40),
        ("a: a followed by any b: b where n >= a.n within 1h", 40),
    ];
    for (text, all) in texts {
        for drops_oldest in [true, false] {
            let budget = Budget { matches_per_event: 7, drops_oldest, ..Budget::default() };
            let text = format!("pattern p match {text}");
            let out = World::of(&text, &lines, budget)
                .run(Way { shards: 1, batch: 64, restarts: None }, &mut Random::new(1));
            let found: Vec<_> = out.lines.lines().collect();
            // The second `b` finds as many; where the pattern is to be suspended, none.
            assert_eq!(found.len(), if drops_oldest { 14 } else { 7 }, "{text}");
            assert!(found.is_sorted_by_key(|line| line.contains("\"ts\":1041")), "{text}");
            let excess = out.dropped.values().next().unwrap();
            assert_eq!(excess.matches, (all - 7) * if drops_oldest { 2 } else { 1 }, "{text}");
            assert_eq!((excess.hit.reached, excess.hit.budget), (all, 7));
        }
    }
}
