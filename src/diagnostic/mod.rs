//! What is wrong with a text (a pattern, the settings), and where: one type for the command line, the REST API and the
//! console.

pub mod render;
mod similar;

use std::fmt;

use serde::Serialize;

pub(crate) use similar::similar;

/// A range of bytes in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of byte offsets. Texts are far below 4 GiB; beyond that it saturates.
    pub fn new(start: usize, end: usize) -> Span {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { start: clamp(start), end: clamp(end) }
    }

    /// From the start of this one to the end of the other.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.start) }
    }

    /// The bytes, for slicing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The text cannot be used.
    Error,
    /// The text can be used, but hardly means what its author thinks.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// A change of the text that would put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// What to replace.
    pub span: Span,
    /// What to put there.
    pub replacement: String,
}

/// One thing that is wrong, or looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// One of [`crate::pattern::code::ALL`], or of the settings' codes.
    pub code: &'static str,
    /// Where.
    pub span: Span,
    /// What, in a sentence without a full stop.
    pub message: String,
    /// The way out, where there is one to tell.
    pub help: Option<String>,
    /// Other places that explain it.
    pub related: Vec<(Span, String)>,
    /// A change that would put it right, where it is certain enough to offer.
    pub suggestion: Option<Suggestion>,
}

impl Diagnostic {
    /// A diagnostic; codes that begin with `W` are warnings.
    pub fn new(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        let severity = if code.starts_with('W') { Severity::Warning } else { Severity::Error };
        Diagnostic {
            severity,
            code,
            span,
            message: message.into(),
            help: None,
            related: Vec::new(),
            suggestion: None,
        }
    }

    /// The same with the way out.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The same with another place that explains it.
    pub fn related(mut self, span: Span, note: impl Into<String>) -> Diagnostic {
        self.related.push((span, note.into()));
        self
    }

    /// The same with a change that would put it right.
    pub fn suggest(mut self, span: Span, replacement: impl Into<String>) -> Diagnostic {
        self.suggestion = Some(Suggestion { span, replacement: replacement.into() });
        self
    }

    /// The same for a text that begins `by` bytes earlier.
    pub fn shift(mut self, by: usize) -> Diagnostic {
        let moved = |span: Span| Span::new(span.start as usize + by, span.end as usize + by);
        self.span = moved(self.span);
        self.related.iter_mut().for_each(|(span, _)| *span = moved(*span));
        self.suggestion.iter_mut().for_each(|suggestion| suggestion.span = moved(suggestion.span));
        self
    }

    /// Whether it forbids using the text.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The diagnostics of one text: no more of them than a limit, whatever the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    limit: usize,
    omitted: usize,
}

impl Diagnostics {
    /// An empty collection that keeps at most `limit` diagnostics, and at least one.
    pub fn new(limit: usize) -> Diagnostics {
        Diagnostics { list: Vec::new(), limit: limit.max(1), omitted: 0 }
    }

    /// Adds one. Where the limit is reached it is only counted; but an error takes the place of a warning.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < self.limit {
            self.list.push(diagnostic);
            return;
        }
        self.omitted += 1;
        if diagnostic.is_error()
            && let Some(warning) = self.list.iter_mut().rev().find(|d| !d.is_error())
        {
            *warning = diagnostic;
        }
    }

    /// Puts them in the order of the text.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| d.span);
    }

    /// Those that are kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many are not kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
