//! Budgets through the real service: a pattern that exceeds one is suspended, or its oldest partial matches are dropped,
//! and others go on; what is sent is what a replay of the logs gives, without the settings.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::serving::{Service, eventually, sequor};

const STREAM: &str =
    "[[streams]]\nname = \"events\"\nout_of_orderness = \"0ms\"\n[data]\ncheckpoint_interval = \"100ms\"\n";

fn put(service: &Service, source: &str, limits: Json) {
    let body = json!({ "source": source, "limits": limits }).to_string();
    service.send("POST", "/v1/patterns", &[("content-type", "application/json")], body).ok();
}

fn patch(service: &Service, name: &str, body: Json) -> Json {
    let path = format!("/v1/patterns/{name}");
    let tag = service.get(&path).header("etag").to_owned();
    let headers = [("content-type", "application/merge-patch+json"), ("if-match", tag.as_str())];
    service.send("PATCH", &path, &headers, body.to_string()).ok().json()
}

/// Events of a type, one a millisecond.
fn events(service: &Service, kind: &str, key: &str, times: std::ops::Range<i64>) {
    let line = |ts: i64| format!("{{\"type\":\"{kind}\",\"ts\":{ts},\"k\":\"{key}\",\"n\":1}}\n");
    let lines: String = times.map(line).collect();
    service.post("/v1/streams/events/events", lines).ok();
}

fn suspended(service: &Service, name: &str) -> Json {
    eventually("a suspended pattern", || {
        let pattern = service.get(&format!("/v1/patterns/{name}")).ok().json();
        (pattern["state"] == "suspended").then_some(pattern)
    })
}

fn matches(service: &Service, name: &str, count: usize) -> Vec<Json> {
    let all = || {
        let items = service.get("/v1/matches?limit=1000").ok().json()["items"].as_array().unwrap().clone();
        items.into_iter().filter(|item| item["pattern"] == name).collect::<Vec<_>>()
    };
    eventually("matches", || Some(all()).filter(|items| items.len() >= count))
}

