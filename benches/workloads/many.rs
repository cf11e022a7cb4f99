//! Workloads of many patterns: from one to ten thousand over the same events.

use crate::case::Case;
use crate::generate::Workload;

const NUMBERS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// A group of workloads that differ in the number of patterns alone: its name, the events, and the pattern of a number.
type Group = (&'static str, Workload, fn(usize) -> String);

const GROUPS: [Group; 4] = [
    ("overlap", Workload::CardTesting, overlap),
    ("react", Workload::Spread, react),
    ("idle_types", Workload::CardTesting, idle_types),
    ("idle_values", Workload::CardTesting, idle_values),
];

/// The pattern of card_testing for one merchant: most events concern no pattern, some concern one.
fn overlap(i: usize) -> String {
    format!(
        "pattern overlap_{i} key by card
           match small: tx where merchant == 'm{i}' and amount < 2
           followed by big: tx where merchant == 'm{i}' and amount > 400 within 10m\n"
    )
}

/// A pattern of a type of its own, with a threshold of its own: of ten thousand, nearly each event starts one, and a
/// card has about six of them open; of one alone, one event in ten thousand concerns it.
fn react(i: usize) -> String {
    let low = 1.0 + i as f64 / 10_000.0;
    format!(
        "pattern react_{i} key by card
           match a: t{i} where amount > {low} followed by b: t{i} where amount < {low} within 1m\n"
    )
}

/// A pattern over types that never come.
fn idle_types(i: usize) -> String {
    format!(
        "pattern idle_{i} key by card
           match a: never{i} where amount < 2 followed by b: never{i} where amount > 400 within 10m\n"
    )
}

/// A pattern whose threshold is never met.
fn idle_values(i: usize) -> String {
    format!(
        "pattern idle_{i} key by card
           match a: tx where amount > {high} followed by b: tx where amount > {high} within 10m\n",
        high = 1_000_000 + i
    )
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    GROUPS.into_iter().flat_map(|(group, log, pattern)| {
        NUMBERS.map(|number| Case {
            group,
            events_max: 100_000,
            ..Case::new(&format!("{group}_{number}"), log, &(0..number).map(pattern).collect::<String>())
        })
    })
}

/// Sixty patterns that compare each payment with those before: nearly all of the work is the engine's.
pub(crate) fn heavy() -> Case {
    let of = |i| {
        format!(
            "pattern heavy_{i} key by card
               match a: tx where amount > {low}
               followed by b: tx where amount > a.amount * 1.01
               followed by c: tx where amount < b.amount / 4 and merchant != a.merchant within 10m\n",
            low = 200 + i
        )
    };
    let patterns: String = (0..60).map(of).collect();
    Case { events_max: 100_000, ..Case::new("heavy", Workload::CardTesting, &patterns) }
}
