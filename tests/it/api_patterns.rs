//! Patterns over HTTP: versions, preconditions, cuts, what becomes of state, and how a folder is applied.

use std::fs;
use std::process::Output;
use std::thread;

use serde_json::json;

use crate::serving::{Answer, Service, eventually, sequor};

/// Events go at once, whatever the bound, and only they and heartbeats move time.
const PROMPT: &str = "[[streams]]\nname = \"events\"\nout_of_orderness = \"0s\"\nsilence = \"hold\"\n";

fn pair(name: &str) -> String {
    format!("pattern {name} match a: a followed by b: b within 10s")
}

fn events(list: &[(&str, i64)]) -> String {
    list.iter().map(|(kind, ts)| format!("{{\"type\":\"{kind}\",\"ts\":{ts}}}\n")).collect()
}

fn send(service: &Service, list: &[(&str, i64)]) {
    service.post("/v1/streams/events/events", events(list)).ok();
}

/// Waits until everything that was sent has been taken.
fn reach(service: &Service, time: i64) {
    service.post("/v1/streams/events/watermark", format!("{{\"time\":{time}}}")).ok();
    eventually("the frontier", || {
        let streams = service.get("/v1/streams").json();
        (streams["frontier"].as_i64() >= Some(time)).then_some(())
    });
}

/// Version and end of all matches of a pattern, when there are so many.
fn matches(service: &Service, pattern: &str, count: usize) -> Vec<(u64, i64)> {
    eventually(&format!("{count} matches of {pattern}"), || {
        let found = service.get("/v1/matches?limit=1000&order=oldest").ok().json();
        let of_it: Vec<(u64, i64)> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| found["pattern"] == pattern)
            .map(|found| (found["version"].as_u64().unwrap_or(1), found["end"].as_i64().unwrap()))
            .collect();
        assert!(of_it.len() <= count, "{of_it:?}");
        (of_it.len() == count).then_some(of_it)
    })
}

fn put(service: &Service, name: &str, query: &str, tag: &str, text: &str) -> Answer {
    let headers = [("content-type", "text/plain"), ("if-match", tag)];
    let headers = if tag.is_empty() { &headers[..1] } else { &headers[..] };
    service.send("PUT", &format!("/v1/patterns/{name}{query}"), headers, text)
}

fn tag(service: &Service, name: &str) -> String {
    service.get(&format!("/v1/patterns/{name}")).ok().header("etag").to_owned()
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["type"], format!("https://sequor.dev/problems/{kind}"), "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
}

