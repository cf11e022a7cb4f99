//! Keys that lie outside of memory: whatever is given up and whenever, what is found is the same; and what cannot be read
//! again stops an engine before it gives anything wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sequor::engine::{Budget, Engine, KeyState, Page, Part, PatternSet, Spill};
use sequor::event::TimeSpan;
use sequor::event::record::StreamSettings;
use sequor::pattern::{Limits, compile};

use crate::generate::{Case, Random};
use crate::naive;
use crate::serving::{Service, eventually};
use crate::stepwise::Run;
use crate::twin::{Out, export_both};

/// Records in memory, which says too much about what lies among what is not needed.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    records: BTreeMap<u32, Vec<u8>>,
    next: u32,
    /// Nothing can be read any more.
    is_broken: Arc<AtomicBool>,
    /// There is no room any more.
    is_full: Arc<AtomicBool>,
}

impl Spill for Memory {
    fn put(&mut self, record: &[u8]) -> Result<u32, String> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err("no room".to_owned());
        }
        self.next += 3;
        self.records.insert(self.next, record.to_vec());
        Ok(self.next)
    }

    fn get(&self, place: u32, into: &mut Vec<u8>) -> Result<(), String> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err("a bad sector".to_owned());
        }
        into.clone_from(self.records.get(&place).ok_or("nothing lies there")?);
        Ok(())
    }

    fn remove(&mut self, place: u32) {
        assert!(self.records.remove(&place).is_some(), "{place} is not there");
    }

    fn sparse(&mut self) -> Result<Vec<u32>, String> {
        Ok(self.records.keys().copied().step_by(5).collect())
    }
}

fn spilling(mut run: Run, bytes: usize) -> Run {
    run.engine.spill(Box::new(Memory::default()), bytes);
    run
}

fn text(run: &Run) -> String {
    String::from_utf8(run.found.json.clone()).unwrap()
}

#[test]
fn nothing_shows_of_giving_up_all_keys_after_every_event() {
    let (mut matches, mut cold) = (0, 0);
    let cases = std::env::var("SEQUOR_CASES").map_or(600, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let (case, _) = Case::new(seed);
        // Where even the naive matcher gives up, partial matches double with every event.
        if naive::run(&[case.compile().unwrap().file], &case.inputs, &case.settings).is_err() {
            continue;
        }
        let mut plain = Run::of_case(&case);
        plain.all_lines(&case);
        type Between = fn(&mut Engine);
        let between: [(usize, Between); 2] =
            [(usize::MAX, |engine| engine.evict(0)), (Random::new(seed).below(10_000) as usize, |_| {})];
        for (bytes, between) in between {
            let mut run = spilling(Run::of_case(&case), bytes);
            run.batch_size = 1;
            run.between = between;
            for (partition, input) in case.inputs.iter().enumerate() {
                for line in &input.lines {
                    run.lines(partition, [line, &b"\n"[..]].concat());
                    cold += run.engine.cold_keys();
                }
            }
            run.end();
            assert_eq!(text(&run), text(&plain), "seed {seed}, {bytes}\n{}", case.text());
            assert_eq!(run.engine.counters(), plain.engine.counters(), "seed {seed}\n{}", case.text());
            assert_eq!(run.engine.held().0, plain.engine.held().0, "seed {seed}\n{}", case.text());
            assert_eq!(run.engine.lost(), None);
        }
        matches += plain.found.count;
    }
    assert!(
        matches > 3 * cases as usize && cold > 10 * cases as usize,
        "{matches} matches, {cold} cold keys"
    );
}

/// Events come in order, and the next one says that one has come.
fn open() -> Run {
    Run::new(compile(OPEN, &Limits::default()).plans, &settings(), &["events"])
}

const OPEN: &str = "pattern p key by k match a: a followed by b: b where v > a.v within 1h";

fn settings() -> StreamSettings {
    StreamSettings { out_of_orderness: TimeSpan(0), ..StreamSettings::default() }
}

/// The patterns of that engine.
fn open_set() -> PatternSet {
    let plans = compile(OPEN, &Limits::default()).plans;
    PatternSet::new(plans, &settings(), &["events".to_owned()])
}

fn line(kind: &str, key: usize, time: usize) -> Vec<u8> {
    format!("{{\"type\":\"{kind}\",\"ts\":{time},\"k\":\"key{key}\",\"v\":{time}}}\n").into_bytes()
}

