//! Two revisions side by side: the benchmarks of another one are built in a work tree of its own, and both run in
//! turns, so that what else runs on the machine meets both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::measure::{count, median};

/// What a program says of a workload: by part and name, seconds of CPU and events.
type Figures = BTreeMap<(String, String), (f64, f64)>;

/// Compares each of these workloads with how it does in another revision. `passed` are arguments for both programs.
pub(crate) fn run(revision: &str, workloads: &[&str], passed: &[String], times: usize) -> Result<(), String> {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../compare");
    std::fs::create_dir_all(&place).map_err(|e| format!("cannot make {}: {e}", place.display()))?;
    // A copy, because building the other revision puts another program in this one's place.
    let this = place.join("now");
    copy(&std::env::current_exe().map_err(|e| e.to_string())?, &this)?;
    let other = build(revision, &place)?;
    let known = output(Command::new(&other).arg("--list"))
        .map_err(|why| format!("the benchmarks of {revision} are too old to be compared with: {why}"))?;
    println!("{:<34} {:>12} {:>12} {:>7}", "events/s of CPU", revision, "now", "ratio");
    for workload in workloads {
        if !known.lines().any(|name| name == *workload) {
            println!("{workload:<34} not in {revision}");
            continue;
        }
        let mut seconds: BTreeMap<(String, String), [Vec<f64>; 2]> = BTreeMap::new();
        let mut events = 0.0;
        for _ in 0..times {
            for (which, program) in [&other, &this].into_iter().enumerate() {
                for (line, (cpu, of)) in measured(program, workload, passed)? {
                    seconds.entry(line).or_default()[which].push(cpu);
                    events = of;
                }
            }
        }
        for ((part, name), [before, now]) in seconds {
            if before.is_empty() || now.is_empty() {
                println!("{name:<34} {part} is measured in one of the two only");
                continue;
            }
            let [before, now] = [before, now].map(median);
            let name = if part == "memory" { name } else { format!("{name} ({part})") };
            println!(
                "{name:<34} {:>12} {:>12} {:>7.2}",
                count(events / before),
                count(events / now),
                before / now
            );
        }
    }
    Ok(())
}

/// One run of one workload.
fn measured(program: &PathBuf, workload: &str, passed: &[String]) -> Result<Figures, String> {
    let text = output(Command::new(program).arg(workload).args(passed).args(["--runs", "1", "--json"]))?;
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let cpu = line["cpu_seconds"][0].as_f64()?;
        Some(((text("part")?, text("name")?), (cpu, line["events"].as_f64()?)))
    };
    Ok(text.lines().filter_map(read).collect())
}

/// Builds the benchmarks of a revision, unless they are there; where the program is.
fn build(revision: &str, place: &Path) -> Result<PathBuf, String> {
    let commit = format!("{revision}^{{commit}}");
    let commit = output(Command::new("git").args(["rev-parse", "--short=12", "--verify", &commit]))?;
    let (tree, program) = (place.join("tree"), place.join(commit.trim()));
    if program.exists() {
        return Ok(program);
    }
    // One that was interrupted may have left its tree.
    let _ = Command::new("git").args(["worktree", "remove", "--force"]).arg(&tree).output();
    output(Command::new("git").args(["worktree", "add", "--detach"]).arg(&tree).arg(commit.trim()))?;
    // The same target directory: what both depend on is there already.
    let mut cargo = Command::new("cargo");
    cargo.args(["bench", "--bench", "workloads", "--no-run", "--message-format=json"]);
    let said = output(cargo.current_dir(&tree).env("CARGO_TARGET_DIR", place.join("..")))?;
    let built = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["target"]["name"] == "workloads").then(|| line["executable"].as_str().map(PathBuf::from))?
    };
    let built = said.lines().find_map(built).ok_or(format!("{revision} has no benchmarks"))?;
    copy(&built, &program)?;
    output(Command::new("git").args(["worktree", "remove", "--force"]).arg(&tree))?;
    Ok(program)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::copy(from, to).map(drop).map_err(|e| format!("cannot copy {}: {e}", from.display()))
}

/// What a command prints, or why it failed.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run {name}: {e}"))?;
    if !done.status.success() {
        return Err(format!("{name} failed: {}", done.status));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
