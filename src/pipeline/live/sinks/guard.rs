//! Where webhooks may connect to: public addresses, and what the settings allow. A name is resolved, each address is
//! checked, and exactly those that passed are connected to; a name that resolves differently the next time is checked again.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::config::target::Allowed;

/// Addresses that are tried of one name.
const ADDRESSES_MAX: usize = 16;

/// The addresses of a name.
type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Resolves names to what may be connected to.
pub(super) struct Guard {
    allow: Vec<Allowed>,
    lookup: Arc<Lookup>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Guard {
    /// With the resolver of the system.
    pub(super) fn new(allow: &[Allowed]) -> Guard {
        Guard::with(allow, Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect())))
    }

    fn with(allow: &[Allowed], lookup: Arc<Lookup>) -> Guard {
        Guard { allow: allow.to_vec(), lookup }
    }

    /// Whether the settings allow a host of any address.
    fn allows_host(&self, host: &str, port: u16) -> bool {
        self.allow.iter().any(|allowed| match allowed {
            Allowed::Host(name, at) => name == host && *at == port,
            Allowed::Network(..) => false,
        })
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|allowed| match allowed {
            Allowed::Network(network, bits) => is_in(address, *network, *bits),
            Allowed::Host(..) => false,
        })
    }

    /// Resolves a host as it stands in a URL, within a time.
    fn addresses(&self, host: &str, port: u16, timeout: &NextTimeout) -> io::Result<Vec<SocketAddr>> {
        let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let host = host.to_ascii_lowercase();
        let is_allowed = self.allows_host(&host, port);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let literal = match bare {
            Some(address) => {
                let address = address.parse::<Ipv6Addr>();
                Some(IpAddr::V6(address.map_err(|_| refused(format!("`{host}` is no address")))?))
            }
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        if literal.is_none() && !is_allowed {
            named(&host).map_err(refused)?;
        }
        let found = match literal {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => self.look_up(host.clone(), port, timeout)?,
        };
        let is_open = |address: IpAddr| is_allowed || is_public(address) || self.allows(address);
        let open: Vec<SocketAddr> =
            found.iter().copied().filter(|found| is_open(found.ip())).take(ADDRESSES_MAX).collect();
        if open.is_empty() {
            let shown: Vec<String> = found.iter().map(|found| found.ip().to_string()).collect();
            return Err(refused(format!(
                "`{host}` is at {}, which is no public address: list `{host}:{port}` or its network in `allow` of the sink to connect to it",
                if shown.is_empty() { "no address".to_owned() } else { shown.join(", ") },
            )));
        }
        Ok(open)
    }

    /// The system's resolver knows no timeouts, so a thread waits for it.
    fn look_up(&self, host: String, port: u16, timeout: &NextTimeout) -> io::Result<Vec<SocketAddr>> {
        let lookup = Arc::clone(&self.lookup);
        let (tell, told) = mpsc::sync_channel(1);
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            // Who has waited for too long is gone.
            let _ = tell.send(lookup(&host, port));
        })?;
        told.recv_timeout(*timeout.after).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let mut resolved = self.empty();
        for address in self.addresses(host, uri.port_u16().unwrap_or(default), &timeout)? {
            resolved.push(address);
        }
        Ok(resolved)
    }
}

/// Why a host is no name that is asked for: resolvers take `0x7f.1` and `2130706433` for addresses.
fn named(host: &str) -> Result<(), String> {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if last.is_empty() || is_number || !is_plain {
        return Err(format!("`{host}` is neither a name nor an address in its usual form"));
    }
    if last == "localhost" || name == "localhost.localdomain" {
        return Err(format!(
            "`{host}` is this machine: list it with its port in `allow` of the sink to connect to it"
        ));
    }
    Ok(())
}

/// IPv4 networks that are not of the public internet, or that clouds give their metadata at.
const CLOSED_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

/// The same of IPv6, within 2000::/3: what lies outside of it is not public. IPv4 addresses in IPv6 form lie outside, but
/// for 6to4 and Teredo.
const CLOSED_V6: &[([u16; 3], u8)] =
    &[([0x2001, 0, 0], 23), ([0x2001, 0xdb8, 0], 32), ([0x2002, 0, 0], 16), ([0x3fff, 0, 0], 20)];

/// Whether an address is one of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !CLOSED_V4.iter().any(|(network, bits)| is_in(address, (*network).into(), *bits)),
        IpAddr::V6(v6) => {
            let closed = |([a, b, c], bits): &([u16; 3], u8)| {
                is_in(address, Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0).into(), *bits)
            };
            v6.segments()[0] & 0xe000 == 0x2000 && !CLOSED_V6.iter().any(closed)
        }
    }
}

/// Whether an address begins as a network does.
fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differ = |a: u128, b: u128, width: u32| {
        let dropped = width - u32::from(bits).min(width);
        (a ^ b).checked_shr(dropped).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => differ(a.to_bits().into(), b.to_bits().into(), 32) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => differ(a.to_bits(), b.to_bits(), 128) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
