//! The documentation keeps its word: its patterns compile, its outputs are what the program prints, its links lead
//! somewhere, and what they tell to type into a shell does what they say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use sequor::pattern::expr::Aggregate;
use sequor::pattern::function::Function;
use sequor::pattern::render::Source;
use sequor::pattern::{Limits, compile};

use crate::serving::{Service, eventually};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages: the text files at the top and those in `docs/`.
fn pages() -> Vec<(PathBuf, String)> {
    let files = ["", "docs"].into_iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let mut pages: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|e| e == "md"));
    pages.sort();
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The blocks of code of a page with what is said after the opening backticks.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// Whether a text is the expected one, in which `…` stands for anything.
fn is_like(text: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        (rest, open) = (&rest[at + part.len()..], part.is_empty());
    }
    open || rest.is_empty()
}

/// The commands of a page's examples, block by block, each with what it prints.
fn commands(text: &str) -> Vec<Vec<(&str, String)>> {
    let mut all = Vec::new();
    for (_, block) in blocks(text).into_iter().filter(|(kind, _)| *kind == "console") {
        let mut commands: Vec<(&str, String)> = Vec::new();
        for line in block.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command, String::new())),
                (None, Some((_, printed))) => *printed += &format!("{line}\n"),
                (None, None) => panic!("a block begins without a command: {block}"),
            }
        }
        all.push(commands);
    }
    all
}

/// Runs all commands of a page's examples, with a service where the page starts one, and compares what they print.
fn follow(text: &str, config: &str) {
    const URL: &str = "http://127.0.0.1:7878";
    let mut service = Service::new(config, &[]);
    for folder in ["patterns", "examples"] {
        symlink(root().join(folder), service.dir.join(folder)).unwrap();
    }
    symlink("data", service.dir.join("sequor-data")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_sequor")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let run = |service: &Service, command: &str| {
        let at_service = match command.starts_with("sequor pattern") {
            true => format!("{command} --url {}", service.url),
            false => command.replace(URL, &service.url),
        };
        let mut shell = Command::new("bash");
        shell.args(["-euc", &at_service]).current_dir(&service.dir).env("PATH", &path).output().unwrap()
    };
    let blocks = commands(text);
    assert!(blocks.iter().map(Vec::len).sum::<usize>() >= 9, "{blocks:?}");
    for block in blocks {
        if block[0].0 == "sequor serve" {
            assert_eq!(block[0].1, format!("listening on {URL}\n"));
            service.restart();
            continue;
        }
        // What is found comes a moment later.
        eventually(&format!("{block:?}"), || {
            block
                .iter()
                .all(|(command, printed)| {
                    let ran = run(&service, command);
                    let said = String::from_utf8(ran.stdout).unwrap();
                    let is_so = ran.status.success() && is_like(said.trim_end(), printed.trim_end());
                    if !is_so {
                        println!("{command}: {}\n{said}{}", ran.status, String::from_utf8_lossy(&ran.stderr));
                    }
                    is_so
                })
                .then_some(())
        });
    }
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    assert!(is_like("ab12cd", "ab…cd") && is_like("abcd", "ab…cd…") && !is_like("abc", "ab"));
    assert!(!is_like("abcd", "b…") && !is_like("abcde", "a…d"));
    follow(&page("README.md"), "");
}

#[test]
fn the_commands_of_the_service_page_do_what_it_says() {
    let text = page("docs/service.md");
    let (_, config) = blocks(&text).into_iter().find(|(kind, _)| *kind == "toml").unwrap();
    follow(&text, config);
}

/// Runs the program in a folder, and gives what it printed.
fn sequor(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sequor")).args(arguments).current_dir(folder).output().unwrap();
    let (printed, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "sequor {arguments:?}: {}\n{printed}\n{said}", output.status);
    printed
}

#[test]
fn patterns_in_pages_compile() {
    let mut count = 0;
    for (path, text) in pages() {
        for (_, block) in blocks(&text) {
            let is_pattern = block.lines().any(|line| line.starts_with("pattern "))
                && block.lines().any(|line| line.starts_with("  match "));
            if !is_pattern {
                continue;
            }
            let compiled = compile(block, &Limits::default());
            let shown =
                Source::new(&path.display().to_string(), block).render_all(&compiled.diagnostics, false);
            assert!(compiled.diagnostics.is_empty(), "{shown}");
            count += compiled.plans.len();
        }
    }
    assert!(count >= 9, "only {count} patterns were found");
}

#[test]
fn patterns_of_the_library_compile_without_a_warning_and_are_canonical() {
    for folder in ["patterns", "patterns/ssh"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "seq") {
                let text = fs::read_to_string(&path).unwrap();
                let diagnostics = compile(&text, &Limits::default()).diagnostics;
                let shown = Source::new(&path.display().to_string(), &text).render_all(&diagnostics, false);
                assert!(diagnostics.is_empty(), "{shown}");
                sequor(root(), &["fmt", "--check", path.to_str().unwrap()]);
            }
        }
    }
}

