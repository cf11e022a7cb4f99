//! The rules about elements: links, negations, quantifiers and modifiers, and the size of the automaton.

use std::collections::BTreeMap;

use super::Report;
use super::modifiers::{Modifiers, is_loop};
use crate::pattern::ast::{self, LinkKind, ModifierKind, QuantifierKind};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};
use crate::pattern::expr::Expr;
use crate::pattern::plan::{Element, ElementKind, Negation, Repeat, Sequence, Stage, StageId};

/// A pattern's elements, and its stages with their conditions as written.
pub(super) struct Structure<'a> {
    pub(super) sequence: Sequence,
    pub(super) stages: Vec<Draft<'a>>,
    /// The stages by their names; of several of one name the first.
    pub(super) names: BTreeMap<&'a str, StageId>,
}

/// A stage whose conditions are not resolved yet.
pub(super) struct Draft<'a> {
    pub(super) name: &'a ast::Name,
    types: &'a ast::Types,
    pub(super) negated: bool,
    pub(super) condition: Option<&'a ast::Expr>,
    pub(super) until: Option<&'a ast::Expr>,
    span: Span,
    /// One past the last stage of the outermost loop that it is in, itself or a group around it: up to there stages may
    /// have events from an earlier iteration. 0: it is in none.
    pub(super) loop_end: StageId,
}

impl Draft<'_> {
    /// The stage with its conditions resolved.
    pub(super) fn stage(&self, condition: Option<Expr>, until: Option<Expr>) -> Stage {
        let types = match self.types {
            ast::Types::Any(_) => None,
            ast::Types::OneOf(types) => Some(super::distinct(types.iter().map(|name| name.text.clone()))),
        };
        Stage {
            name: self.name.text.clone(),
            types,
            condition,
            until,
            negated: self.negated,
            span: self.span,
        }
    }
}

impl<'a> Structure<'a> {
    /// Checks the rules about elements. `None` where the automaton would be too large to go on with.
    pub(super) fn build(
        sequence: &'a ast::Sequence,
        has_window: bool,
        limit: u64,
        report: &mut Report<'_>,
    ) -> Option<Structure<'a>> {
        // Counts are kept in 32 bits.
        let limit = limit.min(u64::from(u32::MAX));
        let mut builder =
            Builder { stages: Vec::new(), names: BTreeMap::new(), limit, too_large: false, report };
        let (sequence, _) = builder.sequence(sequence, false);
        if let Some(element) = sequence.elements.last()
            && let Some(last) = element.negations.last()
            && !last.next
            && !has_window
        {
            let span = builder.stages[last.stage].span;
            builder.report.push(
                Diagnostic::new(
                    code::NEGATION_WITHOUT_WINDOW,
                    span,
                    "without a window this absence is never certain",
                )
                .help("a pattern that ends with `not followed by` needs `within`, as in `within 30m`"),
            );
        }
        let Builder { stages, names, too_large, .. } = builder;
        (!too_large).then_some(Structure { sequence, stages, names })
    }
}

struct Builder<'a, 'r, 'd> {
    stages: Vec<Draft<'a>>,
    names: BTreeMap<&'a str, StageId>,
    limit: u64,
    too_large: bool,
    report: &'r mut Report<'d>,
}

impl<'a> Builder<'a, '_, '_> {
    /// A sequence, and the number of states that it takes.
    fn sequence(&mut self, ast: &'a ast::Sequence, in_group: bool) -> (Sequence, u64) {
        let mut elements: Vec<Element> = Vec::new();
        let mut spans: Vec<Span> = Vec::new();
        let mut total = 0_u64;
        let first = (LinkKind::FollowedBy, Span::default(), &ast.first);
        let rest = ast.rest.iter().map(|(link, element)| (link.kind, link.span, element));
        for (link, link_span, element) in std::iter::once(first).chain(rest) {
            let span = span_of(element);
            let size = match (link, elements.last_mut()) {
                (LinkKind::NotNext | LinkKind::NotFollowedBy, Some(before)) => {
                    let last = spans[spans.len() - 1];
                    let (negation, size) = self.negation(link, link_span, element, before, last);
                    before.negations.extend(negation);
                    size
                }
                _ => {
                    let (mut element, size) = self.element(element, link);
                    if elements.is_empty() {
                        element.link = LinkKind::FollowedBy;
                    }
                    if let (Some(before), Some(at)) = (elements.last(), spans.last()) {
                        self.greedy_before_optional(before, *at, &element, span);
                    }
                    elements.push(element);
                    spans.push(span);
                    size
                }
            };
            total = total.saturating_add(size);
            self.limit_size(total, span, "with this element");
        }
        let sequence = Sequence { elements };
        if in_group
            && let Some(negation) = sequence.elements.last().and_then(|element| element.negations.last())
        {
            self.negation_ends_group(*negation);
        }
        (sequence, total)
    }

