//! The service as its users meet it: the real binary, over HTTP, killed and started again.

#![expect(clippy::disallowed_methods, reason = "no output depends on how long a test waits")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A service, running or not, in a folder of its own that goes with it.
pub(crate) struct Service {
    /// Where it is reached; empty as long as it has not been ready.
    pub(crate) url: String,
    /// The folder that it runs in: `sequor.toml`, the data directory `data`, and what it said on standard error in `log`.
    pub(crate) dir: PathBuf,
    args: Vec<String>,
    child: Option<Child>,
    agent: ureq::Agent,
    _dir: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The body, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Itself, if it is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Answer {
        assert!((200..300).contains(&self.status), "{self:?}");
        self
    }
}

impl Service {
    /// Starts one with this `sequor.toml`, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(config: &str) -> Service {
        let mut service = Service::new(config, &[]);
        service.restart();
        service
    }

    /// One that does not run yet. `args` are given besides those that say where it runs.
    pub(crate) fn new(config: &str, args: &[&str]) -> Service {
        let dir = tempfile::tempdir().unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let service = Service {
            url: String::new(),
            dir: dir.path().to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            child: None,
            agent,
            _dir: dir,
        };
        service.configure(config);
        service
    }

    /// What the next start reads as its `sequor.toml`.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.dir.join("sequor.toml"), config).unwrap();
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What it has said on standard error, in all its runs.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Starts it, and does not wait.
    pub(crate) fn launch(&mut self) {
        self.kill();
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut command = sequor(&self.dir);
        command.args(["serve", "--config", "sequor.toml", "--listen", "127.0.0.1:0", "--data", "data"]);
        self.child = Some(
            command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap(),
        );
    }

    /// Waits until it is ready after [`Service::launch`]; false if it ends before.
    pub(crate) fn becomes_ready(&mut self) -> bool {
        let child = self.child.as_mut().expect("it has been launched");
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).unwrap();
        }
        let Some(url) = line.trim_end().strip_prefix("listening on ") else { return false };
        url.clone_into(&mut self.url);
        true
    }

    /// Starts it in the same folder, killing it before if it runs, and waits until it is ready.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.launch();
        assert!(self.becomes_ready(), "the service did not start: {}", self.log());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// The number of the process.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Asks it to stop, and waits for its end. Its exit status.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> i32 {
        self.terminate();
        self.ends()
    }

    /// Asks it to stop, and does not wait.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for its end. Its exit status.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> i32 {
        let mut child = self.child.take().expect("it runs");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("the service does not end: {}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A request, and its answer; none where the service is not there, or goes while it answers.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Option<Answer> {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut response = match body.as_ref() {
            b"" => self.agent.run(request.body(()).unwrap()),
            body => self.agent.run(request.body(body).unwrap()),
        }
        .ok()?;
        // A backup is no text.
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().ok()?;
        Some(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// A request, and its answer.
    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}: {}", self.log()))
    }

    /// GET.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// POST: events as lines, JSON as such, and text else.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        self.send("POST", path, &[("content-type", kind_of(path, body))], body)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a body is, by where it goes and how it begins.
pub(crate) fn kind_of(path: &str, body: &[u8]) -> &'static str {
    match body.first() {
        _ if path.split('?').next().is_some_and(|path| path.ends_with("/events")) => "application/x-ndjson",
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain",
    }
}

/// The program, to be run in a folder.
pub(crate) fn sequor(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sequor"));
    command.current_dir(dir);
    // Settings of whoever runs the tests are not those of the service.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEQUOR__") {
            command.env_remove(name);
        }
    }
    command
}

/// Tries until it is there.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_after_a_stop() {
    let mut service = Service::start("");
    service.post("/v1/patterns", "pattern one match a: a followed by b: b within 10s").ok();
    let event = |kind: &str, ts: i64| format!("{{\"type\":\"{kind}\",\"ts\":{ts}}}\n");
    let posted = service.post("/v1/streams/events/events", event("a", 1000) + "no event\n").ok().json();
    assert_eq!((&posted["accepted"], &posted["rejected"]), (&Json::from(1), &Json::from(1)));
    let nothing = service.get("/nothing");
    assert_eq!((nothing.status, nothing.header("content-type")), (404, "application/problem+json"));
    service.kill();
    assert!(service.try_send("GET", "/livez", &[], "").is_none());
    assert!(service.data().join("LOCK").exists());
    service.restart();
    service.post("/v1/streams/events/events", event("b", 2000) + &event("b", 90_000)).ok();
    let matches = eventually("the match", || {
        let items = service.get("/v1/matches").ok().json()["items"].as_array().unwrap().clone();
        (!items.is_empty()).then_some(items)
    });
    assert_eq!(matches.len(), 1);
    assert_eq!(service.stop(), 0);
    service.restart();
    let again = service.get("/v1/matches").ok().json();
    assert_eq!(again["items"].as_array().unwrap(), &matches);
}

#[test]
fn more_events_than_may_wait_are_refused_and_end_nothing() {
    let mut service = Service::start(
        "[engine]\nmax_buffered_events = 100\n[[streams]]\nname = \"events\"\nout_of_orderness = \"1h\"\nsilence = \"hold\"\n",
    );
    let lines = |from: i64| (from..from + 50).map(|ts| format!("{{\"ts\":{ts}}}\n")).collect::<String>();
    let mut posted = 0;
    let refused = eventually("that it is too much", || {
        let answer = service.post("/v1/streams/events/events", lines(posted));
        posted += if answer.status == 200 { 50 } else { 0 };
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(refused.body.contains("engine.max_buffered_events"), "{}", refused.body);
    assert!(posted > 100, "{posted}");
    // What was taken is no less there for it, also after a restart; and time frees it.
    service.kill();
    service.restart();
    service.post("/v1/streams/events/watermark", format!("{{\"time\":{posted}}}")).ok();
    let answer = eventually("room", || {
        let answer = service.post("/v1/streams/events/events", lines(posted + 1));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.json()["first_offset"], posted);
}
