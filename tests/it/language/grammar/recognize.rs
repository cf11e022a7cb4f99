//! Says whether a text can be derived from a grammar: all ways at once, remembered for each part and place. Slow, but
//! so plain that it can be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sequor::pattern::parse::token::{KEYWORDS, goes_on_name};

use super::ebnf::{Grammar, Part, is_described};

/// Whether a text is a sentence of the rule `file`.
pub(super) fn recognizes(grammar: &Grammar, text: &str) -> bool {
    let mut recognizer = Recognizer { grammar, text, known: BTreeMap::new() };
    let ends = recognizer.rule("file", 0);
    ends.iter().any(|end| recognizer.skip(*end) == Some(text.len()))
}

struct Recognizer<'a> {
    grammar: &'a Grammar,
    text: &'a str,
    /// Where a rule that begins at a place may end.
    known: BTreeMap<(String, usize), Rc<BTreeSet<usize>>>,
}

impl Recognizer<'_> {
    fn rule(&mut self, rule: &str, start: usize) -> Rc<BTreeSet<usize>> {
        let key = (rule.to_owned(), start);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let part = self.grammar.rule(rule);
        let ends = if self.grammar.is_syntax(rule) {
            self.part(part, start, true)
        } else {
            self.token(rule, part, start)
        };
        let ends = Rc::new(ends);
        self.known.insert(key, ends.clone());
        ends
    }

    /// A token after white space: it is as long as it can be, and no word goes on where it ends.
    fn token(&mut self, rule: &str, part: &Part, start: usize) -> BTreeSet<usize> {
        let Some(start) = self.skip(start) else { return BTreeSet::new() };
        let mut ends = self.part(part, start, false);
        ends.retain(|end| self.is_boundary(*end));
        if rule == "name" {
            ends.retain(|end| !KEYWORDS.contains(&self.text[start..*end].to_ascii_lowercase().as_str()));
        }
        if rule == "keyword" {
            // Upper and lower case are alike.
            let word: &str = self.text[start..].split(|c| !goes_on_name(c)).next().unwrap_or_default();
            if KEYWORDS.contains(&word.to_ascii_lowercase().as_str()) {
                ends.insert(start + word.len());
            }
        }
        ends
    }

    fn part(&mut self, part: &Part, start: usize, spaced: bool) -> BTreeSet<usize> {
        match part {
            Part::All(parts) => parts.iter().fold(BTreeSet::from([start]), |starts, part| {
                starts.into_iter().flat_map(|start| self.part(part, start, spaced)).collect()
            }),
            Part::Either(parts) => parts.iter().flat_map(|part| self.part(part, start, spaced)).collect(),
            Part::Option(inner) => {
                let mut ends = self.part(inner, start, spaced);
                ends.insert(start);
                ends
            }
            Part::Repeat(inner) => {
                let mut ends = BTreeSet::from([start]);
                let mut new = vec![start];
                while let Some(start) = new.pop() {
                    new.extend(self.part(inner, start, spaced).into_iter().filter(|end| ends.insert(*end)));
                }
                ends
            }
            Part::Text(text) => self.terminal(text, start, spaced).into_iter().collect(),
            Part::Rule(rule) if !spaced => self.part(self.grammar.rule(rule), start, false),
            Part::Rule(rule) => self.rule(rule, start).as_ref().clone(),
            Part::Characters(words) => {
                let next = self.text[start..].chars().next().filter(|c| is_described(words, *c));
                next.map(|c| start + c.len_utf8()).into_iter().collect()
            }
        }
    }

    fn terminal(&self, text: &str, start: usize, spaced: bool) -> Option<usize> {
        let start = if spaced { self.skip(start)? } else { start };
        let end = start + text.len();
        let found = self.text.get(start..end)?;
        if !spaced {
            return (found == text).then_some(end);
        }
        (found.eq_ignore_ascii_case(text) && self.is_boundary(end)).then_some(end)
    }

    /// Whether no word goes on at a place.
    fn is_boundary(&self, at: usize) -> bool {
        let last = self.text[..at].chars().next_back();
        let next = self.text[at..].chars().next();
        !(last.is_some_and(goes_on_name) && next.is_some_and(goes_on_name))
    }

    /// The end of the white space and the comments at a place; nothing where a comment is not closed.
    fn skip(&self, start: usize) -> Option<usize> {
        let mut rest = &self.text[start..];
        loop {
            rest = rest.trim_start();
            if rest.starts_with("//") {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            } else if let Some(comment) = rest.strip_prefix("/*") {
                rest = &comment[comment.find("*/")? + 2..];
            } else {
                return Some(self.text.len() - rest.len());
            }
        }
    }
}
