//! What becomes of patterns while events pass: they are added, begin nothing new, hand over to another version, and are
//! gone. Each change gives a new set; engines go on with it between two events.

use std::fmt;
use std::sync::Arc;

use super::limits::Budget;
use super::set::{Compiled, PatternSet};
use crate::event::TimeSpan;
use crate::pattern::plan::Plan;

/// Fewer holes than this are left as they are.
const HOLES_MIN: usize = 64;

/// What a pattern of a set does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// All that it says.
    Active,
    /// It begins no partial match; those that it has go on until they are complete or their window ends.
    Retired,
    /// Nothing: its number is a hole.
    Removed,
}

/// Why a pattern does not take over what an earlier version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// There is no such pattern, or it has another name.
    Name,
    /// The key.
    Key,
    /// What the stages accept, how often, and how they are linked.
    Stages,
    /// The window.
    Within,
    /// The skip strategy.
    Skip,
    /// What is sent, so that partial matches are held in another way.
    Emit,
    /// Computed fields that read what the earlier version did not keep of its events.
    Select,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Differs::Name => "there is no earlier version of this name",
            Differs::Key => "the key differs",
            Differs::Stages => "the stages, their conditions or what links them differ",
            Differs::Within => "the window differs",
            Differs::Skip => "what is skipped after a match differs",
            Differs::Emit => "what is emitted differs",
            Differs::Select => "a computed field reads what the earlier version does not keep",
        })
    }
}

impl std::error::Error for Differs {}

impl PatternSet {
    /// The set with one pattern more, as version 1. It costs little, however many there are: nothing is compiled but the
    /// new one.
    pub fn with(&self, plan: Plan) -> PatternSet {
        self.with_version(plan, 1)
    }

    /// The same with a version: none of the set has the same name and version.
    pub fn with_version(&self, plan: Plan, version: u64) -> PatternSet {
        let mut set = self.clone();
        let number = set.add(Arc::new(plan), version);
        set.routes.finish();
        set.renew_gates(number);
        set
    }

    /// The set in which a pattern begins no partial match any more. [`Engine::keys_of`](super::Engine::keys_of) says
    /// whether it holds some yet.
    pub fn retire(&self, number: u32) -> PatternSet {
        let mut set = self.clone();
        if set.life(number) == Life::Active {
            set.change(number, |pattern| pattern.life = Life::Retired);
        }
        set
    }

    /// The set in which a pattern that begins no partial match begins them again.
    pub fn activate(&self, number: u32) -> PatternSet {
        let mut set = self.clone();
        if set.life(number) == Life::Retired {
            set.change(number, |pattern| pattern.life = Life::Active);
        }
        set
    }

    /// The set in which a pattern gives one match per key in a length of event time, or every match again.
    pub fn suppress(&self, number: u32, within: Option<TimeSpan>) -> PatternSet {
        let mut set = self.clone();
        if set.suppressed(number) != within {
            set.change(number, |pattern| pattern.suppress = within);
        }
        set
    }

    /// In which length of event time a pattern gives one match per key.
    pub fn suppressed(&self, number: u32) -> Option<TimeSpan> {
        self.patterns.get(number as usize)?.suppress
    }

    /// The set in which a pattern has a budget, or none.
    pub fn limit(mut self, number: u32, budget: Option<Budget>) -> PatternSet {
        if self.budget(number) != budget {
            self.change(number, |pattern| pattern.budget = budget.map(Arc::new));
        }
        if budget.is_some_and(|budget| budget.counts_sums()) && !self.summed.contains(&number) {
            self.summed.push(number);
        }
        self
    }

    /// The set in which each pattern has the budget that is said for its name and version, which is a decision about it.
    pub fn limit_all(self, budget: impl Fn(&str, u64) -> Option<Budget>) -> PatternSet {
        let there = self.by_rank.clone();
        there.into_iter().fold(self, |set, number| {
            let pattern = &set.patterns[number as usize];
            let budget = budget(&pattern.plan.name, pattern.version);
            set.limit(number, budget).decided(number, false)
        })
    }

    /// The budget of a pattern.
    pub fn budget(&self, number: u32) -> Option<Budget> {
        self.patterns.get(number as usize)?.budget.as_deref().copied()
    }

    /// The set in which something has been decided about a pattern: its keys that exceeded a budget take part again.
    /// With `drops`, all that it holds is dropped.
    pub fn decided(mut self, number: u32, drops: bool) -> PatternSet {
        if self.life(number) != Life::Removed {
            self.change(number, |pattern| {
                pattern.decided.0 += 1;
                pattern.decided.1 += u64::from(drops);
            });
        }
        self
    }

    /// The set without a pattern: what it holds is dropped.
    pub fn without(&self, number: u32) -> PatternSet {
        let mut set = self.clone();
        set.remove(number);
        set
    }

