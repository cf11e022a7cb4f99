//! Reads a grammar in EBNF.

use std::collections::BTreeMap;

/// Rules by their names.
pub(super) struct Grammar {
    rules: BTreeMap<String, Part>,
    /// The rules between whose parts white space may stand, in their order.
    syntax: Vec<String>,
}

/// The right-hand side of a rule, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// One after the other.
    All(Vec<Part>),
    /// One of them.
    Either(Vec<Part>),
    /// `[ … ]`
    Option(Box<Part>),
    /// `{ … }`
    Repeat(Box<Part>),
    /// Text in quotes.
    Text(String),
    /// Another rule.
    Rule(String),
    /// Characters, described in words.
    Characters(String),
}

impl Grammar {
    pub(super) fn read(text: &str) -> Grammar {
        let tokens_begin = text.find("(* Tokens:").expect("a heading for the tokens");
        let mut grammar = Grammar { rules: BTreeMap::new(), syntax: Vec::new() };
        for (section, is_syntax) in [(&text[..tokens_begin], true), (&text[tokens_begin..], false)] {
            let mut reader = Reader { rest: section };
            while let Some(name) = reader.rule_name() {
                assert_eq!(reader.next(), "=", "after {name}");
                let part = reader.either();
                assert_eq!(reader.next(), ";", "after the rule {name}");
                if is_syntax {
                    grammar.syntax.push(name.clone());
                }
                assert!(grammar.rules.insert(name.clone(), part).is_none(), "{name} comes twice");
            }
        }
        grammar
    }

    pub(super) fn rule(&self, name: &str) -> &Part {
        self.rules.get(name).unwrap_or_else(|| panic!("no rule {name}"))
    }

    pub(super) fn syntax_rules(&self) -> impl Iterator<Item = &str> {
        self.syntax.iter().map(String::as_str)
    }

    pub(super) fn is_syntax(&self, rule: &str) -> bool {
        self.syntax.iter().any(|name| name == rule)
    }

    /// Calls a function with all texts of a rule, but not of those that it names.
    pub(super) fn terminals(&self, rule: &str, found: &mut impl FnMut(&str)) {
        fn walk(part: &Part, found: &mut impl FnMut(&str)) {
            match part {
                Part::All(parts) | Part::Either(parts) => parts.iter().for_each(|part| walk(part, found)),
                Part::Option(part) | Part::Repeat(part) => walk(part, found),
                Part::Text(text) => found(text),
                Part::Rule(_) | Part::Characters(_) => {}
            }
        }
        walk(self.rule(rule), found);
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("(*") else { return };
            self.rest = &comment[comment.find("*)").expect("the end of a comment") + 2..];
        }
    }

    fn peek(&mut self) -> &'a str {
        self.skip();
        let Some(first) = self.rest.chars().next() else { return "" };
        let length = match first {
            '"' | '\'' | '?' => self.rest[1..].find(first).expect("a closing quote") + 2,
            c if c.is_alphabetic() => {
                self.rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(self.rest.len())
            }
            c => c.len_utf8(),
        };
        &self.rest[..length]
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.rest = &self.rest[token.len()..];
        token
    }

    fn rule_name(&mut self) -> Option<String> {
        let name = self.next();
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn either(&mut self) -> Part {
        let mut parts = vec![self.all()];
        while self.peek() == "|" {
            self.next();
            parts.push(self.all());
        }
        if parts.len() == 1 { parts.remove(0) } else { Part::Either(parts) }
    }

    fn all(&mut self) -> Part {
        let mut parts = Vec::new();
        while !matches!(self.peek(), "|" | ";" | ")" | "]" | "}") {
            parts.push(self.one());
        }
        if parts.len() == 1 { parts.remove(0) } else { Part::All(parts) }
    }

    fn one(&mut self) -> Part {
        let token = self.next();
        let closed = |reader: &mut Self, closing: &str| {
            let part = reader.either();
            assert_eq!(reader.next(), closing);
            part
        };
        match token.chars().next() {
            Some('"' | '\'') => Part::Text(token[1..token.len() - 1].to_owned()),
            Some('?') => Part::Characters(token[1..token.len() - 1].trim().to_owned()),
            Some('(') => closed(self, ")"),
            Some('[') => Part::Option(Box::new(closed(self, "]"))),
            Some('{') => Part::Repeat(Box::new(closed(self, "}"))),
            _ => Part::Rule(token.to_owned()),
        }
    }
}

/// Whether a character is one of those that the words describe.
pub(super) fn is_described(words: &str, c: char) -> bool {
    if let Some(excluded) = words.strip_prefix("any character but ") {
        let (signs, _) =
            excluded.rsplit_once(" and line breaks").expect("line breaks are excluded everywhere");
        return c != '\n' && c != '\r' && !(signs.contains(c) && c != ',' && c != ' ');
    }
    match words {
        "a letter of any script, or _" => c == '_' || c.is_alphabetic(),
        "0 to 9" => c.is_ascii_digit(),
        "0 to 9, a to f, A to F" => c.is_ascii_hexdigit(),
        other => panic!("what is {other}?"),
    }
}
