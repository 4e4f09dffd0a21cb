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
    if plain(text).is_some() {
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

/// Whether a text is an address in any form that [`canonical_ip`] reads.
pub fn is_address(text: &str) -> bool {
    parse(text).is_some()
}

/// Whether a text is an address in canonical form or at least without port and zone.
pub(crate) fn is_ip(text: &str) -> bool {
    plain(text).is_some() || text.parse::<IpAddr>().is_ok()
}

/// An address in any of the forms logs use, IPv4-mapped addresses unwrapped.
fn parse(text: &str) -> Option<IpAddr> {
    if let Some(address) = plain(text) {
        return Some(address);
    }
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

/// An address in canonical form, which almost every log line has, read without the parser of all forms. `None` of
/// few that are canonical: `::1`, and what an IPv4 address may stand in.
fn plain(text: &str) -> Option<IpAddr> {
    let bytes = text.as_bytes();
    plain_v4(bytes).map(IpAddr::from).or_else(|| plain_v6(bytes).map(IpAddr::from))
}

/// Four numbers up to 255 without leading zeros.
fn plain_v4(bytes: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let (mut at, mut digits, mut value) = (0, 0, 0u32);
    for &b in bytes {
        match b {
            b'0'..=b'9' => {
                if digits == 3 || (digits > 0 && value == 0) {
                    return None;
                }
                digits += 1;
                value = value * 10 + u32::from(b - b'0');
            }
            b'.' if digits > 0 && at < 3 => {
                octets[at] = u8::try_from(value).ok()?;
                at += 1;
                (digits, value) = (0, 0);
            }
            _ => return None,
        }
    }
    octets[3] = u8::try_from(value).ok()?;
    (at == 3 && digits > 0).then_some(octets)
}

/// Groups of lower-case digits without leading zeros, the first longest run of zeros left out (RFC 5952 s.4).
fn plain_v6(bytes: &[u8]) -> Option<[u16; 8]> {
    let mut groups = [0; 8];
    let (mut count, mut gap, mut at) = (0, None, 0);
    if bytes.starts_with(b"::") {
        (gap, at) = (Some(0), 2);
    }
    while at < bytes.len() {
        let digits = bytes[at..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (mut length, mut value) = (0, 0u32);
        for digit in digits.take(5) {
            value = value * 16 + (*digit as char).to_digit(16)?;
            length += 1;
        }
        if length == 0 || length > 4 || (length > 1 && bytes[at] == b'0') {
            return None;
        }
        *groups.get_mut(count)? = value as u16;
        (count, at) = (count + 1, at + length);
        match bytes.get(at..) {
            Some([]) => break,
            Some([b':', b':', ..]) if gap.is_none() => (gap, at) = (Some(count), at + 2),
            Some([b':', _, ..]) => at += 1,
            _ => return None,
        }
    }
    match gap {
        Some(gap) if count < 8 => groups[gap..].rotate_right(8 - count),
        None if count == 8 => {}
        _ => return None,
    }
    let (mut longest, mut run) = ((0, 1), 0);
    for (at, group) in groups.iter().enumerate() {
        run = if *group == 0 { run + 1 } else { 0 };
        if run > longest.1 {
            longest = (at + 1 - run, run);
        }
    }
    let is_canonical = match gap {
        Some(gap) => longest == (gap, 8 - count),
        None => longest.1 == 1,
    };
    (is_canonical && groups[..5] != [0; 5]).then_some(groups)
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
    fn the_quick_reader_takes_canonical_addresses_alone() {
        let parts = ["0", "1", "db8", "ffff"];
        let (mut count, mut read) = (0, 0);
        for n in 0..4u32.pow(8) {
            let texts: Vec<&str> = (0..8).map(|at| parts[(n >> (2 * at) & 3) as usize]).collect();
            let whole = texts.join(":");
            let address: Ipv6Addr = whole.parse().unwrap();
            let canonical = address.to_string();
            let same = Some(IpAddr::V6(address));
            let quick = plain(&canonical);
            assert!(quick.is_none() || quick == same, "{canonical}");
            assert_eq!(quick.is_some(), address.segments()[..5] != [0; 5], "{canonical}");
            assert_eq!(plain(&whole).is_some(), quick.is_some() && whole == canonical, "{whole}");
            // One group left out in place of one zero, and in the wrong place.
            for (at, _) in canonical.match_indices(":0") {
                let (a, b) = (&canonical.as_bytes()[..at + 1], &canonical.as_bytes()[at + 2..]);
                let other = [a, b].concat();
                assert_eq!(plain_v6(&other), None, "{canonical} at {at}");
            }
            count += 1;
            read += usize::from(quick.is_some());
        }
        assert!(count == 65_536 && read > 60_000, "{read}");
        for text in [
            "2001:DB8::1",
            "2001:0db8::1",
            "2001:db8::1:",
            ":2001:db8::1",
            "2001:db8:::1",
            "2001:db8::1::",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7",
            "12345::1",
            "1:2:3:4:5:6:7::",
            "é::1",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
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
