//! The header of a syslog line in the forms that daemons and shippers write. Not the message.
//!
//! RFC 5424; RFC 3164 with the variations met in files: ISO 8601 times with any offset, fractions of
//! a second, a year, a zone, BusyBox's and OpenWrt's `auth.info`, FreeBSD's `<auth.info>`, AIX's
//! `auth|security:info` and forwarded lines, Solaris' `[ID 1 auth.info]`, no host, no process id,
//! journalctl's `short-*` forms; before any of them the length that RFC 6587 has on a stream.

use crate::time::{self, YearlessTime};

/// The parts of a line, borrowed from it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Header<'l> {
    /// `<86>`: facility and severity.
    pub(crate) priority: Option<u8>,
    pub(crate) time: Time<'l>,
    /// Where the line names a zone apart from its time.
    pub(crate) zone: Option<Zone>,
    pub(crate) host: Option<&'l str>,
    /// The program as it names itself, without path and PAM module: `sshd`.
    pub(crate) program: Option<&'l str>,
    pub(crate) pid: Option<&'l str>,
    pub(crate) message_id: Option<&'l str>,
    /// The structured data of RFC 5424, brackets and all.
    pub(crate) structured: Option<&'l str>,
    /// `auth.info` in words, where the line says so.
    pub(crate) level: Option<&'l str>,
    pub(crate) message: &'l str,
}

/// The time of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Time<'l> {
    /// The line has none.
    #[default]
    None,
    /// Milliseconds since 1970 UTC.
    At(i64),
    /// A date and time in the zone of the input.
    Local(i64),
    /// The same without a year.
    Yearless(YearlessTime),
    /// A text where a time should be.
    Unreadable(&'l str),
}

/// The zone that a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Minutes east of UTC.
    Of(i32),
    /// A name of several zones, and the minutes of the one that it mostly means: where the input has
    /// a zone of its own, that decides.
    Likely(i32),
}

/// Facilities in the order of their numbers (RFC 5424, table 1), as syslogd names them.
pub(crate) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// Severities in the order of their numbers (RFC 5424, table 2), as syslogd names them.
pub(crate) const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

