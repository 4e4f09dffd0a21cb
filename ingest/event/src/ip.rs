//! IP addresses as text in one form, so that joins, keys and first-seen compare equal addresses as
//! equal. Not ranges: `cidr_match` is SQL's.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The canonical form of an address: RFC 5952 (lower case, longest zero run compressed), IPv4-mapped
/// IPv6 unwrapped, brackets, port and zone stripped. `None` if the text is not an address, such as
/// the service names of CloudTrail or an IPv4 address with leading zeros, which readers disagree on.
///
/// Borrowed if the text is canonical already.
pub fn canonical_ip(text: &str) -> Option<Cow<'_, str>> {
    if is_plain_v4(text.as_bytes()) {
        return Some(Cow::Borrowed(text));
    }
    let address = parse(text)?.to_string();
    Some(if address == text { Cow::Borrowed(text) } else { Cow::Owned(address) })
}

/// Whether an address is not reachable over the internet: RFC 1918, loopback, link-local, shared
/// (RFC 6598), unique local (RFC 4193) or unspecified. Documentation ranges count as public. `None`
/// if the text is not an address.
pub fn is_private_ip(text: &str) -> Option<bool> {
    Some(match parse(text)? {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || a == 0
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    })
}

/// Whether a text is an address in canonical form or at least without port and zone.
pub(crate) fn is_ip(text: &str) -> bool {
    is_plain_v4(text.as_bytes()) || text.parse::<IpAddr>().is_ok()
}

/// An address in any of the forms logs use, IPv4-mapped addresses unwrapped.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port = after.strip_prefix(':').is_some_and(is_port);
        return if after.is_empty() || port { parse_v6(inside) } else { None };
    }
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(v4));
    }
    match text.split_once(':') {
        Some((address, port)) if is_port(port) => {
            address.parse().ok().map(IpAddr::V4).or_else(|| parse_v6(text))
        }
        _ => parse_v6(text),
    }
}

fn parse_v6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _zone)| address);
    let v6: Ipv6Addr = address.parse().ok()?;
    Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Four numbers up to 255 without leading zeros: what almost every log line holds, decided without
/// parsing it into an address and printing it again.
fn is_plain_v4(bytes: &[u8]) -> bool {
    let (mut dots, mut digits, mut value) = (0, 0, 0u32);
    for &b in bytes {
        match b {
            b'0'..=b'9' => {
                if digits == 3 || (digits > 0 && value == 0) {
                    return false;
                }
                digits += 1;
                value = value * 10 + u32::from(b - b'0');
            }
            b'.' if digits > 0 && value <= 255 => {
                dots += 1;
                (digits, value) = (0, 0);
            }
            _ => return false,
        }
    }
    dots == 3 && digits > 0 && value <= 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(canonical_ip(text).as_deref(), expect, "{text:?}");
    }

    #[test]
    fn every_spelling_of_an_address_is_one() {
        check("192.0.2.1", Some("192.0.2.1"));
        check(" 192.0.2.1 ", Some("192.0.2.1"));
        check("192.0.2.1:443", Some("192.0.2.1"));
        check("::ffff:192.0.2.1", Some("192.0.2.1"));
        check("::FFFF:C000:0201", Some("192.0.2.1"));
        check("[::ffff:192.0.2.1]:443", Some("192.0.2.1"));
        check("2001:DB8:0:0:0:0:0:1", Some("2001:db8::1"));
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("[2001:db8::1]:65535", Some("2001:db8::1"));
        check("2001:db8:0:1:1:1:1:1", Some("2001:db8:0:1:1:1:1:1"));
        check("2001:db8:0:0:1:0:0:1", Some("2001:db8::1:0:0:1"));
        check("fe80::1%eth0", Some("fe80::1"));
        check("[fe80::1%25eth0]:22", Some("fe80::1"));
        check("::1", Some("::1"));
        check("::", Some("::"));
        check("1::8", Some("1::8"));
    }

    #[test]
    fn what_is_not_an_address_is_none() {
        for text in [
            "",
            "-",
            ":",
            "AWS Internal",
            "cloudtrail.amazonaws.com",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4.",
            "01.2.3.4",
            "010.0.0.1",
            "1.2.3.4:99999",
            "1.2.3.4:",
            "1.2.3.4:+1",
            "[2001:db8::1]x",
            "[1.2.3.4]",
            "2001:db8::1::2",
            "１.2.3.4",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn canonical_text_is_borrowed() {
        assert!(matches!(canonical_ip("203.0.113.255"), Some(Cow::Borrowed(_))));
        assert!(matches!(canonical_ip("2001:db8::1"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn private_is_what_the_internet_does_not_route() {
        let private =
            ["10.1.2.3", "172.31.0.1", "192.168.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1"];
        for text in private.into_iter().chain(["::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]) {
            assert_eq!(is_private_ip(text), Some(true), "{text}");
        }
        for text in ["172.32.0.1", "100.128.0.1", "203.0.113.9", "2001:db8::1", "8.8.8.8"] {
            assert_eq!(is_private_ip(text), Some(false), "{text}");
        }
        assert_eq!(is_private_ip("localhost"), None);
    }
}