/// What the service has sent, and what a replay of its logs gives.
fn sent_and_replayed(service: &mut Service) -> (String, String) {
    assert_eq!(service.stop(), 0, "{}", service.log());
    let run = |dir: &Path, args: &[&str]| {
        let output = sequor(dir).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let dir = service.dir.clone();
    run(&dir, &["export", "control-log", "--data", "data", "--output", "control.jsonl"]);
    run(&dir, &["export", "events", "--data", "data", "--output", "events.jsonl"]);
    let args =
        ["replay", "-q", "--control-log", "control.jsonl", "--input", "events.jsonl", "--threads", "3"];
    let replayed = run(&dir, &args);
    let mut sent = String::new();
    for record in sequor::journal::Tail::open(&service.data().join("matches")).unwrap().reader(0).unwrap() {
        sent += &String::from_utf8(record.unwrap().body).unwrap();
    }
    (sent, replayed)
}

#[test]
fn a_pattern_that_exceeds_a_budget_is_suspended_until_it_is_told_to_go_on() {
    let mut service = Service::start(STREAM);
    let source = "pattern pairs key by k match a: a followed by b: b where n >= a.n within 1h";
    put(&service, source, json!({ "max_partial_matches_per_key": 5 }));
    put(&service, "pattern fine key by k match a: a next b: b within 1h", json!({}));
    events(&service, "a", "other", 1_000..1_003);
    events(&service, "a", "x", 1_010..1_017);
    let pattern = suspended(&service, "pairs");
    let reason = json!({
        "limit": "max_partial_matches_per_key", "budget": 5, "reached": 6, "key": { "k": "x" }, "time": 1_015
    });
    assert_eq!(pattern["suspended"], reason);
    assert_eq!(pattern["dropped"], json!({ "partial_matches": 6, "matches": 0, "suspensions": 1 }));
    assert!(service.log().contains("it exceeded a budget"), "{}", service.log());
    // What the other key holds goes on; that one has lost all.
    events(&service, "b", "x", 1_020..1_021);
    events(&service, "b", "other", 1_021..1_022);
    assert_eq!(matches(&service, "pairs", 3).len(), 3);
    assert_eq!(matches(&service, "fine", 2).len(), 2);
    service.kill();
    service.restart();
    assert_eq!(suspended(&service, "pairs")["suspended"], reason);
    events(&service, "a", "x", 1_030..1_031);
    events(&service, "b", "x", 1_031..1_032);
    // Labels do not wake it up.
    assert_eq!(patch(&service, "pairs", json!({ "labels": { "team": "x" } }))["state"], "suspended");
    let resumed = patch(&service, "pairs", json!({ "paused": false }));
    assert_eq!((&resumed["state"], &resumed["suspended"]), (&json!("active"), &Json::Null));
    events(&service, "a", "x", 1_040..1_042);
    events(&service, "b", "x", 1_042..1_043);
    assert_eq!(matches(&service, "pairs", 5).len(), 5);
    // Another version of a suspended pattern is active as well.
    events(&service, "a", "x", 1_050..1_060);
    events(&service, "c", "x", 1_065..1_066);
    let tag = suspended(&service, "pairs");
    let tag = format!("\"{}\"", tag["revision"]);
    let headers = [("content-type", "text/plain"), ("if-match", tag.as_str())];
    let text = source.replace("1h", "2h");
    let put = service.send("PUT", "/v1/patterns/pairs", &headers, text).ok().json();
    assert_eq!(
        (&put["state"], &put["version"], &put["paused"]),
        (&json!("active"), &json!(2), &json!(false))
    );
    events(&service, "a", "x", 1_070..1_071);
    events(&service, "b", "x", 1_071..1_072);
    assert_eq!(matches(&service, "pairs", 6).len(), 6);
    let (sent, replayed) = sent_and_replayed(&mut service);
    assert_eq!(sent, replayed);
}

#[test]
fn every_budget_is_reached_once() {
    let mut service = Service::start(&format!("{STREAM}[limits]\npolicy = \"drop_oldest\"\n"));
    let each = "key by k match a: a followed by b: b where n >= a.n within 1h";
    let budgets = [
        ("max_partial_matches_per_key", 5, 6),
        ("max_retained_events_per_key", 4, 5),
        ("max_retained_bytes_per_key", 400, 432),
        ("max_matches_per_event", 3, 20),
    ];
    for (limit, budget, _) in budgets {
        put(&service, &format!("pattern {limit} {each}"), json!({ limit: budget, "policy": "suspend" }));
        put(&service, &format!("pattern {limit}_oldest {each}"), json!({ limit: budget }));
    }
    events(&service, "a", "x", 1_000..1_020);
    events(&service, "b", "x", 1_020..1_021);
    for (limit, budget, reached) in budgets {
        let pattern = suspended(&service, limit);
        let reason = &pattern["suspended"];
        assert_eq!((&reason["limit"], &reason["budget"]), (&json!(limit), &json!(budget)));
        assert_eq!(reason["reached"], reached, "{reason}");
        let (kind, dropped) = match limit {
            "max_matches_per_event" => ("matches", 17),
            "max_retained_bytes_per_key" => ("partial_matches", 9),
            _ => ("partial_matches", 20 - budget),
        };
        let left = matches(&service, &format!("{limit}_oldest"), 20 - dropped as usize).len();
        assert_eq!(left, 20 - dropped as usize);
        eventually("what was dropped", || {
            let pattern = service.get(&format!("/v1/patterns/{limit}_oldest")).ok().json();
            assert_eq!(pattern["state"], "active");
            (pattern["dropped"][kind] == dropped).then_some(())
        });
    }
    // Over all keys, it is a pattern that has too much.
    for limit in ["max_partial_matches", "max_retained_bytes"] {
        put(&service, &format!("pattern {limit} {each}"), json!({ limit: 1_000 }));
    }
    for key in 0..50 {
        events(&service, "a", &key.to_string(), 2_000 + key * 50..2_000 + key * 50 + 40);
    }
    for limit in ["max_partial_matches", "max_retained_bytes"] {
        let reason = suspended(&service, limit)["suspended"].clone();
        assert_eq!((&reason["limit"], &reason["key"]), (&json!(limit), &Json::Null));
        assert!(reason["reached"].as_u64().unwrap() > 1_000);
    }
    // All that it held is gone.
    events(&service, "b", "49", 9_000..9_001);
    assert_eq!(matches(&service, "max_matches_per_event_oldest", 6).len(), 6);
    let (sent, replayed) = sent_and_replayed(&mut service);
    assert!(!sent.contains("\"pattern\":\"max_retained_bytes\","));
    assert_eq!(sent, replayed);
}

#[test]
fn settings_are_in_the_control_log() {
    let mut service = Service::start(&format!("{STREAM}[limits]\nmax_partial_matches_per_key = 3\n"));
    put(&service, "pattern a key by k match a: a followed by any b: b where n >= a.n", json!({}));
    events(&service, "a", "x", 1_000..1_010);
    // All of them have been taken when that one has come.
    events(&service, "c", "x", 1_015..1_016);
    suspended(&service, "a");
    assert_eq!(service.stop(), 0);
    service.configure(&format!("{STREAM}[limits]\nmax_partial_matches_per_key = 20\n"));
    service.restart();
    patch(&service, "a", json!({ "paused": false }));
    events(&service, "a", "x", 1_020..1_035);
    events(&service, "b", "x", 1_040..1_041);
    assert_eq!(matches(&service, "a", 15).len(), 15);
    let log = service.get("/v1/control-log").ok().body;
    let limits: Vec<&str> = log.lines().filter(|line| line.contains("\"op\":\"limits\"")).collect();
    assert_eq!(limits.len(), 2, "{log}");
    assert!(limits[0].contains("\"max_partial_matches_per_key\":3,"), "{}", limits[0]);
    assert_eq!(log.matches("\"change\":\"suspend\"").count(), 1);
    // A replay knows nothing of settings.
    fs::remove_file(service.dir.join("sequor.toml")).unwrap();
    let (sent, replayed) = sent_and_replayed(&mut service);
    assert_eq!(sent, replayed);
}

#[test]
fn a_pattern_whose_partial_matches_double_does_not_stop_another() {
    let mut service = Service::start(STREAM);
    let doubling =
        "pattern doubling match a+: a combinations where n >= first(a.n) or n > 0 followed by any b: b";
    put(&service, doubling, json!({ "max_partial_matches_per_key": 2_000 }));
    put(
        &service,
        "pattern sets match a+: a combinations followed by any b: b within 1d",
        json!({
            "max_matches_per_event": 100
        }),
    );
    put(&service, "pattern fine key by k match a: a next b: b within 1h", json!({}));
    for round in 0..20 {
        let at = 10_000 + round * 1_000;
        events(&service, "a", "x", at..at + 999);
        events(&service, "b", "x", at + 999..at + 1_000);
    }
    assert_eq!(matches(&service, "fine", 20).len(), 20);
    assert_eq!(suspended(&service, "doubling")["suspended"]["budget"], 2_000);
    assert_eq!(suspended(&service, "sets")["suspended"]["limit"], "max_matches_per_event");
    let (sent, replayed) = sent_and_replayed(&mut service);
    assert_eq!(sent.lines().count(), 120);
    assert_eq!(sent, replayed);
}
