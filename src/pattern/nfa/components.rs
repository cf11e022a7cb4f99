//! The loops of an automaton: its strongly connected components.

use super::{Automaton, Target};

/// The strongly connected components, numbered against the direction of the edges (Tarjan's algorithm, on a stack of
/// its own: automata may be deep).
pub(super) fn components(automaton: &Automaton) -> Vec<usize> {
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
                if let Target::Position(to) = edges[edge].target {
                    let to = to as usize;
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
