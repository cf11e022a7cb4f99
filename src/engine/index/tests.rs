//! The index against evaluating everything: whatever a condition is true of, or counts type errors for, is found.

use std::cell::Cell;
use std::fmt::Write as _;

use crate::engine::PatternSet;
use crate::engine::path::Unary;
use crate::event::decode::Decoder;
use crate::event::record::StreamSettings;
use crate::event::{Block, Position};
use crate::pattern::{Limits, compile};

/// Parts of conditions, `{}` for a field. Those of the first list leave the index nothing to look up.
const OPAQUE: [&str; 5] = ["length({}) > 1", "{} + 1 > 3", "{} == true", "({} == 1 or y == 2)", "@time > ts"];
const PARTS: [&str; 25] = [
    "{} == 5",
    "{} == -0.0",
    "{} == 2.5",
    "{} == 'a'",
    "{} == 'b\"'",
    "{} == 9007199254740993",
    "{} != 5",
    "{} != 'a'",
    "{} > 2",
    "{} >= 2.5",
    "{} < 3",
    "{} <= 0",
    "{} > 9007199254740992",
    "{} < 9007199254740993",
    "{} <= 9223372036854775807",
    "{} > 'a'",
    "{} in (1, 2.5, 5)",
    "{} in ('a', 'c')",
    "{} in (1, 'a')",
    "{} not in (1, 2)",
    "{} between 1 and 4",
    "{} not between 1.5 and 3",
    "{} is null",
    "{} is not null",
    "{} like 'a%'",
];
const VALUES: [&str; 20] = [
    "null",
    "true",
    "[1]",
    "\"a\"",
    "\"c\"",
    "\"b\\\"\"",
    "\"\\u0061\"",
    "\"zz\"",
    "0",
    "-0.0",
    "1",
    "2",
    "2.5",
    "3",
    "5",
    "5.0",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
];
const FIELDS: [&str; 3] = ["x", "y", "z"];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn condition(&mut self) -> String {
        let parts = (0..1 + self.below(3)).map(|_| {
            let part = if self.below(6) == 0 { self.pick(&OPAQUE) } else { self.pick(&PARTS) };
            part.replace("{}", self.pick(&FIELDS))
        });
        parts.collect::<Vec<_>>().join(" and ")
    }
}

fn patterns(random: &mut Random, number: usize) -> String {
    let mut text = String::new();
    for i in 0..number {
        let types = ["tx", "tx", "tx | ty", "any", "tz"];
        let key = random.pick(&["", "key by k", "key by k", "key by k, x"]);
        let link = random.pick(&["followed by", "followed by", "followed by any", "next"]);
        let (a, b) = (random.pick(&types), random.pick(&types));
        let (first, second) = (random.condition(), random.condition());
        let _ = writeln!(
            text,
            "pattern p{i} {key} match a: {a} where {first} {link} b: {b} where {second} within 1h"
        );
    }
    text
}

fn events(random: &mut Random, number: usize) -> Vec<u8> {
    let mut text = String::new();
    for ts in 0..number {
        let _ = write!(text, "{{\"ts\":{ts},\"type\":\"{}\",\"k\":1", random.pick(&["tx", "tx", "ty", "q"]));
        for field in FIELDS {
            if random.below(5) > 0 {
                let _ = write!(text, ",\"{field}\":{}", random.pick(&VALUES));
            }
        }
        text.push_str("}\n");
    }
    text.into_bytes()
}

fn decoded(set: &PatternSet, lines: Vec<u8>) -> Block {
    let mut decoder = Decoder::new(set.schema(), &StreamSettings::default());
    decoder.decode(lines, Position { stream: 0, partition: 0, offset: 0 }).block
}

fn set(text: &str) -> PatternSet {
    let compiled = compile(text, &Limits::default());
    assert!(!compiled.diagnostics.has_errors(), "{:?}\n{text}", compiled.diagnostics);
    PatternSet::new(compiled.plans, &StreamSettings::default(), &["events".to_owned()])
}

