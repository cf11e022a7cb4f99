//! `sequor explain`: what patterns compile to, as text, as a graph or as a picture.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::pattern::explain::{Format, Graph, render};
use crate::pattern::render::Source;
use crate::pattern::{Compiled, Limits, ast, compile};

/// Arguments of `sequor explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Files of patterns
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Explain this pattern only
    #[arg(long, value_name = "NAME")]
    pattern: Option<String>,
    /// The rendering; mermaid and svg are of one pattern
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = format())]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn format() -> impl TypedValueParser<Value = Format> {
    let names = PossibleValuesParser::new(Format::ALL.map(|(name, _)| name));
    names.map(|name| Format::named(&name).unwrap_or(Format::Text))
}

/// A failed read or write.
const IO: u8 = 1;
/// A bad pattern or bad flags.
const USAGE: u8 = 2;

/// Explains patterns.
pub fn run(args: ExplainArgs) -> ExitCode {
    let result = explained(&args).and_then(|text| {
        let written = match &args.output {
            Some(file) => {
                fs::write(file, &text).map_err(|e| format!("cannot write `{}`: {e}", file.display()))
            }
            None => match io::stdout().write_all(text.as_bytes()) {
                // Who reads only the beginning has what they wanted.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => other.map_err(|e| format!("cannot write the explanation: {e}")),
            },
        };
        written.map_err(|message| (IO, message))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, message)) => {
            say(&format!("sequor: {message}"));
            ExitCode::from(status)
        }
    }
}

/// The renderings of the patterns that are asked for, or the exit status and what is wrong.
fn explained(args: &ExplainArgs) -> Result<String, (u8, String)> {
    let mut all: Vec<(String, Option<Graph>)> = Vec::new();
    let mut wrong = false;
    for file in &args.files {
        let name = file.display().to_string();
        let bytes = fs::read(file).map_err(|e| (IO, format!("cannot read `{name}`: {e}")))?;
        let text = String::from_utf8(bytes).map_err(|_| (USAGE, format!("`{name}` is not valid UTF-8")))?;
        let compiled = compile(&text, &Limits::default());
        let shown = Source::new(&name, &text).render_all(&compiled.diagnostics, io::stderr().is_terminal());
        if !shown.is_empty() {
            say(shown.trim_end());
        }
        wrong |= compiled.diagnostics.has_errors();
        if !wrong {
            all.extend(graphs(&compiled, args.pattern.as_deref()));
        }
    }
    if wrong {
        return Err((USAGE, "the patterns have errors".to_owned()));
    }
    match (&args.pattern, all.as_slice()) {
        (Some(name), []) => return Err((USAGE, format!("there is no pattern `{name}`"))),
        (None, []) => return Err((USAGE, "there is no pattern".to_owned())),
        (_, [_, _, ..]) if matches!(args.format, Format::Mermaid | Format::Svg) => {
            let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err((USAGE, format!("this format is of one pattern: choose with --pattern ({names})")));
        }
        _ => {}
    }
    let mut out = String::new();
    for (name, graph) in &all {
        let Some(graph) = graph else {
            return Err((
                USAGE,
                format!("the pattern `{name}` has too many ways between its stages to explain"),
            ));
        };
        if !out.is_empty() && args.format == Format::Text {
            out.push('\n');
        }
        out.push_str(&render(graph, args.format));
    }
    Ok(out)
}

fn graphs(compiled: &Compiled, only: Option<&str>) -> Vec<(String, Option<Graph>)> {
    let tree = |name: &str| compiled.file.patterns.iter().find(|p: &&ast::Pattern| p.name.text == name);
    let asked = compiled.plans.iter().filter(|plan| only.is_none_or(|name| name == plan.name));
    asked.filter_map(|plan| Some((plan.name.clone(), Graph::new(tree(&plan.name)?, plan)))).collect()
}

fn say(text: &str) {
    // Where even standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
