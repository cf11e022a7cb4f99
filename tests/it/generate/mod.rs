//! Random cases: patterns that the checker accepts, and inputs that they find something in. A seed gives the same case
//! for ever; a case that fails can be made smaller.
//!
//! - [`random`]: numbers from a seed.
//! - [`expression`], [`condition`]: expressions as text.
//! - [`pattern`]: patterns as a small tree that is printed.
//! - [`stream`]: lines of partitions.
//! - [`shrink`]: smaller cases of a case.

mod condition;
mod expression;
mod pattern;
mod random;
mod shrink;
mod stream;

use std::collections::BTreeSet;

use sequor::pattern::{Compiled, Limits, compile};

pub(crate) use self::pattern::PatternSpec;
pub(crate) use self::random::Random;
pub(crate) use self::shrink::shrink;
use crate::naive::{Input, Settings};

/// Patterns, inputs and settings.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The patterns.
    pub(crate) patterns: Vec<PatternSpec>,
    /// The partitions.
    pub(crate) inputs: Vec<Input>,
    /// The settings.
    pub(crate) settings: Settings,
}

/// What a case is made of, in words: to count how often each part of the language comes.
pub(crate) type Features = BTreeSet<&'static str>;

impl Case {
    /// The case of a seed, and what it is made of.
    pub(crate) fn new(seed: u64) -> (Case, Features) {
        let mut random = Random::new(seed);
        let mut features = Features::new();
        let count = *random.pick(&[1, 1, 1, 2, 3]);
        let streams = random.below(3) as usize;
        let keyed = random.chance(50);
        let patterns: Vec<PatternSpec> = (0..count)
            .map(|number| pattern::accepted(&mut random, &format!("p{number}"), keyed, &mut features))
            .collect();
        if count > 1 {
            features.insert("several patterns");
        }
        let settings = Settings {
            out_of_orderness_ms: *random.pick(&[0, 0, 300, 1_000, 3_000, 60_000]),
            ..stream::field_names(&mut random)
        };
        let inputs = stream::inputs(&mut random, &patterns, &settings, streams + 1, &mut features);
        (Case { patterns, inputs, settings }, features)
    }

    /// The text of all patterns.
    pub(crate) fn text(&self) -> String {
        self.patterns.iter().map(|pattern| pattern.to_string()).collect::<Vec<_>>().join("\n")
    }

    /// The patterns as the checker reads them; nothing where it refuses them.
    pub(crate) fn compile(&self) -> Option<Compiled> {
        let compiled = compile(&self.text(), &Limits::default());
        (!compiled.diagnostics.has_errors()).then_some(compiled)
    }
}
