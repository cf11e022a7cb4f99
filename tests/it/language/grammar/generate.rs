//! Derives sentences from a grammar.

use std::collections::BTreeMap;

use sequor::pattern::parse::token::KEYWORDS;

use super::ebnf::{Grammar, Part, is_described};

/// A small random number generator (xorshift): the same numbers for the same seed, always.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).for_each(|_| {
            random.below(2);
        });
        random
    }

    /// A number below another one.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// Derives one sentence.
pub(super) struct Generator<'a> {
    grammar: &'a Grammar,
    random: Random,
    /// How deep the shortest derivation of each rule is.
    depths: BTreeMap<&'a str, usize>,
    out: String,
}

impl<'a> Generator<'a> {
    pub(super) fn new(grammar: &'a Grammar, seed: u64) -> Generator<'a> {
        let mut generator =
            Generator { grammar, random: Random::new(seed), depths: BTreeMap::new(), out: String::new() };
        let mut rules: Vec<&str> = grammar.syntax_rules().collect();
        rules.extend([
            "name", "word", "quoted", "namechar", "string", "escape", "integer", "number", "exponent",
        ]);
        rules.extend(["duration", "span", "letter", "digit", "hex", "keyword"]);
        // The depth of a rule is known once those of the rules on its shortest way are.
        for _ in 0..rules.len() {
            for rule in &rules {
                if let Some(depth) = generator.depth(grammar.rule(rule)) {
                    generator.depths.insert(rule, depth + 1);
                }
            }
        }
        generator
    }

    /// A sentence of a rule.
    pub(super) fn sentence(mut self, rule: &str) -> String {
        self.rule(rule, 24);
        self.out
    }

    fn depth(&self, part: &Part) -> Option<usize> {
        match part {
            Part::All(parts) => {
                parts.iter().map(|part| self.depth(part)).try_fold(0, |most, depth| Some(most.max(depth?)))
            }
            Part::Either(parts) => parts.iter().filter_map(|part| self.depth(part)).min(),
            Part::Option(_) | Part::Repeat(_) | Part::Text(_) | Part::Characters(_) => Some(0),
            Part::Rule(rule) => self.depths.get(rule.as_str()).copied(),
        }
    }

    fn rule(&mut self, rule: &str, budget: usize) {
        let part = self.grammar.rule(rule);
        if self.grammar.is_syntax(rule) {
            self.part(part, budget, true);
            return;
        }
        self.space();
        let start = self.out.len();
        self.part(part, budget, false);
        if rule == "word" && KEYWORDS.contains(&self.out[start..].to_ascii_lowercase().as_str()) {
            self.out.push('x');
        }
    }

    fn part(&mut self, part: &Part, budget: usize, spaced: bool) {
        match part {
            Part::All(parts) => parts.iter().for_each(|part| self.part(part, budget, spaced)),
            Part::Either(parts) => {
                let near: Vec<&Part> =
                    parts.iter().filter(|part| self.depth(part).is_some_and(|d| d < budget)).collect();
                let chosen = match near.is_empty() {
                    true => parts.iter().min_by_key(|part| self.depth(part)).expect("an alternative"),
                    false => near[self.random.below(near.len())],
                };
                self.part(chosen, budget, spaced);
            }
            Part::Option(inner) => {
                if self.random.below(3) == 0 && self.depth(inner).is_some_and(|depth| depth < budget) {
                    self.part(inner, budget, spaced);
                }
            }
            Part::Repeat(inner) => {
                while self.random.below(5) < 2 && self.depth(inner).is_some_and(|depth| depth < budget) {
                    self.part(inner, budget, spaced);
                }
            }
            Part::Text(text) => {
                if spaced {
                    self.space();
                }
                match self.random.below(8) {
                    0 if spaced => self.out.push_str(&text.to_ascii_uppercase()),
                    _ => self.out.push_str(text),
                }
            }
            // Parts of tokens follow one another at once.
            Part::Rule(rule) if !spaced => self.part(self.grammar.rule(rule), budget, false),
            Part::Rule(rule) => self.rule(rule, budget.saturating_sub(1)),
            Part::Characters(words) => {
                const SOME: [char; 24] = [
                    'a', 'b', 'e', 'f', 'x', 'Z', '_', 'é', '漢', '0', '1', '2', '7', '9', '"', '\'', '\\',
                    '`', ' ', '%', '.', '/', '*', '\t',
                ];
                let fitting: Vec<char> = SOME.into_iter().filter(|c| is_described(words, *c)).collect();
                self.out.push(fitting[self.random.below(fitting.len())]);
            }
        }
    }

    /// White space, at times with a comment.
    fn space(&mut self) {
        match self.random.below(40) {
            0 => self.out.push_str(" // a comment\n "),
            1 => self.out.push_str(" /* another */ "),
            2 => self.out.push_str(" // one\n\n// two\n "),
            3 => self.out.push_str("\n "),
            4 => self.out.push_str("\n\n   /* three\n four */ "),
            _ => self.out.push(' '),
        }
    }
}
