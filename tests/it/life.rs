//! Patterns that come and go while events pass: each finds what it finds alone on the events of its life, whatever
//! becomes of the others, in any number of shards.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sequor::engine::{Counters, Differs, Engine, Life, MatchSink, MatchView, Order, PatternSet};
use sequor::event::key::KeyHasher;
use sequor::event::record::StreamSettings;
use sequor::event::{Batch, Position, Timestamp};
use sequor::pattern::expr::{Aggregate, Expr};
use sequor::pattern::nfa::{self, Storage};
use sequor::pattern::plan::{Plan, Skip};
use sequor::pattern::{Limits, compile};

use crate::cold::Memory;
use crate::generate::Random;
use crate::many::Many;

/// Events between which patterns may come and go.
const BATCH: usize = 2;

/// Where something stands in the output: time, of an event, position, name and version.
type Place = (Timestamp, bool, Position, String, u64);

/// A match as it came out.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    order: Order,
    json: String,
    first: Position,
}

#[derive(Default)]
struct Lines(Vec<Line>);

impl MatchSink for Lines {
    fn take(&mut self, order: Order, found: &MatchView<'_>) {
        let mut json = Vec::new();
        found.write_json(&mut json);
        let first = found.events().next().unwrap().0;
        self.0.push(Line { order, json: String::from_utf8(json).unwrap(), first });
    }
}

/// A pattern in the course of a script. Times are numbers of batches: what happens before a batch has its number.
struct Member {
    plan: Plan,
    version: u64,
    /// When it was added.
    added: usize,
    /// When that which it holds began to be held: before it was added, where it took over from another.
    since: usize,
    retired: Option<usize>,
    removed: Option<usize>,
    /// When nothing began, before it was added.
    pauses: Vec<Range<usize>>,
    /// Its number in the present set.
    number: u32,
}

/// What is done after each batch with all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    /// They are dropped and loaded.
    Reloads,
    /// They become cold.
    Evicts,
}

/// What is done with the set before some batches, and what that makes of it.
struct Script {
    members: Vec<Member>,
    /// Before which batch, and whether it has other numbers.
    sets: Vec<(usize, bool, Arc<PatternSet>)>,
    /// For each numbering the set of all patterns that are ever added.
    unions: Vec<PatternSet>,
    done: [usize; 6],
}

impl Script {
    fn new(many: &Many, batches: usize, random: &mut Random) -> Script {
        let below = |random: &mut Random, n: usize| random.below(n as u64) as usize;
        let start = many.set(&[]);
        let mut script =
            Script { members: Vec::new(), sets: Vec::new(), unions: vec![start.clone()], done: [0; 6] };
        let mut set = start;
        let mut versions = 1;
        for at in 0..batches {
            let changes = if at == 0 { many.plans.len() } else { below(random, 6) };
            let mut renumbered = false;
            for _ in 0..changes {
                let present: Vec<usize> =
                    (0..script.members.len()).filter(|&m| script.members[m].removed.is_none()).collect();
                let some = |random: &mut Random| present.get(below(random, present.len().max(1))).copied();
                let what = if at == 0 { 0 } else { [0, 1, 2, 3, 4, 4, 4, 5][below(random, 8)] };
                script.done[what] += 1;
                let union = script.unions.last_mut().unwrap();
                match (what, some(random)) {
                    (0 | 1, _) => {
                        let plan = many.plans[below(random, many.plans.len())].clone();
                        versions += 1;
                        // Not always the newest one.
                        let version = versions * 7919 % 1000;
                        set = set.with_version(plan.clone(), version);
                        *union = union.with_version(plan.clone(), version);
                        let number = set.number(&plan.name, version).unwrap();
                        script.add(plan, version, at, number);
                    }
                    (2, Some(member)) => {
                        let member = &mut script.members[member];
                        set = set.retire(member.number);
                        member.retired.get_or_insert(at);
                    }
                    (3, Some(member)) => {
                        let member = &mut script.members[member];
                        set = set.without(member.number);
                        member.removed = Some(at);
                        assert_eq!(set.life(member.number), Life::Removed);
                        assert_eq!(set.number(&member.plan.name, member.version), None);
                    }
                    (4, Some(old)) => {
                        let old = &mut script.members[old];
                        // A pause and what it leaves out have an effect on others there.
                        if old.retired.is_some() && old.plan.skip != Skip::NoSkip {
                            continue;
                        }
                        let mut plan = old.plan.clone();
                        match random.below(3) {
                            0 => _ = plan.select.pop(),
                            1 => plan.select.reverse(),
                            _ => plan.select.push((
                                format!("count{versions}"),
                                Expr::Aggregate(Aggregate::Count, 0, None),
                            )),
                        }
                        versions += 1;
                        let version = versions * 7919 % 1000;
                        set = set.replace(old.number, plan.clone(), version).unwrap();
                        *union = union.with_version(plan.clone(), version);
                        old.removed = Some(at);
                        let mut pauses = old.pauses.clone();
                        pauses.extend(old.retired.map(|retired| retired..at));
                        let since = old.since;
                        let number = set.number(&plan.name, version).unwrap();
                        script.add(plan, version, at, number);
                        let new = script.members.last_mut().unwrap();
                        (new.since, new.pauses) = (since, pauses);
                    }
                    (5, _) if !renumbered => {
                        // What was changed so far is taken over first.
                        script.sets.push((at, false, Arc::new(set.clone())));
                        set = set.compacted();
                        renumbered = true;
                        script.unions.push(set.clone());
                        script.sets.push((at, true, Arc::new(set.clone())));
                        for member in script.members.iter_mut().filter(|m| m.removed.is_none()) {
                            member.number = set.number(&member.plan.name, member.version).unwrap();
                        }
                    }
                    _ => {}
                }
            }
            script.sets.push((at, false, Arc::new(set.clone())));
        }
        script
    }

