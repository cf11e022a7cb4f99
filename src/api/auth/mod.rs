//! Who may do what: bearer tokens, their roles, the table of routes, and what guards them.

mod file;
mod guard;
mod host;
mod role;
pub mod table;
mod token;

pub use file::{TokenFile, Tokens, TokensError, Unknown};
pub use guard::Guard;
pub(super) use guard::{guard, may_change, may_change_all, may_post_to};
pub use role::Role;

pub use token::{Actor, Secret, Token, hash_of};

#[expect(clippy::disallowed_methods, reason = "tokens expire by the clock; no output depends on it")]
/// The time by the wall clock, in epoch milliseconds.
pub fn wall_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
