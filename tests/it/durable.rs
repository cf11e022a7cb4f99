//! What changed is enough: keys that are given away after each event make, in engines that know nothing else, what the
//! engines hold that gave them, whatever the number of shards, the seed of the hashes and the order of the patterns.

use std::collections::BTreeMap;
use std::sync::Arc;

use sequor::engine::{Engine, KeyState, Life, MatchSink, MatchView, Order, PatternSet, Progress};
use sequor::event::decode::Decoder;
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Batch, Position, TimeSpan};
use sequor::ingest::{Ingest, PartitionSettings};
use sequor::pattern::plan::Plan;

use crate::cold::Memory;
use crate::generate::{Case, Random};
use crate::naive;

/// Names are not what they are numbered by.
type Model = BTreeMap<(String, u64, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct Lines(Vec<(Order, Vec<u8>)>);

impl MatchSink for Lines {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        let mut json = Vec::new();
        found.write_json(&mut json);
        self.0.push((order, json));
    }
}

impl Lines {
    /// As lines, in the order of all shards together.
    fn give(mut self, out: &mut String) {
        // Patterns may have other ranks among others: by name and version they have not.
        self.0.sort_by_key(|line| line.0);
        self.0.iter().for_each(|(_, json)| out.extend([std::str::from_utf8(json).unwrap(), "\n"]));
    }
}

/// What happens to a pattern before some batch.
#[derive(Debug, Clone, Copy)]
enum Change {
    Retire,
    Activate,
    Replace,
}

/// One numbering of a case: its sets, by batch, and its events one by one.
struct World {
    batches: Vec<Batch>,
    sets: BTreeMap<usize, Arc<PatternSet>>,
}

impl World {
    fn new(case: &Case, plans: &[Plan], streams: &[String], changes: &[(usize, usize, Change)]) -> World {
        let settings = StreamSettings {
            type_field: case.settings.type_field.clone(),
            time_field: case.settings.time_field.clone(),
            out_of_orderness: TimeSpan(case.settings.out_of_orderness_ms),
        };
        let mut set = PatternSet::new(plans.to_vec(), &settings, streams);
        let mut decoder = Decoder::new(set.schema(), &settings);
        let number = |name: &str| streams.iter().position(|stream| stream == name).unwrap() as u32;
        let partitions: Vec<PartitionSettings> = (0..)
            .zip(&case.inputs)
            .map(|(partition, input)| {
                PartitionSettings::new(number(&input.stream), partition, settings.out_of_orderness)
            })
            .collect();
        let mut ingest = Ingest::new(&partitions, usize::MAX);
        for (at, input) in case.inputs.iter().enumerate() {
            let lines = input.lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
            let first = Position { stream: partitions[at].stream, partition: at as u32, offset: 0 };
            ingest.push(at, decoder.decode(lines, first)).unwrap();
            ingest.end(at);
        }
        let batches: Vec<Batch> = std::iter::from_fn(|| ingest.batch(1)).collect();
        let mut versions: BTreeMap<&str, u64> = plans.iter().map(|plan| (plan.name.as_str(), 1)).collect();
        let mut sets = BTreeMap::from([(0, Arc::new(set.clone()))]);
        for &(at, which, change) in changes {
            // By name, whatever the order.
            let (name, version) = versions.iter_mut().nth(which % plans.len()).unwrap();
            let number = set.number(name, *version).unwrap();
            set = match change {
                Change::Retire => set.retire(number),
                Change::Activate => set.activate(number),
                Change::Replace => {
                    let plan = plans.iter().find(|plan| plan.name == *name).unwrap();
                    *version += 1;
                    set.replace(number, plan.clone(), *version).unwrap()
                }
            };
            sets.insert(at, Arc::new(set.clone()));
        }
        World { batches, sets }
    }

    fn set(&self, at: usize) -> &Arc<PatternSet> {
        self.sets.range(..=at).next_back().unwrap().1
    }

    /// With a budget, what has no room in it lies outside.
    fn engines(&self, at: usize, shards: u32, budget: Option<usize>) -> Vec<Engine> {
        let hasher = KeyHasher::default();
        let engine = |shard| Engine::new(Arc::clone(self.set(at)), hasher.clone(), shard, shards);
        let mut engines: Vec<Engine> = (0..shards).map(engine).collect();
        for engine in &mut engines {
            if let Some(budget) = budget {
                engine.spill(Box::new(Memory::default()), budget);
            }
        }
        engines
    }
}

/// The name and version of each pattern of a set by its number.
fn names(set: &PatternSet) -> BTreeMap<u32, (String, u64)> {
    set.installed().map(|(number, name, version, _)| (number, (name.to_owned(), version))).collect()
}

