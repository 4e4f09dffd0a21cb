//! Syslog lines (RFC 3164 and 5424), with patterns over the message whose named groups are columns.
//! Not the transports.

use chrono::{FixedOffset, Offset};
use regex::{CaptureLocations, Regex};
use sluice_event::WireSchema;
use syslog_loose::{Message, ProcId, Protocol, Variant};

use super::{Failure, column::Column, column_of};
use crate::{DeadLetterCode, time};

/// The layout of the lines of a source.
#[derive(Debug)]
pub(crate) struct Syslog {
    header: Header,
    year: Option<i32>,
    zone: FixedOffset,
    message: Option<usize>,
    patterns: Vec<Pattern>,
}

/// The columns of the header fields that the source declares.
#[derive(Debug)]
struct Header {
    timestamp: Option<usize>,
    hostname: Option<usize>,
    appname: Option<usize>,
    procid: Option<usize>,
    msgid: Option<usize>,
    facility: Option<usize>,
    severity: Option<usize>,
    structured: Option<usize>,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    locations: CaptureLocations,
    /// Capture group and column.
    groups: Vec<(usize, usize)>,
}

impl Syslog {
    pub(crate) fn new(patterns: &[Regex], year: Option<i32>, zone: i32, wire: &WireSchema) -> Self {
        let column = |name| column_of(wire, &[name]);
        let header = Header {
            timestamp: column("timestamp"),
            hostname: column("hostname"),
            appname: column("appname"),
            procid: column("procid"),
            msgid: column("msgid"),
            facility: column("facility"),
            severity: column("severity"),
            structured: column("structured_data"),
        };
        let patterns = patterns
            .iter()
            .map(|regex| Pattern {
                regex: regex.clone(),
                locations: regex.capture_locations(),
                groups: regex
                    .capture_names()
                    .enumerate()
                    .filter_map(|(group, name)| Some((group, column_of(wire, &[name?])?)))
                    .collect(),
            })
            .collect();
        Syslog {
            header,
            year,
            zone: FixedOffset::east_opt(zone.saturating_mul(60)).unwrap_or(chrono::Utc.fix()),
            message: column("message"),
            patterns,
        }
    }

    /// Appends one line at `row`.
    pub(crate) fn record(
        &mut self,
        line: &str,
        columns: &mut [Column],
        row: usize,
        reference: i64,
    ) -> Result<(), Failure> {
        let parsed = self.parse(line, reference)?;
        if let Some(column) = self.header.timestamp.and_then(|c| columns.get_mut(c))
            && let Some(time) = parsed.timestamp
        {
            column.pad(row);
            column.push_time(time.timestamp_millis());
        }
        let mut put = |column: Option<usize>, text: &str| {
            if let Some(column) = column.and_then(|c| columns.get_mut(c))
                && column.len() <= row
            {
                column.pad(row);
                column.push_text(text, reference);
            }
        };
        self.header.append(&parsed, &mut put);
        let message = parsed.msg;
        for pattern in &mut self.patterns {
            if pattern.regex.captures_read(&mut pattern.locations, message).is_none() {
                continue;
            }
            for &(group, column) in &pattern.groups {
                let text = pattern.locations.get(group).and_then(|(a, b)| message.get(a..b));
                if let Some(text) = text {
                    put(Some(column), text);
                }
            }
            break;
        }
        put(self.message, message);
        Ok(())
    }

    /// Parses the header; a zone that is not given is UTC, a year the one nearest to `reference`.
    fn parse<'l>(&self, line: &'l str, reference: i64) -> Result<Message<&'l str>, Failure> {
        let not_syslog = || Failure::new(DeadLetterCode::BadFraming, "not a syslog line");
        let given = self.year;
        let year = move |(month, day, hour, minute, second)| {
            given.unwrap_or_else(|| time::nearest_year(month, day, hour, minute, second, reference))
        };
        let parsed = syslog_loose::parse_message_with_year_exact_tz(
            line,
            year,
            Some(self.zone),
            Variant::Either,
        )
        .map_err(|_| not_syslog())?;
        // RFC 3164 allows nearly any text; without a priority and a time it is not a syslog line.
        match parsed.protocol {
            Protocol::RFC3164 if parsed.timestamp.is_none() && parsed.facility.is_none() => {
                Err(not_syslog())
            }
            Protocol::RFC3164 | Protocol::RFC5424(_) => Ok(parsed),
        }
    }
}

impl Header {
    fn append(&self, m: &Message<&str>, put: &mut impl FnMut(Option<usize>, &str)) {
        if let Some(host) = m.hostname {
            put(self.hostname, host);
        }
        if let Some(app) = m.appname {
            put(self.appname, app);
        }
        match &m.procid {
            Some(ProcId::PID(pid)) => put(self.procid, &pid.to_string()),
            Some(ProcId::Name(name)) => put(self.procid, name),
            None => {}
        }
        if let Some(id) = m.msgid {
            put(self.msgid, id);
        }
        if let Some(facility) = m.facility {
            put(self.facility, facility.as_str());
        }
        if let Some(severity) = m.severity {
            put(self.severity, severity.as_str());
        }
        if self.structured.is_some() && !m.structured_data.is_empty() {
            let elements: serde_json::Map<String, serde_json::Value> = m
                .structured_data
                .iter()
                .map(|e| {
                    let params = e.params().map(|(k, v)| (k.to_string(), v.to_string().into()));
                    (e.id.to_owned(), serde_json::Value::Object(params.collect()))
                })
                .collect();
            put(self.structured, &serde_json::Value::Object(elements).to_string());
        }
    }
}
