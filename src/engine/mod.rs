//! Ordered events in, matches out, per key. Pure: no I/O, no clock, no tasks; given the same events in the same order
//! it finds the same matches in the same order, however the events are cut into batches.
//!
//! In reading order: [`PatternSet`] is what is installed; `route` tells which of it an event concerns; `table` turns an
//! automaton into states and cells; `key_state` is what a key holds, made of the paths in `store`; `runner` moves one
//! pattern by one event or to one deadline; `skip` decides which complete matches are taken; [`Engine`] is one shard of
//! it all; [`MatchView`] is what comes out.
//!
//! Not here: which events are late, in which order they come, where they come from and where matches go.

mod condition;
mod deadlines;
mod gate;
mod index;
mod key_state;
mod matched;
mod path;
mod payload;
mod route;
mod runner;
mod saved;
mod set;
mod shard;
mod skip;
mod slab;
mod store;
mod table;
mod truths;

pub use matched::{Kind, MatchSink, MatchView, Order};
pub use saved::Damaged;
pub use set::PatternSet;
pub use shard::{Counters, Engine, SavedKey};
