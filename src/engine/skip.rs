//! After-match skip: which complete matches of a key are taken, when, and what a taken one skips.

use std::cmp::Ordering;

use super::key_state::{KeyState, Visit, Waiting};
use super::store::Store;
use super::table::StateId;
use crate::pattern::plan::Skip;

/// Takes complete matches in the order of their first events, as long as no partial match that began earlier is
/// alive; each one skips others. `taken` gets the last steps of the taken ones, with their references.
pub(crate) fn take(key: &mut KeyState, skip: Skip, store: &mut Store, taken: &mut Vec<u32>) {
    while let Some(list) = key.waiting(store) {
        let waiting = &store.waiting[list];
        let best = (0..waiting.len()).min_by(|&a, &b| order(&waiting[a], &waiting[b], store));
        let Some(best) = best else { break };
        let earliest = waiting[best].first;
        if key.runs(store).any(|run| store.sequence(store.nodes[run].first) < earliest) {
            break;
        }
        let best = store.waiting[list].swap_remove(best);
        taken.push(best.node);
        prune(key, list, skip, &best, store);
    }
    key.forget_waiting(store);
}

/// The order in which complete matches are taken: by first event, then the one complete earlier, then at the first
/// difference the earlier event, or the earlier stage.
fn order(a: &Waiting, b: &Waiting, store: &Store) -> Ordering {
    a.first.cmp(&b.first).then(a.moment.cmp(&b.moment)).then_with(|| {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        store.path(a.node, &mut left);
        store.path(b.node, &mut right);
        let steps =
            |path: Vec<(u32, u32)>| path.into_iter().map(|(event, stage)| (store.sequence(event), stage));
        let difference =
            steps(left.clone()).zip(steps(right.clone())).map(|(l, r)| l.cmp(&r)).find(|o| o.is_ne());
        // Where one goes on from the other (absences at one deadline), the longer one is taken first, as FlinkCEP does.
        difference.unwrap_or(right.len().cmp(&left.len()))
    })
}

/// Drops what a taken match skips, from the partial matches and from the complete ones that wait in a list.
fn prune(key: &mut KeyState, list: u32, skip: Skip, taken: &Waiting, store: &mut Store) {
    let mut path = Vec::new();
    store.path(taken.node, &mut path);
    let until = until(skip, &path, store);
    key.visit(store, &mut Prune { until });
    let mut waiting = std::mem::take(&mut store.waiting[list]);
    waiting.retain(|w| {
        let drop = w.first < until;
        if drop {
            store.release(w.node);
        }
        !drop
    });
    store.waiting[list] = waiting;
}

/// What began before this sequence number is skipped by a match that is taken. No partial match that began before the
/// match itself is alive then.
pub(crate) fn until(skip: Skip, path: &[(u32, u32)], store: &Store) -> u64 {
    let of_stage = |stage: usize| move |step: &&(u32, u32)| step.1 as usize == stage;
    let sequence = |step: &(u32, u32)| store.sequence(step.0);
    match skip {
        Skip::NoSkip => 0,
        Skip::ToNext => path.first().map_or(0, |step| sequence(step) + 1),
        Skip::PastLast => path.last().map_or(0, |step| sequence(step) + 1),
        Skip::ToFirst(stage) => path.iter().find(of_stage(stage)).map_or(0, sequence),
        Skip::ToLast(stage) => path.iter().rfind(of_stage(stage)).map_or(0, sequence),
    }
}

/// Drops partial matches that began before a sequence number.
struct Prune {
    until: u64,
}

impl Visit for Prune {
    type OfState = ();

    fn state(&mut self, _: &mut Store, _: StateId) -> Option<()> {
        Some(())
    }

    fn stays(&mut self, store: &mut Store, (): &(), _: StateId, node: u32) -> bool {
        let stays = store.sequence(store.nodes[node].first) >= self.until;
        if !stays {
            store.release(node);
        }
        stays
    }
}
