//! Partial matches of one key of one pattern: the sections "How a pattern matches" and "Time and order" of the
//! reference, as far as they depend on events.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sequor::pattern::ast::{LinkKind, Skip};

use super::TooMany;
use super::eval::Scope;
use super::input::{Event, Position};
use super::shape::{Goal, Negation, Pattern, Place, Wait};

/// More partial matches of a key than this are not followed.
const PARTIALS_MAX: usize = 4_000;

/// An accepted event, and the stage that took it.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The stage.
    pub(crate) stage: usize,
    /// The event.
    pub(crate) event: Rc<Event>,
}

impl PartialEq for Taken {
    fn eq(&self, other: &Taken) -> bool {
        (self.stage, self.event.order) == (other.stage, other.event.order)
    }
}

/// What was found: all events of it have been accepted.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Whether it is a match or a timeout.
    pub(crate) kind: Kind,
    /// The accepted events in order.
    pub(crate) taken: Vec<Taken>,
    /// What made it come out.
    pub(crate) trigger: Trigger,
}

/// Matches come before timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A match.
    Match,
    /// A partial match whose window has closed.
    Timeout,
}

/// What makes matches come out: compares as the output does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trigger {
    /// When.
    pub(crate) time: i64,
    /// Whether it is an event; deadlines come before events.
    pub(crate) is_event: bool,
    /// The event's position; at a deadline, that of the first event of what comes out.
    pub(crate) position: Position,
}

/// A partial match: it is alive as long as it waits for something.
#[derive(Debug, Clone)]
struct Partial {
    taken: Vec<Taken>,
    place: Place,
    waits: Vec<Wait>,
    negations: Vec<Negation>,
    /// Whether no event has come since the last accepted one.
    fresh: bool,
}

/// A complete match that was not taken yet.
#[derive(Debug, Clone)]
struct Complete {
    taken: Vec<Taken>,
    /// The number of the moment at which it became complete.
    moment: usize,
}

/// What a partial match is seen to be from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Open {
    /// The position of each event, and the stage that took it.
    pub(crate) events: Vec<(Position, usize)>,
    /// When its window closes; none where it is complete and waits for its turn.
    pub(crate) deadline: Option<i64>,
    /// Whether it is complete.
    pub(crate) is_complete: bool,
    /// The stages that may take an event next; `None` for the next event and the deadline.
    pub(crate) waits: BTreeSet<Option<usize>>,
}

/// The partial matches of one key.
#[derive(Debug, Clone)]
pub(crate) struct KeyMatcher {
    pattern: Rc<Pattern>,
    stages: Vec<String>,
    partials: Vec<Partial>,
    complete: Vec<Complete>,
    found: Vec<Found>,
    moments: usize,
}

impl KeyMatcher {
    /// Nothing has come yet.
    pub(crate) fn new(pattern: Rc<Pattern>) -> KeyMatcher {
        let stages = pattern.stages.iter().map(|stage| stage.name.clone()).collect();
        KeyMatcher {
            pattern,
            stages,
            partials: Vec::new(),
            complete: Vec::new(),
            found: Vec::new(),
            moments: 0,
        }
    }

    /// Takes the key's next event.
    pub(crate) fn event(&mut self, event: &Rc<Event>) -> Result<(), TooMany> {
        self.close_windows(Some(event.time));
        self.moments += 1;
        let mut after = Vec::new();
        for partial in std::mem::take(&mut self.partials) {
            self.step(partial, event, &mut after);
        }
        self.begin(event, &mut after);
        if after.len() > PARTIALS_MAX || self.found.len() > PARTIALS_MAX {
            return Err(TooMany);
        }
        self.partials = after;
        self.take(event.time, Some(event));
        Ok(())
    }

    /// The watermark becomes infinite: all windows close.
    pub(crate) fn end_of_input(mut self) -> Vec<Found> {
        self.close_windows(None);
        self.found
    }

    /// What is open once time has come so far: each once, in whichever ways its events can be read.
    pub(crate) fn open_at(&self, time: i64) -> Vec<Open> {
        let mut then = self.clone();
        then.close_windows(Some(time));
        let events = |taken: &[Taken]| {
            taken.iter().map(|taken| (taken.event.position.clone(), taken.stage)).collect::<Vec<_>>()
        };
        let mut open: BTreeMap<(bool, Vec<(Position, usize)>), Open> = BTreeMap::new();
        for partial in &then.partials {
            let (events, deadline) = (events(&partial.taken), then.deadline(partial));
            let of = open.entry((false, events.clone())).or_insert_with(|| Open {
                events,
                deadline,
                is_complete: false,
                waits: BTreeSet::new(),
            });
            of.waits.extend(partial.waits.iter().map(|wait| match &wait.goal {
                Goal::Event { stage, .. } => Some(*stage),
                Goal::NextEvent | Goal::Deadline => None,
            }));
        }
        for complete in &then.complete {
            let events = events(&complete.taken);
            let of =
                Open { events: events.clone(), deadline: None, is_complete: true, waits: BTreeSet::new() };
            open.insert((true, events), of);
        }
        open.into_values().collect()
    }

