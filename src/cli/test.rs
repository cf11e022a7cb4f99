//! `sequor test`: runs scenario tests of patterns.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::scenario::{report, run_all};

/// The arguments of `sequor test`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Scenario files, or folders in which all files that end in .scenario.toml are run
    #[arg(default_value = "patterns")]
    paths: Vec<PathBuf>,
    /// Run only scenarios whose name, or whose file's path, contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How outcomes are reported.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people, with the differences of what failed
    Human,
    /// One JSON object
    Json,
    /// JUnit's XML, for test dashboards
    Junit,
}

/// Runs the scenarios: 0 when all passed, 1 when one failed (or the report could not be written), 2 when a file or a
/// pattern is wrong.
pub fn run(arguments: &Arguments) -> ExitCode {
    let entries = match run_all(&arguments.paths, arguments.filter.as_deref()) {
        Ok(entries) => entries,
        Err(message) => {
            let _ = writeln!(io::stderr(), "{}", message.trim_end());
            return ExitCode::from(2);
        }
    };
    let text = match arguments.format {
        Format::Human => report::human(&entries),
        Format::Json => report::json(&entries),
        Format::Junit => report::junit(&entries),
    };
    let written = io::stdout().write_all(text.as_bytes());
    if written.is_ok() && entries.iter().all(report::Entry::passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
