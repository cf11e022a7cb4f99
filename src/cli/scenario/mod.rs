//! Scenario tests of patterns: a few events with relative times, the matches they have to give, and a runner that tries
//! them in many arrival orders, numbers of shards and batch sizes. `docs/scenarios.md` describes the format.
//!
//! - [`file`]: a scenario file, as written and as resolved.
//! - [`arrival`]: a scenario's events as input lines, in the order as written and in shuffled ones.
//! - [`run`]: the matrix of variants, run through the pipeline.
//! - [`expect`]: what was found against what was expected.
//! - [`report`]: outcomes for people, for programs, and for test dashboards.

use std::fs;
use std::path::{Path, PathBuf};

pub mod arrival;
pub mod expect;
pub mod file;
pub mod report;
pub mod run;

use report::Entry;

/// Runs the scenarios of files and folders. With a filter, only those whose name or file's path contains it. An error is
/// a text for people: a file that cannot be read, a scenario or a pattern that is wrong.
pub fn run_all(paths: &[PathBuf], filter: Option<&str>) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for path in find(paths)? {
        let file = path.display().to_string();
        let wanted = |name: &str| filter.is_none_or(|text| name.contains(text) || file.contains(text));
        let mut scenarios = file::parse(&read(&path)?, &path)?;
        scenarios.retain(|scenario| wanted(&scenario.name));
        let Some(first) = scenarios.first() else { continue };
        let plans = run::compile(&first.patterns)?;
        for scenario in scenarios {
            run::check_names(&scenario, &plans)
                .map_err(|e| format!("{file}:{}: scenario \"{}\": {e}", scenario.line, scenario.name))?;
            let outcome =
                run::run(&scenario, |arrival, shards, batch| run::replay(&plans, arrival, shards, batch))?;
            entries.push(Entry { file: file.clone(), line: scenario.line, name: scenario.name, outcome });
        }
    }
    if entries.is_empty() {
        return Err("there is no scenario to run".to_owned());
    }
    Ok(entries)
}

/// The scenario files among paths: a file as it is, of a folder all that end in `.scenario.toml`, in order of their names.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let listed = fs::read_dir(path)
            .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>());
        let mut inside = listed.map_err(|e| format!("cannot list {}: {e}", path.display()))?;
        inside.sort();
        inside.retain(|inner| inner.is_dir() || inner.to_string_lossy().ends_with(".scenario.toml"));
        found.extend(find(&inside)?);
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}
