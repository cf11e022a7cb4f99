//! Takes settings out of the tree one by one: with defaults, types and ranges, noting all that is wrong and where each
//! value came from. What is left over in a section when it has been read is unknown.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::node::{Entry, Node, Place, Table, Value};
use super::problem::{Fault, code};
use super::secret::SecretSource;
use super::value::{Refusal, Setting};
use crate::diagnostic::similar;

/// A setting that has been read.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) kind: &'static str,
    /// As the file would say it; none where it has no value.
    pub(super) value: Option<String>,
    /// Where it was given; nowhere where it is the default.
    pub(super) at: Option<Place>,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) items: Vec<Item>,
    pub(super) faults: Vec<Fault>,
    /// What must not be shown.
    pub(super) masked: Vec<Place>,
    /// The places of values, by their keys.
    places: BTreeMap<String, Place>,
}

impl Found {
    /// Where a setting was given.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.places.get(key).copied()
    }
}

/// A table that is being read.
pub(super) struct Section<'a> {
    pub(super) found: &'a mut Found,
    /// Its key with a dot at the end; nothing for the whole.
    prefix: String,
    /// Where it begins.
    at: Option<Place>,
    /// What has not been asked for.
    table: Table,
    known: Vec<&'static str>,
}

/// Reads a whole tree.
pub(super) fn read<T>(found: &mut Found, table: Table, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
    section(found, String::new(), None, table, read)
}

