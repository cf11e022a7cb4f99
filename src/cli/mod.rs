//! The command line: one file per command. Exit status: 0 for success, 1 for a failed read or write (or a failed
//! check), 2 for a bad pattern or bad flags, 78 for bad settings of the service.

pub mod backup;
pub mod check;
mod client;
pub mod completions;
pub mod config;
pub mod explain;
pub mod export;
pub mod fmt;
pub mod load;
mod logging;
pub mod pattern;
pub mod replay;
pub mod scenario;
pub mod serve;
mod telemetry;
pub mod test;
pub mod token;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Complex event processing: patterns over event streams, and the same answer every time.
#[derive(Debug, Parser)]
#[command(name = "sequor", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run patterns over recorded events and write every match
    Replay(replay::ReplayArgs),
    /// Run the service: events in over HTTP, matches out
    Serve(serve::ServeArgs),
    /// Say what is wrong with patterns, and what may be meant
    Check(check::CheckArgs),
    /// Write patterns in the standard form
    Fmt(fmt::FmtArgs),
    /// Show the automaton of a pattern, and what it may cost
    Explain(explain::ExplainArgs),
    /// Run scenario tests of patterns
    Test(test::Arguments),
    /// Write what the service retains to files: events, or the control log
    Export(export::ExportArgs),
    /// Write all that a running service keeps to a file, as of one moment
    Backup(backup::BackupArgs),
    /// Make a data directory of a backup
    Restore(backup::RestoreArgs),
    /// Make a running service write its state now
    Savepoint(backup::SavepointArgs),
    /// Make, list and remove the tokens that let others use the service
    Token(token::TokenArgs),
    /// List, apply and remove the patterns of a running service
    Pattern(pattern::PatternArgs),
    /// Check and show the settings of the service
    Config(config::ConfigArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the description of the service's API (OpenAPI 3.1)
    #[command(hide = true)]
    Openapi,
}

/// Runs the program.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Replay(args) => replay::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Test(args) => test::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Savepoint(args) => backup::savepoint(&args),
        Command::Token(args) => token::run(args),
        Command::Pattern(args) => pattern::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Openapi => match io::stdout().write_all(crate::api::openapi::yaml().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(IO, format!("cannot write the description: {error}")),
        },
    }
}

/// A failed read or write, or a failed check.
const IO: u8 = 1;
/// Bad flags or a bad pattern.
const USAGE: u8 = 2;

/// Writes a line to standard error.
fn say(text: impl AsRef<str>) {
    // Where even standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

/// Says what is wrong and gives the exit status.
fn fail(status: u8, text: impl AsRef<str>) -> ExitCode {
    say(format!("sequor: {}", text.as_ref()));
    ExitCode::from(status)
}
