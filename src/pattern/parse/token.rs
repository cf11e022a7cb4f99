//! Tokens: what the text is made of once white space and comments are left out.

use crate::pattern::diagnostic::Span;

/// The reserved words, in alphabetical order; upper and lower case are alike.
pub const KEYWORDS: &[&str] = &[
    "after",
    "and",
    "any",
    "as",
    "between",
    "by",
    "combinations",
    "consecutive",
    "emit",
    "events",
    "false",
    "first",
    "followed",
    "from",
    "greedy",
    "in",
    "is",
    "key",
    "last",
    "like",
    "match",
    "matches",
    "next",
    "no",
    "not",
    "null",
    "optional",
    "or",
    "past",
    "pattern",
    "select",
    "skip",
    "this",
    "timeouts",
    "to",
    "true",
    "until",
    "where",
    "within",
];

/// The signs, longer ones before those that they begin with.
pub const SYMBOLS: &[&str] = &[
    "==", "!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",",
    ".", ":", "|", "?", "@",
];

/// The keyword that a word is, if it is one.
pub fn keyword(word: &str) -> Option<&'static str> {
    if word.len() > 12 || !word.is_ascii() {
        return None;
    }
    let word = word.to_ascii_lowercase();
    KEYWORDS.binary_search(&word.as_str()).ok().map(|index| KEYWORDS[index])
}

/// Whether a character may begin a name that stands without backticks.
pub fn begins_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Whether a character may go on such a name.
pub fn goes_on_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Whether a name can stand without backticks.
pub fn is_plain_name(name: &str) -> bool {
    name.starts_with(begins_name) && name.chars().all(goes_on_name) && keyword(name).is_none()
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One of [`KEYWORDS`].
    Keyword(&'static str),
    /// A name, without its backticks.
    Name(String),
    /// A string, without its quotes and escapes.
    Str(String),
    /// A whole number.
    Int(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A duration, in milliseconds.
    Duration(i64),
    /// One of [`SYMBOLS`].
    Symbol(&'static str),
    /// Something that was reported already; nothing accepts it.
    Invalid,
    /// The end of the text; nothing accepts it, and it is always the last token.
    End,
}
