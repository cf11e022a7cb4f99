//! From text to tree. The lexer (`lexical`, `quoted`, `number`) makes tokens; the parsers (`file`, `clause`,
//! `sequence`, `element`, `expr`, `path`, `name`) read them with nom. A mistake is reported and left behind, at an
//! expression, an element or a clause, so that one text can be told all that is wrong with it. Every token is looked
//! at a bounded number of times, and nesting is bounded, so the cost is linear and the stack safe on any text.

mod clause;
mod element;
mod expr;
mod file;
mod input;
mod lexical;
mod name;
mod number;
mod path;
mod quoted;
mod recover;
mod sequence;
pub mod token;

pub use file::{Parsed, State, parse};
