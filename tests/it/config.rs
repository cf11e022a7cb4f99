//! The settings of the service: what is wrong is told with its place, the later layer wins, and no secret is shown.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sequor::config::problem::code;
use sequor::config::secret::SecretSource;
use sequor::config::settings::{LimitPolicy, Settings, Silence, Target};
use sequor::config::{ByteSize, Flag, Loaded, Origin, Problem, load};
use sequor::event::TimeSpan;
use tempfile::TempDir;

/// What no output may hold.
const CANARY: &str = "canary-5f3a";

/// Loads a file's text with variables and flags.
fn loaded(text: &str, env: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sequor.toml");
    fs::write(&path, text).unwrap();
    load(Some(&path), pairs(env), flags)
}

fn pairs(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn settings(text: &str) -> Settings {
    loaded(text, &[], &[]).unwrap_or_else(|problems| panic!("{}", drawn(&problems))).settings
}

/// All problems as they are told, the file under its name alone.
fn drawn(problems: &[Problem]) -> String {
    let shown = problems.iter().map(|problem| problem.render(false));
    let shown: Vec<String> = shown.map(|text| without_folder(&text)).collect();
    shown.join("\n")
}

fn without_folder(text: &str) -> String {
    let lines = text.split('\n').map(|line| match (line.find("--> "), line.find("sequor.toml")) {
        (Some(arrow), Some(name)) => format!("{}{}", &line[..arrow + 4], &line[name..]),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn refused(text: &str, env: &[(&str, &str)], flags: &[Flag]) -> String {
    drawn(&loaded(text, env, flags).unwrap_err())
}

fn codes(text: &str, env: &[(&str, &str)]) -> Vec<&'static str> {
    loaded(text, env, &[]).unwrap_err().iter().map(Problem::code).collect()
}

fn flag(name: &'static str, key: &'static str, value: &str) -> Flag {
    Flag { name, key, value: value.to_owned() }
}

#[test]
fn without_anything_there_are_defaults() {
    let Loaded { settings, origins } = load(None, [], &[]).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:7878");
    assert_eq!(settings.data.dir, Path::new("./sequor-data"));
    assert_eq!(settings.data.retain_time, Duration::from_secs(604_800));
    assert_eq!(settings.limits.policy, LimitPolicy::Suspend);
    assert!(!settings.auth.enabled && settings.sinks.is_empty());
    let [stream] = settings.streams.as_slice() else { panic!("{settings:?}") };
    assert_eq!((stream.name.as_str(), stream.silence), ("events", Silence::Flush));
    assert_eq!(
        (stream.out_of_orderness, stream.idle_timeout),
        (TimeSpan(5_000), Duration::from_millis(6_000))
    );
    assert!(origins.iter().all(|setting| setting.origin == Origin::Default));
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let text = r#"
sreams = 1
[server]
listn = "127.0.0.1:1"
max_connections = "many"
request_timeout = 30
max_body = "64Mb "
max_line = "17MiB"
allow_insecure = "yes"
[server.tls]
cert = "c.pem"
[engine]
threads = 0
batch_size = -1
max_patterns = 1.5
[data]
checkpoint_interval = "10 sec"
retain_bytes = "1.0000000000001kB"
[limits]
policy = "supend"
max_partial_matches = 99999999999999999999
[otlp]
endpoint = "localhost:4317"
[[streams]]
name = "a b"
source = { type = "kafka" }
silence = "never"
duplicates = { id = "id.." }
[[streams]]
late = "drop"
[[sinks]]
name = "a"
type = "file"
keep = 3
what = "late"
patterns = ["x"]
url = "http://x"
[[sinks]]
name = "b"
type = "webhook"
url = "http://x"
allow = ["10.0.0.0/40"]
secret = {}
[[sinks]]
type = "fil"
"#;
    insta::assert_snapshot!(refused(text, &[], &[]));
}

#[test]
fn what_is_no_toml_is_told_with_all_else_that_is_certain() {
    let text = "[server]\nlisten = 127.0.0.1\nmax_boddy = 1\n[data\ndir = \"x\"\n[log]\nlevel = \"all\"\nlevel = \"info\"\n";
    insta::assert_snapshot!(refused(text, &[], &[]));
}

#[test]
fn what_is_wrong_outside_the_file_is_told_with_its_name() {
    let env = [
        ("SEQUOR__SERVER__LISTN", "127.0.0.1:1"),
        ("SEQUOR__SERVR__LISTEN", "127.0.0.1:1"),
        ("SEQUOR__SERVR__MAX_BODY", "1"),
        ("SEQUOR__SERVER__MAX_BODY", "big"),
        ("SEQUOR__server__max_body", "1MiB"),
        ("SEQUOR__STREAMS__2__NAME", "far"),
        ("SEQUOR__SINKS__FIRST__NAME", "far"),
        ("SEQUOR__ENGINE", "fast"),
        ("SEQUOR__", "x"),
        ("SEQUOR_LISTEN", "not ours"),
    ];
    insta::assert_snapshot!(refused("", &env, &[flag("--listen", "server.listen", "localhost")]));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 1\n\n[data]\ndir = \"file\"\n";
    let env = [("SEQUOR__SERVER__LISTEN", "127.0.0.1:2"), ("SEQUOR__Data__Dir", "env")];
    let Loaded { settings, origins } =
        loaded(text, &env, &[flag("--listen", "server.listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(settings.server.listen.port(), 3);
    assert_eq!(settings.data.dir, Path::new("env"));
    assert_eq!(settings.server.max_connections, 1);
    let origin = |key: &str| origins.iter().find(|setting| setting.key == key).unwrap().origin.to_string();
    assert_eq!(origin("server.listen"), "flag --listen");
    assert_eq!(origin("data.dir"), "env SEQUOR__Data__Dir");
    assert!(origin("server.max_connections").ends_with("sequor.toml:3"));
    assert_eq!(origin("server.max_body"), "default");
}

#[test]
fn a_wrong_value_that_is_overruled_does_no_harm() {
    let text = "[server]\nlisten = \"nowhere\"\n";
    let env = [("SEQUOR__SERVER__LISTEN", "127.0.0.1:2")];
    assert_eq!(loaded(text, &env, &[]).unwrap().settings.server.listen.port(), 2);
}

#[test]
fn the_environment_reaches_into_lists() {
    let text = "[[streams]]\nname = \"a\"\nsilence = \"hold\"\n[[streams]]\nname = \"b\"\n";
    let env = [
        ("SEQUOR__STREAMS__1__OUT_OF_ORDERNESS", "1m"),
        ("SEQUOR__STREAMS__2__NAME", "c"),
        ("SEQUOR__SINKS__0__NAME", "hook"),
        ("SEQUOR__SINKS__0__TYPE", "webhook"),
        ("SEQUOR__SINKS__0__URL", "http://127.0.0.1:9"),
        ("SEQUOR__SINKS__0__SECRET__ENV", "HOOK"),
        ("SEQUOR__SINKS__0__ALLOW", "127.0.0.1/32, hooks.local:80"),
        ("SEQUOR__SINKS__0__PATTERNS__0", "card_*"),
        ("SEQUOR__SINKS__0__PATTERNS__1", "team=fraud"),
    ];
    let settings = loaded(text, &env, &[]).unwrap().settings;
    let names: Vec<&str> = settings.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(settings.streams[0].silence, Silence::Hold);
    assert_eq!(settings.streams[1].out_of_orderness, TimeSpan(60_000));
    let Target::Webhook(hook) = &settings.sinks[0].target else { panic!("{settings:?}") };
    assert_eq!(hook.secret, Some(SecretSource::Env("HOOK".into())));
    assert_eq!((hook.allow.len(), settings.sinks[0].patterns.len()), (2, 2));
    // More than ten, in the order of numbers.
    let names: Vec<(String, String)> =
        (0..12).map(|i| (format!("SEQUOR__STREAMS__{i}__NAME"), format!("s{i}"))).collect();
    assert_eq!(load(None, names, &[]).unwrap().settings.streams.len(), 12);
}

#[test]
fn a_reference_from_the_environment_takes_the_place_of_the_files() {
    let text = "[[sinks]]\nname=\"a\"\ntype=\"webhook\"\nurl=\"http://x\"\nsecret={file=\"f\"}\n";
    let loaded = loaded(text, &[("SEQUOR__SINKS__0__SECRET__ENV", "X")], &[]).unwrap();
    let Target::Webhook(hook) = &loaded.settings.sinks[0].target else { panic!() };
    assert_eq!(hook.secret, Some(SecretSource::Env("X".into())));
}

#[test]
fn sizes_and_durations_have_units() {
    let size = |text: &str| settings(&format!("[data]\nretain_bytes = {text}")).data.retain_bytes;
    for (text, bytes) in [
        ("\"64MiB\"", 64 << 20),
        ("\"1GB\"", 1_000_000_000),
        ("\"1.5kib\"", 1_536),
        ("\"0.5 KB\"", 500),
        ("4096", 4_096),
        ("\"4096\"", 4_096),
        ("0", 0),
    ] {
        assert_eq!(size(text), ByteSize(bytes), "{text}");
    }
    for text in
        ["\"\"", "\"MiB\"", "\"1XB\"", "\"1.\"", "\".5MB\"", "\"-1\"", "-1", "\"0.3B\"", "\"99999999TiB\""]
    {
        assert!(loaded(&format!("[data]\nretain_bytes = {text}"), &[], &[]).is_err(), "{text}");
    }
    for bytes in [0, 1, 999, 1_000, 1 << 10, 3 << 19, 1 << 40, 5_000_000_000] {
        let shown = ByteSize(bytes).to_string();
        assert_eq!(size(&format!("\"{shown}\"")), ByteSize(bytes), "{shown}");
    }
    let text = "[[streams]]\nout_of_orderness = \"1h30m\"";
    assert_eq!(settings(text).streams[0].out_of_orderness, TimeSpan(5_400_000));
    assert_eq!(settings(text).streams[0].idle_timeout, Duration::from_millis(5_401_000));
}

#[test]
fn others_reach_the_service_only_with_authentication_and_tls() {
    let listen = "[server]\nlisten = \"0.0.0.0:7878\"\n";
    let tls = "tls = { cert = \"c\", key = \"k\" }\n";
    assert_eq!(codes(listen, &[]), [code::INSECURE]);
    let with_tls = format!("{listen}{tls}");
    assert!(settings(&with_tls).auth.enabled);
    assert_eq!(codes(&format!("{with_tls}[auth]\nenabled = false"), &[]), [code::INSECURE]);
    assert!(settings(&format!("{listen}allow_insecure = true")).auth.enabled);
    let open = settings(&format!("{listen}allow_insecure = true\n[auth]\nenabled = false"));
    assert!(!open.auth.enabled);
    assert!(!settings("[server]\nlisten = \"[::1]:0\"").auth.enabled);
    insta::assert_snapshot!(refused(listen, &[], &[]));
}

#[test]
fn names_and_files_are_taken_once() {
    let text = "[[streams]]\nname = \"a\"\n[[streams]]\nname = \"a\"\n[[sinks]]\nname = \"a\"\ntype = \"file\"\npath = \"p\"\n\
                [[sinks]]\nname = \"b\"\ntype = \"file\"\npath = \"p\"\n";
    insta::assert_snapshot!(refused(text, &[], &[]));
    // Also the name of the stream that nobody named.
    let sink = "[[sinks]]\nname = \"events\"\ntype = \"file\"\npath = \"p\"\n";
    assert_eq!(codes(sink, &[]), [code::TWICE]);
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let sink = "[[sinks]]\nname = \"a\"\ntype = \"webhook\"\nurl = \"http://x\"\n";
    let literal = format!("{sink}secret = \"{CANARY}\"\n");
    insta::assert_snapshot!(refused(&literal, &[], &[]));
    let texts = [
        literal,
        format!("{sink}secret = \"{CANARY}\n"),
        format!("{sink}secret = '''\n{CANARY}\n"),
        format!("{sink}secret = {{ value = \"{CANARY}\" }}\n"),
        format!("{sink}secert = \"{CANARY}\"\n"),
        format!("{sink}secret = [\"{CANARY}\"]\n"),
        format!("{sink}password = \"{CANARY}\"\n"),
        format!("[server]\nauth_token = \"{CANARY}\"\n"),
        format!("sinks = [{{ type = \"webhook\", secret = \"{CANARY}\", typo = 1 }}]"),
        format!("sinks = [{{ type = \"webhook\", secret = \"{CANARY}\", typo = }}]"),
        format!("[[sinks]]\nname = \"a\"\ntype = \"webhook\"\nurl = \"http://me:{CANARY}@x/\"\n"),
    ];
    for text in texts {
        let problems = loaded(&text, &[], &[]).unwrap_err();
        let told = format!("{}{problems:?}", drawn(&problems));
        assert!(!told.contains(CANARY), "{text}\n{told}");
    }
    for name in ["SECRET", "SECERT", "PASSWORD", "SECRET__VALUE", "SECRET__0"] {
        let problems = load(None, pairs(&[(&format!("SEQUOR__SINKS__0__{name}"), CANARY)]), &[]).unwrap_err();
        let told = format!("{}{problems:?}", drawn(&problems));
        assert!(told.contains(&format!("SEQUOR__SINKS__0__{name}")) && !told.contains(CANARY), "{told}");
    }
    let url = load(None, pairs(&[("SEQUOR__OTLP__ENDPOINT", &format!("http://u:{CANARY}@x"))]), &[]);
    assert!(!drawn(&url.unwrap_err()).contains(CANARY));
}

#[test]
fn secrets_are_read_from_files_and_variables_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, format!("{CANARY}\n")).unwrap();
    let none = |_: &str| None;
    let secret = SecretSource::File(path.clone()).resolve(none).unwrap();
    assert_eq!(secret.expose(), CANARY);
    assert_eq!(format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** *** \"***\"");
    let from_env = SecretSource::Env("HOOK".into());
    let secret = from_env.resolve(|name| (name == "HOOK").then(|| CANARY.to_owned())).unwrap();
    assert_eq!(secret.expose(), CANARY);
    assert_eq!(
        from_env.resolve(none).unwrap_err(),
        "the variable `HOOK`, which should hold a secret, is not set"
    );
    assert!(from_env.resolve(|_| Some(String::new())).unwrap_err().ends_with("is empty"));
    let missing = SecretSource::File(folder.path().join("none")).resolve(none).unwrap_err();
    assert!(missing.starts_with("cannot read the secret in the file `"), "{missing}");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(SecretSource::File(path).resolve(none).unwrap_err().ends_with("is not text in UTF-8"));
}

/// The example of the page.
fn example() -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let (_, example) = page.split_once("\n```toml\n").unwrap();
    example.split_once("```").unwrap().0.to_owned()
}

#[test]
fn what_is_shown_says_the_same_when_it_is_read() {
    for text in [example(), String::new()] {
        let first = loaded(&text, &[], &[]).unwrap_or_else(|problems| panic!("{}", drawn(&problems)));
        for with_origins in [false, true] {
            let shown = first.to_toml(with_origins);
            let second =
                loaded(&shown, &[], &[]).unwrap_or_else(|problems| panic!("{shown}\n{}", drawn(&problems)));
            assert_eq!(first.settings, second.settings, "{shown}");
        }
    }
}

#[test]
fn the_page_has_every_key_with_its_kind_and_default_and_no_other() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.splitn(4, " | ").collect();
        let [key, kind, default, _] = cells.as_slice() else { return None };
        Some((key.trim_end_matches('`').to_owned(), (*kind).to_owned(), default.replace('`', "")))
    });
    let documented: BTreeSet<(String, String, String)> = cells.collect();

    // All keys: those with defaults alone, and those of tables that may be left out.
    let everything = "[server]\ntls = { cert = \"\\u0000\", key = \"\\u0000\" }\n\
        [[streams]]\nduplicates = { id = \"required\", window = \"1s\" }\n\
        [[sinks]]\nname = \"f\"\ntype = \"file\"\npath = \"p\"\n\
        [[sinks]]\nname = \"w\"\ntype = \"webhook\"\nurl = \"http://x\"\n";
    let all = [loaded("", &[], &[]).unwrap(), loaded(everything, &[], &[]).unwrap()];
    let mut keys = BTreeSet::new();
    for setting in all.into_iter().flat_map(|loaded| loaded.origins) {
        let key = setting.key.replace(".0.", "[].").replace(".1.", "[].");
        let default = match (setting.origin, setting.value) {
            (Origin::Default, _) if key == "engine.threads" => "one for each processor".to_owned(),
            (Origin::Default, Some(value)) => value,
            (Origin::Default, None) => "none".to_owned(),
            _ => "required".to_owned(),
        };
        keys.insert((key, setting.kind.to_owned(), default));
    }
    assert_eq!(keys, documented);

    let codes: BTreeSet<&str> = code::ALL.iter().copied().collect();
    let in_page = page.lines().filter_map(|line| line.strip_prefix("| `C")?.split('`').next());
    assert_eq!(
        codes,
        in_page.map(|digits| &page[page.find(&format!("C{digits}")).unwrap()..][..4]).collect()
    );
}