    /// An event begins a partial match where the pattern can begin.
    fn begin(&mut self, event: &Rc<Event>, after: &mut Vec<Partial>) {
        for Wait { goal, greedy } in self.pattern.at_beginning().waits {
            if greedy.iter().any(|stage| self.would_accept(*stage, event, &[])) {
                continue;
            }
            if let Goal::Event { place, stage, .. } = goal
                && self.would_accept(stage, event, &[])
            {
                self.accept(&[], stage, place, event, Some(after));
            }
        }
    }

    /// What an event does to a partial match: what comes of it, it itself included, goes to `after`.
    fn step(&mut self, partial: Partial, event: &Rc<Event>, after: &mut Vec<Partial>) {
        let taken = &partial.taken;
        let guarded = |greedy: &[usize]| greedy.iter().any(|stage| self.would_accept(*stage, event, taken));
        let excluded_as_next = partial.fresh
            && partial.negations.iter().any(|negation| {
                negation.next && !guarded(&negation.greedy) && self.would_accept(negation.stage, event, taken)
            });
        let excluded = excluded_as_next
            || partial.negations.iter().any(|n| !n.next && self.would_accept(n.stage, event, taken));
        let mut accepted: Vec<(usize, Place)> = Vec::new();
        let mut by_absence = false;
        let mut waits = Vec::new();
        for wait in &partial.waits {
            match &wait.goal {
                _ if guarded(&wait.greedy) => {}
                Goal::Deadline => waits.push(wait.clone()),
                Goal::NextEvent => by_absence = true,
                Goal::Event { place, stage, inside_loop, link } => {
                    let until = self.is_until(*stage, event, taken);
                    if *inside_loop && until {
                        continue;
                    }
                    let accepts = self.fits(*stage, event, taken);
                    if accepts && !until {
                        accepted.push((*stage, place.clone()));
                    }
                    let goes_on = match link {
                        LinkKind::FollowedByAny => true,
                        LinkKind::FollowedBy => !accepts,
                        _ => false,
                    };
                    if goes_on {
                        waits.push(wait.clone());
                    }
                }
            }
        }
        if excluded_as_next {
            return;
        }
        for (stage, place) in accepted {
            self.accept(&partial.taken, stage, place, event, if excluded { None } else { Some(&mut *after) });
        }
        if excluded {
            return;
        }
        if by_absence {
            self.completed(partial.taken.clone());
        }
        if !waits.is_empty() {
            after.push(Partial { waits, fresh: false, ..partial });
        }
    }

    /// A stage accepts an event: the match may be complete with it, and what goes on goes to `after`, if it may.
    fn accept(
        &mut self,
        before: &[Taken],
        stage: usize,
        place: Place,
        event: &Rc<Event>,
        after: Option<&mut Vec<Partial>>,
    ) {
        let mut taken = before.to_vec();
        taken.push(Taken { stage, event: Rc::clone(event) });
        let ways = self.pattern.after(&place);
        if ways.complete {
            self.completed(taken.clone());
        }
        if let Some(after) = after
            && !ways.waits.is_empty()
            && !after.iter().any(|other| other.place == place && other.taken == taken)
        {
            after.push(Partial { taken, place, waits: ways.waits, negations: ways.negations, fresh: true });
        }
    }

    /// Whether a stage's types and `where` accept an event.
    fn fits(&self, stage: usize, event: &Event, taken: &[Taken]) -> bool {
        let stage = &self.pattern.stages[stage];
        let fits = stage
            .types
            .as_ref()
            .is_none_or(|types| event.kind.as_ref().is_some_and(|kind| types.contains(kind)));
        fits && stage.condition.as_ref().is_none_or(|condition| self.scope(event, taken).holds(condition))
    }

    fn is_until(&self, stage: usize, event: &Event, taken: &[Taken]) -> bool {
        let until = self.pattern.stages[stage].until.as_ref();
        until.is_some_and(|until| self.scope(event, taken).holds(until))
    }

    fn would_accept(&self, stage: usize, event: &Event, taken: &[Taken]) -> bool {
        self.fits(stage, event, taken) && !self.is_until(stage, event, taken)
    }

