//! Writes a deterministic event log: `cargo run --release --example generate -- card_testing --events 1000000 > cards.jsonl`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

#[path = "../benches/common/generate.rs"]
mod generate;

use generate::Workload;

/// Write a deterministic event log: the same arguments give the same bytes.
#[derive(Parser)]
struct Arguments {
    /// What to generate.
    #[arg(value_parser = Workload::ALL.map(|(name, _)| name))]
    workload: String,
    /// How many events.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Another seed gives another log.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of each of A, B and C (`abc` only).
    #[arg(long)]
    share: Option<f64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(workload) = Workload::named(&arguments.workload) else { return ExitCode::from(2) };
    let workload = match (workload, arguments.share) {
        (Workload::Abc(_), Some(share)) => Workload::Abc(share),
        _ => workload,
    };
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let written =
        generate::generate(workload, arguments.events, arguments.seed, &mut out).and_then(|()| out.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "cannot write: {e}");
            ExitCode::FAILURE
        }
    }
}
