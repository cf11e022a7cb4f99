//! Instructions an event, counted by callgrind: the figure that does not depend on how busy the machine is.

use std::process::{Command, Stdio};

use crate::case::Case;
use crate::measure::count;
use crate::memory::Bench;

/// The loops that are counted, each a function that is never inlined: callgrind counts within it alone.
const LOOPS: [&str; 3] = ["*Bench*decode*", "*Bench*order_all*", "*Bench*match_all*"];

/// What runs under callgrind: each loop once. How many events there were.
pub(crate) fn run_loops(case: &Case, lines: &[u8]) -> Result<usize, String> {
    let mut bench = Bench::new(case)?;
    let decoded = bench.decode(lines, 0);
    let events = decoded.iter().map(|stretch| stretch.block.heads.len()).sum();
    let batches = bench.order_all(decoded).map_err(|e| e.to_string())?;
    std::hint::black_box(bench.match_all(&batches));
    Ok(events)
}

/// Counts a workload's loops: twice as many events less as many, so that what is done once does not count.
pub(crate) fn run(case: &Case, events: u64) -> Result<(), String> {
    let mut text = format!("{:<20}", case.name);
    for function in LOOPS {
        let (few, fewer_instructions) = counted(&case.name, events, function)?;
        let (many, more_instructions) = counted(&case.name, 2 * events, function)?;
        let each = (more_instructions - fewer_instructions) / (many - few).max(1.0);
        text.push_str(&format!(" {:>10}", count(each)));
    }
    println!("{text}");
    Ok(())
}

pub(crate) fn heading() -> String {
    format!("{:<20} {:>10} {:>10} {:>10}", "instructions/event", "decode", "order", "match")
}

/// Events and instructions of one loop.
fn counted(name: &str, events: u64, function: &str) -> Result<(f64, f64), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={function}"))
        .arg(program)
        .args([name, "--loops", "--events", &events.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            format!("cannot run valgrind: {e}. Install it, for example with `apt-get install valgrind`")
        })?;
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    let instructions = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    let events = printed.trim().parse().ok();
    events.zip(instructions).ok_or_else(|| format!("valgrind did not count:\n{said}"))
}