#[test]
fn what_is_held_stays_below_the_budget() {
    let mut run = spilling(open(), 4 << 20);
    let mut plain = open();
    run.batch_size = 4096;
    for at in 0..100 {
        let lines: Vec<u8> = (at * 1000..(at + 1) * 1000).flat_map(|key| line("a", key, key)).collect();
        plain.lines(0, lines.clone());
        run.lines(0, lines);
        assert!(run.engine.held_bytes() < (4 << 20) + (1 << 18), "{}", run.engine.held_bytes());
    }
    [&mut run, &mut plain].into_iter().for_each(|run| run.lines(0, line("x", 0, 100_000)));
    assert!(plain.engine.held_bytes() > 8 << 20, "{}", plain.engine.held_bytes());
    assert!(run.engine.cold_keys() > 40_000, "{}", run.engine.cold_keys());
    assert_eq!((run.engine.held().0, run.engine.keys_of(0)), (100_000, 100_000));
    // Those that are used stay: what was loaded once is met again and again.
    for round in 0..20 {
        for run in [&mut run, &mut plain] {
            run.lines(0, (0..500).flat_map(|key| line("a", 7 * key, 100_000 + round)).collect());
        }
    }
    for run in [&mut run, &mut plain] {
        run.lines(0, (0..100_000).step_by(5).flat_map(|key| line("b", key, 200_000)).collect());
        // All windows close.
        run.lines(0, [line("x", 0, 100_000_000), line("x", 0, 100_000_001)].concat());
        assert_eq!(run.engine.held().0, 0);
        run.end();
    }
    assert_eq!(text(&run), text(&plain));
    assert!(plain.found.count > 20_000, "{}", plain.found.count);
    assert_eq!((run.engine.cold_keys(), run.engine.refused()), (0, None));
}

