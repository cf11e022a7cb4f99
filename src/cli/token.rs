//! `sequor token`: makes, lists and removes tokens, in the file that the service reads. It need not run; where it does, it
//! notices.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::config::SettingsArgs;
use super::load::Color;
use super::{IO, USAGE, fail, say};
use crate::api::auth::{Role, Secret, Token, TokenFile, hash_of, wall_clock};
use crate::config::Settings;
use crate::event::TimeSpan;
use crate::event::time::duration_of;

/// The longest name of a token.
const NAME_LEN_MAX: usize = 64;

/// Make, list and remove the tokens that let others use the service
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token and print it: it is never shown again
    Create {
        /// What logs call its bearer
        #[arg(long)]
        name: String,
        /// What its bearer may do: viewer, editor, ingest or admin
        #[arg(long)]
        role: Role,
        /// After how long it is of no use, or `never`
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = expiry)]
        expires: Expiry,
        /// With --role ingest: a stream that its bearer may post to (may be given several times); otherwise any
        #[arg(long = "stream", value_name = "STREAM")]
        streams: Vec<String>,
        /// With --role editor: a pattern that its bearer may change, where `*` stands for any characters (may be given
        /// several times); otherwise any
        #[arg(long = "pattern", value_name = "GLOB")]
        patterns: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List tokens: all but the tokens themselves
    Ls {
        #[command(flatten)]
        place: Place,
    },
    /// Remove a token: from then on it lets nobody in
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the tokens are.
#[derive(Debug, Args)]
struct Place {
    /// The file with the settings; otherwise `sequor.toml` in the working directory, if there is one
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory (`data.dir`)
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

/// How long a token is of use; none: for ever.
type Expiry = Option<TimeSpanOf>;

#[derive(Debug, Clone, Copy)]
struct TimeSpanOf(TimeSpan);

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" { Ok(None) } else { duration_of(text).map(|span| Some(TimeSpanOf(span))) }
}

/// The file of tokens that some settings name.
pub(super) fn file(settings: &Settings) -> TokenFile {
    let in_data = || settings.data.dir.join("tokens.json");
    TokenFile::at(settings.auth.tokens_file.clone().unwrap_or_else(in_data))
}

impl Place {
    fn file(&self) -> Result<TokenFile, ExitCode> {
        let settings =
            SettingsArgs { config: self.config.clone(), data: self.data.clone(), ..SettingsArgs::default() };
        settings.load(Color::Auto).map(|loaded| file(&loaded.settings))
    }
}

/// Makes, lists or removes tokens.
pub fn run(args: TokenArgs) -> ExitCode {
    match args.command {
        Command::Create { name, role, expires, streams, patterns, place } => {
            create(name, role, expires, streams, patterns, &place)
        }
        Command::Ls { place } => list(&place),
        Command::Rm { name, place } => match place.file().map(|file| file.remove(&name)) {
            Err(status) => status,
            Ok(Err(error)) => fail(IO, error.to_string()),
            Ok(Ok(())) => {
                say(format!("the token `{name}` lets nobody in any more"));
                ExitCode::SUCCESS
            }
        },
    }
}

fn create(
    name: String,
    role: Role,
    expires: Expiry,
    streams: Vec<String>,
    patterns: Vec<String>,
    place: &Place,
) -> ExitCode {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.chars().all(is_plain) {
        return fail(
            USAGE,
            format!("a name has 1 to {NAME_LEN_MAX} of the characters a-z, A-Z, 0-9 and -_.@"),
        );
    }
    // The log must not take the bearer of a token for the service itself.
    if ["sequor", "config", "anonymous"].contains(&name.as_str()) {
        return fail(USAGE, format!("`{name}` is what the service calls itself: take another name"));
    }
    if !streams.is_empty() && role != Role::Ingest {
        return fail(USAGE, "--stream goes with --role ingest");
    }
    if !patterns.is_empty() && role != Role::Editor {
        return fail(USAGE, "--pattern goes with --role editor");
    }
    let file = match place.file() {
        Ok(file) => file,
        Err(status) => return status,
    };
    let secret = match Secret::random() {
        Ok(secret) => secret,
        Err(why) => return fail(IO, why),
    };
    let created = wall_clock();
    let expires = expires.map(|TimeSpanOf(TimeSpan(span))| created.saturating_add(span));
    let token = Token { name, role, streams, patterns, sha256: hash_of(secret.expose()), created, expires };
    if let Err(error) = file.add(token) {
        return fail(IO, error.to_string());
    }
    say("this is the only time that the token is shown:");
    print(&format!("{}\n", secret.expose()))
}

fn list(place: &Place) -> ExitCode {
    let tokens = match place.file().map(|file| file.read()) {
        Err(status) => return status,
        Ok(Err(error)) => return fail(IO, error.to_string()),
        Ok(Ok(tokens)) => tokens,
    };
    let now = wall_clock();
    let mut rows = vec![["NAME", "ROLE", "SCOPE", "CREATED", "EXPIRES"].map(str::to_owned)];
    for token in tokens {
        let scope = [token.streams.as_slice(), &token.patterns].concat().join(",");
        let expires = match token.expires {
            None => "never".to_owned(),
            Some(_) if token.has_expired(now) => "expired".to_owned(),
            Some(at) => date(at),
        };
        let scope = if scope.is_empty() { "any".to_owned() } else { scope };
        rows.push([token.name, token.role.to_string(), scope, date(token.created), expires]);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    print(&rows.iter().map(line).collect::<String>())
}

fn date(at: i64) -> String {
    let date = chrono::DateTime::from_timestamp_millis(at);
    date.map_or_else(|| at.to_string(), |date| date.format("%Y-%m-%d %H:%MZ").to_string())
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(IO, format!("cannot write to standard output: {error}")),
    }
}
