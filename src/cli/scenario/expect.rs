//! What was found against what was expected. Every expectation is paired with one match that has all it says; what is
//! left over on either side is the difference.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::{EVENT_NUMBER, Event, Expected, Key, Scenario};
use crate::event::{TimeSpan, Timestamp};

/// What a run of a scenario gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The matches and timeouts, each a line of JSON.
    pub matches: Vec<String>,
    /// How many events were late.
    pub late: u64,
    /// How many lines were dead letters.
    pub dead_letters: u64,
}

/// How an output differs from what was expected; each entry is a line for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Expected, but not found.
    pub missing: Vec<String>,
    /// Found, but not expected.
    pub unexpected: Vec<String>,
    /// What is wrong besides: counts, patterns that should have given nothing.
    pub remarks: Vec<String>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.remarks.is_empty()
    }
}

/// A match or timeout as the engine writes it.
#[derive(Debug, Deserialize)]
struct Found {
    pattern: String,
    kind: String,
    end: i64,
    key: Map<String, Value>,
    events: BTreeMap<String, Vec<Map<String, Value>>>,
    fields: Map<String, Value>,
}

/// Compares an output with what its scenario expects.
pub fn compare(scenario: &Scenario, output: &Output) -> Difference {
    let mut difference = Difference::default();
    let mut found = Vec::with_capacity(output.matches.len());
    for line in &output.matches {
        match serde_json::from_str::<Found>(line) {
            Ok(one) => found.push(one),
            Err(e) => difference.remarks.push(format!("this is no match: {e}: {line}")),
        }
    }
    let (missing, unexpected) = unpaired(&scenario.matches, &found);
    let describe = Describe { start: scenario.start, events: &scenario.events };
    difference.missing = missing.into_iter().map(|one| describe.expected(one)).collect();
    difference.unexpected = unexpected.into_iter().map(|one| describe.found(one)).collect();
    for name in &scenario.none_of {
        let count = found.iter().filter(|one| one.pattern == *name).count();
        if count > 0 {
            difference.remarks.push(format!("{name} should give nothing, and gave {count}"));
        }
    }
    for (what, expected, found) in [
        ("late events", scenario.late, output.late),
        ("dead letters", scenario.dead_letters, output.dead_letters),
    ] {
        if expected != found {
            difference.remarks.push(format!("{what}: expected {expected}, found {found}"));
        }
    }
    difference
}

/// Pairs expectations with what was found, as many as can be (augmenting paths), and gives the rest of both. An
/// expectation that says little may agree with several matches, so first come, first served would not do.
fn unpaired<'a>(expected: &'a [Expected], found: &'a [Found]) -> (Vec<&'a Expected>, Vec<&'a Found>) {
    let agree: Vec<Vec<usize>> = expected
        .iter()
        .map(|wanted| (0..found.len()).filter(|&i| agrees(wanted, &found[i])).collect())
        .collect();
    let mut partner: Vec<Option<usize>> = vec![None; found.len()];
    let missing = (0..expected.len())
        .filter(|&wanted| !pair(wanted, &agree, &mut partner, &mut vec![false; found.len()]))
        .map(|wanted| &expected[wanted])
        .collect();
    let unexpected =
        found.iter().zip(&partner).filter(|(_, partner)| partner.is_none()).map(|(one, _)| one).collect();
    (missing, unexpected)
}

fn pair(wanted: usize, agree: &[Vec<usize>], partner: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    agree[wanted].iter().any(|&one| {
        if std::mem::replace(&mut seen[one], true) {
            return false;
        }
        let free = match partner[one] {
            None => true,
            Some(rival) => pair(rival, agree, partner, seen),
        };
        if free {
            partner[one] = Some(wanted);
        }
        free
    })
}

fn agrees(expected: &Expected, found: &Found) -> bool {
    let key = match &expected.key {
        None => true,
        Some(Key::Single(value)) => found.key.len() == 1 && found.key.values().all(|v| same(v, value)),
        Some(Key::Fields(fields)) => found.key.len() == fields.len() && contains(&found.key, fields),
    };
    key && expected.pattern.as_ref().is_none_or(|name| *name == found.pattern)
        && expected.timeout == (found.kind == "timeout")
        && expected.at.is_none_or(|at| at.0 == found.end)
        && expected.events.as_ref().is_none_or(|events| *events == numbers(found))
        && contains(&found.fields, &expected.fields)
}

/// The numbers of a match's events in the scenario, per stage.
fn numbers(found: &Found) -> BTreeMap<String, Vec<usize>> {
    let number = |event: &Map<String, Value>| {
        event
            .get(EVENT_NUMBER)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usize::MAX)
    };
    found.events.iter().map(|(stage, events)| (stage.clone(), events.iter().map(number).collect())).collect()
}

fn contains(object: &Map<String, Value>, part: &Map<String, Value>) -> bool {
    part.iter().all(|(name, value)| object.get(name).is_some_and(|found| same(found, value)))
}

/// Equality as the pattern language has it: 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.is_f64() != y.is_f64() && x.as_f64() == y.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && contains(x, y),
        _ => a == b,
    }
}

/// Writes expectations and matches alike, so that they can be compared by eye.
struct Describe<'a> {
    start: Timestamp,
    events: &'a [Event],
}

