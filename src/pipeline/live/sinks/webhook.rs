//! A sink that is a URL: each line of the log that is for it is posted there at least once, in order, signed as Standard
//! Webhooks says. What fails is tried again, later each time; what has failed for too often is put aside, and counted.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

use super::super::owner::{now, wall_clock};
use super::cursor::Cursor;
use super::file::lines;
use super::guard::Guard;
use super::progress::{Backoff, Progress, Stop};
use super::selection::Selection;
use super::{SAVE_EVERY, await_line};
use crate::config::secret::Secret;
use crate::config::settings::WebhookTarget;
use crate::journal::{Disk, Journal, NewRecord, RealDisk, Retention, Tail};

/// How much is kept of what could not be delivered, in bytes.
const UNDELIVERED_BYTES: u64 = 256 << 20;
/// How much of an answer is read, in bytes; the rest concerns nobody.
const ANSWER_BYTES: u64 = 64 << 10;
/// The first wait after a failure, and the longest one.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// The longest wait that the other side may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The log of what could not be delivered, of all sinks.
pub(super) type Undelivered = Arc<Mutex<Journal>>;

/// A URL that lines are posted to.
pub(super) struct Webhook {
    name: String,
    url: String,
    max_attempts: u32,
    key: Option<Vec<u8>>,
    agent: Agent,
    tail: Tail,
    selection: Selection,
    sidecar: PathBuf,
    /// How far it has come.
    cursor: Cursor,
    /// How much of that is recorded, and when it was.
    recorded: u64,
    saved: Instant,
    undelivered: Undelivered,
}

/// How an attempt failed, and for how long the other side wants to be left alone.
struct Failed(String, Option<Duration>);

/// It is time to stop.
struct Stopped;

impl Webhook {
    /// Opens a sink that begins with what comes from now on, or goes on where it was.
    pub(super) fn open(
        (name, target): (&str, &WebhookTarget),
        secret: Option<&Secret>,
        sidecar: PathBuf,
        tail: Tail,
        selection: Selection,
        undelivered: Undelivered,
    ) -> io::Result<Webhook> {
        let source = selection.source();
        let cursor = match Cursor::read(&sidecar)? {
            Some(cursor) if cursor.what != source || cursor.file.is_some() => {
                return Err(io::Error::other(format!(
                    "`{}` is of a sink of another type: give the new one another name",
                    sidecar.display()
                )));
            }
            Some(cursor) => cursor,
            None => {
                let cursor = Cursor::new(source, tail.next());
                cursor.write(&RealDisk, &sidecar)?;
                cursor
            }
        };
        Ok(Webhook {
            name: name.to_owned(),
            url: target.url.clone(),
            max_attempts: target.max_attempts,
            key: secret.map(key).transpose()?,
            agent: agent(target.timeout, Guard::new(&target.allow)),
            recorded: cursor.next,
            saved: now(),
            tail,
            selection,
            sidecar,
            cursor,
            undelivered,
        })
    }

    /// The number of the first line that it has not taken.
    pub(super) fn next(&self) -> u64 {
        self.cursor.next
    }