    fn negation_ends_group(&mut self, negation: Negation) {
        if !negation.next {
            let span = self.stages[negation.stage].span;
            self.report.push(
                Diagnostic::new(code::NEGATION_ENDS_GROUP, span, "a group cannot end with `not followed by`")
                    .help("put the negation after the group, or a stage after the negation"),
            );
        }
    }

    fn greedy_before_optional(&mut self, before: &Element, at: Span, element: &Element, span: Span) {
        if before.greedy && before.negations.is_empty() && element.optional {
            let message = "an optional element cannot stand right after a greedy loop";
            self.report.push(
                Diagnostic::new(code::GREEDY_BEFORE_OPTIONAL, span, message)
                    .help("leave `greedy` out, or make the element one that has to come")
                    .related(at, "the greedy loop"),
            );
        }
    }

    /// A negation after an element; `None` where it is none that could be.
    fn negation(
        &mut self,
        link: LinkKind,
        link_span: Span,
        element: &'a ast::Element,
        before: &Element,
        before_span: Span,
    ) -> (Option<Negation>, u64) {
        if before.optional && before.negations.is_empty() {
            let message = "a negation cannot stand right after an optional element";
            self.report.push(
                Diagnostic::new(code::NEGATION_AFTER_OPTIONAL, link_span.to(span_of(element)), message)
                    .help("put the negation before the optional element, or after the next one that has to come")
                    .related(before_span, "this element may be left out"),
            );
        }
        let stage = match element {
            ast::Element::Stage(stage) => stage,
            ast::Element::Group(group) => {
                let message = "a group cannot be negated";
                self.report.push(
                    Diagnostic::new(code::NEGATED_GROUP, group.span, message)
                        .help("a negation is a single stage; several may follow one another"),
                );
                // Its names are known all the same.
                let (_, size) = self.element(element, LinkKind::FollowedBy);
                return (None, size);
            }
        };
        let optional = stage.modifiers.iter().find(|modifier| modifier.kind == ModifierKind::Optional);
        let repeated = stage.quantifier.as_ref().map(|quantifier| quantifier.span);
        let id = self.stages.len();
        if let Some(span) = repeated.or(optional.map(|modifier| modifier.span)) {
            let message = "a negation is neither optional nor repeated";
            self.report.push(
                Diagnostic::new(code::NEGATION_REPEATED, span, message)
                    .help("it says that no such event comes; leave this out"),
            );
            self.register(stage, true);
        } else {
            let modifiers = self.register(stage, true);
            modifiers.check(None, false, self.report);
        }
        (Some(Negation { next: link == LinkKind::NotNext, stage: id }), 1)
    }

    /// A stage or a group that is no negation, and the number of states that it takes.
    fn element(&mut self, ast: &'a ast::Element, link: LinkKind) -> (Element, u64) {
        let (quantifier, is_group) = match ast {
            ast::Element::Stage(stage) => (stage.quantifier.as_ref(), false),
            ast::Element::Group(group) => (group.quantifier.as_ref(), true),
        };
        let (repeat, may_be_none) = self.repeat(quantifier);
        let first_stage = self.stages.len();
        let (kind, modifiers, size) = match ast {
            ast::Element::Stage(stage) => (ElementKind::Stage(first_stage), self.register(stage, false), 1),
            ast::Element::Group(group) => {
                let (sequence, size) = self.sequence(&group.sequence, true);
                let modifiers = Modifiers::collect(&group.modifiers, self.report);
                if is_loop(quantifier) && can_be_empty(&sequence) {
                    let message = "this group can match nothing, so it cannot be repeated";
                    self.report.push(
                        Diagnostic::new(code::LOOP_OF_NOTHING, group.span, message)
                            .help("one of its elements has to be one that is not optional"),
                    );
                }
                (ElementKind::Group(sequence), modifiers, size)
            }
        };
        if repeat.max != Some(1) {
            let end = self.stages.len();
            self.stages[first_stage..].iter_mut().for_each(|draft| draft.loop_end = end);
        }
        modifiers.check(quantifier, is_group, self.report);
        if let (true, Some(span), Some(quantifier)) = (may_be_none, modifiers.optional, quantifier) {
            self.report.push(
                Diagnostic::new(code::OPTIONAL_TWICE, span, "this element is optional already")
                    .help("leave `optional` out")
                    .related(quantifier.span, "this makes it optional"),
            );
        }
        let size = size.saturating_mul(u64::from(repeat.max.unwrap_or(repeat.min)));
        self.limit_size(size, span_of(ast), "for this element alone");
        let inner = match (modifiers.consecutive, modifiers.combinations) {
            (Some(_), _) => LinkKind::Next,
            (None, Some(_)) => LinkKind::FollowedByAny,
            (None, None) => LinkKind::FollowedBy,
        };
        let element = Element {
            link,
            kind,
            repeat,
            optional: may_be_none || modifiers.optional.is_some(),
            inner,
            greedy: modifiers.greedy.is_some(),
            negations: Vec::new(),
        };
        (element, size)
    }