    /// The set with another version in the place of a pattern, with which it agrees in everything but what its matches
    /// say: the new one goes on with what the old one holds.
    pub fn replace(&self, old: u32, plan: Plan, version: u64) -> Result<PatternSet, Differs> {
        let mut set = self.clone();
        if set.life(old) == Life::Removed {
            return Err(Differs::Name);
        }
        let new = set.add(Arc::new(plan), version);
        differ(&set.patterns[old as usize], &set.patterns[new as usize]).map_or(Ok(()), Err)?;
        set.change(new, |pattern| pattern.takes_over = Some(old));
        set.heirs.iter_mut().filter(|heir| **heir == old).for_each(|heir| *heir = new);
        set.routes.finish();
        set.renew_gates(new);
        set.remove(old);
        Ok(set)
    }

    /// The number of a pattern that is there.
    pub fn number(&self, name: &str, version: u64) -> Option<u32> {
        let number = *self.by_rank.get(self.rank(name, version))?;
        let pattern = &self.patterns[number as usize];
        (pattern.plan.name == name && pattern.version == version).then_some(number)
    }

    /// The patterns that are there: number, name, version, and whether it begins nothing any more.
    pub fn installed(&self) -> impl Iterator<Item = (u32, &str, u64, bool)> {
        self.by_rank.iter().map(|&number| {
            let pattern = &self.patterns[number as usize];
            (number, pattern.plan.name.as_str(), pattern.version, pattern.life == Life::Retired)
        })
    }

    /// What a pattern does.
    pub fn life(&self, number: u32) -> Life {
        self.patterns.get(number as usize).map_or(Life::Removed, |pattern| pattern.life)
    }

    /// Whether so many patterns were removed that the set should be made anew.
    pub fn is_sparse(&self) -> bool {
        let holes = self.patterns.len() - self.by_rank.len();
        holes >= HOLES_MIN && holes > self.by_rank.len()
    }

    /// A set of the same patterns with nothing left of those that were removed. All is numbered anew, so events have to
    /// be decoded for it, and [`Engine::renumber`](super::Engine::renumber) goes on with it.
    pub fn compacted(&self) -> PatternSet {
        let mut set = PatternSet::empty(self.type_field().clone(), self.around.streams.clone());
        set.runs_only = self.runs_only;
        for &number in &self.by_rank {
            let old = &self.patterns[number as usize];
            let new = set.add(Arc::clone(&old.plan), old.version);
            set.change(new, |pattern| {
                (pattern.life, pattern.home, pattern.suppress) = (old.life, old.home, old.suppress);
                (pattern.budget, pattern.decided) = (old.budget.clone(), old.decided);
            });
            set.summed.extend(self.summed.contains(&number).then_some(new));
        }
        set.finish();
        set
    }

    fn change(&mut self, number: u32, change: impl FnOnce(&mut Compiled)) {
        change(Arc::make_mut(&mut self.patterns[number as usize]));
    }

    fn remove(&mut self, number: u32) {
        if self.life(number) == Life::Removed {
            return;
        }
        self.change(number, |pattern| pattern.life = Life::Removed);
        let rank = self.ranks[number as usize] as usize;
        self.by_rank.remove(rank);
        self.by_rank[rank..].iter().for_each(|&behind| self.ranks[behind as usize] -= 1);
        self.routes.remove(number, &self.patterns[number as usize]);
        self.renew_gates(number);
    }

    /// Makes the gates anew that a pattern has to do with.
    fn renew_gates(&mut self, number: u32) {
        let pattern = Arc::clone(&self.patterns[number as usize]);
        self.make_gates(|kind| pattern.sees(kind));
    }
}

/// What keeps a version from taking over what another one holds.
fn differ(old: &Compiled, new: &Compiled) -> Option<Differs> {
    let same_conditions = old.atoms.iter().zip(&new.atoms).all(|(a, b)| {
        // Expressions have no equality of their own: what they say as text is one.
        a.types == b.types
            && a.unary == b.unary
            && format!("{:?}", a.iterative) == format!("{:?}", b.iterative)
    });
    let differences = [
        (old.plan.name != new.plan.name, Differs::Name),
        (old.key != new.key, Differs::Key),
        // Shapes are equal where their numbers are, and then there are as many conditions.
        (old.shape != new.shape || !same_conditions, Differs::Stages),
        (old.within != new.within, Differs::Within),
        (old.skip != new.skip, Differs::Skip),
        (old.emit_timeouts != new.emit_timeouts || old.storage != new.storage, Differs::Emit),
        (!new.kept.iter().all(|slot| old.kept.contains(slot)), Differs::Select),
    ];
    differences.into_iter().find_map(|(differs, what)| differs.then_some(what))
}
