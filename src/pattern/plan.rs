//! What a pattern means, once its names are resolved and its rules hold: the input of the automaton's compiler.
//! Whoever holds a `Plan` may rely on every rule of the language; `check` is the only maker.

use super::ast::LinkKind;
use super::diagnostic::Span;
use super::expr::Expr;
use crate::event::{FieldPath, TimeSpan};

/// The number of a stage: its rank in the text, negations included.
pub type StageId = usize;

/// A checked pattern.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The streams that it reads; none: all.
    pub streams: Option<Vec<String>>,
    /// The fields that divide the stream; none: one key for all events.
    pub key: Vec<FieldPath>,
    /// All fields that its expressions and its key read; `Expr::Field` and `Attribute::Field` point in here.
    pub fields: Vec<FieldPath>,
    /// All stages in the order of the text, negations included.
    pub stages: Vec<Stage>,
    /// What has to happen in which order.
    pub sequence: Sequence,
    /// The window.
    pub within: Option<Within>,
    /// What a match that is taken skips.
    pub skip: Skip,
    /// Whether partial matches whose window closes are sent as well.
    pub emit_timeouts: bool,
    /// The computed fields: name and expression. No event is being tested in them; key values are `Expr::Key`.
    pub select: Vec<(String, Expr)>,
}

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// Its length; at least 1 ms. Events at first (or previous) + length are outside.
    pub span: TimeSpan,
    /// Whether it is counted from the event accepted before, not from the first.
    pub between_events: bool,
}

/// What a match that is taken skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Nothing.
    NoSkip,
    /// What began with its first event.
    ToNext,
    /// What began up to and including its last event.
    PastLast,
    /// What began before the stage's first event in it.
    ToFirst(StageId),
    /// What began before the stage's last event in it.
    ToLast(StageId),
}

/// A stage: what it accepts.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The types that it takes; none: any event. Without repetition, in code point order.
    pub types: Option<Vec<String>>,
    /// `where`
    pub condition: Option<Expr>,
    /// `until`; only on loops without an upper bound.
    pub until: Option<Expr>,
    /// Whether it is a negation: it accepts nothing itself.
    pub negated: bool,
    /// Where it stands in the text.
    pub span: Span,
}

/// A sequence: elements, and the negations after each. Its first element has no negation before it.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// At least one.
    pub elements: Vec<Element>,
}

/// An element of a sequence.
#[derive(Debug, Clone)]
pub struct Element {
    /// The link before its first event: `Next`, `FollowedBy` or `FollowedByAny`. For a sequence's first element it is
    /// `FollowedBy` and means nothing: there the link before the group counts, or the pattern begins.
    pub link: LinkKind,
    /// What it is.
    pub kind: ElementKind,
    /// How often it comes.
    pub repeat: Repeat,
    /// Whether it may be left out.
    pub optional: bool,
    /// The link between its iterations: `FollowedBy`, or `Next` with `consecutive`, or `FollowedByAny` with
    /// `combinations`.
    pub inner: LinkKind,
    /// Whether it is greedy; never for groups.
    pub greedy: bool,
    /// The negations right after it, in the order of the text.
    pub negations: Vec<Negation>,
}

/// A stage or a group.
#[derive(Debug, Clone)]
pub enum ElementKind {
    /// A stage.
    Stage(StageId),
    /// A group.
    Group(Sequence),
}

/// How often an element comes: `min` (at least 1) to `max` times; no `max`: without end. `{0,m}` is min 1, optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// The minimum, at least 1.
    pub min: u32,
    /// The maximum, if there is one.
    pub max: Option<u32>,
}

impl Repeat {
    /// Once.
    pub const ONCE: Repeat = Repeat { min: 1, max: Some(1) };
}

/// A negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negation {
    /// Whether it is `not next`, looking at the very next event only; else `not followed by`.
    pub next: bool,
    /// The stage that says which events it excludes.
    pub stage: StageId,
}
