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
use measure::count;

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
    let [(one, matches), (two, _)] = replay::one_and_two(case, file.path(), arguments.runs)?;
    let memory = memory::run(case, &arguments.lines(case)?, arguments.runs)?.runs;
    println!("\n{:<36} {:>14} {:>14}", format!("{} from a file", case.name), "events/s", "best");
    for (name, runs) in &floors {
        println!("{}", replay::line(name, runs, ""));
    }
    let of =
        |part: &measure::Runs, whole: &measure::Runs| format!("{:.2} of ", part.median() / whole.median());
    let parse = &floors[1].1;
    println!(
        "{}",
        replay::line(
            "replay, 1 thread",
            &one,
            &format!("{}the bare parse; {matches} matches", of(&one, parse))
        )
    );
    println!("{}", replay::line("replay, 2 threads", &two, &format!("{}the bare parse", of(&two, parse))));
    println!(
        "{}",
        replay::line(
            "the engine alone, in memory",
            &memory,
            &format!("{}by hand", of(&memory, &floors[2].1))
        )
    );
    Ok(())
}

/// Sixty patterns with one thread and with two.
fn threads(arguments: &Arguments) -> Result<(), String> {
    let case = case::heavy();
    let file = in_file(arguments, &case)?;
    let [(one, matches), (two, _)] = replay::one_and_two(&case, file.path(), arguments.runs)?;
    println!("\n{:<36} {:>14} {:>14}", "60 patterns from a file", "events/s", "best");
    println!("{}", replay::line("1 thread", &one, &format!("{} matches", count(matches as f64))));
    println!("{}", replay::line("2 threads", &two, &format!("{:.2} times one", two.median() / one.median())));
    Ok(())
}
