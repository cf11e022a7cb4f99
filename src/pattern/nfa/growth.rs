//! How much a pattern may hold for one key, before it runs: the number of partial matches as a function of the number
//! n of events in the window, and the wait that causes it.
//!
//! An upper bound over all events: every stage's condition is true or false of each event as suits the worst case,
//! except that one event is never of two types. It follows Weber and Seidl's criteria for how ambiguous an automaton
//! is. Where two different ways lead round a loop during the same events, partial matches double. Else each place that
//! can go on as it is and also let another one go ahead multiplies them by n: the beginning of the pattern, a wait
//! that skips events which it could take, a loop that can be left while it goes on.

use std::cmp::Ordering;

use super::{Automaton, Edge, PositionId, Target, components::components};
use crate::pattern::ast::LinkKind;
use crate::pattern::expr::Expr;
use crate::pattern::plan::{Plan, Stage, StageId};

/// How the number of partial matches of one key grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// Not with the number of events: the pattern's text bounds it.
    Bounded,
    /// With the n-th power of the number of events in the window.
    Polynomial(u32),
    /// Doubling with each event.
    Exponential,
}

/// The wait in which most partial matches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The stage that took their last event.
    pub stage: StageId,
    /// The stage that they wait for; none: for the end of the window.
    pub waits_for: Option<StageId>,
}

/// The growth of a pattern, and its cause (none where it is bounded).
pub fn growth(plan: &Plan, automaton: &Automaton) -> (Growth, Option<Cause>) {
    let waits = Waits::new(plan, automaton);
    let count = automaton.positions.len();
    // From the beginning of the pattern on, component by component.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&p| (std::cmp::Reverse(waits.component[p]), p));
    let ambiguous = (0..count).any(|p| waits.is_ambiguous(p));

    // How partial matches come to a position over the window, and the power of n that is there at one event.
    let mut arriving: Vec<Option<Arrival>> = vec![None; count];
    let mut at_once = vec![0; count];
    for to in automaton.start.iter().filter_map(position) {
        arriving[to] = Some(Arrival { power: 1, taken: Vec::new() });
    }
    let mut worst: (u32, Option<Cause>) = (0, None);
    for members in order.chunk_by(|&a, &b| waits.component[a] == waits.component[b]) {
        if let Some(cause) = waits.doubles(members, ambiguous) {
            return (Growth::Exponential, Some(cause));
        }
        let is_loop = members.iter().any(|&m| waits.inside(m).next().is_some());
        let mut comes = Arrival::default();
        for arrival in members.iter().filter_map(|&m| arriving[m].take()) {
            comes.or(arrival);
        }
        for &member in members {
            let stage = automaton.positions[member].stage;
            for edge in &automaton.positions[member].edges {
                let (held, sent) = if waits.is_inside(member, edge) {
                    (comes.power, None)
                } else if is_loop {
                    // Whether the loop can go on while a partial match leaves it here.
                    let leaves = waits.inside(member).any(|inner| waits.part(inner, edge));
                    let sent = if leaves { Arrival::from(comes.power) } else { comes.clone() };
                    (if waits.holds_beside(members, edge) { sent.power } else { comes.power }, Some(sent))
                } else {
                    // Partial matches gather here if the wait outlives the events by which others come to it.
                    let holds = waits.skips(edge, stage) && comes.taken.iter().all(|&s| waits.skips(edge, s));
                    (if holds { comes.power } else { at_once[member] }, Some(comes.clone()))
                };
                if held > worst.0 {
                    worst = (held, Some(waits.cause(member, edge)));
                }
                if let (Some(to), Some(mut sent)) = (position(edge), sent) {
                    sent.takes(stage);
                    if edge.link == LinkKind::FollowedByAny {
                        sent.or(Arrival::from(held));
                    }
                    match &mut arriving[to] {
                        Some(arrival) => arrival.or(sent),
                        none => *none = Some(sent),
                    }
                    at_once[to] = at_once[to].max(held);
                }
            }
        }
    }
    match worst {
        (0, _) => (Growth::Bounded, None),
        (power, cause) => (Growth::Polynomial(power), cause),
    }
}

/// How partial matches come to a position.
#[derive(Debug, Clone, Default)]
struct Arrival {
    /// The power of n that comes over the window.
    power: u32,
    /// Some stages that have surely taken events since the place where this power came about.
    taken: Vec<StageId>,
}

impl Arrival {
    /// What comes from a place that can stay as it is and let others go ahead.
    fn from(held: u32) -> Arrival {
        Arrival { power: held + 1, taken: Vec::new() }
    }

    fn takes(&mut self, stage: StageId) {
        // A few are enough to tell what repeats; to know fewer only makes the bound higher.
        if self.taken.len() < 16 && !self.taken.contains(&stage) {
            self.taken.push(stage);
        }
    }

    /// This way or the other.
    fn or(&mut self, other: Arrival) {
        match self.power.cmp(&other.power) {
            Ordering::Less => *self = other,
            Ordering::Equal => self.taken.retain(|s| other.taken.contains(s)),
            Ordering::Greater => {}
        }
    }
}

/// What can happen to the waits of an automaton.
pub(super) struct Waits<'a> {
    stages: &'a [Stage],
    automaton: &'a Automaton,
    /// By position, its strongly connected component.
    component: Vec<usize>,
}

