//! AWS VPC flow logs: space-separated, default format (version 2) or the fields up to version 5.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html>

use crate::{Format, Line, Random, world::ACCOUNT};

pub(crate) const SOURCE: &str = "aws.vpc_flow";

/// The first line of a file in [`Format::Extended`].
pub const HEADER_V5: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id flow-direction";

/// One flow in one direction.
pub(crate) struct Flow<'a> {
    pub(crate) interface: u64,
    pub(crate) src: &'a str,
    pub(crate) dst: &'a str,
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) protocol: u8,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: i64,
    pub(crate) accepted: bool,
}

/// One record. Times are whole seconds; the event's is its start.
pub(crate) fn line(start_ms: i64, format: Format, flow: &Flow<'_>) -> Line {
    let start = start_ms.div_euclid(1_000);
    let end = start + flow.seconds;
    let Flow { interface, src, dst, src_port, dst_port, protocol, packets, bytes, .. } = flow;
    let action = if flow.accepted { "ACCEPT" } else { "REJECT" };
    let version = if format == Format::Classic { 2 } else { 5 };
    let mut text = format!(
        "{version} {ACCOUNT} eni-{:017x} {src} {dst} {src_port} {dst_port} {protocol} {packets} {bytes} {start} {end} {action} OK",
        0x0a1b_2c3d_4e5fu64 + interface * 7_919
    );
    if format == Format::Extended {
        let flags = match (protocol, flow.accepted) {
            (6, true) => 19,
            (6, false) => 2,
            _ => 0,
        };
        let way = if src.starts_with("10.") { "egress" } else { "ingress" };
        text += &format!(
            " vpc-0123456789abcdef0 subnet-0123456789abcdef0 i-{:017x} {flags} IPv4 {src} {dst} eu-west-1 euw1-az1 {way}",
            0x0b1c_2d3e_4f5fu64 + interface * 7_919
        );
    }
    Line { source: SOURCE, time_ms: start * 1_000, text }
}

/// A host of the company's network by index.
pub(crate) fn host(index: u64) -> String {
    format!("10.20.{}.{}", index / 250 % 250, 4 + index % 250)
}

/// Traffic of an ordinary day: services among themselves, outwards, visitors, a little noise.
pub(crate) fn benign(random: &mut Random, time_ms: i64, hosts: u64, format: Format) -> Line {
    let near = random.skewed(hosts);
    let (near_ip, far_ip) = (host(near), host(random.skewed(hosts)));
    let outside = match random.below(3) {
        0 => format!("203.0.113.{}", 1 + random.skewed(250)),
        1 => format!("198.51.100.{}", 110 + random.skewed(140)),
        _ => format!("192.0.2.{}", 130 + random.skewed(120)),
    };
    let high = random.range(32_768, 60_999) as u16;
    let packets = 6 + random.skewed(400);
    let (src, dst, src_port, dst_port, protocol, accepted) = match random.below(100) {
        0..=44 => (near_ip, far_ip, high, *random.pick(&[443, 8080, 5432, 6379, 9092]), 6, true),
        45..=59 => (near_ip, "10.20.0.2".to_owned(), high, 53, 17, true),
        60..=79 => (near_ip, outside, high, 443, 6, true),
        80..=97 => (outside, near_ip, high, 443, 6, true),
        // The noise of the internet: one probe here, one there.
        _ => (outside, near_ip, high, *random.pick(&[22, 23, 445, 3389, 8080]), 6, false),
    };
    let packets = if accepted { packets } else { 1 };
    let bytes = packets * random.range(60, 1_400) as u64;
    let seconds = random.range(5, 60);
    line(
        time_ms,
        format,
        &Flow {
            interface: near,
            src: &src,
            dst: &dst,
            src_port,
            dst_port,
            protocol,
            packets,
            bytes,
            seconds,
            accepted,
        },
    )
}
