//! `sequor fmt`: puts patterns in canonical form, comments and all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::check::{complain, tell};
use super::load::{Color, is_stdin, name_of, read};
use crate::pattern::render::Source;
use crate::pattern::{Limits, format};

/// Put pattern files in canonical form
#[derive(Debug, clap::Args)]
pub struct FmtArgs {
    /// Pattern files, which are changed in place; `-` reads standard input and writes standard output
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Change nothing; name the files that are not in canonical form
    #[arg(long)]
    pub check: bool,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It is in canonical form.
    Well,
    /// It was to be checked only, and is not in canonical form; or it could not be read or written.
    Failed,
    /// It has mistakes, and was left alone.
    Refused,
}

/// Puts all files in form. The exit status is 0 where all is well, 2 where a file has mistakes (it is left alone), 1
/// where one could not be read or written, or with `--check` would be changed.
pub fn run(args: FmtArgs) -> ExitCode {
    let outcomes = args.files.iter().map(|path| match one(path, &args) {
        Ok(outcome) => outcome,
        Err(error) => {
            complain(&name_of(path), &error);
            Outcome::Failed
        }
    });
    match outcomes.max() {
        None | Some(Outcome::Well) => ExitCode::SUCCESS,
        Some(Outcome::Failed) => ExitCode::from(1),
        Some(Outcome::Refused) => ExitCode::from(2),
    }
}

fn one(path: &Path, args: &FmtArgs) -> io::Result<Outcome> {
    let text = read(path)?;
    let name = name_of(path);
    let canonical = match format(&text, &Limits::default()) {
        Ok(canonical) => canonical,
        Err(diagnostics) => {
            tell(&Source::new(&name, &text).render_all(&diagnostics, args.color.on()))?;
            return Ok(Outcome::Refused);
        }
    };
    if args.check {
        if canonical == text {
            return Ok(Outcome::Well);
        }
        tell(&format!("{name} is not in canonical form\n"))?;
        return Ok(Outcome::Failed);
    }
    if is_stdin(path) {
        io::stdout().lock().write_all(canonical.as_bytes())?;
    } else if canonical != text {
        fs::write(path, canonical)?;
    }
    Ok(Outcome::Well)
}
