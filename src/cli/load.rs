//! Pattern files for commands: read, compiled, and what is wrong with them said on standard error.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{USAGE, fail, say};
use crate::pattern::plan::Plan;
use crate::pattern::render::Source;
use crate::pattern::{Compiled, Limits, compile};

/// The patterns of some files. Says all that is wrong with all of them; with an error in any, gives the exit status.
pub(super) fn patterns(files: &[PathBuf]) -> Result<Vec<Plan>, ExitCode> {
    let mut plans: Vec<(Plan, &Path)> = Vec::new();
    let mut wrong = 0;
    for file in files {
        let name = file.display().to_string();
        let text = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => return Err(fail(1, format!("cannot read the patterns in `{name}`: {error}"))),
        };
        let Ok(text) = String::from_utf8(text) else {
            return Err(fail(USAGE, format!("`{name}` is not valid UTF-8: patterns are text in UTF-8")));
        };
        let Compiled { plans: of_file, diagnostics, .. } = compile(&text, &Limits::default());
        let shown = Source::new(&name, &text).render_all(&diagnostics, io::stderr().is_terminal());
        if !shown.is_empty() {
            say(shown.trim_end());
            say("");
        }
        if diagnostics.has_errors() {
            wrong += diagnostics.iter().filter(|d| d.is_error()).count() + diagnostics.omitted();
            continue;
        }
        for plan in of_file {
            if let Some((_, other)) = plans.iter().find(|(p, _)| p.name == plan.name) {
                let text = format!("the pattern `{}` is in both `{}` and `{name}`: rename one", plan.name, other.display());
                return Err(fail(USAGE, text));
            }
            plans.push((plan, file));
        }
    }
    match wrong {
        0 if plans.is_empty() => Err(fail(USAGE, "the pattern files hold no pattern")),
        0 => Ok(plans.into_iter().map(|(plan, _)| plan).collect()),
        1 => Err(fail(USAGE, "1 error in the patterns")),
        n => Err(fail(USAGE, format!("{n} errors in the patterns"))),
    }
}
