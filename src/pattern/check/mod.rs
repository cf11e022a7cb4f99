//! From tree to plan: names are resolved, and every rule of the language is checked. A pattern that breaks one gets
//! diagnostics and no plan; whoever holds a plan may rely on all of them.

mod conditions;
mod kinds;
mod modifiers;
mod paths;
mod regexes;
mod rules;

use std::collections::BTreeMap;

use self::conditions::Conditions;
use self::paths::{Place, Scope};
use self::rules::Structure;
use super::Limits;
use super::ast::{self, ClauseKind, File};
use super::code;
use super::diagnostic::{Diagnostic, Diagnostics, Span};
use super::parse::State;
use super::plan::{Plan, Skip, Within};
use super::print::print_expr;
use crate::diagnostic::similar;
use crate::event::FieldPath;

/// Checks all patterns of a file, and gives the plans of those that have no errors. `states` says of each pattern how
/// much of it could be read.
pub fn check(file: &File, states: &[State], limits: &Limits, diagnostics: &mut Diagnostics) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut conditions = Conditions::new(limits);
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    for (pattern, state) in file.patterns.iter().zip(states) {
        let mut report = Report { diagnostics: &mut *diagnostics, errors: 0 };
        let name = &pattern.name;
        match names.get(name.text.as_str()) {
            Some(first) if !name.text.is_empty() => report.push(
                Diagnostic::new(
                    code::PATTERN_TWICE,
                    name.span,
                    format!("there is a pattern `{}` already", name.text),
                )
                .related(*first, "first used here"),
            ),
            _ => {
                names.insert(&name.text, name.span);
            }
        }
        let clauses = Clauses::collect(pattern, *state, &mut report);
        if *state == State::Torn {
            continue;
        }
        let plan =
            clauses.and_then(|clauses| plan(pattern, &clauses, limits.states, &mut conditions, &mut report));
        if report.errors == 0 && *state == State::Whole {
            plans.extend(plan);
        }
    }
    plans
}

/// Where one pattern's diagnostics go.
struct Report<'d> {
    diagnostics: &'d mut Diagnostics,
    errors: usize,
}

impl Report<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        self.diagnostics.push(diagnostic);
    }

    /// Reports a mistake for which nothing can be given instead.
    fn refuse<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.push(diagnostic);
        None
    }

    /// Warns of things listed twice.
    fn repeated(&mut self, what: &str, names: impl IntoIterator<Item = (String, Span)>) {
        let mut seen = BTreeMap::new();
        for (name, span) in names {
            if let Some(first) = seen.get(&name) {
                let message = format!("{what} `{name}` is listed twice");
                self.push(
                    Diagnostic::new(code::REPEATED, span, message).related(*first, "first listed here"),
                );
            } else {
                seen.insert(name, span);
            }
        }
    }
}

/// A pattern's clauses, each at its place.
struct Clauses<'a> {
    from: Option<&'a [ast::Name]>,
    key: &'a [ast::Path],
    sequence: &'a ast::Sequence,
    within: Option<Within>,
    skip: Option<&'a ast::Skip>,
    emit_timeouts: bool,
    select: &'a [ast::Item],
}

impl<'a> Clauses<'a> {
    /// Sorts the clauses; the first of a kind counts. `None` where there is no `match`.
    fn collect(pattern: &'a ast::Pattern, state: State, report: &mut Report<'_>) -> Option<Clauses<'a>> {
        let mut first: [Option<&ast::Clause>; 7] = [None; 7];
        for clause in &pattern.clauses {
            let (index, name) = match clause.kind {
                ClauseKind::From(_) => (0, "from"),
                ClauseKind::KeyBy(_) => (1, "key by"),
                ClauseKind::Match(_) => (2, "match"),
                ClauseKind::Within { .. } => (3, "within"),
                ClauseKind::AfterMatch(_) => (4, "after match"),
                ClauseKind::EmitTimeouts => (5, "emit timeouts"),
                ClauseKind::Select(_) => (6, "select"),
            };
            match first[index] {
                Some(earlier) => report.push(
                    Diagnostic::new(code::CLAUSE_TWICE, clause.span, format!("a second `{name}`"))
                        .help("every clause comes at most once in a pattern")
                        .related(earlier.span, "the first one is here"),
                ),
                None => first[index] = Some(clause),
            }
        }
        let kind = |index: usize| first[index].map(|clause| &clause.kind);
        let Some(ClauseKind::Match(sequence)) = kind(2) else {
            if state != State::Torn {
                let message = format!("pattern `{}` has no `match`", pattern.name.text);
                let help = "`match` says what has to happen, as in `match a: login followed by b: payment`";
                report.push(Diagnostic::new(code::MATCH_MISSING, pattern.name.span, message).help(help));
            }
            return None;
        };
        let within = match (kind(3), first[3]) {
            (Some(ClauseKind::Within { span, between_events }), Some(clause)) => {
                if span.0 < 1 {
                    let message = "a window is at least one millisecond long";
                    report.push(Diagnostic::new(code::WINDOW_TOO_SHORT, clause.span, message));
                }
                Some(Within { span: *span, between_events: *between_events })
            }
            _ => None,
        };
        Some(Clauses {
            from: match kind(0) {
                Some(ClauseKind::From(streams)) => Some(streams),
                _ => None,
            },
            key: match kind(1) {
                Some(ClauseKind::KeyBy(paths)) => paths,
                _ => &[],
            },
            sequence,
            within,
            skip: match kind(4) {
                Some(ClauseKind::AfterMatch(skip)) => Some(skip),
                _ => None,
            },
            emit_timeouts: kind(5).is_some(),
            select: match kind(6) {
                Some(ClauseKind::Select(items)) => items,
                _ => &[],
            },
        })
    }
}