impl<'l> Header<'l> {
    /// Reads a line; `None` if it is no syslog line: it has neither a priority nor a time.
    pub(crate) fn parse(line: &'l str) -> Option<Header<'l>> {
        let outer = Header::outer(line)?;
        // A relay puts its header before the one that came: there is no program between them.
        let inner = match (&outer.program, &outer.time) {
            (None, Time::Unreadable(_)) | (Some(_), _) => None,
            (None, _) => Header::outer(outer.message).filter(|h| h.program.is_some()),
        };
        Some(match inner {
            Some(inner) if !matches!(inner.time, Time::None | Time::Unreadable(_)) => {
                Header { priority: inner.priority.or(outer.priority), ..inner }
            }
            _ => outer,
        })
    }

    fn outer(line: &'l str) -> Option<Header<'l>> {
        let line = line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        let (priority, rest) = match priority(line).or_else(|| priority(after_length(line)?)) {
            Some((priority, rest)) => (Some(priority), rest),
            None => (None, line),
        };
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("1 ")
            && let Some(header) = rfc5424(rest)
        {
            return Some(Header { priority, ..header });
        }
        // Kept without the priority and the version: the process is a word of its own.
        if rest.as_bytes().first().is_some_and(u8::is_ascii_digit)
            && rest.split(' ').nth(3).is_some_and(|pid| pid == "-" || is_number(pid))
            && rest.split(' ').nth(5).is_some_and(|data| data == "-" || data.starts_with('['))
            && let Some(header) = rfc5424(rest).filter(|h| matches!(h.time, Time::At(_)))
        {
            return Some(Header { priority, ..header });
        }
        let (since_start, rest) = monotonic(rest);
        if since_start {
            return Some(Header { priority, ..rfc3164(rest, false) });
        }
        // socklog: `auth.info: Nov 20 10:00:00 sshd[7]: ..`
        let (level, rest) = match rest.split_once(": ") {
            Some((level, after)) if is_level(level) => (Some(level), after),
            _ => (None, rest),
        };
        let (time, weekday_form, rest) = leading_time(rest);
        if matches!(time, Time::None) && priority.is_none() {
            // Only the program and its process are left of the header.
            let (program, pid, message) =
                tag(rest).filter(|(_, pid, _)| pid.is_some_and(is_number))?;
            return Some(Header { program: Some(program), pid, message, ..Header::default() });
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        let (zone, rest) = match time {
            Time::None | Time::At(_) | Time::Unreadable(_) => (None, rest),
            Time::Local(_) | Time::Yearless(_) => zone_word(rest),
        };
        let year = zone.and_then(|_| year_after_zone(time, rest));
        let (time, rest) = year.map_or((time, rest), |(at, rest)| (Time::Local(at), rest));
        let header = rfc3164(rest, weekday_form);
        Some(Header { priority, time, zone, level: level.or(header.level), ..header })
    }

    /// Whether a line is one that journalctl writes between those of the log: `-- Boot 1a2b --`.
    pub(crate) fn is_comment(line: &str) -> bool {
        let line = line.trim_end();
        line == "--" || line.starts_with("-- ")
    }

    /// The facility in a word.
    pub(crate) fn facility(&self) -> Option<&'l str> {
        match self.priority {
            Some(priority) => FACILITIES.get(usize::from(priority >> 3)).copied(),
            None => self.level?.split(['.', '|', ':']).next(),
        }
    }

    /// The severity in a word.
    pub(crate) fn severity(&self) -> Option<&'l str> {
        match self.priority {
            Some(priority) => SEVERITIES.get(usize::from(priority & 7)).copied(),
            None => self.level?.rsplit(['.', ':']).next(),
        }
    }
}

fn priority(line: &str) -> Option<(u8, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let number: u8 = number.parse().ok().filter(|n| *n < 192)?;
    Some((number, rest))
}

/// What follows the length of a line, `138 <38>1 ..`.
fn after_length(line: &str) -> Option<&str> {
    let (length, rest) = line.split_once(' ')?;
    (length.len() <= 7 && is_number(length)).then_some(rest)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a line begins with a time since the start of the host, `[  123.456789]`, as journalctl's
/// `short-monotonic` and `short-delta` have it; and what follows. It is no date.
fn monotonic(text: &str) -> (bool, &str) {
    let inside = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let Some((stamp, rest)) = inside else { return (false, text) };
    let stamp = stamp.split('<').next().unwrap_or(stamp).trim();
    match stamp.split_once('.') {
        Some((seconds, fraction)) if is_number(seconds) && is_number(fraction) => (true, rest),
        _ => (false, text),
    }
}

/// Names that several zones share, none of which is meant more than the others.
const SHARED_ZONES: [&str; 2] = ["IST", "AMT"];

/// The zone after a time without one, and what follows it. A host may have the name of a zone: then
/// the program comes next.
fn zone_word(text: &str) -> (Option<Zone>, &str) {
    let Some((word, rest)) = text.split_once(' ') else { return (None, text) };
    let zone = match time::named_zone(word.as_bytes()) {
        Some((minutes, true)) => Some(Zone::Of(minutes as i32)),
        Some((minutes, false)) => Some(Zone::Likely(minutes as i32)),
        None => time::zone(word).map(Zone::Of),
    };
    let named = zone.is_some() || SHARED_ZONES.contains(&word);
    match named && rest.split(' ').next().is_some_and(|next| !is_tag(next)) {
        true => (zone, rest),
        false => (None, text),
    }
}

/// The year after the zone of a date without one: `Nov 20 10:00:00 CET 2026 host ..`.
fn year_after_zone<'l>(time: Time<'_>, text: &'l str) -> Option<(i64, &'l str)> {
    let Time::Yearless(date) = time else { return None };
    let (word, rest) = text.split_once(' ')?;
    let year = word.parse().ok().filter(|year| word.len() == 4 && (1970..2100).contains(year))?;
    Some((date.in_year(year)?, rest))
}

fn rfc5424(rest: &str) -> Option<Header<'_>> {
    let mut rest = rest;
    let mut token = || {
        let (token, tail) = rest.split_once(' ')?;
        rest = tail;
        Some(token)
    };
    let stamp = token()?;
    let time = match stamp {
        "-" => Time::None,
        stamp => time::zoned(stamp).map_or(Time::Unreadable(stamp), |(at, zoned)| {
            if zoned { Time::At(at) } else { Time::Local(at) }
        }),
    };
    let (host, program, pid) = (token()?, token()?, token()?);
    let (message_id, data) = match rest.split_once(' ') {
        Some((id, data)) => (id, data),
        None => return None,
    };
    // Some senders leave the structured data out.
    let (structured, message) = structured(data).unwrap_or((None, data));
    let said = |text| (text != "-").then_some(text);
    let message = message.trim_start_matches([' ', '\u{feff}']);
    // Some have the process with the program, or both in the message.
    let (program, own_pid, message) = match said(program) {
        Some(program) => match program.strip_suffix(']').and_then(|p| p.split_once('[')) {
            Some((program, pid)) => (Some(base_name(program)), Some(pid), message),
            None => (Some(base_name(program)), None, message),
        },
        None => match tag(message) {
            Some((program, pid, message)) => (Some(program), pid, message),
            None => (None, None, message),
        },
    };
    Some(Header {
        priority: None,
        time,
        zone: None,
        host: said(host),
        program,
        pid: said(pid).or(own_pid),
        message_id: said(message_id),
        structured,
        level: None,
        // rsyslog keeps the blank that RFC 3164 has after the tag.
        message,
    })
}

