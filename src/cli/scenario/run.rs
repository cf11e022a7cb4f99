//! The matrix of variants: every scenario in several orders of arrival, numbers of shards and batch sizes. Output is a
//! function of the logs, so each of them has to give the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use super::arrival::{Arrival, Order, arrange};
use super::expect::{Difference, Output, compare};
use super::file::Scenario;
use crate::connect::{self, Stretch};
use crate::event::record::StreamSettings;
use crate::pattern::plan::Plan;
use crate::pattern::render::Source;
use crate::pattern::{self, Limits};
use crate::pipeline::{Input, Outputs, Replay};

/// The orders of arrival that are tried.
const ORDERS: [Order; 7] = [
    Order::Written,
    Order::WithinBound(1),
    Order::WithinBound(2),
    Order::WithinBound(3),
    Order::Free(1),
    Order::Free(2),
    Order::Free(3),
];
/// The numbers of shards that are tried.
const SHARDS: [usize; 3] = [1, 2, 8];
/// The batch sizes that are tried: every event alone, and all at once.
const BATCHES: [usize; 2] = [1, 4096];

/// One way to run a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The order of arrival.
    pub order: Order,
    /// The number of shards.
    pub shards: usize,
    /// How many events go through the engine at once.
    pub batch: usize,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.order {
            Order::Written => f.write_str("as written")?,
            Order::WithinBound(seed) => write!(f, "shuffled within the bound (seed {seed})")?,
            Order::Free(seed) => write!(f, "shuffled at will under a longer bound (seed {seed})")?,
        }
        write!(f, ", shards: {}, batch size: {}", self.shards, self.batch)
    }
}

/// What became of a scenario.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How many variants were run.
    pub variants: usize,
    /// What went wrong; nothing if it passed.
    pub failures: Vec<Failure>,
}

/// A difference, and the variants that have it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What differs.
    pub difference: Difference,
    /// Where; at least one.
    pub variants: Vec<Variant>,
}

/// Runs a scenario in all its variants. `replay` runs its patterns over what arrives, with so many shards and batches
/// of such a size.
pub fn run<E>(
    scenario: &Scenario,
    replay: impl Fn(&Arrival, usize, usize) -> Result<Output, E>,
) -> Result<Outcome, E> {
    let mut variants = 0;
    let mut failures: BTreeMap<Difference, Vec<Variant>> = BTreeMap::new();
    for order in ORDERS {
        let Some(arrival) = arrange(scenario, order) else { continue };
        let mut first: Option<Vec<String>> = None;
        for (shards, batch) in SHARDS.into_iter().flat_map(|s| BATCHES.map(|b| (s, b))) {
            let output = replay(&arrival, shards, batch)?;
            let mut difference = compare(scenario, &output);
            // Other orders have other offsets and so other ids, but one order has the same bytes in every variant.
            match &first {
                Some(first) if *first != output.matches => difference.remarks.push(format!(
                    "the lines of the output, or their order, differ from those with {} shard and batch size {}",
                    SHARDS[0], BATCHES[0]
                )),
                Some(_) => {}
                None => first = Some(output.matches),
            }
            variants += 1;
            if !difference.is_empty() {
                failures.entry(difference).or_default().push(Variant { order, shards, batch });
            }
        }
    }
    let failures =
        failures.into_iter().map(|(difference, variants)| Failure { difference, variants }).collect();
    Ok(Outcome { variants, failures })
}

/// Reads and checks pattern files. An error has all that is wrong with them.
pub fn compile(paths: &[PathBuf]) -> Result<Vec<Plan>, String> {
    let (mut plans, mut wrong) = (Vec::new(), String::new());
    for path in paths {
        let text = super::read(path)?;
        let compiled = pattern::compile(&text, &Limits::default());
        if compiled.diagnostics.has_errors() {
            wrong +=
                &Source::new(&path.display().to_string(), &text).render_all(&compiled.diagnostics, false);
        }
        for plan in compiled.plans {
            if plans.iter().any(|other: &Plan| other.name == plan.name) {
                wrong += &format!("{}: there is another pattern called `{}`\n", path.display(), plan.name);
            }
            plans.push(plan);
        }
    }
    if wrong.is_empty() { Ok(plans) } else { Err(wrong) }
}

/// Whether the patterns that a scenario names are there.
pub fn check_names(scenario: &Scenario, plans: &[Plan]) -> Result<(), String> {
    let named = scenario.none_of.iter().chain(scenario.matches.iter().filter_map(|one| one.pattern.as_ref()));
    for name in named {
        if !plans.iter().any(|plan| plan.name == *name) {
            let known: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
            return Err(format!("there is no pattern `{name}` (there is {})", known.join(", ")));
        }
    }
    Ok(())
}

/// Runs patterns over what arrives. Lines are read, and events go through the engine, `batch` at a time.
pub fn replay(plans: &[Plan], arrival: &Arrival, shards: usize, batch: usize) -> Result<Output, String> {
    let input = |(stream, lines): &(String, Vec<String>)| Input {
        stream: stream.clone(),
        name: format!("stream {stream}"),
        source: Box::new(Memory {
            stretches: lines.chunks(batch).map(joined).collect::<Vec<_>>().into_iter(),
        }),
    };
    let replay = Replay {
        plans: plans.to_vec(),
        settings: StreamSettings { out_of_orderness: arrival.out_of_orderness, ..StreamSettings::default() },
        inputs: arrival.inputs.iter().map(input).collect(),
        threads: shards,
        batch_size: batch,
        max_buffered_events: usize::MAX,
        progress: Arc::default(),
    };
    let mut matches = Vec::new();
    let outputs = Outputs { matches: Box::new(&mut matches), late: None, dead_letters: None };
    let summary = replay.run(outputs).map_err(|e| e.to_string())?;
    let matches = String::from_utf8_lossy(&matches).lines().map(str::to_owned).collect();
    Ok(Output { matches, late: summary.ingest.late, dead_letters: summary.ingest.dead_letters })
}

fn joined(lines: &[String]) -> Vec<u8> {
    let mut stretch = lines.join("\n").into_bytes();
    stretch.push(b'\n');
    stretch
}

/// Lines in memory as a source.
struct Memory {
    stretches: std::vec::IntoIter<Vec<u8>>,
}

impl connect::Source for Memory {
    fn next(&mut self) -> io::Result<Option<Stretch>> {
        Ok(self.stretches.next().map(Stretch::Lines))
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}
