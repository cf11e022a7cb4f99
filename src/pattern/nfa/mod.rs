//! The automaton of a pattern: positions and the waits that lead from each to the next.
//!
//! A position is one occurrence of a stage (a loop of at most five has five). A partial match stands at the position
//! of the event that it accepted last, and waits along each of that position's edges on its own: an edge says which
//! position may accept next, by which link, and what is forbidden meanwhile. Quantifiers, groups, optional elements,
//! negations and greediness are all resolved into edges here; nothing at run time knows them.

mod compile;
mod components;
mod growth;

use super::ast::LinkKind;
use super::plan::StageId;

pub use compile::compile;
pub use growth::{Cause, Growth, growth};

/// The number of a position.
pub type PositionId = u32;

/// The automaton of one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Automaton {
    /// The positions. Edges point into them.
    pub positions: Vec<Position>,
    /// The waits of a match that has not begun: every event may begin one. Their links mean nothing.
    pub start: Vec<Edge>,
}

/// One occurrence of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The stage that accepts here.
    pub stage: StageId,
    /// What a match may wait for after an event was accepted here.
    pub edges: Vec<Edge>,
    /// Whether a match is complete with the event accepted here.
    pub accepting: bool,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// What is waited for.
    pub target: Target,
    /// How: `Next`, `FollowedBy` or `FollowedByAny`.
    pub link: LinkKind,
    /// Whether the loop of the target has accepted an event already: then its `until` ends the wait.
    pub in_loop: bool,
    /// Stages of greedy loops before: an event that one of them would accept ends the wait.
    pub yields_to: Vec<StageId>,
    /// Stages that the very next event must not be.
    pub not_next: Vec<StageId>,
    /// Stages that no event may be meanwhile.
    pub not_followed: Vec<StageId>,
}

impl Edge {
    /// Whether any event of the key, whatever it is, changes this wait.
    pub fn sees_all(&self) -> bool {
        self.link == LinkKind::Next || !self.not_next.is_empty() || self.target == Target::NextEvent
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// An event that this position accepts.
    Position(PositionId),
    /// The very next event, whatever it is: the pattern ends with `not next`.
    NextEvent,
    /// The end of the window: the pattern ends with `not followed by`.
    Deadline,
}