impl Describe<'_> {
    fn expected(&self, one: &Expected) -> String {
        let mut text = String::from(if one.timeout { "timeout" } else { "match" });
        if let Some(pattern) = &one.pattern {
            text += &format!(" of {pattern}");
        }
        if let Some(at) = one.at {
            text += &self.at(at);
        }
        match &one.key {
            None => {}
            Some(Key::Single(value)) => text += &format!(" for {value}"),
            Some(Key::Fields(fields)) => text += &key(fields),
        }
        if let Some(events) = &one.events {
            text += &self.stages(events);
        }
        if !one.fields.is_empty() {
            text += &fields(&one.fields);
        }
        text
    }

    fn found(&self, one: &Found) -> String {
        let mut text = format!("{} of {}{}", one.kind, one.pattern, self.at(Timestamp(one.end)));
        text += &key(&one.key);
        text += &self.stages(&numbers(one));
        if !one.fields.is_empty() {
            text += &fields(&one.fields);
        }
        text
    }

    fn at(&self, time: Timestamp) -> String {
        format!(" at {}", TimeSpan(time.0.saturating_sub(self.start.0)))
    }

    fn stages(&self, stages: &BTreeMap<String, Vec<usize>>) -> String {
        let name = |&number: &usize| match self.events.get(number).and_then(|event| event.label.as_ref()) {
            Some(label) => format!("\"{label}\""),
            None => number.to_string(),
        };
        let stage = |(stage, events): (&String, &Vec<usize>)| {
            format!("{stage} = [{}]", events.iter().map(name).collect::<Vec<_>>().join(", "))
        };
        format!(": {}", stages.iter().map(stage).collect::<Vec<_>>().join(", "))
    }
}

fn key(key: &Map<String, Value>) -> String {
    match key.len() {
        0 => String::new(),
        1 => key.values().map(|value| format!(" for {value}")).collect(),
        _ => format!(" for {}", Value::Object(key.clone())),
    }
}

fn fields(fields: &Map<String, Value>) -> String {
    format!(" {}", Value::Object(fields.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::scenario::file::parse;

    fn scenario(expectations: &str) -> Scenario {
        let text = format!(
            "[[scenario]]\nname = \"s\"\nevents = [{{t=\"0s\", as=\"first\"}}, {{t=\"1s\"}}, {{t=\"2s\"}}]\n{expectations}\n"
        );
        parse(&text, std::path::Path::new("s.scenario.toml")).unwrap().remove(0)
    }

    fn found(end: i64, a: u64, fields: &str) -> String {
        format!(
            r#"{{"pattern":"p","version":1,"kind":"match","id":"0","key":{{"k":1}},"start":0,"end":{},"events":{{"a":[{{"@event":{a}}}]}},"fields":{fields}}}"#,
            1_767_225_600_000 + end
        )
    }

    fn difference(expectations: &str, matches: &[String]) -> Difference {
        compare(&scenario(expectations), &Output { matches: matches.to_vec(), late: 0, dead_letters: 0 })
    }

    #[test]
    fn what_is_said_is_compared_and_nothing_else() {
        let one = [found(1_000, 0, r#"{"n":2.0,"m":3}"#)];
        for agreeing in [
            r#"matches = [{}]"#,
            r#"matches = [{ at = "1s", key = 1.0, events = { a = "first" }, fields = { n = 2 } }]"#,
            r#"matches = [{ pattern = "p", key = { k = 1 }, events = { a = [0] }, fields = { m = 3 } }]"#,
        ] {
            assert_eq!(difference(agreeing, &one), Difference::default(), "{agreeing}");
        }
        for other in [
            r#"matches = []"#,
            r#"matches = [{ at = "1s1ms" }]"#,
            r#"matches = [{ key = "1" }]"#,
            r#"matches = [{ key = { k = 1, l = 1 } }]"#,
            r#"matches = [{ events = { a = 1 } }]"#,
            r#"matches = [{ events = { a = 0, b = 1 } }]"#,
            r#"matches = [{ fields = { n = 3 } }]"#,
            r#"matches = [{ fields = { o = 2 } }]"#,
            r#"matches = [{ pattern = "q" }]"#,
            r#"matches = [{ kind = "timeout" }]"#,
            r#"matches = [{}, {}]"#,
            "matches = [{}]\nlate = 1",
            "matches = [{}]\ndead_letters = 1",
            "matches = [{}]\nnone_of = [\"p\"]",
        ] {
            assert_ne!(difference(other, &one), Difference::default(), "{other}");
        }
    }

    #[test]
    fn an_expectation_that_says_little_does_not_take_the_match_of_one_that_says_more() {
        let two = [found(1_000, 0, "{}"), found(1_000, 1, "{}")];
        let vague_first = r#"matches = [{ at = "1s" }, { at = "1s", events = { a = "first" } }]"#;
        assert_eq!(difference(vague_first, &two), Difference::default());
    }

    #[test]
    fn a_difference_names_times_and_events_as_the_file_does() {
        let wanted = r#"matches = [{ at = "3s", events = { a = ["first", 1] }, fields = { n = 1 } }]"#;
        let difference = difference(wanted, &[found(2_500, 2, r#"{"n":1}"#)]);
        assert_eq!(difference.missing, [r#"match at 3s: a = ["first", 1] {"n":1}"#]);
        assert_eq!(difference.unexpected, [r#"match of p at 2s500ms for 1: a = [2] {"n":1}"#]);
    }
}