    fn limit_size(&mut self, size: u64, span: Span, what: &str) {
        if size <= self.limit || self.too_large {
            return;
        }
        self.too_large = true;
        let limit = self.limit;
        let message = match size {
            size if size >= u64::from(u32::MAX) => {
                format!("{what} the automaton is far beyond its limit of {limit} states")
            }
            _ => format!("{what} the automaton needs {size} states; the limit is {limit}"),
        };
        self.report.push(
            Diagnostic::new(code::TOO_MANY_STATES, span, message)
                .help("a stage has a state for each of its counts: `{2,500}` has 500, and groups multiply"),
        );
    }

    /// How often an element comes, and whether its quantifier makes it optional.
    fn repeat(&mut self, quantifier: Option<&ast::Quantifier>) -> (Repeat, bool) {
        let Some(quantifier) = quantifier else { return (Repeat::ONCE, false) };
        // Beyond 32 bits the automaton is too large anyhow.
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let mut wrong = |help: &str| {
            let message = "counts are at least 1 and in order";
            self.report.push(Diagnostic::new(code::BAD_COUNT, quantifier.span, message).help(help));
            (Repeat::ONCE, false)
        };
        match quantifier.kind {
            QuantifierKind::Optional => (Repeat::ONCE, true),
            QuantifierKind::Plus => (Repeat { min: 1, max: None }, false),
            QuantifierKind::Star => (Repeat { min: 1, max: None }, true),
            QuantifierKind::Exactly(0) | QuantifierKind::Between(0, 0) => {
                wrong("for an event that must not come, use `not next` or `not followed by`")
            }
            QuantifierKind::AtLeast(0) => wrong("for none or more, write `*`"),
            QuantifierKind::Between(min, max) if max < min => wrong(&format!("write `{{{max},{min}}}`")),
            QuantifierKind::Exactly(n) => (Repeat { min: count(n), max: Some(count(n)) }, false),
            QuantifierKind::AtLeast(n) => (Repeat { min: count(n), max: None }, false),
            QuantifierKind::Between(0, max) => (Repeat { min: 1, max: Some(count(max)) }, true),
            QuantifierKind::Between(min, max) => (Repeat { min: count(min), max: Some(count(max)) }, false),
        }
    }

    /// Adds a stage, and gives its modifiers.
    fn register(&mut self, stage: &'a ast::Stage, negated: bool) -> Modifiers<'a> {
        let modifiers = Modifiers::collect(&stage.modifiers, self.report);
        let id = self.stages.len();
        match self.names.get(stage.name.text.as_str()) {
            Some(first) => {
                let message = format!("there is a stage `{}` already", stage.name.text);
                self.report.push(
                    Diagnostic::new(code::STAGE_TWICE, stage.name.span, message)
                        .help("every stage of a pattern has a name of its own")
                        .related(self.stages[*first].name.span, "first used here"),
                );
            }
            None => {
                self.names.insert(&stage.name.text, id);
            }
        }
        if let ast::Types::OneOf(types) = &stage.types
            && types.len() > 1
        {
            self.report.repeated("type", types.iter().map(|name| (name.text.clone(), name.span)));
        }
        self.stages.push(Draft {
            name: &stage.name,
            types: &stage.types,
            negated,
            condition: modifiers.condition.map(|(expr, _)| expr),
            until: modifiers.until.map(|(expr, _)| expr),
            span: stage.span,
            loop_end: 0,
        });
        modifiers
    }
}

fn can_be_empty(sequence: &Sequence) -> bool {
    sequence.elements.iter().all(|element| {
        element.optional
            || match &element.kind {
                ElementKind::Stage(_) => false,
                ElementKind::Group(inner) => can_be_empty(inner),
            }
    })
}

fn span_of(element: &ast::Element) -> Span {
    match element {
        ast::Element::Stage(stage) => stage.span,
        ast::Element::Group(group) => group.span,
    }
}
