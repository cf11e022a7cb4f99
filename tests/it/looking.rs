//! Looking into an engine: after every event of random cases, what its keys are seen to hold is what the naive matcher
//! has open; and looking changes nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use sequor::engine::{Awaited, Engine, HeldKey, Page, Part, PartialMatch, name_of_key};
use sequor::event::Value;
use sequor::pattern::nfa::{self, Storage};

use crate::generate::Case;
use crate::naive::{self, Open};
use crate::stepwise::Run;

const ALL: Page = Page { skip: 0, take: 100_000, bytes: usize::MAX };

/// What each key of a pattern holds, by the pattern's name and how many events there were.
type Seen = BTreeMap<(String, u64), Vec<HeldKey>>;

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// The keys of a pattern, found in so many parts.
fn names(engine: &Engine, pattern: u32, of: u32) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    (0..of).for_each(|number| engine.key_names(pattern, Part { number, of }, |name| names.push(name)));
    names.sort();
    names
}

fn look(engine: &mut Engine) {
    let engine = &*engine;
    for pattern in engine.patterns() {
        let names = names(engine, pattern, 1);
        assert_eq!(names.len(), engine.keys_of(pattern));
        let held = names.iter().map(|name| engine.held_of(pattern, name, ALL).expect("it holds something"));
        let at = (engine.plan(pattern).name.clone(), engine.progress().events);
        SEEN.with_borrow_mut(|seen| seen.insert(at, held.collect()));
    }
}

fn open(item: &PartialMatch, streams: &[String]) -> Open {
    assert_eq!(item.omitted, 0);
    let event = |event: &sequor::engine::HeldEvent| {
        let position = event.position;
        assert_eq!(event.stream, streams[position.stream as usize]);
        ((event.stream.clone(), position.partition, position.offset), event.stage)
    };
    let stage = |awaited: Awaited| match awaited {
        Awaited::Stage(stage, _) => Some(stage),
        Awaited::NextEvent | Awaited::Deadline => None,
    };
    assert_eq!(item.since, item.events[0].time);
    Open {
        events: item.events.iter().map(event).collect(),
        deadline: item.deadline.map(|at| at.0),
        is_complete: item.is_complete,
        waits: item.waits.iter().map(|wait| stage(wait.awaited)).collect(),
    }
}

#[test]
fn what_is_seen_is_what_the_naive_matcher_has_open() {
    let (mut looks, mut partial, mut complete) = ([0, 0, 0], 0, 0);
    for seed in 0..400 {
        let (case, _) = Case::new(seed);
        let compiled = case.compile().unwrap();
        let mut naive = BTreeMap::new();
        let followed =
            naive::follow(&[compiled.file], &case.inputs, &case.settings, |pattern, events, open| {
                _ = naive.insert((pattern, events as u64), open)
            });
        if followed.is_err() {
            continue;
        }
        let mut plain = Run::of_case(&case);
        plain.all_lines(&case);
        let mut run = Run::of_case(&case);
        (run.batch_size, run.between) = (1, look);
        run.all_lines(&case);
        assert_eq!(run.found.json, plain.found.json, "looking changes nothing: seed {seed}");

        let seen = SEEN.take();
        let streams: BTreeSet<String> = case.inputs.iter().map(|input| input.stream.clone()).collect();
        let streams: Vec<String> = streams.into_iter().collect();
        for ((number, events), expected) in naive {
            let plan = &compiled.plans[number];
            let storage = nfa::compile(plan, usize::MAX).map(|automaton| nfa::storage(plan, &automaton));
            let found = &seen[&(plan.name.clone(), events)];
            let mut keys: Vec<Vec<Open>> = Vec::new();
            for key in found {
                assert_eq!(key.count, key.items.len() as u64);
                let mut items: Vec<Open> = key.items.iter().map(|item| open(item, &streams)).collect();
                items.sort();
                let begun = items.iter().map(|item| &item.events[0]).collect::<BTreeSet<_>>().len();
                assert!(begun > 0 && key.items.iter().map(|item| item.since).min() == Some(key.since));
                assert_eq!(key.deadline, key.items.iter().filter_map(|item| item.deadline).min());
                complete += items.iter().filter(|item| item.is_complete).count();
                partial += items.len();
                keys.push(items);
            }
            let at = || format!("seed {seed}, {} after {events} events\n{}", plan.name, case.text());
            let mut expected: Vec<Vec<Open>> = expected.into_iter().map(sorted).collect();
            expected.sort();
            keys.sort();
            if storage == Some(Storage::StartGroups) {
                looks[2] += usize::from(!keys.is_empty());
                assert_eq!(firsts(&keys), firsts(&expected), "{}", at());
                let all: BTreeSet<&Open> = expected.iter().flatten().collect();
                for item in keys.iter().flatten() {
                    assert!(all.contains(item), "{}\n{item:?}", at());
                }
            } else {
                looks[usize::from(storage == Some(Storage::Sets))] += usize::from(!keys.is_empty());
                assert_eq!(keys, expected, "{}", at());
            }
        }
    }
    println!("{looks:?} looks, {partial} partial matches, {complete} of them complete");
    assert!(looks.iter().all(|&looks| looks > 200) && partial > 10_000 && complete > 300);
}

fn sorted(mut open: Vec<Open>) -> Vec<Open> {
    open.sort();
    open
}

