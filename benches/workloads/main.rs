//! How fast the engine is and what it holds: `./dev bench`, or `./dev bench card_testing --runs 9`.
//! docs/performance.md says what each figure means.

#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]

mod case;
#[path = "../common/generate.rs"]
#[expect(dead_code, reason = "names of workloads are for the program that writes logs")]
mod generate;
mod measure;
mod memory;
mod replay;
mod state;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use case::Case;
use clap::Parser;
use measure::Runs;
use replay::Replays;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Sequor on workloads that are the same everywhere.
#[derive(Parser)]
struct Arguments {
    /// What to run: workloads by name, or `memory` (all of them), `replay`, `threads`, `state`. Default: everything
    only: Vec<String>,
    /// Events of a workload; some take fewer
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often each is run; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Take a workload's events from a file of JSON lines
    #[arg(long = "file", value_name = "WORKLOAD=PATH", value_parser = workload_and_path)]
    files: Vec<(String, PathBuf)>,
    /// cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn workload_and_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write WORKLOAD=PATH")?;
    Ok((name.to_owned(), path.into()))
}

impl Arguments {
    fn wants(&self, names: &[&str]) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| names.contains(&only.as_str()))
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
    let cases = case::all();
    let known = |only: &String| {
        ["memory", "replay", "threads", "state"].contains(&only.as_str())
            || cases.iter().any(|c| c.name == *only)
    };
    if let Some(unknown) =
        arguments.only.iter().chain(arguments.files.iter().map(|f| &f.0)).find(|o| !known(o))
    {
        return Err(format!("there is no workload `{unknown}`"));
    }
    if cases.iter().any(|c| arguments.wants(&["memory", &c.name])) {
        println!("{}", memory::heading());
    }
    for case in &cases {
        if arguments.wants(&["memory", &case.name]) {
            let outcome = memory::run(case, &arguments.lines(case)?, arguments.runs)?;
            println!("{}", outcome.line(&case.name));
        }
    }
    if arguments.wants(&["replay"]) {
        from_file(arguments, &cases[0])?;
    }
    if arguments.wants(&["threads"]) {
        threads(arguments)?;
    }
    if arguments.wants(&["state"]) {
        println!();
        state::run()?;
    }
    Ok(())
}

/// The workload's lines in a file.
fn in_file(arguments: &Arguments, case: &Case) -> Result<tempfile::NamedTempFile, String> {
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
    file.write_all(&arguments.lines(case)?).map_err(|e| e.to_string())?;
    Ok(file)
}

/// Replays of card_testing and the floors under them.
fn from_file(arguments: &Arguments, case: &Case) -> Result<(), String> {
    let file = in_file(arguments, case)?;
    let floors = replay::floors(file.path(), arguments.runs).map_err(|e| e.to_string())?;
    let [one, two] = replay::one_and_two(case, file.path(), arguments.runs)?;
    let memory = memory::run(case, &arguments.lines(case)?, arguments.runs)?.runs;
    println!("{}", replay::heading("card_testing from a file"));
    for (name, runs) in &floors {
        println!("{}", replay::line(name, runs, ""));
    }
    let ratio = |part: &Runs, whole: &Runs| part.median() / whole.median();
    let (parse, by_hand) = (&floors[1].1, &floors[2].1);
    for (name, replays) in [("replay, 1 thread", &one), ("replay, 2 threads", &two)] {
        let Replays { runs, matches, cpu } = replays;
        let remark =
            format!("{:.2} times the bare parse; {matches} matches, {cpu:.2} s CPU", ratio(runs, parse));
        println!("{}", replay::line(name, runs, &remark));
    }
    let remark = format!("{:.2} times by hand", ratio(&memory, by_hand));
    println!("{}", replay::line("the engine alone, in memory", &memory, &remark));
    Ok(())
}

/// Sixty patterns with one thread and with two.
fn threads(arguments: &Arguments) -> Result<(), String> {
    let case = case::heavy();
    let file = in_file(arguments, &case)?;
    let [one, two] = replay::one_and_two(&case, file.path(), arguments.runs)?;
    println!("{}", replay::heading("60 patterns from a file"));
    let remark = format!("{} matches, {:.2} s CPU", one.matches, one.cpu);
    println!("{}", replay::line("1 thread", &one.runs, &remark));
    let remark = format!("{:.2} times one; {:.2} s CPU", two.runs.median() / one.runs.median(), two.cpu);
    println!("{}", replay::line("2 threads", &two.runs, &remark));
    Ok(())
}
