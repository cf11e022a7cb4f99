//! What paths name: a field of the event being tested, an attribute of a stage's events, a value of the key.

use std::collections::BTreeMap;

use super::Report;
use super::rules::Structure;
use crate::diagnostic::similar;
use crate::event::{FieldPath, Segment, Value};
use crate::pattern::ast::{Name, Path, PathSegment};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};
use crate::pattern::expr::{Attribute, Expr, Pick};
use crate::pattern::plan::StageId;
use crate::pattern::print::print_path;

/// What an event has besides its fields.
const METAS: [(&str, Attribute); 6] = [
    ("time", Attribute::Time),
    ("type", Attribute::Type),
    ("stream", Attribute::Stream),
    ("partition", Attribute::Partition),
    ("offset", Attribute::Offset),
    ("key", Attribute::RecordKey),
];

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a stage's `where` or `until`.
    Stage(StageId),
    /// In `select`.
    Select,
}

/// What names mean in a pattern.
pub(super) struct Scope<'s, 'a> {
    pub(super) structure: &'s Structure<'a>,
    key: &'s [FieldPath],
    keys: BTreeMap<&'s FieldPath, usize>,
    pub(super) place: Place,
    fields: BTreeMap<FieldPath, usize>,
    /// The stage that an unknown name was most likely meant for, remembered: fields come often.
    meant: BTreeMap<String, Option<&'a str>>,
    /// How many comparisons of names may still be made to find what was meant: bounds the work on texts with very
    /// many stages and very many names.
    comparisons: usize,
}

/// What a path says of a stage: which of its events, and what of them.
pub(super) struct StagePath<'p> {
    pub(super) stage: StageId,
    /// The index and its place, if there is one.
    pub(super) index: Option<(i64, Span)>,
    /// The steps after the stage and the index.
    pub(super) rest: &'p [PathSegment],
}

impl<'s, 'a> Scope<'s, 'a> {
    pub(super) fn new(structure: &'s Structure<'a>, key: &'s [FieldPath]) -> Scope<'s, 'a> {
        Scope {
            structure,
            key,
            keys: key.iter().enumerate().map(|(index, path)| (path, index)).collect(),
            place: Place::Select,
            fields: key.iter().enumerate().map(|(index, path)| (path.clone(), index)).collect(),
            meant: BTreeMap::new(),
            comparisons: 300_000,
        }
    }

    /// The fields that were read, each at its number.
    pub(super) fn into_fields(self) -> Vec<FieldPath> {
        let mut fields: Vec<(usize, FieldPath)> =
            self.fields.into_iter().map(|(path, index)| (index, path)).collect();
        fields.sort_unstable_by_key(|(index, _)| *index);
        fields.into_iter().map(|(_, path)| path).collect()
    }

    /// What a path means as a value; null where that was a mistake.
    pub(super) fn value(&mut self, path: &Path, report: &mut Report<'_>) -> Expr {
        self.try_value(path, report).unwrap_or(Expr::Const(Value::Null))
    }

    fn try_value(&mut self, path: &Path, report: &mut Report<'_>) -> Option<Expr> {
        if let Some(of) = self.stage_path(path) {
            match of.rest {
                [] => return report.refuse(event_is_no_value(path)),
                [PathSegment::Index(_, span), ..] => {
                    let message = "a stage's event is reached by one number";
                    let mistake = Diagnostic::new(code::BAD_PATH, *span, message);
                    return report.refuse(mistake.help("the step after it is a field"));
                }
                _ => {}
            }
            self.warn_of_absence(of.stage, path.span, report);
            let pick = of.index.map_or(Pick::Last, |(index, _)| Pick::Index(index));
            return Some(Expr::Stage(of.stage, pick, self.attribute(of.rest, path.span, report)?));
        }
        if let (Place::Select, false) = (self.place, path.this)
            && let Some(key) = field(&path.segments).and_then(|field| self.keys.get(&field))
        {
            return Some(Expr::Key(*key));
        }
        if let Some(mut mistake) = self.misspelt_stage(path) {
            if let (Place::Stage(_), Some(help)) = (self.place, &mut mistake.help) {
                let text = print_path(path);
                help.push_str(&format!(" For a field of the event being tested write `this.{text}`"));
            }
            return report.refuse(mistake);
        }
        if self.place == Place::Select {
            return report.refuse(self.no_event(path));
        }
        Some(Expr::This(self.attribute(&path.segments, path.span, report)?))
    }