fn section<T>(
    found: &mut Found,
    prefix: String,
    at: Option<Place>,
    table: Table,
    read: impl FnOnce(&mut Section<'_>) -> T,
) -> T {
    let mut section = Section { found, prefix, at, table, known: Vec::new() };
    let value = read(&mut section);
    section.end();
    value
}

impl Section<'_> {
    /// The whole key of one of its keys.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// A setting that has a default.
    pub(super) fn value<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.given(key, Some(&default), |_| None).unwrap_or(default)
    }

    /// A setting that has a default and bounds.
    pub(super) fn within<T: Setting + PartialOrd>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> T {
        self.given(key, Some(&default), |value| outside(value, &range)).unwrap_or(default)
    }

    /// A setting that may be left out.
    pub(super) fn optional<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.given(key, None, |_| None)
    }

    /// A setting that may be left out, with bounds.
    pub(super) fn optional_within<T: Setting + PartialOrd>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        self.given(key, None, |value| outside(value, &range))
    }

    /// A setting that has to be given.
    pub(super) fn required<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let value = self.optional(key);
        self.require::<T>(key);
        value
    }

    /// A setting that has to be given, with bounds.
    pub(super) fn required_within<T: Setting + PartialOrd>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.optional_within(key, range);
        self.require::<T>(key);
        value
    }

    fn require<T: Setting>(&mut self, key: &'static str) {
        let name = self.key(key);
        if self.found.place(&name).is_none() {
            let fault = Fault::new(code::MISSING, self.at, format!("`{name}` is missing"));
            self.found.faults.push(fault.help(format!("add `{key} = …`, a {}", T::KIND)));
        }
    }

    /// A table that may be left out.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Option<T> {
        let name = self.key(key);
        match self.take(key) {
            Some(Node { at, value: Value::Table(table) }) => {
                section(self.found, format!("{name}."), Some(at), table, read)
            }
            other => {
                if let Some(node) = other {
                    self.refuse_type(&name, "table", &node);
                }
                self.found.items.push(Item { key: name, kind: "table", value: None, at: None });
                None
            }
        }
    }

    /// A table whose settings all have defaults.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let name = self.key(key);
        let (at, table) = match self.take(key) {
            None => (None, Table::new()),
            Some(Node { at, value: Value::Table(table) }) => (Some(at), table),
            Some(node) => {
                self.refuse_type(&name, "table", &node);
                (None, Table::new())
            }
        };
        section(self.found, format!("{name}."), at, table, read)
    }

    /// A list of tables; each is read with its number.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(usize, &mut Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        let name = self.key(key);
        let nodes = match self.take(key) {
            None => Vec::new(),
            Some(Node { value: Value::List(nodes), .. }) => nodes,
            Some(node) => {
                self.refuse_type(&name, "list of tables", &node);
                Vec::new()
            }
        };
        let mut list = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            match node {
                Node { at, value: Value::Table(table) } => {
                    let prefix = format!("{name}.{index}.");
                    list.extend(section(self.found, prefix, Some(at), table, |table| read(index, table)));
                }
                node => self.refuse_type(&format!("{name}.{index}"), "table", &node),
            }
        }
        list
    }

    /// An element of a list that is not there, with its defaults.
    pub(super) fn absent<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        section(self.found, format!("{}.", self.key(key)), None, Table::new(), read)
    }

    /// A reference to a secret.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<SecretSource> {
        let name = self.key(key);
        let way_out = "refer to it: `{ file = \"/run/secrets/name\" }` or `{ env = \"NAME\" }`";
        let Some(node) = self.take(key) else {
            self.found.items.push(Item { key: name, kind: "secret", value: None, at: None });
            return None;
        };
        let at = node.at;
        let Value::Table(mut table) = node.value else {
            self.found.masked.push(at);
            let message = format!("`{name}` holds a secret itself: only a reference to one may stand here");
            self.found.faults.push(Fault::new(code::SECRET, at, message).help(way_out));
            return None;
        };
        // A reference from outside takes the place of the other kind in the file.
        let outside = |table: &Table, key: &str| {
            table.get(key).is_some_and(|entry| !matches!(entry.node.at, Place::File(_)))
        };
        for (winner, other) in [("file", "env"), ("env", "file")] {
            if outside(&table, winner) && !outside(&table, other) {
                table.remove(other);
            }
        }
        let given = table.values().map(|entry| entry.node.at).next();
        let items = self.found.items.len();
        let source = section(self.found, format!("{name}."), Some(at), table, |reference| {
            let (file, env) = (reference.optional("file"), reference.optional("env"));
            match (file, env) {
                (Some(file), None) => Some(SecretSource::File(file)),
                (None, Some(env)) => Some(SecretSource::Env(env)),
                (file, _) => {
                    let which =
                        if file.is_some() { "both `file` and `env`" } else { "neither `file` nor `env`" };
                    let message = format!("`{name}` has {which}");
                    reference.found.faults.push(Fault::new(code::CONFLICT, at, message).help(way_out));
                    None
                }
            }
        });
        self.found.items.truncate(items);
        let shown = source.as_ref().map(|source| match source {
            SecretSource::File(path) => format!("{{ file = {} }}", path.show()),
            SecretSource::Env(variable) => format!("{{ env = {} }}", variable.show()),
        });
        self.found.items.push(Item { key: name, kind: "secret", value: shown, at: given });
        source
    }

    /// Notes something wrong with a setting that has been read.
    pub(super) fn fault(&mut self, code: &'static str, key: &str, why: &str, help: &str) {
        let name = self.key(key);
        let at = self.found.place(&name).or(self.at);
        self.found.faults.push(Fault::new(code, at, format!("`{name}` {why}")).help(help));
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let node = self.table.remove(key)?.node;
        self.found.places.insert(self.key(key), node.at);
        Some(node)
    }

    /// A setting as given; none where it is not, or wrong.
    fn given<T: Setting>(
        &mut self,
        key: &'static str,
        default: Option<&T>,
        check: impl FnOnce(&T) -> Option<String>,
    ) -> Option<T> {
        let name = self.key(key);
        let Some(node) = self.take(key) else {
            let value = default.map(T::show);
            self.found.items.push(Item { key: name, kind: T::KIND, value, at: None });
            return None;
        };
        let value = match T::read(&node.value) {
            Ok(value) => value,
            Err(refusal) => {
                self.refuse(&name, T::KIND, &node, refusal);
                return None;
            }
        };
        if let Some(why) = check(&value) {
            self.found.faults.push(Fault::new(code::VALUE, node.at, format!("`{name}` {why}")));
            return None;
        }
        let shown = Some(value.show());
        self.found.items.push(Item { key: name, kind: T::KIND, value: shown, at: Some(node.at) });
        Some(value)
    }

    fn refuse(&mut self, name: &str, kind: &str, node: &Node, refusal: Refusal) {
        match refusal {
            Refusal::Type => self.refuse_type(name, kind, node),
            Refusal::Value(why, help) => {
                let mut fault = Fault::new(code::VALUE, node.at, format!("`{name}` {why}"));
                fault.help = help;
                self.found.faults.push(fault);
                if matches!(&node.value, Value::Text(text) | Value::Word(text) if text.contains('@')) {
                    // It may be a URL with a password.
                    self.found.masked.push(node.at);
                }
            }
        }
    }

    fn refuse_type(&mut self, name: &str, kind: &str, node: &Node) {
        let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        let wanted = match kind {
            "true or false" | "text" => kind.to_owned(),
            kind => format!("{article} {kind}"),
        };
        let message = format!("`{name}` has to be {wanted}, and is {}", node.value.kind());
        self.found.faults.push(Fault::new(code::TYPE, node.at, message));
    }

    /// Forgets what has not been asked for: it cannot be told what is known here.
    pub(super) fn forget(&mut self) {
        self.table.clear();
    }

    fn end(self) {
        for (key, entry) in self.table {
            let mut places = Vec::new();
            leaves(&entry, &mut places);
            for at in places {
                let place = match self.prefix.strip_suffix('.') {
                    None => "there is no section or list".to_owned(),
                    Some(section) => format!("`{section}` has no key"),
                };
                let mut fault = Fault::new(code::UNKNOWN, at, format!("{place} `{key}`"));
                fault.help = match similar(&key, self.known.iter().copied()) {
                    Some(meant) => Some(format!("did you mean `{meant}`?")),
                    None => {
                        let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
                        Some(format!("known are {}", known.join(", ")))
                    }
                };
                self.found.faults.push(fault);
            }
        }
    }
}

/// The places to name for something unknown: its key in the file, and each variable or flag below it.
fn leaves(entry: &Entry, places: &mut Vec<Place>) {
    if let Place::File(_) = entry.key {
        places.push(entry.key);
    }
    nodes(&entry.node, places);
}

fn nodes(node: &Node, places: &mut Vec<Place>) {
    match (&node.value, node.at) {
        (Value::Table(table), _) => table.values().for_each(|entry| nodes(&entry.node, places)),
        (Value::List(list), _) => list.iter().for_each(|node| nodes(node, places)),
        (_, Place::Value(index)) => places.push(Place::Name(index)),
        _ => {}
    }
}

fn outside<T: Setting + PartialOrd>(value: &T, range: &RangeInclusive<T>) -> Option<String> {
    (!range.contains(value)).then(|| {
        format!("has to be from {} to {}", range.start().show(), range.end().show()).replace('"', "")
    })
}