    fn scope<'a>(&'a self, event: &'a Event, taken: &'a [Taken]) -> Scope<'a> {
        Scope { stages: &self.stages, this: Some(event), taken, key: &self.pattern.key }
    }

    /// A match has become complete.
    fn completed(&mut self, taken: Vec<Taken>) {
        if !self.complete.iter().any(|other| other.taken == taken) {
            self.complete.push(Complete { taken, moment: self.moments });
        }
    }

    /// When the window of a partial match closes.
    fn deadline(&self, partial: &Partial) -> Option<i64> {
        let (within, between_events) = self.pattern.within?;
        let from = if between_events { partial.taken.last() } else { partial.taken.first() };
        from.map(|taken| taken.event.time.saturating_add(within))
    }

    /// Closes every partial match whose window has passed at `now` (none: at the end of time), one deadline after the
    /// other.
    fn close_windows(&mut self, now: Option<i64>) {
        loop {
            let deadlines = self.partials.iter().filter_map(|partial| self.deadline(partial));
            let Some(time) = deadlines.min().filter(|time| now.is_none_or(|now| *time <= now)) else {
                return;
            };
            let is_due = |matcher: &Self, partial: &Partial| matcher.deadline(partial) == Some(time);
            let by_absence = |partial: &Partial| partial.waits.iter().any(|wait| wait.goal == Goal::Deadline);
            // A partial match that gives a match now times out as well if a loop may still go on. And a timeout is given
            // even where a match of this same moment skips it.
            let may_go_on = |partial: &Partial| partial.waits.iter().any(|wait| wait.goal != Goal::Deadline);
            let due: Vec<Partial> =
                self.partials.iter().filter(|partial| is_due(self, partial)).cloned().collect();
            if self.pattern.emit_timeouts {
                for partial in due.iter().filter(|partial| may_go_on(partial)) {
                    let trigger =
                        Trigger { time, is_event: false, position: first(&partial.taken).position.clone() };
                    let found = Found { kind: Kind::Timeout, taken: partial.taken.clone(), trigger };
                    self.emit(found);
                }
            }
            let mut firsts: Vec<Rc<Event>> =
                due.iter().map(|partial| Rc::clone(first(&partial.taken))).collect();
            firsts.sort_by_key(|event| event.order);
            firsts.dedup_by_key(|event| event.order);
            for event in firsts {
                self.moments += 1;
                let (closed, open) = std::mem::take(&mut self.partials)
                    .into_iter()
                    .partition(|partial| is_due(self, partial) && first(&partial.taken).order == event.order);
                self.partials = open;
                let closed: Vec<Partial> = closed;
                for partial in closed.into_iter().filter(by_absence) {
                    self.completed(partial.taken);
                }
                self.take(time, None);
            }
        }
    }

    /// Takes the complete matches that no partial match holds back, at an event or else at a deadline.
    fn take(&mut self, time: i64, event: Option<&Event>) {
        loop {
            self.complete.sort_by(|a, b| {
                (first(&a.taken).order, a.moment)
                    .cmp(&(first(&b.taken).order, b.moment))
                    .then(turn(&a.taken, &b.taken))
            });
            let Some(next) = self.complete.first() else { return };
            let began = first(&next.taken).order;
            let skips = self.pattern.skip != Skip::NoSkip;
            if skips && self.partials.iter().any(|partial| first(&partial.taken).order < began) {
                return;
            }
            let Complete { taken, .. } = self.complete.remove(0);
            if let Some(limit) = self.skipped_before(&taken) {
                self.partials.retain(|partial| first(&partial.taken).order >= limit);
                self.complete.retain(|complete| first(&complete.taken).order >= limit);
            }
            let position = event.unwrap_or(first(&taken)).position.clone();
            let trigger = Trigger { time, is_event: event.is_some(), position };
            self.emit(Found { kind: Kind::Match, taken, trigger });
        }
    }

    /// What began before this place in the order of events is skipped by a match.
    fn skipped_before(&self, taken: &[Taken]) -> Option<usize> {
        let of = |name: &str| {
            let orders =
                taken.iter().filter(|taken| self.stages[taken.stage] == name).map(|taken| taken.event.order);
            orders.collect::<Vec<usize>>()
        };
        match &self.pattern.skip {
            Skip::NoSkip => None,
            Skip::ToNext => Some(first(taken).order + 1),
            Skip::PastLast => taken.last().map(|taken| taken.event.order + 1),
            Skip::ToFirst(stage) => of(&stage.text).first().copied(),
            Skip::ToLast(stage) => of(&stage.text).last().copied(),
        }
    }

    /// Emits what was not emitted before.
    fn emit(&mut self, found: Found) {
        if !self.found.iter().any(|other| other.kind == found.kind && other.taken == found.taken) {
            self.found.push(found);
        }
    }
}

fn first(taken: &[Taken]) -> &Rc<Event> {
    &taken[0].event
}

/// Which of two matches that begin with the same event and became complete at the same moment is taken first: at the
/// first difference, the one with the earlier event, or with the same event in the earlier stage; and the longer one
/// where one goes on from the other.
fn turn(a: &[Taken], b: &[Taken]) -> Ordering {
    let key = |taken: &Taken| (taken.event.order, taken.stage);
    let differences = a.iter().zip(b).map(|(a, b)| key(a).cmp(&key(b)));
    differences.fold(Ordering::Equal, Ordering::then).then(b.len().cmp(&a.len()))
}
