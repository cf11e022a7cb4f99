//! Random patterns: a small tree that keeps the language's rules by and large, printed as text.

use std::fmt;

use sequor::pattern::{Limits, compile};

use super::condition::{About, condition};
use super::expression::{self, Of};
use super::{Features, Random};

/// A pattern: parts of its text.
#[derive(Debug, Clone)]
pub(crate) struct PatternSpec {
    /// Its name.
    pub(crate) name: String,
    /// Its clauses other than `match`, as text.
    pub(crate) clauses: Vec<String>,
    /// Its elements.
    pub(crate) sequence: Vec<(Option<&'static str>, Element)>,
}

/// A stage or a group.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    /// A stage.
    Stage(Stage),
    /// A group.
    Group {
        /// Its elements.
        sequence: Vec<(Option<&'static str>, Element)>,
        /// Its quantifier.
        quantifier: String,
        /// Its modifiers.
        words: Vec<&'static str>,
    },
}

/// A stage.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: String,
    /// Its quantifier.
    pub(crate) quantifier: String,
    /// Its types.
    pub(crate) types: Vec<&'static str>,
    /// `where` and its condition.
    pub(crate) condition: Option<String>,
    /// `until` and its condition.
    pub(crate) until: Option<String>,
    /// Its other modifiers.
    pub(crate) words: Vec<&'static str>,
}

impl fmt::Display for PatternSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pattern {}\n  match ", self.name)?;
        write_sequence(f, &self.sequence)?;
        for clause in &self.clauses {
            write!(f, "\n  {clause}")?;
        }
        writeln!(f)
    }
}

fn write_sequence(f: &mut fmt::Formatter<'_>, sequence: &[(Option<&'static str>, Element)]) -> fmt::Result {
    for (index, (link, element)) in sequence.iter().enumerate() {
        if index > 0 {
            write!(f, " {} ", link.unwrap_or("followed by"))?;
        }
        match element {
            Element::Stage(stage) => {
                write!(f, "{}{}: {}", stage.name, stage.quantifier, stage.types.join(" | "))?;
                if let Some(condition) = &stage.condition {
                    write!(f, " where {condition}")?;
                }
                if let Some(until) = &stage.until {
                    write!(f, " until {until}")?;
                }
                stage.words.iter().try_for_each(|word| write!(f, " {word}"))?;
            }
            Element::Group { sequence, quantifier, words } => {
                f.write_str("(")?;
                write_sequence(f, sequence)?;
                write!(f, "){quantifier}")?;
                words.iter().try_for_each(|word| write!(f, " {word}"))?;
            }
        }
    }
    Ok(())
}

/// The next pattern that the checker accepts.
pub(crate) fn accepted(random: &mut Random, name: &str, keyed: bool, features: &mut Features) -> PatternSpec {
    for _ in 0..30 {
        let mut own = Features::new();
        let pattern = pattern(random, name, keyed, &mut own);
        let compiled = compile(&pattern.to_string(), &Limits::default());
        if !compiled.diagnostics.has_errors() {
            features.extend(own);
            return pattern;
        }
    }
    unreachable!("most patterns made here are accepted")
}

struct Maker<'a> {
    random: &'a mut Random,
    features: &'a mut Features,
    /// Stages so far that accept events.
    stages: Vec<String>,
    /// All stages so far.
    names: usize,
    has_window: bool,
    /// Whether no condition asks for earlier events.
    alike: bool,
    /// Stages that may still be made.
    left: u64,
}

/// A pattern; the checker may refuse it.
pub(crate) fn pattern(random: &mut Random, name: &str, keyed: bool, features: &mut Features) -> PatternSpec {
    let has_window = random.chance(60);
    let left = random.below(5) + 1;
    // Some patterns look at each event by itself and skip, as far as chance has it: partial matches with one first event
    // are then held together.
    let alike = random.chance(30);
    let mut maker = Maker { random, features, stages: Vec::new(), names: 0, has_window, alike, left };
    let sequence = maker.sequence(0);
    let clauses = maker.clauses(keyed);
    PatternSpec { name: name.to_owned(), clauses, sequence }
}

