//! Time that goes on by the clock where streams are silent: what waits for time is found, and a replay finds the same.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::serving::{Service, eventually, sequor};

const STREAM: &str = "[[streams]]\nname = \"events\"\nout_of_orderness = \"50ms\"\nidle_timeout = \"20ms\"\n";

#[expect(clippy::disallowed_methods, reason = "the service goes on by this clock")]
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn post(service: &Service, kind: &str, ts: i64) {
    service.post("/v1/streams/events/events", format!("{{\"type\":\"{kind}\",\"ts\":{ts}}}\n")).ok();
}

fn matches(service: &Service, count: usize) -> Vec<Json> {
    eventually("what time alone finds", || {
        let found = service.get("/v1/matches?order=oldest").ok().json()["items"].as_array().unwrap().clone();
        (found.len() >= count).then_some(found)
    })
}

/// The steps of the clock that the control log has.
fn steps(service: &Service) -> Vec<Json> {
    let log = service.get("/v1/control-log").ok().body;
    let entries = log.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    entries.filter(|entry| entry["op"] == "heartbeat").collect()
}

#[test]
fn timeouts_and_absences_are_found_without_another_event_and_replayed() {
    let mut service = Service::start(&format!("{STREAM}silence = \"clock\"\n"));
    let text = "pattern late match a: a followed by b: b within 400ms emit timeouts\n\
        pattern alone match a: a not followed by b: b within 300ms";
    service.post("/v1/patterns", text).ok();
    let first = now();
    post(&service, "a", first);
    let found = matches(&service, 2);
    let of = |found: &Json| (found["pattern"].clone(), found["kind"].clone(), found["end"].as_i64().unwrap());
    assert_eq!(of(&found[0]), ("alone".into(), "match".into(), first + 300));
    assert_eq!(of(&found[1]), ("late".into(), "timeout".into(), first + 400));

    // Where nothing waits for time, nothing is written about it.
    let before = steps(&service);
    assert!(
        (1..=4).contains(&before.len()) && before.iter().all(|step| step["by"] == "sequor"),
        "{before:?}"
    );
    thread::sleep(Duration::from_millis(200));
    assert_eq!(steps(&service), before);

    // What comes behind the clock's last step is late, also after a kill.
    service.kill();
    service.restart();
    post(&service, "b", first + 100);
    let rejected = eventually("the late event", || {
        let found = service.get("/v1/dead-letters").ok().json()["items"].as_array().unwrap().clone();
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(rejected[0]["kind"], "late");

    // An event that came in the meantime ends the wait, and the time of the others goes on after a start too.
    let second = now();
    post(&service, "a", second);
    post(&service, "b", second + 1);
    post(&service, "a", second + 2);
    service.kill();
    service.restart();
    let found = matches(&service, 5);
    let ends: Vec<_> = found[2..].iter().map(of).collect();
    assert_eq!(ends[0], ("late".into(), "match".into(), second + 1));
    assert_eq!(ends[1], ("alone".into(), "match".into(), second + 302));
    assert_eq!(ends[2], ("late".into(), "timeout".into(), second + 402));

    assert_eq!(service.stop(), 0);
    let run = |args: &[&str]| {
        let ran = sequor(&service.dir).args(args).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    run(&["export", "events", "--data", "data", "--output", "events.jsonl"]);
    run(&["export", "control-log", "--data", "data", "--output", "control.jsonl"]);
    let replay = ["replay", "--control-log", "control.jsonl", "--input", "events.jsonl"];
    run(&[&replay[..], &["--output", "again.jsonl"]].concat());
    let again = fs::read_to_string(service.dir.join("again.jsonl")).unwrap();
    let again: Vec<Json> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(again, found);
}

#[test]
fn time_stands_still_where_it_is_not_to_go_on_by_the_clock() {
    let service = Service::start(&format!("{STREAM}silence = \"flush\"\n"));
    service.post("/v1/patterns", "pattern alone match a: a not followed by b: b within 100ms").ok();
    post(&service, "a", now() - 10_000);
    eventually("the event is taken", || {
        let streams = service.get("/v1/streams").ok().json();
        (!streams["frontier"].is_null()).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    assert!(matches(&service, 0).is_empty() && steps(&service).is_empty());
}
