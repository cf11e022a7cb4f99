//! How much a pattern may hold for one key, before it runs: the number of partial matches as a function of the number
//! n of events in the window, and the stage that causes it. An upper bound: conditions are taken as if they held.

use super::{Automaton, Edge, Target};
use crate::pattern::ast::LinkKind;
use crate::pattern::plan::StageId;

/// How the number of partial matches of one key grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// At most as many as the automaton has positions.
    Bounded,
    /// With the n-th power of the number of events in the window.
    Polynomial(u32),
    /// Doubling with each event.
    Exponential,
}

/// The growth of an automaton, and the stage where it comes about (none where it is bounded).
pub fn growth(automaton: &Automaton) -> (Growth, Option<StageId>) {
    let count = automaton.positions.len();
    let component = components(automaton);
    // Positions in the order of their components, from the beginning of the pattern on.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&p| (std::cmp::Reverse(component[p]), p));

    let mut entering: Vec<Vec<(usize, &Edge)>> = vec![Vec::new(); count];
    for (from, position) in automaton.positions.iter().enumerate() {
        for edge in &position.edges {
            if let Target::Position(to) = edge.target {
                entering[to as usize].push((from, edge));
            }
        }
    }
    let starts: Vec<usize> = automaton.start.iter().filter_map(target).collect();

    // By component: how many come in over the window (`arrive`), and how many are there at once (`stay`).
    let components = component.iter().max().map_or(0, |m| m + 1);
    let (mut arrive, mut stay) = (vec![0_u32; components], vec![0_u32; components]);
    let mut worst = (Growth::Bounded, None);
    let mut at = 0;
    while at < order.len() {
        let this = component[order[at]];
        let members: Vec<usize> = order[at..].iter().copied().take_while(|&p| component[p] == this).collect();
        at += members.len();
        let stage = automaton.positions[members[0]].stage;

        let (mut comes, mut at_once) = (0, 0);
        for &member in &members {
            if starts.contains(&member) {
                comes = comes.max(1);
            }
            for (from, edge) in entering[member].iter().filter(|(from, _)| component[*from] != this) {
                let (before, any) = (component[*from], edge.link == LinkKind::FollowedByAny);
                comes = comes.max(if any { stay[before] + 1 } else { arrive[before] });
                at_once = at_once.max(stay[before]);
            }
        }
        let inside = |e: &Edge| target(e).is_some_and(|t| component[t] == this);
        let edges = |p: usize| automaton.positions[p].edges.iter();
        let is_cycle = members.iter().any(|&m| edges(m).any(inside));
        let waits = |e: &Edge| e.link != LinkKind::Next && e.target != Target::NextEvent;
        if is_cycle {
            let branches = |m: usize| {
                edges(m).filter(|e| inside(e)).count() > 1
                    || edges(m).any(|e| inside(e) && e.link == LinkKind::FollowedByAny)
            };
            if let Some(&member) = members.iter().find(|&&m| branches(m)) {
                return (Growth::Exponential, Some(automaton.positions[member].stage));
            }
            let forks = members.iter().any(|&m| edges(m).any(|e| !inside(e) && waits(e)));
            arrive[this] = comes + 1;
            stay[this] = comes + u32::from(forks);
        } else {
            arrive[this] = comes;
            stay[this] = if edges(members[0]).any(waits) { comes } else { at_once };
        }
        let here = if stay[this] == 0 { Growth::Bounded } else { Growth::Polynomial(stay[this]) };
        if here > worst.0 {
            worst = (here, Some(stage));
        }
    }
    worst
}

fn target(edge: &Edge) -> Option<usize> {
    match edge.target {
        Target::Position(position) => Some(position as usize),
        Target::NextEvent | Target::Deadline => None,
    }
}

/// The strongly connected components, numbered against the direction of the edges (Tarjan's algorithm, on a stack of
/// its own: automata may be deep).
fn components(automaton: &Automaton) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let count = automaton.positions.len();
    let (mut index, mut low, mut component) = (vec![UNSEEN; count], vec![0; count], vec![UNSEEN; count]);
    let (mut open, mut next, mut found) = (Vec::new(), 0, 0);
    for root in 0..count {
        if index[root] != UNSEEN {
            continue;
        }
        let mut calls = vec![(root, 0)];
        while let Some((position, edge)) = calls.pop() {
            if edge == 0 {
                index[position] = next;
                low[position] = next;
                next += 1;
                open.push(position);
            }
            let edges = &automaton.positions[position].edges;
            let mut edge = edge;
            let mut descended = false;
            while edge < edges.len() {
                if let Some(to) = target(&edges[edge]) {
                    if index[to] == UNSEEN {
                        calls.push((position, edge + 1));
                        calls.push((to, 0));
                        descended = true;
                        break;
                    } else if component[to] == UNSEEN {
                        low[position] = low[position].min(low[to]);
                    }
                }
                edge += 1;
            }
            if descended {
                continue;
            }
            if low[position] == index[position] {
                while let Some(member) = open.pop() {
                    component[member] = found;
                    if member == position {
                        break;
                    }
                }
                found += 1;
            }
            if let Some((caller, _)) = calls.last() {
                low[*caller] = low[*caller].min(low[position]);
            }
        }
    }
    component
}
