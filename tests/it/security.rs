//! Who may do what, tried on the real program: tokens, roles, the table of routes, and pages of other sites.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use sequor::api::auth::Role;
use sequor::api::auth::table::RULES;
use sequor::api::openapi;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sequor");

/// A service that runs on a directory of its own.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(dir: &Path, settings: &[(&str, &str)]) -> Service {
        Service::run(Command::new(PROGRAM), dir, settings)
    }

    fn run(mut program: Command, dir: &Path, settings: &[(&str, &str)]) -> Service {
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir)
            .current_dir(dir)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once('/').unwrap().1.to_owned();
        Service { child, address }
    }

    /// The answer's head in lower case and its body, to a request with these headers.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let has_host = headers.iter().any(|header| header.starts_with("Host:"));
        let host = if has_host { String::new() } else { format!("Host: {}\r\n", self.address) };
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        // A backup is no text.
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn status(&self, method: &str, path: &str, token: Option<&str>) -> u16 {
        let header = token.map(|token| format!("Authorization: Bearer {token}"));
        let headers: Vec<&str> = header.as_deref().into_iter().collect();
        self.ask(method, path, &headers, "").0
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `sequor token`; what it prints.
fn token(dir: &Path, args: &[&str]) -> String {
    let ran = Command::new(PROGRAM).arg("token").args(args).arg("--data").arg(dir).output().unwrap();
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

fn made(dir: &Path, name: &str, role: Role, more: &[&str]) -> String {
    token(dir, &[&["create", "--name", name, "--role", &role.to_string()], more].concat())
}

const WITH_TOKENS: &[(&str, &str)] = &[("SEQUOR__AUTH__ENABLED", "true")];

/// The path of a template, with names that are nowhere.
fn path_of(template: &str) -> String {
    let path =
        template.replace("{stream}", "nowhere").replace("{name}", "nowhere").replace("{sequence}", "7");
    // What goes on for ever is refused at once.
    if path.ends_with("/stream") { path + "?kind=nothing" } else { path }
}

#[test]
fn every_route_lets_in_whom_the_table_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let tokens = Role::ALL.map(|role| (role, made(dir, &role.to_string(), role, &[])));
    let expired = made(dir, "expired", Role::Admin, &["--expires", "1ms"]);
    let revoked = made(dir, "revoked", Role::Admin, &[]);
    let service = Service::start(dir, WITH_TOKENS);
    assert_ne!(service.status("GET", "/v1/patterns", Some(&revoked)), 401);
    // The service runs, and notices.
    token(dir, &["rm", "revoked"]);
    let bad = "sqr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for rule in RULES {
        let path = path_of(rule.path);
        let name = format!("{} {path}", rule.method);
        for token in [None, Some(bad), Some(&*expired), Some(&*revoked), Some("")] {
            let status = service.status(rule.method, &path, token);
            match rule.least {
                None => assert_eq!(status, 200, "{name} with {token:?}"),
                Some(_) => assert_eq!(status, 401, "{name} with {token:?}"),
            }
        }
        for (role, token) in &tokens {
            let status = service.status(rule.method, &path, Some(token));
            let may = rule.least.is_none_or(|least| role.suffices(least));
            assert_eq!(status != 401 && status != 403, may, "{name} as {role}: {status}");
            assert_ne!(status, 405, "{name} is in the table, the router does not have it");
            // A token in the address is none.
            if rule.least.is_some() {
                let status = service.status(rule.method, &format!("{path}?access_token={token}"), None);
                assert_eq!(status, 401, "{name}");
            }
        }
    }
    let (status, head, body) = service.ask("GET", "/v1/patterns", &[], "");
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    assert!(head.contains("application/problem+json") && body.contains("\"status\":401"), "{head} {body}");
    for header in ["x-content-type-options: nosniff", "cache-control: no-store", "default-src 'none'"] {
        assert!(head.contains(header), "{head}");
    }
}