/// The events that partial matches began with: groups hold those that can become the one match of their first event.
fn firsts(keys: &[Vec<Open>]) -> BTreeSet<&(String, u32, u64)> {
    keys.iter().flatten().map(|open| &open.events[0].0).collect()
}

/// An engine that holds partial matches in each of the three ways.
fn busy() -> Run {
    let mut run = Run::of(
        "pattern runs key by k match a: a followed by b+: b where v > coalesce(max(b.v), 0) followed by d: d within 1h
         pattern sets key by k match a: a followed by any b+: b followed by any d: d within 1h
         pattern starts key by k match a: a followed by b+: b followed by d: d within 1h after match skip past last",
    );
    for (time, kind) in (1..).zip("aabbabbbab".chars()) {
        for key in 0..20 {
            let line = format!("{{\"type\":\"{kind}\",\"ts\":{time}000,\"v\":{time},\"k\":\"k{key}\"}}\n");
            run.lines(0, line.into_bytes());
        }
    }
    run
}

#[test]
fn pages_together_are_everything_in_one_order() {
    let run = busy();
    for pattern in run.engine.patterns() {
        let name = &run.engine.plan(pattern).name;
        let keys = names(&run.engine, pattern, 1);
        assert_eq!((keys.len(), &keys), (20, &names(&run.engine, pattern, 7)), "{name}");
        let all = run.engine.held_of(pattern, &keys[3], ALL).unwrap();
        assert!(all.count > 3, "{name} has {}", all.count);
        let mut paged = Vec::new();
        for skip in 0..all.count + 2 {
            let page = Page { skip, take: 1, bytes: usize::MAX };
            paged.extend(run.engine.held_of(pattern, &keys[3], page).unwrap().items);
        }
        let events =
            |items: &[PartialMatch]| items.iter().map(|item| item.events.clone()).collect::<Vec<_>>();
        assert_eq!(events(&paged), events(&all.items), "{name}");
        let weight = run.engine.weight(pattern, 1_000);
        assert_eq!((weight.keys, weight.partial_matches), (20, 20 * all.count), "{name}");
        assert!(weight.bytes > 20 * 50 && weight.events >= 20 * 4 && weight.events <= 200, "{weight:?}");
        assert!(run.engine.weight(pattern, 5).keys < 20);
    }
}

#[test]
fn what_is_exponential_is_counted_and_read_in_parts() {
    let mut run =
        Run::of("pattern p match a: a followed by any b+: b combinations followed by any d: d within 100h");
    run.lines(0, b"{\"type\":\"a\",\"ts\":1}\n".to_vec());
    for time in 0..70 {
        run.lines(0, format!("{{\"type\":\"b\",\"ts\":{}}}\n", time * 1_000 + 10_000).into_bytes());
        run.lines(0, format!("{{\"type\":\"x\",\"ts\":{}}}\n", time * 1_000 + 10_001).into_bytes());
    }
    let seen = |skip, take| run.engine.held_of(0, &[], Page { skip, take, bytes: usize::MAX }).unwrap();
    assert_eq!(seen(0, 1).count, u64::MAX, "more than can be said");
    let far = seen(1 << 40, 3);
    assert_eq!(far.items.len(), 3);
    let sizes: BTreeSet<usize> = far.items.iter().map(|item| item.events.len()).collect();
    assert!(sizes.iter().all(|&size| size > 1), "{sizes:?}");
    // Few bytes are room for few events, and the rest is told.
    let short = run.engine.held_of(0, &[], Page { skip: 1 << 40, take: 3, bytes: 25 }).unwrap();
    let [item] = short.items.as_slice() else { panic!("{} items", short.items.len()) };
    assert_eq!((item.events.len(), item.events.len() + item.omitted), (2, far.items[0].events.len()));
}

#[test]
fn keys_are_named_by_their_values() {
    let mut run = Run::of("pattern p key by k, n match a: a followed by b: b within 1h");
    for (time, key) in (1..).zip([r#""k":"x","n":1"#, r#""k":"x","n":"1""#, r#""k":1.50,"n":true"#]) {
        run.lines(0, format!("{{\"type\":\"a\",\"ts\":{time},{key}}}\n").into_bytes());
    }
    run.lines(0, b"{\"type\":\"z\",\"ts\":60000}\n".to_vec());
    let seen = |values: &[Value<'_>]| {
        let held = run.engine.held_of(0, &name_of_key(values)?, ALL)?;
        let item = &held.items[0];
        assert_eq!((held.count, held.items.len(), item.events.len()), (1, 1, 1));
        Some((item.since.0, held.key.iter().map(|(name, _)| name.as_str()).collect::<String>()))
    };
    let (x, one) = (Value::Str("x".into()), Value::Str("1".into()));
    assert_eq!(seen(&[x.clone(), Value::Int(1)]), Some((1, "kn".to_owned())));
    assert_eq!(seen(&[x.clone(), Value::Float(1.0)]), Some((1, "kn".to_owned())));
    assert_eq!(seen(&[x.clone(), one.clone()]), Some((2, "kn".to_owned())));
    assert_eq!(seen(&[Value::Float(1.5), Value::Bool(true)]), Some((3, "kn".to_owned())));
    for nothing in [&[x.clone()][..], &[one, x.clone()], &[], &[x, Value::Null]] {
        assert_eq!(seen(nothing), None);
    }
}
