//! Two hundred URLs that must not be connected to, and names that resolve differently each time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::super::webhook::agent;
use super::*;

/// Hosts that are this machine, in a private network, or nothing that can be asked for. Names of the second column resolve
/// to what is in the third.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.1.2.3",
    "127.255.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "127.1",
    "127.0.1",
    "127",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "00177.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    "127.0.0.0x1",
    "0",
    "0x0",
    "00000000",
    "4294967295",
    "256.256.256.256",
    "3232235521",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "10.1",
    "192.168.257",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2002:a00:1::]",
    "[2001:0:7f00:1::]",
    "[2001:db8::1]",
    "[2001:10::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[febf::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "a.b.localhost.",
    "localhost.localdomain",
    "loop.test",
    "Loop.Test.",
    "six.test",
    "mapped.test",
    "private.test",
    "metadata.test",
    "mixed.test",
    "empty.test",
    "x.0x7f",
    "a_b.127",
    "%31%32%37.0.0.1",
];

/// What the resolver of these tests says.
fn answer(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: &[&str] = match host.trim_end_matches('.') {
        "six.test" => &["::1", "fe80::1"],
        "mapped.test" => &["::ffff:127.0.0.1"],
        "private.test" => &["10.0.0.1"],
        "metadata.test" => &["169.254.169.254"],
        "mixed.test" => &["10.0.0.1", "127.0.0.1", "::1"],
        "empty.test" => &[],
        // As a resolver that takes every spelling.
        _ => &["127.0.0.1"],
    };
    Ok(addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port)).collect())
}

/// Counts connections, and answers each with 204.
fn canary(address: &str) -> Option<(u16, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind(address).ok()?;
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let counting = Arc::clone(&count);
    thread::spawn(move || {
        for connection in listener.incoming() {
            counting.fetch_add(1, SeqCst);
            let mut connection = connection.unwrap();
            connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    Some((port, count))
}

#[test]
fn what_is_no_public_address_is_not_connected_to_however_it_is_written() {
    let (port, count) = canary("127.0.0.1:0").unwrap();
    // The same port of the other loopback, where there is one.
    let six = canary(&format!("[::1]:{port}"));
    let agent = agent(Duration::from_secs(5), Guard::with(&[], Arc::new(answer)));
    let mut tried = 0;
    for host in HOSTS {
        for url in [format!("http://{host}:{port}/"), format!("https://{host}:{port}/x?y#z")] {
            let error = agent.post(&url).send("x").expect_err(&url);
            let is_refused = match &error {
                ureq::Error::Io(error) => error.kind() == io::ErrorKind::PermissionDenied,
                ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::HostNotFound => true,
                _ => false,
            };
            assert!(is_refused, "{url}: {error:?}");
            tried += 1;
        }
    }
    assert!(tried >= 200, "{tried}");
    assert_eq!(count.load(SeqCst), 0);
    assert_eq!(six.map_or(0, |(_, count)| count.load(SeqCst)), 0);
}

#[test]
fn what_is_allowed_is_connected_to_and_public_addresses_are_public() {
    let (port, count) = canary("127.0.0.1:0").unwrap();
    let post = |allow: Allowed| {
        let agent = agent(Duration::from_secs(5), Guard::with(&[allow], Arc::new(answer)));
        agent.post(&format!("http://loop.test:{port}/")).send("x").is_ok()
    };
    let host = |port| Allowed::Host("loop.test".to_owned(), port);
    let network = |address: &str, bits| Allowed::Network(address.parse().unwrap(), bits);
    assert!(post(host(port)) && post(network("127.0.0.0", 8)) && post(network("127.0.0.1", 32)));
    assert!(!post(host(port ^ 1)) && !post(network("127.0.0.2", 31)) && !post(network("::", 0)));
    assert_eq!(count.load(SeqCst), 3);
    for public in
        ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111", "2a00::1"]
    {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[test]
fn a_name_that_resolves_differently_the_next_time_is_checked_again() {
    let (port, good) = canary("127.0.0.2:0").unwrap();
    let (_, bad) = canary(&format!("127.0.0.1:{port}")).unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&asked);
    let lookup = move |_: &str, port| {
        let nth = counting.fetch_add(1, SeqCst);
        Ok(vec![SocketAddr::new([127, 0, 0, if nth == 0 { 2 } else { 1 }].into(), port)])
    };
    let guard = Guard::with(&[Allowed::Network([127, 0, 0, 2].into(), 32)], Arc::new(lookup));
    let agent = agent(Duration::from_secs(5), guard);
    let url = format!("http://rebinding.test:{port}/");
    assert!(agent.post(&url).send("x").is_ok());
    assert_eq!((asked.load(SeqCst), good.load(SeqCst)), (1, 1), "one look, and what it gave is connected to");
    assert!(agent.post(&url).send("x").is_err());
    assert_eq!((asked.load(SeqCst), good.load(SeqCst), bad.load(SeqCst)), (2, 1, 0));
}
