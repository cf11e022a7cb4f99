//! Which patterns an event concerns, by its type: first those that any type concerns, then those that name it.

use std::sync::Arc;

use super::condition::Types;
use super::index::{Index, Need, Tokens};
use super::set::Compiled;
use crate::event::{Row, TypeId};

/// Patterns with one key specification and the same streams that have to see events of one type, or of any.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The key specification's number.
    pub(crate) key: usize,
    /// By rank of a stream: whether the patterns read it.
    streams: Vec<bool>,
    /// All of them, in their order.
    pub(crate) patterns: Vec<u32>,
    index: Index,
}

/// The routes of a set of patterns. Those of one set and those of the set with one pattern more are the same but where
/// the new one is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    /// For events of any type.
    any: Vec<Arc<Route>>,
    /// By type: for its events alone.
    of_type: Vec<Vec<Arc<Route>>>,
}

impl Routes {
    /// Adds a pattern by what its conditions need. `finish` has to be called before events are looked up.
    pub(crate) fn add(&mut self, number: u32, pattern: &Compiled, needs: &[Option<Need>]) {
        if pattern.sees_all || pattern.atoms.iter().any(|atom| atom.types == Types::Any) {
            return route(&mut self.any, pattern).add(number, pattern, needs, |_| true);
        }
        let mut kinds: Vec<TypeId> =
            pattern.atoms.iter().flat_map(|atom| atom.types.named()).copied().collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            if self.of_type.len() <= kind.0 as usize {
                self.of_type.resize_with(kind.0 as usize + 1, Vec::new);
            }
            let of_kind = &mut self.of_type[kind.0 as usize];
            route(of_kind, pattern).add(number, pattern, needs, |types| types.has(kind));
        }
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
    #[inline]
    pub(crate) fn of(&self, kind: TypeId) -> impl Iterator<Item = &Route> {
        let of_type = self.of_type.get(kind.0 as usize);
        self.any.iter().chain(of_type.into_iter().flatten()).map(Arc::as_ref)
    }
}

/// The route of a pattern among those of a type.
fn route<'a>(routes: &'a mut Vec<Arc<Route>>, pattern: &Compiled) -> &'a mut Route {
    let same = |route: &Arc<Route>| route.key == pattern.key && route.streams == pattern.streams;
    let at = routes.iter().position(same).unwrap_or_else(|| {
        let streams = pattern.streams.clone();
        let route = Route { key: pattern.key, streams, patterns: Vec::new(), index: Index::default() };
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

    /// Whether the patterns read a stream, by its rank.
    #[inline]
    pub(crate) fn reads(&self, stream: u32) -> bool {
        self.streams[stream as usize]
    }

    /// Whether each pattern is found by what it asks for.
    pub(crate) fn is_indexed(&self) -> bool {
        self.index.has_all()
    }

    /// The patterns, where each event concerns all of them.
    #[inline]
    pub(crate) fn always(&self) -> Option<&[u32]> {
        self.index.always()
    }

    /// Tells the patterns that an event may change something for, each once, in their order.
    #[inline]
    pub(crate) fn concerned(&self, row: &Row<'_>, tokens: &Tokens, into: &mut Vec<u32>) {
        self.index.concerned(row, tokens, into);
    }
}
