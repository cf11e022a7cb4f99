//! How many partial matches a pattern may hold: what `growth` says of its automaton, against what the engine holds
//! for the worst of very many event sequences.

use std::sync::Arc;

use sequor::engine::{Engine, MatchSink, MatchView, Order, PatternSet};
use sequor::event::key::KeyHasher;
use sequor::event::record::{Batch, Block, Head, Slot, StreamSettings};
use sequor::event::{Position, Timestamp, TypeId};
use sequor::pattern::nfa::{self, Growth};
use sequor::pattern::plan::Plan;
use sequor::pattern::{Limits, compile};

/// A pattern in short: `a+ greedy followed by b`. Stages `a` to `e` have conditions of their own over events of one
/// type, stages `p` to `s` each a type of their own.
fn plan(short: &str) -> Plan {
    let mut text = String::from("pattern p match ");
    for word in short.replace('(', " ( ").replace(')', " )").split_whitespace() {
        let stage = |range: std::ops::RangeInclusive<char>| {
            let mut chars = word.chars();
            chars.next().is_some_and(|c| range.contains(&c))
                && !chars.next().is_some_and(|c| c.is_alphabetic())
        };
        let name = &word[..1];
        text += &match (stage('a'..='e'), stage('p'..='s')) {
            (true, _) => format!("{word}: x where {name} == true "),
            (_, true) => format!("{word}: {name} "),
            _ => format!("{word} "),
        };
    }
    // A quantifier of a group stands right behind its parenthesis.
    let compiled = compile(&text.replace(") {", "){").replace(") +", ")+"), &Limits::default());
    assert!(!compiled.diagnostics.has_errors(), "{text}: {:?}", compiled.diagnostics);
    compiled.plans.into_iter().next().expect("a plan")
}

fn growth(plan: &Plan) -> Growth {
    nfa::growth(plan, &nfa::compile(plan, usize::MAX).expect("without limit")).0
}

/// An event by what is true of it: bits of its conditions, or a type.
#[derive(Debug, Clone, Copy)]
enum Letter {
    Flags(u32),
    Type(char),
}

struct Nowhere;

