//! `sequor replay`: patterns over recorded events.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{USAGE, fail, load, say};
use crate::connect::export::Exported;
use crate::connect::{self, Source};
use crate::event::decode::Format;
use crate::event::record::StreamSettings;
use crate::event::time::duration_of;
use crate::event::{TimeSpan, Timestamp};
use crate::pattern::plan::Plan;
use crate::pipeline::twin::{self, Twin};
use crate::pipeline::{Failure, Input, Outputs, Progress, Replay, Summary};

/// The stream of inputs that name none.
const DEFAULT_STREAM: &str = "events";

/// The arguments of `sequor replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A file of patterns
    #[arg(short, long = "pattern", value_name = "FILE", required_unless_present = "control_log")]
    patterns: Vec<PathBuf>,
    /// The control log of a service (`sequor export control-log`): does again what it did, with its patterns and streams, over
    /// inputs that are exports of its events (`sequor export events`), up to the frontier at the log's end
    #[arg(
        long,
        value_name = "FILE",
        requires = "inputs",
        conflicts_with_all = ["patterns", "format", "out_of_orderness", "time_field", "type_field"]
    )]
    control_log: Option<PathBuf>,
    /// Events as JSON lines or CSV, or an export of a service's events; `-` for standard input. Each input is a partition, of
    /// the stream `events` if none is named. Files that end in .gz or .zst are unpacked. Default: standard input
    #[arg(short, long = "input", value_name = "[STREAM=]FILE")]
    inputs: Vec<String>,
    /// How events are written; CSV has a header, whose names are the fields. Default: csv for files that end in .csv (or
    /// .csv.gz, .csv.zst), else jsonl
    #[arg(long, value_name = "FORMAT")]
    format: Option<InputFormat>,
    /// Where matches go, as JSON lines; `-` for standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: String,
    /// Where late events go; otherwise they are only counted
    #[arg(long, value_name = "FILE")]
    late: Option<PathBuf>,
    /// Where lines go that are no events; otherwise they are only counted
    #[arg(long, value_name = "FILE")]
    dead_letter: Option<PathBuf>,
    /// How far behind the highest event time of its partition an event may come and still count
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration_of)]
    out_of_orderness: TimeSpan,
    /// The field that holds the event time: epoch milliseconds or an RFC 3339 string
    #[arg(long, value_name = "PATH", default_value = "ts")]
    time_field: String,
    /// The field that holds the event type
    #[arg(long, value_name = "PATH", default_value = "type")]
    type_field: String,
    /// Threads that match side by side, besides as many that decode and one that reads; with 1 all is done on one. The
    /// output is the same for any number. Default: one for each processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Events that are passed on together; the output is the same for any number
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Events that may wait for the watermark to pass them
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    max_buffered_events: usize,
    /// Neither progress nor summary on standard error
    #[arg(short, long)]
    quiet: bool,
}

/// The name of a format.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum InputFormat {
    Jsonl,
    Csv,
}

/// Runs the replay.
pub fn run(args: ReplayArgs) -> ExitCode {
    if args.control_log.is_some() {
        return run_again(args);
    }
    let plans = match load::patterns(&args.patterns) {
        Ok(plans) => plans,
        Err(status) => return status,
    };
    let named: Vec<(String, String)> = match args.inputs.as_slice() {
        [] => vec![(DEFAULT_STREAM.into(), "-".into())],
        inputs => inputs.iter().map(|i| stream_and_file(i)).collect(),
    };
    if let Err(problem) = check_files(&args, &named) {
        return fail(USAGE, problem);
    }
    warn_of_unread_streams(&plans, &named);

    let mut inputs = Vec::new();
    let mut total_bytes = Some(0);
    for (stream, file) in named {
        let source = match args.format {
            None => open(&stream, &file),
            Some(InputFormat::Jsonl) => lines(connect::file::open_as(&file, Format::JsonLines)),
            Some(InputFormat::Csv) => lines(connect::file::open_as(&file, Format::Csv)),
        };
        match source {
            Ok(source) => {
                let size = std::fs::metadata(&file).ok().filter(|m| m.is_file()).map(|m| m.len());
                total_bytes = total_bytes.zip(size).map(|(a, b)| a + b);
                let name = if file == "-" { "standard input".into() } else { format!("`{file}`") };
                inputs.push(Input { stream, name, source });
            }
            Err(error) => return fail(1, format!("cannot open the input `{file}`: {error}")),
        }
    }
    let outputs = match open_outputs(&args) {
        Ok(outputs) => outputs,
        Err((file, error)) => return fail(1, format!("cannot write to `{file}`: {error}")),
    };
    let progress = Arc::new(Progress::default());
    let replay = Replay {
        plans,
        settings: StreamSettings {
            type_field: args.type_field,
            time_field: args.time_field,
            out_of_orderness: args.out_of_orderness,
        },
        inputs,
        threads: args.threads.map_or_else(processors, usize::from),
        batch_size: args.batch_size as usize,
        max_buffered_events: args.max_buffered_events,
        progress: Arc::clone(&progress),
    };
    watched(args.quiet, &progress, total_bytes, || replay.run(outputs))
}

