//! OpenSSH server messages in syslog: RFC 3164, or RFC 5424.

use crate::{Format, Line, Random, civil, world::Person};

pub(crate) const SOURCE: &str = "linux.sshd";

/// One message of a server. Classic syslog has whole seconds, no year and no zone: UTC.
pub(crate) fn line(time_ms: i64, format: Format, host: &str, pid: u64, message: &str) -> Line {
    match format {
        Format::Classic => {
            let time_ms = time_ms.div_euclid(1_000) * 1_000;
            let stamp = civil(time_ms).format("%b %e %H:%M:%S");
            Line { source: SOURCE, time_ms, text: format!("{stamp} {host} sshd[{pid}]: {message}") }
        }
        Format::Extended => {
            let stamp = civil(time_ms).format("%Y-%m-%dT%H:%M:%S%.3fZ");
            // Facility auth (4), severity informational (6).
            Line {
                source: SOURCE,
                time_ms,
                text: format!("<38>1 {stamp} {host} sshd {pid} - - {message}"),
            }
        }
    }
}

/// Refused passwords, evenly over a span of time.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// How many lines.
    pub events: u64,
    /// How many users are tried. Not more than the events.
    pub users: u64,
    /// How many addresses of 198.18.0.0/15 (RFC 2544) they come from; one is a flood, as many as users
    /// is a spray.
    pub addresses: u64,
    /// Seconds from the first line to behind the last.
    pub seconds: u64,
}

impl Refused {
    /// The lines in order of time, all of one server. A user keeps to one address where there are as
    /// many addresses as users.
    pub fn lines(self, seed: u64, start_ms: i64, format: Format) -> impl Iterator<Item = Line> {
        let mut random = Random::new(seed, "refused");
        (0..self.events).map(move |event| {
            let passed = (event * self.seconds * 1_000 / self.events) as i64;
            let user = random.below(self.users);
            let address = user % self.addresses;
            let [_, a, b, c] = (address as u32 % (1 << 17)).to_be_bytes();
            let a = 18 + a;
            let port = random.range(32_768, 60_999);
            let message =
                format!("Failed password for user{user:05} from 198.{a}.{b}.{c} port {port} ssh2");
            line(start_ms + passed, format, "bastion-1", 1_000 + event % 60_000, &message)
        })
    }
}

/// A server by index.
pub(crate) fn server(index: u64) -> String {
    let role = ["web", "app", "db", "cache"][(index % 4) as usize];
    format!("{role}-{}", 1 + index / 4)
}

/// The SHA-256 fingerprint of a key as sshd prints it.
pub(crate) fn fingerprint(owner: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    Random::new(3, owner).text(alphabet, 43)
}

/// Log-ins of an ordinary day: people with keys over the bastion, now and then a mistyped password.
pub(crate) fn benign(random: &mut Random, time_ms: i64, people: u64, format: Format) -> Line {
    let person = Person::new(random.skewed(people));
    let host = server(random.skewed(people.min(400)));
    let pid = 1_000 + random.below(60_000);
    let port = random.range(32_768, 60_999);
    let (user, ip) = (person.login(), "10.20.0.10");
    let message = match random.below(100) {
        0..=39 => format!(
            "Accepted publickey for {user} from {ip} port {port} ssh2: ED25519 SHA256:{}",
            fingerprint(user)
        ),
        40..=59 => format!(
            "pam_unix(sshd:session): session opened for user {user}(uid={}) by {user}(uid=0)",
            1_000 + person.index
        ),
        60..=79 => format!("pam_unix(sshd:session): session closed for user {user}"),
        80..=97 => format!("Disconnected from user {user} {ip} port {port}"),
        98 => format!(
            "Connection closed by authenticating user {user} {} port {port} [preauth]",
            person.ip
        ),
        _ => format!("Failed password for {user} from {} port {port} ssh2", person.ip),
    };
    line(time_ms, format, &host, pid, &message)
}
