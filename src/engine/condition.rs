//! When a stage accepts: conditions split into what depends on the tested event alone, evaluated at most once an
//! event for all patterns together, and the rest, evaluated per partial match.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;

use super::path::Unary;
use crate::event::value::same_bytes;
use crate::event::{Row, Slot, TypeId, Value};
use crate::pattern::eval::{self, holds};
use crate::pattern::expr::{Attribute, CompareOp, Expr};

/// The number of a predicate in the table of all patterns.
pub(crate) type PredicateId = u32;

/// A condition: all of its parts must hold.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// The types that it accepts.
    pub(crate) types: Types,
    /// What depends on the tested event alone.
    pub(crate) unary: SmallVec<[PredicateId; 4]>,
    /// What depends on the partial match as well.
    pub(crate) iterative: Vec<Expr>,
}

/// A set of types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Types {
    Any,
    One(TypeId),
    Set(Vec<TypeId>),
}

impl Types {
    #[inline]
    pub(crate) fn has(&self, kind: TypeId) -> bool {
        match self {
            Types::Any => true,
            Types::One(only) => *only == kind,
            Types::Set(all) => all.contains(&kind),
        }
    }

    /// The types by name; none where it is any.
    pub(crate) fn named(&self) -> &[TypeId] {
        match self {
            Types::Any => &[],
            Types::One(only) => std::slice::from_ref(only),
            Types::Set(all) => all,
        }
    }
}

/// A predicate over the tested event, in the quickest form that its shape allows.
#[derive(Debug, Clone)]
enum Predicate {
    /// Field against a number.
    Number(usize, Accepted, f64),
    /// Field against a whole number.
    Whole(usize, Accepted, i64),
    /// Field against text, equal or not.
    Text(usize, bool, Arc<str>),
    General(Arc<Expr>),
}

/// The orders that satisfy a comparison: a bit each for less, equal and greater.
#[derive(Debug, Clone, Copy)]
struct Accepted(u8);

impl Accepted {
    fn new(op: CompareOp) -> Accepted {
        let orders = [Ordering::Less, Ordering::Equal, Ordering::Greater];
        Accepted((0..).zip(orders).map(|(bit, order)| u8::from(holds(op, order)) << bit).sum())
    }

    #[inline(always)]
    fn of<T: PartialOrd>(self, left: T, right: T) -> bool {
        let order = u8::from(left < right) | u8::from(left == right) << 1 | u8::from(left > right) << 2;
        self.0 & order != 0
    }
}

/// The predicates of all patterns, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Predicates {
    all: Vec<Predicate>,
    names: hashbrown::HashMap<Arc<str>, PredicateId, ahash::RandomState>,
}

impl Predicates {
    /// The number of a predicate; equal ones share it.
    pub(crate) fn intern(&mut self, expr: &Expr) -> PredicateId {
        let next = self.all.len() as PredicateId;
        let id = *self.names.entry(format!("{expr:?}").into()).or_insert(next);
        if id == next {
            self.all.push(Predicate::new(expr));
        }
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a predicate is true, where that takes no more than a comparison of two values of one kind.
    #[inline(always)]
    pub(crate) fn quickly(&self, id: PredicateId, slots: &[Slot], text: &str) -> Option<bool> {
        /// Floats have all integers up to here.
        const EXACT: u64 = 1 << 53;
        Some(match &self.all[id as usize] {
            Predicate::Number(slot, accepted, number) => match slots[*slot] {
                Slot::Float(value) => accepted.of(value, *number),
                Slot::Int(value) if value.unsigned_abs() <= EXACT => accepted.of(value as f64, *number),
                Slot::Null => false,
                _ => return None,
            },
            Predicate::Whole(slot, accepted, number) => match slots[*slot] {
                Slot::Int(value) => accepted.of(value, *number),
                Slot::Float(value) if number.unsigned_abs() <= EXACT => accepted.of(value, *number as f64),
                Slot::Null => false,
                _ => return None,
            },
            Predicate::Text(slot, equal, asked) => match slots[*slot] {
                Slot::Str { at, len } => {
                    same_bytes(&text.as_bytes()[at as usize..][..len as usize], asked.as_bytes()) == *equal
                }
                Slot::Null => false,
                _ => return None,
            },
            Predicate::General(_) => return None,
        })
    }

    /// Whether a predicate is true of the row, whatever it takes; a comparison of different kinds is false, and counted.
    pub(crate) fn slowly(&self, id: PredicateId, row: &Row<'_>, env: &Unary<'_>) -> bool {
        let against = |slot: usize, accepted: Accepted, constant: &Value<'_>| {
            let value = row.value(slot);
            match value.compare(constant) {
                Some(order) => accepted.of(order, Ordering::Equal),
                None => {
                    if !value.is_null() {
                        env.type_errors.set(env.type_errors.get() + 1);
                    }
                    false
                }
            }
        };
        match &self.all[id as usize] {
            Predicate::Number(slot, accepted, number) => against(*slot, *accepted, &Value::Float(*number)),
            Predicate::Whole(slot, accepted, number) => against(*slot, *accepted, &Value::Int(*number)),
            Predicate::Text(slot, equal, text) => {
                let op = if *equal { CompareOp::Eq } else { CompareOp::Ne };
                against(*slot, Accepted::new(op), &Value::Str(text.as_ref().into()))
            }
            Predicate::General(expr) => eval::is_true(expr, env),
        }
    }
}

impl Predicate {
    fn new(expr: &Expr) -> Predicate {
        if let Expr::Compare(left, op, right) = expr {
            match (left.as_ref(), op, right.as_ref()) {
                (Expr::This(Attribute::Field(slot)), op, Expr::Const(Value::Int(n))) => {
                    return Predicate::Whole(*slot, Accepted::new(*op), *n);
                }
                (Expr::This(Attribute::Field(slot)), op, Expr::Const(Value::Float(n))) => {
                    return Predicate::Number(*slot, Accepted::new(*op), *n);
                }
                (
                    Expr::This(Attribute::Field(slot)),
                    CompareOp::Eq | CompareOp::Ne,
                    Expr::Const(Value::Str(s)),
                ) => {
                    return Predicate::Text(*slot, *op == CompareOp::Eq, s.as_ref().into());
                }
                _ => {}
            }
        }
        Predicate::General(Arc::new(expr.clone()))
    }
}
