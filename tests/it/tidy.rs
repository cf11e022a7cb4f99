//! House rules that no compiler checks: which module may use which, the length of files, first lines, and what the pure
//! modules must not touch. Reads the source; a broken rule is named with its file and line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module of `src/` and those that it may use besides itself. Whoever adds a row or an entry changes the architecture:
/// `ARCHITECTURE.md` has the same table.
const MODULES: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "api",
            "pipeline",
            "connect",
            "engine",
            "ingest",
            "pattern",
            "config",
            "journal",
            "event",
            "diagnostic",
        ],
    ),
    ("api", &["config", "pipeline", "engine", "pattern", "journal", "event", "diagnostic"]),
    ("pipeline", &["config", "connect", "state", "engine", "ingest", "pattern", "journal", "event"]),
    ("connect", &["engine", "event"]),
    ("engine", &["pattern", "event"]),
    ("ingest", &["event"]),
    ("pattern", &["event", "diagnostic"]),
    ("config", &["event", "diagnostic"]),
    ("state", &[]),
    ("journal", &[]),
    ("event", &[]),
    ("diagnostic", &[]),
];

/// The same for the modules of `src/pattern/`.
const PATTERN_MODULES: &[(&str, &[&str])] = &[
    ("explain", &["nfa", "check", "print", "plan", "expr", "ast"]),
    ("check", &["parse", "print", "ast", "plan", "expr", "function", "code"]),
    ("print", &["parse", "ast"]),
    ("parse", &["ast", "code"]),
    ("nfa", &["plan", "expr", "ast"]),
    ("eval", &["function", "numeric", "expr", "plan", "ast"]),
    ("plan", &["ast", "expr"]),
    ("expr", &["ast", "plan", "function"]),
    ("spanless", &["ast"]),
    ("ast", &[]),
    ("code", &[]),
    ("function", &["numeric"]),
    ("numeric", &[]),
];

const LINES_MAX: usize = 800;

/// A source file: its path from the package's root with `/`, and its lines.
struct Source {
    path: String,
    lines: Vec<String>,
}

impl Source {
    /// The lines of the program itself with their numbers: without comments and without the tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.lines.iter().enumerate().map(|(i, line)| (i + 1, line.as_str()));
        numbered
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The same, with a `use` that goes over several lines put into one.
    fn statements(&self) -> Vec<(usize, String)> {
        let mut statements: Vec<(usize, String)> = Vec::new();
        let mut open = false;
        for (number, line) in self.code() {
            match statements.last_mut() {
                Some((_, use_so_far)) if open => use_so_far.push_str(line.trim()),
                _ => statements.push((number, line.to_owned())),
            }
            let begins = line.trim_start().trim_start_matches("pub ").starts_with("use ");
            open = (open || begins) && !line.contains(';');
        }
        statements
    }

    /// The module of a folder of `src/` that this file belongs to: `cli` for `src/cli/check.rs` and `src/cli.rs`.
    fn module_in(&self, folder: &str) -> Option<&str> {
        let first = self.path.strip_prefix(folder)?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|name| !["mod", "lib", "main"].contains(name))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let source = |path: PathBuf| Source {
        path: path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"),
        lines: fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect(),
    };
    paths.into_iter().map(source).collect()
}

/// Fails with all broken rules, one a line.
fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// The names that stand right after `prefix` in a line: `crate::event` gives `event`, and `crate::{event, engine::x}`
/// gives both.
fn names_after(line: &str, prefix: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &line[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => names.push(name(rest)),
            Some(list) => {
                let mut depth = 0;
                let parts = list.split(|c: char| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0 || (depth == 0 && c == ',')
                });
                names.extend(parts.map(name).filter(|name| !name.is_empty()));
            }
        }
    }
    names.retain(|name| name.starts_with(|c: char| c.is_lowercase()) && name != "self");
    names
}

