//! Ordered events in, matches out, per key. Pure: no I/O, no clock, no tasks; given the same events in the same order
//! it finds the same matches in the same order, however the events are cut into batches.
//!
//! In reading order: [`PatternSet`] is what is installed; `gate` tells which events can concern any of it, `route` and
//! `index` which patterns; `truths` are what their conditions are for an event; `table` turns an automaton into states
//! and cells; `key_state` is what a key holds, made of the paths in `store` and the events in `page`s, or, as long as they are `recent`, in the blocks that they came in; `carried` is
//! what conditions ask of earlier events; `runner` moves one pattern by one event, and closes its windows at
//! `deadlines`; `skip` decides which complete matches are taken; `sets` and `groups` (by `tagged` keys) are other stores and runners for
//! patterns whose partial matches would be too many, and `matcher` stands for any of them; `limits` are what a pattern may
//! hold and give; `saved` is a key as bytes, `changed` which keys have to be given away; `cost` is what patterns cost,
//! `inspect` looks into all of it from outside;
//! [`Engine`] is one shard of it all, `sorter` its order of output; [`MatchView`] is what comes out.
//!
//! Not here: which events are late, in which order they come, where they come from and where matches go.

mod carried;
mod changed;
mod cold;
mod condition;
mod cost;
mod deadlines;
mod gate;
mod groups;
mod index;
mod inspect;
mod kept;
mod key_state;
mod keys;
mod life;
mod limits;
mod matched;
mod matcher;
mod page;
mod path;
mod payload;
mod recent;
mod route;
mod runner;
mod saved;
mod sent;
mod set;
mod sets;
mod shard;
mod skip;
mod slab;
mod sorter;
mod store;
mod table;
mod tagged;
mod truths;

pub use cold::Spill;
pub use cost::{Clock, Cost};
pub use inspect::{Awaited, HeldEvent, HeldKey, Page, Part, PartialMatch, Wait, Weight, name_of_key};
pub use life::{Differs, Life};
pub use limits::{Budget, Excess, Hit, Limit, Sums};
pub use matched::{Kind, MatchSink, MatchView, Order};
pub use saved::Damaged;
pub use set::PatternSet;
pub use shard::{Counters, Engine, KeyState, Progress, SavedKey};