/// The routes that the router has, as its description names them: the path and the methods.
#[test]
fn the_table_has_the_routers_routes_and_no_others() {
    let (mut routes, mut path) = (BTreeSet::new(), String::new());
    let described = openapi::yaml();
    for line in described.lines().skip_while(|line| *line != "paths:").skip(1) {
        match line.trim_start().strip_suffix(':') {
            Some(name) if line.starts_with("  /") => path = name.to_owned(),
            Some(method @ ("get" | "post" | "put" | "patch" | "delete"))
                if line.starts_with("    ") && !line.starts_with("     ") =>
            {
                routes.insert((path.clone(), method.to_uppercase()));
            }
            _ if !line.starts_with(' ') => break,
            _ => {}
        }
    }
    let table: BTreeSet<_> =
        RULES.iter().map(|rule| (rule.path.to_owned(), rule.method.to_owned())).collect();
    assert_eq!(routes, table);
    assert_eq!(table.len(), RULES.len(), "a route stands twice in the table");
}

#[test]
fn scopes_narrow_what_a_token_may() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let editor = made(dir, "editor", Role::Editor, &["--pattern", "card_*"]);
    let ingest = made(dir, "ingest", Role::Ingest, &["--stream", "events"]);
    let service = Service::start(dir, WITH_TOKENS);
    let editor = format!("Authorization: Bearer {editor}");
    let post = |text: &str| service.ask("POST", "/v1/patterns", &[&editor, "Content-Type: text/plain"], text);
    let (status, _, body) = post("pattern other\nmatch a: x");
    assert_eq!(status, 403, "{body}");
    let (status, _, body) = post("pattern card_a\nmatch a: x");
    assert_eq!(status, 201, "{body}");
    assert!(body.contains("\"created_by\":\"editor\""), "{body}");
    assert_eq!(service.ask("DELETE", "/v1/patterns/other", &[&editor], "").0, 403);
    assert_eq!(service.ask("DELETE", "/v1/patterns/card_a", &[&editor], "").0, 428);
    assert_eq!(service.status("POST", "/v1/streams/other/events", Some(&ingest)), 403);
    assert_eq!(service.status("POST", "/v1/streams/events/events", Some(&ingest)), 200);
    // What is sent again goes to the stream that it was of.
    let elsewhere = made(dir, "elsewhere", Role::Ingest, &["--stream", "other"]);
    let ingest_header = format!("Authorization: Bearer {ingest}");
    service.ask("POST", "/v1/streams/events/events", &[&ingest_header], "{\"ts\":1}\nno event\n");
    let redrive = |token: &str| service.status("POST", "/v1/dead-letters/0/redrive", Some(token));
    while redrive(&ingest) == 404 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!((redrive(&ingest), redrive(&elsewhere)), (200, 403));
}

#[test]
fn tokens_are_shown_once_and_kept_as_hashes_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let secret = made(dir, "one", Role::Viewer, &["--expires", "never"]);
    let file = dir.join("tokens.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(&secret));
    let listed = token(dir, &["ls"]);
    assert!(listed.contains("one") && listed.contains("never") && !listed.contains(&secret), "{listed}");
    let again = Command::new(PROGRAM)
        .args(["token", "create", "--name", "one", "--role", "admin", "--data"])
        .arg(dir)
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1));
    // What cannot be read lets nobody in.
    let service = Service::start(dir, WITH_TOKENS);
    assert_eq!(service.status("GET", "/v1/patterns", Some(&secret)), 200);
    fs::write(&file, "{").unwrap();
    assert_eq!(service.status("GET", "/v1/patterns", Some(&secret)), 503);
}

#[test]
fn without_tokens_pages_of_other_sites_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let status = |headers: &[&str]| service.ask("GET", "/v1/patterns", headers, "").0;
    assert_eq!(status(&[]), 200);
    assert_eq!(status(&["Host: localhost"]), 200);
    assert_eq!(status(&["Host: evil.example"]), 403);
    assert_eq!(status(&["Host: localhost", "Origin: http://evil.example"]), 403);
    assert_eq!(status(&["Host: localhost", "Origin: null"]), 403);
    assert_eq!(status(&["Host: localhost", "Origin: http://localhost"]), 200);
}