#[test]
fn a_pattern_is_changed_only_by_those_who_know_it() {
    let service = Service::start(PROMPT);
    let created = service.post("/v1/patterns", pair("p")).ok();
    assert_eq!(created.status, 201);
    let item = created.json()["items"][0].clone();
    assert_eq!((&item["name"], &item["version"], &item["state"]), (&json!("p"), &json!(1), &json!("active")));
    assert!(item["effective_from"].is_null());
    assert!(created.body.starts_with("{\"items\":[{\"name\":\"p\",\"version\":1,"), "{}", created.body);
    assert_problem(&service.post("/v1/patterns", pair("p")), 409, "exists");

    let other = pair("p").replace("10s", "20s");
    assert_problem(&put(&service, "p", "", "", &other), 428, "if-match-required");
    assert_problem(&put(&service, "p", "", "\"77\"", &other), 412, "stale");
    assert_problem(&put(&service, "p", "", "W/\"1\"", &other), 412, "stale");
    assert_problem(&put(&service, "q", "", "*", &pair("q")), 412, "stale");
    let create_only = [("content-type", "text/plain"), ("if-none-match", "*")];
    assert_problem(&service.send("PUT", "/v1/patterns/p", &create_only, &other), 412, "stale");
    assert_eq!(service.send("PUT", "/v1/patterns/q", &create_only, pair("q")).status, 201);

    let before = tag(&service, "p");
    let same = put(&service, "p", "", &before, &pair("p")).ok();
    assert_eq!((same.status, same.header("etag")), (200, &*before));
    let replaced = put(&service, "p", "", &before, &other).ok();
    assert_eq!((replaced.status, &replaced.json()["version"]), (200, &json!(2)));
    assert_problem(&put(&service, "p", "", &before, &pair("p")), 412, "stale");

    assert_problem(&service.send("DELETE", "/v1/patterns/p", &[], ""), 428, "if-match-required");
    assert_problem(&service.send("DELETE", "/v1/patterns/p", &[("if-match", &before)], ""), 412, "stale");
    assert_problem(
        &service.send("DELETE", "/v1/patterns/nobody", &[("if-match", "*")], ""),
        404,
        "no-such-pattern",
    );
    let now = tag(&service, "p");
    service.send("DELETE", "/v1/patterns/p", &[("if-match", &now)], "").ok();
    assert_problem(&service.get("/v1/patterns/p"), 404, "no-such-pattern");
    let again = put(&service, "p", "", "", &pair("p")).ok();
    assert_eq!((again.status, &again.json()["version"]), (201, &json!(3)));

    let versions = service.get("/v1/patterns/p/versions").ok().json();
    let states: Vec<&str> =
        versions["items"].as_array().unwrap().iter().map(|v| v["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["removed", "removed", "active"]);
    let second = service.get("/v1/patterns/p/versions/2").ok().json();
    assert_eq!((&second["source"], &second["ended"]["state"]), (&json!(other), &json!("drain")));
    assert_eq!((&second["created_by"], &second["ended"]["by"]), (&json!("anonymous"), &json!("anonymous")));
    assert_problem(&service.get("/v1/patterns/p/versions/4"), 404, "no-such-version");
    assert_problem(&service.get("/v1/patterns/p/versions/x"), 400, "invalid-path");
}

#[test]
fn of_changes_at_once_exactly_one_wins() {
    let service = Service::start(PROMPT);
    service.post("/v1/patterns", pair("p")).ok();
    let before = tag(&service, "p");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let putting = |number: i64| {
            let (service, before) = (&service, &before);
            let text = pair("p").replace("10s", &format!("{}s", number + 20));
            scope.spawn(move || put(service, "p", "", before, &text).status)
        };
        let all: Vec<_> = (0..8).map(putting).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    assert_eq!(service.get("/v1/patterns/p").json()["version"], 2);
}

#[test]
fn a_change_takes_effect_at_exactly_its_event_time() {
    let mut service = Service::start(PROMPT);
    send(&service, &[("x", 1_000)]);
    reach(&service, 1_000);
    let body = json!([
        {"source": "pattern p match a: a", "effective_from": 5_000, "labels": {"team": "one"}},
        {"source": "pattern q match a: a"},
    ]);
    let created = service.post("/v1/patterns", body.to_string()).ok().json();
    for item in created["items"].as_array().unwrap() {
        assert_eq!((&item["effective_from"], &item["state"]), (&json!(5_000), &json!("scheduled")));
    }
    send(&service, &[("a", 4_998), ("a", 4_999), ("a", 5_000), ("a", 5_001)]);
    reach(&service, 6_000);
    assert_eq!(matches(&service, "p", 2), [(1, 5_000), (1, 5_001)]);
    assert_eq!(matches(&service, "q", 2), [(1, 5_000), (1, 5_001)]);
    let shown = service.get("/v1/patterns/p").ok().json();
    assert_eq!(shown["state"], "active");

    // The same in RFC 3339 and at the end of a version, over a restart.
    let tag = tag(&service, "p");
    let path = "/v1/patterns/p?effective_from=1970-01-01T00:00:08Z&state=drop";
    let removed = service.send("DELETE", path, &[("if-match", &tag)], "").ok().json();
    assert_eq!(removed["effective_from"], 8_000);
    service.kill();
    service.restart();
    let version = service.get("/v1/patterns/p/versions/1").ok().json();
    assert_eq!((&version["state"], &version["ended"]["effective_from"]), (&json!("active"), &json!(8_000)));
    send(&service, &[("a", 7_999), ("a", 8_000)]);
    reach(&service, 9_000);
    assert_eq!(matches(&service, "q", 4).len(), 4);
    assert_eq!(matches(&service, "p", 3), [(1, 5_000), (1, 5_001), (1, 7_999)]);
    assert_eq!(service.get("/v1/patterns/p/versions/1").ok().json()["state"], "removed");
}

#[test]
fn what_becomes_of_partial_matches_is_said_and_seen() {
    let service = Service::start(PROMPT);
    for name in ["drained", "dropped", "carried"] {
        service.post("/v1/patterns", pair(name)).ok();
    }
    service.post("/v1/patterns", "pattern endless match a: a followed by b: b").ok();
    send(&service, &[("a", 1_000)]);
    reach(&service, 1_000);
    // State fits a version with the same stages and window.
    let other = |name: &str| match name {
        "carried" => pair(name) + " select 1 as one",
        _ => pair(name).replace("10s", "20s"),
    };
    for (name, state) in [("drained", "drain"), ("dropped", "drop"), ("carried", "carry")] {
        let query = format!("?state={state}");
        let answer = put(&service, name, &query, &tag(&service, name), &other(name));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let drained = service.get("/v1/patterns/drained/versions/1").ok().json();
    assert_eq!(drained["state"], "draining");
    send(&service, &[("b", 2_000)]);
    reach(&service, 30_000);
    assert_eq!(matches(&service, "drained", 1), [(1, 2_000)]);
    assert_eq!(matches(&service, "carried", 1), [(2, 2_000)]);
    assert_eq!(matches(&service, "dropped", 0), []);
    assert_eq!(service.get("/v1/patterns/drained/versions/1").ok().json()["state"], "removed");

    let endless = tag(&service, "endless");
    let next = "pattern endless match a: a followed by c: c";
    assert_problem(&put(&service, "endless", "?state=drain", &endless, next), 422, "state");
    let differs = put(&service, "endless", "?state=carry", &endless, "pattern endless match x: x");
    assert_problem(&differs, 422, "state");
    assert!(differs.json()["detail"].as_str().unwrap().contains("cannot be carried over"), "{differs:?}");
    let carry = service.send("DELETE", "/v1/patterns/endless?state=carry", &[("if-match", &endless)], "");
    assert_problem(&carry, 422, "state");
    assert_eq!(put(&service, "endless", "?state=drop", &endless, next).status, 200);
}

#[test]
fn a_dry_run_says_everything_and_changes_nothing() {
    let service = Service::start(PROMPT);
    service.post("/v1/patterns", pair("p")).ok();
    let list = service.get("/v1/patterns").ok();
    let dry = service.post("/v1/patterns?dry_run=true", pair("q")).ok();
    assert_eq!((dry.status, &dry.json()["items"][0]["version"]), (200, &json!(1)));
    assert_problem(&service.post("/v1/patterns?dry_run=true", pair("p")), 409, "exists");
    assert_problem(
        &service.post("/v1/patterns?dry_run=true", format!("{}\n{}", pair("r"), pair("r"))),
        422,
        "invalid-pattern",
    );
    let tag = tag(&service, "p");
    let replaced = put(&service, "p", "?dry_run=true", &tag, &pair("p").replace("10s", "1m")).ok();
    assert_eq!(replaced.json()["version"], 2);
    assert_eq!(service.send("DELETE", "/v1/patterns/p?dry_run=true", &[("if-match", &tag)], "").status, 200);
    let after = service.get("/v1/patterns").ok();
    assert_eq!((after.body, after.headers["etag"].clone()), (list.body, list.headers["etag"].clone()));

    let wrong = service.post("/v1/patterns?dry_run=true", "pattern p\nmatch a: a where");
    assert_problem(&wrong, 422, "invalid-pattern");
    let error = &wrong.json()["errors"][0];
    assert_eq!(error["line"], 2, "{error}");
    for member in ["code", "message", "column", "end"] {
        assert!(!error[member].is_null(), "{error}");
    }
    let checked = service.post("/v1/patterns:check", "pattern p\nmatch a: a where").ok().json();
    assert_eq!((&checked["valid"], &checked["errors"][0]["code"]), (&json!(false), &error["code"]));
    let checked = service.post("/v1/patterns:check", pair("p")).ok().json();
    assert_eq!((&checked["valid"], &checked["items"]), (&json!(true), &json!([{"name": "p"}])));
}

#[test]
fn properties_are_patched() {
    let mut service = Service::start(PROMPT);
    let odd = "`a/b %ü`";
    service.post("/v1/patterns", format!("pattern {odd} match a: a")).ok();
    let path = "/v1/patterns/a%2Fb%20%25%C3%BC";
    let patch = |service: &Service, tag: &str, body: &str| {
        let headers = [("content-type", "application/merge-patch+json"), ("if-match", tag)];
        service.send("PATCH", path, &headers, body)
    };
    let first = service.get(path).ok().header("etag").to_owned();
    let body = r#"{"paused":true,"labels":{"team":"fraud","tier":"1"},"limits":{"max_partial_matches":10}}"#;
    let patched = patch(&service, &first, body).ok();
    let shown = patched.json();
    assert_eq!(
        (&shown["version"], &shown["state"], &shown["paused"]),
        (&json!(1), &json!("paused"), &json!(true))
    );
    assert_problem(&patch(&service, &first, "{}"), 412, "stale");
    let now = patched.header("etag").to_owned();
    for wrong in [r#"{"nonsense":1}"#, r#"{"limits":{"max_partial_matches":0}}"#, r#"{"paused":"x"}"#, "[]"] {
        assert_problem(&patch(&service, &now, wrong), 422, "invalid-body");
    }
    assert_problem(&patch(&service, &now, "{"), 400, "invalid-json");
    let json_patch = [("content-type", "application/json"), ("if-match", &*now)];
    assert_problem(&service.send("PATCH", path, &json_patch, "{}"), 415, "media-type");
    assert_eq!(patch(&service, &now, r#"{"paused":true}"#).ok().header("etag"), now);
    send(&service, &[("a", 1_000)]);
    reach(&service, 1_000);
    let now = patch(&service, &now, r#"{"paused":null,"labels":{"tier":null}}"#).ok();
    assert_eq!(
        (&now.json()["labels"], &now.json()["limits"]),
        (&json!({"team": "fraud"}), &json!({"max_partial_matches": 10}))
    );
    send(&service, &[("a", 2_000)]);
    reach(&service, 2_000);
    assert_eq!(matches(&service, "a/b %ü", 1), [(1, 2_000)]);
    assert_eq!(
        service.get("/v1/patterns?label=team=fraud").ok().json()["items"].as_array().unwrap().len(),
        1
    );
    assert_eq!(service.get("/v1/patterns?label=team=other").ok().json()["items"], json!([]));
    let before = service.get(path).ok();
    service.kill();
    service.restart();
    let after = service.get(path).ok();
    assert_eq!((after.body, after.headers["etag"].clone()), (before.body, before.headers["etag"].clone()));
}

#[test]
fn the_list_goes_on_at_its_cursor() {
    let service = Service::start(PROMPT);
    let names: Vec<String> = (0..7).map(|number| format!("p{number}")).collect();
    let text: Vec<String> = names.iter().rev().map(|name| pair(name)).collect();
    service.post("/v1/patterns", text.join("\n")).ok();
    let (mut found, mut path) = (Vec::new(), String::from("/v1/patterns?limit=3"));
    loop {
        let page = service.get(&path).ok().json();
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/patterns?limit=3&cursor={next}");
    }
    assert_eq!(found, names);
    for wrong in ["?limit=0", "?limit=1001", "?cursor=%00", "?limit=x", "?nonsense=1"] {
        assert_problem(&service.get(&format!("/v1/patterns{wrong}")), 400, "invalid-parameter");
    }
}

#[test]
fn a_graph_is_drawn_in_the_format_that_is_asked_for() {
    let service = Service::start(PROMPT);
    service.post("/v1/patterns", pair("p")).ok();
    let kinds = [
        ("svg", "image/svg+xml", "<svg"),
        ("dot", "text/vnd.graphviz", "digraph"),
        ("mermaid", "text/vnd.mermaid", "flowchart"),
        ("json", "application/json", "{"),
    ];
    for (format, kind, begin) in kinds {
        let asked = service.get(&format!("/v1/patterns/p/graph?format={format}")).ok();
        assert_eq!(asked.header("content-type"), kind);
        assert!(asked.body.contains(begin), "{}", asked.body);
        let accepted = service.send("GET", "/v1/patterns/p/graph", &[("accept", kind)], "").ok();
        assert_eq!(accepted.body, asked.body);
    }
    let nothing = service.send("GET", "/v1/patterns/p/graph", &[("accept", "video/mp4")], "");
    assert_problem(&nothing, 406, "not-acceptable");
}

#[test]
fn whatever_goes_wrong_is_a_problem_document() {
    let service = Service::start("[server]\nmax_body = \"64KiB\"\nmax_pattern_text = \"1KiB\"\n");
    assert_problem(&service.get("/nothing"), 404, "no-such-route");
    let method = service.send("PUT", "/v1/patterns", &[], "x");
    assert_problem(&method, 405, "method");
    assert_eq!(method.header("allow"), "GET, HEAD, POST");
    // Just too long: of a body that is longer the service does not read the rest, and a client may not get to the answer.
    let text = "x".repeat((64 << 10) + 1);
    assert_problem(&service.post("/v1/patterns", &text), 413, "too-large");
    assert_problem(&service.post("/v1/patterns", &text[..2_000]), 413, "text-too-long");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_problem(&service.send("POST", "/v1/patterns", &form, "x"), 415, "media-type");
    assert_problem(&service.post("/v1/patterns", "{"), 400, "invalid-json");
    assert_problem(&service.post("/v1/patterns", "{}"), 422, "invalid-body");
    assert_problem(&service.post("/v1/patterns", "[]"), 422, "no-pattern");
    assert_problem(&service.get("/v1/patterns/%ff"), 400, "invalid-path");
    assert_problem(&service.post("/v1/streams/events/watermark", "{\"time\":true}"), 422, "invalid-body");
    let told =
        service.post("/v1/streams/events/watermark", "{\"time\":\"1970-01-01T00:00:01Z\"}").ok().json();
    assert_eq!(told["watermark"], 1_000);
    let own = service.send("GET", "/nothing", &[("x-request-id", "mine-1")], "");
    assert_eq!(own.header("x-request-id"), "mine-1");
}

fn run(service: &Service, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = sequor(&service.dir);
    command.arg("pattern").args(args).args(["--url", &service.url]);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_service_is_made_equal_to_a_folder() {
    let mut service = Service::start(PROMPT);
    let folder = service.dir.join("patterns");
    fs::create_dir_all(folder.join("deep")).unwrap();
    fs::write(folder.join("one.seq"), pair("one") + "\n").unwrap();
    fs::write(folder.join("deep/two.seq"), pair("two") + "\n").unwrap();
    service.post("/v1/patterns", pair("old") + "\n" + &pair("two").replace("10s", "5s")).ok();
    let (status, out, _) = run(&service, &["apply", "patterns", "--dry-run"]);
    assert_eq!((status, &*out), (Some(0), "~ two (version 2)\n+ one (version 1)\n- old\n"));
    assert!(service.get("/v1/patterns/old").status == 200);
    let (status, out, _) = run(&service, &["diff", "patterns"]);
    assert_eq!(status, Some(0));
    assert!(out.contains("-pattern two match a: a followed by b: b within 5s"), "{out}");
    assert!(out.contains("+pattern two match a: a followed by b: b within 10s"), "{out}");
    let (status, _, said) = run(&service, &["apply", "patterns"]);
    assert_eq!(status, Some(0), "{said}");
    let (_, out, _) = run(&service, &["ls"]);
    let names: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["NAME", "one", "two"]);
    assert_eq!(run(&service, &["get", "two"]), (Some(0), pair("two") + "\n", String::new()));
    assert_eq!(run(&service, &["apply", "patterns"]).1, "");
    assert_eq!(run(&service, &["diff", "patterns"]), (Some(0), String::new(), String::new()));
    let (status, out, _) = run(&service, &["history", "two"]);
    assert_eq!((status, out.lines().count()), (Some(0), 3), "{out}");
    fs::remove_file(folder.join("one.seq")).unwrap();
    assert_eq!(run(&service, &["apply", "patterns", "--no-prune"]).1, "");
    assert_eq!(run(&service, &["rm", "one"]).0, Some(0));
    assert_eq!(run(&service, &["rm", "one"]).0, Some(1));
    fs::write(folder.join("two.seq"), "pattern two match").unwrap();
    let (status, _, said) = run(&service, &["apply", "patterns"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("two.seq:1:"), "{said}");
    assert_eq!(run(&service, &["apply"]).0, Some(2));
    service.kill();
    assert_eq!(run(&service, &["ls"]).0, Some(69));
}
