//! Whole replays from a file, with one thread and with two, beside a bare read of it and bare parses of its lines.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use sequor::connect;
use sequor::pipeline::{Input, Outputs, Progress, Replay};

use crate::case::Case;
use crate::floors;
use crate::measure::{Runs, Spent, timed};
use crate::report::{Line, Report};

/// Replays a file with so many threads; matches are written as JSON, to nowhere.
fn replay(case: &Case, path: &Path, threads: usize) -> Result<(u64, Spent), String> {
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
    Ok((summary.engine.matches, spent))
}

/// Measures a workload from a file. All are run in turns, so that what else runs on the machine meets all of them.
pub(crate) fn run(case: &Case, lines: &[u8], times: usize, report: &Report) -> Result<(), String> {
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
    file.write_all(lines).map_err(|e| e.to_string())?;
    let parsers = floors::parsers(case.log);
    let events = parsers[0].1(&mut lines.to_vec());
    let mut all: BTreeMap<&str, Runs> = BTreeMap::new();
    let mut matches = 0;
    for _ in 0..times {
        let mut done = |name, spent| all.entry(name).or_insert_with(|| Runs::new(events)).push(spent);
        let (bytes, spent) = timed(|| floors::read(file.path()));
        bytes.map_err(|e| e.to_string())?;
        done("bare read", spent);
        for (name, parse) in parsers {
            let mut lines = lines.to_vec();
            let (parsed, spent) = timed(|| parse(&mut lines));
            if parsed != events {
                return Err(format!("{name} reads {parsed} of {events} events"));
            }
            done(name, spent);
        }
        for (threads, name) in [(1, "1 thread"), (2, "2 threads")] {
            let spent;
            (matches, spent) = replay(case, file.path(), threads)?;
            // What counts is the work of all threads together.
            done(name, Spent { cpu: spent.process, ..spent });
        }
    }
    let (quickest, _) =
        parsers.into_iter().min_by(|a, b| all[a.0].best().total_cmp(&all[b.0].best())).unwrap_or(parsers[0]);
    let floor = &all[quickest];
    for name in ["bare read"].into_iter().chain(parsers.map(|p| p.0)).chain(["1 thread", "2 threads"]) {
        let runs = &all[name];
        let remark = if name.contains("thread") {
            let ratio = |of: fn(&Spent) -> f64| floor.median(of) / runs.median(of);
            format!(
                "{matches} matches; {:.2} times the {quickest} by CPU, {:.2} by wall clock",
                ratio(|spent| spent.cpu),
                ratio(|spent| spent.wall)
            )
        } else {
            String::new()
        };
        let name = format!("{}: {name}", case.name);
        report.line(&Line { part: "replay", name: &name, runs, tally: None, remark });
    }
    Ok(())
}
