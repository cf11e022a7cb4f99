//! Where no token is needed: that a request was not made by a page of somebody else in a browser on this machine.
//!
//! A page of any site may send requests to 127.0.0.1, and by a name that first leads to its own server and then to
//! 127.0.0.1 (DNS rebinding) it may read the answers. The browser tells on both: `Host` has that name, `Origin` that site.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};

/// Why a request is refused, where it is.
pub(super) fn foreign(uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let only = |name| -> Result<Option<&HeaderValue>, &'static str> {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err("the request has `Host` or `Origin` twice"),
        }
    };
    let (host, origin) = match (only(header::HOST), only(header::ORIGIN)) {
        (Ok(host), Ok(origin)) => (host, origin),
        (Err(why), _) | (_, Err(why)) => return Some(why),
    };
    let host = host.map(|host| authority(host.as_bytes()));
    let is_own = |host: &Option<Authority>| host.as_ref().is_some_and(|host| is_loopback(host.host()));
    if host.as_ref().is_some_and(|host| !is_own(host))
        || uri.authority().is_some_and(|authority| !is_loopback(authority.host()))
    {
        return Some("`Host` is not a name or address of this machine's loopback");
    }
    let origin = origin?;
    let site =
        ["http://", "https://"].iter().find_map(|scheme| origin.as_bytes().strip_prefix(scheme.as_bytes()));
    let is_same = site.and_then(authority).is_some_and(|site| Some(Some(site)) == host);
    (!is_same).then_some("`Origin` is another site")
}

fn authority(bytes: &[u8]) -> Option<Authority> {
    Authority::try_from(bytes).ok().filter(|authority| !authority.as_str().contains('@'))
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(host: &[&'static str], origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        foreign(&Uri::from_static("/v1/patterns"), &headers).is_some()
    }

    #[test]
    fn only_names_and_addresses_of_the_loopback_pass() {
        for host in ["localhost", "LOCALHOST:7878", "127.0.0.1:7878", "127.9.9.9", "[::1]:7878", "[::1]"] {
            assert!(!is_refused(&[host], None), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7878",
            "localhost@evil.example",
            "evil.example@localhost",
            "0.0.0.0:7878",
            "10.0.0.1",
            "[::]:7878",
            "[::ffff:10.0.0.1]",
            "2130706433",
            "0177.0.0.1",
            "",
            " ",
        ] {
            assert!(is_refused(&[host], None), "{host}");
        }
        assert!(is_refused(&["localhost", "evil.example"], None));
        assert!(!is_refused(&[], None), "programs that speak HTTP/1.0 have none, browsers always do");
        let elsewhere = foreign(&Uri::from_static("http://evil.example/v1"), &HeaderMap::new());
        assert!(elsewhere.is_some());
    }

    #[test]
    fn only_the_same_origin_passes() {
        let host = &["localhost:7878"][..];
        assert!(!is_refused(host, Some("http://localhost:7878")));
        assert!(!is_refused(host, Some("https://localhost:7878")));
        for origin in [
            "null",
            "http://localhost",
            "http://localhost:3000",
            "http://127.0.0.1:7878",
            "http://evil.example",
            "http://localhost:7878.evil.example",
            "http://localhost:7878@evil.example",
            "file://",
            "",
        ] {
            assert!(is_refused(host, Some(origin)), "{origin}");
        }
    }
}
