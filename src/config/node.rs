//! Settings as written: a tree of values with their places, from the file and with what the environment and flags lay
//! over it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Fault, code};
use crate::diagnostic::Span;

/// Where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A part of the file.
    File(Span),
    /// The name of a variable or flag: its number among all of them.
    Name(usize),
    /// The value of a variable or flag.
    Value(usize),
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What is written.
#[derive(Debug)]
pub(super) enum Value {
    /// A text of the file.
    Text(String),
    /// The text of a variable or flag, which says nothing of its type.
    Word(String),
    Integer(i64),
    Boolean(bool),
    /// What no setting can be, named as messages do.
    Other(&'static str),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) | Value::Word(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Boolean(_) => "true or false",
            Value::Other(kind) => kind,
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys with their values.
pub(super) type Table = BTreeMap<String, Entry>;

/// A value and the place of its key.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) node: Node,
}

/// Reads the text of a file: what could be read of it, and what is no TOML.
pub(super) fn parse(text: &str) -> (Table, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors.into_iter().map(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        Fault::new(code::SYNTAX, Place::File(Span::new(span.start, span.end)), message)
    });
    (table_of(table.into_inner()), faults.collect())
}

fn table_of(table: DeTable<'_>) -> Table {
    let entries = table.into_iter().map(|(key, value)| {
        let at = place(&key);
        (key.into_inner().into_owned(), Entry { key: at, node: node_of(value) })
    });
    entries.collect()
}

fn node_of(value: Spanned<DeValue<'_>>) -> Node {
    let at = place(&value);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number of more than 64 bits"),
        },
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(list) => Value::List(list.into_iter().map(node_of).collect()),
        DeValue::Table(table) => Value::Table(table_of(table)),
    };
    Node { at, value }
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    let span = spanned.span();
    Place::File(Span::new(span.start, span.end))
}

/// Lays a value from outside over a table, at a path of keys and of numbers in lists. Number `outside` is its place.
pub(super) fn lay(table: &mut Table, path: &[String], text: &str, outside: usize) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else { return Ok(()) };
    let fresh = || Entry { key: Place::Name(outside), node: empty(rest, outside) };
    let entry = table.entry(key.clone()).or_insert_with(fresh);
    if rest.is_empty() {
        entry.key = Place::Name(outside);
    }
    lay_node(&mut entry.node, rest, text, outside)
}

fn lay_node(node: &mut Node, path: &[String], text: &str, outside: usize) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else {
        *node = Node { at: Place::Value(outside), value: Value::Word(text.to_owned()) };
        return Ok(());
    };
    if !matches!(node.value, Value::Table(_) | Value::List(_)) {
        *node = empty(path, outside);
    }
    match &mut node.value {
        Value::Table(table) => lay(table, path, text, outside),
        Value::List(list) => {
            let count = list.len();
            let Some(index) = key.parse::<usize>().ok().filter(|index| *index <= count) else {
                return Err(match key.parse::<usize>() {
                    Ok(_) => format!("the list has {count} elements: the next has the number {count}"),
                    Err(_) => {
                        format!("it is a list: a number is expected in place of `{}`", key.to_uppercase())
                    }
                });
            };
            if index == count {
                list.push(empty(rest, outside));
            }
            lay_node(&mut list[index], rest, text, outside)
        }
        _ => Ok(()),
    }
}

/// What holds a path: a list where a number comes next, otherwise a table.
fn empty(path: &[String], outside: usize) -> Node {
    let numbered = path.first().is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_digit()));
    let value = if numbered { Value::List(Vec::new()) } else { Value::Table(Table::new()) };
    Node { at: Place::Name(outside), value }
}