#[test]
fn names_are_found_in_all_forms_of_use() {
    let lines =
        ["use crate::{", "    // why", "    engine::x,", "    event,", "};", "fn f() {"].map(str::to_owned);
    let source = Source { path: "src/x.rs".to_owned(), lines: lines.to_vec() };
    assert_eq!(
        source.statements(),
        [(1, "use crate::{engine::x,event,};".to_owned()), (6, "fn f() {".to_owned())]
    );
    assert_eq!(names_after("use crate::event::Value;", "crate::"), ["event"]);
    assert_eq!(names_after("use crate::{engine::{a, b}, event};", "crate::"), ["engine", "event"]);
    assert_eq!(
        names_after("let x: crate::event::Value = crate::pattern::f();", "crate::"),
        ["event", "pattern"]
    );
    assert_eq!(names_after("use super::{ast, Thing};", "super::"), ["ast"]);
    assert_eq!(names_after("othercrate::event", "crate::"), [""; 0]);
}

/// Uses of modules of `folder` by each other that `table` does not allow. `prefixes` say how such a module is named from
/// a file: the text before its name, given the file's path.
fn uses_against(
    table: &[(&str, &[&str])],
    folder: &str,
    prefixes: impl Fn(&Source) -> Vec<&'static str>,
) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let Some(module) = source.module_in(folder) else { continue };
        let Some(may_use) = allowed.get(module) else {
            broken.push(format!("{}: {folder}{module} is not in the table of modules", source.path));
            continue;
        };
        for (number, line) in source.statements() {
            for name in prefixes(&source).into_iter().flat_map(|prefix| names_after(&line, prefix)) {
                if name != module && allowed.contains_key(name.as_str()) && !may_use.contains(&name.as_str())
                {
                    broken.push(format!("{}:{number}: {module} may not use {name}", source.path));
                }
            }
        }
    }
    broken
}

#[test]
fn modules_use_only_those_below_them() {
    assert_none(uses_against(MODULES, "src/", |_| vec!["crate::"]));
    assert_none(uses_against(PATTERN_MODULES, "src/pattern/", |source| {
        let depth = source.path.matches('/').count() - 2;
        let from_inside = match (depth, source.path.ends_with("/mod.rs")) {
            (0, _) | (1, true) => "super::",
            _ => "super::super::",
        };
        vec!["crate::pattern::", from_inside]
    }));
}

#[test]
fn the_tables_have_no_loops() {
    // A module may use only those further down its table, but for the two halves of a plan, which are one thing.
    for table in [MODULES, PATTERN_MODULES] {
        for (rank, (module, may_use)) in table.iter().enumerate() {
            for used in *may_use {
                let below = table.iter().position(|(name, _)| name == used);
                assert!(below > Some(rank) || (*module, *used) == ("expr", "plan"), "{module} uses {used}");
            }
        }
    }
}

#[test]
fn files_are_short_and_say_first_what_they_are() {
    let mut broken = Vec::new();
    for source in sources() {
        if source.lines.len() > LINES_MAX {
            broken.push(format!("{}: {} lines, {LINES_MAX} are enough", source.path, source.lines.len()));
        }
        if !source.lines.first().is_some_and(|line| line.starts_with("//! ")) {
            broken.push(format!("{}: the first line does not say what the file is (`//! …`)", source.path));
        }
    }
    assert_none(broken);
}

#[test]
fn only_the_command_line_prints() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.module_in("src/") != Some("cli")) {
        for (number, line) in source.code() {
            for word in ["println!", "eprintln!", "print!(", "eprint!(", "dbg!("] {
                if line.contains(word) {
                    broken.push(format!("{}:{number}: {word} outside the command line", source.path));
                }
            }
        }
    }
    assert_none(broken);
}

#[test]
fn the_pure_modules_have_no_clock_no_threads_and_no_files() {
    let forbidden = [
        "Instant",
        "SystemTime",
        "Utc::now",
        "std::thread",
        "std::fs",
        "std::env",
        "crossbeam",
        "TcpStream",
        "UdpSocket",
    ];
    let mut broken = Vec::new();
    for source in sources() {
        if !source
            .module_in("src/")
            .is_some_and(|module| ["diagnostic", "event", "pattern", "ingest", "engine"].contains(&module))
        {
            continue;
        }
        for (number, line) in source.code() {
            for word in forbidden {
                if line.contains(word) {
                    broken.push(format!("{}:{number}: {word} in a pure module", source.path));
                }
            }
        }
    }
    assert_none(broken);
}
