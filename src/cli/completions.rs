//! `sequor completions`: a completion script for a shell.

use std::io;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// The arguments of `sequor completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to write it for
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    clap_complete::generate(args.shell, &mut super::Cli::command(), "sequor", &mut io::stdout());
    ExitCode::SUCCESS
}
