//! Which events of a type can concern any pattern at all: decided from few values, before anything is looked up. Most
//! events of most streams end here.

use smallvec::SmallVec;

use super::condition::PredicateId;
use super::route::Route;
use super::set::PatternSet;
use crate::event::key::{KeyHasher, has_key};
use crate::event::{Block, Row, TypeId};

/// More predicates than this are looked up in the routes' indexes instead of asked one by one.
const PREDICATES_MAX: usize = 6;

/// A predicate of a condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step(u32);

impl Step {
    fn new(predicate: PredicateId, is_last: bool) -> Step {
        Step(predicate << 1 | u32::from(is_last))
    }

    fn predicate(self) -> PredicateId {
        self.0 >> 1
    }

    /// Whether it is its condition's last one.
    fn is_last(self) -> bool {
        self.0 & 1 == 1
    }
}

/// What is asked of the events of one type.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// They concern nobody.
    Closed,
    /// They may concern somebody, whatever they hold.
    Open,
    /// They concern those that the routes' indexes find.
    Indexed,
    /// They concern somebody only if one of the conditions may be true, or if a key is missing, which is counted.
    Guarded {
        /// The slots of all key fields.
        keys: SmallVec<[usize; 2]>,
        /// The predicates of the conditions, one condition after the other.
        predicates: SmallVec<[Step; PREDICATES_MAX]>,
    },
}

impl Gate {
    /// For the events of a type.
    pub(crate) fn new(kind: TypeId, set: &PatternSet) -> Gate {
        let routes: Vec<&Route> = set.routes.of(kind).collect();
        if routes.is_empty() {
            return Gate::Closed;
        }
        let mut keys: SmallVec<[usize; 2]> =
            routes.iter().flat_map(|route| &set.schema().keys[route.key]).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut predicates = SmallVec::new();
        for pattern in routes.iter().flat_map(|r| &r.patterns).map(|&p| &set.patterns[p as usize]) {
            for atom in pattern.atoms.iter().filter(|atom| atom.types.has(kind)) {
                let Some((last, before)) = atom.unary.split_last() else { return Gate::Open };
                predicates.extend(before.iter().map(|&p| Step::new(p, false)));
                predicates.push(Step::new(*last, true));
            }
            if pattern.sees_all {
                return Gate::Open;
            }
            if predicates.len() > PREDICATES_MAX {
                let all = routes.iter().all(|route| route.is_indexed());
                return if all { Gate::Indexed } else { Gate::Open };
            }
        }
        Gate::Guarded { keys, predicates }
    }

    /// Whether an event of the type may concern somebody.
    #[inline(always)]
    pub(crate) fn passes(&self, row: &Row<'_>, set: &PatternSet) -> bool {
        let Row { slots, text, .. } = *row;
        match self {
            Gate::Closed => false,
            Gate::Open => true,
            Gate::Indexed => set.routes.of(row.head.kind).any(|route| {
                route.may_concern(row, &set.tokens) || !has_key(slots, &set.schema().keys[route.key])
            }),
            Gate::Guarded { keys, predicates } => {
                let mut holds = true;
                for step in predicates {
                    if holds {
                        match set.predicates.quickly(step.predicate(), slots, text) {
                            Some(answer) => holds = answer,
                            // Whatever it is, it has to be asked properly, and counted where it is a type error.
                            None => return true,
                        }
                    }
                    if step.is_last() {
                        if holds {
                            return true;
                        }
                        holds = true;
                    }
                }
                !has_key(slots, keys)
            }
        }
    }
}

impl PatternSet {
    /// Makes the gates of new types, and those of others anew.
    pub(super) fn make_gates(&mut self, anew: impl Fn(TypeId) -> bool) {
        let kinds = TypeId::FIRST_NAMED + self.schema().types.len() as u32;
        for kind in (0..kinds).map(TypeId) {
            let known = self.gates.len() > kind.0 as usize;
            if !known {
                self.gates.push(Gate::new(kind, self));
            } else if anew(kind) {
                self.gates[kind.0 as usize] = Gate::new(kind, self);
            }
        }
    }

    /// Asks once for all shards what the events of a block say by themselves: which may concern some pattern, and, where
    /// several shards have to tell which are their own, the hashes of those events' keys. A block that was not prepared
    /// is as good, but each of its events is looked at. The set that takes the block may lack patterns of this one, but
    /// has no other ones.
    pub fn prepare(&self, block: &mut Block, hasher: Option<&KeyHasher>) {
        let keys = &self.schema().keys;
        let mut concerns = vec![0_u64; block.heads.len().div_ceil(64)];
        let mut hashes = vec![0; if hasher.is_some() { block.heads.len() * keys.len() } else { 0 }];
        for row in 0..block.heads.len() {
            let event = block.row(row);
            // A type that only a later set names is like one that none names.
            let gate = self.gates.get(event.head.kind.0 as usize);
            let gate = gate.unwrap_or(&self.gates[TypeId::OTHER.0 as usize]);
            if !gate.passes(&event, self) {
                continue;
            }
            concerns[row / 64] |= 1 << (row % 64);
            if let Some(hasher) = hasher {
                let into = hashes[row * keys.len()..].iter_mut();
                into.zip(keys).for_each(|(hash, key)| *hash = hasher.hash(&event, key));
            }
        }
        if hasher.is_some() {
            block.key_hashes = hashes;
            block.key_width = keys.len();
        }
        block.concerns = Some(concerns);
    }
}