    /// What a path says of a stage, where its first step is one and is not all of it.
    pub(super) fn stage_path<'p>(&self, path: &'p Path) -> Option<StagePath<'p>> {
        let [PathSegment::Name(first), rest @ ..] = &path.segments[..] else { return None };
        if path.this || rest.is_empty() {
            return None;
        }
        let stage = self.stage(first)?;
        Some(match rest {
            [PathSegment::Index(index, span), rest @ ..] => {
                StagePath { stage, index: Some((*index, *span)), rest }
            }
            rest => StagePath { stage, index: None, rest },
        })
    }

    /// The stage of a name.
    pub(super) fn stage(&self, name: &Name) -> Option<StageId> {
        self.structure.names.get(name.text.as_str()).copied()
    }

    /// What the steps of a path say of an event.
    pub(super) fn attribute(
        &mut self,
        steps: &[PathSegment],
        span: Span,
        report: &mut Report<'_>,
    ) -> Option<Attribute> {
        if let [PathSegment::Meta(name)] = steps {
            return meta(name, report);
        }
        let Some(path) = field(steps) else {
            let mistake =
                Diagnostic::new(code::BAD_PATH, span, "an `@` name stands alone, or right after a stage");
            return report.refuse(mistake.help("as in `@time`, `a.@time` or `a[0].@time`"));
        };
        let next = self.fields.len();
        Some(Attribute::Field(*self.fields.entry(path).or_insert(next)))
    }

    /// Warns of reading the events of a stage that has none at this place.
    pub(super) fn warn_of_absence(&self, stage: StageId, span: Span, report: &mut Report<'_>) {
        let read = &self.structure.stages[stage];
        let name = &read.name.text;
        if read.negated {
            let message = format!("`{name}` is a negation: there are no events of it to read");
            report.push(
                Diagnostic::new(code::NEGATED_STAGE_READ, span, message)
                    .related(read.name.span, "negated here"),
            );
            return;
        }
        if self.place == Place::Stage(stage) && read.loop_end == 0 {
            let message = format!(
                "inside its own condition `{name}` means its events before this one, and it takes no more than one"
            );
            report.push(Diagnostic::new(code::OWN_STAGE_READ, span, message).help(
                "for the event being tested leave the stage out, as in `amount > 5`, or write `this.amount`",
            ));
            return;
        }
        if let Place::Stage(place) = self.place
            && place < stage
            && stage >= self.structure.stages[place].loop_end
        {
            let message = format!("`{name}` comes later: there are no events of it yet");
            report.push(
                Diagnostic::new(code::LATER_STAGE_READ, span, message)
                    .help(format!("put the condition on `{name}`"))
                    .related(read.name.span, "it stands here"),
            );
        }
    }

    /// The mistake of a path with several steps of which the first looks like a misspelt stage.
    pub(super) fn misspelt_stage(&mut self, path: &Path) -> Option<Diagnostic> {
        let [PathSegment::Name(first), _, ..] = &path.segments[..] else { return None };
        // A field that is a part of the key is no misspelt stage.
        let begins_key =
            |key: &FieldPath| matches!(&key.0[..], [Segment::Name(name), ..] if *name == first.text);
        if path.this || self.key.iter().any(begins_key) {
            return None;
        }
        let near = self.stage_meant(&first.text)?;
        let mistake =
            Diagnostic::new(code::UNKNOWN_STAGE, first.span, format!("there is no stage `{}`", first.text));
        Some(mistake.help(format!("did you mean `{near}`?")).suggest(first.span, near))
    }

    /// The stage that was most likely meant by an unknown name.
    pub(super) fn stage_meant(&mut self, name: &str) -> Option<&'a str> {
        if let Some(known) = self.meant.get(name) {
            return *known;
        }
        let names = &self.structure.names;
        self.comparisons = self.comparisons.checked_sub(names.len())?;
        let near = similar(name, names.keys().copied());
        self.meant.insert(name.to_owned(), near);
        near
    }

    /// The mistake of reading the event being tested in `select`, where there is none.
    pub(super) fn no_event(&self, path: &Path) -> Diagnostic {
        let text = print_path(path);
        let message = format!("`{text}` of which event? In `select` no event is being tested");
        let mistake = Diagnostic::new(code::NO_EVENT, path.span, message);
        let bare = text.strip_prefix("this.").unwrap_or(&text).to_owned();
        let stages = &self.structure.stages;
        if let [PathSegment::Name(only)] = &path.segments[..]
            && let Some(stage) = self.stage(only)
        {
            let name = &stages[stage].name.text;
            return mistake.help(format!(
                "name a field of the stage, as in `{name}.id`, or count its events: `count({name})`"
            ));
        }
        match stages.iter().rev().find(|draft| !draft.negated) {
            Some(draft) => {
                let stage = &draft.name.text;
                let help = format!("name a stage, as in `{stage}.{bare}`; paths of `key by` stand alone");
                mistake.help(help).suggest(path.span, format!("{stage}.{bare}"))
            }
            None => mistake,
        }
    }
}

/// The field that steps lead to; `None` where one of them is an `@` name.
pub(super) fn field(steps: &[PathSegment]) -> Option<FieldPath> {
    let steps = steps.iter().map(|step| match step {
        PathSegment::Name(name) => Some(Segment::Name(name.text.clone())),
        PathSegment::Index(index, _) => Some(Segment::Index(*index)),
        PathSegment::Meta(_) => None,
    });
    steps.collect::<Option<Vec<Segment>>>().map(FieldPath)
}

fn meta(name: &Name, report: &mut Report<'_>) -> Option<Attribute> {
    if let Some((_, attribute)) = METAS.iter().find(|(known, _)| *known == name.text) {
        return Some(attribute.clone());
    }
    let mistake = Diagnostic::new(code::UNKNOWN_META, name.span, format!("there is no `@{}`", name.text));
    let known = METAS.iter().map(|(known, _)| *known);
    report.refuse(match similar(&name.text, known) {
        Some(near) => mistake.help(format!("did you mean `@{near}`?")).suggest(name.span, format!("@{near}")),
        None => mistake.help("there are `@time`, `@type`, `@stream`, `@partition`, `@offset` and `@key`"),
    })
}

fn event_is_no_value(path: &Path) -> Diagnostic {
    let text = print_path(path);
    Diagnostic::new(code::BAD_PATH, path.span, "a stage's event is no value").help(format!(
        "name one of its fields, as in `{text}.id`; for a field of the event being tested write `this.{text}`"
    ))
}
