//! How the partial matches of a pattern are held: each by itself, all that are in one state as one set, or the events
//! that they began with in groups.
//!
//! Sets and groups need that partial matches in one state have the same future but for their window, and that none is
//! needed singly before its match is complete. They pay where one partial match can become several; else it only moves
//! on. Without a skip strategy all that is complete is a match: sets. With one that drops what began with the same event
//! as the match that is taken, one match of each such event can be taken at most: groups.

use serde::Serialize;

use super::growth::{Growth, Waits, growth};
use super::{Automaton, Edge, PositionId, Target};
use crate::pattern::ast::LinkKind;
use crate::pattern::expr::Expr;
use crate::pattern::plan::{Plan, Skip};

/// How partial matches are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Each by itself.
    Runs,
    /// All of a key that are in one state together.
    Sets,
    /// The events that they began with: all of a key together whose partial matches are in the same states.
    StartGroups,
}

/// Where a path has more different waits than this, they are not compared: some two will go different ways.
const WAITS_MAX: usize = 64;

/// The growth of larger automata is not computed.
const EDGES_MAX: usize = 10_000;

/// How a pattern's partial matches are held.
pub fn storage(plan: &Plan, automaton: &Automaton) -> Storage {
    let conditions = || plan.stages.iter().flat_map(|stage| stage.condition.iter().chain(&stage.until));
    let edges = || automaton.positions.iter().flat_map(|position| &position.edges);
    let alike = !plan.within.is_some_and(|within| within.between_events)
        && !conditions().any(Expr::is_iterative)
        && u16::try_from(plan.stages.len()).is_ok();
    let singly = plan.emit_timeouts || edges().any(|edge| edge.target == Target::Deadline);
    if !alike || singly || !branches(plan, automaton) {
        Storage::Runs
    } else if plan.skip != Skip::NoSkip {
        if drops_its_own(plan.skip, automaton) && gathers(plan, automaton) {
            Storage::StartGroups
        } else {
            Storage::Runs
        }
    } else if plan.within.is_some() && pays(plan, automaton) {
        Storage::Sets
    } else {
        Storage::Runs
    }
}

/// Whether every match that a strategy takes drops all others that began with the same event. `skip to first a` and
/// `skip to last a` keep them where `a` takes that event itself, or none: then they are all taken, each at its turn.
fn drops_its_own(skip: Skip, automaton: &Automaton) -> bool {
    let stage_of = |to: PositionId| automaton.positions[to as usize].stage;
    let targets = |edges: &'_ [Edge]| {
        let position = |edge: &Edge| match edge.target {
            Target::Position(position) => Some(position),
            Target::NextEvent | Target::Deadline => None,
        };
        edges.iter().filter_map(position).collect::<Vec<PositionId>>()
    };
    let begins = targets(&automaton.start);
    let stage = match skip {
        Skip::NoSkip => return false,
        Skip::ToNext | Skip::PastLast => return true,
        Skip::ToFirst(stage) if begins.iter().any(|&to| stage_of(to) == stage) => return false,
        Skip::ToFirst(stage) | Skip::ToLast(stage) => stage,
    };
    // What can be reached without an event of the stage after the first one is no match.
    let mut is_reached = vec![false; automaton.positions.len()];
    let mut pending = begins;
    while let Some(at) = pending.pop() {
        if !std::mem::replace(&mut is_reached[at as usize], true) {
            let position = &automaton.positions[at as usize];
            if position.accepting || position.edges.iter().any(|edge| edge.target == Target::NextEvent) {
                return false;
            }
            pending.extend(targets(&position.edges).into_iter().filter(|&to| stage_of(to) != stage));
        }
    }
    true
}

/// Whether groups are worth what they cost: a partial match stays where others go on from it, or they are more than
/// events. Else each moves on and ends, which costs less where it is held by itself.
fn gathers(plan: &Plan, automaton: &Automaton) -> bool {
    let edges = || automaton.positions.iter().flat_map(|position| &position.edges);
    edges().any(|edge| edge.link == LinkKind::FollowedByAny)
        || edges().count() > EDGES_MAX
        || growth(plan, automaton).0 > Growth::Polynomial(1)
}

/// Whether sets are worth what they cost: a partial match that is ended within its window leaves its steps in them
/// until the window closes. Where partial matches are never more than events, runs hold less then.
fn pays(plan: &Plan, automaton: &Automaton) -> bool {
    let edges = || automaton.positions.iter().flat_map(|position| &position.edges);
    let ends_early = |edge: &Edge| edge.sees_all() || !edge.not_followed.is_empty();
    !edges().any(ends_early)
        || edges().count() > EDGES_MAX
        || growth(plan, automaton).0 > Growth::Polynomial(1)
}

/// Whether one event can make two partial matches of one: a wait goes on although it, or another one of the same
/// partial match, takes the event, or several take it.
fn branches(plan: &Plan, automaton: &Automaton) -> bool {
    let waits = Waits::new(plan, automaton);
    // A path may stand at several positions of one stage, which wait together.
    let mut of_stage: Vec<Vec<&Edge>> = vec![Vec::new(); plan.stages.len()];
    for position in &automaton.positions {
        let edges = &mut of_stage[position.stage];
        for edge in &position.edges {
            if edge.link == LinkKind::FollowedByAny {
                return true;
            }
            let is_alike = |known: &&Edge| {
                waits.target(known) == waits.target(edge)
                    && **known == Edge { target: known.target, ..edge.clone() }
            };
            if !edges.iter().any(is_alike) {
                edges.push(edge);
            }
            if edges.len() > WAITS_MAX {
                return true;
            }
        }
    }
    of_stage.iter().any(|edges| {
        edges.iter().enumerate().any(|(i, left)| edges[i + 1..].iter().any(|right| waits.part(left, right)))
    })
}
