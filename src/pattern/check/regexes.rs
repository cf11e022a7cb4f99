//! Regular expressions: each is bounded, and so are all of a text together, for compiling them is the one thing here
//! that can take far more than time in proportion to the text.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// What the smallest expression is counted as, in bytes.
const LEAST: usize = 8 << 10;

/// Compiles the regular expressions of a text; equal ones once.
pub(super) struct Regexes {
    /// The largest that one may become, in bytes.
    limit: usize,
    /// What is left for all of them.
    budget: usize,
    known: BTreeMap<String, Regex>,
}

impl Regexes {
    pub(super) fn new(limit: usize, budget: usize) -> Regexes {
        Regexes { limit, budget, known: BTreeMap::new() }
    }

    /// A compiled expression, or what is wrong with it.
    pub(super) fn compile(&mut self, source: String, span: Span) -> Result<Regex, Box<Diagnostic>> {
        if let Some(known) = self.known.get(&source) {
            return Ok(known.clone());
        }
        let mut size = LEAST.min(self.limit);
        loop {
            if size > self.budget {
                let message = "the regular expressions of this text are too large together";
                let mistake = Diagnostic::new(code::BAD_REGEX, span, message);
                return Err(Box::new(mistake.help("divide the patterns among several texts")));
            }
            match RegexBuilder::new(&source).size_limit(size).build() {
                Ok(regex) => {
                    self.budget -= size;
                    self.known.insert(source, regex.clone());
                    return Ok(regex);
                }
                Err(regex::Error::CompiledTooBig(_)) if size < self.limit => {
                    size = (size * 8).min(self.limit)
                }
                Err(error) => {
                    if matches!(error, regex::Error::CompiledTooBig(_)) {
                        self.budget -= size;
                    }
                    return Err(Box::new(mistake(&error, span)));
                }
            }
        }
    }
}

fn mistake(error: &regex::Error, span: Span) -> Diagnostic {
    if let regex::Error::CompiledTooBig(limit) = error {
        let message = format!("this expression takes more than {limit} bytes when compiled");
        return Diagnostic::new(code::BAD_REGEX, span, message)
            .help("make it shorter, or its counts smaller");
    }
    // The last line says what is wrong; those before it draw the expression, which the excerpt shows.
    let text = error.to_string();
    let what = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let help = match what {
        what if what.contains("look-around") || what.contains("backreference") => {
            "expressions are matched in linear time, which rules this out"
        }
        _ => "a raw string keeps backslashes as they are: r\"\\d+\"",
    };
    Diagnostic::new(code::BAD_REGEX, span, format!("this is no regular expression: {what}")).help(help)
}

/// The regular expression of a `like` pattern: it covers the whole text, `%` stands for any text and `_` for any
/// character.
pub(super) fn like(pattern: &str) -> String {
    let mut source = String::from("(?s)^");
    let mut plain = String::new();
    for c in pattern.chars() {
        let wild = match c {
            '%' => ".*",
            '_' => ".",
            c => {
                plain.push(c);
                continue;
            }
        };
        source.push_str(&regex::escape(&plain));
        plain.clear();
        source.push_str(wild);
    }
    source.push_str(&regex::escape(&plain));
    source.push('$');
    source
}