#[test]
fn the_ssh_page_shows_the_patterns_as_they_are() {
    let text = page("docs/ssh-log.md");
    for name in ["password_guessing", "user_spraying", "break_in_then_guesses"] {
        let pattern = page(&format!("patterns/ssh/{name}.seq"));
        let from = pattern.find("\npattern ").unwrap();
        assert!(text.contains(&format!("```{}```", &pattern[from..])), "{name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let heading = |line: &str| {
                let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                title.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect::<String>()
            };
            let leads = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target)
                        .unwrap()
                        .lines()
                        .any(|l| l.starts_with('#') && heading(l) == anchor));
            if !leads {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_language_page_names_all_functions_and_no_others() {
    let text = page("docs/language.md");
    let section = |title: &str| {
        let from = text.find(&format!("\n### {title}\n")).unwrap() + title.len();
        text[from..].split("\n#").next().unwrap().to_owned()
    };
    let named = |section: &str| -> Vec<String> {
        let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
        let calls =
            rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
        let mut names: Vec<String> =
            calls.filter_map(|call| Some(call.split_once('(')?.0.to_owned())).collect();
        names.sort();
        names.dedup();
        names
    };
    let mut functions: Vec<&str> = Function::ALL.iter().map(|row| row.0).collect();
    functions.sort();
    assert_eq!(named(&section("Functions")), functions);
    let mut aggregates: Vec<&str> = Aggregate::ALL.iter().map(|row| row.0).collect();
    aggregates.sort();
    assert_eq!(named(&section("Aggregates")), aggregates);
}

#[test]
fn the_quick_start_prints_what_it_says() {
    let text = page("docs/quickstart.md");
    let blocks = blocks(&text);
    let of_kind = |kind: &str| blocks.iter().find(|(k, _)| *k == kind).unwrap().1;
    let patterns: Vec<&str> =
        blocks.iter().map(|(_, block)| *block).filter(|block| block.starts_with("//")).collect();
    let [first, second] = patterns.as_slice() else { panic!("{patterns:?}") };
    let (_, replayed) = blocks.iter().find(|(_, block)| block.starts_with("$ sequor replay")).unwrap();
    let (_, printed) = replayed.split_once('\n').unwrap();

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("doors.jsonl", of_kind("json"));
    write("doors.seq", first);
    let replay = ["replay", "--pattern", "doors.seq", "--input", "doors.jsonl"];
    assert_eq!(sequor(folder.path(), &replay).trim_end(), printed.trim_end());
    write("doors.seq", &format!("{first}\n{second}"));
    assert_eq!(sequor(folder.path(), &replay).matches("\"pattern\":\"forced\"").count(), 1);
    write("doors.scenario.toml", of_kind("toml"));
    assert!(sequor(folder.path(), &["test", "."]).ends_with("2 passed, 0 failed\n"));
}

#[test]
fn the_example_of_a_scenario_passes() {
    let text = page("docs/scenarios.md");
    let (_, example) = blocks(&text).into_iter().find(|(kind, _)| *kind == "toml").unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("patterns/card_testing.seq"), folder.path().join("card_testing.seq")).unwrap();
    fs::write(folder.path().join("card_testing.scenario.toml"), example).unwrap();
    assert!(sequor(folder.path(), &["test", "."]).ends_with("2 passed, 0 failed\n"));
}

#[test]
fn the_ssh_log_gives_what_the_page_says() {
    let shared = std::env::var_os("SEQUOR_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let log = shared.join("data/openssh.jsonl");
    if !log.exists() {
        println!("skipped: {} is not there", log.display());
        return;
    }
    let (log, text) = (log.to_str().unwrap(), page("docs/ssh-log.md"));
    let replay = |name: &str| {
        let pattern = format!("patterns/ssh/{name}.seq");
        sequor(root(), &["replay", "-q", "--pattern", &pattern, "--input", log])
    };
    let mut by_address: BTreeMap<String, usize> = BTreeMap::new();
    for line in replay("password_guessing").lines() {
        let alert: serde_json::Value = serde_json::from_str(line).unwrap();
        *by_address.entry(alert["key"]["ip"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for (address, count) in &by_address {
        assert!(text.contains(&format!(" {count} \"key\":{{\"ip\":\"{address}\"\n")), "{count} of {address}");
        assert!(text.contains(&format!("\n{count} {address}\n")), "{count} of {address}");
    }
    assert_eq!(by_address.len(), 6);
    for name in ["password_guessing", "user_spraying"] {
        let fields = |line: &str| line[line.rfind("\"fields\"").unwrap()..].to_owned();
        let found: Vec<String> = replay(name).lines().map(fields).collect();
        let shown = if name == "user_spraying" { found.as_slice() } else { &found[..1] };
        assert!(text.contains(&shown.join("\n")), "{}", shown.join("\n"));
    }
    assert_eq!(replay("break_in_then_guesses").lines().count(), 26);
}
