//! What is printed: a table to read, or with `--json` one object a line for programs.

use crate::measure::{Runs, Spent, count};
use crate::memory::Tally;

/// Prints measurements as they come.
pub(crate) struct Report {
    pub(crate) json: bool,
}

/// One measurement.
pub(crate) struct Line<'a> {
    /// What kind of measurement it is: `memory`, `replay`, …
    pub(crate) part: &'static str,
    pub(crate) name: &'a str,
    pub(crate) runs: &'a Runs,
    pub(crate) tally: Option<Tally>,
    pub(crate) remark: String,
}

impl Report {
    /// Begins a table.
    pub(crate) fn heading(&self, title: &str) {
        if !self.json {
            println!(
                "\n{title:<34} {:>10} {:>12} {:>12} {:>12} {:>9}",
                "events", "events/s", "best", "by CPU", "CPU ns"
            );
        }
    }

    /// Something said about the lines above it.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    pub(crate) fn line(&self, line: &Line<'_>) {
        let Line { part, name, runs, tally, remark } = line;
        if self.json {
            let all = |of: fn(&Spent) -> f64| runs.spent.iter().map(of).collect::<Vec<_>>();
            println!(
                "{}",
                serde_json::json!({
                    "part": part,
                    "name": name,
                    "events": runs.events,
                    "wall_seconds": all(|spent| spent.wall),
                    "thread_cpu_seconds": all(|spent| spent.cpu),
                    "cpu_seconds": all(|spent| spent.process),
                    "matches": tally.map(|tally| tally.matches),
                    "check": tally.map(|tally| tally.check),
                })
            );
            return;
        }
        let rate = |seconds: f64| count(runs.events as f64 / seconds);
        let found =
            tally.map_or(String::new(), |t| format!("{} matches ({}) ", count(t.matches as f64), t.check));
        println!(
            "{name:<34} {:>10} {:>12} {:>12} {:>12} {:>9.1}  {found}{remark}",
            runs.events,
            rate(runs.median(|spent| spent.wall)),
            rate(runs.best()),
            rate(runs.median(|spent| spent.cpu)),
            runs.nanoseconds(),
        );
    }
}
