//! The command line: one file per command.

use std::process::ExitCode;

pub mod scenario;
pub mod test;

/// Runs the program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
