//! `sequor config`: whether the settings of the service are right, and what they come to.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::check::tell;
use super::load::Color;
use super::{IO, fail};
use crate::config::{self, ENV_PREFIX, Flag, Loaded};

/// Settings that are wrong, as sysexits.h has it.
const CONFIG: u8 = 78;
/// The file that is read where none is named and there is one.
const DEFAULT_FILE: &str = "sequor.toml";

/// Check and show the settings of the service
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say all that is wrong with the settings; the exit status is 0 or 78
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
        /// When to use colours
        #[arg(long, value_enum, default_value_t = Color::Auto)]
        color: Color,
    },
    /// Print every setting, as a file that would say the same; secrets are shown as the references that they are
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Also where each value comes from: default, file and line, variable, or flag
        #[arg(long)]
        origin: bool,
    },
}

/// Where settings come from, and those that flags set. Flags win over the environment, that over the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SettingsArgs {
    /// The file with the settings; otherwise `sequor.toml` in the working directory, if there is one
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on (`server.listen`)
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The data directory (`data.dir`)
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Threads that match side by side (`engine.threads`)
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// The least weighty log lines that are written (`log.level`)
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How log lines look (`log.format`)
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl SettingsArgs {
    /// Reads the settings. Where they are wrong, says so and gives the exit status.
    pub(super) fn load(&self, color: Color) -> Result<Loaded, ExitCode> {
        let file = self.config.as_deref().or_else(|| {
            let default = Path::new(DEFAULT_FILE);
            default.exists().then_some(default)
        });
        let flags = [
            ("--listen", "server.listen", &self.listen),
            ("--data", "data.dir", &self.data),
            ("--threads", "engine.threads", &self.threads),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        let flags: Vec<Flag> = flags
            .into_iter()
            .filter_map(|(name, key, value)| Some(Flag { name, key, value: value.clone()? }))
            .collect();
        let problems = match config::load(file, environment()?, &flags) {
            Ok(loaded) => return Ok(loaded),
            Err(problems) => problems,
        };
        for problem in &problems {
            // Where standard error is closed there is nobody left to tell.
            let _ = tell(&format!("{}\n", problem.render(color.on())));
        }
        Err(fail(
            CONFIG,
            match problems.len() {
                1 => "1 error in the settings".to_owned(),
                n => format!("{n} errors in the settings"),
            },
        ))
    }
}

/// The variables that are settings. One that is no text is refused, without its value.
fn environment() -> Result<Vec<(String, String)>, ExitCode> {
    let mut variables = Vec::new();
    for (name, value) in env::vars_os() {
        let shown = name.to_string_lossy();
        if !shown.starts_with(ENV_PREFIX) {
            continue;
        }
        match (name.to_str(), value.into_string()) {
            (Some(name), Ok(value)) => variables.push((name.to_owned(), value)),
            _ => return Err(fail(CONFIG, format!("the variable `{shown}` is not valid UTF-8"))),
        }
    }
    Ok(variables)
}

/// Checks or shows the settings. The exit status is 0 where they are right, 78 where they are not.
pub fn run(args: &ConfigArgs) -> ExitCode {
    let text = match &args.command {
        Command::Check { settings, color } => {
            settings.load(*color).map(|_| "the settings are right\n".to_owned())
        }
        Command::Show { settings, origin } => {
            settings.load(Color::Auto).map(|loaded| loaded.to_toml(*origin))
        }
    };
    match text.map(|text| io::stdout().lock().write_all(text.as_bytes())) {
        Err(status) => status,
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(IO, format!("cannot write to standard output: {error}")),
    }
}