impl<'a> Waits<'a> {
    pub(super) fn new(plan: &'a Plan, automaton: &'a Automaton) -> Waits<'a> {
        Waits { stages: &plan.stages, automaton, component: components(automaton) }
    }

    fn stage(&self, position: PositionId) -> StageId {
        self.automaton.positions[position as usize].stage
    }

    pub(super) fn target(&self, edge: &Edge) -> Option<StageId> {
        position(edge).map(|to| self.automaton.positions[to].stage)
    }

    fn cause(&self, from: usize, edge: &Edge) -> Cause {
        Cause { stage: self.automaton.positions[from].stage, waits_for: self.target(edge) }
    }

    fn is_inside(&self, from: usize, edge: &Edge) -> bool {
        position(edge).is_some_and(|to| self.component[to] == self.component[from])
    }

    /// The waits that lead from a position back into its own loop.
    fn inside(&self, from: usize) -> impl Iterator<Item = &'a Edge> {
        let edges = &self.automaton.positions[from].edges;
        edges.iter().filter(move |e| self.is_inside(from, e))
    }

    /// Whether a wait outlives an event that this stage accepts, and as good as no other.
    fn skips(&self, edge: &Edge, event_of: StageId) -> bool {
        edge.link != LinkKind::Next
            && edge.target != Target::NextEvent
            && !edge.yields_to.contains(&event_of)
            && !edge.not_followed.contains(&event_of)
            && (edge.link == LinkKind::FollowedByAny
                || self.target(edge) != Some(event_of)
                || self.depends(event_of))
    }

    /// Whether a stage may accept an event for one partial match and not for another.
    fn depends(&self, stage: StageId) -> bool {
        let Stage { condition, until, .. } = &self.stages[stage];
        condition.iter().chain(until).any(Expr::is_iterative)
    }

    /// Whether partial matches can gather here while others go round the loop that they left.
    fn holds_beside(&self, members: &[usize], edge: &Edge) -> bool {
        let round = || members.iter().map(|&m| self.automaton.positions[m].stage);
        // A loop with several ways round may avoid the events that would end the wait.
        let one_way = members.iter().all(|&m| self.inside(m).count() == 1);
        if one_way { round().all(|s| self.skips(edge, s)) } else { round().any(|s| self.skips(edge, s)) }
    }

    /// Whether one event can do different things to two waits after the same event, both of which go on.
    pub(super) fn part(&self, left: &Edge, right: &Edge) -> bool {
        let (Some(l), Some(r)) = (self.target(left), self.target(right)) else {
            // The end of the window is waited for as long as the other goes on.
            return [(left, right), (right, left)]
                .iter()
                .any(|(a, b)| self.target(b).is_some_and(|s| self.skips(a, s)));
        };
        l != r
            && (self.skips(right, l)
                || self.skips(left, r)
                || (self.can_be_both(l, r) && !left.yields_to.contains(&r) && !right.yields_to.contains(&l)))
    }

    /// Whether some event can be of both stages' types.
    fn can_be_both(&self, left: StageId, right: StageId) -> bool {
        match (&self.stages[left].types, &self.stages[right].types) {
            (Some(left), Some(right)) => left.iter().any(|t| right.contains(t)),
            _ => true,
        }
    }

    /// Whether the events of one path can lead to several positions.
    fn is_ambiguous(&self, from: usize) -> bool {
        let mut targets: Vec<(StageId, usize)> = self.automaton.positions[from]
            .edges
            .iter()
            .filter_map(|e| position(e).map(|to| (self.stage(to as PositionId), to)))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        targets.windows(2).any(|pair| pair[0].0 == pair[1].0)
    }

    /// The wait in a component that makes partial matches double each time round, if there is one.
    fn doubles(&self, members: &[usize], ambiguous: bool) -> Option<Cause> {
        let of = |&m: &usize| self.inside(m).map(move |edge| (m, edge));
        if let Some((from, edge)) =
            members.iter().flat_map(of).find(|(_, e)| e.link == LinkKind::FollowedByAny)
        {
            return Some(self.cause(from, edge));
        }
        let parting = |waits: &[(usize, &Edge)]| {
            let pairs = || {
                waits.iter().enumerate().flat_map(|(i, left)| waits[i + 1..].iter().map(move |r| (left, r)))
            };
            pairs()
                .find(|(left, right)| self.part(left.1, right.1))
                .map(|(_, (from, edge))| self.cause(*from, edge))
        };
        let mut waits: Vec<(usize, &Edge)> = members.iter().flat_map(of).collect();
        if let Some(cause) = waits.chunk_by(|a, b| a.0 == b.0).find_map(parting) {
            return Some(cause);
        }
        // Where a path may stand at several positions of one stage, their waits come together.
        if !ambiguous {
            return None;
        }
        let stage = |from: usize| self.automaton.positions[from].stage;
        waits.sort_by_key(|(from, _)| stage(*from));
        waits.chunk_by(|a, b| stage(a.0) == stage(b.0)).find_map(|waits| {
            let mut distinct: Vec<(usize, &Edge)> = Vec::new();
            for &(from, edge) in waits {
                let key = |e: &Edge| (self.target(e), e.link == LinkKind::Next);
                if !distinct.iter().any(|(_, e)| key(e) == key(edge)) {
                    distinct.push((from, edge));
                }
            }
            parting(&distinct)
        })
    }
}

fn position(edge: &Edge) -> Option<usize> {
    match edge.target {
        Target::Position(position) => Some(position as usize),
        Target::NextEvent | Target::Deadline => None,
    }
}
