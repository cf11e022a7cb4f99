//! The model that every rendering draws: the positions of the automaton gathered by stage, and the distinct ways
//! between them.

use std::fmt;

use serde::Serialize;

use crate::pattern::nfa::Storage;

/// A pattern as a graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    /// The pattern's name.
    pub pattern: String,
    /// The streams that it reads; none: all.
    pub streams: Option<Vec<String>>,
    /// The fields that divide the stream; none: one key for all events.
    pub key: Vec<String>,
    /// The window.
    pub within: Option<Window>,
    /// The skip strategy as the language writes it.
    pub skip: String,
    /// Whether timed-out partial matches are sent as well.
    pub emit_timeouts: bool,
    /// The start, the stages that accept events in the order of the text, the match.
    pub nodes: Vec<Node>,
    /// The ways between the nodes, each once.
    pub edges: Vec<Edge>,
    /// Groups that are repeated or may be left out; outer ones first.
    pub groups: Vec<Group>,
    /// The stages that say what must not happen.
    pub negations: Vec<Stage>,
    /// How many positions the automaton has with its loops unrolled.
    pub positions: usize,
    /// What makes events find their partial matches.
    pub index: Index,
    /// How its partial matches are held.
    pub storage: Storage,
    /// How much it may hold.
    pub growth: Growth,
}

/// A window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Window {
    /// As the language writes it.
    pub length: String,
    /// In milliseconds.
    pub ms: i64,
    /// Whether it is counted from the event accepted before, not from the first.
    pub between_events: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a graph has one start and one match; all else are stages")]
pub enum Node {
    /// Before the first event.
    Start,
    /// A stage that accepts events.
    Stage(Stage),
    /// The pattern is complete.
    Match,
}

impl Node {
    /// The stage's name, or what the node is.
    pub fn name(&self) -> &str {
        match self {
            Node::Start => "start",
            Node::Stage(stage) => &stage.name,
            Node::Match => "match",
        }
    }
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// `?`, `+`, `{2,4}` …; empty where it comes once.
    pub quantifier: String,
    /// `optional`, `consecutive`, `combinations`, `greedy`.
    pub modifiers: Vec<&'static str>,
    /// The types that it takes; none: any.
    pub types: Option<Vec<String>>,
    /// `where`
    pub condition: Option<Condition>,
    /// `until`
    pub until: Option<Condition>,
}

impl Stage {
    /// `login`, `tx | refund`, `any`
    pub fn types_text(&self) -> String {
        self.types.as_ref().map_or_else(|| "any".to_owned(), |types| types.join(" | "))
    }

    /// The name with quantifier and modifiers: `fail{5,} consecutive`.
    pub fn title(&self) -> String {
        let mut title = format!("{}{}", self.name, self.quantifier);
        for modifier in &self.modifiers {
            title.push(' ');
            title.push_str(modifier);
        }
        title
    }
}

/// A condition, divided at its `and`s by how often each part is tested.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// The whole.
    pub text: String,
    /// What the event alone decides: tested at most once an event, for all partial matches and all patterns together.
    pub per_event: Vec<String>,
    /// What reads events accepted before: tested for each partial match.
    pub per_partial_match: Vec<String>,
}

/// A group that is repeated or may be left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The number of its first node.
    pub first: usize,
    /// The number of its last node.
    pub last: usize,
    /// `+`, `{2}` …
    pub quantifier: String,
    /// `optional`, `consecutive`, `combinations`.
    pub modifiers: Vec<&'static str>,
}

impl Group {
    /// `( … ){2} consecutive`
    pub fn title(&self) -> String {
        let mut title = format!("( … ){}", self.quantifier);
        for modifier in &self.modifiers {
            title.push(' ');
            title.push_str(modifier);
        }
        title
    }
}

/// A way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// The number of the node that it leaves.
    pub from: usize,
    /// The number of the node that it enters.
    pub to: usize,
    /// What kind of way it is.
    pub kind: EdgeKind,
    /// What may come between.
    pub link: Link,
    /// The negations in force on it.
    pub unless: Vec<Unless>,
    /// Greedy stages: an event that one of them would accept ends the wait.
    pub yields_to: Vec<String>,
}

impl Edge {
    /// What is written beside it, a line each.
    pub fn labels(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.link != Link::Begins && self.link != Link::Completes {
            lines.push(self.link.to_string());
        }
        lines.extend(self.unless.iter().map(Unless::to_string));
        if !self.yields_to.is_empty() {
            lines.push(format!("yields to {}", self.yields_to.join(", ")));
        }
        lines
    }
}

/// What kind of way an edge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// To the node after it.
    Forward,
    /// Over nodes that are left out.
    Over,
    /// The loop's stage again.
    Again,
    /// The next round of a group.
    Round,
}

/// What may come between two accepted events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Nothing was accepted before.
    Begins,
    /// Nothing.
    Next,
    /// What the stage does not accept.
    FollowedBy,
    /// Anything.
    FollowedByAny,
    /// Complete with the event accepted last.
    Completes,
    /// Complete with the key's next event: the pattern ends with `not next`.
    AtNextEvent,
    /// Complete when the window ends: the pattern ends with `not followed by`.
    AtDeadline,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::Begins => "begins",
            Link::Next => "next",
            Link::FollowedBy => "followed by",
            Link::FollowedByAny => "followed by any",
            Link::Completes => "completes",
            Link::AtNextEvent => "at the next event",
            Link::AtDeadline => "at the window's end",
        })
    }
}

/// A negation in force on an edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unless {
    /// Whether it is `not next`; else `not followed by`.
    pub next: bool,
    /// The negated stage.
    pub stage: String,
}

impl fmt::Display for Unless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.next { "not next" } else { "not followed by" }, self.stage)
    }
}

/// What makes events find their partial matches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Index {
    /// The types of the events that the pattern looks at; none: any.
    pub types: Option<Vec<String>>,
    /// The words that make it look at every event of a key that holds something, where there are such.
    pub strict: Option<String>,
    /// How many different tests are made at most once an event, for all patterns together.
    pub shared_tests: usize,
    /// How many tests are made for each partial match.
    pub tests_per_partial_match: usize,
}

/// How much a pattern may hold for one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// `none`, `bounded`, `linear`, `quadratic`, `cubic`, `polynomial` or `exponential`.
    pub class: &'static str,
    /// The power of the number of events that the number of partial matches grows with; none where exponential.
    pub power: Option<u32>,
    /// The stage after which partial matches gather.
    pub stage: Option<String>,
    /// The stage that they wait for; none: for the end of the window.
    pub waits_for: Option<String>,
    /// The same in words.
    pub explanation: String,
    /// For how long partial matches are kept, in words.
    pub lifetime: Option<String>,
    /// Changes that would make it grow less.
    pub remedies: Vec<Remedy>,
}

impl Growth {
    /// The class, with its power where the name does not say it.
    pub fn class_text(&self) -> String {
        match (self.class, self.power) {
            ("polynomial", Some(power)) => format!("polynomial (power {power})"),
            (class, _) => class.to_owned(),
        }
    }
}

/// A change of a pattern that would make it hold less.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remedy {
    /// What to change.
    pub change: String,
    /// What comes of it.
    pub effect: String,
}
