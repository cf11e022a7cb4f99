//! Opens a store: looks at both directories and their witnesses, and decides which one to go on with. What is damaged
//! is moved aside, never deleted.

use super::checkpoint::{Chain, newest_chain};
use super::disk;
use super::error::Error;
use super::generation::{Generation, Side};
use super::manifest::Manifest;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found at opening and what was chosen, for the log.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Opened {
    /// The newest checkpoint.
    pub newest: Option<u64>,
    /// The directory that holds it.
    pub directory: Option<&'static str>,
    /// The newest checkpoint of the other directory, which shares no file with the first.
    pub fallback: Option<u64>,
    /// Damage, and what was done about it: a sentence each.
    pub warnings: Vec<String>,
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.newest, self.directory) {
            (Some(number), Some(directory)) => write!(f, "newest checkpoint {number} in {directory}/")?,
            _ => write!(f, "no checkpoint yet")?,
        }
        if let Some(number) = self.fallback {
            write!(f, ", fallback {number} in the other directory")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "; {warning}"))
    }
}

/// What is to be gone on with.
#[derive(Default)]
pub(super) struct Found {
    pub(super) current: Option<Arc<Generation>>,
    pub(super) chain: Chain,
    pub(super) fallback: Option<Arc<Generation>>,
    pub(super) fallback_chain: Chain,
    pub(super) next_number: u64,
    /// The current directory has lost something: it is to be left soon.
    pub(super) damaged: bool,
}

/// What a witness says.
enum Witness {
    Missing,
    Names(Manifest),
    Damaged(String),
}

/// What one of the directories holds.
struct Inspection {
    side: Side,
    generation: Option<Arc<Generation>>,
    chain: Chain,
    witness: Witness,
    next_number: u64,
    /// What is wrong with it.
    problems: Vec<String>,
    notes: Vec<String>,
}

impl Inspection {
    fn newest(&self) -> Option<u64> {
        self.chain.last().map(|checkpoint| checkpoint.manifest.number)
    }

    /// The newest checkpoint that was promised to be there.
    fn promised(&self) -> Option<u64> {
        match &self.witness {
            Witness::Names(manifest) => Some(manifest.number),
            _ => None,
        }
    }

    /// Whether there is a checkpoint, and none that is missing.
    fn whole(&self) -> bool {
        self.problems.is_empty() && self.newest().is_some()
    }

    /// Whether there is a sign that a checkpoint was here.
    fn had_any(&self) -> bool {
        !matches!(self.witness, Witness::Missing) || !self.chain.is_empty() || !self.problems.is_empty()
    }
}

/// Looks at the directories and chooses.
pub(super) fn open(root: &Path) -> Result<(Found, Opened), Error> {
    fs::create_dir_all(root).map_err(Error::io("create", root))?;
    disk::sync_parent(root)?;
    let [a, b] = Side::BOTH.map(|side| inspect(root, side));
    let (a, b) = (a?, b?);
    let highest = highest_aside(root)?;
    let next_number = highest.max(a.next_number).max(b.next_number).max(1);
    let mut opened = Opened::default();
    opened.warnings.extend(a.notes.iter().chain(&b.notes).cloned());
    // The one that has, or had, the newest checkpoint comes first.
    let rank = |inspection: &Inspection| inspection.newest().max(inspection.promised());
    let (mut first, mut second) = if rank(&b) > rank(&a) { (b, a) } else { (a, b) };
    if !first.whole() && (second.whole() || second.newest() > first.newest()) {
        (first, second) = (second, first);
    }
    if first.newest().is_none() {
        let witnessed = [&first, &second].iter().any(|one| !matches!(one.witness, Witness::Missing));
        let lines: Vec<String> = [&first, &second].iter().flat_map(|one| one.describe()).collect();
        if witnessed {
            return Err(Error::NothingWhole { path: root.to_owned(), found: lines });
        }
        // Nothing was ever promised: the store was being made for the first time.
        for inspection in [first, second] {
            if inspection.had_any() {
                opened.warnings.push(set_aside(root, inspection.side, next_number)?);
            }
        }
        return Ok((Found { next_number, ..Found::default() }, opened));
    }
    let damaged = !first.problems.is_empty();
    opened.warnings.append(&mut first.problems);
    let second_problems = std::mem::take(&mut second.problems);
    let (side, witnessed) = (second.side, !matches!(second.witness, Witness::Missing));
    let (mut fallback, mut fallback_chain) = (second.generation.take(), std::mem::take(&mut second.chain));
    if !second_problems.is_empty() && (witnessed || !fallback_chain.is_empty()) {
        opened.warnings.extend(second_problems);
        (fallback, fallback_chain) = (None, Chain::new());
        opened.warnings.push(set_aside(root, side, next_number)?);
    }
    opened.newest = first.newest();
    opened.directory = Some(first.side.name());
    opened.fallback = fallback_chain.last().map(|checkpoint| checkpoint.manifest.number);
    // A process that was killed may have left what it wrote to the operating system, the witness too.
    if let (Some(generation), Some(newest)) = (&first.generation, first.chain.last()) {
        generation.sync()?;
        disk::sync_parent(&generation.path)?;
        if first.promised() != Some(newest.manifest.number) {
            disk::replace(&first.side.witness(root), &newest.manifest.to_bytes(root)?)?;
        }
    }
    let found = Found {
        current: first.generation,
        chain: first.chain,
        fallback,
        fallback_chain,
        next_number,
        damaged,
    };
    Ok((found, opened))
}

