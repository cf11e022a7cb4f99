//! The installed patterns: compiled once, immutable, shared by all shards. Fields, types, keys and predicates of all
//! patterns are numbered together here, so that an event is read and tested once for all of them.

use std::cell::RefCell;

use super::condition::{Condition, Predicates, Types};
use super::path::Surroundings;
use super::route::Route;
use crate::event::record::StreamSettings;
use crate::event::{FieldPath, Row, Schema, TypeId};
use crate::pattern::expr::{Attribute, Expr};
use crate::pattern::nfa::{self, Automaton, Storage};
use crate::pattern::plan::{Plan, Skip, Within};

/// The number of a condition within its pattern.
pub(crate) type AtomId = u32;

/// A set of patterns, ready to run.
#[derive(Debug)]
pub struct PatternSet {
    /// In the order of (name, version).
    pub(crate) patterns: Vec<Compiled>,
    schema: Schema,
    pub(crate) predicates: Predicates,
    pub(crate) around: Surroundings,
    /// How many of the schema's fields, the first ones, are needed of kept events.
    pub(crate) kept_fields: usize,
}

/// One pattern, ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) automaton: Automaton,
    pub(crate) within: Option<Within>,
    pub(crate) skip: Skip,
    pub(crate) emit_timeouts: bool,
    /// Names of the stages in the order of the text.
    pub(crate) stages: Vec<String>,
    /// The conditions, each once.
    pub(crate) atoms: Vec<Condition>,
    /// By stage: when it accepts, `until` aside.
    pub(crate) accept: Vec<AtomId>,
    /// By stage: its `until`.
    pub(crate) until: Vec<Option<AtomId>>,
    /// Whether an event that no condition is true of can still change a partial match.
    pub(crate) sees_all: bool,
    /// How its partial matches are held.
    pub(crate) storage: Storage,
    /// The number of its key specification.
    pub(crate) key: usize,
    /// The key's paths as they are written in output.
    pub(crate) key_names: Vec<String>,
    /// By rank of a stream: whether the pattern reads it. Empty: it reads all.
    streams: Vec<bool>,
    pub(crate) select: Vec<(String, Expr)>,
}

impl PatternSet {
    /// Compiles plans for a run over the named streams (`streams` in code point order: the ranks that positions have).
    pub fn new(plans: Vec<Plan>, settings: &StreamSettings, streams: &[String]) -> PatternSet {
        let mut plans = plans;
        plans.sort_by(|a, b| a.name.cmp(&b.name));
        let mut types: Vec<String> = plans
            .iter()
            .flat_map(|p| &p.stages)
            .filter_map(|s| s.types.as_ref())
            .flatten()
            .cloned()
            .collect();
        types.sort();
        types.dedup();
        let mut schema = Schema { types, ..Schema::default() };
        let mut predicates = Predicates::default();
        let reads_type = plans.iter().any(|plan| {
            let of_stages = plan.stages.iter().flat_map(|s| s.condition.iter().chain(&s.until));
            let mut all = of_stages.chain(plan.select.iter().map(|(_, e)| e));
            all.any(|e| {
                e.any(&|part| {
                    matches!(
                        part,
                        Expr::This(Attribute::Type)
                            | Expr::Stage(_, _, Attribute::Type)
                            | Expr::Aggregate(_, _, Some(Attribute::Type))
                    )
                })
            })
        });
        let type_slot = reads_type.then(|| schema.field(&FieldPath::dotted(&settings.type_field)));
        let patterns: Vec<Compiled> = plans
            .into_iter()
            .map(|plan| Compiled::new(plan, &mut schema, &mut predicates, streams))
            .collect();
        let around = Surroundings { type_slot, streams: streams.to_vec() };
        let of_patterns = patterns.iter().flat_map(Compiled::kept_fields).chain(type_slot);
        let kept_fields =
            of_patterns.chain(schema.keys.iter().flatten().copied()).max().map_or(0, |slot| slot + 1);
        PatternSet { patterns, schema, predicates, around, kept_fields }
    }

    /// The same with each partial match held by itself, also where a pattern could hold them as sets: the same matches
    /// in the same order, by another way.
    pub fn with_runs(mut self) -> PatternSet {
        self.patterns.iter_mut().for_each(|pattern| pattern.storage = Storage::Runs);
        self
    }

    /// What has to be read from events.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// By type: the patterns that one of so many shards runs an event of it by. Keys divide keyed patterns among the
    /// shards; patterns without a key are dealt out whole.
    pub(crate) fn routes(&self, shard: u64, shards: u64) -> Vec<Vec<Route>> {
        let of_type = |kind| {
            let mut routes: Vec<Route> = (0..self.schema.keys.len()).map(Route::new).collect();
            for (number, pattern) in (0..).zip(&self.patterns) {
                let sees = pattern.sees_all || pattern.atoms.iter().any(|a| a.types.has(kind));
                let ours = !pattern.key_names.is_empty() || u64::from(number) % shards == shard;
                if sees && ours {
                    routes[pattern.key].patterns.push(number);
                }
            }
            routes.retain(|r| !r.patterns.is_empty());
            routes.iter_mut().for_each(|route| route.index(kind, self));
            routes
        };
        (0..TypeId::FIRST_NAMED + self.schema.types.len() as u32).map(TypeId).map(of_type).collect()
    }

    /// The patterns' names, in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|p| p.name.as_str())
    }
}

