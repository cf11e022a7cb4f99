//! What an event must have for a condition to be true of it: the part of a condition that an index can look up.

use crate::event::{Row, Slot, Value};
use crate::pattern::expr::{Attribute, CompareOp, Expr};

/// A kind of value that a comparison with a constant wants. Any other but null is a type error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
}

/// A field that has to be of a kind.
pub(crate) type Guard = (usize, Kind);

impl Kind {
    /// Whether comparing a field with this kind is no type error.
    #[inline]
    pub(super) fn suits(self, slot: Slot) -> bool {
        match slot {
            Slot::Null => true,
            Slot::Str { .. } | Slot::Unescaped { .. } => self == Kind::Text,
            Slot::Int(_) | Slot::UInt(_) | Slot::Float(_) => self == Kind::Number,
            Slot::Bool(_) | Slot::Json { .. } => false,
        }
    }
}

/// Numbers from `min` to `max`, both included. Bounds that no float is equal to are rounded outwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Range {
    pub(super) const ALL: Range = Range { min: f64::NEG_INFINITY, max: f64::INFINITY };

    /// The numbers of which a comparison with a constant may be true; none where that is hardly a restriction.
    fn of(op: CompareOp, constant: &Value<'_>) -> Option<Range> {
        let (low, high) = match constant {
            Value::Int(i) => around(i128::from(*i), *i as f64),
            Value::UInt(u) => around(i128::from(*u), *u as f64),
            Value::Float(f) => (*f, *f),
            _ => return None,
        };
        // The constant itself is out where a float is equal to it.
        let exact = low == high;
        Some(match op {
            CompareOp::Eq => Range { min: low, max: high },
            CompareOp::Lt => Range { max: if exact { high.next_down() } else { high }, ..Range::ALL },
            CompareOp::Le => Range { max: high, ..Range::ALL },
            CompareOp::Gt => Range { min: if exact { low.next_up() } else { low }, ..Range::ALL },
            CompareOp::Ge => Range { min: low, ..Range::ALL },
            CompareOp::Ne => return None,
        })
    }

    fn and(self, other: Range) -> Range {
        Range { min: self.min.max(other.min), max: self.max.min(other.max) }
    }

    #[inline]
    pub(super) fn meets(self, other: Range) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// The floats at or next to a whole number.
fn around(whole: i128, nearest: f64) -> (f64, f64) {
    if nearest as i128 == whole { (nearest, nearest) } else { (nearest.next_down(), nearest.next_up()) }
}

/// The number in a field; none where there is none.
#[inline]
pub(super) fn number(slot: Slot) -> Option<Range> {
    let (min, max) = match slot {
        Slot::Float(f) => (f, f),
        Slot::Int(i) if i.unsigned_abs() <= 1 << 53 => (i as f64, i as f64),
        Slot::Int(i) => around(i128::from(i), i as f64),
        Slot::UInt(u) => around(i128::from(u), u as f64),
        _ => return None,
    };
    Some(Range { min, max })
}

/// A value that a field has to be equal to, as an index knows it: different values may be the same here.
pub(super) type Token = u64;

/// Makes tokens. Text is hashed with a seed of the process: nothing that is seen depends on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens(ahash::RandomState);

impl Tokens {
    #[inline]
    pub(super) fn of_text(&self, text: &str) -> Token {
        self.0.hash_one(text.as_bytes())
    }

    /// Numbers that are equal have one token.
    #[inline]
    pub(super) fn of_number(&self, number: f64) -> Token {
        self.0.hash_one((number + 0.0).to_bits())
    }

    /// The token of a field's value; none where it is not of the kind.
    #[inline]
    pub(super) fn of_field(&self, row: &Row<'_>, slot: usize, kind: Kind) -> Option<Token> {
        match (row.slots[slot], kind) {
            (Slot::Int(i), Kind::Number) => Some(self.of_number(i as f64)),
            (Slot::UInt(u), Kind::Number) => Some(self.of_number(u as f64)),
            (Slot::Float(f), Kind::Number) => Some(self.of_number(f)),
            (Slot::Str { .. } | Slot::Unescaped { .. }, Kind::Text) => match row.value(slot) {
                Value::Str(text) => Some(self.of_text(&text)),
                _ => None,
            },
            _ => None,
        }
    }

    fn of_constant(&self, constant: &Value<'_>) -> Option<(Kind, Token)> {
        match constant {
            Value::Str(text) => Some((Kind::Text, self.of_text(text))),
            Value::Int(i) => Some((Kind::Number, self.of_number(*i as f64))),
            Value::UInt(u) => Some((Kind::Number, self.of_number(*u as f64))),
            Value::Float(f) => Some((Kind::Number, self.of_number(*f))),
            _ => None,
        }
    }
}

/// What an event must have for a condition to be true of it.
#[derive(Debug)]
pub(crate) struct Need {
    /// What it is looked up by.
    pub(super) anchor: Anchor,
    /// What it has to satisfy besides.
    pub(super) besides: Option<(usize, Range)>,
    /// Where a field is of another kind, evaluating the condition may count type errors: it has to be evaluated.
    pub(super) guards: Vec<Guard>,
}

