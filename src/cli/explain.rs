//! `sequor explain`: what patterns compile to, as text, as a graph or as a picture.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{IO, USAGE, fail, load};
use crate::pattern::explain::{Format, Graph, render};
use crate::pattern::{Compiled, ast};

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

/// Explains patterns.
pub fn run(args: ExplainArgs) -> ExitCode {
    let compiled = match load::compiled(&args.files) {
        Ok(compiled) => compiled,
        Err(status) => return status,
    };
    let text = match explained(&args, &compiled) {
        Ok(text) => text,
        Err(message) => return fail(USAGE, message),
    };
    match &args.output {
        Some(file) => match fs::write(file, &text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(IO, format!("cannot write `{}`: {error}", file.display())),
        },
        None => match io::stdout().write_all(text.as_bytes()) {
            // Who reads only the beginning has what they wanted.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                fail(IO, format!("cannot write the explanation: {error}"))
            }
            _ => ExitCode::SUCCESS,
        },
    }
}

/// The renderings of the patterns that are asked for, or what is wrong.
fn explained(args: &ExplainArgs, files: &[(String, Compiled)]) -> Result<String, String> {
    let all: Vec<(String, Option<Graph>)> =
        files.iter().flat_map(|(_, compiled)| graphs(compiled, args.pattern.as_deref())).collect();
    match (&args.pattern, all.as_slice()) {
        (Some(name), []) => return Err(format!("there is no pattern `{name}`")),
        (_, [_, _, ..]) if matches!(args.format, Format::Mermaid | Format::Svg) => {
            let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(format!("this format is of one pattern: choose with --pattern ({names})"));
        }
        _ => {}
    }
    let mut out = String::new();
    for (name, graph) in &all {
        let Some(graph) = graph else {
            return Err(format!("the pattern `{name}` has too many ways between its stages to explain"));
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
