//! IP addresses and networks as values of 128 bits, IPv4 as mapped into IPv6. Not the functions over
//! them (see `functions`).

use std::net::{IpAddr, Ipv6Addr};

use datafusion::common::{Result, plan_datafusion_err};

/// Addresses that no one on the internet can have: private, shared, loopback and link-local.
pub(crate) const PRIVATE: &[&str] = &[
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// A network: both families as 128 bits, IPv4 as mapped into IPv6. An IPv6 network holds no IPv4
/// address, not even `::/0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// The bits that count.
    pub(crate) bits: u128,
    /// Which those are.
    pub(crate) mask: u128,
    /// Whether it holds IPv4 addresses.
    pub(crate) v4: bool,
}

impl Network {
    /// `10.0.0.0/8`, `fc00::/7`, or one address.
    pub(crate) fn parse(text: &str) -> Result<Network> {
        let bad = || plan_datafusion_err!("cidr_match: '{text}' is no network like 10.0.0.0/8");
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix.parse::<u32>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        let (width, offset) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            return Err(bad());
        }
        let mask = u128::MAX.checked_shl(128 - (offset + prefix)).unwrap_or(0);
        let v4 = ip.to_canonical().is_ipv4() && offset + prefix >= 96;
        Ok(Network { bits: mapped(ip) & mask, mask, v4 })
    }

    pub(crate) fn contains(self, address: u128) -> bool {
        is_v4(address) == self.v4 && address & self.mask == self.bits
    }
}

/// Some networks, as one test names them.
pub(crate) struct Networks(Vec<Network>);

impl Networks {
    /// `None` if a text is no network.
    pub(crate) fn parse(texts: &[&str]) -> Option<Networks> {
        texts.iter().map(|text| Network::parse(text).ok()).collect::<Option<_>>().map(Networks)
    }

    /// Those of `is_private`.
    pub(crate) fn private() -> Networks {
        Networks(PRIVATE.iter().filter_map(|text| Network::parse(text).ok()).collect())
    }

    /// Whether one of them holds the address.
    pub(crate) fn contain(&self, address: u128) -> bool {
        self.0.iter().any(|n| n.contains(address))
    }

    /// Whether an address is in both.
    pub(crate) fn overlap(&self, other: &Networks) -> bool {
        self.0.iter().any(|a| {
            other.0.iter().any(|b| a.v4 == b.v4 && (a.bits ^ b.bits) & a.mask & b.mask == 0)
        })
    }

    /// Whether each of these lies in one of `other`.
    pub(crate) fn all_inside(&self, other: &Networks) -> bool {
        self.0.iter().all(|a| {
            let inside = |b: &Network| {
                a.v4 == b.v4 && a.mask & b.mask == b.mask && a.bits & b.mask == b.bits
            };
            other.0.iter().any(inside)
        })
    }
}

/// Whether an address as 128 bits is one of IPv4.
pub(crate) fn is_v4(address: u128) -> bool {
    Ipv6Addr::from_bits(address).to_ipv4_mapped().is_some()
}

/// An address as 128 bits, IPv4 as mapped into IPv6; `None` if the text is none.
pub(crate) fn address(text: &str) -> Option<u128> {
    text.parse().ok().map(mapped)
}

fn mapped(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, ip, inside) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::", true),
            ("::/0", "2001:db8::1", true),
            ("203.0.113.9", "203.0.113.9", true),
            ("::/0", "203.0.113.9", false),
            ("::/64", "::ffff:10.0.0.1", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("fe80::/10", "fe80::1", true),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address(ip).unwrap()), inside, "{network:?} {ip}");
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "x", "::/129"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
