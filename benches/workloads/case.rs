//! The workloads: which events, and which patterns over them.

use std::path::PathBuf;

use sequor::event::TimeSpan;
use sequor::event::record::StreamSettings;
use sequor::pattern::plan::Plan;
use sequor::pattern::{Limits, compile};

use crate::generate::{self, Workload};

/// A workload.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) log: Workload,
    /// How many events are generated at most; all of a file are taken.
    pub(crate) events_max: u64,
    pub(crate) patterns: String,
    /// Whether putting the events in order is part of what is measured.
    pub(crate) reorders: bool,
}

const CARD_TESTING: &str = "pattern card_testing key by card
  match small: tx where amount < 2 followed by big: tx where amount > 400 within 10m";

const BRUTE_FORCE: &str = r#"pattern brute_force key by user
  match fail{5,}: login where outcome == "failure" consecutive next ok: login where outcome == "success"
  within 1m after match skip past last"#;

const RISING_PRICE: &str = "pattern rising_price key by symbol
  match a: tick where volume > 800
  next b+: tick where price > coalesce(b.price, a.price) consecutive greedy
  next c: tick where price < b.price
  within 1m after match skip past last";

const ABC_NEXT: &str = "pattern abc_next match a: A followed by b: B followed by c: C within 1s";

const ABC_ANY: &str = "pattern abc_any match a: A followed by any b: B followed by any c: C within 1s";

const MISSING_PAYMENT: &str = "pattern missing_payment key by order_id
  match placed: order not followed by paid: payment within 30m";

/// All workloads that run in memory.
pub(crate) fn all() -> Vec<Case> {
    let case = |name: &str, log, patterns: &str| Case {
        name: name.to_owned(),
        log,
        events_max: u64::MAX,
        patterns: patterns.to_owned(),
        reorders: log == Workload::OutOfOrder,
    };
    let abc = Workload::Abc(0.01);
    let mut all = vec![
        case("card_testing", Workload::CardTesting, CARD_TESTING),
        case("out_of_order", Workload::OutOfOrder, CARD_TESTING),
        case("brute_force", Workload::BruteForce, BRUTE_FORCE),
        case("rising_price", Workload::RisingPrice, RISING_PRICE),
        case("abc_next", abc, ABC_NEXT),
        Case { events_max: 100_000, ..case("abc_any", abc, ABC_ANY) },
        case("missing_payment", Workload::MissingPayment, MISSING_PAYMENT),
    ];
    for number in [10, 100, 1_000] {
        all.push(Case {
            events_max: 100_000,
            ..case(&format!("many_patterns_{number}"), Workload::CardTesting, &many_patterns(number))
        });
    }
    all
}

/// The pattern of card_testing for each of so many merchants.
fn many_patterns(number: usize) -> String {
    let of = |i| {
        format!(
            "pattern many_{i} key by card
               match small: tx where merchant == 'm{i}' and amount < 2
               followed by big: tx where merchant == 'm{i}' and amount > 400 within 10m\n"
        )
    };
    (0..number).map(of).collect()
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
    Case {
        name: "heavy".to_owned(),
        log: Workload::CardTesting,
        events_max: 100_000,
        patterns: (0..60).map(of).collect(),
        reorders: false,
    }
}

impl Case {
    /// The lines: those of a file if there is one, else generated.
    pub(crate) fn lines(&self, events: u64, file: Option<&PathBuf>) -> Result<Vec<u8>, String> {
        match file {
            Some(path) => std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display())),
            None => Ok(generate::lines(self.log, events.min(self.events_max), 1)),
        }
    }

    pub(crate) fn plans(&self) -> Result<Vec<Plan>, String> {
        plans(&self.patterns)
    }

    pub(crate) fn settings(&self) -> StreamSettings {
        StreamSettings {
            out_of_orderness: TimeSpan(if self.reorders { 5_000 } else { 0 }),
            ..StreamSettings::default()
        }
    }
}

/// The plans of patterns that have no mistakes.
pub(crate) fn plans(patterns: &str) -> Result<Vec<Plan>, String> {
    let limits = Limits::default();
    let compiled = compile(patterns, &limits);
    if compiled.diagnostics.has_errors() {
        return Err(format!("the benchmark's patterns do not compile: {:?}", compiled.diagnostics));
    }
    Ok(compiled.plans)
}
