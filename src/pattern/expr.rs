//! Expressions with their names resolved. `eval` (below the automaton) gives them their three-valued meaning.

use regex::Regex;

pub use super::ast::{ArithmeticOp, CompareOp};
use super::function::Function;
use super::plan::StageId;
use crate::event::Value;

/// A resolved expression. Field numbers point into the plan's `fields` (after installation: the schema's slots).
#[derive(Debug, Clone)]
pub enum Expr {
    /// A constant.
    Const(Value<'static>),
    /// An attribute of the event being tested. Not in `select`.
    This(Attribute),
    /// An attribute of an event that a stage has accepted so far.
    Stage(StageId, Pick, Attribute),
    /// The n-th value of the pattern's key. Only in `select`.
    Key(usize),
    /// An aggregate over the events that a stage has accepted so far.
    Aggregate(Aggregate, StageId, Option<Attribute>),
    /// A function of values.
    Call(Function, Vec<Expr>),
    /// `not`
    Not(Box<Expr>),
    /// `-`
    Negate(Box<Expr>),
    /// `or` of at least two.
    Or(Vec<Expr>),
    /// `and` of at least two.
    And(Vec<Expr>),
    /// Sums or products, from left to right.
    Chain(Box<Expr>, Vec<(ArithmeticOp, Expr)>),
    /// A comparison.
    Compare(Box<Expr>, CompareOp, Box<Expr>),
    /// `is null`; negated: `is not null`.
    IsNull(Box<Expr>, bool),
    /// `in`; negated: `not in`.
    In(Box<Expr>, Vec<Expr>, bool),
    /// `between low and high`; negated: `not between`.
    Between(Box<Expr>, Box<Expr>, Box<Expr>, bool),
    /// `like` and `matches`, both as a regular expression that the text must have; negated: must not.
    Matches(Box<Expr>, Regex, bool),
}

impl Expr {
    /// Whether it reads anything but the tested event: then it has to be tested for each partial match.
    pub fn is_iterative(&self) -> bool {
        self.any(&|e| matches!(e, Expr::Stage(..) | Expr::Aggregate(..) | Expr::Key(_)))
    }

    /// Calls `with` for the parts that must all be true for the expression to be.
    pub fn conjuncts<'a>(&'a self, with: &mut impl FnMut(&'a Expr)) {
        match self {
            Expr::And(terms) => terms.iter().for_each(|t| t.conjuncts(with)),
            other => with(other),
        }
    }

    /// Whether the test is true of this expression or of any part of it.
    pub fn any(&self, test: &impl Fn(&Expr) -> bool) -> bool {
        if test(self) {
            return true;
        }
        match self {
            Expr::Const(_) | Expr::This(_) | Expr::Stage(..) | Expr::Key(_) | Expr::Aggregate(..) => false,
            Expr::Call(_, list) | Expr::Or(list) | Expr::And(list) => list.iter().any(|e| e.any(test)),
            Expr::Not(e) | Expr::Negate(e) | Expr::IsNull(e, _) | Expr::Matches(e, _, _) => e.any(test),
            Expr::Chain(first, rest) => first.any(test) || rest.iter().any(|(_, e)| e.any(test)),
            Expr::Compare(left, _, right) => left.any(test) || right.any(test),
            Expr::In(e, list, _) => e.any(test) || list.iter().any(|e| e.any(test)),
            Expr::Between(e, low, high, _) => e.any(test) || low.any(test) || high.any(test),
        }
    }
}

/// Which of a stage's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The one accepted last: `a.x`.
    Last,
    /// By number: from 0 in order of acceptance, from -1 backwards.
    Index(i64),
}

/// What is read from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A field.
    Field(usize),
    /// `@time`
    Time,
    /// `@type`
    Type,
    /// `@stream`
    Stream,
    /// `@partition`
    Partition,
    /// `@offset`
    Offset,
    /// `@key`: the record's key.
    RecordKey,
    /// `header("x")`
    Header(String),
}

/// The aggregates. `Count` has no attribute, the others have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// `count(a)`
    Count,
    /// `sum(a.x)`
    Sum,
    /// `avg(a.x)`
    Avg,
    /// `min(a.x)`
    Min,
    /// `max(a.x)`
    Max,
    /// `first(a.x)`
    First,
    /// `last(a.x)`
    Last,
}

impl Aggregate {
    /// All of them with their names.
    pub const ALL: [(&'static str, Aggregate); 7] = [
        ("count", Aggregate::Count),
        ("sum", Aggregate::Sum),
        ("avg", Aggregate::Avg),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
        ("first", Aggregate::First),
        ("last", Aggregate::Last),
    ];
}
