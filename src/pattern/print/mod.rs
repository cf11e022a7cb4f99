//! The tree back into text: the canonical form that `fmt` gives.

mod expr;

pub use expr::{print_expr, print_path};
