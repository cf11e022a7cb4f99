//! Which patterns an event concerns, by its type: first those that any type concerns, then those that name it.

use super::condition::Types;
use super::index::{Index, Tokens};
use super::set::Compiled;
use crate::event::{Row, TypeId};

/// Patterns with one key specification and the same streams that have to see events of one type, or of any.
#[derive(Debug)]
pub(crate) struct Route {
    /// The key specification's number.
    pub(crate) key: usize,
    /// By rank of a stream: whether the patterns read it.
    pub(crate) streams: Vec<bool>,
    /// All of them, in their order.
    pub(crate) patterns: Vec<u32>,
    index: Index,
}

/// The routes of a set of patterns.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// For events of any type.
    any: Vec<Route>,
    /// By type: for its events alone.
    of_type: Vec<Vec<Route>>,
}

impl Routes {
    pub(crate) fn new(patterns: &[Compiled], types: usize) -> Routes {
        let mut of_type = Vec::new();
        of_type.resize_with(TypeId::FIRST_NAMED as usize + types, Vec::new);
        let mut routes = Routes { any: Vec::new(), of_type };
        for (number, pattern) in (0..).zip(patterns) {
            if pattern.sees_all || pattern.atoms.iter().any(|atom| atom.types == Types::Any) {
                route(&mut routes.any, pattern).add(number, pattern, |_| true);
                continue;
            }
            let mut kinds: Vec<TypeId> =
                pattern.atoms.iter().flat_map(|atom| atom.types.named()).copied().collect();
            kinds.sort_unstable();
            kinds.dedup();
            for kind in kinds {
                let of_kind = &mut routes.of_type[kind.0 as usize];
                route(of_kind, pattern).add(number, pattern, |types| types.has(kind));
            }
        }
        routes.any.iter_mut().chain(routes.of_type.iter_mut().flatten()).for_each(|r| r.index.finish());
        routes
    }

    /// The routes of events of a type. No pattern is on two of them.
    #[inline]
    pub(crate) fn of(&self, kind: TypeId) -> impl Iterator<Item = &Route> {
        self.any.iter().chain(&self.of_type[kind.0 as usize])
    }
}

/// The route of a pattern among those of a type.
fn route<'a>(routes: &'a mut Vec<Route>, pattern: &Compiled) -> &'a mut Route {
    let same = |route: &Route| route.key == pattern.key && route.streams == pattern.streams;
    let at = routes.iter().position(same).unwrap_or_else(|| {
        let streams = pattern.streams.clone();
        routes.push(Route { key: pattern.key, streams, patterns: Vec::new(), index: Index::default() });
        routes.len() - 1
    });
    &mut routes[at]
}

impl Route {
    /// Adds a pattern by its conditions on the types in question.
    fn add(&mut self, number: u32, pattern: &Compiled, concerns: impl Fn(&Types) -> bool) {
        self.patterns.push(number);
        let asked = || pattern.atoms.iter().filter(|atom| concerns(&atom.types));
        if pattern.sees_all || asked().any(|atom| atom.need.is_none()) {
            self.index.add_always(number);
        } else {
            asked().flat_map(|atom| &atom.need).for_each(|need| self.index.add(number, need));
        }
    }

    /// Tells the patterns that an event may change something for, each once, in their order.
    #[inline]
    pub(crate) fn concerned(&self, row: &Row<'_>, tokens: &Tokens, into: &mut Vec<u32>) {
        self.index.concerned(row, tokens, into);
    }
}
