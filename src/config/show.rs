//! The settings as a file that would say them, each with its origin where that is wanted.

use std::fmt;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file, at this line.
    File {
        /// Its path.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Env(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key: `server.listen`, `streams.0.name`.
    pub key: String,
    /// What it can be, in a word or two.
    pub kind: &'static str,
    /// Its value as the file would say it, none where it has none. A secret is shown as the reference that it is.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// The settings as TOML. What has no value is a comment.
pub(super) fn toml(settings: &[Setting], with_origins: bool) -> String {
    let mut out = String::new();
    let mut section = String::new();
    for setting in settings {
        let (header, key) = split(&setting.key);
        if header != section {
            let blank = if out.is_empty() { "" } else { "\n" };
            let line = match header.split_once('.') {
                Some((list, _)) => format!("{blank}[[{list}]]\n"),
                None => format!("{blank}[{header}]\n"),
            };
            out.push_str(&line);
            section = header.to_owned();
        }
        let line = match &setting.value {
            Some(value) => format!("{key} = {value}"),
            None => format!("# {key} is not set"),
        };
        if with_origins {
            out.push_str(&format!("{line:<44} # {}\n", setting.origin));
        } else {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

/// The section of a key, with its number where it is in a list, and the key within it.
fn split(key: &str) -> (&str, &str) {
    let mut dots = key.match_indices('.').map(|(at, _)| at);
    let (first, second) = (dots.next().unwrap_or(0), dots.next());
    let at = match second {
        Some(second) if key[first + 1..second].bytes().all(|byte| byte.is_ascii_digit()) => second,
        _ => first,
    };
    (&key[..at], key[at..].trim_start_matches('.'))
}
