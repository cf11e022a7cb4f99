//! Pattern files on this side: found, read and checked before anything is sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::client::Failed;
use crate::cli::load::Color;
use crate::cli::say;
use crate::pattern::render::Source;
use crate::pattern::{Limits, compile};

/// Files without errors.
pub(super) struct Files(pub(super) Vec<File>);

/// A file and its patterns, by name.
pub(super) struct File {
    pub(super) text: String,
    patterns: Vec<(String, String)>,
}

impl Files {
    /// Reads files, and the `*.seq` of folders and of the folders in them. Says all that is wrong with them.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Files, Failed> {
        let mut found = Vec::new();
        for path in paths {
            find(path, true, &mut found).map_err(Failed::Refused)?;
        }
        let (mut files, mut wrong) = (Vec::new(), 0);
        for path in found {
            let name = path.display().to_string();
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| Failed::Refused(format!("cannot read `{name}`: {error}")))?;
            let compiled = compile(&text, &Limits::default());
            let shown = Source::new(&name, &text).render_all(&compiled.diagnostics, Color::Auto.on());
            if !shown.is_empty() {
                say(shown);
            }
            wrong += compiled.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
            let patterns = compiled.texts(&text).map(|(name, text)| (name.to_owned(), text.to_owned()));
            files.push(File { patterns: patterns.collect(), text });
        }
        match wrong {
            0 => Ok(Files(files)),
            1 => Err(Failed::Refused("1 error in the patterns".into())),
            n => Err(Failed::Refused(format!("{n} errors in the patterns"))),
        }
    }

    /// The text of each pattern.
    pub(super) fn patterns(&self) -> BTreeMap<String, &str> {
        let all = self.0.iter().flat_map(|file| &file.patterns);
        all.map(|(name, text)| (name.clone(), text.as_str())).collect()
    }
}

fn find(path: &Path, is_named: bool, found: &mut Vec<PathBuf>) -> Result<(), String> {
    if !path.is_dir() {
        if is_named || path.extension().is_some_and(|extension| extension == "seq") {
            found.push(path.to_owned());
        }
        return Ok(());
    }
    let unread = |error| format!("cannot read the folder `{}`: {error}", path.display());
    let entries: Result<Vec<PathBuf>, _> =
        fs::read_dir(path).map_err(unread)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(unread)?;
    entries.sort();
    entries.iter().try_for_each(|entry| find(entry, false, found))
}
