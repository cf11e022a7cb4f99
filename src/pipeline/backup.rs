//! A backup as a file: an archive (tar, compressed with zstd) of a folder, and what is told of it at its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, Entry, EntryType, Header};

use super::failure::Failure;
use crate::journal;
use crate::state::{SledStore, StateStore};

/// The version of the layout.
const FORMAT: u32 = 1;
/// The last entry of an archive: where it is, the archive is whole.
const ABOUT: &str = "backup.json";
/// The last entry of one that is not, with the reason.
const ERROR: &str = "error.txt";
/// How hard it is compressed: most of it is compressed already.
const LEVEL: i32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    format: u32,
    /// The version of the program that made it.
    pub version: String,
    /// When it was made, in epoch milliseconds.
    pub at: i64,
    /// By folder, how far each log goes.
    pub logs: BTreeMap<String, Extent>,
    /// How many keys its checkpoint has, where it has one.
    pub keys: Option<u64>,
}

/// The numbers of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The first.
    pub first: u64,
    /// The one after the last.
    pub next: u64,
}

impl About {
    pub(super) fn new(at: i64, logs: BTreeMap<String, Extent>, keys: Option<u64>) -> About {
        About { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), at, logs, keys }
    }
}

fn read_failed(archive: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    |error| Failure::Read(format!("`{}`", archive.display()), error)
}

fn unfit(archive: &Path, why: impl Into<String>) -> Failure {
    Failure::Export(archive.display().to_string(), why.into())
}

/// Writes all files of a folder, and what is told of them; or why there are none.
pub(super) fn pack(folder: &Path, about: Result<&About, &Failure>, to: impl Write) -> io::Result<()> {
    let mut compressed = zstd::Encoder::new(to, LEVEL)?;
    compressed.include_checksum(true)?;
    let mut archive = Builder::new(compressed);
    let (name, last) = match about {
        Ok(about) => {
            for path in files(folder)? {
                let name = path.strip_prefix(folder).map_err(io::Error::other)?;
                archive.append_path_with_name(&path, name)?;
            }
            (ABOUT, serde_json::to_vec_pretty(about)?)
        }
        Err(failure) => (ERROR, failure.to_string().into_bytes()),
    };
    let mut header = Header::new_gnu();
    header.set_size(last.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, &last[..])?;
    archive.into_inner()?.finish()?.flush()
}

/// All files below a folder, in order.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// Goes through an archive and gives each file with its path to `take`; gives what is told of them.
fn unpack(
    archive: &Path,
    mut take: impl FnMut(&Path, &mut Entry<'_, zstd::Decoder<'static, io::BufReader<File>>>) -> io::Result<()>,
) -> Result<About, Failure> {
    let failed = read_failed(archive);
    let decoder = File::open(archive).and_then(zstd::Decoder::new).map_err(&failed)?;
    let mut files = Archive::new(decoder);
    let mut about = None;
    for entry in files.entries().map_err(&failed)? {
        let mut entry = entry.map_err(&failed)?;
        let path = entry.path().map_err(&failed)?.into_owned();
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if about.is_some() || entry.header().entry_type() != EntryType::Regular || !is_plain {
            return Err(unfit(archive, format!("`{}` does not belong into a backup", path.display())));
        }
        let mut text = String::new();
        match path.to_str() {
            Some(ERROR) => {
                entry.read_to_string(&mut text).map_err(&failed)?;
                return Err(unfit(archive, format!("the service could not finish it: {text}")));
            }
            Some(ABOUT) => {
                entry.read_to_string(&mut text).map_err(&failed)?;
                let told: About =
                    serde_json::from_str(&text).map_err(|error| unfit(archive, error.to_string()))?;
                if told.format != FORMAT {
                    return Err(unfit(archive, format!("it has format {}: use a newer sequor", told.format)));
                }
                about = Some(told);
            }
            _ => take(&path, &mut entry).map_err(&failed)?,
        }
    }
    // To the end, so that its checksum is compared.
    io::copy(&mut files.into_inner(), &mut io::sink()).map_err(&failed)?;
    about.ok_or_else(|| unfit(archive, "it is not whole: make another one"))
}

/// Reads a backup to its end.
pub fn check(archive: &Path) -> Result<About, Failure> {
    unpack(archive, |_, entry| io::copy(entry, &mut io::sink()).map(|_| ()))
}

/// Makes a data directory of a backup. There must be none, or an empty one; it is there as a whole or not at all.
pub fn restore(archive: &Path, data: &Path) -> Result<About, Failure> {
    let write = |path: &Path, error: io::Error| {
        Failure::Export(path.display().to_string(), format!("cannot be written: {error}"))
    };
    match fs::read_dir(data).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            let why = "it is not empty: give another data directory, or move it away";
            return Err(Failure::Export(data.display().to_string(), why.to_owned()));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(data, error)),
        _ => {}
    }
    let name = data.file_name().ok_or_else(|| write(data, io::ErrorKind::InvalidFilename.into()))?;
    let mut beside = name.to_owned();
    beside.push(".restoring");
    let beside = data.with_file_name(beside);
    match fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(&beside, error)),
        _ => {}
    }
    fs::create_dir_all(&beside).map_err(|error| write(&beside, error))?;
    let about = unpack(archive, |path, entry| {
        let path = beside.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&beside))?;
        let mut file = File::create_new(&path)?;
        if let Ok(mode) = entry.header().mode() {
            set_mode(&file, mode)?;
        }
        io::copy(entry, &mut file)?;
        file.sync_all()
    });
    let about = about.and_then(|about| verify(archive, &beside, &about).map(|()| about));
    let about = about.inspect_err(|_| _ = fs::remove_dir_all(&beside))?;
    let in_place = sync_folders(&beside).and_then(|()| {
        fs::rename(&beside, data)?;
        let above = data.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()
    });
    in_place.map_err(|error| write(data, error))?;
    Ok(about)
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode & 0o777))
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Reads all that was restored, and compares it with what is told of it.
fn verify(archive: &Path, folder: &Path, about: &About) -> Result<(), Failure> {
    for (log, extent) in &about.logs {
        let journal::Verified { first, next, torn_bytes, .. } = journal::verify(&folder.join(log))
            .map_err(|error| unfit(archive, format!("the log `{log}` is damaged: {error}")))?;
        if (Extent { first, next }, torn_bytes) != (*extent, 0) {
            return Err(unfit(archive, format!("the log `{log}` is not what it is said to be")));
        }
    }
    let keys = match about.keys {
        None => None,
        Some(_) => {
            let (store, _) =
                SledStore::open(&folder.join("state"), Default::default()).map_err(Failure::State)?;
            let mut keys = 0;
            match store.latest() {
                None => None,
                Some(manifest) => {
                    store.load(manifest.number, &mut |_| keys += 1).map_err(Failure::State)?;
                    Some(keys)
                }
            }
        }
    };
    if keys != about.keys {
        return Err(unfit(archive, "the checkpoint is not what it is said to be"));
    }
    Ok(())
}