#[test]
fn a_key_that_cannot_be_read_stops_the_engine() {
    let mut run = open();
    let (is_broken, is_full) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
    let spill =
        Memory { is_broken: Arc::clone(&is_broken), is_full: Arc::clone(&is_full), ..Memory::default() };
    run.engine.spill(Box::new(spill), usize::MAX);
    run.lines(0, (0..10).flat_map(|key| line("a", key, 1000)).collect());
    run.lines(0, line("x", 0, 1001));
    // Without room outside, keys stay.
    is_full.store(true, Ordering::Relaxed);
    run.engine.evict(0);
    assert_eq!((run.engine.cold_keys(), run.engine.refused()), (0, Some("no room")));
    is_full.store(false, Ordering::Relaxed);
    run.engine.evict(0);
    assert_eq!((run.engine.cold_keys(), run.engine.refused()), (10, None));
    run.lines(0, [line("b", 3, 2000), line("x", 0, 2001)].concat());
    assert_eq!((run.found.count, run.engine.cold_keys()), (1, 9));
    is_broken.store(true, Ordering::Relaxed);
    run.lines(0, [line("a", 77, 3001), line("b", 5, 3002), line("b", 77, 3003)].concat());
    run.end();
    assert_eq!((run.found.count, run.engine.lost()), (1, Some("a bad sector")));
    run.engine.changes(true, |key: KeyState<'_>| panic!("{key:?} is given by an engine that has lost one"));
}

#[test]
fn what_is_cold_is_seen_and_counted_like_the_rest() {
    let (mut run, mut plain) = (spilling(open(), usize::MAX), open());
    let names = |engine: &Engine| {
        let mut names = BTreeSet::new();
        engine.key_names(0, Part { number: 0, of: 1 }, |name| assert!(names.insert(name), "a name once"));
        names
    };
    for run in [&mut run, &mut plain] {
        // So that all that is held is counted.
        let budget = Budget { partial_matches: 1 << 40, bytes: 1 << 40, ..Budget::default() };
        run.engine.install(Arc::new(open_set().limit(0, Some(budget))));
        run.lines(0, (0..200).flat_map(|at| line("a", at % 50, at)).collect());
        run.lines(0, line("x", 0, 200));
    }
    run.engine.evict(0);
    assert_eq!((run.engine.cold_keys(), names(&run.engine).len()), (50, 50));
    for touched in [0, 20] {
        let now = 1_000 * (1 + touched);
        for run in [&mut run, &mut plain] {
            run.lines(0, (0..touched).flat_map(|key| line("a", key, now + key)).collect());
            run.lines(0, line("x", 0, now + 100));
        }
        assert_eq!(run.engine.cold_keys(), 50 - touched);
        assert_eq!(names(&run.engine), names(&plain.engine));
        for name in names(&plain.engine) {
            let held = |engine: &Engine| {
                let page = Page { skip: 0, take: 10, bytes: 1 << 20 };
                let held = engine.held_of(0, &name, page).unwrap();
                let mut items: Vec<String> = held.items.iter().map(|item| format!("{item:?}")).collect();
                items.sort();
                (held.name, held.count, held.since, held.deadline, items)
            };
            assert_eq!(held(&run.engine), held(&plain.engine));
        }
        let (cold, hot) = (run.engine.sums().unwrap(), plain.engine.sums().unwrap());
        assert_eq!(cold, hot);
        assert_eq!(cold[0].partial_matches, 200 + touched as u64);
        // Enough comes for another count.
        for run in [&mut run, &mut plain] {
            run.lines(0, (0..1_000).flat_map(|_| line("x", 0, now + 101)).collect());
            run.lines(0, line("x", 0, now + 102));
        }
    }
    assert!(run.engine.held_of(0, b"none", Page { skip: 0, take: 10, bytes: 1 }).is_none());
}

const KEYS: u64 = 12_000;

/// A service that holds much less than its keys have.
fn service() -> Service {
    let service = Service::start(
        "[engine]\nthreads = 2\n[data]\ncheckpoint_interval = \"100ms\"\nstate_memory = \"300KiB\"
         [[streams]]\nname = \"events\"\nout_of_orderness = \"0ms\"\n",
    );
    let patterns = "pattern pays key by k match a: a followed by b: b where v > a.v within 1h
        pattern quiet key by k match a: a not followed by b: b within 10m
        pattern rises key by k match a: a followed by c+: c where v > coalesce(c.v, a.v) greedy followed by b: b within 2h
          after match skip past last";
    service.post("/v1/patterns", patterns).ok();
    service
}

/// Events of random keys, a millisecond apart.
fn post(service: &Service, kinds: &[&'static str], random: &mut Random, clock: &mut u64, count: u64) {
    let mut lines = String::new();
    for _ in 0..count {
        *clock += 1;
        let (kind, key) = (random.pick(kinds), random.below(KEYS));
        let _ =
            writeln!(lines, "{{\"type\":\"{kind}\",\"ts\":{clock},\"k\":{key},\"v\":{}}}", random.below(99));
    }
    service.post("/v1/streams/events/events", lines).ok();
}

fn spilled(service: &Service) -> u64 {
    let files = [0, 1].map(|shard| service.data().join(format!("cold/{shard}/0.spill")));
    files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum()
}

#[track_caller]
fn assert_as_replayed(service: &Service) {
    export_both(&service.dir);
    let (sent, replayed) = (Out::sent(&service.data()), Out::replayed(&service.dir, "1", "500"));
    assert_eq!(replayed.beyond(&sent).or_else(|| sent.beyond(&replayed)), None);
    assert!(sent.matches.lines().count() > 5_000, "{}", sent.matches.lines().count());
}

#[test]
fn a_service_with_little_memory_gives_what_one_with_much_gives() {
    let (mut service, mut random, mut clock) = (service(), Random::new(7), 1_000_000);
    for round in 0..12 {
        for _ in 0..8 {
            post(&service, &["a", "a", "a", "b", "c"], &mut random, &mut clock, 1_000);
        }
        if round % 3 == 2 {
            eventually("keys lie outside", || (spilled(&service) > 0).then_some(()));
            service.kill();
            service.restart();
        }
        // Some windows close.
        clock += 100_000;
    }
    clock += 20_000_000;
    post(&service, &["a"], &mut random, &mut clock, 10);
    assert_eq!(service.stop(), 0, "{}", service.log());
    assert_as_replayed(&service);
    assert!(!service.data().join("cold/0").exists(), "nothing of it is needed after a stop");
}

#[test]
fn a_service_whose_disk_fails_stops_and_goes_on_where_it_was() {
    let (mut service, mut random, mut clock) = (service(), Random::new(8), 1_000_000);
    while spilled(&service) < 1 << 20 {
        post(&service, &["a", "c"], &mut random, &mut clock, 2_000);
    }
    for shard in [0, 1] {
        let file = service.data().join(format!("cold/{shard}/0.spill"));
        File::options().write(true).open(file).unwrap().set_len(4096).unwrap();
    }
    let close = |clock: u64| {
        let line = |key| format!("{{\"type\":\"b\",\"ts\":{},\"k\":{key},\"v\":100}}\n", clock + key);
        (0..KEYS).map(line).collect::<String>()
    };
    // It may be gone before it answers.
    let headers = [("content-type", "application/x-ndjson")];
    let _ = service.try_send("POST", "/v1/streams/events/events", &headers, close(clock));
    let _ = service.try_send("POST", "/v1/streams/events/events", &headers, "no event\n");
    assert_ne!(service.ends(), 0, "{}", service.log());
    assert!(service.log().contains("cannot be read again"), "{}", service.log());
    service.restart();
    service.post("/v1/streams/events/events", close(clock + KEYS)).ok();
    clock += 20_000_000;
    post(&service, &["a"], &mut random, &mut clock, 10);
    assert_eq!(service.stop(), 0, "{}", service.log());
    assert_as_replayed(&service);
}
