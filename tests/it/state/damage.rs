//! Files are damaged, cut and lost: it is noticed, or harmless, and a wrong value is never given for a right one.

use super::model::{Model, Random};
use super::{Entries, OPTIONS, open};
use sequor::state::{Error, SledStore, StateStore};
use std::fs;
use std::path::{Path, PathBuf};

/// A closed store in which both directories have checkpoints, and what it should hold.
fn made(root: &Path) -> Model {
    let mut model = Model::new(77);
    let store = open(root);
    let mut fulls = 0;
    let mut since = 0;
    while fulls < 3 || since < 4 {
        model.change();
        model.checkpoint(&store);
        let full = store.latest().unwrap().is_full();
        fulls += u32::from(full);
        since = if full { 0 } else { since + 1 };
    }
    model
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
    into.sort();
}

/// Damages a file in one of several ways; says how.
fn damage(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).unwrap();
    let len = bytes.len().max(1) as u64;
    let at = random.below(len) as usize;
    let how = match random.below(7) {
        0 => {
            fs::remove_file(path).unwrap();
            return "removed".to_owned();
        }
        1 => {
            bytes.truncate(at);
            "cut anywhere"
        }
        2 => {
            bytes.truncate(bytes.len().saturating_sub(1024));
            "cut by 1 KB"
        }
        3 => {
            let end = bytes.len().min(at + 4096);
            bytes[at.min(end)..end].fill(0);
            "4 KB of zeros"
        }
        4 => {
            for _ in 0..20 {
                let at = random.below(len) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            "20 flipped bits"
        }
        5 => {
            bytes.clear();
            "emptied"
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
            "one flipped bit"
        }
    };
    fs::write(path, bytes).unwrap();
    format!("{how} (at {at} of {len})")
}

/// How a store with damage answered.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Clone, Copy)]
enum Answer {
    Harmless,
    Noticed,
    NothingLeft,
}

/// Asks for all that a damaged store can be asked for; it panics where something wrong is given for right.
fn answer(root: &Path, model: &Model, what: &str) -> Answer {
    let newest = *model.committed.keys().max().unwrap();
    let (store, opened) = match SledStore::open(root, OPTIONS) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(matches!(error, Error::NothingWhole { .. }), "{what}: {error}");
            return Answer::NothingLeft;
        }
    };
    let mut noticed = !opened.warnings.is_empty();
    for ((pattern, key), value) in &model.entries {
        match store.get(*pattern, key) {
            Err(_) => noticed = true,
            Ok(found) if store.latest().unwrap().number == newest => {
                assert!(
                    found.as_ref() == Some(value),
                    "{what}: an entry is wrong, found {:?}",
                    found.map(|v| v.len())
                );
            }
            Ok(_) => {}
        }
    }
    for manifest in store.candidates() {
        let mut entries = Entries::new();
        let loaded = store.load(manifest.number, &mut |entry| {
            entries.insert((entry.pattern, entry.key.to_vec()), entry.value.unwrap().to_vec());
        });
        match loaded {
            Err(_) => noticed = true,
            Ok(_) => {
                assert!(entries == model.committed[&manifest.number], "{what}: {} is wrong", manifest.number);
                assert!(noticed || manifest.number == newest, "{what}: {newest} was lost in silence");
                // Work goes on from here.
                store.resume(Some(manifest.number)).unwrap();
                let mut going_on = Model::new(1);
                going_on.entries = entries;
                going_on.committed = model.committed.clone();
                going_on.change();
                let number = going_on.checkpoint_full(&store);
                assert!(number > newest, "{what}: checkpoint {number} was there before");
                drop(store);
                let store = open(root);
                assert_eq!(store.latest().unwrap().number, number, "{what}");
                return if noticed { Answer::Noticed } else { Answer::Harmless };
            }
        }
    }
    Answer::NothingLeft
}

