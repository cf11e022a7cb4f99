//! Trees without their places, to compare what two texts say.

use super::ast::{
    Clause, ClauseKind, Comment, Element, Expr, ExprKind, File, Group, Item, Link, Modifier, ModifierKind,
    Name, Path, PathSegment, Pattern, Quantifier, Sequence, Skip, Stage, Types,
};
use super::diagnostic::Span;

const NOWHERE: Span = Span { start: 0, end: 0 };

impl File {
    /// The same tree with all its spans at the beginning of the text.
    pub fn without_spans(self) -> File {
        File {
            patterns: self.patterns.into_iter().map(pattern).collect(),
            comments: self.comments.into_iter().map(|c| Comment { span: NOWHERE, ..c }).collect(),
        }
    }
}

fn pattern(pattern: Pattern) -> Pattern {
    Pattern {
        name: name(pattern.name),
        clauses: pattern.clauses.into_iter().map(clause).collect(),
        span: NOWHERE,
    }
}

fn clause(clause: Clause) -> Clause {
    let kind = match clause.kind {
        ClauseKind::From(streams) => ClauseKind::From(streams.into_iter().map(name).collect()),
        ClauseKind::KeyBy(paths) => ClauseKind::KeyBy(paths.into_iter().map(path).collect()),
        ClauseKind::Match(matched) => ClauseKind::Match(sequence(matched)),
        ClauseKind::AfterMatch(Skip::ToFirst(stage)) => ClauseKind::AfterMatch(Skip::ToFirst(name(stage))),
        ClauseKind::AfterMatch(Skip::ToLast(stage)) => ClauseKind::AfterMatch(Skip::ToLast(name(stage))),
        ClauseKind::Select(items) => ClauseKind::Select(items.into_iter().map(item).collect()),
        kind @ (ClauseKind::Within { .. } | ClauseKind::AfterMatch(_) | ClauseKind::EmitTimeouts) => kind,
    };
    Clause { kind, span: NOWHERE }
}

fn item(item: Item) -> Item {
    Item { expr: expr(item.expr), alias: item.alias.map(name) }
}

fn sequence(sequence: Sequence) -> Sequence {
    let rest = sequence.rest.into_iter();
    Sequence {
        first: element(sequence.first),
        rest: rest.map(|(link, next)| (Link { span: NOWHERE, ..link }, element(next))).collect(),
    }
}

fn element(element: Element) -> Element {
    match element {
        Element::Stage(stage) => Element::Stage(Stage {
            name: name(stage.name),
            quantifier: stage.quantifier.map(quantifier),
            types: match stage.types {
                Types::Any(_) => Types::Any(NOWHERE),
                Types::OneOf(types) => Types::OneOf(types.into_iter().map(name).collect()),
            },
            modifiers: stage.modifiers.into_iter().map(modifier).collect(),
            span: NOWHERE,
        }),
        Element::Group(group) => Element::Group(Group {
            sequence: Box::new(sequence(*group.sequence)),
            quantifier: group.quantifier.map(quantifier),
            modifiers: group.modifiers.into_iter().map(modifier).collect(),
            span: NOWHERE,
        }),
    }
}

fn quantifier(quantifier: Quantifier) -> Quantifier {
    Quantifier { span: NOWHERE, ..quantifier }
}

fn modifier(modifier: Modifier) -> Modifier {
    let kind = match modifier.kind {
        ModifierKind::Where(condition) => ModifierKind::Where(expr(condition)),
        ModifierKind::Until(condition) => ModifierKind::Until(expr(condition)),
        kind => kind,
    };
    Modifier { kind, span: NOWHERE }
}

fn expr(whole: Expr) -> Expr {
    let boxed = |inner: Box<Expr>| Box::new(expr(*inner));
    let all = |list: Vec<Expr>| list.into_iter().map(expr).collect();
    let kind = match whole.kind {
        ExprKind::Literal(literal) => ExprKind::Literal(literal),
        ExprKind::Path(inner) => ExprKind::Path(path(inner)),
        ExprKind::Call { name: function, args } => ExprKind::Call { name: name(function), args: all(args) },
        ExprKind::Or(operands) => ExprKind::Or(all(operands)),
        ExprKind::And(operands) => ExprKind::And(all(operands)),
        ExprKind::Not(operand) => ExprKind::Not(boxed(operand)),
        ExprKind::Negate(operand) => ExprKind::Negate(boxed(operand)),
        ExprKind::Chain(first, rest) => {
            ExprKind::Chain(boxed(first), rest.into_iter().map(|(op, operand)| (op, expr(operand))).collect())
        }
        ExprKind::Compare(left, op, right) => ExprKind::Compare(boxed(left), op, boxed(right)),
        ExprKind::IsNull { expr, negated } => ExprKind::IsNull { expr: boxed(expr), negated },
        ExprKind::In { expr, list, negated } => ExprKind::In { expr: boxed(expr), list: all(list), negated },
        ExprKind::Between { expr, low, high, negated } => {
            ExprKind::Between { expr: boxed(expr), low: boxed(low), high: boxed(high), negated }
        }
        ExprKind::Like { expr, pattern, negated } => {
            ExprKind::Like { expr: boxed(expr), pattern: name(pattern), negated }
        }
        ExprKind::Matches { expr, regex, negated } => {
            ExprKind::Matches { expr: boxed(expr), regex: name(regex), negated }
        }
    };
    Expr { kind, span: NOWHERE }
}

fn path(path: Path) -> Path {
    let segments = path.segments.into_iter().map(|segment| match segment {
        PathSegment::Name(inner) => PathSegment::Name(name(inner)),
        PathSegment::Meta(inner) => PathSegment::Meta(name(inner)),
        PathSegment::Index(index, _) => PathSegment::Index(index, NOWHERE),
    });
    Path { segments: segments.collect(), span: NOWHERE, ..path }
}

fn name(name: Name) -> Name {
    Name { span: NOWHERE, ..name }
}
