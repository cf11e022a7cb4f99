//! The tree of a pattern as it was written, with the place of every part. No name is resolved here and no rule is
//! checked; `check` does that. Chains of one operator are flat lists, so the tree is as deep as its parentheses are.

use super::diagnostic::Span;
use crate::event::TimeSpan;

/// A file of patterns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct File {
    /// The patterns in the order of the text.
    pub patterns: Vec<Pattern>,
    /// The comments in the order of the text, for the printer.
    pub comments: Vec<Comment>,
}

/// A comment, with its delimiters.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// As written, from `//` or `/*` on.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A name as meant (without backticks or quotes), and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// One pattern: its clauses in the order of the text, each kind possibly missing or repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// The pattern's name.
    pub name: Name,
    /// Its clauses.
    pub clauses: Vec<Clause>,
    /// From `pattern` to the end of its last clause.
    pub span: Span,
}

/// A clause and where it stands, keywords included.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// What it says.
    pub kind: ClauseKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of clauses.
#[derive(Debug, Clone, PartialEq)]
pub enum ClauseKind {
    /// `from stream, …`
    From(Vec<Name>),
    /// `key by path, …`
    KeyBy(Vec<Path>),
    /// `match sequence`
    Match(Sequence),
    /// `within duration [between events]`
    Within {
        /// The length of the window.
        span: TimeSpan,
        /// Whether it is counted from the event accepted before.
        between_events: bool,
    },
    /// `after match skip`
    AfterMatch(Skip),
    /// `emit timeouts`
    EmitTimeouts,
    /// `select item, …`
    Select(Vec<Item>),
}

/// What a match that is taken skips.
#[derive(Debug, Clone, PartialEq)]
pub enum Skip {
    /// `no skip`
    NoSkip,
    /// `skip to next`
    ToNext,
    /// `skip past last`
    PastLast,
    /// `skip to first a`
    ToFirst(Name),
    /// `skip to last a`
    ToLast(Name),
}

/// `expr [as name]`
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What is computed.
    pub expr: Expr,
    /// What it is called.
    pub alias: Option<Name>,
}

/// Elements and the links between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// The first element.
    pub first: Element,
    /// The others, each with the link before it.
    pub rest: Vec<(Link, Element)>,
}

/// How an element is linked to what stands before it, and where that is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The link.
    pub kind: LinkKind,
    /// Where its words stand.
    pub span: Span,
}

/// The kinds of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// `next`
    Next,
    /// `followed by`
    FollowedBy,
    /// `followed by any`
    FollowedByAny,
    /// `not next`
    NotNext,
    /// `not followed by`
    NotFollowedBy,
}

/// A stage or a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// `name [quantifier]: types modifiers`
    Stage(Stage),
    /// `( sequence ) [quantifier] modifiers`
    Group(Group),
}

/// A stage as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: Name,
    /// Its quantifier.
    pub quantifier: Option<Quantifier>,
    /// The types that it takes.
    pub types: Types,
    /// `where`, `until` and the words after the types, in the order of the text.
    pub modifiers: Vec<Modifier>,
    /// From the name to the end of the last modifier.
    pub span: Span,
}

/// A group as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What stands in the parentheses.
    pub sequence: Box<Sequence>,
    /// Its quantifier.
    pub quantifier: Option<Quantifier>,
    /// The words after it; never `where` or `until`.
    pub modifiers: Vec<Modifier>,
    /// From the opening parenthesis to the end of the last modifier.
    pub span: Span,
}

/// The types that a stage takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Types {
    /// `any`
    Any(Span),
    /// `type | type`
    OneOf(Vec<Name>),
}

/// A modifier and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Modifier {
    /// What it says.
    pub kind: ModifierKind,
    /// Where it stands, its expression included.
    pub span: Span,
}

/// The kinds of modifiers.
#[derive(Debug, Clone, PartialEq)]
pub enum ModifierKind {
    /// `where expr`
    Where(Expr),
    /// `until expr`
    Until(Expr),
    /// `consecutive`
    Consecutive,
    /// `combinations`
    Combinations,
    /// `greedy`
    Greedy,
    /// `optional`
    Optional,
}

/// A quantifier and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantifier {
    /// What it says.
    pub kind: QuantifierKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of quantifiers, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantifierKind {
    /// `?`
    Optional,
    /// `+`
    Plus,
    /// `*`
    Star,
    /// `{n}`
    Exactly(u64),
    /// `{n,}`
    AtLeast(u64),
    /// `{n,m}`
    Between(u64, u64),
}

/// A path: `amount`, `device.os`, `a[-1].x`, `this.x`, `a.@time`, `@type`.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Whether it began with `this.`.
    pub this: bool,
    /// Its steps; at least one.
    pub segments: Vec<PathSegment>,
    /// Where it stands.
    pub span: Span,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum PathSegment {
    /// `name`
    Name(Name),
    /// `@name`
    Meta(Name),
    /// `[integer]`
    Index(i64, Span),
}

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands; parentheses around it are not part of it.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// A path.
    Path(Path),
    /// `name(args)`
    Call {
        /// The function's name.
        name: Name,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `a or b or …`; at least two.
    Or(Vec<Expr>),
    /// `a and b and …`; at least two.
    And(Vec<Expr>),
    /// `not a`
    Not(Box<Expr>),
    /// `-a`
    Negate(Box<Expr>),
    /// `a + b - c …` or `a * b / c % d …`: the first operand and the others with the operator before each; the
    /// operators of one chain bind alike.
    Chain(Box<Expr>, Vec<(ArithmeticOp, Expr)>),
    /// `a == b`
    Compare(Box<Expr>, CompareOp, Box<Expr>),
    /// `a is [not] null`
    IsNull {
        /// What is tested.
        expr: Box<Expr>,
        /// Whether `not` was said.
        negated: bool,
    },
    /// `a [not] in (b, c)`
    In {
        /// What is looked for.
        expr: Box<Expr>,
        /// Where.
        list: Vec<Expr>,
        /// Whether `not` was said.
        negated: bool,
    },
    /// `a [not] between low and high`
    Between {
        /// What is tested.
        expr: Box<Expr>,
        /// The lower bound.
        low: Box<Expr>,
        /// The upper bound.
        high: Box<Expr>,
        /// Whether `not` was said.
        negated: bool,
    },
    /// `a [not] like "…"`
    Like {
        /// What is tested.
        expr: Box<Expr>,
        /// The pattern, and where it stands.
        pattern: Name,
        /// Whether `not` was said.
        negated: bool,
    },
    /// `a [not] matches "…"`
    Matches {
        /// What is tested.
        expr: Box<Expr>,
        /// The regular expression, and where it stands.
        regex: Name,
        /// Whether `not` was said.
        negated: bool,
    },
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number that fits 64 bits.
    Int(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A string, unescaped.
    Str(String),
    /// A duration.
    Duration(TimeSpan),
}

/// `+ - * / %`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}

/// `== != < <= > >=` (`=` and `<>` are other spellings).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}
