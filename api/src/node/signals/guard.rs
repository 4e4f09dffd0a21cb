//! Where pushes may go: every address that a name resolves to is checked, at each connection. Not which
//! hosts a receiver may name (see `sluice_signal::stream`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use crate::network::Network;

/// Resolves names, and refuses those that lead to networks which nobody outside has an address in.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) allowed: Vec<Network>,
    pub(super) resolver: DefaultResolver,
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
                let text =
                    format!("{} is in no network that signals may be pushed to", address.ip());
                return Err(Error::Io(std::io::Error::other(text)));
            }
        }
        Ok(addresses)
    }
}

/// Whether a push may go to an address. Plain HTTP goes only where the operator said.
pub(super) fn may_reach(address: IpAddr, encrypted: bool, allowed: &[Network]) -> bool {
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
    fn the_operator_may_name_networks() {
        let allowed = ["127.0.0.0/8".parse().unwrap()];
        assert!(may_reach("127.0.0.1".parse().unwrap(), false, &allowed));
        assert!(may_reach("::ffff:127.0.0.1".parse().unwrap(), false, &allowed));
        assert!(!may_reach("10.0.0.1".parse().unwrap(), true, &allowed));
    }
}