#[test]
fn listening_for_others_takes_tokens_and_tls_however_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let run = |flags: &[&str], env: &[(&str, &str)]| {
        let ran = Command::new(PROGRAM)
            .args(["config", "check"])
            .args(flags)
            .envs(env.iter().copied())
            .current_dir(dir.path())
            .output()
            .unwrap();
        (ran.status.code().unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    for (flags, env) in [
        (&["--listen", "0.0.0.0:0"][..], &[][..]),
        (&[], &[("SEQUOR__SERVER__LISTEN", "[::]:7878")]),
        (&["--listen", "10.0.0.1:1"], &[("SEQUOR__AUTH__ENABLED", "true")]),
    ] {
        let (status, told) = run(flags, env);
        assert!(status == 78 && told.contains("C110"), "{flags:?} {env:?}: {told}");
    }
    assert_eq!(run(&["--listen", "0.0.0.0:0"], &[("SEQUOR__SERVER__ALLOW_INSECURE", "true")]).0, 0);
}

/// Takes any certificate, and the test looks at which it was.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The first line of the answer to a request over TLS, and the certificate.
fn ask_over_tls(address: &str) -> (String, CertificateDer<'static>) {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).unwrap();
    let certificate = stream.conn.peer_certificates().unwrap()[0].clone();
    (line.trim().to_owned(), certificate.into_owned())
}

fn signal(service: &Service, name: &str) {
    let id = service.child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
fn a_certificate_is_read_again_a_hundred_times_and_no_request_fails() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let of = |name: &str, part: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tls/{name}.{part}.pem"))
    };
    let put = |name: &str| {
        for part in ["cert", "key"] {
            fs::copy(of(name, part), dir.join(part)).unwrap();
        }
    };
    put("a");
    let path = |part: &str| dir.join(part).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert"), path("key"));
    let service =
        Service::start(dir, &[("SEQUOR__SERVER__TLS__CERT", &cert), ("SEQUOR__SERVER__TLS__KEY", &key)]);
    let certificates = ["a", "b"].map(|name| CertificateDer::from_pem_file(of(name, "cert")).unwrap());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !is_done.load(Relaxed) {
                assert_eq!(ask_over_tls(&service.address).0, "HTTP/1.1 200 OK");
            }
        });
        for round in 1..=100 {
            put(["a", "b"][round % 2]);
            signal(&service, "-HUP");
            let is_new = || ask_over_tls(&service.address).1 == certificates[round % 2];
            assert!((0..1_000).any(|_| is_new()), "the certificate of round {round} never came");
        }
        // What cannot be used leaves the last one.
        fs::write(&key, "no key").unwrap();
        signal(&service, "-HUP");
        assert_eq!(ask_over_tls(&service.address).1, certificates[0]);
        is_done.store(true, Relaxed);
        asking.join().unwrap();
    });
}

#[test]
fn the_service_ends_although_connections_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path(), &[]);
    let idle = TcpStream::connect(&service.address).unwrap();
    let mut half = TcpStream::connect(&service.address).unwrap();
    half.write_all(b"POST /v1/patterns HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\npat").unwrap();
    assert_eq!(service.ask("GET", "/livez", &[], "").0, 200);
    signal(&service, "-TERM");
    assert!(service.child.wait().unwrap().success());
    drop((idle, half));
}

