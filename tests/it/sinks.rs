//! Sinks of the service: what the log of matches holds stands in files exactly once, whatever happens to the process and to
//! what was not synced.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sequor::journal::Tail;
use serde_json::Value as Json;

use crate::generate::Random;
use crate::serving::{Service, eventually};

const CONFIG: &str = r#"
[data]
checkpoint_interval = "1s"
[[streams]]
name = "events"
out_of_orderness = "0s"
[[sinks]]
name = "all"
type = "file"
path = "out/all.jsonl"
[[sinks]]
name = "some"
type = "file"
path = "some.jsonl"
patterns = ["every_*"]
[[sinks]]
name = "parts"
type = "file"
path = "out/parts.jsonl"
rotate_bytes = "2KiB"
[[sinks]]
name = "bad"
type = "file"
what = "dead_letters"
path = "bad.jsonl"
"#;

const PATTERNS: &str = "pattern every_a match a: a  pattern pairs match a: a followed by b: b within 10s";

/// Events, some of them no events, with times that go on from `ts`.
fn events(random: &mut Random, ts: &mut i64) -> String {
    let mut lines = String::new();
    for _ in 0..1 + random.below(20) {
        *ts += random.between(1, 1_000);
        let kind = *random.pick(&["a", "a", "b", "c"]);
        lines += &match random.below(10) {
            0 => "no event\n".to_owned(),
            _ => format!("{{\"type\":\"{kind}\",\"ts\":{ts}}}\n"),
        };
    }
    lines
}

/// The lines of a log of a service that does not run, for which `wanted` holds of what is said about them.
fn log(service: &Service, name: &str, wanted: impl Fn(&[u8]) -> bool) -> String {
    let tail = Tail::open(&service.data().join(name)).unwrap();
    let records = tail.reader(tail.first()).unwrap().map(Result::unwrap);
    let bodies = records.filter(|record| wanted(&record.meta)).map(|record| record.body);
    String::from_utf8(bodies.collect::<Vec<_>>().concat()).unwrap()
}

/// What stands in a file and in those that were put aside, one after the other.
fn written(service: &Service, path: &str) -> String {
    let path = service.dir.join(path);
    let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
    let mut parts: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.retain(|part| part.file_name().unwrap().to_str().unwrap().starts_with(&format!("{name}.")));
    parts.sort();
    parts.push(path);
    parts.iter().map(|part| fs::read_to_string(part).unwrap()).collect()
}

fn assert_equal(service: &Service) {
    let all = log(service, "matches", |_| true);
    assert!(!all.is_empty());
    assert_eq!(written(service, "out/all.jsonl"), all);
    assert_eq!(written(service, "out/parts.jsonl"), all);
    let some: String =
        all.split_inclusive('\n').filter(|line| line.contains("\"pattern\":\"every_a\"")).collect();
    assert_eq!(written(service, "some.jsonl"), some);
    let bad = log(service, "rejected", |meta| meta.ends_with(b"\"dead_letter\"}"));
    assert_eq!(written(service, "bad.jsonl"), bad);
}

#[test]
fn files_hold_every_match_once_after_kills_at_random_moments() {
    let mut random = Random::new(5);
    let mut service = Service::start(CONFIG);
    service.post("/v1/patterns", PATTERNS).ok();
    let mut ts = 1_000_000;
    for _ in 0..20 {
        for _ in 0..random.below(30) {
            service.post("/v1/streams/events/events", events(&mut random, &mut ts)).ok();
        }
        thread::sleep(Duration::from_millis(random.below(40)));
        service.kill();
        service.launch();
        if random.below(5) == 0 {
            thread::sleep(Duration::from_millis(random.below(60)));
            service.restart();
        } else {
            assert!(service.becomes_ready(), "{}", service.log());
        }
    }
    let lag = || {
        let sinks = service.get("/v1/sinks").ok().json();
        let behind = |sink: &Json| sink["behind"] == 0 && sink["last_error"].is_null();
        let sinks = sinks["items"].as_array().unwrap().clone();
        (sinks.len() == 4 && sinks.iter().all(behind)).then_some(())
    };
    eventually("the sinks to come to the end of the log", lag);
    assert_eq!(service.stop(), 0, "{}", service.log());
    assert_equal(&service);
    assert!(written(&service, "out/parts.jsonl").len() > 10 << 10, "some were put aside");
    for part in fs::read_dir(service.dir.join("out")).unwrap() {
        let part = part.unwrap();
        let is_part = part.file_name().to_string_lossy().starts_with("parts.jsonl");
        assert!(!is_part || part.metadata().unwrap().len() <= 2 << 10, "{part:?}");
    }
}

