//! Traces: sent where a collector is named, as a part of the trace that the client names; a collector that is not there
//! harms nobody.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use crate::serving::Service;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Takes all that is sent to it, and answers each request.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sent, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut bytes, mut block) = (Vec::new(), [0; 65536]);
            loop {
                let read = stream.read(&mut block).unwrap_or(0);
                bytes.extend_from_slice(&block[..read]);
                let text = String::from_utf8_lossy(&bytes).to_lowercase();
                let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
                let is_whole = match (head, length.and_then(|length| length.trim().parse::<usize>().ok())) {
                    (Some(head), Some(length)) => bytes.len() >= head + 4 + length,
                    _ => false,
                };
                if is_whole || read == 0 {
                    break;
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = sent.send(bytes);
        }
    });
    (url, received)
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn requests_are_spans_of_the_trace_that_the_client_names() {
    let (url, received) = collector();
    let mut service = Service::start(&format!("[otlp]\nendpoint = \"{url}\"\n"));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers =
        [("traceparent", &*parent), ("content-type", "text/plain"), ("authorization", "Bearer hush")];
    service.send("POST", "/v1/patterns?dry_run=false", &headers, "pattern one match a: a").ok();
    service.get("/v1/patterns/one").ok();
    assert_eq!(service.stop(), 0, "{}", service.log());
    let all: Vec<u8> = received.try_iter().flatten().collect();
    for part in ["POST /v1/patterns", "GET /v1/patterns/{name}", "sequor", "http.response.status_code"] {
        assert!(has(&all, part.as_bytes()), "{part}");
    }
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..][..2], 16).unwrap()).collect();
    assert!(has(&all, &bytes), "the client's trace");
    assert!(!has(&all, b"hush") && !has(&all, b"dry_run"));
    // What is told on standard error stays what it was.
    let log = service.log();
    assert!(
        log.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].is_string())
    );
    assert!(!log.contains("\"span"), "{log}");
}

#[test]
fn a_collector_that_is_not_there_harms_nobody() {
    let url = format!("http://{}/v1/traces", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let mut service = Service::start(&format!("[otlp]\nendpoint = \"{url}\"\n"));
    for _ in 0..20 {
        service.get("/livez").ok();
    }
    assert_eq!(service.stop(), 0, "{}", service.log());
}
