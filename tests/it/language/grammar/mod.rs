//! The grammar in `grammar/sequor.ebnf` and the parser say the same: sentences derived from the one are accepted by
//! the other, and a sentence that was changed a little is accepted by both or by neither.

mod ebnf;
mod generate;
mod recognize;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sequor::event::time::UNITS;
use sequor::pattern::parse::parse;
use sequor::pattern::parse::token::{KEYWORDS, SYMBOLS};
use sequor::pattern::print::print;
use sequor::pattern::render::Source;
use sequor::pattern::{Limits, code};

use self::ebnf::{Grammar, Part};
use self::generate::{Generator, Random};
use self::recognize::recognizes;

fn grammar() -> Grammar {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("grammar/sequor.ebnf");
    Grammar::read(&fs::read_to_string(path).unwrap())
}

/// Whether the parser accepts a text; `None` where it is refused for what a grammar cannot say: numbers out of range,
/// fractions of a millisecond, halves of surrogates.
fn accepts(text: &str) -> Option<bool> {
    const BEYOND: [&str; 4] =
        [code::NUMBER_OUT_OF_RANGE, code::BAD_DURATION, code::BAD_ESCAPE, code::TOO_DEEP];
    let parsed = parse(text, &Limits::default());
    if parsed.diagnostics.iter().any(|diagnostic| BEYOND.contains(&diagnostic.code)) {
        return None;
    }
    Some(!parsed.diagnostics.has_errors())
}

fn told(text: &str) -> String {
    Source::new("text", text).render_all(&parse(text, &Limits::default()).diagnostics, false)
}

#[test]
fn the_words_of_the_grammar_are_those_of_the_parser() {
    let grammar = grammar();
    let mut words = BTreeSet::new();
    let mut signs = BTreeSet::new();
    for rule in grammar.syntax_rules() {
        grammar.terminals(rule, &mut |terminal| {
            match terminal.starts_with(|c: char| c.is_ascii_alphabetic()) {
                true => words.insert(terminal.to_owned()),
                false => signs.insert(terminal.to_owned()),
            };
        });
    }
    let of = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(words, of(KEYWORDS));
    assert_eq!(signs, of(SYMBOLS));
    let mut keywords = BTreeSet::new();
    grammar.terminals("keyword", &mut |terminal| {
        keywords.insert(terminal.to_owned());
    });
    assert_eq!(keywords, of(KEYWORDS));
    let mut units = BTreeSet::new();
    grammar.terminals("span", &mut |terminal| {
        units.insert(terminal.to_owned());
    });
    units.remove(".");
    assert_eq!(units, of(&UNITS.map(|(unit, _)| unit)));
}

#[test]
fn the_clauses_that_the_parser_lists_are_those_of_the_grammar() {
    let grammar = grammar();
    let told = told("pattern p nonsense");
    let Part::Either(clauses) = grammar.rule("clause") else { panic!("clause is no alternative") };
    for clause in clauses {
        let Part::Rule(rule) = clause else { panic!("{clause:?} is no rule") };
        let mut first = None;
        grammar.terminals(rule, &mut |terminal| {
            first.get_or_insert(terminal.to_owned());
        });
        let first = first.unwrap();
        assert!(told.contains(&format!("`{first}")), "{first} is not in\n{told}");
    }
}

#[test]
fn sentences_of_the_grammar_are_accepted_and_survive_printing() {
    let grammar = grammar();
    let mut accepted = 0;
    for seed in 0..1_000 {
        let text = Generator::new(&grammar, seed).sentence("pattern");
        assert!(recognizes(&grammar, &text), "the test's own recognizer refuses\n{text}");
        let Some(is_accepted) = accepts(&text) else { continue };
        assert!(is_accepted, "seed {seed}\n{text}\n{}", told(&text));
        accepted += 1;
        let parsed = parse(&text, &Limits::default());
        let printed = print(&parsed.file, &text);
        let again = parse(&printed, &Limits::default());
        assert!(
            !again.diagnostics.has_errors(),
            "seed {seed}\n{text}\nis printed as\n{printed}\n{}",
            told(&printed)
        );
        let twice = print(&again.file, &printed);
        assert_eq!(printed, twice, "seed {seed}: printing again changes something");
        assert_eq!(
            parsed.file.without_spans(),
            again.file.without_spans(),
            "seed {seed}\n{text}\nis printed as\n{printed}"
        );
    }
    assert!(accepted > 700, "only {accepted} sentences were without numbers that do not fit");
}

#[test]
fn changed_sentences_are_accepted_by_both_or_neither() {
    let grammar = grammar();
    let (mut yes, mut no) = (0, 0);
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let text = Generator::new(&grammar, seed).sentence("pattern");
        let text = change(&text, &mut random);
        let Some(is_accepted) = accepts(&text) else { continue };
        assert_eq!(is_accepted, recognizes(&grammar, &text), "seed {seed}\n{text}\n{}", told(&text));
        *(if is_accepted { &mut yes } else { &mut no }) += 1;
    }
    assert!(yes > 200 && no > 1_000, "{yes} accepted, {no} refused");
}

/// Leaves out, doubles, swaps or replaces a few words or characters.
fn change(text: &str, random: &mut Random) -> String {
    let mut pieces: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    for _ in 0..=random.below(2) {
        if pieces.len() < 2 {
            break;
        }
        let at = random.below(pieces.len());
        let other = random.below(pieces.len());
        match random.below(6) {
            0 => {
                pieces.remove(at);
            }
            1 => pieces.insert(at, pieces[other].clone()),
            2 => pieces.swap(at, other),
            3 => {
                let words: Vec<&str> =
                    KEYWORDS.iter().chain(SYMBOLS).copied().chain(["x", "1", "2s", "'s'"]).collect();
                pieces[at] = format!("{} ", words[random.below(words.len())]);
            }
            4 => {
                let piece = &mut pieces[at];
                let places: Vec<usize> = piece.char_indices().map(|(place, _)| place).collect();
                if !places.is_empty() {
                    piece.remove(places[random.below(places.len())]);
                }
            }
            _ => pieces.truncate(at.max(1)),
        }
    }
    pieces.concat()
}
