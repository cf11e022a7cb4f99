//! How fast the engine is and what it holds: `./dev bench`, or `./dev bench card_testing --runs 9`.
//! docs/performance.md says what each figure means.

#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]

mod case;
mod compare;
mod floors;
#[path = "../common/generate.rs"]
#[expect(dead_code, reason = "names of workloads are for the program that writes logs")]
mod generate;
mod instructions;
mod many;
mod measure;
mod memory;
mod replay;
mod report;
mod state;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use case::Case;
use clap::Parser;
use measure::{Runs, timed};
use memory::Outcome;
use report::{Line, Report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured, in this order.
const PARTS: [&str; 5] = ["memory", "order", "floors", "replay", "state"];

/// Measure Sequor on workloads that are the same everywhere.
#[derive(Parser)]
struct Arguments {
    /// Workloads or groups of them (--list), and parts: memory, order, floors, replay, state. Default: everything;
    /// `memory` alone where there are only workloads
    only: Vec<String>,
    /// Events of a workload; some take fewer
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Keys of `state`
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// How often each is run; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Take a workload's events from a file of JSON lines
    #[arg(long = "file", value_name = "WORKLOAD=PATH", value_parser = workload_and_path)]
    files: Vec<(String, PathBuf)>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Compare with another revision, in turns, by CPU time
    #[arg(long, value_name = "REV")]
    compare: Option<String>,
    /// Count instructions an event with callgrind, over 20,000 events
    #[arg(long)]
    instructions: bool,
    /// Print the names of the workloads
    #[arg(long)]
    list: bool,
    /// Run each loop once: what `--instructions` counts
    #[arg(long, hide = true)]
    loops: bool,
    /// cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn workload_and_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write WORKLOAD=PATH")?;
    Ok((name.to_owned(), path.into()))
}

impl Arguments {
    fn is_part(name: &str) -> bool {
        PARTS.contains(&name)
    }

    /// Whether a part is to be measured.
    fn part(&self, name: &str) -> bool {
        match self.only.iter().any(|only| Arguments::is_part(only)) {
            true => self.only.iter().any(|only| only == name),
            false => self.only.is_empty() || name == "memory",
        }
    }

    /// Whether a workload is to be measured.
    fn workload(&self, case: &Case) -> bool {
        let mut named = self.only.iter().filter(|only| !Arguments::is_part(only)).peekable();
        named.peek().is_none() || named.any(|only| *only == case.name || only == case.group)
    }

    fn lines(&self, case: &Case) -> Result<Vec<u8>, String> {
        let file = self.files.iter().find(|(name, _)| *name == case.name).map(|(_, path)| path);
        case.lines(self.events, file)
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let all = case::all();
    if arguments.list {
        all.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }
    let known =
        |name: &str| Arguments::is_part(name) || all.iter().any(|c| c.name == name || c.group == name);
    let named = arguments.only.iter().chain(arguments.files.iter().map(|file| &file.0));
    if let Some(unknown) = named.into_iter().find(|name| !known(name)) {
        return Err(format!("there is no workload `{unknown}`: see --list"));
    }
    let cases: Vec<&Case> = all.iter().filter(|case| arguments.workload(case)).collect();
    if arguments.loops {
        let events = instructions::run_loops(cases[0], &arguments.lines(cases[0])?)?;
        println!("{events}");
        return Ok(());
    }
    if arguments.instructions {
        println!("{}", instructions::heading());
        return cases.iter().try_for_each(|case| instructions::run(case, arguments.events.min(20_000)));
    }
    if let Some(revision) = &arguments.compare {
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        let mut passed = vec!["--events".to_owned(), arguments.events.to_string()];
        passed.extend(arguments.only.iter().filter(|only| Arguments::is_part(only)).cloned());
        return compare::run(revision, &names, &passed, arguments.runs);
    }
    let report = Report { json: arguments.json };
    if arguments.part("memory") {
        in_memory(arguments, &cases, &report)?;
    }
    if arguments.part("order") {
        report.heading("ordering alone");
        for case in cases.iter().filter(|case| case.group.is_empty()) {
            let runs = memory::ordering(case, &arguments.lines(case)?, arguments.runs)?;
            report.line(&Line {
                part: "order",
                name: &case.name,
                runs: &runs,
                tally: None,
                remark: String::new(),
            });
        }
    }
    if arguments.part("floors") {
        by_hand(arguments, &all[0], &report)?;
    }
    if arguments.part("replay") {
        report.heading("from a file");
        for case in &cases {
            replay::run(case, &arguments.lines(case)?, arguments.runs, &report)?;
        }
    }
    if arguments.part("state") {
        state::run(arguments.keys, &report)?;
    }
    Ok(())
}

/// All workloads in memory, and what those of a group say together.
fn in_memory(arguments: &Arguments, cases: &[&Case], report: &Report) -> Result<(), String> {
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    report.heading("in memory");
    for case in cases {
        let outcome = memory::run(case, &arguments.lines(case)?, arguments.runs)?;
        let (keys, steps, kept) = outcome.held;
        let remark = format!("{keys} keys, {steps} steps, {kept} events held");
        let (runs, tally) = (&outcome.runs, Some(outcome.tally));
        report.line(&Line { part: "memory", name: &case.name, runs, tally, remark });
        outcomes.insert(&case.name, outcome);
    }
    for (few, many) in [("overlap_1", "overlap_10000"), ("react_1", "react_10000")]
        .into_iter()
        .chain([("idle_types_1", "idle_types_10000"), ("idle_values_1", "idle_values_10000")])
        .chain([("abc_update_100", "abc_update_100000"), ("in_order", "out_of_order")])
    {
        if let Some((few_outcome, many_outcome)) = outcomes.get(few).zip(outcomes.get(many)) {
            let ratio = many_outcome.runs.nanoseconds() / few_outcome.runs.nanoseconds();
            report.remark(&format!("{many}: {ratio:.2} times the CPU an event of {few}"));
        }
    }
    for window in ["100", "1000", "10000"] {
        let of = |group: &str| outcomes.get(format!("{group}_{window}").as_str());
        if let Some((all, update)) = of("abc_any").zip(of("abc_update")) {
            let cpu = |runs: &Runs| runs.median(|spent| spent.cpu);
            let each = (cpu(&all.runs) - cpu(&update.runs)) * 1e9 / all.tally.matches.max(1) as f64;
            report.remark(&format!("abc_any_{window}: {each:.1} ns of CPU a match, updates taken off"));
        }
    }
    Ok(())
}

/// card_testing as one would write it by hand, over typed events.
fn by_hand(arguments: &Arguments, case: &Case, report: &Report) -> Result<(), String> {
    let lines = arguments.lines(case)?;
    let payments = floors::Payments::new(&lines);
    report.heading("card_testing by hand");
    for (name, always) in [("look-ups where needed", false), ("a look-up at each event", true)] {
        let mut runs = Runs::new(payments.len());
        let mut tally = None;
        for _ in 0..arguments.runs {
            let (found, spent) = timed(|| payments.match_by_hand(always));
            tally = Some(found);
            runs.push(spent);
        }
        report.line(&Line { part: "floors", name, runs: &runs, tally, remark: String::new() });
    }
    Ok(())
}