/// The plan of a pattern; of use only where nothing was reported, `None` where not even its structure holds.
fn plan(
    pattern: &ast::Pattern,
    clauses: &Clauses<'_>,
    states: u64,
    conditions: &mut Conditions,
    report: &mut Report<'_>,
) -> Option<Plan> {
    if let Some(streams) = clauses.from {
        report.repeated("stream", streams.iter().map(|stream| (stream.text.clone(), stream.span)));
    }
    let structure = Structure::build(clauses.sequence, clauses.within.is_some(), states, report)?;
    let skip = clauses.skip.map_or(Skip::NoSkip, |skip| skip_of(skip, &structure, report));
    let key = key_of(clauses.key, report);
    let mut scope = Scope::new(&structure, &key);
    let stages = structure.stages.iter().enumerate().map(|(id, draft)| {
        scope.place = Place::Stage(id);
        let mut compile =
            |expr: &Option<&ast::Expr>| expr.map(|expr| conditions.condition(expr, &mut scope, report));
        draft.stage(compile(&draft.condition), compile(&draft.until))
    });
    let stages = stages.collect();
    scope.place = Place::Select;
    let mut names: BTreeMap<String, Span> = BTreeMap::new();
    let mut select = Vec::new();
    for item in clauses.select {
        let (name, span) = match &item.alias {
            Some(alias) => (alias.text.clone(), alias.span),
            None => (print_expr(&item.expr), item.expr.span),
        };
        if let Some(first) = names.get(&name) {
            report.push(
                Diagnostic::new(
                    code::FIELD_TWICE,
                    span,
                    format!("there is a computed field `{name}` already"),
                )
                .help("name one of them with `as`")
                .related(*first, "first used here"),
            );
        }
        names.entry(name.clone()).or_insert(span);
        select.push((name, conditions.compile(&item.expr, &mut scope, report)));
    }
    let fields = scope.into_fields();
    Some(Plan {
        name: pattern.name.text.clone(),
        streams: clauses.from.map(|streams| distinct(streams.iter().map(|stream| stream.text.clone()))),
        key,
        fields,
        stages,
        sequence: structure.sequence,
        within: clauses.within,
        skip,
        emit_timeouts: clauses.emit_timeouts,
        select,
    })
}

/// In code point order, without repetition.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn skip_of(skip: &ast::Skip, structure: &Structure<'_>, report: &mut Report<'_>) -> Skip {
    let (name, make): (_, fn(usize) -> Skip) = match skip {
        ast::Skip::NoSkip => return Skip::NoSkip,
        ast::Skip::ToNext => return Skip::ToNext,
        ast::Skip::PastLast => return Skip::PastLast,
        ast::Skip::ToFirst(name) => (name, Skip::ToFirst),
        ast::Skip::ToLast(name) => (name, Skip::ToLast),
    };
    let Some(&stage) = structure.names.get(name.text.as_str()) else {
        let mistake =
            Diagnostic::new(code::SKIP_TO_UNKNOWN, name.span, format!("there is no stage `{}`", name.text));
        report.push(match similar(&name.text, structure.names.keys().copied()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")).suggest(name.span, near),
            None => mistake.help("`skip to` names a stage of this pattern"),
        });
        return Skip::NoSkip;
    };
    let draft = &structure.stages[stage];
    if draft.negated {
        let message =
            format!("`{}` is a negation: a match has no event of it, so nothing is skipped", name.text);
        report.push(
            Diagnostic::new(code::SKIP_TO_NEGATION, name.span, message)
                .related(draft.name.span, "negated here"),
        );
    }
    make(stage)
}

/// The key's fields, without repetition.
fn key_of(paths: &[ast::Path], report: &mut Report<'_>) -> Vec<FieldPath> {
    let mut key: Vec<(FieldPath, Span)> = Vec::new();
    for path in paths {
        if path.this {
            let message = "a key is a field of every event of the pattern: `this` says nothing here";
            report.push(Diagnostic::new(code::BAD_PATH, path.span, message).help("leave `this.` out"));
        } else if let Some(field) = paths::field(&path.segments) {
            key.push((field, path.span));
        } else {
            let message = "a key is made of fields; what begins with `@` is none";
            report.push(Diagnostic::new(code::BAD_PATH, path.span, message));
        }
    }
    report.repeated("key", key.iter().map(|(field, span)| (field.to_string(), *span)));
    let mut seen = std::collections::BTreeSet::new();
    key.into_iter().map(|(field, _)| field).filter(|field| seen.insert(field.clone())).collect()
}
