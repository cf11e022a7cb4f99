//! Webhooks of the service: each match is posted at least once, in order and signed, to whoever may be connected to.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sequor::journal::Tail;
use serde_json::Value as Json;
use sha2::Sha256;

use crate::serving::{Service, eventually};

const KEY: &[u8] = b"a key of some length";
const MATCHES: &str = "pattern every_a match a: a";

/// A request as it came.
#[derive(Debug, Clone)]
struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The number of the event, which is in its time.
    fn event(&self) -> i64 {
        let line: Json = serde_json::from_str(&self.body).unwrap();
        line["end"].as_i64().unwrap() / 1000
    }
}

type Requests = Arc<Mutex<Vec<Request>>>;

/// A server that answers each request as it is told; its port, and what has come.
fn server(answer: impl Fn(usize, &Request) -> String + Send + 'static) -> (u16, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Requests::default());
    let noted = Arc::clone(&requests);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut reader = BufReader::new(connection.unwrap());
            let mut line = String::new();
            if reader.read_line(&mut line).is_err() || line.is_empty() {
                continue;
            }
            let path = line.split(' ').nth(1).unwrap().to_owned();
            let mut headers = Vec::new();
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            let mut request = Request { path, headers, body: String::new() };
            let mut body = vec![0; request.header("content-length").parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            request.body = String::from_utf8(body).unwrap();
            let mut all = noted.lock().unwrap();
            let status = answer(all.len(), &request);
            all.push(request);
            drop(all);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            // Who has been killed does not hear it.
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (port, requests)
}

fn service(url: &str, more: &str) -> Service {
    let sink = format!(
        "[[streams]]\nname = \"events\"\nout_of_orderness = \"0s\"\n[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{url}\"\nsecret = {{ file = \"secret\" }}\nmax_attempts = 4\n{more}\n"
    );
    let mut service = Service::new(&sink, &[]);
    fs::write(service.dir.join("secret"), format!("whsec_{}\n", STANDARD.encode(KEY))).unwrap();
    service.restart();
    service.post("/v1/patterns", MATCHES).ok();
    service
}

fn post(service: &Service, events: std::ops::Range<i64>) {
    let lines: String =
        events.map(|number| format!("{{\"type\":\"a\",\"ts\":{}}}\n", number * 1000)).collect();
    service.post("/v1/streams/events/events", lines).ok();
}

/// How the sink stands.
fn hook(service: &Service) -> Json {
    service.get("/v1/sinks").ok().json()["items"][0].clone()
}

#[test]
fn matches_are_posted_in_order_and_signed_and_what_fails_is_tried_again_or_put_aside() {
    let (port, requests) = server(|nth, request| match (nth, request.event()) {
        (0, _) => "500 Internal Server Error".to_owned(),
        (1, _) => "302 Found\r\nlocation: /elsewhere".to_owned(),
        (2, _) => "429 Too Many Requests\r\nretry-after: 2".to_owned(),
        (_, 2) => "503 Service Unavailable".to_owned(),
        _ => "204 No Content".to_owned(),
    });
    let service = service(&format!("http://127.0.0.1:{port}/hook"), "allow = [\"127.0.0.1\"]");
    post(&service, 1..4);
    service.post("/v1/streams/events/events", "{\"type\":\"end\",\"ts\":9000}\n").ok();
    eventually("two of three", || {
        let hook = hook(&service);
        (hook["delivered"] == 2 && hook["undelivered"] == 1 && hook["behind"] == 0).then_some(())
    });
    let got = requests.lock().unwrap().clone();
    let events: Vec<i64> = got.iter().map(Request::event).collect();
    assert_eq!(events, [1, 1, 1, 1, 2, 2, 2, 2, 3]);
    for request in &got {
        assert_eq!(request.path, "/hook", "no redirect is followed");
        let line: Json = serde_json::from_str(&request.body).unwrap();
        let id = request.header("webhook-id");
        assert_eq!(line["id"], id);
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
        mac.update(format!("{id}.{}.{}", request.header("webhook-timestamp"), request.body).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(request.header("webhook-signature"), signature);
    }
    let undelivered = Tail::open(&service.data().join("undelivered")).unwrap();
    let aside: Vec<_> = undelivered.reader(0).unwrap().map(Result::unwrap).collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(String::from_utf8(aside[0].body.clone()).unwrap().trim_end(), got[4].body);
    let about: Json = serde_json::from_slice(&aside[0].meta).unwrap();
    assert_eq!((&about["sink"], &about["attempts"]), (&"hook".into(), &4.into()));
}

#[test]
fn every_match_is_posted_at_least_once_however_often_the_service_is_killed() {
    let (port, requests) = server(|nth, _| {
        let status = if nth % 7 == 3 { "500 Internal Server Error" } else { "204 No Content" };
        status.to_owned()
    });
    let mut service = service(&format!("http://127.0.0.1:{port}/"), "allow = [\"127.0.0.0/8\"]");
    for round in 0..5 {
        post(&service, round * 10 + 1..round * 10 + 11);
        thread::sleep(std::time::Duration::from_millis(100 * round as u64));
        service.kill();
        service.restart();
    }
    service.post("/v1/streams/events/events", "{\"type\":\"end\",\"ts\":900000}\n").ok();
    eventually("all matches", || {
        let mut got: Vec<i64> = requests.lock().unwrap().iter().map(Request::event).collect();
        got.sort_unstable();
        got.dedup();
        (got.len() == 50 && hook(&service)["behind"] == 0).then_some(())
    });
    assert_eq!(hook(&service)["undelivered"], 0);
}

#[test]
fn what_is_no_public_address_is_not_posted_to_unless_it_is_allowed() {
    let (port, requests) = server(|_, _| "204 No Content".to_owned());
    let service = service(&format!("http://localhost:{port}/"), "");
    post(&service, 1..3);
    let why = eventually("the refusal", || hook(&service)["last_error"].as_str().map(str::to_owned));
    assert!(why.contains("allow"), "{why}");
    assert!(requests.lock().unwrap().is_empty());
}
