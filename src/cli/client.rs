//! Requests to a service, and what its refusals say.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use super::say;

/// Which service.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServiceArgs {
    /// Where the service is
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:7878")]
    url: String,
    /// A file that holds the token to use
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// How long a service may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read.
const ANSWER_MAX: u64 = 1 << 30;

/// Why nothing was done.
#[derive(Debug)]
pub(in crate::cli) enum Failed {
    /// The service, or a check on this side, refused it.
    Refused(String),
    /// The flags are wrong.
    Usage(String),
    /// The service could not be reached.
    Unreachable(String),
}

impl Failed {
    /// The exit status.
    pub(in crate::cli) fn status(&self) -> u8 {
        match self {
            Failed::Refused(_) => 1,
            Failed::Usage(_) => 2,
            Failed::Unreachable(_) => 69,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Refused(why) | Failed::Usage(why) | Failed::Unreachable(why) => f.write_str(why),
        }
    }
}

/// The exit status; what went wrong is said.
pub(in crate::cli) fn exit(done: Result<(), Failed>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            say(format!("sequor: {failed}"));
            ExitCode::from(failed.status())
        }
    }
}

/// A service, as seen from here.
pub(in crate::cli) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

impl Client {
    pub(in crate::cli) fn of(service: &ServiceArgs) -> Result<Client, Failed> {
        Client::new(&service.url, service.token_file.as_deref())
    }

    fn new(url: &str, token_file: Option<&Path>) -> Result<Client, Failed> {
        // Where another one has been installed already, that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = |file: &Path| match fs::read_to_string(file) {
            Ok(token) => Ok(token.trim().to_owned()),
            Err(error) => {
                Err(Failed::Usage(format!("cannot read the token in `{}`: {error}", file.display())))
            }
        };
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Ok(Client {
            agent: config.new_agent(),
            url: url.trim_end_matches('/').to_owned(),
            token: token_file.map(read).transpose()?,
        })
    }

    pub(in crate::cli) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.read(self.send("GET", path, None, None)?)
    }

    /// The ETag of what is at a path.
    pub(in crate::cli) fn tag(&self, path: &str) -> Result<String, Failed> {
        let response = self.send("GET", path, None, None)?;
        let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        self.read::<Value>(response)?;
        tag.ok_or_else(|| Failed::Refused(format!("the answer of {} has no ETag", self.url)))
    }

    pub(in crate::cli) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        tag: Option<&str>,
    ) -> Result<T, Failed> {
        self.read(self.send("POST", path, tag, Some(body))?)
    }

    /// Writes what a POST answers to a file, however long that takes.
    pub(in crate::cli) fn download(&self, path: &str, to: &mut impl Write) -> Result<(), Failed> {
        let request = self.request("POST", path).body(()).map_err(|error| self.no_url(&error))?;
        let request = self.agent.configure_request(request).timeout_global(None).build();
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return self.read(response);
        }
        let copied = io::copy(&mut response.body_mut().as_reader(), to);
        copied.map_err(|error| Failed::Unreachable(format!("{} broke off: {error}", self.url)))?;
        Ok(())
    }

    pub(in crate::cli) fn delete<T: DeserializeOwned>(&self, path: &str, tag: &str) -> Result<T, Failed> {
        self.read(self.send("DELETE", path, Some(tag), None)?)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        tag: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response<Body>, Failed> {
        let mut request = self.request(method, path);
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).map_err(|error| self.no_url(&error))?)
            }
            None => self.agent.run(request.body(()).map_err(|error| self.no_url(&error))?),
        };
        sent.map_err(|error| self.unreachable(&error))
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn no_url(&self, error: &ureq::http::Error) -> Failed {
        Failed::Usage(format!("`{}` is no URL: {error}", self.url))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failed {
        Failed::Unreachable(format!("cannot reach {}: {error}", self.url))
    }

    /// What was answered, or why it was refused.
    fn read<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<T, Failed> {
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
        let body = body.map_err(|error| Failed::Unreachable(format!("{} broke off: {error}", self.url)))?;
        if response.status().is_success() {
            let read = serde_json::from_str(&body);
            return read.map_err(|error| {
                Failed::Refused(format!("{} answers what cannot be read: {error}", self.url))
            });
        }
        match serde_json::from_str::<Problem>(&body) {
            Ok(problem) => Err(Failed::Refused(problem.detail)),
            Err(_) => Err(Failed::Refused(format!("{} answers {}", self.url, response.status()))),
        }
    }
}

/// A text as a segment of a path, or as a value of a query.
pub(in crate::cli) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