    fn add(&mut self, plan: Plan, version: u64, at: usize, number: u32) {
        let (retired, removed, pauses) = (None, None, Vec::new());
        let new = Member { plan, version, added: at, since: at, retired, removed, pauses, number };
        self.members.push(new);
    }

    /// What comes out, in order, and what is counted.
    fn run(
        &self,
        epochs: &[Vec<Batch>],
        shards: u32,
        hasher: &KeyHasher,
        between: Between,
    ) -> (String, Counters) {
        let start = Arc::clone(&self.sets[0].2);
        let mut engines: Vec<Engine> =
            (0..shards).map(|shard| Engine::new(Arc::clone(&start), hasher.clone(), shard, shards)).collect();
        if between == Between::Evicts {
            // Alone all keys are given up, with others those that exceed a budget as well.
            let bytes = if shards == 1 { usize::MAX } else { 2_000 };
            engines.iter_mut().for_each(|engine| engine.spill(Box::new(Memory::default()), bytes));
        }
        let mut out = String::new();
        let mut give = |lines: Lines| {
            let mut lines = lines.0;
            lines.sort_by_key(|line| line.order);
            lines.iter().for_each(|line| out.extend([&line.json, "\n"]));
        };
        let mut epoch = 0;
        for number in 0.. {
            for (_, renumbered, set) in self.sets.iter().filter(|(at, ..)| *at == number) {
                for engine in &mut engines {
                    match renumbered {
                        true => engine.renumber(Arc::clone(set)).unwrap(),
                        false => engine.install(Arc::clone(set)),
                    }
                }
                epoch += usize::from(*renumbered);
            }
            let Some(batch) = epochs[epoch].get(number) else { break };
            let mut lines = Lines::default();
            for engine in &mut engines {
                engine.process(batch, &mut lines);
                match between {
                    Between::Nothing => {}
                    Between::Reloads => {
                        let saved = engine.unload();
                        engine.load(&saved).unwrap();
                    }
                    Between::Evicts => engine.evict(0),
                }
            }
            give(lines);
        }
        let mut lines = Lines::default();
        engines.iter_mut().for_each(|engine| engine.finish(&mut lines));
        give(lines);
        for member in self.members.iter().filter(|m| m.removed.is_none()) {
            let held: usize = engines.iter().map(|engine| engine.keys_of(member.number)).sum();
            let ends = member.plan.within.is_some();
            assert!(held == 0 || !ends, "{} holds {held} keys after its window", member.plan.name);
        }
        let mut total = Counters::default();
        for counters in engines.iter().map(Engine::counters) {
            total.matches += counters.matches;
            total.timeouts += counters.timeouts;
            total.type_errors += counters.type_errors;
            total.without_key.resize(counters.without_key.len(), 0);
            total.without_key.iter_mut().zip(counters.without_key).for_each(|(sum, count)| *sum += count);
        }
        (out, total)
    }
}