/// Stands for a full disk: files may not grow beyond a size, until the limit is taken away.
#[test]
fn a_service_that_cannot_write_says_so_and_goes_on_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 32; exec \"$0\" \"$@\"", PROGRAM]);
    let silence =
        [("SEQUOR__STREAMS__0__IDLE_TIMEOUT", "50ms"), ("SEQUOR__STREAMS__0__OUT_OF_ORDERNESS", "0s")];
    let service = Service::run(limited, dir.path(), &silence);
    let mut next = 0;
    let mut post = |service: &Service| {
        // Lines that do not compress to nothing.
        let noise: String =
            (0..40u64).map(|i| format!("{:x}", (next + i).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        next += 1;
        let line = format!("{{\"ts\":{next},\"type\":\"x\",\"noise\":\"{noise}\"}}\n");
        service.ask("POST", "/v1/streams/events/events", &["Content-Type: application/x-ndjson"], &line)
    };
    let mut taken = 0;
    let refused = loop {
        let (status, head, body) = post(&service);
        match status {
            200 => taken += 1,
            _ => break (status, head, body),
        }
        assert!(taken < 1_000, "the limit was never reached");
    };
    assert_eq!(refused.0, 503, "{refused:?}");
    assert!(refused.1.contains("retry-after") && refused.2.contains("/problems/storage"), "{refused:?}");
    let (status, _, body) = service.ask("GET", "/readyz", &[], "");
    assert!(status == 503 && body.contains("/problems/storage"), "{status} {body}");
    assert_eq!(service.ask("GET", "/livez", &[], "").0, 200);
    let id = service.child.id().to_string();
    let given = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:"]).status();
    if !given.is_ok_and(|status| status.success()) {
        println!("skipped: the limit cannot be taken away here");
        return;
    }
    let wait = || std::thread::sleep(std::time::Duration::from_millis(50));
    while service.ask("GET", "/readyz", &[], "").0 != 200 {
        wait();
    }
    assert_eq!(post(&service).0, 200);
    // What was taken is there, each once, and what was refused is not.
    let streams = || service.ask("GET", "/v1/streams", &[], "").2;
    while !streams().contains(&format!("\"events\":{}", taken + 1)) {
        wait();
    }
    assert!(streams().contains(&format!("\"next_offset\":{}", taken + 1)), "{}", streams());
}

/// The same for what comes out: the log of matches has no room, the event log has.
#[test]
fn matches_that_cannot_be_written_wait_until_they_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 64; exec \"$0\" \"$@\"", PROGRAM]);
    let settings =
        [("SEQUOR__STREAMS__0__IDLE_TIMEOUT", "50ms"), ("SEQUOR__STREAMS__0__OUT_OF_ORDERNESS", "0s")];
    let service = Service::run(limited, dir.path(), &settings);
    let pattern = "pattern every match one: x select one.ts as a, one.ts as b, one.ts as c";
    assert_eq!(service.ask("POST", "/v1/patterns", &["Content-Type: text/plain"], pattern).0, 201);
    let mut posted = 0;
    let mut post = || {
        posted += 1;
        let line = format!("{{\"ts\":{posted},\"type\":\"x\"}}\n");
        let (status, _, body) =
            service.ask("POST", "/v1/streams/events/events", &["Content-Type: application/x-ndjson"], &line);
        assert_eq!(status, 200, "{body}");
        // Each on its own, so that the log of matches grows faster than that of events.
        std::thread::sleep(std::time::Duration::from_millis(3));
        posted
    };
    let ready = || service.ask("GET", "/readyz", &[], "");
    while ready().0 == 200 {
        assert!(post() < 500, "the limit was never reached");
    }
    let (status, _, body) = ready();
    assert!(status == 503 && body.contains("/problems/storage") && body.contains("log of matches"), "{body}");
    (0..10).for_each(|_| _ = post());
    let wait = || std::thread::sleep(std::time::Duration::from_millis(50));
    (0..20).for_each(|_| wait());
    assert_eq!(ready().0, 503, "it stays so");
    let id = service.child.id().to_string();
    let given = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:"]).status();
    if !given.is_ok_and(|status| status.success()) {
        println!("skipped: the limit cannot be taken away here");
        return;
    }
    let count = post();
    while ready().0 != 200 {
        wait();
    }
    let matches = || service.ask("GET", "/v1/matches?limit=1000", &[], "").2;
    while !matches().contains(&format!("\"a\":{count}")) {
        wait();
    }
    let found = matches();
    for ts in 1..=count {
        assert_eq!(found.matches(&format!("\"a\":{ts},")).count(), 1, "{ts}");
    }
}