/// Structured data and what follows it.
fn structured(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some((None, rest));
    }
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if inside => quoted = !quoted,
            b'[' if !quoted => inside = true,
            b']' if !quoted => inside = false,
            _ if inside => {}
            _ => return Some((Some(text.get(..at)?).filter(|t| !t.is_empty()), text.get(at..)?)),
        }
    }
    (!inside).then_some((Some(text), ""))
}

/// The time at the start of a line, whether it was OpenWrt's form, which has no host after it, and
/// the rest.
fn leading_time(text: &str) -> (Time<'_>, bool, &str) {
    let first = text.as_bytes().first().copied().unwrap_or(b' ');
    if first.is_ascii_digit() {
        return match numeric_time(text) {
            Some((time, rest)) => (time, false, rest),
            None => (Time::None, false, text),
        };
    }
    if !first.is_ascii_uppercase() {
        return (Time::None, false, text);
    }
    if let Some((time, rest)) = month_day(text) {
        return (time, false, rest);
    }
    // `Fri Nov 20 10:00:00 2026 auth.info ..`, `Fri 2026-11-20 10:00:00 UTC host ..`
    let Some((weekday, rest)) = text.split_once(' ') else { return (Time::None, false, text) };
    if !matches!(weekday, "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun") {
        return (Time::None, false, text);
    }
    let rest = rest.trim_start();
    match month_day(rest).or_else(|| numeric_time(rest)) {
        Some((time, rest)) => (time, level_follows(rest), rest),
        None => (Time::None, false, text),
    }
}

/// `Nov 20 10:00:00` in its variations.
fn month_day(text: &str) -> Option<(Time<'_>, &str)> {
    let (time, year, rest) = time::month_day(text)?;
    Some(match year {
        Some(year) => (Time::Local(time.in_year(year)?), rest),
        None => (Time::Yearless(time), rest),
    })
}

/// Whether the next word is a facility and severity.
fn level_follows(rest: &str) -> bool {
    rest.trim_start().split(' ').next().is_some_and(is_level)
}

