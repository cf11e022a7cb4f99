//! Smaller cases of a case: something is left out, and what is left still fails.

use super::Case;
use super::pattern::Element;

/// How many smaller cases are tried at most.
const TRIES_MAX: usize = 3_000;

/// The smallest case found that still fails.
pub(crate) fn shrink(case: &Case, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut smallest = case.clone();
    let mut tries = 0;
    'again: loop {
        for smaller in smaller(&smallest) {
            tries += 1;
            if tries > TRIES_MAX {
                return smallest;
            }
            if smaller.compile().is_some() && fails(&smaller) {
                smallest = smaller;
                continue 'again;
            }
        }
        return smallest;
    }
}

/// Cases with one thing less, the largest steps first.
fn smaller(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut add = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        found.push(smaller);
    };
    for index in 0..case.patterns.len() {
        if case.patterns.len() > 1 {
            add(&|case| drop(case.patterns.remove(index)));
        }
    }
    for (index, input) in case.inputs.iter().enumerate() {
        if case.inputs.len() > 1 {
            add(&|case| drop(case.inputs.remove(index)));
        }
        let mut length = input.lines.len().div_ceil(2);
        while length > 0 {
            for from in (0..input.lines.len()).step_by(length) {
                let to = (from + length).min(input.lines.len());
                add(&|case| drop(case.inputs[index].lines.drain(from..to)));
            }
            length = if length == 1 { 0 } else { length.div_ceil(2) };
        }
    }
    for (index, pattern) in case.patterns.iter().enumerate() {
        for clause in 0..pattern.clauses.len() {
            add(&|case| drop(case.patterns[index].clauses.remove(clause)));
        }
        for sequence in simpler(&pattern.sequence) {
            add(&|case| case.patterns[index].sequence.clone_from(&sequence));
        }
    }
    found
}

type Sequence = Vec<(Option<&'static str>, Element)>;

fn simpler(sequence: &Sequence) -> Vec<Sequence> {
    let mut found = Vec::new();
    for index in 0..sequence.len() {
        if sequence.len() > 1 {
            let mut without = sequence.clone();
            without.remove(index);
            found.push(without);
        }
    }
    for (index, (link, element)) in sequence.iter().enumerate() {
        for element in simpler_element(element) {
            let mut with = sequence.clone();
            with[index] = (*link, element);
            found.push(with);
        }
    }
    found
}

fn simpler_element(element: &Element) -> Vec<Element> {
    match element {
        Element::Stage(stage) => {
            let mut found = Vec::new();
            let mut add = |simpler: super::pattern::Stage| found.push(Element::Stage(simpler));
            if stage.condition.is_some() {
                add(super::pattern::Stage { condition: None, ..stage.clone() });
            }
            if stage.until.is_some() {
                add(super::pattern::Stage { until: None, ..stage.clone() });
            }
            if !stage.quantifier.is_empty() {
                let until = None;
                add(super::pattern::Stage {
                    quantifier: String::new(),
                    words: Vec::new(),
                    until,
                    ..stage.clone()
                });
            }
            for index in 0..stage.words.len() {
                let mut simpler = stage.clone();
                simpler.words.remove(index);
                add(simpler);
            }
            found
        }
        Element::Group { sequence, quantifier, words } => {
            let mut found: Vec<Element> =
                if let [(_, only)] = &sequence[..] { vec![only.clone()] } else { Vec::new() };
            if !quantifier.is_empty() || !words.is_empty() {
                found.push(Element::Group {
                    sequence: sequence.clone(),
                    quantifier: String::new(),
                    words: Vec::new(),
                });
            }
            found.extend(simpler(sequence).into_iter().map(|sequence| Element::Group {
                sequence,
                quantifier: quantifier.clone(),
                words: words.clone(),
            }));
            found
        }
    }
}