/// What became of it over all cases.
#[derive(Debug, Default)]
struct Done {
    given: usize,
    ended: usize,
    restarts: usize,
    kept: usize,
    cold: usize,
}

/// Takes what changed into the model, and looks whether that is all.
fn checkpoint(engines: &mut [Engine], set: &PatternSet, model: &mut Model, done: &mut Done) {
    let names = names(set);
    model.retain(|(name, version, _), _| names.values().any(|known| (&known.0, known.1) == (name, *version)));
    let mut seen = std::collections::BTreeSet::new();
    for engine in engines.iter_mut() {
        engine.changes(false, |KeyState { pattern, key, state }| {
            let (name, version) = names[&pattern].clone();
            let place = (name, version, key.to_vec());
            assert!(seen.insert(place.clone()), "{place:?} is given twice");
            match state {
                Some(state) => {
                    model.insert(place, state.to_vec());
                    done.given += 1;
                }
                None => {
                    assert!(model.remove(&place).is_some(), "{place:?} was never given");
                    done.ended += 1;
                }
            }
        });
    }
    done.kept += model.len() - seen.iter().filter(|place| model.contains_key(*place)).count();
    let mut all = Model::new();
    for engine in engines.iter_mut() {
        engine.changes(false, |key| panic!("{key:?} has not changed since"));
        engine.changes(true, |KeyState { pattern, key, state }| {
            let (name, version) = names[&pattern].clone();
            assert!(all.insert((name, version, key.to_vec()), state.unwrap().to_vec()).is_none());
        });
    }
    // The order of partial matches in one state is any, and with it the numbers of their steps: those of many are longer.
    let lengths = |model: &Model| -> Vec<_> {
        let len = |state: &Vec<u8>| if state.len() < 1_000 { state.len() } else { 0 };
        model.iter().map(|(place, state)| (place.clone(), len(state))).collect()
    };
    assert_eq!(lengths(&all), lengths(model), "the engine holds what was given");
}

/// New engines with what a model has.
fn restored(
    world: &World,
    at: usize,
    shards: u32,
    budget: Option<usize>,
    model: &Model,
    progress: &Progress,
) -> Vec<Engine> {
    let mut engines = world.engines(at, shards, budget);
    engines.iter_mut().for_each(|engine| engine.resume(progress));
    let set = world.set(at);
    for ((name, version, key), state) in model {
        let pattern = set.number(name, *version).unwrap();
        assert_ne!(set.life(pattern), Life::Removed);
        let key = KeyState { pattern, key, state: Some(state) };
        let takers = engines.iter_mut().map(|engine| engine.restore(key).unwrap()).filter(|taken| *taken);
        assert_eq!(takers.count(), 1, "a key is one shard's");
    }
    engines.iter_mut().for_each(Engine::restored);
    if budget == Some(0) {
        engines.iter_mut().for_each(|engine| engine.evict(0));
    }
    engines
}

/// What is found, with a checkpoint after each event if that is asked for, and a restart in one of `every`.
fn run(
    worlds: &[World],
    every: Option<u64>,
    budget: Option<usize>,
    random: &mut Random,
    done: &mut Done,
) -> String {
    let (mut now, mut out) = (0, String::new());
    let mut engines = worlds[0].engines(0, if every.is_some() { 2 } else { 1 }, budget);
    let mut model = Model::new();
    for at in 0..worlds[0].batches.len() {
        if let Some(set) = worlds[now].sets.get(&at) {
            engines.iter_mut().for_each(|engine| engine.install(Arc::clone(set)));
        }
        let mut lines = Lines::default();
        engines.iter_mut().for_each(|engine| engine.process(&worlds[now].batches[at], &mut lines));
        lines.give(&mut out);
        done.cold += engines.iter().map(Engine::cold_keys).sum::<usize>();
        let Some(every) = every else { continue };
        // Several events between two checkpoints, or one.
        if random.chance(30) {
            continue;
        }
        checkpoint(&mut engines, worlds[now].set(at), &mut model, done);
        if random.below(every) == 0 {
            let progress = engines[0].progress();
            assert!(engines.iter().all(|engine| engine.progress() == progress));
            let text = serde_json::to_string(&progress).unwrap();
            let held: usize = engines.iter().map(|engine| engine.held().0).sum();
            now = random.below(worlds.len() as u64) as usize;
            let shards = 1 + random.below(3) as u32;
            let progress = serde_json::from_str(&text).unwrap();
            engines = restored(&worlds[now], at, shards, budget, &model, &progress);
            assert_eq!(engines.iter().map(|engine| engine.held().0).sum::<usize>(), held);
            done.restarts += 1;
        }
    }
    let mut lines = Lines::default();
    engines.iter_mut().for_each(|engine| engine.finish(&mut lines));
    lines.give(&mut out);
    if every.is_some() {
        checkpoint(&mut engines, worlds[now].set(worlds[0].batches.len() - 1), &mut model, done);
    }
    out
}