#[derive(Debug)]
pub(super) enum Anchor {
    /// A field has one of some values.
    Equal(usize, Kind, Vec<Token>),
    /// A field is a number in a range.
    Within(usize, Range),
}

/// What one part of a condition asks, where it asks it of one field alone.
enum Asks {
    Equal(usize, Kind, Vec<Token>),
    Within(usize, Range),
    /// Something that no look-up helps with.
    Else(Option<Guard>),
}

impl Need {
    /// What a condition needs whose parts about the tested event alone are given; none where only evaluating it can
    /// tell.
    ///
    /// A condition is evaluated from its first part to the first one that is not true. So what may be looked up instead
    /// are the parts before the first one of which it is not known which events give it type errors.
    pub(crate) fn of(parts: &[&Expr], tokens: &Tokens) -> Option<Need> {
        let parts: Vec<Asks> = parts.iter().map_while(|part| asks(part, tokens)).collect();
        let ranges = |part: &Asks| match part {
            Asks::Within(slot, range) => Some((*slot, *range)),
            _ => None,
        };
        let equal = parts.iter().position(|part| matches!(part, Asks::Equal(..)));
        let anchor_slot = match equal {
            Some(_) => None,
            None => Some(parts.iter().find_map(ranges)?.0),
        };
        let besides_slot =
            parts.iter().filter_map(ranges).map(|r| r.0).find(|slot| Some(*slot) != anchor_slot);
        let all_of = |slot: usize| {
            let of_slot = parts.iter().filter_map(ranges).filter(|range| range.0 == slot);
            of_slot.fold(Range::ALL, |all, (_, range)| all.and(range))
        };
        let last_range = parts.iter().rposition(|part| {
            ranges(part).is_some_and(|(slot, _)| Some(slot) == anchor_slot || Some(slot) == besides_slot)
        });
        let used = equal.max(last_range).map_or(0, |last| last + 1);
        let mut guards: Vec<Guard> = Vec::new();
        for part in &parts[..used] {
            let guard = match part {
                Asks::Equal(slot, kind, _) => Some((*slot, *kind)),
                Asks::Within(slot, _) => Some((*slot, Kind::Number)),
                Asks::Else(guard) => *guard,
            };
            guards.extend(guard.filter(|guard| !guards.contains(guard)));
        }
        guards.sort_by_key(|(slot, kind)| (*slot, *kind == Kind::Text));
        let besides = besides_slot.map(|slot| (slot, all_of(slot)));
        let anchor = match anchor_slot {
            Some(slot) => Anchor::Within(slot, all_of(slot)),
            None => match parts.into_iter().nth(equal?)? {
                Asks::Equal(slot, kind, tokens) => Anchor::Equal(slot, kind, tokens),
                _ => return None,
            },
        };
        Some(Need { anchor, besides, guards })
    }
}

/// What a part of a condition asks; none where it is not known which events give it type errors.
fn asks(part: &Expr, tokens: &Tokens) -> Option<Asks> {
    let field = |e: &Expr| match e {
        Expr::This(Attribute::Field(slot)) => Some(*slot),
        _ => None,
    };
    let number = |e: &Expr| match e {
        Expr::Const(value) if matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_)) => {
            Some(value.clone())
        }
        _ => None,
    };
    match part {
        Expr::Compare(left, op, right) => {
            let slot = field(left)?;
            let Expr::Const(constant) = right.as_ref() else { return None };
            let (kind, token) = tokens.of_constant(constant)?;
            Some(match (op, Range::of(*op, constant)) {
                (CompareOp::Eq, _) => Asks::Equal(slot, kind, vec![token]),
                (_, Some(range)) => Asks::Within(slot, range),
                _ => Asks::Else(Some((slot, kind))),
            })
        }
        Expr::In(inner, list, negated) => {
            let slot = field(inner)?;
            let all = list.iter().map(|item| match item {
                Expr::Const(constant) => tokens.of_constant(constant),
                _ => None,
            });
            let all: Vec<(Kind, Token)> = all.collect::<Option<_>>()?;
            let kind = all.first()?.0;
            if all.iter().any(|(other, _)| *other != kind) {
                return None;
            }
            let mut all: Vec<Token> = all.into_iter().map(|(_, token)| token).collect();
            all.sort_unstable();
            all.dedup();
            Some(if *negated { Asks::Else(Some((slot, kind))) } else { Asks::Equal(slot, kind, all) })
        }
        Expr::Between(inner, low, high, negated) => {
            let slot = field(inner)?;
            let (low, high) = (number(low)?, number(high)?);
            let range = Range::of(CompareOp::Ge, &low)?.and(Range::of(CompareOp::Le, &high)?);
            Some(if *negated { Asks::Else(Some((slot, Kind::Number))) } else { Asks::Within(slot, range) })
        }
        Expr::IsNull(inner, _) => field(inner).map(|_| Asks::Else(None)),
        Expr::Matches(inner, _, _) => field(inner).map(|slot| Asks::Else(Some((slot, Kind::Text)))),
        _ => None,
    }
}