/// Runs `sequor config` in a folder.
fn run(folder: &TempDir, args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sequor"));
    command.arg("config").args(args).current_dir(folder.path()).envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_checks_and_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, err) = run(&folder, &["check"], &[]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "the settings are right\n", ""));
    assert_eq!(run(&folder, &["check"], &[("SEQUOR__LOG__LEVEL", "loud")]).0, 78);
    assert_eq!(run(&folder, &["show", "--log-level", "loud"], &[]).0, 78);
    assert_eq!(run(&folder, &["check", "--config", "none.toml"], &[]).0, 78);
    assert_eq!(run(&folder, &["check", "--no-such-flag"], &[]).0, 2);

    // The file of the working directory is read without being named.
    fs::write(folder.path().join("sequor.toml"), "[log]\nlevl = 1\n").unwrap();
    let (status, out, err) = run(&folder, &["check"], &[]);
    assert_eq!((status, out.as_str()), (78, ""));
    insta::assert_snapshot!(err);

    let text = "[engine]\nthreads = 2\n[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"https://x\"\nsecret = { env = \"HOOK\" }\n";
    fs::write(folder.path().join("sequor.toml"), text).unwrap();
    let env = [("SEQUOR__LOG__FORMAT", "json"), ("HOOK", CANARY)];
    let (status, out, _) = run(&folder, &["show", "--origin", "--listen", "127.0.0.1:0"], &env);
    assert_eq!(status, 0);
    assert!(!out.contains(CANARY));
    insta::assert_snapshot!(out);
}