/// What is recorded of a sink.
fn cursor(service: &Service, sink: &str) -> Json {
    let path = service.data().join("sinks").join(format!("{sink}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn damage(random: &mut Random, path: &Path, recorded: u64) {
    let len = fs::metadata(path).unwrap().len();
    assert!(len >= recorded, "{path:?} has {len} bytes, {recorded} are recorded");
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate((recorded + random.below(len - recorded + 1)) as usize);
    for _ in 0..random.below(600) {
        bytes.push(random.below(256) as u8);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_a_power_cut_leaves_behind_the_recorded_length_is_compared_and_cut() {
    let mut random = Random::new(6);
    let mut service = Service::start(CONFIG);
    service.post("/v1/patterns", PATTERNS).ok();
    let mut ts = 1_000_000;
    for _ in 0..8 {
        for _ in 0..20 {
            service.post("/v1/streams/events/events", events(&mut random, &mut ts)).ok();
        }
        service.kill();
        for (sink, path) in [("all", "out/all.jsonl"), ("parts", "out/parts.jsonl")] {
            let recorded = cursor(&service, sink)["file"]["bytes"].as_u64().unwrap();
            if cursor(&service, sink)["file"]["rotating"] == false {
                damage(&mut random, &service.dir.join(path), recorded);
            }
        }
        service.restart();
    }
    assert_eq!(service.stop(), 0, "{}", service.log());
    assert_equal(&service);
}

#[test]
fn a_file_that_lost_what_was_recorded_or_that_holds_other_things_is_refused_and_left_alone() {
    let mut service = Service::start(CONFIG);
    service.post("/v1/patterns", PATTERNS).ok();
    let mut ts = 1_000;
    for _ in 0..5 {
        service.post("/v1/streams/events/events", events(&mut Random::new(7), &mut ts)).ok();
    }
    assert_eq!(service.stop(), 0);
    let path = service.dir.join("out/all.jsonl");
    let whole = fs::read(&path).unwrap();
    assert!(!whole.is_empty());
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    service.launch();
    assert!(!service.becomes_ready());
    assert_ne!(service.ends(), 0);
    assert!(
        service.log().contains("out/all.jsonl") && service.log().contains("put back"),
        "{}",
        service.log()
    );
    assert_eq!(fs::read(&path).unwrap(), whole[..whole.len() - 1]);

    fs::write(&path, &whole).unwrap();
    service.restart();
    service.get("/livez").ok();
    assert_eq!(service.stop(), 0);
    fs::remove_file(service.data().join("sinks/all.json")).unwrap();
    service.launch();
    assert!(!service.becomes_ready());
    assert_ne!(service.ends(), 0);
    assert!(service.log().contains("is not empty"), "{}", service.log());
    assert_eq!(fs::read(&path).unwrap(), whole);

    // A sink that is new to a service with a history begins with what comes from now on.
    fs::remove_file(&path).unwrap();
    service.restart();
    service
        .post("/v1/streams/events/events", "{\"type\":\"a\",\"ts\":900000}\n{\"type\":\"c\",\"ts\":900001}\n")
        .ok();
    eventually("the match", || {
        let text = fs::read_to_string(&path).unwrap();
        (text.lines().count() == 1 && text.contains("900000")).then_some(())
    });
}
