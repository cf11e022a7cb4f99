//! Pattern files for commands: read, compiled, and what is wrong with them said on standard error.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use super::{IO, USAGE, fail, say};
use crate::pattern::plan::Plan;
use crate::pattern::render::Source;
use crate::pattern::{Compiled, Limits, compile};

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless the variable NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether to use colours on standard error.
    pub(super) fn on(self) -> bool {
        match self {
            Color::Auto => {
                io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
            }
            Color::Always => true,
            Color::Never => false,
        }
    }
}

/// What a file is called in messages.
pub(super) fn name_of(path: &Path) -> String {
    if is_stdin(path) { String::from("<stdin>") } else { path.display().to_string() }
}

/// Whether a path stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The text of a file, or of standard input.
pub(super) fn read(path: &Path) -> io::Result<String> {
    if !is_stdin(path) {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// The patterns of some files, file by file. Says all that is wrong with all of them; with an error in any, gives the
/// exit status.
pub(super) fn compiled(files: &[PathBuf]) -> Result<Vec<(String, Compiled)>, ExitCode> {
    let mut all = Vec::new();
    let mut wrong = 0;
    for file in files {
        let name = name_of(file);
        let text = match read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(fail(USAGE, format!("`{name}` is not valid UTF-8: patterns are text in UTF-8")));
            }
            Err(error) => return Err(fail(IO, format!("cannot read the patterns in `{name}`: {error}"))),
        };
        let compiled = compile(&text, &Limits::default());
        let shown = Source::new(&name, &text).render_all(&compiled.diagnostics, Color::Auto.on());
        if !shown.is_empty() {
            say(shown.trim_end());
            say("");
        }
        if compiled.diagnostics.has_errors() {
            let errors = compiled.diagnostics.iter().filter(|d| d.is_error()).count();
            wrong += errors + compiled.diagnostics.omitted();
        }
        all.push((name, compiled));
    }
    match wrong {
        0 if all.iter().all(|(_, c)| c.plans.is_empty()) => {
            Err(fail(USAGE, "the pattern files hold no pattern"))
        }
        0 => Ok(all),
        1 => Err(fail(USAGE, "1 error in the patterns")),
        n => Err(fail(USAGE, format!("{n} errors in the patterns"))),
    }
}

/// The patterns of some files together; no two may have one name.
pub(super) fn patterns(files: &[PathBuf]) -> Result<Vec<Plan>, ExitCode> {
    let mut plans: Vec<(Plan, String)> = Vec::new();
    for (file, compiled) in compiled(files)? {
        for plan in compiled.plans {
            if let Some((_, other)) = plans.iter().find(|(p, _)| p.name == plan.name) {
                let name = &plan.name;
                let text = format!("the pattern `{name}` is in both `{other}` and `{file}`: rename one");
                return Err(fail(USAGE, text));
            }
            plans.push((plan, file.clone()));
        }
    }
    Ok(plans.into_iter().map(|(plan, _)| plan).collect())
}