#[test]
fn keys_that_changed_are_all_that_a_restart_needs() {
    let mut done = Done::default();
    let mut matches = 0;
    let cases = std::env::var("SEQUOR_CASES").map_or(300, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let (case, _) = Case::new(seed);
        // Where even the naive matcher gives up, partial matches double with every event.
        if naive::run(&[case.compile().unwrap().file], &case.inputs, &case.settings).is_err() {
            continue;
        }
        let random = &mut Random::new(seed);
        let mut plans = case.compile().unwrap().plans;
        let mut streams: Vec<String> = case.inputs.iter().map(|input| input.stream.clone()).collect();
        streams.sort();
        streams.dedup();
        let events: usize = case.inputs.iter().map(|input| input.lines.len()).sum();
        let mut changes: Vec<(usize, usize, Change)> = (0..random.below(4))
            .map(|_| {
                let change = *random.pick(&[Change::Retire, Change::Activate, Change::Replace]);
                (1 + random.below(events as u64) as usize, random.below(8) as usize, change)
            })
            .collect();
        changes.sort_by_key(|change| change.0);
        let mut worlds = vec![World::new(&case, &plans, &streams, &changes)];
        plans.reverse();
        streams.insert(0, "0".to_owned());
        worlds.push(World::new(&case, &plans, &streams, &changes));
        let expected = run(&worlds, None, None, random, &mut done);
        for (every, budget) in [(1, None), (5, None), (2, Some(0)), (5, Some(0)), (5, Some(2000))] {
            let found = run(&worlds, Some(every), budget, random, &mut done);
            assert_eq!(found, expected, "seed {seed}, {budget:?}, {changes:?}\n{}", case.text());
        }
        matches += expected.lines().count();
    }
    assert!(matches > 5 * cases as usize && done.restarts > 10 * cases as usize, "{matches} {done:?}");
    assert!(done.cold > 20 * cases as usize, "{done:?}");
    assert!(done.ended > cases as usize && done.kept > done.given / 4, "{done:?}");
}

#[test]
fn keys_that_are_not_what_they_are_said_to_be_are_refused() {
    let text = "pattern p key by k match a: a followed by b: b within 1h
                pattern q match a: a followed by b: b within 1h";
    let mut run = crate::stepwise::Run::of(text);
    for k in ["1", "1.0", "\"1\"", "\"x\"", "1.5", "true"] {
        run.lines(0, format!("{{\"type\":\"a\",\"ts\":1000,\"k\":{k}}}\n").into_bytes());
    }
    run.lines(0, b"{\"type\":\"a\",\"ts\":200000}\n".to_vec());
    let mut keys: Vec<(u32, Vec<u8>, Vec<u8>)> = Vec::new();
    run.engine.changes(false, |KeyState { pattern, key, state }| {
        keys.push((pattern, key.to_vec(), state.unwrap().to_vec()));
    });
    assert_eq!(keys.len(), 5 + 1, "1 and 1.0 are one key: {keys:?}");
    assert!(keys.iter().all(|(pattern, key, _)| key.is_empty() == (*pattern == 1) && key.len() < 12));
    let mut fresh = crate::stepwise::Run::of(text).engine;
    for (pattern, key, state) in &keys {
        for (_, other, _) in keys.iter().filter(|(_, other, _)| other != key) {
            let wrong = KeyState { pattern: *pattern, key: other, state: Some(state) };
            assert!(fresh.restore(wrong).is_err(), "{wrong:?} is another key's state");
        }
        let short = KeyState { pattern: *pattern, key, state: Some(&state[1..]) };
        assert!(fresh.restore(short).is_err());
        let unknown = KeyState { pattern: 2, key, state: Some(state) };
        assert!(fresh.restore(unknown).is_err());
        let right = KeyState { pattern: *pattern, key, state: Some(state) };
        assert_eq!(fresh.restore(right), Ok(true));
        assert!(fresh.restore(right).is_err(), "it is there already");
        assert_eq!(fresh.restore(KeyState { state: None, ..right }), Ok(true), "nothing to do");
    }
    fresh.restored();
    assert_eq!(fresh.held(), run.engine.held());
    fresh.changes(false, |key| panic!("{key:?} did not change"));
}
