//! Modifiers: each once, and the rules about those that ask for a loop.

use super::Report;
use crate::pattern::ast::{self, ModifierKind, QuantifierKind};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// The modifiers of an element, each with its place.
#[derive(Default)]
pub(super) struct Modifiers<'a> {
    pub(super) condition: Option<(&'a ast::Expr, Span)>,
    pub(super) until: Option<(&'a ast::Expr, Span)>,
    pub(super) consecutive: Option<Span>,
    pub(super) combinations: Option<Span>,
    pub(super) greedy: Option<Span>,
    pub(super) optional: Option<Span>,
}

impl<'a> Modifiers<'a> {
    /// Sorts modifiers; the first of a kind counts.
    pub(super) fn collect(list: &'a [ast::Modifier], report: &mut Report<'_>) -> Modifiers<'a> {
        let mut modifiers = Modifiers::default();
        for modifier in list {
            let span = modifier.span;
            let (earlier, name, help) = match &modifier.kind {
                ModifierKind::Where(expr) => {
                    let earlier = modifiers.condition.map(|(_, span)| span);
                    modifiers.condition = modifiers.condition.or(Some((expr, span)));
                    (earlier, "where", "join the two conditions with `and`")
                }
                ModifierKind::Until(expr) => {
                    let earlier = modifiers.until.map(|(_, span)| span);
                    modifiers.until = modifiers.until.or(Some((expr, span)));
                    (earlier, "until", "join the two conditions with `or`")
                }
                ModifierKind::Consecutive => {
                    (set(&mut modifiers.consecutive, span), "consecutive", "leave one of them out")
                }
                ModifierKind::Combinations => {
                    (set(&mut modifiers.combinations, span), "combinations", "leave one of them out")
                }
                ModifierKind::Greedy => (set(&mut modifiers.greedy, span), "greedy", "leave one of them out"),
                ModifierKind::Optional => {
                    (set(&mut modifiers.optional, span), "optional", "leave one of them out")
                }
            };
            if let Some(earlier) = earlier {
                report.push(
                    Diagnostic::new(code::MODIFIER_TWICE, span, format!("a second `{name}`"))
                        .help(help)
                        .related(earlier, "the first one is here"),
                );
            }
        }
        modifiers
    }

    /// The rules about modifiers that ask for a loop.
    pub(super) fn check(
        &self,
        quantifier: Option<&ast::Quantifier>,
        is_group: bool,
        report: &mut Report<'_>,
    ) {
        let kind = quantifier.map(|quantifier| quantifier.kind);
        let is_endless =
            matches!(kind, Some(QuantifierKind::Plus | QuantifierKind::Star | QuantifierKind::AtLeast(_)));
        if let (Some((_, span)), false) = (self.until, is_endless) {
            report.push(
                Diagnostic::new(
                    code::UNTIL_WITHOUT_LOOP,
                    span,
                    "`until` ends loops without an upper bound only",
                )
                .help("the stage's quantifier has to be `+`, `*` or `{n,}`"),
            );
        }
        let is_loop = is_loop(quantifier);
        for (name, span) in [("consecutive", self.consecutive), ("combinations", self.combinations)] {
            if let (Some(span), false) = (span, is_loop) {
                report.push(
                    Diagnostic::new(
                        code::CONTIGUITY_WITHOUT_LOOP,
                        span,
                        format!("`{name}` belongs to loops only"),
                    )
                    .help("it says how the events of a loop follow one another: `+`, `*` or counts"),
                );
            }
        }
        if let (Some(first), Some(second), true) = (self.consecutive, self.combinations, is_loop) {
            let (first, second) = (first.min(second), first.max(second));
            report.push(
                Diagnostic::new(
                    code::CONTIGUITY_TWICE,
                    second,
                    "a loop is `consecutive` or `combinations`, not both",
                )
                .related(first, "the other one is here"),
            );
        }
        let Some(greedy) = self.greedy else { return };
        if is_group {
            report.push(
                Diagnostic::new(code::GREEDY_WITHOUT_LOOP, greedy, "a group cannot be greedy")
                    .help("`greedy` belongs to loops of one stage"),
            );
        } else if !is_loop {
            report.push(
                Diagnostic::new(code::GREEDY_WITHOUT_LOOP, greedy, "`greedy` belongs to loops only")
                    .help("the stage has to have a quantifier: `+`, `*` or counts"),
            );
        } else if let Some(combinations) = self.combinations {
            report.push(
                Diagnostic::new(
                    code::GREEDY_COMBINATIONS,
                    greedy,
                    "a loop with `combinations` cannot be greedy",
                )
                .related(combinations, "`combinations` is here"),
            );
        }
    }
}

/// Notes where a modifier stands, and gives where it stood before.
fn set(place: &mut Option<Span>, span: Span) -> Option<Span> {
    let earlier = *place;
    place.get_or_insert(span);
    earlier
}

/// Any quantifier but `?` makes a loop.
pub(super) fn is_loop(quantifier: Option<&ast::Quantifier>) -> bool {
    quantifier.is_some_and(|quantifier| quantifier.kind != QuantifierKind::Optional)
}
