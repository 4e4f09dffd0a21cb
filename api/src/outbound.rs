//! Where this process may connect to when it sends: every address that a name resolves to is checked, at
//! each connection, and no redirect is followed. Not which hosts a receiver may name (see
//! `sluice_signal::stream`), and not what is sent.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, UNIX_EPOCH},
};

use ureq::{
    Agent, Error,
    config::Config,
    http::{HeaderMap, Uri, header},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use crate::{clock, network::Network};

/// Time to connect, and for the whole request.
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
/// Top-level names that never lead to a public address.
const PRIVATE_NAMES: [&str; 3] = ["internal", "local", "localhost"];

/// A client that reaches public addresses over HTTPS, and the allowed networks also over HTTP. A request
/// ends after 10 s.
pub(crate) fn agent(allowed: &[Network]) -> Agent {
    patient_agent(allowed, WHOLE)
}

/// The same for requests that the other side may hold.
pub(crate) fn patient_agent(allowed: &[Network], whole: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(whole))
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .build();
    let resolver =
        GuardedResolver { allowed: allowed.to_vec(), resolver: DefaultResolver::default() };
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}

/// Why a URL can be refused before anything is sent to it; `host` is its host. What a name resolves to is
/// only known at each connection.
pub(crate) fn refusal(url: &str, host: &str, allowed: &[Network]) -> Option<&'static str> {
    let encrypted = url.starts_with("https://");
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let number = last.chars().all(|c| c.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
    match host.parse::<IpAddr>() {
        Ok(address) => (!may_reach(address, encrypted, allowed))
            .then_some("its address is private, loopback or link-local, or is reached without TLS"),
        // 2130706433 and 0x7f000001 are addresses to some resolvers.
        Err(_) if number => Some("its host is a number"),
        Err(_) if allowed.is_empty() && PRIVATE_NAMES.contains(&last) => {
            Some("its name is one of a private network")
        }
        Err(_) if allowed.is_empty() && !encrypted => Some("it is reached without TLS"),
        Err(_) => None,
    }
}

/// `Retry-After` in milliseconds from now: seconds or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<i64>() {
        Ok(seconds) => Some(seconds.clamp(0, i64::from(u32::MAX)) * 1_000),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((i64::try_from(at.as_millis()).ok()? - clock::now()).max(0))
        }
    }
}

/// 0 to 1, random: endpoints that came back together are not asked together.
pub(crate) fn jitter() -> f64 {
    let bytes = crate::tokens::random::<4>().unwrap_or([128; 4]);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// Resolves names, and refuses those that lead to networks which nobody outside has an address in.
#[derive(Debug)]
struct GuardedResolver {
    allowed: Vec<Network>,
    resolver: DefaultResolver,
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let addresses = self.resolver.resolve(uri, config, timeout)?;
        let encrypted = uri.scheme_str() == Some("https");
        for address in addresses.iter() {
            if !may_reach(address.ip(), encrypted, &self.allowed) {
                let text = format!("{} is in no network that may be reached", address.ip());
                return Err(Error::Io(std::io::Error::other(text)));
            }
        }
        Ok(addresses)
    }
}

/// Whether a request may go to an address. Plain HTTP goes only where the operator said.
fn may_reach(address: IpAddr, encrypted: bool, allowed: &[Network]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|network| network.holds(address)) || (encrypted && is_public(address))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// IANA IPv4 Special-Purpose Address Registry.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 240..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=239, _, _)
    );
    !special
}

/// Only global unicast, 2000::/3, without what carries an IPv4 address or is for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let carries_v4 = a == 0x2002 || (a == 0x2001 && b == 0);
    let documentation = (a == 0x2001 && b == 0x0db8) || a & 0xfff0 == 0x3ff0;
    global && !carries_v4 && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b33_n3_addresses_that_are_nobody_elses_are_refused() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!may_reach(address.parse().unwrap(), true, &[]), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(may_reach(address.parse().unwrap(), true, &[]), "{address}");
            assert!(!may_reach(address.parse().unwrap(), false, &[]), "{address} without TLS");
        }
    }

    #[test]
    fn b33_urls_are_refused_before_anything_is_sent() {
        for url in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://127.1/",
            "https://metadata.google.internal/",
            "https://localhost/",
            "https://printer.local./",
            "http://hooks.example.com/",
            "http://1.1.1.1/",
        ] {
            let host = sluice_signal::stream::host(url).unwrap();
            assert!(refusal(url, host, &[]).is_some(), "{url}");
        }
        for url in ["file:///etc/passwd", "gopher://example.com/", "https://a@127.0.0.1/"] {
            assert_eq!(sluice_signal::stream::host(url), None, "{url}");
        }
        let url = "https://hooks.example.com/x";
        assert_eq!(refusal(url, "hooks.example.com", &[]), None);
        let allowed = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(refusal("http://hooks.internal/", "hooks.internal", &allowed), None);
        assert!(refusal("http://127.0.0.1/", "127.0.0.1", &allowed).is_some());
    }

    #[test]
    fn the_operator_may_name_networks() {
        let allowed = ["127.0.0.0/8".parse().unwrap()];
        assert!(may_reach("127.0.0.1".parse().unwrap(), false, &allowed));
        assert!(may_reach("::ffff:127.0.0.1".parse().unwrap(), false, &allowed));
        assert!(!may_reach("10.0.0.1".parse().unwrap(), true, &allowed));
    }
}
