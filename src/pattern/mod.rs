//! From text to automaton: text → parse → tree → check → plan → automaton. Pure: no I/O, no clock.

pub mod ast;
pub mod check;
pub mod code;
pub mod eval;
pub mod explain;
pub mod expr;
pub mod function;
pub mod nfa;
mod numeric;
pub mod parse;
pub mod plan;
pub mod print;
mod spanless;

// Patterns have had them here, and are their main use.
pub use crate::diagnostic::{self, render};

use ast::File;
use diagnostic::{Diagnostic, Diagnostics, Span};
use plan::Plan;

/// Bounds on what a text may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest text.
    pub text_bytes: usize,
    /// The deepest nesting of parentheses, and the longest path in steps.
    pub depth: usize,
    /// The largest automaton, in states.
    pub states: u64,
    /// The most waits between its states.
    pub waits: usize,
    /// The largest compiled regular expression.
    pub regex_bytes: usize,
    /// All compiled regular expressions of a text together.
    pub regexes_bytes: usize,
    /// How many diagnostics are told.
    pub diagnostics: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            text_bytes: 1 << 20,
            depth: 100,
            states: 10_000,
            waits: 200_000,
            regex_bytes: 1 << 20,
            regexes_bytes: 32 << 20,
            diagnostics: 50,
        }
    }
}

/// What a text comes to.
#[derive(Debug)]
pub struct Compiled {
    /// The tree: all of it where nothing is wrong, else what could be read.
    pub file: File,
    /// The patterns that have no errors, in the order of the text.
    pub plans: Vec<Plan>,
    /// What is wrong, in the order of the text.
    pub diagnostics: Diagnostics,
}

impl Compiled {
    /// The patterns that have no errors, each with its own part of the text.
    pub fn texts<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let patterns = &self.file.patterns;
        let mut from = 0;
        let parts = patterns.iter().enumerate().map(move |(place, pattern)| {
            // What stands before a pattern belongs to it; what follows the last one as well.
            let to = if place + 1 == patterns.len() { text.len() } else { pattern.span.end as usize };
            let part = text.get(from..to).unwrap_or_default().trim();
            from = to;
            (pattern.name.text.as_str(), part)
        });
        parts.filter(|(name, _)| self.plans.iter().any(|plan| plan.name == *name))
    }
}

/// Reads and checks a text.
pub fn compile(text: &str, limits: &Limits) -> Compiled {
    let mut parsed = parse::parse(text, limits);
    let mut plans = check::check(&parsed.file, &parsed.states, limits, &mut parsed.diagnostics);
    plans.retain(|plan| {
        let fits = nfa::compile(plan, limits.waits).is_some();
        if !fits {
            let span = plan.stages.iter().map(|s| s.span).reduce(Span::to).unwrap_or_default();
            let message = format!("the automaton needs more than {} ways between its states", limits.waits);
            let help = "each of many optional elements in a row leads to all behind it: take some of them together, or out";
            parsed.diagnostics.push(Diagnostic::new(code::TOO_MANY_STATES, span, message).help(help));
        }
        fits
    });
    parsed.diagnostics.sort();
    Compiled { file: parsed.file, plans, diagnostics: parsed.diagnostics }
}

/// A text in canonical form; refused with what is wrong where it cannot be read. Rules are not checked: a pattern
/// that breaks one can be put in form all the same.
pub fn format(text: &str, limits: &Limits) -> Result<String, Diagnostics> {
    let mut parsed = parse::parse(text, limits);
    parsed.diagnostics.sort();
    if parsed.diagnostics.has_errors() {
        Err(parsed.diagnostics)
    } else {
        Ok(print::print(&parsed.file, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_optional_elements_in_a_row_are_refused_before_they_take_memory() {
        let stages: Vec<String> = (0..2_000).map(|i| format!("s{i}?: t")).collect();
        let text = format!("pattern p match {}", stages.join(" followed by "));
        let compiled = compile(&text, &Limits::default());
        assert!(compiled.plans.is_empty());
        assert_eq!(compiled.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [code::TOO_MANY_STATES]);
    }
}
