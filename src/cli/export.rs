//! `sequor export`: what a data directory retains, as files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{IO, fail};
use crate::pipeline::{Failure, export};

/// The arguments of `sequor export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What to export. For a replay export the control log first: it ends with a frontier up to which events are needed
    what: What,
    /// The data directory; the service may run
    #[arg(long, value_name = "DIR", default_value = "./sequor-data")]
    data: PathBuf,
    /// Where it goes; `-` for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// All lines of all streams, rejected ones included
    Events,
    /// All decisions, and how far everything has come
    ControlLog,
}

/// Runs the export.
pub fn run(args: &ExportArgs) -> ExitCode {
    let output: io::Result<Box<dyn Write>> = match args.output.as_os_str() == "-" {
        true => Ok(Box::new(io::stdout())),
        false => File::create(&args.output).map(|file| Box::new(file) as Box<dyn Write>),
    };
    let mut output = match output {
        Ok(output) => BufWriter::with_capacity(1 << 18, output),
        Err(error) => return fail(IO, format!("cannot write to `{}`: {error}", args.output.display())),
    };
    let exported = match args.what {
        What::Events => export::events(&args.data, &mut output),
        What::ControlLog => export::control_log(&args.data, &mut output),
    };
    match exported {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Write(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => fail(IO, failure.to_string()),
    }
}