impl Maker<'_> {
    fn sequence(&mut self, depth: u32) -> Vec<(Option<&'static str>, Element)> {
        let mut sequence = Vec::new();
        let mut before = Before::Nothing;
        while self.left > 0 {
            let negation = match before {
                Before::Nothing | Before::Optional => false,
                // A group ends with no `not followed by`, so that one more stage must be possible after it.
                _ => self.random.chance(25),
            };
            if negation {
                let next = self.random.chance(40);
                let may_end = next || (depth == 0 && self.has_window);
                let ends = may_end && self.random.chance(35);
                sequence.push((Some(if next { "not next" } else { "not followed by" }), self.negation()));
                self.features.insert(match (next, ends) {
                    (true, true) => "not next at the end",
                    (true, false) => "not next",
                    (false, true) => "not followed by at the end",
                    (false, false) => "not followed by",
                });
                if ends {
                    self.left = self.left.saturating_sub(1);
                    return sequence;
                }
                if self.random.chance(25) {
                    let link = *self.random.pick(&["not next", "not followed by"]);
                    self.features.insert("negations in a row");
                    sequence.push((Some(link), self.negation()));
                }
                self.left = self.left.max(1);
            }
            let link = *self.random.weighted(&[(25, "next"), (50, "followed by"), (20, "followed by any")]);
            let optional = negation || before != Before::Greedy;
            let (element, after) = self.element(depth, optional);
            if !sequence.is_empty() {
                self.features.insert(link);
            }
            sequence.push((Some(link), element));
            before = after;
            if depth > 0 && sequence.len() > 1 && self.random.chance(45) {
                break;
            }
        }
        sequence
    }

    fn negation(&mut self) -> Element {
        let name = self.name();
        let condition = self.random.chance(40).then(|| self.condition(None));
        let types = self.types();
        Element::Stage(Stage {
            name,
            quantifier: String::new(),
            types,
            condition,
            until: None,
            words: Vec::new(),
        })
    }

    fn element(&mut self, depth: u32, may_be_optional: bool) -> (Element, Before) {
        let group = depth < 2 && self.left > 1 && self.random.chance(20);
        let quantifier = match (self.random.below(10), may_be_optional) {
            (0, true) => "?".to_owned(),
            (1, true) => "*".to_owned(),
            (2, _) => "+".to_owned(),
            (3, _) => format!("{{{}}}", self.random.between(1, 3)),
            (4, _) => {
                let min = self.random.between(i64::from(!may_be_optional), 2);
                format!("{{{min},{}}}", self.random.between(min.max(1), 3))
            }
            (5, _) => format!("{{{},}}", self.random.between(1, 2)),
            _ => String::new(),
        };
        let is_loop = !quantifier.is_empty() && quantifier != "?";
        let mut words = Vec::new();
        let mut optional = quantifier == "?" || quantifier == "*" || quantifier.starts_with("{0");
        if !optional && may_be_optional && self.random.chance(8) {
            words.push("optional");
            optional = true;
        }
        let mut greedy = false;
        if is_loop {
            match self.random.below(10) {
                0..=1 => words.push("consecutive"),
                2 => words.push("combinations"),
                _ => {}
            }
            if !group && !words.contains(&"combinations") && self.random.chance(25) {
                words.push("greedy");
                greedy = true;
            }
        }
        self.count(group, &quantifier, &words);
        let after = match (greedy, optional) {
            (_, true) => Before::Optional,
            (true, false) => Before::Greedy,
            (false, false) => Before::Plain,
        };
        if group {
            if depth > 0 {
                self.features.insert("nested group");
            }
            return (Element::Group { sequence: self.sequence(depth + 1), quantifier, words }, after);
        }
        self.left -= 1;
        let name = self.name();
        let condition = self.random.chance(45).then(|| self.condition(is_loop.then_some(name.as_str())));
        let endless = matches!(quantifier.as_str(), "+" | "*") || quantifier.ends_with(",}");
        let until = (endless && self.random.chance(30)).then(|| {
            self.features.insert("until");
            match if self.alike { 0 } else { self.random.below(4) } {
                0 => format!("v == {}", self.random.between(0, 9)),
                1 => format!("count({name}) >= {}", self.random.between(1, 3)),
                2 => format!("sum({name}.v) + v > {}", self.random.between(6, 25)),
                _ => format!("w == \"{}\"", self.random.pick(&["y", "z"])),
            }
        });
        let types = self.types();
        self.stages.push(name.clone());
        (Element::Stage(Stage { name, quantifier, types, condition, until, words }), after)
    }

    fn count(&mut self, group: bool, quantifier: &str, words: &[&'static str]) {
        let quantifier = match (quantifier, group) {
            ("", true) => "plain group",
            ("", false) => "single stage",
            ("?", true) => "(…)?",
            ("?", false) => "a?",
            ("+", true) => "(…)+",
            ("+", false) => "a+",
            ("*", true) => "(…)*",
            ("*", false) => "a*",
            (_, true) => "(…){…}",
            (_, false) if quantifier.ends_with(",}") => "a{n,}",
            (_, false) if quantifier.contains(',') => "a{n,m}",
            (_, false) => "a{n}",
        };
        self.features.insert(quantifier);
        self.features.extend(words);
    }

    fn name(&mut self) -> String {
        const NAMES: [&str; 8] = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen"];
        let number = self.names;
        self.names += 1;
        match number / NAMES.len() {
            0 => NAMES[number].to_owned(),
            round => format!("{}{round}", NAMES[number % NAMES.len()]),
        }
    }

    fn types(&mut self) -> Vec<&'static str> {
        match self.random.below(10) {
            0..=1 => {
                self.features.insert("any");
                vec!["any"]
            }
            2..=3 => {
                self.features.insert("types");
                vec!["a", *self.random.pick(&["b", "c"])]
            }
            _ => vec![*self.random.weighted(&[(5, "a"), (4, "b"), (3, "c"), (1, "d")])],
        }
    }

    fn condition(&mut self, own: Option<&str>) -> String {
        self.features.insert("where");
        let about = match self.alike {
            true => About { earlier: &[], own: None },
            false => About { earlier: &self.stages, own },
        };
        condition(self.random, about, self.features)
    }

    fn clauses(&mut self, keyed: bool) -> Vec<String> {
        let mut clauses = Vec::new();
        let (random, features, alike) = (&mut *self.random, &mut *self.features, self.alike);
        let mut key = Vec::new();
        if keyed && random.chance(85) {
            features.insert("key by");
            key = random.pick(&[vec!["k"], vec!["k"], vec!["k", "w"], vec!["nest.k"], vec!["w"]]).clone();
            if key.len() > 1 {
                features.insert("two key paths");
            }
            clauses.push(format!("key by {}", key.join(", ")));
        }
        if random.chance(20) {
            features.insert("from");
            clauses.push(format!("from {}", random.pick(&["events", "other", "events, other"])));
        }
        if self.has_window {
            let between = random.chance(if alike { 10 } else { 30 });
            features.insert(if between { "within between events" } else { "within" });
            // Mostly what steps of time add up to, so that events stand right at the boundary.
            let most = if between { 4_000 } else { 12_000 };
            let ms = if random.chance(70) {
                random.between(2, most / 500) * 500
            } else {
                random.between(1_000, most)
            };
            clauses.push(format!("within {ms}ms{}", if between { " between events" } else { "" }));
        }
        if random.chance(if alike { 85 } else { 50 }) {
            let stage = random.pick(&self.stages);
            let (feature, text) = match random.below(6) {
                0 => ("no skip", "no skip".to_owned()),
                1 => ("skip to next", "skip to next".to_owned()),
                2 | 3 => ("skip past last", "skip past last".to_owned()),
                4 => ("skip to first", format!("skip to first {stage}")),
                _ => ("skip to last", format!("skip to last {stage}")),
            };
            features.insert(feature);
            clauses.push(format!("after match {text}"));
        }
        if random.chance(if alike { 10 } else { 35 }) {
            features.insert(if self.has_window { "emit timeouts" } else { "emit timeouts without within" });
            clauses.push("emit timeouts".into());
        }
        if random.chance(50) {
            features.insert("select");
            let mut items: Vec<String> = (0..random.below(4) + 1)
                .map(|number| {
                    let stage = random.pick(&self.stages).clone();
                    format!("{} as x{number}", expression::any(random, Of::Stage(&stage), 3, features))
                })
                .collect();
            items.extend(key.iter().filter(|_| random.chance(40)).map(|path| (*path).to_owned()));
            if random.chance(20) {
                items.push(format!("{}.v", random.pick(&self.stages)));
            }
            clauses.push(format!("select {}", items.join(", ")));
        }
        clauses
    }
}

/// What stands before an element, as far as the rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Plain,
    Greedy,
    Optional,
}
