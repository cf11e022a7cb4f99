//! A backup of a running service: all that it keeps, as of one moment between two events, while it goes on.
//!
//! The owner says where everything stands. What was answered before that is in the backup; what comes after is not. Matches and
//! rejected lines are copied as far as they are written then: the rest follows from the events and decisions, and is
//! computed when the copy is started. Sinks may be anywhere before that, so how far they are is copied first.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::sync::{Arc, mpsc};

use super::super::backup::{self, About, Extent};
use super::super::failure::Failure;
use super::checkpoint::Cut;
use super::handle::{Handle, Shared};
use super::owner::{Owner, wall_clock};
use super::request::Request;
use crate::journal::{JournalError, Tail};
use crate::state::{Manifest, SledStore, StateStore};

/// How often a backup is begun anew where retention deletes what is being copied.
const ATTEMPTS: usize = 5;

/// Where everything stood.
pub(super) struct Moment {
    control: u64,
    streams: BTreeMap<String, u64>,
    matches: u64,
    rejected: u64,
}

impl Owner {
    pub(super) fn moment(&self) -> Moment {
        let streams = self.merger.streams().iter().zip(&self.streams).map(|(stream, watched)| {
            // What waits for a decision has been answered, too.
            let held = watched.held.back().map(|held| held.first + held.decoded.lines);
            (stream.name.clone(), held.unwrap_or(stream.next).max(stream.next))
        });
        Moment {
            control: self.control.next(),
            streams: streams.collect(),
            matches: self.shared.matches.next(),
            rejected: self.shared.rejected.next(),
        }
    }
}

/// The one backup that may be made at a time.
pub struct Backup {
    shared: Arc<Shared>,
    folder: PathBuf,
}

impl Handle {
    /// Begins a backup; none where another one is being made.
    pub fn backup(&self) -> Option<Backup> {
        let is_taken = self.0.backing_up.swap(true, AcqRel);
        let folder = folder(&self.0.dir);
        (!is_taken).then(|| Backup { shared: Arc::clone(&self.0), folder })
    }
}

/// Where the files of a backup are gathered: beside the logs, so that they can be linked.
fn folder(data: &Path) -> PathBuf {
    data.join("backup")
}

/// Takes away what a backup left behind that was cut off.
pub(super) fn clean(data: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        // What stays is taken away by the next backup or start.
        let _ = clean(&self.shared.dir);
        self.shared.backing_up.store(false, Release);
    }
}

impl Backup {
    /// Writes it, with other logs by name; that something cannot be copied is said in what is written.
    pub fn write(&self, others: &[(&str, &Tail)], to: impl Write) -> io::Result<()> {
        let mut copied = self.copy(others);
        for _ in 1..ATTEMPTS {
            // A checkpoint goes when newer ones are there.
            let is_gone =
                matches!(copied, Err(Failure::State(_) | Failure::Journal(_, JournalError::Pruned { .. })));
            if !is_gone {
                break;
            }
            copied = self.copy(others);
        }
        if let Err(failure) = &copied {
            tracing::error!(%failure, "a backup could not be made");
        }
        backup::pack(&self.folder, copied.as_ref(), to)
    }

    fn copy(&self, others: &[(&str, &Tail)]) -> Result<About, Failure> {
        let written = |error| Failure::Write("backup", error);
        clean(&self.shared.dir).and_then(|()| fs::create_dir(&self.folder)).map_err(written)?;
        self.copy_files().map_err(written)?;
        let checkpoint = self.shared.store.latest();
        let keys = checkpoint.as_ref().map(|manifest| self.copy_checkpoint(manifest)).transpose()?;
        let moment = self.moment()?;
        let mut logs = BTreeMap::new();
        let mut copy = |name: &str, log: &Tail, below: u64| {
            let to = self.folder.join(name);
            fs::create_dir_all(to.parent().unwrap_or(&self.folder)).map_err(written)?;
            let copied = log.copy(&to, below).and_then(|_| Tail::open(&to));
            let copied = copied.map_err(|error| Failure::Journal("a log", error))?;
            logs.insert(name.to_owned(), Extent { first: copied.first(), next: copied.next() });
            Ok::<u64, Failure>(copied.first())
        };
        copy("matches", &self.shared.matches, moment.matches)?;
        copy("rejected", &self.shared.rejected, moment.rejected)?;
        copy("control", &self.shared.control, moment.control)?;
        let needed = checkpoint.and_then(|manifest| serde_json::from_value::<Cut>(manifest.meta).ok());
        for (name, log) in &self.shared.logs {
            let first =
                copy(&format!("streams/{name}"), log, moment.streams.get(name).copied().unwrap_or(0))?;
            let from = needed.as_ref().and_then(|cut| cut.streams.get(name)).map_or(first, |at| at.from);
            if from < first {
                return Err(Failure::Journal("an event log", JournalError::Pruned { from, first }));
            }
        }
        for (name, log) in others {
            copy(name, log, u64::MAX)?;
        }
        let undelivered = self.shared.dir.join("undelivered");
        if undelivered.exists() {
            let log = Tail::open(&undelivered).map_err(|error| Failure::Journal("a log", error))?;
            copy("undelivered", &log, u64::MAX)?;
        }
        Ok(About::new(wall_clock(), logs, keys))
    }

    /// Asks where everything stands.
    fn moment(&self) -> Result<Moment, Failure> {
        let (reply, answer) = mpsc::channel();
        let asked = Request::Moment(Box::new(move |moment| _ = reply.send(moment)));
        let stopping = |_| Failure::Write("backup", io::Error::other("the service is stopping"));
        self.shared.requests.send(asked).map_err(|_| stopping(mpsc::RecvError))?;
        answer.recv().map_err(stopping)
    }

    /// Copies the small files: how far sinks are, and the hashes of tokens.
    fn copy_files(&self) -> io::Result<()> {
        let (from, to) = (self.shared.dir.join("sinks"), self.folder.join("sinks"));
        fs::create_dir(&to)?;
        for entry in fs::read_dir(from)? {
            let path = entry?.path();
            if let (Some("json"), Some(name)) =
                (path.extension().and_then(|end| end.to_str()), path.file_name())
            {
                fs::copy(&path, to.join(name))?;
            }
        }
        let tokens = self.shared.dir.join("tokens.json");
        if tokens.exists() {
            fs::copy(tokens, self.folder.join("tokens.json"))?;
        }
        Ok(())
    }

    /// Copies a checkpoint as one that stands for itself; how many keys it has.
    fn copy_checkpoint(&self, manifest: &Manifest) -> Result<u64, Failure> {
        let copy = || {
            let (store, _) = SledStore::open(&self.folder.join("state"), Default::default())?;
            let mut writer = store.begin(true)?;
            let (mut keys, mut failed) = (0, None);
            self.shared.store.load(manifest.number, &mut |entry| {
                keys += 1;
                if failed.is_none() {
                    failed = writer.put(entry).err();
                }
            })?;
            match failed {
                Some(error) => Err(error),
                None => writer.commit(manifest.meta.clone()).map(|_| keys),
            }
        };
        copy().map_err(Failure::State)
    }
}