impl MatchSink for Nowhere {
    fn take(&mut self, _: Order, _: &MatchView<'_>) {}
}

/// The most partial matches that the engine holds at some moment, or the limit where it comes so far.
fn held(set: &Arc<PatternSet>, events: Vec<Letter>, limit: usize) -> usize {
    let mut block = Block { text: "{}".into(), ..Block::default() };
    let schema = set.schema();
    (block.width, block.key_width) = (schema.fields.len(), schema.keys.len());
    for (offset, letter) in events.into_iter().enumerate() {
        let position = Position { stream: 0, partition: 0, offset: offset as u64 };
        let kind = match letter {
            Letter::Flags(_) => schema.type_id("x"),
            Letter::Type(name) => schema.type_id(&name.to_string()),
        };
        let kind = if kind == TypeId::OTHER { TypeId::NONE } else { kind };
        block.heads.push(Head { time: Timestamp(offset as i64), position, kind, raw: 0..2 });
        block.slots.extend(schema.fields.iter().map(|field| match letter {
            Letter::Flags(flags) => Slot::Bool(flags >> (field.to_string().as_bytes()[0] - b'a') & 1 == 1),
            Letter::Type(_) => Slot::Null,
        }));
        block.key_hashes.extend(schema.keys.iter().map(|_| 1));
    }
    let count = block.heads.len() as u32;
    let block = Arc::new(block);
    let mut engine = Engine::new(Arc::clone(set), KeyHasher::default(), 0, 1);
    let mut most = 0;
    for row in 0..count {
        let batch = Batch { blocks: vec![Arc::clone(&block)], runs: vec![(0, row..row + 1)] };
        engine.process(&batch, &mut Nowhere);
        most = most.max(engine.partial_matches());
        if most >= limit {
            return limit;
        }
    }
    most
}

/// The most partial matches for half of `n` and for `n` events, over words `v…v w…w` where `w` is one event or
/// `v` itself.
fn worst(plan: &Plan, n: usize) -> (usize, usize) {
    let set =
        Arc::new(PatternSet::new(vec![plan.clone()], &StreamSettings::default(), &["events".to_owned()]));
    let bits: Vec<u32> =
        set.schema().fields.iter().map(|f| 1 << (f.to_string().as_bytes()[0] - b'a')).collect();
    let all = bits.iter().sum();
    let mut letters = vec![Letter::Flags(0), Letter::Flags(all)];
    letters.extend(bits.iter().filter(|bit| **bit != all).map(|bit| Letter::Flags(*bit)));
    letters.extend(
        set.schema().types.iter().filter(|t| &***t != "x").filter_map(|t| t.chars().next()).map(Letter::Type),
    );
    let mut parts: Vec<Vec<Letter>> = letters.iter().map(|&l| vec![l]).collect();
    parts.extend(letters.iter().flat_map(|&l| letters.iter().map(move |&m| vec![l, m])));
    let word = |v: usize, w: usize, n: usize| {
        let half = |part: usize, n: usize| parts[part].iter().copied().cycle().take(n);
        half(v, n / 2).chain(half(w, n - n / 2)).collect::<Vec<_>>()
    };
    // The words that are worst while they are short stay the worst.
    let pairs = (0..parts.len()).flat_map(|v| (0..letters.len()).chain([v]).map(move |w| (v, w)));
    let mut words: Vec<_> = pairs.map(|(v, w)| (held(&set, word(v, w, 10), 300), (v, w))).collect();
    words.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
    let most = |n| words.iter().take(20).map(|(_, (v, w))| held(&set, word(*v, *w, n), LIMIT)).max();
    (most(n / 2).unwrap_or(0), most(n).unwrap_or(0))
}

/// Beyond this nobody counts.
const LIMIT: usize = 10_000;

#[track_caller]
fn check(short: &str, expected: Growth) {
    let plan = plan(short);
    assert_eq!(growth(&plan), expected, "{short}");
    let (half, all) = worst(&plan, 32);
    let power = if half == 0 { 0.0 } else { (all as f64 / half as f64).log2() };
    match expected {
        Growth::Bounded => assert_eq!(half, all, "{short}"),
        Growth::Polynomial(p) => assert!((power - f64::from(p)).abs() < 0.5, "{short}: {half} {all}"),
        Growth::Exponential => assert_eq!(all, LIMIT, "{short}"),
    }
}

const LINEAR: Growth = Growth::Polynomial(1);
const QUADRATIC: Growth = Growth::Polynomial(2);
const CUBIC: Growth = Growth::Polynomial(3);

#[test]
fn what_must_come_at_once_is_bounded() {
    for short in [
        "a",
        "a next b next c",
        "a next b? next c",
        "a{3} consecutive",
        "a{3}",
        "a{2,4} consecutive next b",
        "(a next b){2} consecutive",
        "(a next b){3}",
        "(a{1,2} greedy not followed by p followed by b next c){2}",
        "a not next b",
    ] {
        check(short, Growth::Bounded);
    }
}

#[test]
fn what_waits_is_linear() {
    for short in [
        "a followed by b",
        "a followed by any b",
        "a followed by b followed by c",
        "a next b followed by c",
        "a+",
        "a+ consecutive",
        "a{5,} consecutive next b",
        "a+ greedy followed by b",
        "a+ next b",
        "a{1,3} followed by b",
        "a followed by b? followed by c",
        "a{2} combinations",
        "(a followed by b){2}",
        "a followed by b+ consecutive greedy next c",
        "p+ consecutive next q followed by r",
        "(p next q? next r)+ consecutive",
        "(a+)+",
        "(a followed by b)+",
        "(a{1,3})+",
    ] {
        check(short, LINEAR);
    }
}

#[test]
fn each_choice_that_stays_multiplies() {
    for short in [
        "a followed by any b followed by any c",
        "a followed by any b followed by c",
        "a+ followed by b",
        "a+ consecutive followed by b",
        "a+ next b followed by c",
        "a+ greedy followed by b followed by c",
        "a{3} combinations",
        "(a followed by b)+ followed by c",
        "a followed by any b+",
    ] {
        check(short, QUADRATIC);
    }
    for short in ["a+ followed by any b+", "a+ followed by b+ followed by c", "a{4} combinations"] {
        check(short, CUBIC);
    }
}

#[test]
fn loops_that_fork_are_exponential() {
    for short in [
        "a+ combinations",
        "a+ combinations followed by b",
        "(a followed by b?)+",
        "(a followed by b+)+",
        "(a followed by any b)+",
        "(a next b? next c)+ consecutive",
        "(a followed by b)+ combinations",
        "(a+ greedy followed by b)+",
    ] {
        check(short, Growth::Exponential);
    }
}

#[test]
fn nothing_grows_faster_than_said() {
    let links = ["next", "followed by", "followed by any", "not followed by p followed by"];
    let seconds = ["b", "b followed by any c?", "b+ greedy", "b{1,2} consecutive not next q"];
    for first in ["a", "a+", "a+ consecutive greedy", "a{1,2} greedy", "a{2} combinations"] {
        for (link, second) in links.iter().flat_map(|l| seconds.iter().map(move |s| (l, s))) {
            let short = format!("{first} {link} {second}");
            let plan = plan(&short);
            let Growth::Polynomial(power) = growth(&plan) else { continue };
            let (half, all) = worst(&plan, 32);
            let most = half as f64 * 2_f64.powf(f64::from(power) + 0.5);
            assert!(all as f64 <= most, "{short}: {half} {all} is more than power {power}");
        }
    }
}