impl Member {
    /// What it finds alone on the events of its life; how many of its matches began in another version's life; and how
    /// many events of its own lacked its key.
    fn alone(&self, many: &Many, of_event: &BTreeMap<Position, usize>) -> (Vec<(Place, String)>, usize, u64) {
        let plans = vec![(self.plan.clone(), self.version)];
        let set = PatternSet::of_versions(plans, &many.settings(), &many.streams());
        let batches = many.batches(&set, &set, None, BATCH);
        let mut engine = Engine::new(Arc::new(set), KeyHasher::default(), 0, 1);
        let (mut found, mut without_key) = (Vec::new(), 0);
        let end = self.removed.unwrap_or(batches.len());
        for (number, batch) in batches.iter().enumerate().take(end).skip(self.since) {
            let mut lines = Lines::default();
            let before = engine.counters().without_key[0];
            engine.process(batch, &mut lines);
            if number >= self.added {
                found.extend(lines.0);
                without_key += engine.counters().without_key[0] - before;
            }
        }
        if self.removed.is_none() {
            let mut lines = Lines::default();
            engine.finish(&mut lines);
            found.extend(lines.0);
        }
        let begun = |line: &Line| of_event[&line.first];
        found.retain(|line| {
            self.retired.is_none_or(|retired| begun(line) < retired)
                && !self.pauses.iter().any(|pause| pause.contains(&begun(line)))
        });
        let carried = found.iter().filter(|line| begun(line) < self.added).count();
        let place = |line: Line| {
            let Order { time, of_event, position, .. } = line.order;
            ((time, of_event, position, self.plan.name.clone(), self.version), line.json)
        };
        (found.into_iter().map(place).collect(), carried, without_key)
    }
}

#[test]
fn patterns_that_come_and_go_find_what_each_finds_alone() {
    // By how partial matches are held: what began in the life of another version, and what was complete in retirement.
    let (mut matches, mut carried, mut drained) = (0, [0; 4], [0; 4]);
    let (mut type_errors, mut lacked, mut done) = (0, 0, [0; 6]);
    for round in 0..80 {
        let mut many = Many::new(round);
        many.plans.extend(GATHERING.iter().map(|text| plan(&format!("pattern {text}"))));
        let mut random = Random::new(round);
        let hasher = KeyHasher::default();
        let plain = many.set(&[]);
        let batches = many.batches(&plain, &plain, None, BATCH);
        let mut of_event = BTreeMap::new();
        for (number, batch) in batches.iter().enumerate() {
            of_event.extend(batch.events().map(|(block, row)| (block.heads[row].position, number)));
        }
        let script = Script::new(&many, batches.len(), &mut random);

        let (mut expected, mut without_key) = (Vec::new(), Vec::new());
        for member in &script.members {
            let (lines, of_others, lacking) = member.alone(&many, &of_event);
            if member.removed.is_none() {
                without_key.push((member.number as usize, lacking));
            }
            matches += lines.len();
            let held = held_as(&member.plan);
            carried[held] += of_others;
            drained[held] += member.retired.map_or(0, |retired| {
                let later =
                    |(place, _): &&(Place, String)| of_event.get(&place.2).is_some_and(|&at| at >= retired);
                lines.iter().filter(later).count()
            });
            expected.extend(lines);
        }
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        let expected: String = expected.into_iter().flat_map(|(_, json)| [json, "\n".into()]).collect();

        let mut counted = None;
        for shards in [1, 3] {
            for (prepared, between) in [
                (false, Between::Nothing),
                (true, Between::Nothing),
                (shards == 1, Between::Reloads),
                (shards == 1, Between::Evicts),
            ] {
                let epochs = script.unions.iter().map(|union| {
                    let by = if prepared { union } else { &plain };
                    many.batches(union, by, (shards > 1 && prepared).then_some(&hasher), BATCH)
                });
                let (found, counters) = script.run(&epochs.collect::<Vec<_>>(), shards, &hasher, between);
                assert_eq!(found, expected, "round {round}, {shards} shards, {prepared}, {between:?}");
                type_errors += counters.type_errors;
                for &(number, count) in &without_key {
                    assert_eq!(counters.without_key[number], count, "round {round}, {shards} shards");
                    lacked += count;
                }
                assert_eq!(
                    *counted.get_or_insert(counters.clone()),
                    counters,
                    "round {round}, {shards} shards"
                );
            }
        }
        done.iter_mut().zip(script.done).for_each(|(sum, count)| *sum += count);
    }
    let enough = carried.iter().chain(&drained).all(|&count| count >= 20);
    assert!(matches > 10_000 && enough, "{matches}, {carried:?}, {drained:?}");
    assert!(type_errors > 1_000 && lacked > 1_000, "{type_errors}, {lacked}");
    assert!(done.iter().all(|&n| n > 100), "{done:?}");
}

