//! Keeps secrets out of what is shown: a literal secret in the settings is an error, and telling it must not repeat it.

use std::ops::Range;

use super::node::{Entry, Node, Place, Table, Value};
use crate::diagnostic::similar;

/// What is shown in place of a secret.
pub(super) const MASK: &str = "***";

/// Whether a key of this name is, or was perhaps meant to be, one that holds a secret.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    if key == "tokens_file" {
        return false;
    }
    let parts = ["secret", "passw", "token", "credential", "api_key", "apikey", "bearer"];
    parts.iter().any(|part| key.contains(part)) || similar(&key, ["secret", "password", "token"]).is_some()
}

/// The same for a path of keys: one below a secret is a secret, but where the secret is to be found.
pub(super) fn is_secret_path(path: &[String]) -> bool {
    let Some((last, before)) = path.split_last() else { return false };
    is_secret(last) || (before.iter().any(|key| is_secret(key)) && !is_reference(last))
}

fn is_reference(key: &str) -> bool {
    key == "file" || key == "env"
}

/// The places of a table's values that look like secrets.
pub(super) fn places(table: &Table) -> Vec<Place> {
    let mut found = Vec::new();
    look(table, false, &mut found);
    found
}

fn look(table: &Table, within: bool, found: &mut Vec<Place>) {
    for (key, Entry { node, .. }) in table {
        look_at(node, is_secret(key) || (within && !is_reference(key)), found);
    }
}

fn look_at(node: &Node, secret: bool, found: &mut Vec<Place>) {
    match &node.value {
        Value::Table(table) => look(table, secret, found),
        Value::List(list) => list.iter().for_each(|node| look_at(node, secret, found)),
        _ if secret => found.push(node.at),
        _ => {}
    }
}

/// A text with these places made illegible, and with what looks like a secret in it although it is no TOML. Line breaks
/// stay, and so does the number of bytes.
pub(super) fn masked(text: &str, places: impl Iterator<Item = Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for place in places.chain(by_spelling(text)) {
        for byte in bytes.get_mut(place).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What follows the `=` of a secret's key, up to the end of the line or of a text of several lines.
fn by_spelling(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = text[..at].trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next().unwrap_or("");
        let after = &text[at + 1..];
        let value = after.trim_start_matches([' ', '\t']);
        let start = text.len() - value.len();
        let reference = value.strip_prefix('{').map(str::trim_start);
        if !is_secret(key) || reference.is_some_and(|inside| inside.starts_with(['f', 'e', '}'])) {
            continue;
        }
        let quotes = ["\"\"\"", "'''"].into_iter().find(|quotes| value.starts_with(quotes));
        let length = match quotes {
            Some(quotes) => value[3..].find(quotes).map_or(value.len(), |end| end + 6),
            None => value.find('\n').unwrap_or(value.len()),
        };
        places.push(start..start + length);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        masked(text, std::iter::empty())
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown_even_where_it_is_no_toml() {
        assert_eq!(shown("secret = \"ab\nx = 1"), "secret = ***\nx = 1");
        assert_eq!(shown("a = 1, \"secret\"=\"ab\" }"), "a = 1, \"secret\"=******");
        assert_eq!(shown("secret = '''a\nb''' # c"), "secret = ****\n**** # c");
        assert_eq!(shown("secret = '''a\nb"), "secret = ****\n*");
        assert_eq!(shown("sinks.password = ü"), "sinks.password = **");
        assert_eq!(shown("secret = { file = \"f\" }"), "secret = { file = \"f\" }");
        assert_eq!(shown("secret = { value = \"f\" }"), "secret = ***************");
        assert_eq!(shown("tokens_file = \"f\"\nurl = \"u\""), "tokens_file = \"f\"\nurl = \"u\"");
    }

    #[test]
    fn paths_to_secrets_are_known() {
        let is_secret = |path: &str| is_secret_path(&path.split('.').map(str::to_owned).collect::<Vec<_>>());
        assert!(
            is_secret("sinks.0.secret") && is_secret("sinks.0.secert") && is_secret("sinks.0.secret.value")
        );
        assert!(
            !is_secret("sinks.0.secret.file") && !is_secret("sinks.0.secret.env") && !is_secret("log.level")
        );
    }
}
