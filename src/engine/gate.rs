//! Which events of a type can concern any pattern at all: decided from few values, before anything is looked up. Most
//! events of most streams end here.

use smallvec::SmallVec;

use super::condition::PredicateId;
use super::route::Route;
use super::set::{Compiled, PatternSet};
use crate::event::key::{KeyHasher, has_key};
use crate::event::{Block, Row, TypeId};

/// More predicates than this are looked up in the routes' indexes instead of asked one by one.
const PREDICATES_MAX: usize = 6;

/// A predicate of a condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    predicate: PredicateId,
    /// Of the last one of a condition its bit, where that counts.
    condition: u8,
    /// Whether it is its condition's last one.
    is_last: bool,
}

/// What is known of the conditions of one pattern for an event, as far as the event alone says: a bit for each that may
/// be true, in the order of the pattern, and the highest one where they are known at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked(u8);

impl Asked {
    const IS_KNOWN: u8 = 1 << 7;
    const UNKNOWN: Asked = Asked(0);

    /// Of an event of a block, as far as it was prepared.
    #[inline]
    pub(crate) fn of(block: &Block, row: u32) -> Asked {
        block.truths.get(row as usize).map_or(Asked::UNKNOWN, |&asked| Asked(asked))
    }

    /// The conditions that may be true, where they are known.
    #[inline]
    pub(crate) fn conditions(self) -> Option<u64> {
        (self.0 & Asked::IS_KNOWN != 0).then_some(u64::from(self.0 & !Asked::IS_KNOWN))
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
    /// They concern one pattern.
    Sole {
        /// Those that no condition may be true of too.
        sees_all: bool,
        /// The slots of its key fields.
        keys: SmallVec<[usize; 2]>,
        /// Its conditions on the type that may be true of each event, by their bits.
        always: u8,
        /// The predicates of the others, one condition after the other.
        predicates: SmallVec<[Step; PREDICATES_MAX]>,
    },
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
        if let [Route { patterns, key, .. }] = *routes
            && let [only] = **patterns
            && let Some(sole) = Gate::sole(kind, &set.patterns[only as usize], &set.schema().keys[*key])
        {
            return sole;
        }
        let mut keys: SmallVec<[usize; 2]> =
            routes.iter().flat_map(|route| &set.schema().keys[route.key]).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut predicates = SmallVec::new();
        for pattern in routes.iter().flat_map(|r| &r.patterns).map(|&p| &set.patterns[p as usize]) {
            for atom in pattern.atoms.iter().filter(|atom| atom.types.has(kind)) {
                let Some((last, before)) = atom.unary.split_last() else { return Gate::Open };
                predicates.extend(steps(before, *last, 0));
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

    /// For the events of a type that concern one pattern, if that has few conditions.
    fn sole(kind: TypeId, pattern: &Compiled, keys: &[usize]) -> Option<Gate> {
        let (mut always, mut predicates) = (0, SmallVec::new());
        for (number, atom) in pattern.atoms.iter().enumerate().filter(|(_, atom)| atom.types.has(kind)) {
            let bit = 1_u8.checked_shl(number as u32).filter(|bit| bit & Asked::IS_KNOWN == 0)?;
            match atom.unary.split_last() {
                Some((last, before)) => predicates.extend(steps(before, *last, bit)),
                None => always |= bit,
            }
        }
        let (sees_all, keys) = (pattern.sees_all, SmallVec::from_slice(keys));
        (predicates.len() <= PREDICATES_MAX).then_some(Gate::Sole { sees_all, keys, always, predicates })
    }

    /// Whether an event of the type may concern somebody, and what is known of the conditions then.
    #[inline(always)]
    fn ask(&self, row: &Row<'_>, set: &PatternSet) -> Option<Asked> {
        let Gate::Sole { sees_all, keys, always, predicates } = self else {
            return self.passes(row, set).then_some(Asked::UNKNOWN);
        };
        let (mut asked, mut holds) = (Asked::IS_KNOWN | always, true);
        for step in predicates {
            if holds {
                match set.predicates.quickly(step.predicate, row.slots, row.text) {
                    Some(answer) => holds = answer,
                    // Whatever it is, it has to be asked properly, and counted where it is a type error.
                    None => return Some(Asked::UNKNOWN),
                }
            }
            if step.is_last {
                asked |= if holds { step.condition } else { 0 };
                holds = true;
            }
        }
        (asked != Asked::IS_KNOWN || *sees_all || !has_key(row.slots, keys)).then_some(Asked(asked))
    }

    /// Whether an event of the type may concern somebody, where several patterns may be asked.
    #[inline(always)]
    fn passes(&self, row: &Row<'_>, set: &PatternSet) -> bool {
        let Row { slots, text, .. } = *row;
        match self {
            Gate::Closed => false,
            Gate::Open | Gate::Sole { .. } => true,
            Gate::Indexed => set.routes.of(row.head.kind).any(|route| {
                route.may_concern(row, &set.tokens) || !has_key(slots, &set.schema().keys[route.key])
            }),
            Gate::Guarded { keys, predicates } => {
                let mut holds = true;
                for step in predicates {
                    if holds {
                        match set.predicates.quickly(step.predicate, slots, text) {
                            Some(answer) => holds = answer,
                            // Whatever it is, it has to be asked properly, and counted where it is a type error.
                            None => return true,
                        }
                    }
                    if step.is_last {
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

/// The predicates of a condition.
fn steps(before: &[PredicateId], last: PredicateId, condition: u8) -> impl Iterator<Item = Step> {
    let before = before.iter().map(|&predicate| Step { predicate, condition: 0, is_last: false });
    before.chain([Step { predicate: last, condition, is_last: true }])
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
        let mut truths = vec![0; block.heads.len()];
        let mut hashes = vec![0; if hasher.is_some() { block.heads.len() * keys.len() } else { 0 }];
        for row in 0..block.heads.len() {
            let event = block.row(row);
            // A type that only a later set names is like one that none names.
            let gate = self.gates.get(event.head.kind.0 as usize);
            let gate = gate.unwrap_or(&self.gates[TypeId::OTHER.0 as usize]);
            let Some(asked) = gate.ask(&event, self) else { continue };
            truths[row] = asked.0;
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
        block.truths = truths;
    }
}