/// ISO 8601 with `T` or a space, or a number since 1970.
fn numeric_time(text: &str) -> Option<(Time<'_>, &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    // `2026 Nov 20 10:00:00`, as syslog-ng's FULLDATE has it.
    if word.len() == 4
        && let Ok(year) = word.parse::<i32>()
        && let Some((date, None, rest)) = time::month_day(rest)
    {
        return Some((Time::Local(date.in_year(year)?), rest));
    }
    if word.len() == 10 && matches!(word.as_bytes().get(4), Some(b'-' | b'/')) {
        // The time of day is the next word, a zone maybe the one after it.
        let (clock, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let end = word.len() + 1 + clock.len();
        let (at, zoned) = time::zoned(text.get(..end)?)?;
        if zoned {
            return Some((Time::At(at), rest));
        }
        if let Some((zone, after)) = rest.split_once(' ')
            && let Some(minutes) = time::zone(zone)
        {
            return Some((Time::At(at - i64::from(minutes) * 60_000), after));
        }
        return Some((Time::Local(at), rest));
    }
    if let Some((at, zoned)) = time::zoned(word) {
        return Some((if zoned { Time::At(at) } else { Time::Local(at) }, rest));
    }
    // Seconds since 1970, with a fraction or without; milli-, micro- and nanoseconds by their size.
    let seconds = word.split('.').next().filter(|s| matches!(s.len(), 10 | 13 | 16 | 19))?;
    seconds.parse::<i64>().ok()?;
    let at = time::parse(word, &[sluice_event::TimeFormat::Auto], 0)?;
    Some((Time::At(at), rest))
}

/// Host, level, program and message of a line without its time.
fn rfc3164(text: &str, no_host: bool) -> Header<'_> {
    let mut header = Header { message: text, ..Header::default() };
    let mut rest = text;
    // FreeBSD's `syslogd -v`: `<auth.info>`, `<4.6>`.
    if let Some((level, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once("> "))
        && level.split_once('.').is_some_and(|(facility, severity)| {
            let number = |text: &str| text.parse::<u8>().is_ok();
            is_level(level) || (number(facility) && number(severity))
        })
    {
        header.level = is_level(level).then_some(level);
        rest = after.trim_start();
    }
    // A host, unless the first word is the program already.
    if !no_host
        && let Some((word, after)) = rest.split_once(' ')
        && !is_tag(word)
        && !is_level(word)
        && time::zoned(word).is_none()
    {
        // ESXi has the severity in the place of the host: `In(14)`.
        let severity = word.strip_suffix(')').and_then(|w| w.split_once('('));
        if !word.is_empty() && !severity.is_some_and(|(name, n)| name.len() == 2 && is_number(n)) {
            header.host = Some(word);
        }
        rest = after.trim_start();
    }
    if let Some((word, after)) = rest.split_once(' ')
        && is_level(word)
    {
        header.level = Some(word);
        rest = after.trim_start();
    }
    // AIX: the host before is the one that forwarded it.
    if let Some((host, after)) =
        rest.strip_prefix("Message forwarded from ").and_then(|rest| rest.split_once(": "))
        && !host.contains(' ')
    {
        header.host = Some(host);
        rest = after;
    }
    header.message = rest;
    if let Some((program, pid, message)) = tag(rest) {
        header.program = Some(program);
        header.pid = pid;
        header.message = message;
    }
    // Solaris: `[ID 800047 auth.info] `.
    if let Some((id, message)) =
        header.message.strip_prefix("[ID ").and_then(|inner| inner.split_once("] "))
        && let Some((number, level)) = id.split_once(' ')
        && number.bytes().all(|b| b.is_ascii_digit())
        && is_level(level)
    {
        header.message_id = Some(number);
        header.level = Some(level);
        header.message = message;
    }
    header
}

/// `program[pid]: message` and `program: message`.
fn tag(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let colon = match (text.find(": "), text.find("]:")) {
        (Some(blank), Some(bracket)) => blank.min(bracket + 1),
        (Some(blank), None) => blank,
        (None, Some(bracket)) => bracket + 1,
        (None, None) => text.len().checked_sub(1)?,
    };
    let (word, message) = (text.get(..colon)?, text.get(colon..)?.strip_prefix(':')?);
    // `kernel: [  12.3] x` is a tag, `error: x y: z` after a host as well; a sentence is none.
    if word.is_empty() || word.len() > 128 || word.contains([' ', '"', '{', '=']) {
        return None;
    }
    let (name, pid) = match word.strip_suffix(']').and_then(|w| w.rsplit_once('[')) {
        Some((name, pid)) => (name, Some(pid)),
        None => (word, None),
    };
    if name.is_empty() {
        return None;
    }
    Some((base_name(name), pid, message.trim_start_matches(' ')))
}

fn is_tag(word: &str) -> bool {
    word.ends_with(':') && !word.contains("::")
}

/// `/usr/sbin/sshd`, `sshd(pam_unix)` and the unit of one connection, `sshd@2-10.0.0.1:22-..service`, are
/// `sshd`.
fn base_name(program: &str) -> &str {
    if let Some((unit, _)) = program.split_once('@').filter(|_| program.ends_with(".service")) {
        // Debian's unit has the name of its package.
        return if unit == "ssh" { "sshd" } else { unit };
    }
    let name = program.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or(program);
    match name.split_once('(') {
        Some((before, _)) if !before.is_empty() => before,
        _ => name,
    }
}

/// `auth.info`, `auth|security:info`.
fn is_level(word: &str) -> bool {
    if !word.as_bytes().first().is_some_and(u8::is_ascii_lowercase) {
        return false;
    }
    let Some((facility, severity)) = word.rsplit_once(['.', ':']) else { return false };
    let facility = facility.split('|').next().unwrap_or(facility);
    let known = |list: &[&str], word: &str| list.contains(&word);
    (known(&FACILITIES, facility) || facility == "security")
        && (known(&SEVERITIES, severity) || matches!(severity, "warn" | "error" | "panic" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (host, program, pid, message)
    fn parts(line: &str) -> (&str, &str, &str, &str) {
        let h = Header::parse(line).unwrap_or_else(|| panic!("{line}"));
        assert!(!matches!(h.time, Time::None | Time::Unreadable(_)), "{line}: {:?}", h.time);
        (h.host.unwrap_or("-"), h.program.unwrap_or("-"), h.pid.unwrap_or("-"), h.message)
    }

    #[test]
    fn the_forms_of_files_and_wires() {
        for line in [
            "Nov 20 10:00:00 h sshd[7]: m: n",
            "Nov  2 10:00:00 h sshd[7]: m: n",
            "Nov 2 10:00:00 h sshd[7]: m: n",
            "Nov 20 10:00:00.123456 h sshd[7]: m: n",
            "Nov 20 2026 10:00:00 h sshd[7]: m: n",
            "\u{feff}Nov 20 10:00:00 h sshd[7]: m: n",
            "<86>Nov 20 10:00:00 h sshd[7]: m: n",
            "<86>1 2026-11-20T10:00:00.000Z h sshd 7 - - m: n",
            "<86>1 2026-11-20T10:00:00.000+0100 h sshd 7 ID47 [a@1 b=\"]\\\"\"][c] \u{feff}m: n",
            "<86>1 2026-11-20T10:00:00.000Z h sshd 7 - -  m: n",
            "Nov 20 10:00:00 h sshd[7]:  m: n",
            "2026-11-20T10:00:00+00:00 h sshd[7]: m: n",
            "2026-11-20T10:00:00+0000 h sshd[7]: m: n",
            "2026-11-20T10:00:00,123+01 h sshd[7]: m: n",
            "2026-11-20T10:00:00 h sshd[7]: m: n",
            "2026-11-20 10:00:00 h sshd[7]: m: n",
            "2026-11-20 10:00:00.5 +0100 h sshd[7]: m: n",
            "Fri 2026-11-20 10:00:00 UTC h sshd[7]: m: n",
            "1795168800.123456 h sshd[7]: m: n",
            "1795168800123 h sshd[7]: m: n",
            "1795168800123456 h sshd[7]: m: n",
            "1795168800123456789 h sshd[7]: m: n",
            "Nov 20 10:00:00 h auth.info sshd[7]: m: n",
            "Nov 20 10:00:00 h auth|security:info sshd[7]: m: n",
            "Nov 20 10:00:00 h sshd[7]: [ID 800047 auth.info] m: n",
            "Nov 20 10:00:00 h /usr/sbin/sshd[7]: m: n",
            "Nov 20 10:00:00 h sshd(pam_unix)[7]: m: n",
            "Fri 2026-11-20 10:00:00 UTC h sshd@0-10.0.0.1:22-203.0.113.9:50122.service[7]: m: n",
            "Fri 2026-11-20 10:00:00 UTC h ssh@0-10.0.0.1:22-203.0.113.9:50122.service[7]: m: n",
            "Nov 20 10:00:01 relay Nov 20 10:00:00 h sshd[7]: m: n",
            "<86>Nov 20 10:00:01 relay 2026-11-20T10:00:00Z h sshd[7]: m: n",
            "2026-11-20T10:00:01Z 2026-11-20T10:00:00Z h sshd[7]: m: n",
            "<86> 1 2026-11-20T10:00:00.000Z h sshd 7 - - m: n",
            "<86>1 2026-11-20T10:00:00.000Z h sshd 7 - m: n",
            "<86>1 2026-11-20T10:00:00.000Z h sshd[7] - - - m: n",
            "<86>1 2026-11-20T10:00:00.000Z h - - - - sshd[7]: m: n",
            "1 2026-11-20T10:00:00.000Z h sshd 7 - - m: n",
            "2026-11-20T10:00:00.000Z h sshd 7 - - m: n",
        ] {
            assert_eq!(parts(line), ("h", "sshd", "7", "m: n"), "{line}");
        }
        for line in [
            "Nov 20 10:00:00 sshd[7]: m",
            "Fri Nov 20 10:00:00 2026 auth.info sshd[7]: m",
            "Nov 20 10:00:00 auth.info sshd[7]: m",
            "2026-11-20T10:00:00Z In(14) sshd[7]: m",
            "auth.info: Nov 20 10:00:00 sshd[7]: m",
        ] {
            assert_eq!(parts(line), ("-", "sshd", "7", "m"), "{line}");
        }
        assert_eq!(parts("Nov 20 10:00:00 h sshd: m"), ("h", "sshd", "-", "m"));
        assert_eq!(
            parts("Nov 20 10:00:00 h last message repeated 2 times").3,
            "last message repeated 2 times"
        );
        assert_eq!(parts("Nov 20 10:00:00 ::1 sshd[7]: m").0, "::1");
    }

    #[test]
    fn facility_and_severity_in_words() {
        let of = |line| {
            let h = Header::parse(line).unwrap();
            (h.facility().map(str::to_owned), h.severity().map(str::to_owned))
        };
        let both = (Some("authpriv".to_owned()), Some("info".to_owned()));
        assert_eq!(of("<86>Nov 20 10:00:00 h sshd[7]: m"), both);
        assert_eq!(of("Nov 20 10:00:00 h authpriv.info sshd[7]: m"), both);
    }

    #[test]
    fn marks_that_daemons_put_around_the_header() {
        let plain = Header::parse("Nov 20 10:00:00 h sshd[7]: m").unwrap();
        for line in [
            "Nov 20 10:00:00 UTC h sshd[7]: m",
            "Nov 20 10:00:00 +0100 h sshd[7]: m",
            "Nov 20 10:00:00 CET h sshd[7]: m",
            "Nov 20 10:00:00 IST h sshd[7]: m",
            "Fri Nov 20 10:00:00 CET 2026 h sshd[7]: m",
            "Fri 2026-11-20 10:00:00 CET h sshd[7]: m",
            "2026-11-20T10:00:00 CET h sshd[7]: m",
            "Nov 20 10:00:00 <auth.info> h sshd[7]: m",
            "Nov 20 10:00:00 <4.6> h sshd[7]: m",
            "Nov 20 10:00:00 edge Message forwarded from h: sshd[7]: m",
            "Nov 20 10:00:00 h sshd[7]:m",
            "2026 Nov 20 10:00:00 h sshd[7]: m",
            "2026/11/20 10:00:00 h sshd[7]: m",
            "31 <38>Nov 20 10:00:00 h sshd[7]: m",
        ] {
            let header = Header::parse(line).unwrap();
            assert_eq!(header.program, Some("sshd"), "{line}");
            assert_eq!((header.host, header.pid), (plain.host, plain.pid), "{line}");
            assert_eq!(header.message, "m", "{line}");
        }
        let zone = |line| Header::parse(line).unwrap().zone;
        assert_eq!(zone("Nov 20 10:00:00 +0100 h sshd[7]: m"), Some(Zone::Of(60)));
        assert_eq!(zone("Nov 20 10:00:00 GMT h sshd[7]: m"), Some(Zone::Of(0)));
        assert_eq!(zone("Nov 20 10:00:00 EST h sshd[7]: m"), Some(Zone::Of(-300)));
        assert_eq!(zone("Nov 20 10:00:00 CST h sshd[7]: m"), Some(Zone::Likely(-360)));
        assert_eq!(zone("Nov 20 10:00:00 IST h sshd[7]: m"), None);
        assert_eq!(zone("Fri 2026-11-20 10:00:00 CEST h sshd[7]: m"), Some(Zone::Of(120)));
        let dated = Header::parse("Fri Nov 20 10:00:00 CET 2026 h sshd[7]: m").unwrap();
        assert_eq!((dated.host, dated.zone), (Some("h"), Some(Zone::Of(60))));
        assert_eq!(dated.time, Time::Local(1_795_168_800_000));
        // A host that has the name of a zone.
        assert_eq!(Header::parse("Nov 20 10:00:00 EST sshd[7]: m").unwrap().host, Some("EST"));
    }

    #[test]
    fn what_is_no_syslog_line() {
        for line in ["", "plain text", "{\"a\":1}", "2 111122223333 eni-1 OK", "<999>x", "Nov x"] {
            assert_eq!(Header::parse(line), None, "{line}");
        }
    }
}
