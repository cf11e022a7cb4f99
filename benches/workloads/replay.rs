//! Whole replays from a file, beside what nobody can do without: reading the bytes, parsing the JSON, matching.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sequor::connect;
use sequor::pipeline::{Input, Outputs, Progress, Replay};
use serde::Deserialize;

use crate::case::Case;
use crate::measure::{Runs, Spent, count, process_cpu, timed};
use crate::memory::Tally;

/// Replays a file with so many threads; matches are written as JSON, to nowhere.
pub(crate) fn replay(case: &Case, path: &Path, threads: usize) -> Result<(u64, u64, Spent), String> {
    let file = path.to_str().ok_or("the file's name is not valid UTF-8")?;
    let source = connect::file::open(file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let replay = Replay {
        plans: case.plans()?,
        settings: case.settings(),
        inputs: vec![Input { stream: "events".into(), name: file.into(), source: Box::new(source) }],
        threads,
        batch_size: 4096,
        max_buffered_events: 10_000_000,
        progress: Arc::new(Progress::default()),
    };
    let outputs = Outputs { matches: Box::new(io::sink()), late: None, dead_letters: None };
    let (summary, spent) = timed(|| replay.run(outputs));
    let summary = summary.map_err(|e| e.to_string())?;
    Ok((summary.ingest.events, summary.engine.matches, spent))
}

/// The same replay with one thread and with two, in turns, so that what else runs on the machine meets both.
pub(crate) fn one_and_two(case: &Case, path: &Path, times: usize) -> Result<[Replays; 2], String> {
    let mut results = [Replays::default(), Replays::default()];
    for time in 0..times {
        for (result, threads) in results.iter_mut().zip([1, 2]) {
            let before = process_cpu();
            let (events, matches, spent) = replay(case, path, threads)?;
            if time == 0 {
                *result = Replays { runs: Runs::new(events as usize), matches, cpu: 0.0 };
            }
            result.runs.push(spent);
            result.cpu += (process_cpu() - before) / times as f64;
        }
    }
    Ok(results)
}

/// What several replays came to.
#[derive(Default)]
pub(crate) struct Replays {
    pub(crate) runs: Runs,
    pub(crate) matches: u64,
    /// CPU of all threads, in seconds a run.
    pub(crate) cpu: f64,
}

/// A payment with only the fields that the pattern needs.
#[derive(Deserialize)]
struct Payment<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ts: i64,
    card: &'a str,
    amount: f64,
}

/// The file's bytes, and nothing done with them.
fn read(path: &Path) -> io::Result<u64> {
    let (mut file, mut buffer, mut bytes) = (File::open(path)?, vec![0; 256 << 10], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += black_box(&buffer[..read]).len() as u64,
        }
    }
}

/// The payments of lines that lie in memory, by serde_json into a type made for them.
fn parse(lines: &[u8]) -> impl Iterator<Item = Payment<'_>> {
    let lines = lines.split_inclusive(|&byte| byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok())
}

/// card_testing as one would write it by hand over typed events.
fn match_by_hand(payments: &[Payment<'_>]) -> Tally {
    let mut open: hashbrown::HashMap<&str, Vec<i64>, ahash::RandomState> = hashbrown::HashMap::default();
    let mut tally = Tally::default();
    for payment in payments.iter().filter(|p| p.kind == "tx") {
        if payment.amount > 400.0 {
            for first in open.remove(payment.card).unwrap_or_default() {
                if payment.ts - first < 600_000 {
                    tally.matches += 1;
                    tally.check = tally.check.wrapping_add(first * 31 + payment.ts);
                }
            }
        }
        if payment.amount < 2.0 {
            open.entry(payment.card).or_default().push(payment.ts);
        }
    }
    tally
}

/// The floors under a replay of card_testing: reading, parsing, matching by hand; each with its name.
pub(crate) fn floors(path: &Path, times: usize) -> io::Result<Vec<(&'static str, Runs)>> {
    let lines = std::fs::read(path)?;
    let payments: Vec<Payment<'_>> = parse(&lines).collect();
    let mut runs = [(); 3].map(|()| Runs::new(payments.len()));
    for _ in 0..times {
        let (bytes, spent) = timed(|| read(path));
        bytes?;
        runs[0].push(spent);
        runs[1].push(timed(|| parse(&lines).map(|p| black_box(p).ts).fold(0, i64::wrapping_add)).1);
        runs[2].push(timed(|| match_by_hand(black_box(&payments))).1);
    }
    Ok(["bare read of the file", "bare typed parse by serde_json", "card_testing by hand, no parsing"]
        .into_iter()
        .zip(runs)
        .collect())
}

/// The line above such lines as `line` gives.
pub(crate) fn heading(name: &str) -> String {
    format!("\n{name:<36} {:>12} {:>12} {:>12}", "events/s", "best", "by CPU")
}

/// One line: a name, what its runs came to, and a remark. CPU is that of the thread that began them.
pub(crate) fn line(name: &str, runs: &Runs, remark: &str) -> String {
    let (median, best, cpu) = (count(runs.median()), count(runs.best()), count(runs.by_cpu()));
    format!("{name:<36} {median:>12} {best:>12} {cpu:>12}  {remark}")
}