fn inspect(root: &Path, side: Side) -> Result<Inspection, Error> {
    let witness_path = side.witness(root);
    let witness = match fs::read(&witness_path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Witness::Missing,
        Err(error) => return Err(Error::io("read", &witness_path)(error)),
        Ok(bytes) => match Manifest::from_bytes(&bytes, &witness_path) {
            Ok(manifest) => Witness::Names(manifest),
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => Witness::Damaged(error.to_string()),
        },
    };
    let mut inspection = Inspection {
        side,
        generation: None,
        chain: Chain::new(),
        witness,
        next_number: 0,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    inspection.next_number = inspection.promised().map_or(0, |number| number + 1);
    let path = side.dir(root);
    if !path.is_dir() {
        if inspection.had_any() {
            inspection.problems.push(format!("{} is not there", path.display()));
        }
        return Ok(inspection);
    }
    inspection.look(root)?;
    if !inspection.problems.is_empty() {
        // sled's snapshot of its page table is the file that breaks most often, and it can do without.
        let problems = std::mem::take(&mut inspection.problems);
        (inspection.generation, inspection.chain) = (None, Chain::new());
        if Generation::set_snapshots_aside(root, side)? {
            inspection.look(root)?;
            let found = problems.join("; ");
            if inspection.problems.is_empty() {
                inspection.notes.push(format!("{found}; without the snapshot of its pages it is whole"));
            }
        } else {
            inspection.look(root)?;
        }
        if !inspection.problems.is_empty() {
            inspection.problems = problems;
        }
    }
    if let Witness::Damaged(why) = &inspection.witness {
        inspection.notes.push(why.clone());
    }
    Ok(inspection)
}

impl Inspection {
    /// Opens the directory and follows its manifests.
    fn look(&mut self, root: &Path) -> Result<(), Error> {
        let path = self.side.dir(root);
        let looked = Generation::open(root, self.side).and_then(|generation| {
            let (chain, problems) = newest_chain(&generation)?;
            Ok((generation.next_number()?, generation, chain, problems))
        });
        match looked {
            Ok((next_number, generation, chain, problems)) => {
                self.generation = Some(generation);
                self.chain = chain;
                self.problems = problems;
                let behind = self.newest().map_or(0, |number| number + 1);
                self.next_number = self.next_number.max(next_number).max(behind);
            }
            Err(error) if error.is_damage() => self.problems.push(error.to_string()),
            Err(error) => return Err(error),
        }
        if let Some(promised) = self.promised().filter(|promised| self.newest() < Some(*promised)) {
            self.problems.push(format!("{} has lost checkpoint {promised}", path.display()));
        }
        Ok(())
    }

    fn describe(&self) -> Vec<String> {
        let mut lines = self.problems.clone();
        match &self.witness {
            Witness::Missing => lines.push(format!("manifest-{}.json is not there", self.side.name())),
            Witness::Names(manifest) => {
                lines.push(format!(
                    "manifest-{}.json names checkpoint {}",
                    self.side.name(),
                    manifest.number
                ));
            }
            Witness::Damaged(why) => lines.push(why.clone()),
        }
        lines
    }
}

/// Gives a directory and its witness a name that nothing reads, but people; says so in a sentence.
pub(super) fn set_aside(root: &Path, side: Side, next_number: u64) -> Result<String, Error> {
    let free = |try_: u32| {
        let again = if try_ == 0 { String::new() } else { format!("-{try_}") };
        let name = root.join(format!("{}.aside-{next_number}{again}", side.name()));
        (!name.exists()).then_some(name)
    };
    let name: PathBuf = (0..).find_map(free).unwrap_or_default();
    disk::rename(&side.dir(root), &name)?;
    let mut witness = name.clone().into_os_string();
    witness.push(".json");
    disk::rename(&side.witness(root), Path::new(&witness))?;
    Ok(format!("{} was moved to {}", side.dir(root).display(), name.display()))
}

/// The number after the last one that was known when a directory was moved aside.
fn highest_aside(root: &Path) -> Result<u64, Error> {
    let mut highest = 0;
    for entry in fs::read_dir(root).map_err(Error::io("list", root))? {
        let name = entry.map_err(Error::io("list", root))?.file_name();
        let number = name.to_str().and_then(|name| name.split_once(".aside-")).and_then(|(_, number)| {
            number.split(|char: char| !char.is_ascii_digit()).next().and_then(|number| number.parse().ok())
        });
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest)
}