#[test]
fn damage_of_one_file_is_noticed_or_harmless_and_the_other_directory_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let model = made(&whole);
    let mut random = Random::new(5);
    let mut all = Vec::new();
    files(&whole, &mut all);
    let mut answers = std::collections::BTreeMap::new();
    for trial in 0..150u64 {
        let root = dir.path().join(format!("{trial}"));
        copy(&whole, &root);
        // Each file in turn, and those that hold the entries more often.
        let file = if trial % 3 == 0 {
            all[trial as usize / 3 % all.len()].strip_prefix(&whole).unwrap().to_owned()
        } else {
            PathBuf::from(["a/db", "b/db"][trial as usize % 2])
        };
        let what = format!("trial {trial}: {} {}", file.display(), damage(&root.join(&file), &mut random));
        let answer = answer(&root, &model, &what);
        assert!(answer != Answer::NothingLeft, "{what}: nothing is left");
        *answers.entry(answer).or_insert(0) += 1;
        fs::remove_dir_all(&root).unwrap();
    }
    // Damage that does nothing, or that nobody notices, would make this an empty test.
    assert!(answers[&Answer::Noticed] > 40 && answers[&Answer::Harmless] > 10, "{answers:?}");
}

#[test]
fn damage_of_several_files_never_gives_a_wrong_value() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let model = made(&whole);
    let mut random = Random::new(6);
    for trial in 0..60 {
        let root = dir.path().join(format!("{trial}"));
        copy(&whole, &root);
        let mut all = Vec::new();
        files(&root, &mut all);
        let mut what = format!("trial {trial}");
        // Not the witnesses: without them nobody can know that something was there.
        all.retain(|path| path.extension().is_none_or(|extension| extension != "json"));
        for _ in 0..4 {
            let file = &all[random.below(all.len() as u64) as usize];
            if file.exists() {
                what += &format!("; {} {}", file.display(), damage(file, &mut random));
            }
        }
        answer(&root, &model, &what);
        fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn where_nothing_is_whole_the_error_names_the_files_and_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    fs::write(dir.path().join("a/db"), b"").unwrap();
    fs::remove_dir_all(dir.path().join("b")).unwrap();
    let error = SledStore::open(dir.path(), OPTIONS).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::NothingWhole { .. }));
    for part in
        ["a has lost checkpoint", "/b is not there", "manifest-a.json names checkpoint", "from a backup"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(dir.path().join("a/db").exists(), "what is damaged stays");
}

#[test]
fn what_is_damaged_is_moved_aside_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let model = made(dir.path());
    let newest = open(dir.path()).latest().unwrap().number;
    let current = SledStore::open(dir.path(), OPTIONS).unwrap().1.directory.unwrap();
    fs::write(dir.path().join(current).join("db"), b"not a database").unwrap();
    let (store, opened) = SledStore::open(dir.path(), OPTIONS).unwrap();
    let aside = format!("{current}.aside-{}", newest + 1);
    assert!(dir.path().join(&aside).join("db").exists() && dir.path().join(format!("{aside}.json")).exists());
    assert!(opened.to_string().contains(&aside), "{opened}");
    let fallback = store.latest().unwrap().number;
    assert!(fallback < newest && opened.newest == Some(fallback));
    drop(store);
    // The number of the lost checkpoint is not given again, whatever happens to the numbers in the directories.
    let store = open(dir.path());
    assert!(store.begin(true).unwrap().number() > newest);
    assert_eq!(super::loaded(&store, fallback), model.committed[&fallback]);
}

#[test]
fn a_newer_format_is_refused_and_damage_of_the_version_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let current = SledStore::open(dir.path(), OPTIONS).unwrap().1.directory.unwrap();
    let witness = dir.path().join(format!("manifest-{current}.json"));
    let text = fs::read_to_string(&witness).unwrap();
    fs::write(&witness, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    assert!(SledStore::open(dir.path(), OPTIONS).is_ok(), "its checksum says that nobody wrote this");
    let crc32 = crc32fast::hash(b"2{\"anything\":true}");
    fs::write(&witness, format!(r#"{{"version":2,"crc32":{crc32},"manifest":{{"anything":true}}}}"#))
        .unwrap();
    let error = SledStore::open(dir.path(), OPTIONS).err().unwrap();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("use the version of Sequor that wrote it"), "{error}");
}
