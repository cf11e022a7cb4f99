//! The command line: one file per command.

pub mod check;
pub mod explain;
pub mod fmt;

use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