/// Patterns that hold theirs as sets or as groups: hardly any random ones do.
const GATHERING: [&str; 8] = [
    "s0 match x: any followed by any y: a followed by any z: b within 1d",
    "s1 key by k match x: a | b followed by any y: any within 1w",
    "s2 match x: a followed by y+: b followed by any z: any within 1w",
    "s3 key by k match x+: any followed by any y: any within 1d",
    "g0 match x: any followed by any y: a followed by z: b within 1d after match skip past last",
    "g1 key by k match x: a | b followed by any y: any next z: any within 1w after match skip to next",
    "g2 match x: a followed by y+: b followed by any z: any within 1w after match skip to last z",
    "g3 key by k match x{2,}: any followed by any y: any within 1d after match skip to next",
];

/// How a pattern holds its partial matches: singly, singly with values that are carried, as sets, or as groups.
fn held_as(plan: &Plan) -> usize {
    let automaton = nfa::compile(plan, usize::MAX).unwrap();
    match nfa::storage(plan, &automaton) {
        Storage::Sets => 2,
        Storage::StartGroups => 3,
        _ => usize::from(set_of(plan.clone()).carried() > 0),
    }
}

fn plan(text: &str) -> Plan {
    let compiled = compile(text, &Limits::default());
    assert!(compiled.diagnostics.is_empty(), "{text}: {:?}", compiled.diagnostics);
    compiled.plans.into_iter().next().unwrap()
}

fn set_of(plan: Plan) -> PatternSet {
    PatternSet::new(vec![plan], &StreamSettings::default(), &["events".to_owned()])
}

#[test]
fn a_version_that_waits_for_something_else_does_not_take_over() {
    let old = "pattern p key by k match a: a followed by b+: b where v > a.v followed by c: c within 1h
               select a.v as v";
    let set = set_of(plan(old));

    let cases = [
        ("pattern p", "pattern q", Some(Differs::Name)),
        ("key by k", "key by l", Some(Differs::Key)),
        ("key by k", "", Some(Differs::Key)),
        ("a: a", "a: d", Some(Differs::Stages)),
        ("b+:", "b{3,}:", Some(Differs::Stages)),
        ("followed by c", "next c", Some(Differs::Stages)),
        ("v > a.v", "v > 1", Some(Differs::Stages)),
        ("v > a.v", "v >= a.v", Some(Differs::Stages)),
        ("c: c", "c: c where v > 1", Some(Differs::Stages)),
        ("1h", "2h", Some(Differs::Within)),
        ("1h", "1h between events", Some(Differs::Within)),
        ("within 1h", "within 1h after match skip past last", Some(Differs::Skip)),
        ("select a.v", "select a.w", Some(Differs::Select)),
        ("select a.v", "select a.@type", Some(Differs::Select)),
        ("select a.v as v", "", None),
        ("select a.v as v", "select k, count(b) as n, a.@time as since", None),
    ];
    for (from, to, expected) in cases {
        assert!(old.contains(from), "{from}");
        let new = plan(&old.replacen(from, to, 1));
        assert_eq!(set.replace(0, new, 2).err(), expected, "{from} -> {to}");
    }
    assert_eq!(set.without(0).replace(0, plan(old), 2).err(), Some(Differs::Name));
    assert_eq!(set.replace(7, plan(old), 2).err(), Some(Differs::Name));
}

#[test]
fn a_set_is_not_larger_for_what_was_removed() {
    let text = |n: u32| {
        format!("pattern p{n} key by k{n} match a: a{n} where v == {n} followed by b: b{n} within {n}s")
    };
    let mut set = set_of(plan(&text(1)));
    let mut engine = Engine::new(Arc::new(set.clone()), KeyHasher::default(), 0, 1);
    let mut anew = 0;
    for n in 2..5_000 {
        set = set.with(plan(&text(n)));
        if n > 50 {
            set = set.without(set.number(&format!("p{}", n - 50), 1).unwrap());
        }
        engine.install(Arc::new(set.clone()));
        if set.is_sparse() {
            set = set.compacted();
            engine.renumber(Arc::new(set.clone())).unwrap();
            anew += 1;
        }
        assert!(set.names().count() <= 180 && set.schema().types.len() <= 360, "{n}");
        assert!(set.schema().fields.len() <= 181 && set.schema().keys.len() <= 180, "{n}");
        assert_eq!(engine.counters().without_key.len(), set.names().count());
    }
    assert!((60..90).contains(&anew), "made anew {anew} times");
    assert_eq!(set.number("p4999", 1).map(|number| set.life(number)), Some(Life::Active));
    assert_eq!(set.number("p1", 1), None);
}