#[test]
fn what_an_event_may_change_is_found_once_and_in_order() {
    let mut random = Random(1);
    let (mut touched, mut left_out, mut with_errors) = (0, 0, 0);
    for round in 0..300 {
        let text = patterns(&mut random, 1 + round % 40);
        let set = set(&text);
        let block = decoded(&set, events(&mut random, 40));
        let mut found = Vec::new();
        for index in 0..block.heads.len() {
            let row = block.row(index);
            let mut all_found = Vec::new();
            for route in set.routes.of(row.head.kind) {
                route.concerned(&row, &set.tokens, &mut found);
                assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
                all_found.extend_from_slice(&found);
            }
            for (number, pattern) in (0..).zip(&set.patterns) {
                let errors = Cell::new(0);
                let env = Unary { row: &row, around: &set.around, type_errors: &errors };
                let holds = pattern.atoms.iter().filter(|atom| {
                    atom.types.has(row.head.kind)
                        && atom.unary.iter().all(|&id| set.predicates.slowly(id, &row, &env))
                });
                let needed = holds.count() > 0 || errors.get() > 0 || pattern.sees_all;
                let times = all_found.iter().filter(|n| **n == number).count();
                assert!(
                    times <= 1 && (times == 1 || !needed),
                    "p{number} {times} times: {}\n{text}",
                    row.raw()
                );
                touched += usize::from(needed);
                with_errors += usize::from(errors.get() > 0);
                left_out += usize::from(times == 0);
            }
        }
    }
    assert!(touched.min(left_out).min(with_errors) > 20_000, "{touched} {left_out} {with_errors}");
}

/// How many patterns an event `tx` with these fields concerns, of those with these conditions.
fn concerned(conditions: &[String], fields: &str) -> usize {
    let pattern = |(i, condition): (usize, &String)| {
        format!("pattern p{i} match a: tx where {condition} followed by b: ty within 1h\n")
    };
    let set = set(&conditions.iter().enumerate().map(pattern).collect::<String>());
    let block = decoded(&set, format!("{{\"ts\":1,\"type\":\"tx\",{fields}}}\n").into_bytes());
    let mut found = Vec::new();
    let mut number = 0;
    for route in set.routes.of(block.heads[0].kind) {
        route.concerned(&block.row(0), &set.tokens, &mut found);
        number += found.len();
    }
    number
}

#[test]
fn patterns_that_an_event_cannot_change_are_not_touched() {
    let all = |condition: fn(usize) -> String| (0..1_000).map(condition).collect::<Vec<_>>();
    let equal = all(|i| format!("m == 'm{i}' and x < 2"));
    assert_eq!(concerned(&equal, r#""m":"m7","x":1"#), 1);
    assert_eq!(concerned(&equal, r#""m":"m7","x":2"#), 0);
    assert_eq!(concerned(&equal, r#""x":1"#), 0);
    assert_eq!(concerned(&all(|i| format!("x < 2 and m == 'm{i}'")), r#""m":"m7","x":1.5"#), 1);
    assert_eq!(concerned(&all(|i| format!("n in ({i}, {})", i + 1)), r#""n":7.0"#), 2);
    assert_eq!(concerned(&all(|i| format!("x > {i}")), r#""x":3"#), 3);
    assert_eq!(concerned(&all(|i| format!("x > 5 and x <= {i}")), r#""x":997"#), 3);
    assert_eq!(concerned(&all(|i| format!("x between {i} and {}", i + 2)), r#""x":500.5"#), 2);
    // A value of another kind is a type error for each of them, in the part that comes first.
    assert_eq!(concerned(&equal, r#""m":7,"x":1"#), 1_000);
    assert_eq!(concerned(&all(|i| format!("x < 2 and m == 'm{i}'")), r#""m":"other","x":"text""#), 1_000);
}
