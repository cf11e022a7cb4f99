//! Which patterns an event concerns. Where patterns ask for one text of a field before all else (`merchant == "m7"`),
//! one look-up finds those that ask for the event's text, however many there are.

use super::condition::Predicates;
use super::set::{Compiled, PatternSet};
use crate::event::{Row, TypeId, Value};

/// So many patterns have to ask for texts of a field before they are looked up instead of asked one by one.
const INDEXED_MIN: usize = 4;

/// Patterns with one key specification that have to see events of one type.
#[derive(Debug)]
pub(crate) struct Route {
    /// The key specification's number.
    pub(crate) key: usize,
    /// All of them.
    pub(crate) patterns: Vec<u32>,
    /// Those among them that see every event.
    always: Vec<u32>,
    /// The others, by a field.
    by_field: Vec<ByText>,
}

/// Patterns that an event concerns only if a field of it has one of their texts.
#[derive(Debug)]
struct ByText {
    slot: usize,
    /// By text.
    asking: hashbrown::HashMap<String, Vec<u32>, ahash::RandomState>,
    /// All of them.
    patterns: Vec<u32>,
}

impl Route {
    pub(crate) fn new(key: usize) -> Route {
        Route { key, patterns: Vec::new(), always: Vec::new(), by_field: Vec::new() }
    }

    /// Sorts the patterns by what they ask for first of events of a type.
    pub(crate) fn index(&mut self, kind: TypeId, set: &PatternSet) {
        for &number in &self.patterns {
            let Some((slot, texts)) = texts(&set.patterns[number as usize], kind, &set.predicates) else {
                self.always.push(number);
                continue;
            };
            let at = self.by_field.iter().position(|f| f.slot == slot).unwrap_or_else(|| {
                let asking = hashbrown::HashMap::default();
                self.by_field.push(ByText { slot, asking, patterns: Vec::new() });
                self.by_field.len() - 1
            });
            let field = &mut self.by_field[at];
            field.patterns.push(number);
            for text in texts {
                let asking = field.asking.entry_ref(text).or_default();
                if asking.last() != Some(&number) {
                    asking.push(number);
                }
            }
        }
        let few = self.by_field.extract_if(.., |field| field.patterns.len() < INDEXED_MIN);
        self.always.extend(few.flat_map(|field| field.patterns));
    }

    /// Calls `with` for the patterns that an event may change something for.
    #[inline]
    pub(crate) fn concerned(&self, row: &Row<'_>, mut with: impl FnMut(u32)) {
        self.always.iter().copied().for_each(&mut with);
        for field in &self.by_field {
            let concerned = match row.value(field.slot) {
                Value::Null => continue,
                Value::Str(text) => match field.asking.get(text.as_ref()) {
                    Some(asking) => asking,
                    None => continue,
                },
                // Something else than text is a type error for each of them.
                _ => &field.patterns,
            };
            concerned.iter().copied().for_each(&mut with);
        }
    }
}

/// The texts that a pattern asks for first of all of an event of a type, and of which field; none where some condition
/// asks for something else, or where any event can change a partial match.
fn texts<'a>(pattern: &Compiled, kind: TypeId, predicates: &'a Predicates) -> Option<(usize, Vec<&'a str>)> {
    if pattern.sees_all {
        return None;
    }
    let asked = pattern.atoms.iter().filter(|atom| atom.types.has(kind));
    let asked: Vec<(usize, &str)> =
        asked.map(|atom| predicates.equal_text(*atom.unary.first()?)).collect::<Option<_>>()?;
    let slot = asked.first()?.0;
    asked.iter().all(|(s, _)| *s == slot).then(|| (slot, asked.into_iter().map(|(_, text)| text).collect()))
}