/// Does again what a service did.
fn run_again(args: ReplayArgs) -> ExitCode {
    let inputs: Vec<(String, String)> =
        args.inputs.iter().map(|file| (DEFAULT_STREAM.into(), file.clone())).collect();
    if let Err(problem) = check_files(&args, &inputs) {
        return fail(USAGE, problem);
    }
    if args.inputs.iter().any(|file| file == "-") {
        return fail(
            USAGE,
            "exports of events are read once for each stream: give a file for standard input",
        );
    }
    let log = args.control_log.as_deref().unwrap_or(Path::new("-"));
    let text = match load::read(log) {
        Ok(text) => text,
        Err(error) => return fail(1, format!("cannot read the control log `{}`: {error}", log.display())),
    };
    let entries = match twin::entries(&text) {
        Ok(entries) => entries,
        Err(failure) => return fail(1, failure.to_string()),
    };
    let outputs = match open_outputs(&args) {
        Ok(outputs) => outputs,
        Err((file, error)) => return fail(1, format!("cannot write to `{file}`: {error}")),
    };
    let progress = Arc::new(Progress::default());
    let twin = Twin {
        entries,
        files: args.inputs,
        threads: args.threads.map_or_else(processors, usize::from),
        batch_size: args.batch_size as usize,
        max_buffered_events: args.max_buffered_events,
        progress: Arc::clone(&progress),
    };
    watched(args.quiet, &progress, None, || twin.run(outputs))
}

/// Runs, shows meanwhile how far it has come, and tells what became of it.
fn watched(
    quiet: bool,
    progress: &Progress,
    total_bytes: Option<u64>,
    run: impl FnOnce() -> Result<Summary, Failure>,
) -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "the summary tells how long it took; no output depends on it"
    )]
    let begun = Instant::now();
    let shows = !quiet && io::stderr().is_terminal();
    match with_progress(shows, progress, total_bytes, begun, run) {
        Ok(summary) => {
            if !quiet {
                summarize(&summary, begun.elapsed());
            }
            ExitCode::SUCCESS
        }
        // Whoever read the matches has seen enough.
        Err(Failure::Write(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => fail(1, failure.to_string()),
    }
}

/// An input by its name and, if it is a file, by how it begins: of an export, the lines of the stream.
fn open(stream: &str, file: &str) -> io::Result<Box<dyn Source>> {
    // What cannot be read as one is told by whoever reads it as lines.
    if Path::new(file).is_file()
        && let Ok(Some(exported)) = Exported::open(file, stream)
    {
        return Ok(Box::new(exported));
    }
    lines(connect::file::open(file))
}

fn lines(opened: io::Result<connect::file::Lines>) -> io::Result<Box<dyn Source>> {
    opened.map(|lines| Box::new(lines) as Box<dyn Source>)
}

/// As many as there are, within reason.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(16))
}

/// The stream and the file of an `--input`. A path separator before the `=` means that there is no stream.
fn stream_and_file(input: &str) -> (String, String) {
    match input.split_once('=') {
        Some((stream, file)) if !stream.is_empty() && !stream.contains(['/', '\\', '.']) => {
            (stream.into(), file.into())
        }
        _ => (DEFAULT_STREAM.into(), input.into()),
    }
}

