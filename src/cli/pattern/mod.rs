//! `sequor pattern`: the patterns of a running service, from the command line. Exit status: 0 done, 1 refused, 2 wrong
//! flags, 69 where the service cannot be reached.

mod local;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::client::{self, Client, Failed, ServiceArgs};
use super::say;
use local::Files;

/// Arguments of `sequor pattern`.
#[derive(Debug, Args)]
pub struct PatternArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the service's patterns equal to files: create, replace, and remove what is in none of them
    Apply(ApplyArgs),
    /// List the patterns that are there
    Ls,
    /// Print the text of a pattern
    Get {
        /// Its name
        name: String,
    },
    /// Remove a pattern
    Rm {
        /// Its name
        name: String,
        /// What becomes of its partial matches
        #[arg(long, value_parser = ["drain", "drop"])]
        state: Option<String>,
    },
    /// Show how files differ from what the service has
    Diff {
        /// Files, and folders of `*.seq`
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Leave out patterns that are in no file
        #[arg(long)]
        no_prune: bool,
    },
    /// Show what a pattern has found half of
    PartialMatches {
        /// Its name
        name: String,
        /// Of this key only: a text, or the values of its fields as JSON: an array or an object
        #[arg(long)]
        key: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// List all versions of a pattern, also of one that was removed
    History {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
struct ApplyArgs {
    /// Files, and folders of `*.seq`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only say what would change: `+` created, `~` replaced, `-` removed
    #[arg(long)]
    dry_run: bool,
    /// Keep patterns that are in no file
    #[arg(long)]
    no_prune: bool,
    /// What becomes of the partial matches of versions that are replaced
    #[arg(long, value_parser = ["drain", "drop", "carry"])]
    state: Option<String>,
    /// The first event time that sees the changes: epoch milliseconds or RFC 3339
    #[arg(long, value_name = "TIME")]
    effective_from: Option<String>,
}

/// What a service says of a pattern.
#[derive(Debug, Deserialize)]
struct Pattern {
    name: String,
    version: u64,
    state: String,
    source: String,
    effective_from: Option<i64>,
    created_by: String,
    #[serde(default)]
    ended: Option<Ended>,
}

#[derive(Debug, Deserialize)]
struct Ended {
    effective_from: Option<i64>,
    state: String,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Pattern>,
    next: Option<String>,
}

/// What became of a pattern, or would.
#[derive(Debug, Deserialize)]
struct Outcome {
    name: String,
    version: u64,
    action: String,
}

#[derive(Debug, Deserialize)]
struct Outcomes {
    items: Vec<Outcome>,
}

/// Does what is asked for.
pub fn run(args: &PatternArgs) -> ExitCode {
    client::exit(Client::of(&args.service).and_then(|client| {
        let out = match &args.verb {
            Verb::Apply(apply) => applied(&client, apply)?,
            Verb::Ls => listed(&client)?,
            Verb::Get { name } => client.get::<Pattern>(&of(name))?.source + "\n",
            Verb::Rm { name, state } => removed(&client, name, state.as_deref())?,
            Verb::Diff { paths, no_prune } => differences(&client, paths, !no_prune)?,
            Verb::PartialMatches { name, key, limit } => {
                partial_matches(&client, name, key.as_deref(), *limit)?
            }
            Verb::History { name } => history(&client, name)?,
        };
        shown(&out)
    }))
}

fn shown(text: &str) -> Result<(), Failed> {
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads only the beginning has what they wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::Refused(format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

/// The path of a pattern.
fn of(name: &str) -> String {
    format!("/v1/patterns/{}", client::encoded(name))
}

fn applied(client: &Client, args: &ApplyArgs) -> Result<String, Failed> {
    let files = Files::read(&args.paths)?;
    let (tag, outcomes) = planned(client, &files, args)?;
    let plan = plan(&outcomes);
    if args.dry_run || plan.is_empty() {
        return Ok(plan);
    }
    shown(&plan)?;
    // Only what was said is done: where others changed patterns since, nothing is.
    client.post::<Outcomes>(&path(args, false), &files.body(), Some(&tag))?;
    Ok(String::new())
}

/// What applying would do, and the patterns' ETag.
fn planned(client: &Client, files: &Files, args: &ApplyArgs) -> Result<(String, Vec<Outcome>), Failed> {
    let tag = client.tag("/v1/patterns?limit=1")?;
    let outcomes: Outcomes = client.post(&path(args, true), &files.body(), Some(&tag))?;
    Ok((tag, outcomes.items))
}

fn path(args: &ApplyArgs, dry_run: bool) -> String {
    let mut path = format!("/v1/patterns:apply?dry_run={dry_run}&prune={}", !args.no_prune);
    for (name, value) in [("state", &args.state), ("effective_from", &args.effective_from)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", client::encoded(value)));
        }
    }
    path
}

/// One line for each pattern that changes.
fn plan(outcomes: &[Outcome]) -> String {
    let line = |Outcome { name, version, action }: &Outcome| match action.as_str() {
        "create" => format!("+ {name} (version {version})\n"),
        "replace" => format!("~ {name} (version {version})\n"),
        "set" => format!("~ {name} (properties)\n"),
        "remove" => format!("- {name}\n"),
        _ => String::new(),
    };
    outcomes.iter().map(line).collect()
}

fn all(client: &Client) -> Result<Vec<Pattern>, Failed> {
    let (mut patterns, mut path) = (Vec::new(), String::from("/v1/patterns?limit=1000"));
    loop {
        let list: List = client.get(&path)?;
        patterns.extend(list.items);
        let Some(next) = list.next else { return Ok(patterns) };
        path = format!("/v1/patterns?limit=1000&cursor={next}");
    }
}

fn listed(client: &Client) -> Result<String, Failed> {
    let row =
        |p: &Pattern| vec![p.name.clone(), p.version.to_string(), p.state.clone(), time(p.effective_from)];
    Ok(table(&["NAME", "VERSION", "STATE", "EFFECTIVE FROM"], all(client)?.iter().map(row).collect()))
}

fn history(client: &Client, name: &str) -> Result<String, Failed> {
    let list: List = client.get(&(of(name) + "/versions"))?;
    let row = |p: &Pattern| {
        let ended = p.ended.as_ref();
        let ended =
            ended.map_or_else(|| "-".into(), |end| format!("{} ({})", time(end.effective_from), end.state));
        vec![p.version.to_string(), p.state.clone(), time(p.effective_from), ended, p.created_by.clone()]
    };
    Ok(table(&["VERSION", "STATE", "EFFECTIVE FROM", "ENDED", "BY"], list.items.iter().map(row).collect()))
}

fn partial_matches(client: &Client, name: &str, key: Option<&str>, limit: u32) -> Result<String, Failed> {
    let key = key.map(|key| format!("&key={}", client::encoded(key))).unwrap_or_default();
    let found: Value = client.get(&format!("{}/partial-matches?limit={limit}{key}", of(name)))?;
    let list = |of: &Value, join: &str, text: fn(&Value) -> Option<&str>| {
        of.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>().join(join)
    };
    let row = |item: &Value| {
        let waits = match item["state"].as_str() {
            Some("complete") => String::from("what began earlier"),
            _ => list(&item["waits_for"], ", or ", |wait| wait["text"].as_str()),
        };
        vec![
            item["key"].to_string(),
            item["version"].to_string(),
            time(item["since"].as_i64()),
            item["deadline"].as_i64().map_or_else(|| "-".into(), |at| time(Some(at))),
            list(&item["matched"], " ", Value::as_str),
            waits,
        ]
    };
    let rows = found["items"].as_array().into_iter().flatten().map(row).collect();
    if !found["next"].is_null() {
        say("sequor: there are more than these: `--limit` (up to 1000) or `--key` shows others");
    }
    Ok(table(&["KEY", "VERSION", "SINCE", "DEADLINE", "MATCHED", "WAITS FOR"], rows))
}

fn removed(client: &Client, name: &str, state: Option<&str>) -> Result<String, Failed> {
    let tag = client.tag(&of(name))?;
    let query = state.map(|state| format!("?state={state}")).unwrap_or_default();
    let _: Value = client.delete(&(of(name) + &query), &tag)?;
    Ok(String::new())
}

fn differences(client: &Client, paths: &[PathBuf], prune: bool) -> Result<String, Failed> {
    let files = Files::read(paths)?;
    let there = all(client)?;
    let local = files.patterns();
    let mut out = String::new();
    let mut show = |name: &str, old: Option<&str>, new: Option<&str>| {
        let line = |text: Option<&str>| text.map(|text| format!("{text}\n")).unwrap_or_default();
        let side =
            |text: Option<&str>, side: &str| text.map_or("/dev/null".into(), |_| format!("{side}/{name}"));
        let (before, after) = (line(old), line(new));
        let diff = TextDiff::from_lines(&before, &after);
        let unified = diff.unified_diff().header(&side(old, "service"), &side(new, "files")).to_string();
        out.push_str(&unified);
    };
    for (name, text) in &local {
        let old = there.iter().find(|pattern| pattern.name == *name).map(|pattern| pattern.source.as_str());
        show(name, old, Some(text));
    }
    for pattern in there.iter().filter(|pattern| prune && !local.contains_key(&pattern.name)) {
        show(&pattern.name, Some(&pattern.source), None);
    }
    Ok(out)
}

/// An event time for people.
fn time(at: Option<i64>) -> String {
    let Some(at) = at else { return String::from("the beginning") };
    let time = chrono::DateTime::from_timestamp_millis(at);
    time.map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

impl Files {
    /// The body of a request that applies them.
    fn body(&self) -> Value {
        let patterns: Vec<Value> = self.0.iter().map(|file| json!({ "source": file.text })).collect();
        json!({ "patterns": patterns })
    }
}