    /// Posts lines as the log grows, until it is told to stop.
    pub(super) fn run(mut self, progress: &Progress, stop: &Stop) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        while !stop.is_set() {
            match self.follow(progress, stop) {
                Ok(Ok(())) => backoff.reset(),
                Ok(Err(Stopped)) => break,
                Err(error) => {
                    progress.failed(error.to_string());
                    stop.wait(backoff.next());
                }
            }
        }
        if let Err(error) = self.save(progress) {
            // What was posted since the last time is posted again.
            progress.failed(error.to_string());
        }
    }

    /// Posts what the log has, and waits for more.
    fn follow(&mut self, progress: &Progress, stop: &Stop) -> io::Result<Result<(), Stopped>> {
        let tail = self.tail.clone();
        let reader = tail.reader(self.cursor.next).map_err(io::Error::other)?;
        for record in reader {
            let record = record.map_err(io::Error::other)?;
            if self.selection.takes_of(&record) {
                for (number, line) in lines(record.first, &record.body) {
                    if number < self.cursor.next {
                        continue;
                    }
                    if self.selection.takes(line)? {
                        match self.deliver(number, line.trim_ascii_end(), progress, stop)? {
                            Ok(true) => self.cursor.delivered += 1,
                            Ok(false) => self.cursor.undelivered += 1,
                            Err(stopped) => return Ok(Err(stopped)),
                        }
                    }
                    self.came(number + 1, progress)?;
                }
            }
            self.came(record.next(), progress)?;
        }
        let wait = SAVE_EVERY.saturating_sub(self.saved.elapsed());
        let is_ahead = self.recorded < self.cursor.next;
        if is_ahead && wait.is_zero() {
            self.save(progress)?;
        }
        await_line(&self.tail, self.cursor.next, if is_ahead { wait } else { SAVE_EVERY }, stop);
        Ok(Ok(()))
    }

    fn came(&mut self, next: u64, progress: &Progress) -> io::Result<()> {
        self.cursor.next = next;
        let Cursor { delivered, undelivered, .. } = self.cursor;
        progress.came(next, self.recorded, delivered, undelivered);
        if self.saved.elapsed() >= SAVE_EVERY { self.save(progress) } else { Ok(()) }
    }

    fn save(&mut self, progress: &Progress) -> io::Result<()> {
        let disk: &dyn Disk = &RealDisk;
        self.cursor.write(disk, &self.sidecar)?;
        (self.recorded, self.saved) = (self.cursor.next, now());
        let Cursor { next, delivered, undelivered, .. } = self.cursor;
        progress.came(next, next, delivered, undelivered);
        Ok(())
    }

    /// Posts a line until that succeeds, or has failed for too often; says which.
    fn deliver(
        &self,
        number: u64,
        line: &[u8],
        progress: &Progress,
        stop: &Stop,
    ) -> io::Result<Result<bool, Stopped>> {
        let id = id_of(line).unwrap_or_else(|| format!("{}-{number}", self.cursor.what));
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        for attempt in 1.. {
            let Err(Failed(why, retry_after)) = self.post(&id, line) else {
                progress.succeeded();
                return Ok(Ok(true));
            };
            progress.failed(why.clone());
            if attempt >= self.max_attempts {
                self.put_aside(number, line, attempt, &why)?;
                return Ok(Ok(false));
            }
            let wait = backoff.next().max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
            if stop.wait(wait) {
                break;
            }
        }
        Ok(Err(Stopped))
    }

    /// One attempt.
    fn post(&self, id: &str, body: &[u8]) -> Result<(), Failed> {
        let timestamp = wall_clock().div_euclid(1000).to_string();
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", &timestamp);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, id, &timestamp, body));
        }
        let mut response = request.send(body).map_err(|error| Failed(error.to_string(), None))?;
        // What has been read to its end leaves the connection open for the next one.
        let _ = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
        let status = response.status();
        match status.is_success() {
            true => Ok(()),
            false if status.is_redirection() => {
                Err(Failed(format!("answered {status}; redirects are not followed"), retry_after(&response)))
            }
            false => Err(Failed(format!("answered {status}"), retry_after(&response))),
        }
    }

    /// Keeps a line that could not be delivered, durably.
    fn put_aside(&self, number: u64, line: &[u8], attempts: u32, why: &str) -> io::Result<()> {
        let about = json!({ "sink": self.name, "number": number, "attempts": attempts, "error": why });
        let meta = serde_json::to_vec(&about).map_err(io::Error::other)?;
        let mut log = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
        let body = [line, b"\n"].concat();
        log.append(&[NewRecord { count: 1, meta: &meta, body: &body }]).map_err(io::Error::other)?;
        let policy = Retention { bytes_max: Some(UNDELIVERED_BYTES), keep_since: None };
        log.retain(&policy, u64::MAX).map_err(io::Error::other)?;
        Ok(())
    }
}

/// What requests are made by: to checked addresses only, without redirects and proxies, which would go round the check.
pub(super) fn agent(timeout: Duration, guard: Guard) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::WebPki)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .user_agent(concat!("sequor/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), guard)
}

/// The bytes of a secret: as Standard Webhooks writes them (`whsec_` and base64), or any text as it is.
fn key(secret: &Secret) -> io::Result<Vec<u8>> {
    match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| io::Error::other("what follows `whsec_` in its secret is not base64")),
        None => Ok(secret.expose().as_bytes().to_vec()),
    }
}

fn signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The id of a match.
fn id_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        id: String,
    }
    serde_json::from_slice::<Head>(line).ok().map(|head| head.id)
}

/// What the other side says of when to come again: seconds, or a date.
fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    u64::try_from(then.saturating_sub(wall_clock())).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's reference implementations.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
