//! When a stage accepts: conditions split into what depends on the tested event alone, evaluated at most once an
//! event for all patterns together, and the rest, evaluated per partial match.

use smallvec::SmallVec;

use super::path::Unary;
use crate::event::{Row, Slot, TypeId, Value};
use crate::pattern::eval::{self, holds};
use crate::pattern::expr::{Attribute, CompareOp, Expr};

/// The number of a predicate in the table of all patterns.
pub(crate) type PredicateId = u32;

/// A condition: all of its parts must hold.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The types that it accepts.
    pub(crate) types: Types,
    /// What depends on the tested event alone.
    pub(crate) unary: SmallVec<[PredicateId; 4]>,
    /// What depends on the partial match as well.
    pub(crate) iterative: Vec<Expr>,
}

/// A set of types, one bit each.
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
    Number(usize, CompareOp, f64),
    /// Field against a whole number.
    Whole(usize, CompareOp, i64),
    /// Field against text, equal or not.
    Text(usize, bool, Box<str>),
    General(Box<Expr>),
}

/// The predicates of all patterns, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Predicates {
    all: Vec<Predicate>,
    names: hashbrown::HashMap<String, PredicateId, ahash::RandomState>,
}

impl Predicates {
    /// The number of a predicate; equal ones share it.
    pub(crate) fn intern(&mut self, expr: &Expr) -> PredicateId {
        let next = self.all.len() as PredicateId;
        *self.names.entry(format!("{expr:?}")).or_insert_with(|| {
            self.all.push(Predicate::new(expr));
            next
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a predicate is true of the row.
    #[inline]
    pub(crate) fn holds(&self, id: PredicateId, row: &Row<'_>, env: &Unary<'_>) -> bool {
        match &self.all[id as usize] {
            Predicate::Number(slot, op, number) => match row.slots[*slot] {
                Slot::Float(value) => value.partial_cmp(number).is_some_and(|order| holds(*op, order)),
                Slot::Int(value) if value.unsigned_abs() <= 1 << 53 => {
                    (value as f64).partial_cmp(number).is_some_and(|order| holds(*op, order))
                }
                _ => self.slowly(row, *slot, *op, &Value::Float(*number), env),
            },
            Predicate::Whole(slot, op, number) => match row.slots[*slot] {
                Slot::Int(value) => holds(*op, value.cmp(number)),
                Slot::Float(value) if number.unsigned_abs() <= 1 << 53 => {
                    value.partial_cmp(&(*number as f64)).is_some_and(|order| holds(*op, order))
                }
                _ => self.slowly(row, *slot, *op, &Value::Int(*number), env),
            },
            Predicate::Text(slot, equal, text) => match row.slots[*slot] {
                Slot::Str { at, len } => {
                    (row.text.as_bytes()[at as usize..(at + len) as usize] == *text.as_bytes()) == *equal
                }
                Slot::Unescaped { at, len } => {
                    (row.unescaped.as_bytes()[at as usize..(at + len) as usize] == *text.as_bytes()) == *equal
                }
                Slot::Null => false,
                _ => {
                    env.type_errors.set(env.type_errors.get() + 1);
                    false
                }
            },
            Predicate::General(expr) => eval::is_true(expr, env),
        }
    }

    /// A comparison of other kinds than its constant's: false, and a type error where it is one.
    #[cold]
    fn slowly(
        &self,
        row: &Row<'_>,
        slot: usize,
        op: CompareOp,
        constant: &Value<'_>,
        env: &Unary<'_>,
    ) -> bool {
        let value = row.value(slot);
        let order = value.compare(constant);
        if order.is_none() && !value.is_null() {
            env.type_errors.set(env.type_errors.get() + 1);
        }
        order.is_some_and(|order| holds(op, order))
    }
}

impl Predicate {
    fn new(expr: &Expr) -> Predicate {
        if let Expr::Compare(left, op, right) = expr {
            match (left.as_ref(), op, right.as_ref()) {
                (Expr::This(Attribute::Field(slot)), op, Expr::Const(Value::Int(n))) => {
                    return Predicate::Whole(*slot, *op, *n);
                }
                (Expr::This(Attribute::Field(slot)), op, Expr::Const(Value::Float(n))) => {
                    return Predicate::Number(*slot, *op, *n);
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
        Predicate::General(Box::new(expr.clone()))
    }
}
