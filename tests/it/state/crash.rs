//! A process that writes checkpoints is killed, or the power is cut: whatever it acknowledged is there afterwards.

use super::model::Random;
use super::{Entries, OPTIONS, loaded};
use crate::powerloss::{self, Disk, Recording};
use sequor::state::{Entry, SledStore, StateStore};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const DIR: &str = "SEQUOR_TEST_STATE_DIR";
const STEPS: &str = "SEQUOR_TEST_STATE_STEPS";
const KEYS: u64 = 300;

/// The value of a key at a step that touches it; none is a tombstone.
fn value(step: u64, key: u64) -> Option<Vec<u8>> {
    let mut random = Random::new(step << 20 | key);
    let length = match random.below(100) {
        0..15 => return None,
        15 => 40_000,
        16 => 90_000,
        _ => random.below(900),
    };
    Some((0..length).map(|_| random.next() as u8).collect())
}

fn touched(step: u64) -> impl Iterator<Item = u64> {
    (0..40).map(move |at| (step * 31 + at * 7) % KEYS)
}

/// The entries after a step.
fn expected(step: u64) -> Entries {
    let mut entries = Entries::new();
    // Before that every key has been touched again.
    for step in step.saturating_sub(KEYS).max(1)..=step {
        for key in touched(step) {
            match value(step, key) {
                Some(value) => entries.insert((1, key.to_le_bytes().to_vec()), value),
                None => entries.remove(&(1, key.to_le_bytes().to_vec())),
            };
        }
    }
    entries
}

fn step_of(store: &SledStore) -> u64 {
    store.latest().map_or(0, |manifest| manifest.meta["step"].as_u64().unwrap())
}

/// Writes the checkpoint of a step.
fn write(store: &SledStore, step: u64) {
    let full = store.latest().is_none() || store.wants_full() && step.is_multiple_of(2);
    if !full && store.wants_full() {
        store.compact().unwrap();
    }
    let mut writer = store.begin(full).unwrap();
    if full {
        for ((pattern, key), value) in expected(step) {
            writer.put(Entry { pattern, key: &key, value: Some(&value) }).unwrap();
        }
    } else {
        for key in touched(step) {
            let value = value(step, key);
            let entry = Entry { pattern: 1, key: &key.to_le_bytes(), value: value.as_deref() };
            writer.put(entry).unwrap();
        }
    }
    writer.commit(json!({ "step": step })).unwrap();
}

#[test]
#[ignore = "a program that the tests below start"]
fn writes_checkpoints() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let steps: u64 = std::env::var(STEPS).unwrap().parse().unwrap();
    let store = SledStore::open(Path::new(&dir), OPTIONS).unwrap().0;
    let first = step_of(&store) + 1;
    for step in first..first + steps {
        write(&store, step);
        let mut out = std::io::stdout();
        // One write, so that it is acknowledged as a whole.
        out.write_all(format!("A {step}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn program(dir: &Path, steps: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("{}::writes_checkpoints", module_path!().split_once("::").unwrap().1);
    command.args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir).env(STEPS, steps.to_string());
    command
}

fn last_acknowledged<'a>(lines: impl Iterator<Item = &'a str>) -> u64 {
    lines.filter_map(|line| line.split_once("A ")?.1.parse().ok()).max().unwrap_or(0)
}

/// The step that a directory is at, if all that it says of it is true.
fn check(dir: &Path, acknowledged: u64) -> Result<u64, String> {
    let (store, opened) = SledStore::open(dir, OPTIONS).map_err(|error| error.to_string())?;
    let step = step_of(&store);
    if step < acknowledged {
        return Err(format!("at step {step}, {acknowledged} was acknowledged; {opened}"));
    }
    let mut entries = Entries::new();
    if let Some(manifest) = store.latest() {
        let mut take = |entry: Entry<'_>| {
            entries.insert((entry.pattern, entry.key.to_vec()), entry.value.unwrap_or_default().to_vec());
        };
        store.load(manifest.number, &mut take).map_err(|error| format!("step {step}: {error}; {opened}"))?;
    }
    if entries != expected(step) {
        return Err(format!("step {step} has other entries; {opened}"));
    }
    Ok(step)
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("state");
    let mut random = Random::new(9);
    let mut last = 0;
    for _ in 0..20 {
        let mut child = program(&root, 100_000).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + random.below(15);
        let mut acknowledged: Vec<String> = Vec::new();
        while (acknowledged.iter().filter(|line| line.contains("A ")).count() as u64) < wanted {
            acknowledged.push(lines.next().unwrap().unwrap());
        }
        sleep(Duration::from_micros(random.below(30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok));
        let acknowledged = last_acknowledged(acknowledged.iter().map(String::as_str));
        assert!(acknowledged >= last + wanted);
        last = check(&root, acknowledged).unwrap();
    }
    let store = SledStore::open(&root, OPTIONS).unwrap().0;
    assert_eq!(loaded(&store, store.latest().unwrap().number), expected(last));
}

/// The power is cut at random moments of recorded programs. Gives how many states were bad, and of the first why.
fn power_cuts(library: &Path, cuts: u64, disks: &[Disk]) -> (u64, Vec<String>) {
    const CUTS_OF_A_RECORDING: u64 = 100;
    let mut random = Random::new(cuts);
    let mut bad = Vec::new();
    let mut recording = None;
    for cut in 0..cuts {
        let dir = tempfile::tempdir().unwrap();
        if cut % CUTS_OF_A_RECORDING == 0 {
            // Long enough for several turns of the directories; begins with some that are there already.
            let root = dir.path().canonicalize().unwrap().join("recorded");
            recording = Some(Recording::of(&mut program(&root, 30), library, &root));
        }
        let disk = disks[(cut % disks.len() as u64) as usize];
        let state = recording.as_ref().unwrap().cut(disk, &mut |bound| random.below(bound));
        let root = dir.path().join("state");
        state.write_to(&root);
        let acknowledged = last_acknowledged(state.acknowledged.lines());
        assert!(acknowledged > 0);
        if let Err(why) = check(&root, acknowledged) {
            bad.push(format!("cut {cut}, {disk:?}: {why}"));
        }
    }
    (bad.len() as u64, bad)
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let cuts = std::env::var("SEQUOR_POWER_CUTS").map_or(200, |number| number.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = powerloss::recorder(dir.path()) else {
        println!("skipped: there is no C compiler (cc) to build the recorder of file operations with");
        return;
    };
    let (bad, why) = power_cuts(&library, cuts, &[Disk::Honest, Disk::TrustsRanges]);
    assert!(bad == 0, "{bad} of {cuts} states are bad:\n{}", why.join("\n"));
    // A disk that ignores syncs must lose something, or the test proves nothing.
    let (bad, _) = power_cuts(&library, 40, &[Disk::IgnoresSyncs]);
    assert!(bad >= 20, "only {bad} of 40 states are bad on a disk that ignores syncs");
}
