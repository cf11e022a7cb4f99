//! What is wrong with settings: with its place in the file, the environment or the flags, and without the secrets there.

use std::fmt;
use std::sync::Arc;

use super::mask;
use super::node::Place;
use crate::diagnostic::render::{self, Source};
use crate::diagnostic::{Diagnostic, Span};

/// The kinds of problems; `docs/configuration.md` has the same list.
pub mod code {
    /// A file that cannot be read.
    pub const UNREADABLE: &str = "C101";
    /// A text that is no TOML.
    pub const SYNTAX: &str = "C102";
    /// A key, variable or section that there is not.
    pub const UNKNOWN: &str = "C103";
    /// A value of another type than is needed.
    pub const TYPE: &str = "C104";
    /// A value that cannot be: malformed, or out of range.
    pub const VALUE: &str = "C105";
    /// A key that has to be there and is not.
    pub const MISSING: &str = "C106";
    /// A secret in place of a reference to one.
    pub const SECRET: &str = "C107";
    /// Two things of one name, or two that write to one place.
    pub const TWICE: &str = "C108";
    /// Settings that do not go together.
    pub const CONFLICT: &str = "C109";
    /// An address that others reach, without authentication and TLS.
    pub const INSECURE: &str = "C110";

    /// All codes, in order.
    pub const ALL: &[&str] =
        &[UNREADABLE, SYNTAX, UNKNOWN, TYPE, VALUE, MISSING, SECRET, TWICE, CONFLICT, INSECURE];
}

/// Something wrong, with its place not yet drawn.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) at: Option<Place>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Another place that explains it.
    pub(super) related: Option<(Place, String)>,
}

impl Fault {
    pub(super) fn new(code: &'static str, at: impl Into<Option<Place>>, message: impl Into<String>) -> Fault {
        Fault { code, at: at.into(), message: message.into(), help: None, related: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }
}

/// A text that settings came from: its name and what of it may be shown.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    name: String,
    text: String,
}

/// A problem of the settings, ready to be told. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    diagnostic: Diagnostic,
    shown: Option<Arc<Shown>>,
}

impl Problem {
    /// One of [`code::ALL`].
    pub fn code(&self) -> &'static str {
        self.diagnostic.code
    }

    /// What, in a sentence without a full stop.
    pub fn message(&self) -> &str {
        &self.diagnostic.message
    }

    /// The way out, where there is one to tell.
    pub fn help(&self) -> Option<&str> {
        self.diagnostic.help.as_deref()
    }

    /// The name of the text that it is in (the file's, `environment` or `command line`), with line and column.
    pub fn place(&self) -> Option<(&str, render::Place)> {
        let shown = self.shown.as_ref()?;
        Some((&shown.name, Source::new(&shown.name, &shown.text).place(self.diagnostic.span.start)))
    }

    /// The problem with its place drawn, ending with a line break.
    pub fn render(&self, colour: bool) -> String {
        match &self.shown {
            Some(shown) => Source::new(&shown.name, &shown.text).render(&self.diagnostic, colour),
            None => {
                let Diagnostic { severity, code, message, help, .. } = &self.diagnostic;
                let help = help.as_ref().map(|help| format!("  help: {help}\n")).unwrap_or_default();
                format!("{severity}[{code}]: {message}\n{help}")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

/// A value that came from outside the file.
#[derive(Debug)]
pub(super) struct Outside {
    /// Where it came from: the environment rather than the command line.
    pub(super) env: bool,
    /// The variable, or the flag with its dashes.
    pub(super) name: String,
    pub(super) value: String,
}

/// All texts that settings came from.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The name and text of the file.
    pub(super) file: Option<(String, String)>,
    pub(super) outside: Vec<Outside>,
    /// What must not be shown, besides what looks like a secret.
    pub(super) masked: Vec<Place>,
}

impl Texts {
    /// The line of the file that a place is on.
    pub(super) fn line(&self, span: Span) -> usize {
        let (name, text) = self.file.as_ref().map_or(("", ""), |(name, text)| (name, text));
        Source::new(name, text).place(span.start).line
    }

    /// Problems in the order of their places: the file's, then those from outside.
    pub(super) fn problems(&self, mut faults: Vec<Fault>) -> Vec<Problem> {
        faults.sort_by_key(|fault| match fault.at {
            None => (0, 0),
            Some(Place::File(span)) => (1, span.start as usize),
            Some(Place::Name(index) | Place::Value(index)) => (2, index),
        });
        let file = self.file.as_ref().map(|(name, text)| {
            let places = self.masked.iter().filter_map(|place| match place {
                Place::File(span) => Some(span.range()),
                _ => None,
            });
            Arc::new(Shown { name: name.clone(), text: mask::masked(text, places) })
        });
        let problem = |fault: Fault| {
            let (shown, span) = match fault.at {
                None => (None, Span::default()),
                Some(Place::File(span)) => (file.clone(), span),
                Some(place @ (Place::Name(index) | Place::Value(index))) => {
                    let (shown, name, value) = self.outside(index);
                    (Some(Arc::new(shown)), if matches!(place, Place::Name(_)) { name } else { value })
                }
            };
            let mut diagnostic = Diagnostic::new(fault.code, span, fault.message);
            diagnostic.help = fault.help;
            if let (Some((Place::File(span), note)), Some(Place::File(_))) = (fault.related, fault.at) {
                diagnostic = diagnostic.related(span, note);
            }
            Problem { diagnostic, shown }
        };
        faults.into_iter().map(problem).collect()
    }

    /// A value from outside as it was given, with the places of its name and of its value.
    fn outside(&self, index: usize) -> (Shown, Span, Span) {
        let Outside { env, name, value } = &self.outside[index];
        let keys = name.split("__").map(str::to_lowercase).collect::<Vec<_>>();
        let secret = mask::is_secret_path(&keys) || self.masked.contains(&Place::Value(index));
        let value = if secret { mask::MASK } else { value };
        let (from, sign) = if *env { ("environment", '=') } else { ("command line", ' ') };
        let start = name.len() + 1;
        (
            Shown { name: from.to_owned(), text: format!("{name}{sign}{value}") },
            Span::new(0, name.len()),
            Span::new(start, start + value.len()),
        )
    }
}
