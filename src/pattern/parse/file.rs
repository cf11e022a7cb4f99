//! A whole text: patterns, and what to do where something else stands.

use super::clause::clause;
use super::input::{Context, Tokens, unexpected};
use super::lexical;
use super::name::{begins_clause, begins_link, expect_name, name};
use super::recover::{keyword_meant, report, skip_to};
use super::token::Kind;
use crate::pattern::Limits;
use crate::pattern::ast::{File, Name, Pattern};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Diagnostics, Span};

/// A text as a tree, with what is wrong with it.
#[derive(Debug)]
pub struct Parsed {
    /// The tree: all of it where nothing is wrong, else what could be read.
    pub file: File,
    /// For each pattern of the tree, how much of it could be read.
    pub states: Vec<State>,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

/// How much of a pattern could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Whole,
    /// Something was wrong, but its stages and its key are all there, so that its rules can be checked.
    Mended,
    /// Parts are missing that its rules are about.
    Torn,
}

/// Reads a text.
pub fn parse(text: &str, limits: &Limits) -> Parsed {
    let mut diagnostics = Diagnostics::new(limits.diagnostics);
    if text.len() > limits.text_bytes {
        let message = format!("the text has {} bytes; the limit is {}", text.len(), limits.text_bytes);
        diagnostics.push(Diagnostic::new(code::TOO_LONG, Span::default(), message));
        return Parsed { file: File::default(), states: Vec::new(), diagnostics };
    }
    let lexed = lexical::tokens(text, &mut diagnostics);
    let context = Context::new(text, &lexed.tokens, limits.depth, diagnostics);
    let mut file = File { patterns: Vec::new(), comments: lexed.comments };
    let mut states = Vec::new();
    let mut input = Tokens::new(&context);
    while !input.is_end() {
        match keyword_meant("pattern")(input) {
            Ok((after, ())) => {
                let (after, pattern) = pattern(after, input.span());
                let before = |offset: u32| lexed.mistakes.partition_point(|at| *at < offset);
                let wrong_tokens = before(pattern.span.start) < before(after.span().start);
                states.push(match (after.take_torn(), after.take_reported() || wrong_tokens) {
                    (true, _) => State::Torn,
                    (false, true) => State::Mended,
                    (false, false) => State::Whole,
                });
                file.patterns.push(pattern);
                input = after;
            }
            Err(_) => input = outside(input),
        }
    }
    Parsed { file, states, diagnostics: context.into_diagnostics() }
}

/// Reports text that belongs to no pattern, and leaves it behind.
fn outside<'a>(input: Tokens<'a>) -> Tokens<'a> {
    let message = format!("expected `pattern` and its name, found {}", input.found());
    input.report(
        Diagnostic::new(code::OUTSIDE_PATTERN, input.span(), message)
            .help("every pattern begins with `pattern` and a name; its clauses follow"),
    );
    let mut input = input;
    while !input.is_end() && !input.at_keyword("pattern") {
        input = input.skip(1);
    }
    input.take_reported();
    input
}

/// A pattern, after its first word. What is wrong with it is reported and left out.
fn pattern<'a>(input: Tokens<'a>, start: Span) -> (Tokens<'a>, Pattern) {
    let (mut input, name) = pattern_name(input);
    let mut clauses = Vec::new();
    while !input.is_end() && !input.at_keyword("pattern") {
        input = match clause(input) {
            Ok((after, clause)) => {
                clauses.extend(clause);
                after
            }
            Err(error @ nom::Err::Failure(_)) => {
                let place = report(input, error);
                skip_to(input.skip(1), place, |_| false)
            }
            Err(_) => {
                if keyword_meant("pattern")(input).is_ok() {
                    break;
                }
                no_clause(input)
            }
        };
    }
    let span = input.since(start);
    (input, Pattern { name, clauses, span })
}

fn pattern_name(input: Tokens<'_>) -> (Tokens<'_>, Name) {
    match expect_name("the pattern's name", name)(input) {
        Ok((after, name)) => (rest_of_name(after, &name), name),
        Err(error) => {
            let place = report(input, error);
            let name = Name { text: String::new(), span: input.span() };
            (skip_to(input, place, |_| false), name)
        }
    }
}

/// Names like `card-testing` or `v1.2` need backticks: reports what is too much and leaves it out.
fn rest_of_name<'a>(input: Tokens<'a>, name: &Name) -> Tokens<'a> {
    let mut after = input;
    if let Kind::Keyword(_) = input.first().kind {
        return input;
    }
    while after.gap().is_empty() && !after.is_end() {
        after = after.skip(1);
    }
    if after.index() > input.index() {
        let span = after.since(name.span);
        let quoted = format!("`{}`", input.text(span).replace('`', "``"));
        let message = "a name with other characters than letters, digits and `_` stands in backticks";
        input.report(Diagnostic::new(code::UNEXPECTED, span, message).suggest(span, quoted));
    }
    after
}

/// Reports what stands where a clause should begin, and leaves it behind.
fn no_clause(input: Tokens<'_>) -> Tokens<'_> {
    const CLAUSES: &str = "`from`, `key by`, `match`, `within`, `after match`, `emit timeouts` and `select`";
    let found = input.found();
    let diagnostic = match &input.first().kind {
        Kind::Name(word) => {
            let mistake =
                Diagnostic::new(code::UNKNOWN_CLAUSE, input.span(), format!("there is no clause {found}"));
            match clause_meant(word) {
                Some(clause) => mistake.help(format!("did you mean `{clause}`? The clauses are {CLAUSES}")),
                None => mistake.help(format!("the clauses are {CLAUSES}")),
            }
        }
        _ => {
            let mistake = unexpected(input, "a clause or another pattern");
            match begins_link(input) {
                true => mistake
                    .help("elements and their links belong to `match`: no clause may stand between them"),
                false => mistake.help(format!("the clauses are {CLAUSES}")),
            }
        }
    };
    if begins_link(input) {
        // Stages are missing now.
        input.tear();
    }
    input.report(diagnostic);
    let mut after = input.skip(1);
    while !after.is_end() && !begins_clause(after) {
        after = after.skip(1);
    }
    after
}

/// The clause that other languages call so.
fn clause_meant(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "during" | "window" | "timeout" | "withing" => "within",
        "partition" | "group" | "keyed" | "per" | "keyby" => "key by",
        "pick" | "return" | "output" | "project" | "measures" | "yield" => "select",
        "sequence" | "detect" | "when" | "seq" => "match",
        "skip" => "after match",
        "stream" | "input" | "source" => "from",
        _ => return None,
    })
}