impl Compiled {
    fn new(plan: Plan, schema: &mut Schema, predicates: &mut Predicates, streams: &[String]) -> Compiled {
        let automaton =
            nfa::compile(&plan, usize::MAX).unwrap_or(Automaton { positions: Vec::new(), start: Vec::new() });
        let storage = nfa::storage(&plan, &automaton);
        let slots: Vec<usize> = plan.fields.iter().map(|f| schema.field(f)).collect();
        let key_slots: Vec<usize> = plan.key.iter().map(|f| schema.field(f)).collect();
        let mut atoms = Atoms { all: Vec::new(), names: Vec::new(), predicates };
        let (mut accept, mut until) = (Vec::new(), Vec::new());
        for stage in &plan.stages {
            let types = match stage.types.as_deref() {
                None => Types::Any,
                Some([only]) => Types::One(schema.type_id(only)),
                Some(all) => Types::Set(all.iter().map(|t| schema.type_id(t)).collect()),
            };
            accept.push(atoms.intern(types, stage.condition.as_ref().map(|e| resolved(e, &slots)).as_ref()));
            until.push(stage.until.as_ref().map(|e| atoms.intern(Types::Any, Some(&resolved(e, &slots)))));
        }
        let atoms = atoms.all;
        let sees_all = automaton.positions.iter().flat_map(|p| &p.edges).any(nfa::Edge::sees_all);
        Compiled {
            version: 1,
            within: plan.within,
            skip: plan.skip,
            emit_timeouts: plan.emit_timeouts,
            stages: plan.stages.into_iter().map(|s| s.name).collect(),
            key: schema.key(&key_slots),
            key_names: plan.key.iter().map(FieldPath::to_string).collect(),
            streams: plan
                .streams
                .map_or(Vec::new(), |from| streams.iter().map(|stream| from.contains(stream)).collect()),
            select: plan.select.into_iter().map(|(name, e)| (name, resolved(&e, &slots))).collect(),
            name: plan.name,
            automaton,
            atoms,
            accept,
            until,
            sees_all,
            storage,
        }
    }
}

impl Compiled {
    /// Whether the pattern reads the stream that a row is from.
    #[inline]
    pub(crate) fn reads(&self, row: &Row<'_>) -> bool {
        self.streams.is_empty() || self.streams[row.head.position.stream as usize]
    }

    /// The slots that are read of events that partial matches or matches have accepted.
    fn kept_fields(&self) -> Vec<usize> {
        let conditions = self.atoms.iter().flat_map(|atom| &atom.iterative);
        let slots = RefCell::new(Vec::new());
        for expr in conditions.chain(self.select.iter().map(|(_, expr)| expr)) {
            expr.any(&|part| {
                if let Expr::Stage(_, _, Attribute::Field(slot))
                | Expr::Aggregate(_, _, Some(Attribute::Field(slot))) = part
                {
                    slots.borrow_mut().push(*slot);
                }
                false
            });
        }
        slots.into_inner()
    }
}

/// The conditions of one pattern while they are numbered.
struct Atoms<'a> {
    all: Vec<Condition>,
    names: Vec<String>,
    predicates: &'a mut Predicates,
}

impl Atoms<'_> {
    fn intern(&mut self, types: Types, expr: Option<&Expr>) -> AtomId {
        let name = format!("{types:?} {expr:?}");
        if let Some(known) = self.names.iter().position(|n| *n == name) {
            return known as AtomId;
        }
        let mut condition = Condition { types, unary: Vec::new(), iterative: Vec::new() };
        if let Some(expr) = expr {
            expr.conjuncts(&mut |part| {
                if part.is_iterative() {
                    condition.iterative.push(part.clone());
                } else {
                    condition.unary.push(self.predicates.intern(part));
                }
            });
        }
        self.all.push(condition);
        self.names.push(name);
        self.all.len() as AtomId - 1
    }
}

/// The expression with the schema's slots in place of the plan's field numbers.
fn resolved(expr: &Expr, slots: &[usize]) -> Expr {
    let list = |items: &[Expr]| items.iter().map(|e| resolved(e, slots)).collect::<Vec<_>>();
    let boxed = |e: &Expr| Box::new(resolved(e, slots));
    let attribute = |a: &Attribute| match a {
        Attribute::Field(field) => Attribute::Field(slots[*field]),
        other => other.clone(),
    };
    match expr {
        Expr::Const(value) => Expr::Const(value.clone()),
        Expr::This(a) => Expr::This(attribute(a)),
        Expr::Stage(stage, pick, a) => Expr::Stage(*stage, *pick, attribute(a)),
        Expr::Key(index) => Expr::Key(*index),
        Expr::Aggregate(kind, stage, a) => Expr::Aggregate(*kind, *stage, a.as_ref().map(attribute)),
        Expr::Call(function, args) => Expr::Call(*function, list(args)),
        Expr::Not(e) => Expr::Not(boxed(e)),
        Expr::Negate(e) => Expr::Negate(boxed(e)),
        Expr::Or(terms) => Expr::Or(list(terms)),
        Expr::And(terms) => Expr::And(list(terms)),
        Expr::Chain(first, rest) => {
            Expr::Chain(boxed(first), rest.iter().map(|(op, e)| (*op, resolved(e, slots))).collect())
        }
        Expr::Compare(left, op, right) => Expr::Compare(boxed(left), *op, boxed(right)),
        Expr::IsNull(e, negated) => Expr::IsNull(boxed(e), *negated),
        Expr::In(e, items, negated) => Expr::In(boxed(e), list(items), *negated),
        Expr::Between(e, low, high, negated) => Expr::Between(boxed(e), boxed(low), boxed(high), *negated),
        Expr::Matches(e, regex, negated) => Expr::Matches(boxed(e), regex.clone(), *negated),
    }
}
