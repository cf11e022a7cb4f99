//! The settings of the service: defaults, the file `sequor.toml`, the environment and flags, each over those before it,
//! to one resolved whole that knows where each value came from.
//!
//! - [`load`] reads the file and nothing else: the environment and the flags are given to it. It tells all that is wrong
//!   at once.
//! - [`settings`] is what the rest of the service sees.
//! - [`secret`] keeps secrets out of both: settings only ever refer to them.

mod mask;
mod node;
pub mod problem;
mod reader;
mod resolve;
pub mod secret;
pub mod settings;
mod show;
pub mod target;
mod value;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use node::{Place, Table};
use problem::{Fault, Outside, Texts, code};
use reader::Found;

pub use problem::Problem;
pub use resolve::DEFAULT_STREAM;
pub use settings::Settings;
pub use show::{Origin, Setting};
pub use value::ByteSize;

/// Variables of the environment that begin so are settings: `SEQUOR__SERVER__LISTEN` is `server.listen`.
pub const ENV_PREFIX: &str = "SEQUOR__";

/// A setting that was given as a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag, with its dashes.
    pub name: &'static str,
    /// The key that it sets, with dots: `server.listen`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// Settings, and where each came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every setting there is, in the order of the documentation.
    pub origins: Vec<Setting>,
}

impl Loaded {
    /// The settings as a file that would say them, with comments that tell where each came from if that is wanted.
    pub fn to_toml(&self, with_origins: bool) -> String {
        show::toml(&self.origins, with_origins)
    }
}

/// Reads the settings: the file if there is one, over that the variables of `env` that begin with [`ENV_PREFIX`], over
/// those the flags. Otherwise tells all that is wrong.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Loaded, Vec<Problem>> {
    let mut texts = Texts::default();
    let mut faults = Vec::new();
    let mut table = Table::new();
    if let Some(path) = file {
        match fs::read_to_string(path) {
            Ok(text) => {
                (table, faults) = node::parse(&text);
                texts.masked = mask::places(&table);
                texts.file = Some((path.display().to_string(), text));
            }
            Err(error) => {
                let message = format!("cannot read the settings in `{}`: {error}", path.display());
                faults.push(Fault::new(code::UNREADABLE, None, message));
            }
        }
    }
    let malformed: Vec<usize> = faults.iter().filter_map(|fault| line(&texts, fault)).collect();
    lay_env(env, &mut table, &mut texts, &mut faults);
    for flag in flags {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        lay(
            &path,
            Outside { env: false, name: flag.name.to_owned(), value: flag.value.clone() },
            &mut table,
            &mut texts,
            &mut faults,
        );
    }

    let mut found = Found::default();
    let settings = resolve::resolve(&mut found, table);
    texts.masked.append(&mut found.masked);
    // Where the text is no TOML, what is missing may be there, and what is on the same line may mean something else.
    let certain = |fault: &Fault| {
        malformed.is_empty()
            || (fault.code != code::MISSING
                && line(&texts, fault).is_none_or(|line| !malformed.contains(&line)))
    };
    faults.extend(found.faults.into_iter().filter(certain));
    if !faults.is_empty() {
        return Err(texts.problems(faults));
    }
    let origin = |at: Option<Place>| match at {
        None => Origin::Default,
        Some(Place::File(span)) => {
            let name = texts.file.as_ref().map_or(String::new(), |(name, _)| name.clone());
            Origin::File { name, line: texts.line(span) }
        }
        Some(Place::Name(index) | Place::Value(index)) => {
            let Outside { env, name, .. } = &texts.outside[index];
            if *env { Origin::Env(name.clone()) } else { Origin::Flag(name.clone()) }
        }
    };
    let origins = found.items.into_iter().map(|item| Setting {
        key: item.key,
        kind: item.kind,
        value: item.value,
        origin: origin(item.at),
    });
    Ok(Loaded { settings, origins: origins.collect() })
}

/// The line of the file that a fault is on.
fn line(texts: &Texts, fault: &Fault) -> Option<usize> {
    match fault.at {
        Some(Place::File(span)) => Some(texts.line(span)),
        _ => None,
    }
}

/// Lays the settings of the environment over a table, in the order of their keys, so that numbers in lists go up.
fn lay_env(
    env: impl IntoIterator<Item = (String, String)>,
    table: &mut Table,
    texts: &mut Texts,
    faults: &mut Vec<Fault>,
) {
    // Numbers compare as numbers.
    let order = |key: &String| (key.parse::<u64>().ok(), key.clone());
    let mut paths: BTreeMap<Vec<(Option<u64>, String)>, Vec<Outside>> = BTreeMap::new();
    for (name, value) in env {
        let Some(keys) = name.strip_prefix(ENV_PREFIX) else { continue };
        let path = keys.split("__").map(|key| order(&key.to_lowercase())).collect();
        paths.entry(path).or_default().push(Outside { env: true, name, value });
    }
    for (path, mut given) in paths {
        given.sort_by(|a, b| a.name.cmp(&b.name));
        let path: Vec<String> = path.into_iter().map(|(_, key)| key).collect();
        let first = given[0].name.clone();
        for (i, outside) in given.into_iter().enumerate() {
            if i > 0 {
                let message = format!("the variables `{first}` and `{}` set the same", outside.name);
                faults.push(Fault::new(code::TWICE, Place::Name(texts.outside.len()), message));
            }
            lay(&path, outside, table, texts, faults);
        }
    }
}

/// Lays one value from outside over a table.
fn lay(path: &[String], outside: Outside, table: &mut Table, texts: &mut Texts, faults: &mut Vec<Fault>) {
    let index = texts.outside.len();
    if let Err(why) = node::lay(table, path, &outside.value, index) {
        let message = format!("`{}` cannot be set: {why}", outside.name);
        faults.push(Fault::new(code::VALUE, Place::Name(index), message));
    }
    texts.outside.push(outside);
}
