//! From text to automaton: text → parse → tree → check → plan → automaton. Pure: no I/O, no clock.

pub mod ast;
pub mod diagnostic;
pub mod eval;
pub mod expr;
pub mod function;
pub mod nfa;
pub mod plan;
