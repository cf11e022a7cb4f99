//! Which patterns an event concerns, by its type: first those that any type concerns, then those that name it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::condition::Types;
use super::index::{Index, Need, Tokens};
use super::set::Compiled;
use crate::event::{Row, TypeId};

/// So many patterns are not looked up.
const FEW: usize = 2;

/// Patterns with one key specification and the same streams that have to see events of one type, or of any.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Its number in the set.
    pub(crate) number: u32,
    /// The key specification's number.
    pub(crate) key: usize,
    /// By rank of a stream: whether the patterns read it; and whether they read all.
    streams: Vec<bool>,
    reads_all: bool,
    /// All of them, in their order.
    pub(crate) patterns: Vec<u32>,
    index: Index,
}

/// The routes of a set of patterns. Those of one set and those of the set with one pattern more are the same but where
/// the new one is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    /// For events of any type.
    any: SmallVec<[Arc<Route>; 1]>,
    /// By type: for its events alone.
    of_type: Vec<SmallVec<[Arc<Route>; 1]>>,
    /// How many there have been.
    count: u32,
}

impl Routes {
    /// Adds a pattern by what its conditions need. `finish` has to be called before events are looked up.
    pub(crate) fn add(&mut self, number: u32, pattern: &Compiled, needs: &[Option<Need>]) {
        if pattern.sees_all || pattern.atoms.iter().any(|atom| atom.types == Types::Any) {
            let route = route(&mut self.any, pattern, &mut self.count);
            return route.add(number, pattern, needs, |_| true);
        }
        for kind in kinds(pattern) {
            if self.of_type.len() <= kind.0 as usize {
                self.of_type.resize_with(kind.0 as usize + 1, SmallVec::new);
            }
            let of_kind = &mut self.of_type[kind.0 as usize];
            route(of_kind, pattern, &mut self.count).add(number, pattern, needs, |types| types.has(kind));
        }
    }

    /// Takes a pattern out.
    pub(crate) fn remove(&mut self, number: u32, pattern: &Compiled) {
        let of_its_types = kinds(pattern);
        let of_its_types = of_its_types.iter().map(|kind| kind.0 as usize);
        let lists = std::iter::once(&mut self.any);
        // The types are in order, each once.
        let mut places = of_its_types.peekable();
        let of_type = self.of_type.iter_mut().enumerate();
        let of_type = of_type.filter_map(|(kind, routes)| places.next_if_eq(&kind).map(|_| routes));
        for routes in lists.chain(of_type) {
            routes.retain_mut(|route| {
                if route.patterns.binary_search(&number).is_ok() {
                    Arc::make_mut(route).remove(number);
                }
                !route.patterns.is_empty()
            });
        }
    }

    /// How many routes there have been: more than any number.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// All routes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Route> {
        self.any.iter().chain(self.of_type.iter().flatten()).map(Arc::as_ref)
    }

    /// Makes ready what was added.
    pub(crate) fn finish(&mut self) {
        for route in self.any.iter_mut().chain(self.of_type.iter_mut().flatten()) {
            if !route.index.is_finished() {
                Arc::make_mut(route).index.finish();
            }
        }
    }

    /// The routes of events of a type. No pattern is on two of them.
    pub(crate) fn of(&self, kind: TypeId) -> impl Iterator<Item = &Route> {
        let of_type = self.of_type.get(kind.0 as usize);
        self.any.iter().chain(of_type.into_iter().flatten()).map(Arc::as_ref)
    }

    /// One of them by its place.
    #[inline]
    pub(crate) fn at(&self, kind: TypeId, place: usize) -> Option<&Route> {
        let of_type = || self.of_type.get(kind.0 as usize)?.get(place - self.any.len());
        self.any.get(place).or_else(of_type).map(Arc::as_ref)
    }
}

/// The types that a pattern names, in order.
fn kinds(pattern: &Compiled) -> Vec<TypeId> {
    let mut kinds: Vec<TypeId> = pattern.atoms.iter().flat_map(|atom| atom.types.named()).copied().collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The route of a pattern among those of a type. `count` is how many routes there have been.
fn route<'a>(
    routes: &'a mut SmallVec<[Arc<Route>; 1]>,
    pattern: &Compiled,
    count: &mut u32,
) -> &'a mut Route {
    let same = |route: &Arc<Route>| route.key == pattern.key && route.streams == pattern.streams;
    let at = routes.iter().position(same).unwrap_or_else(|| {
        let streams = pattern.streams.clone();
        let (key, number) = (pattern.key, *count);
        let reads_all = streams.iter().all(|reads| *reads);
        let (patterns, index) = (Vec::new(), Index::default());
        let route = Route { number, key, streams, reads_all, patterns, index };
        *count += 1;
        routes.push(Arc::new(route));
        routes.len() - 1
    });
    Arc::make_mut(&mut routes[at])
}

impl Route {
    /// Adds a pattern by its conditions on the types in question.
    fn add(
        &mut self,
        number: u32,
        pattern: &Compiled,
        needs: &[Option<Need>],
        concerns: impl Fn(&Types) -> bool,
    ) {
        self.patterns.push(number);
        let asked = || pattern.atoms.iter().zip(needs).filter(|(atom, _)| concerns(&atom.types));
        if pattern.sees_all || asked().any(|(_, need)| need.is_none()) {
            self.index.add_always(number);
        } else {
            asked().filter_map(|(_, need)| need.as_ref()).for_each(|need| self.index.add(number, need));
        }
    }

    fn remove(&mut self, number: u32) {
        self.patterns.retain(|other| *other != number);
        self.index.remove(number);
    }

    /// Whether the patterns read a stream, by its rank.
    #[inline]
    pub(crate) fn reads(&self, stream: u32) -> bool {
        self.reads_all || self.streams[stream as usize]
    }

    /// Whether each pattern is found by what it asks for.
    pub(crate) fn is_indexed(&self) -> bool {
        self.index.has_all()
    }

    /// The patterns, where each event concerns all of them, or they are so few that they are sooner asked than looked up.
    #[inline]
    pub(crate) fn always(&self) -> Option<&[u32]> {
        if self.patterns.len() <= FEW { Some(&self.patterns) } else { self.index.always() }
    }

    /// The first one of few patterns.
    pub(crate) fn first_of_few(&self) -> Option<u32> {
        self.patterns.first().copied().filter(|_| self.patterns.len() <= FEW)
    }

    /// Whether an event may concern some pattern.
    #[inline]
    pub(crate) fn may_concern(&self, row: &Row<'_>, tokens: &Tokens) -> bool {
        self.index.may_concern(row, tokens)
    }

    /// Tells the patterns that an event may change something for, each once, in their order.
    #[inline]
    pub(crate) fn concerned(&self, row: &Row<'_>, tokens: &Tokens, into: &mut Vec<u32>) {
        self.index.concerned(row, tokens, into);
    }
}
