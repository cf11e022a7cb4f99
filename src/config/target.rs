//! What sinks name: patterns by name or label, hosts and networks that may be connected to, and URLs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Which patterns are meant: by a name in which `*` stands for any characters, or by a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Patterns of such a name.
    Name(String),
    /// Patterns with this label.
    Label(String, String),
}

impl Selector {
    /// Reads `card_testing`, `card_*`, or `team=fraud`.
    pub(super) fn parse(text: &str) -> Result<Selector, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                Ok(Selector::Label(key.to_owned(), value.to_owned()))
            }
            None if !text.is_empty() => Ok(Selector::Name(text.to_owned())),
            _ => Err(format!(
                "`{text}` is neither the name of a pattern (`*` stands for any characters) nor a label as in `team=fraud`"
            )),
        }
    }

    /// Whether a pattern is meant.
    pub fn selects(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Selector::Name(glob) => matches(glob, name),
            Selector::Label(key, value) => labels.get(key) == Some(value),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Name(name) => f.write_str(name),
            Selector::Label(key, value) => write!(f, "{key}={value}"),
        }
    }
}

/// Whether a name is as a glob says. Each part between two `*` is taken where it first comes, so time is at most their
/// product.
fn matches(glob: &str, name: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// What a webhook may connect to although it is no public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// A host as the URL names it, at one port.
    Host(String, u16),
    /// Addresses that begin as this one, for so many bits.
    Network(IpAddr, u8),
}

impl Allowed {
    /// Reads `hooks.local:8080`, `10.0.0.0/8` or `10.1.2.3`.
    pub(super) fn parse(text: &str) -> Result<Allowed, String> {
        let wrong = || {
            format!(
                "`{text}` is neither a host with its port, as in `hooks.local:8080`, nor a network, as in `10.0.0.0/8`"
            )
        };
        let bits = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Allowed::Network(address, bits(&address)));
        }
        if let Some((address, prefix)) = text.split_once('/') {
            let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
            let prefix = prefix.parse::<u8>().map_err(|_| wrong())?;
            return if prefix <= bits(&address) {
                Ok(Allowed::Network(address, prefix))
            } else {
                Err(wrong())
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if is_host(host) { Ok(Allowed::Host(host.to_ascii_lowercase(), port)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Host(host, port) => write!(f, "{host}:{port}"),
            Allowed::Network(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// Whether a text can be a host of a URL: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_')
        }
    }
}

/// Why a text is no URL that can be sent to; nothing where it is one. The text itself is not repeated: it may hold a
/// password.
pub(super) fn url_problem(text: &str) -> Option<&'static str> {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return Some("a URL begins with `https://` or `http://`");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("a URL may not hold a user or password: settings hold no secrets");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("a URL holds no spaces");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if !is_host(host) {
        return Some("a URL has a host after its `//`");
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Some("the port of a URL is a number up to 65535");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_selected_by_name_and_by_label() {
        let labels = BTreeMap::from([("team".to_owned(), "fraud".to_owned())]);
        let selects = |selector: &str, name: &str| Selector::parse(selector).unwrap().selects(name, &labels);
        assert!(selects("card", "card") && !selects("card", "cards") && !selects("card", "ca"));
        assert!(selects("card_*", "card_testing") && !selects("card_*", "my_card_testing"));
        assert!(
            selects("*_a*b", "x_ab_b") && selects("*", "") && selects("a*a", "aa") && !selects("a*a", "a")
        );
        assert!(selects("team=fraud", "any") && !selects("team=risk", "any") && !selects("tea=fraud", "any"));
        assert!(Selector::parse("").is_err() && Selector::parse("=x").is_err());
    }

    #[test]
    fn hosts_and_networks_are_told_apart() {
        assert_eq!(Allowed::parse("Hooks.local:8080"), Ok(Allowed::Host("hooks.local".into(), 8080)));
        assert_eq!(Allowed::parse("10.0.0.0/8"), Ok(Allowed::Network([10, 0, 0, 0].into(), 8)));
        assert_eq!(Allowed::parse("::1").unwrap().to_string(), "::1/128");
        assert_eq!(Allowed::parse("[::1]:80").unwrap().to_string(), "[::1]:80");
        for wrong in ["", "host", "host:0", "host:70000", "10.0.0.0/33", "a b:1", "10/8", ":1"] {
            assert!(Allowed::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_have_a_scheme_and_a_host_and_no_password() {
        for right in ["http://a", "https://a.b:8443/x?y=@z", "http://[::1]:80/", "http://127.0.0.1"] {
            assert_eq!(url_problem(right), None, "{right}");
        }
        for wrong in ["", "a", "ftp://a", "http://", "http:///x", "http://a:b", "http://u:p@a", "http://a/ b"]
        {
            assert!(url_problem(wrong).is_some(), "{wrong}");
        }
    }
}
