//! The command line: one file per command.

use std::process::ExitCode;

pub mod scenario;

/// Runs the program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
