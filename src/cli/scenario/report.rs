//! Outcomes of scenarios, written for people, for programs (JSON), and for test dashboards (JUnit's XML).

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::run::{Failure, Outcome};

/// A scenario that was run: its file, line, name, and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The scenario file.
    pub file: String,
    /// The line of its name.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Entry {
    /// Whether every variant gave what was expected.
    pub fn passed(&self) -> bool {
        self.outcome.failures.is_empty()
    }
}

/// For people: each file, its scenarios, and the differences of those that failed.
pub fn human(entries: &[Entry]) -> String {
    let mut text = String::new();
    for of_file in entries.chunk_by(|a, b| a.file == b.file) {
        text += &format!("{}\n", of_file[0].file);
        for entry in of_file {
            let mark = if entry.passed() { "ok  " } else { "FAIL" };
            text += &format!("  {mark}  {}\n", entry.name);
            for failure in &entry.outcome.failures {
                text +=
                    &format!("        {}:{}: {}\n", entry.file, entry.line, place(failure, &entry.outcome));
                for line in lines(failure) {
                    text += &format!("          {line}\n");
                }
            }
        }
    }
    let failed = entries.iter().filter(|entry| !entry.passed()).count();
    let variants: usize = entries.iter().map(|entry| entry.outcome.variants).sum();
    let files = entries.chunk_by(|a, b| a.file == b.file).count();
    text += &format!(
        "\n{} scenarios in {files} files ({variants} runs): {} passed, {failed} failed\n",
        entries.len(),
        entries.len() - failed
    );
    text
}

/// For programs: one JSON object.
pub fn json(entries: &[Entry]) -> String {
    let failure = |failure: &Failure| {
        json!({
            "variants": failure.variants.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "missing": failure.difference.missing,
            "unexpected": failure.difference.unexpected,
            "remarks": failure.difference.remarks,
        })
    };
    let scenario = |entry: &Entry| {
        json!({
            "file": entry.file,
            "line": entry.line,
            "name": entry.name,
            "passed": entry.passed(),
            "variants": entry.outcome.variants,
            "failures": entry.outcome.failures.iter().map(failure).collect::<Vec<Value>>(),
        })
    };
    let passed = entries.iter().filter(|entry| entry.passed()).count();
    let report = json!({
        "passed": passed,
        "failed": entries.len() - passed,
        "scenarios": entries.iter().map(scenario).collect::<Vec<Value>>(),
    });
    format!("{report}\n")
}

/// For test dashboards: JUnit's XML, a test suite a file.
pub fn junit(entries: &[Entry]) -> String {
    let failed = |entries: &[Entry]| entries.iter().filter(|entry| !entry.passed()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites tests=\"{}\" failures=\"{}\">", entries.len(), failed(entries));
    for of_file in entries.chunk_by(|a, b| a.file == b.file) {
        let file = xml(&of_file[0].file);
        let _ = writeln!(
            text,
            "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{}\">",
            of_file.len(),
            failed(of_file)
        );
        for entry in of_file {
            let name = xml(&entry.name);
            let _ =
                write!(text, "    <testcase classname=\"{file}\" name=\"{name}\" line=\"{}\"", entry.line);
            if entry.passed() {
                text += "/>\n";
                continue;
            }
            text += ">\n";
            for failure in &entry.outcome.failures {
                let place = xml(&place(failure, &entry.outcome));
                let _ = writeln!(
                    text,
                    "      <failure message=\"{place}\">{}</failure>",
                    xml(&lines(failure).join("\n"))
                );
            }
            text += "    </testcase>\n";
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// Which variants a failure has come up in.
fn place(failure: &Failure, outcome: &Outcome) -> String {
    match failure.variants.as_slice() {
        all if all.len() == outcome.variants => format!("in all {} variants", outcome.variants),
        [only] => format!("in one of {} variants: {only}", outcome.variants),
        [first, ..] => {
            format!("in {} of {} variants, first {first}", failure.variants.len(), outcome.variants)
        }
        [] => String::new(),
    }
}

/// A difference, as a diff from what was expected to what was found.
fn lines(failure: &Failure) -> Vec<String> {
    let difference = &failure.difference;
    let missing = difference.missing.iter().map(|line| format!("- expected    {line}"));
    let unexpected = difference.unexpected.iter().map(|line| format!("+ found       {line}"));
    let remarks = difference.remarks.iter().map(|line| format!("! {line}"));
    missing.chain(unexpected).chain(remarks).collect()
}

/// Text in XML, in an attribute or between tags; characters that XML 1.0 cannot have become U+FFFD.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            c if c.is_control() && c != '\t' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
