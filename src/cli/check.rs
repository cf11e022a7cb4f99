//! `sequor check`: what is wrong with patterns, for people or as JSON lines.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::load::{Color, name_of, read};
use crate::pattern::diagnostic::{Diagnostic, Diagnostics, Severity, Span};
use crate::pattern::render::Source;
use crate::pattern::{Limits, compile};

/// Check pattern files and tell what is wrong with them
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Pattern files; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How to tell what was found: for people on standard error, or as JSON lines on standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Refuse patterns with warnings as well
    #[arg(long)]
    pub deny_warnings: bool,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// How to tell what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Excerpts of the text with the place marked
    Human,
    /// One JSON object a line
    Json,
}

/// Checks all files. The exit status is 0 where all is well, 2 where a pattern is not, 1 where a file could not be
/// read.
pub fn run(args: CheckArgs) -> ExitCode {
    let mut unread = false;
    let mut refused = false;
    for path in &args.files {
        let name = name_of(path);
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                complain(&name, &error);
                unread = true;
                continue;
            }
        };
        let diagnostics = compile(&text, &Limits::default()).diagnostics;
        refused |= diagnostics.has_errors() || (args.deny_warnings && !diagnostics.is_empty());
        let source = Source::new(&name, &text);
        let told = match args.format {
            Format::Human => tell(&source.render_all(&diagnostics, args.color.on())),
            Format::Json => tell_json(&name, &source, &diagnostics),
        };
        unread |= told.is_err();
    }
    match (unread, refused) {
        (true, _) => ExitCode::from(1),
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// Writes to standard error, for people.
pub(super) fn tell(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

/// Says that something could not be read or written. Where not even that can be written nothing more can be done.
pub(super) fn complain(name: &str, error: &io::Error) {
    let _ = tell(&format!("sequor: {name}: {error}\n"));
}

/// A diagnostic as JSON: places are lines and columns (in characters) from 1, the end of a range is exclusive.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(flatten)]
    place: Range,
    severity: Severity,
    code: &'a str,
    message: &'a str,
    help: Option<&'a str>,
    related: Vec<Related<'a>>,
    suggestion: Option<Replacement<'a>>,
}

#[derive(Serialize)]
struct Range {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
struct Related<'a> {
    #[serde(flatten)]
    place: Range,
    message: &'a str,
}

#[derive(Serialize)]
struct Replacement<'a> {
    #[serde(flatten)]
    place: Range,
    replacement: &'a str,
}

fn tell_json(name: &str, source: &Source<'_>, diagnostics: &Diagnostics) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for diagnostic in diagnostics {
        serde_json::to_writer(&mut out, &line(name, source, diagnostic))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn line<'a>(file: &'a str, source: &Source<'_>, diagnostic: &'a Diagnostic) -> Line<'a> {
    let related = diagnostic.related.iter();
    Line {
        file,
        place: range(source, diagnostic.span),
        severity: diagnostic.severity,
        code: diagnostic.code,
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
        related: related.map(|(span, message)| Related { place: range(source, *span), message }).collect(),
        suggestion: diagnostic.suggestion.as_ref().map(|suggestion| Replacement {
            place: range(source, suggestion.span),
            replacement: &suggestion.replacement,
        }),
    }
}

fn range(source: &Source<'_>, span: Span) -> Range {
    let (start, end) = (source.place(span.start), source.place(span.end));
    Range { line: start.line, column: start.column, end_line: end.line, end_column: end.column }
}