/// No file may be written twice, or read and written.
fn check_files(args: &ReplayArgs, inputs: &[(String, String)]) -> Result<(), String> {
    let same_place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let read: BTreeSet<PathBuf> =
        inputs.iter().filter(|i| i.1 != "-").map(|i| same_place(Path::new(&i.1))).collect();
    if inputs.iter().filter(|i| i.1 == "-").count() > 1 {
        return Err("standard input can be only one of the inputs".into());
    }
    if [&args.late, &args.dead_letter].into_iter().flatten().any(|path| path.as_os_str() == "-") {
        return Err("standard output is for matches alone: give --late and --dead-letter a file".into());
    }
    let mut written = BTreeSet::new();
    let output = (args.output != "-").then(|| PathBuf::from(&args.output));
    for path in output.iter().chain(&args.late).chain(&args.dead_letter) {
        // Devices like /dev/null may be written to by everybody.
        if path.exists() && !path.is_file() {
            continue;
        }
        let place = same_place(path);
        if read.contains(&place) {
            return Err(format!("`{}` is an input: write to another file", path.display()));
        }
        if !written.insert(place) {
            return Err(format!(
                "`{}` is given for two outputs: each needs a file of its own",
                path.display()
            ));
        }
    }
    Ok(())
}

fn warn_of_unread_streams(plans: &[Plan], inputs: &[(String, String)]) {
    for plan in plans {
        for stream in plan.streams.iter().flatten() {
            if !inputs.iter().any(|(s, _)| s == stream) {
                let name = &plan.name;
                say(format!(
                    "warning: pattern `{name}` reads the stream `{stream}`, which no --input names (--input {stream}=FILE)"
                ));
            }
        }
    }
}

fn open_outputs(args: &ReplayArgs) -> Result<Outputs<'static>, (String, io::Error)> {
    let create = |path: &Path| -> Result<Box<dyn Write + Send>, (String, io::Error)> {
        match File::create(path) {
            Ok(file) => Ok(Box::new(BufWriter::with_capacity(1 << 18, file))),
            Err(error) => Err((path.display().to_string(), error)),
        }
    };
    Ok(Outputs {
        matches: match args.output.as_str() {
            "-" => Box::new(BufWriter::with_capacity(1 << 16, io::stdout())),
            file => create(Path::new(file))?,
        },
        late: args.late.as_deref().map(create).transpose()?,
        dead_letters: args.dead_letter.as_deref().map(create).transpose()?,
    })
}

/// Runs `work`, and shows how far it has come while it runs.
fn with_progress<T>(
    shows: bool,
    progress: &Progress,
    total: Option<u64>,
    begun: Instant,
    work: impl FnOnce() -> T,
) -> T {
    if !shows {
        return work();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let shower = scope.spawn(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template =
                if total.is_some() { "{bar:30} {percent:>3}%  {msg}" } else { "{spinner} {bytes}  {msg}" };
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            while !done.load(Relaxed) {
                let rate = progress.events() as f64 / begun.elapsed().as_secs_f64().max(0.001);
                let time = Timestamp(progress.time());
                let (events, matches) = (count(progress.events()), count(progress.matches()));
                bar.set_position(progress.bytes());
                bar.set_message(format!(
                    "{events} events, {}/s, {matches} matches, at {time}",
                    count(rate as u64)
                ));
                thread::park_timeout(Duration::from_millis(100));
            }
            bar.finish_and_clear();
        });
        let result = work();
        done.store(true, Relaxed);
        shower.thread().unpark();
        result
    })
}

fn summarize(summary: &Summary, took: Duration) {
    let (lines, engine) = (&summary.ingest, &summary.engine);
    let seconds = took.as_secs_f64();
    let rate = count((lines.events as f64 / seconds.max(1e-9)) as u64);
    say(format!("{} events in {seconds:.2} s ({rate} events/s)", count(lines.events)));
    say(format!(
        "{} matches, {} timeouts; {} late, {} dead letters, {} blank lines",
        count(engine.matches),
        count(engine.timeouts),
        count(lines.late),
        count(lines.dead_letters),
        count(lines.blank)
    ));
    for (name, without) in summary.patterns.iter().zip(&engine.without_key).filter(|(_, n)| **n > 0) {
        say(format!("{} events had no key for pattern `{name}`", count(*without)));
    }
    if engine.type_errors > 0 {
        say(format!("{} comparisons of values of different kinds (null)", count(engine.type_errors)));
    }
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
