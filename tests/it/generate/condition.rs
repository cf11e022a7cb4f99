//! Conditions of stages, as text: mostly ones that are true of a good part of the events.

use super::expression::{self, Of};
use super::{Features, Random};

/// What a condition may speak of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// Stages before it.
    pub(crate) earlier: &'a [String],
    /// The stage itself, if it is a loop.
    pub(crate) own: Option<&'a str>,
}

/// A condition.
pub(crate) fn condition(random: &mut Random, about: About<'_>, features: &mut Features) -> String {
    match random.below(10) {
        0 => {
            features.insert("and, or, not");
            let (left, right) = (simple(random, about, features), simple(random, about, features));
            match random.below(3) {
                0 => format!("{left} and {right}"),
                1 => format!("{left} or {right}"),
                _ => format!("not ({left})"),
            }
        }
        1 => {
            // Anything at all: mostly null, so that it comes with something that is often true.
            let of = match about.earlier {
                [] => Of::This,
                stages if random.chance(50) => Of::Stage(&stages[random.below(stages.len() as u64) as usize]),
                _ => Of::This,
            };
            let any = expression::any(random, of, 2, features);
            format!("({any}) is not null or {}", simple(random, about, features))
        }
        _ => simple(random, about, features),
    }
}

fn simple(random: &mut Random, about: About<'_>, features: &mut Features) -> String {
    if let Some(own) = about.own
        && random.chance(45)
    {
        features.insert("condition on its own loop");
        let text = match random.below(6) {
            0 => format!("count({own}) < {}", random.between(1, 4)),
            1 => format!("(count({own}) == 0 or v >= {own}.v)"),
            2 => format!("({own}[0].v is null or v != {own}[0].v)"),
            3 => format!("sum({own}.v) < {}", random.between(4, 20)),
            4 => format!("(avg({own}.v) is null or v <= avg({own}.v) + 2)"),
            _ => format!("coalesce(last({own}.v), 0) <= v"),
        };
        return text;
    }
    if !about.earlier.is_empty() && random.chance(50) {
        features.insert("condition on an earlier stage");
        let stage = random.pick(about.earlier).clone();
        return match random.below(10) {
            0 => format!("v >= {stage}.v"),
            1 => format!("v != {stage}[0].v"),
            2 => format!("w == {stage}[-1].w"),
            3 => format!("@time - {stage}.@time < {}ms", random.between(500, 6_000)),
            4 => format!("count({stage}) >= {}", random.between(0, 2)),
            5 => format!("v + 3 > {}", expression::aggregate(random, &stage, features)),
            6 => format!("sum({stage}.v) + v < {}", random.between(8, 30)),
            7 => format!("{stage}.w != w or v > 3"),
            8 => format!("@offset != {stage}.@offset"),
            _ => format!("coalesce({stage}.v, 5) > v - 5"),
        };
    }
    match random.below(20) {
        0..=2 => format!("v >= {}", random.between(0, 4)),
        3..=4 => format!("v < {}", random.between(4, 9)),
        5 => format!("v != {}", random.between(0, 9)),
        6 => format!("v in ({}, {}, 5, 6.0, 7)", random.between(0, 9), random.between(0, 9)),
        7 => format!("v between {} and {}", random.between(0, 3), random.between(5, 9)),
        8 => format!("w == \"{}\"", random.pick(&["x", "y"])),
        9 => {
            features.insert("like");
            format!("w {}like \"{}\"", random.pick(&["", "not "]), random.pick(&["x%", "_", "%y", "%"]))
        }
        10 => {
            features.insert("matches");
            format!(
                "text {}matches r\"{}\"",
                random.pick(&["", "not "]),
                random.pick(&["b", "^A", "\\s", "d$"])
            )
        }
        11 => "v is not null".into(),
        12 => "this.v > 1".into(),
        13 => format!("@partition {} 0", random.pick(&["==", ">="])),
        14 => "nest.x is null or nest.list[-1] > 0".into(),
        15 => format!("hour_of_day(@time) < {}", random.between(3, 24)),
        16 => "flag or v > 2".into(),
        17 => "length(text) > 1 or num < 3".into(),
        18 => format!("@type != \"{}\"", random.pick(&["d", "e"])),
        _ => format!("v % {} == 0 or w != \"x\"", random.between(1, 3)),
    }
}
