//! `sequor backup`, `restore` and `savepoint`: a running service in a file, and back.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::{self, Client, Failed, ServiceArgs};
use super::{IO, fail};
use crate::pipeline::backup::{self, About};

/// The arguments of `sequor backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to write, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    service: ServiceArgs,
}

/// The arguments of `sequor restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `sequor backup` wrote
    backup: PathBuf,
    /// The data directory to make; there must be none, or an empty one
    #[arg(long, value_name = "DIR", default_value = "./sequor-data")]
    data: PathBuf,
}

/// The arguments of `sequor savepoint`.
#[derive(Debug, Args)]
pub struct SavepointArgs {
    #[command(flatten)]
    service: ServiceArgs,
}

/// Makes a backup of a running service, and reads it to see that it is whole.
pub fn run(args: &BackupArgs) -> ExitCode {
    client::exit(Client::of(&args.service).and_then(|client| {
        let to = &args.output;
        if to.exists() {
            return Err(Failed::Refused(format!("`{}` is there already: give another file", to.display())));
        }
        let part = beside(to);
        let made = download(&client, &part, to);
        if made.is_err() {
            // What is not whole is of no use.
            let _ = fs::remove_file(&part);
        }
        say(to, "holds", &made?)
    }))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".part");
    file.with_file_name(name)
}

fn download(client: &Client, part: &Path, to: &Path) -> Result<About, Failed> {
    let failed = |error: io::Error| Failed::Refused(format!("cannot write `{}`: {error}", to.display()));
    let mut file = BufWriter::with_capacity(1 << 18, File::create(part).map_err(failed)?);
    client.download("/v1/backup", &mut file)?;
    file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    let about = backup::check(part).map_err(|failure| Failed::Refused(failure.to_string()))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_place = fs::rename(part, to).and_then(|()| File::open(folder)?.sync_all());
    in_place.map_err(failed)?;
    Ok(about)
}

/// Tells what a backup has.
fn say(place: &Path, verb: &str, about: &About) -> Result<(), Failed> {
    let mut text = format!("{} {verb} what the service kept:\n", place.display());
    for (log, extent) in &about.logs {
        text += &format!("  {log:<24} {} to {}\n", extent.first, extent.next);
    }
    if let Some(keys) = about.keys {
        text += &format!("  {:<24} {keys} keys\n", "state");
    }
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::Refused(format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

/// Makes a data directory of a backup.
pub fn restore(args: &RestoreArgs) -> ExitCode {
    match backup::restore(&args.backup, &args.data) {
        Ok(about) => client::exit(say(&args.data, "has", &about)),
        Err(failure) => fail(IO, failure.to_string()),
    }
}

/// Asks for a checkpoint, and prints its number.
pub fn savepoint(args: &SavepointArgs) -> ExitCode {
    #[derive(Deserialize)]
    struct Made {
        number: u64,
    }
    client::exit(Client::of(&args.service).and_then(|client| {
        let made: Made = client.post("/v1/savepoint", &json!({}), None)?;
        let written = writeln!(io::stdout(), "{}", made.number);
        written.map_err(|error| Failed::Refused(format!("cannot write: {error}")))
    }))
}
