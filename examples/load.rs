//! Posts events to a running service over several connections, and tells how many a second became durable:
//! `./dev load http://127.0.0.1:7878 [connections] [batches] [events a batch]`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures, and tells what it has measured"
)]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Bodies that each connection sends in turn.
const BODIES: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: load URL [connections] [batches] [events a batch]")?;
    let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse());
    let (connections, batches, events) = (number(4)?, number(2_000)?, number(1_000)?);
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let begun = Instant::now();
    let posting: Vec<_> = (0..connections)
        .map(|connection| {
            let host = host.clone();
            thread::spawn(move || {
                post(&host, connection, batches / connections, events).map_err(|error| error.to_string())
            })
        })
        .collect();
    let mut waits = Vec::new();
    let mut refused = 0;
    for one in posting {
        let (times, busy) = one.join().map_err(|_| "a connection's thread panicked")??;
        waits.extend(times);
        refused += busy;
    }
    let seconds = begun.elapsed().as_secs_f64();
    waits.sort();
    let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
    let total = waits.len() * events;
    println!(
        "{total} events in {seconds:.2} s: {:.0} events/s over {connections} connections; a batch of {events} took {:?} (p50), {:?} (p99); {refused} times busy",
        total as f64 / seconds,
        at(50),
        at(99),
    );
    Ok(())
}

/// Posts batches one after the other. How long each took, and how often the service was busy.
fn post(
    host: &str,
    connection: usize,
    batches: usize,
    events: usize,
) -> Result<(Vec<Duration>, usize), Box<dyn Error>> {
    let requests: Vec<Vec<u8>> = (0..BODIES).map(|body| request(host, connection, body, events)).collect();
    let mut socket = TcpStream::connect(host)?;
    socket.set_nodelay(true)?;
    let mut answers = BufReader::new(socket.try_clone()?);
    let (mut times, mut refused) = (Vec::with_capacity(batches), 0);
    while times.len() < batches {
        let begun = Instant::now();
        socket.write_all(&requests[times.len() % BODIES])?;
        match status(&mut answers)? {
            200 => times.push(begun.elapsed()),
            503 => {
                refused += 1;
                thread::sleep(Duration::from_millis(10));
            }
            other => return Err(format!("answered {other}").into()),
        }
    }
    Ok((times, refused))
}

fn request(host: &str, connection: usize, body: usize, events: usize) -> Vec<u8> {
    let mut lines = String::new();
    for event in 0..events {
        // All bodies span the same second, so that nothing is late.
        let ts = 1_700_000_000_000_u64 + (event * 1_000 / events) as u64;
        let card = (connection * 7_919 + body * 104_729 + event * 31) % 100_000;
        let amount = event * 37 % 997;
        lines.push_str(&format!(
            "{{\"type\":\"tx\",\"ts\":{ts},\"card\":\"c{card}\",\"amount\":{amount}.5,\"merchant\":\"m{}\"}}\n",
            event % 50
        ));
    }
    let head = format!(
        "POST /v1/streams/events/events HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        lines.len()
    );
    [head.as_bytes(), lines.as_bytes()].concat()
}

/// Reads an answer. Its status.
fn status(answers: &mut impl BufRead) -> Result<u16, Box<dyn Error>> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let status = line.split(' ').nth(1).ok_or("no HTTP answer")?.parse()?;
    let mut length = 0;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        match line.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    Ok(status)
}
