//! Looking inside a running service: partial matches, what is held of a key, and what patterns cost.

use serde_json::{Value as Json, json};

use crate::serving::{Answer, Service, eventually, sequor};

/// Events go as soon as a later one has come, and only they and heartbeats move time.
const PROMPT: &str =
    "[engine]\nthreads = 2\n[[streams]]\nname = \"events\"\nout_of_orderness = \"0s\"\nsilence = \"hold\"\n";

const FRAUD: &str = "pattern fraud key by card match login: login where ok followed by any pay{2,}: pay where amount > login.min\n  \
    not followed by logout: logout followed by ship: ship within 1h";

fn send(service: &Service, events: &[Json]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    service.post("/v1/streams/events/events", lines).ok();
}

/// Time has come so far in the stream.
fn reach(service: &Service, time: i64) {
    service.post("/v1/streams/events/watermark", json!({ "time": time }).to_string()).ok();
}

fn items(answer: Answer) -> Vec<Json> {
    answer.ok().json()["items"].as_array().unwrap().clone()
}

#[test]
fn a_pattern_half_way_is_seen_as_far_as_it_has_come() {
    let service = Service::start(PROMPT);
    service.post("/v1/patterns", FRAUD).ok();
    let of = "/v1/patterns/fraud/partial-matches";
    assert_eq!(service.get(of).ok().json(), json!({ "items": [], "keys": [], "next": null }));

    let login = r#"{ "type":"login","ts":1000, "card":"c 1","ok":true,"min":1.50}"#;
    service.post("/v1/streams/events/events", format!("{login}\n")).ok();
    send(
        &service,
        &[
            json!({ "type": "pay", "ts": 2000, "card": "c 1", "amount": 5 }),
            json!({ "type": "pay", "ts": 2500, "card": "c 1", "amount": 1 }),
            json!({ "type": "login", "ts": 2600, "card": "other", "ok": true, "min": 0 }),
        ],
    );
    reach(&service, 3000);

    let answer = service.get(&format!("{of}?key=c%201")).ok();
    assert!(answer.body.contains(&format!(r#""event":{login}"#)), "byte for byte: {}", answer.body);
    let seen = answer.json();
    assert_eq!(
        seen["keys"],
        json!([{ "version": 1, "key": { "card": "c 1" }, "partial_matches": 2, "is_capped": false }])
    );
    let one = &seen["items"][1];
    assert_eq!(one["key"], json!({ "card": "c 1" }));
    assert_eq!(
        (&one["state"], &one["since"], &one["deadline"], &one["version"]),
        (&json!("open"), &json!(1000), &json!(3_601_000), &json!(1))
    );
    let (fewer, more) = match seen["items"][0]["matched"].as_array().unwrap().len() {
        1 => (&seen["items"][0], one),
        _ => (one, &seen["items"][0]),
    };
    assert_eq!(fewer["matched"], json!(["login"]));
    assert_eq!(more["matched"], json!(["login", "pay"]));
    let waits = json!([{
        "variable": "pay", "text": "followed by any pay{2,}: pay where amount > login.min", "again": false, "unless": []
    }]);
    assert_eq!(fewer["waits_for"], waits);
    assert_eq!(more["waits_for"][0]["variable"], "pay");
    let paid = json!({ "type": "pay", "ts": 2000, "card": "c 1", "amount": 5 });
    assert_eq!(
        more["events"]["pay"],
        json!([{ "stream": "events", "partition": 0, "offset": 1, "time": 2000, "event": paid }])
    );

    // The rest comes: what is complete is held no more.
    send(
        &service,
        &[
            json!({ "type": "pay", "ts": 4000, "card": "c 1", "amount": 7 }),
            json!({ "type": "ship", "ts": 5000, "card": "c 1" }),
        ],
    );
    reach(&service, 5000);
    let matches = eventually("the match", || {
        let found = items(service.get("/v1/matches"));
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(matches.len(), 1);
    let left = items(service.get(&format!("{of}?key=%5B%22c%201%22%5D")));
    assert!(
        !left.is_empty() && left.iter().all(|item| item["waits_for"][0]["variable"] == "pay"),
        "{left:?}"
    );
    reach(&service, 3_601_000);
    assert_eq!(items(service.get(&format!("{of}?key=c%201"))), [] as [Json; 0]);
    assert_eq!(items(service.get(of)).len(), 1, "the other one is still open");

    let cost = items(service.get("/v1/patterns/fraud/cost"));
    let [cost] = cost.as_slice() else { panic!("{cost:?}") };
    assert_eq!((&cost["version"], &cost["matches"], &cost["timeouts"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(
        (&cost["keys"], &cost["partial_matches"], &cost["retained_events"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert!(cost["events"].as_u64() >= Some(5) && cost["bytes"].as_u64() > Some(20), "{cost}");
    assert_eq!(cost["is_estimate"], false);
    assert!((0.0..=1.0).contains(&cost["time_share"].as_f64().unwrap()), "{cost}");

    // Nothing of the other key is lost by having been looked at.
    let mut service = service;
    service.kill();
    service.restart();
    assert_eq!(items(service.get(&format!("{of}?key=other"))).len(), 1);
}

#[test]
fn keys_are_listed_page_by_page_and_by_what_holds_them() {
    let service = Service::start(PROMPT);
    let patterns = "pattern one key by k match a: a followed by b: b within 1h
                    pattern many key by k match a: a followed by any c+: c combinations followed by b: b within 1h
                    pattern two key by k, n match a: a followed by b: b within 1h
                    pattern none match a: a followed by b: b within 1h";
    service.post("/v1/patterns", patterns).ok();
    let mut events: Vec<Json> = (0..25)
        .map(|key| json!({ "type": "a", "ts": 1000 + key, "k": format!("k{key}"), "n": key % 2 }))
        .collect();
    events.push(json!({ "type": "a", "ts": 1100, "k": 7, "n": 1 }));
    events.push(json!({ "type": "a", "ts": 1101, "k": "[7]", "n": 1.5 }));
    events.extend((0..20).map(|time| json!({ "type": "c", "ts": 1200 + time, "k": "k3" })));
    send(&service, &events);
    reach(&service, 2000);

    for (name, count) in [("one", 27), ("two", 27), ("many", 27 + 9)] {
        let all = service.get(&format!("/v1/patterns/{name}/partial-matches?limit=1000")).ok().json();
        assert_eq!((all["items"].as_array().unwrap().len(), &all["next"]), (count, &Json::Null), "{name}");
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/patterns/{name}/partial-matches?limit=10{cursor}");
            let page = service.get(&path).ok().json();
            let some = page["items"].as_array().unwrap();
            assert!((1..=10).contains(&some.len()));
            paged.extend(some.clone());
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(json!(paged), all["items"], "{name}");
    }

    // A key by itself is read to its end, however much it holds.
    let of_key = |cursor: u64| {
        let path = format!("/v1/patterns/many/partial-matches?key=k3&limit=3&cursor={cursor}");
        service.get(&path).ok().json()
    };
    let first = of_key(0);
    assert_eq!(first["keys"][0]["partial_matches"], 1 << 20);
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (3, &json!("3")));
    let last = of_key((1 << 20) - 1);
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (1, &Json::Null));
    assert_eq!(of_key(1 << 20)["items"], json!([]));

    let holders = |path: &str| {
        let found = items(service.get(&format!("/v1/keys/{path}")));
        found.iter().map(|found| found["pattern"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(holders("k3"), ["many", "one"]);
    assert_eq!(holders("%5B%22k3%22%2C1%5D"), ["two"]);
    assert_eq!(holders("%5B%5D"), ["none"]);
    assert_eq!(
        (holders("7"), holders("%5B7%5D"), holders("%5B7.0%5D")),
        (vec![], vec!["many".into(), "one".into()], holders("%5B7%5D"))
    );
    assert_eq!(holders("%5B%22%5B7%5D%22%5D"), ["many", "one"]);
    assert_eq!(holders("%7B%22n%22:1,%22k%22:%22k3%22%7D"), ["two"]);
    assert_eq!((holders("%7B%22k%22:%22k3%22%7D"), holders("%7B%22n%22:1%7D")), (holders("k3"), vec![]));
    let same = |key: &str| items(service.get(&format!("/v1/patterns/two/partial-matches?key={key}")));
    let (array, object) = (same("%5B%22k3%22%2C1%5D"), same("%7B%22n%22:1.0,%22k%22:%22k3%22%7D"));
    assert_eq!((array.len(), &array), (1, &object));
    assert_eq!(holders("nobody"), [] as [&str; 0]);
    let held = &items(service.get("/v1/keys/k3"))[0];
    assert_eq!(
        *held,
        json!({
            "pattern": "many", "version": 1, "key": { "k": "k3" }, "partial_matches": 1 << 20, "is_capped": false,
            "since": 1003, "deadline": 3_601_003
        })
    );
    let page = service.get("/v1/keys/k3?limit=1").ok().json();
    assert_eq!(page["items"][0]["pattern"], "many");
    let rest =
        service.get(&format!("/v1/keys/k3?limit=1&cursor={}", page["next"].as_str().unwrap())).ok().json();
    assert_eq!((&rest["items"][0]["pattern"], &rest["next"]), (&json!("one"), &Json::Null));

    let cost = &items(service.get("/v1/patterns/one/cost"))[0];
    assert_eq!(
        (&cost["keys"], &cost["events"], &cost["is_estimate"]),
        (&json!(27), &json!(27), &json!(false))
    );

    let out = sequor(&service.dir)
        .args(["pattern", "partial-matches", "one", "--key", "k3", "--url", &service.url])
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains(r#"{"k":"k3"}"#) && text.contains("followed by b: b"), "{text}");
}

#[test]
fn many_keys_are_gathered_in_parts_and_weighed_by_some() {
    const KEYS: u64 = 40_000;
    let service = Service::start(PROMPT);
    service.post("/v1/patterns", "pattern p key by k match a: a followed by b: b within 1h").ok();
    send(&service, &(0..KEYS).map(|key| json!({ "type": "a", "ts": 1000, "k": key })).collect::<Vec<_>>());
    reach(&service, 1000);
    let cost = &items(service.get("/v1/patterns/p/cost"))[0];
    assert_eq!(
        (&cost["keys"], &cost["partial_matches"], &cost["is_estimate"]),
        (&json!(KEYS), &json!(KEYS), &json!(true))
    );
    // The events are alike, but for the length of a number.
    let a_key = cost["bytes"].as_u64().unwrap() / KEYS;
    assert!((30..100).contains(&a_key), "{a_key} bytes");

    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    // While keys come and go that are asked for or not, all others are seen once.
    let mut time = 1000;
    loop {
        let page = service.get(&format!("/v1/patterns/p/partial-matches?limit=1000{cursor}")).ok().json();
        for item in page["items"].as_array().unwrap() {
            let key = item["key"]["k"].as_u64().unwrap();
            assert!(seen.insert(key) || key >= KEYS, "{key} twice");
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        time += 1;
        let events = |kind, keys: std::ops::Range<u64>| {
            keys.map(move |key| json!({ "type": kind, "ts": time, "k": key })).collect::<Vec<_>>()
        };
        let from = KEYS + time as u64 * 100;
        send(&service, &[events("a", from..from + 100), events("b", from - 100..from - 50)].concat());
    }
    assert_eq!(seen.range(..KEYS).count() as u64, KEYS);
}

#[test]
fn versions_are_told_apart_and_what_is_wrong_is_said() {
    let service = Service::start(PROMPT);
    let text = |key: &str| format!("pattern p key by {key} match a: a followed by b: b within 1h");
    service.post("/v1/patterns", text("k")).ok();
    send(&service, &[json!({ "type": "a", "ts": 1000, "k": "x", "n": 1 })]);
    reach(&service, 1000);
    let tag = service.get("/v1/patterns/p").ok().header("etag").to_owned();
    let headers = [("content-type", "text/plain"), ("if-match", tag.as_str())];
    service.send("PUT", "/v1/patterns/p?state=drain", &headers, text("k").replace("b: b", "b: c")).ok();
    send(&service, &[json!({ "type": "a", "ts": 2000, "k": "x", "n": 1 })]);
    reach(&service, 2000);
    let seen = items(service.get("/v1/patterns/p/partial-matches?key=x"));
    let told =
        |item: &Json| (item["version"].clone(), item["since"].clone(), item["waits_for"][0]["text"].clone());
    assert_eq!(
        seen.iter().map(told).collect::<Vec<_>>(),
        [
            (json!(1), json!(1000), json!("followed by b: b")),
            (json!(2), json!(2000), json!("followed by b: c"))
        ]
    );
    let second = items(service.get("/v1/patterns/p/partial-matches?key=x&limit=1&cursor=1"));
    assert_eq!(second.iter().map(told).map(|told| told.0).collect::<Vec<_>>(), [json!(2)]);
    let versions: Vec<Json> =
        items(service.get("/v1/patterns/p/cost")).iter().map(|cost| cost["version"].clone()).collect();
    assert_eq!(versions, [json!(1), json!(2)]);

    for (status, path) in [
        (404, "/v1/patterns/q/partial-matches"),
        (404, "/v1/patterns/q/partial-matches?key=x"),
        (404, "/v1/patterns/q/cost"),
        (400, "/v1/patterns/p/partial-matches?limit=0"),
        (400, "/v1/patterns/p/partial-matches?limit=1001"),
        (400, "/v1/patterns/p/partial-matches?cursor=%C3%A4"),
        (400, "/v1/patterns/p/partial-matches?key=x&cursor=y"),
        (400, "/v1/patterns/p/partial-matches?key=%5B1"),
        (400, "/v1/patterns/p/partial-matches?key=%5Bnull%5D"),
        (400, "/v1/patterns/p/partial-matches?key=%5B1%2C2%5D"),
        (400, "/v1/patterns/p/partial-matches?colour=red"),
        (400, "/v1/patterns/p/partial-matches?key=%7B%22j%22:1%7D"),
        (400, "/v1/keys/x?limit=0"),
        (400, "/v1/keys/x?cursor=1"),
        (400, "/v1/keys/%5B%7B%7D%5D"),
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    let detail = service.get("/v1/patterns/p/partial-matches?key=%5B1%2C2%5D").json()["detail"].clone();
    assert_eq!(detail, "the key of `p` is (k)");
}
