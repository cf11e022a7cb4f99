//! The workloads: which events, and which patterns over them.

use std::path::PathBuf;

use sequor::event::TimeSpan;
use sequor::event::record::StreamSettings;
use sequor::pattern::plan::Plan;
use sequor::pattern::{Limits, compile};

use crate::generate::{self, Workload};
use crate::many;

/// A workload.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Workloads that differ in one number are compared with each other.
    pub(crate) group: &'static str,
    pub(crate) log: Workload,
    /// How many events are generated at most; all of a file are taken.
    pub(crate) events_max: u64,
    pub(crate) patterns: String,
    /// How late an event may come, in milliseconds.
    pub(crate) bound: i64,
}

pub(crate) const CARD_TESTING: &str = "pattern card_testing key by card
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

const MISSING_PAYMENT: &str = "pattern missing_payment key by order_id
  match placed: order not followed by paid: payment within 30m";

/// Every B after an A, and every event of type `last` after them; one event comes each millisecond.
fn abc_any(last: &str, window: u64, skip: &str) -> String {
    format!(
        "pattern abc_any match a: A followed by any b: B followed by any c: {last} within {window}ms after match {skip}"
    )
}

/// All workloads.
pub(crate) fn all() -> Vec<Case> {
    let abc = Workload::Abc(0.01);
    let mut all = vec![
        Case::new("card_testing", Workload::CardTesting, CARD_TESTING),
        Case { bound: 5_000, ..Case::new("in_order", Workload::CardTesting, CARD_TESTING) },
        Case { bound: 5_000, ..Case::new("out_of_order", Workload::OutOfOrder, CARD_TESTING) },
        Case::new("brute_force", Workload::BruteForce, BRUTE_FORCE),
        Case::new("rising_price", Workload::RisingPrice, RISING_PRICE),
        Case::new("missing_payment", Workload::MissingPayment, MISSING_PAYMENT),
        Case::new("abc_next", abc, ABC_NEXT),
    ];
    let of_window = |group, last, skip, window| Case {
        name: format!("{group}_{window}"),
        group,
        events_max: 100_000,
        ..Case::new("", abc, &abc_any(last, window, skip))
    };
    // With C there are matches to enumerate; no event is an E1, so there only what leads to matches is kept up to date.
    all.extend([100, 1_000, 10_000].map(|window| of_window("abc_any", "C", "no skip", window)));
    let windows = [100, 1_000, 10_000, 100_000];
    for (group, last, skip) in [
        ("abc_update", "E1", "no skip"),
        ("abc_past_last", "C", "skip past last"),
        ("abc_to_next", "C", "skip to next"),
        ("abc_update_past_last", "E1", "skip past last"),
    ] {
        all.extend(windows.map(|window| of_window(group, last, skip, window)));
    }
    all.push(many::heavy());
    all.extend(many::all());
    all
}

impl Case {
    pub(crate) fn new(name: &str, log: Workload, patterns: &str) -> Case {
        Case {
            name: name.to_owned(),
            group: "",
            log,
            events_max: u64::MAX,
            patterns: patterns.to_owned(),
            bound: 0,
        }
    }

    /// The lines: those of a file if there is one, else generated.
    pub(crate) fn lines(&self, events: u64, file: Option<&PathBuf>) -> Result<Vec<u8>, String> {
        match file {
            Some(path) => std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display())),
            None => Ok(generate::lines(self.log, events.min(self.events_max), 1)),
        }
    }

    /// The plans of the patterns, which have no mistakes.
    pub(crate) fn plans(&self) -> Result<Vec<Plan>, String> {
        // Ten thousand patterns are more than people write in one file.
        let compiled = compile(&self.patterns, &Limits { text_bytes: 16 << 20, ..Limits::default() });
        if compiled.diagnostics.has_errors() {
            return Err(format!("the benchmark's patterns do not compile: {:?}", compiled.diagnostics));
        }
        Ok(compiled.plans)
    }

    pub(crate) fn settings(&self) -> StreamSettings {
        StreamSettings { out_of_orderness: TimeSpan(self.bound), ..StreamSettings::default() }
    }
}
