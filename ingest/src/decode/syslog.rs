//! Syslog lines (see [`header`]), with patterns over the message whose named groups are columns. Not
//! the transports.

use std::collections::HashMap;

use regex::{CaptureLocations, Regex};
use sluice_event::{PartitionId, TimeFormat, WireSchema};
use sluice_rule::Pattern;

use self::{
    clock::Clock,
    header::{Header, Time, Zone as Named},
};
use super::{
    Failure, Outcome, RecordContext,
    codec::{Decode, Form, Record},
    column::Column,
    column_of, text_record,
};
use crate::{
    Codec, DeadLetterCode, Framing, InputOptions, Limits, SourceSpec, SyslogCodec, Zone,
    detect::ask::Question,
    envelope::{Field, Wrapper},
    time::{self, YearlessTime},
};

mod clock;
pub(crate) mod header;

pub(crate) use clock::Doubt;

impl Form for SyslogCodec {
    fn framing(&self, _: &SourceSpec) -> Framing {
        Framing::Syslog
    }

    fn heeds(&self, setting: &str) -> bool {
        matches!(setting, "zone" | "year")
    }

    fn for_input(&self, options: &InputOptions) -> Codec {
        let zone = options.zone.unwrap_or(self.zone);
        let year = options.year.or(self.year);
        Codec::Syslog(SyslogCodec { zone, year, ..self.clone() })
    }

    fn programs(&self) -> Option<Vec<String>> {
        Some(self.programs.iter().flat_map(|p| p.names.clone()).collect())
    }

    /// A source with known programs is told by the header of a line: cheaper than decoding.
    fn is_told_by_decoding(&self, spec: &SourceSpec) -> bool {
        spec.detect_line.is_none() && self.programs.is_empty()
    }

    fn fits(&self, question: &mut Question<'_>) -> bool {
        if question.json {
            return false;
        }
        let text = String::from_utf8_lossy(question.record);
        let known = |p: &str| self.programs.iter().any(|of| of.names.iter().any(|n| n == p));
        let said = question.wrapper.and_then(|w| w.get(&Field::Program));
        let program = said.or_else(|| Header::parse(&text).and_then(|h| h.program));
        let spec = question.spec;
        let bare = |message: &Regex| question.wrapper.is_some() && message.is_match(&text);
        match (program, spec.detect_line.is_some() || !self.programs.is_empty()) {
            (Some(program), true) if known(program) => true,
            (None, true) if spec.detect_message.as_ref().is_some_and(bare) => true,
            (_, true) => question.line(),
            // A source that declares nothing: a line that decodes looks like it.
            (_, false) => question.decodes().is_some(),
        }
    }

    fn reads(&self, question: &mut Question<'_>) -> bool {
        let line = String::from_utf8_lossy(question.record);
        Header::is_comment(&line) || Header::parse(&line).is_some()
    }

    fn decoder(&self, wire: &WireSchema, _: Limits) -> Box<dyn Decode> {
        Box::new(Syslog::new(self, wire))
    }
}

/// The layout of the lines of a source.
#[derive(Debug)]
pub(crate) struct Syslog {
    columns: HeaderColumns,
    year: Option<i32>,
    /// The zone of times without one.
    zone: Zone,
    /// The programs the source knows, each with the patterns of its messages.
    programs: Vec<(Vec<String>, Vec<MessagePattern>)>,
    /// Patterns for the messages of any program.
    patterns: Vec<MessagePattern>,
    /// Per partition in order: the last date without a year, and the year it was given.
    years: HashMap<PartitionId, (YearlessTime, i32)>,
    clock: Clock,
}

/// The columns of the header fields that the source declares.
#[derive(Debug)]
struct HeaderColumns {
    timestamp: Option<usize>,
    hostname: Option<usize>,
    appname: Option<usize>,
    procid: Option<usize>,
    msgid: Option<usize>,
    facility: Option<usize>,
    severity: Option<usize>,
    structured: Option<usize>,
    repeated: Option<usize>,
    message: Option<usize>,
}

/// A pattern and the columns of its groups.
#[derive(Debug)]
struct MessagePattern {
    pattern: Pattern,
    /// Once a message was asked: the compiled pattern with a cache of this decoder's own, and where its
    /// groups are.
    asked: Option<(Regex, CaptureLocations)>,
    /// Capture group and column.
    groups: Vec<(usize, usize)>,
}

/// What became of the message of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    /// A pattern took it, or its program is not one the source knows.
    Yes,
    /// The source knows the program, and no pattern takes the message.
    Unparsed,
}

impl Decode for Syslog {
    fn decode(&mut self, record: Record<'_>) -> Result<Outcome, Failure> {
        let Record {
            bytes, json, wrapper, surroundings, context, row, columns, tally, run, ..
        } = record;
        if json {
            return Err(Failure::not_a_line());
        }
        text_record(bytes, tally, |text| {
            if wrapper.is_none() {
                surroundings.refuse_wrapped(text)?;
            }
            if wrapper.is_none() && Header::is_comment(text) {
                return Ok(Outcome::Skip);
            }
            let (matched, doubt) = self.record(text, wrapper, columns, row, context)?;
            if let Some(doubt) = doubt {
                run.doubtful_times.insert(row as u32, doubt);
            }
            if matched == Matched::Unparsed {
                run.unparsed.note(text);
            }
            Ok(Outcome::Row)
        })
    }
}

impl Syslog {
    pub(crate) fn new(codec: &SyslogCodec, wire: &WireSchema) -> Self {
        let column = |name| column_of(wire, &[name]);
        let patterns = |list: &[Pattern]| {
            list.iter().map(|pattern| MessagePattern::new(pattern, wire)).collect()
        };
        Syslog {
            columns: HeaderColumns {
                timestamp: column("timestamp"),
                hostname: column("hostname"),
                appname: column("appname"),
                procid: column("procid"),
                msgid: column("msgid"),
                facility: column("facility"),
                severity: column("severity"),
                structured: column("structured_data"),
                repeated: column("repeated"),
                message: column("message"),
            },
            year: codec.year,
            zone: codec.zone,
            programs: codec
                .programs
                .iter()
                .map(|of| (of.names.clone(), patterns(&of.patterns)))
                .collect(),
            patterns: patterns(&codec.patterns),
            years: HashMap::new(),
            clock: Clock::default(),
        }
    }

    /// Appends one line at `row`.
    pub(crate) fn record(
        &mut self,
        line: &str,
        wrapper: Option<&Wrapper>,
        columns: &mut [Column],
        row: usize,
        context: &RecordContext,
    ) -> Result<(Matched, Option<Doubt>), Failure> {
        let header = header_of(line, wrapper).ok_or_else(|| {
            Failure::new(DeadLetterCode::BadFraming, "not a syslog line: no priority and no time")
        })?;
        let zone = match header.zone {
            Some(Named::Of(minutes)) => Zone::Offset(minutes),
            Some(Named::Likely(minutes)) if self.zone == Zone::UTC => Zone::Offset(minutes),
            Some(Named::Likely(_)) | None => self.zone,
        };
        let mut doubt = None;
        // A date without a year is near to when the wrapper says it was written.
        let near = match header.time {
            Time::Yearless(_) => wrapper.and_then(|w| written(w, context.reference)),
            Time::None | Time::At(_) | Time::Local(_) | Time::Unreadable(_) => None,
        };
        let context = &RecordContext { reference: near.unwrap_or(context.reference), ..*context };
        let time = self.time(&header.time, zone, context, &mut doubt).or_else(|| {
            let text = wrapper?.get(&Field::Time)?;
            let shown = time::local(text).map_or(Time::None, Time::Local);
            self.time(&shown, self.zone, context, &mut doubt).or_else(|| {
                time::parse(text, &[TimeFormat::Auto, TimeFormat::Syslog], context.reference)
            })
        });
        if let Some(column) = self.columns.timestamp.and_then(|c| columns.get_mut(c)) {
            match (time, &header.time) {
                (Some(time), _) => {
                    column.pad(row);
                    column.push_time(time);
                }
                // Read again as text it is a conflict of the column, with its text.
                (None, Time::Unreadable(text)) => {
                    column.pad(row);
                    column.push_text(text, context.reference);
                }
                (None, _) => {}
            }
        }
        let mut put = |column: Option<usize>, text: &str| {
            if let Some(column) = column.and_then(|c| columns.get_mut(c))
                && column.len() <= row
            {
                column.pad(row);
                column.push_text(text, context.reference);
            }
        };
        self.columns.append(&header, &mut put);
        let message = match folded(header.message) {
            Some((times, message)) => {
                put(self.columns.repeated, times);
                message
            }
            None => header.message,
        };
        // A header that hides the program of a line: its message begins with it.
        let hidden = header.program.is_none()
            && self.programs.iter().flat_map(|(names, _)| names).any(|name| {
                let after = |at: usize| header.message.as_bytes().get(at + name.len());
                let mut found = header.message.match_indices(name.as_str());
                found.any(|(at, _)| matches!(after(at), Some(b'[' | b':')))
            });
        let own = match header.program {
            Some(program) => {
                self.programs.iter_mut().find(|(names, _)| names.iter().any(|n| n == program))
            }
            // A wrapper that names no program: the source is all that tells it.
            None if wrapper.is_some() => self.programs.first_mut(),
            None => None,
        };
        let known = own.is_some() || hidden;
        let own = own.map(|(_, patterns)| patterns.as_mut_slice()).unwrap_or_default();
        let matched = own
            .iter_mut()
            .chain(&mut self.patterns)
            .any(|pattern| pattern.append(message, &mut put));
        put(self.columns.message, header.message);
        let matched = if known && !matched { Matched::Unparsed } else { Matched::Yes };
        Ok((matched, doubt))
    }

    fn time(
        &mut self,
        time: &Time<'_>,
        zone: Zone,
        context: &RecordContext,
        doubt: &mut Option<Doubt>,
    ) -> Option<i64> {
        let clock = match *time {
            Time::At(at) => return Some(at),
            Time::Local(clock) => clock,
            Time::None | Time::Unreadable(_) => return None,
            Time::Yearless(date) => date.in_year(self.year_of(date, context))?,
        };
        let (moment, doubtful) = self.clock.moment(clock, zone, context);
        *doubt = doubtful;
        Some(moment)
    }

    /// The year of a date without one: in a file the one its order says, in a stream the nearest to
    /// when the line was received.
    fn year_of(&mut self, date: YearlessTime, context: &RecordContext) -> i32 {
        let Some(first) = context.first_year else {
            return self
                .year
                .unwrap_or_else(|| date.nearest_year(self.zone.clock(context.reference)));
        };
        match self.years.get_mut(&context.partition) {
            None => {
                let year = self.year.unwrap_or(first);
                self.years.insert(context.partition, (date, year));
                year
            }
            Some((last, year)) => match date.years_after(*last) {
                // A straggler of the year that just ended.
                back if back < 0 => *year - 1,
                years => {
                    *year += years;
                    *last = date;
                    *year
                }
            },
        }
    }
}

impl MessagePattern {
    fn new(pattern: &Pattern, wire: &WireSchema) -> Self {
        let groups = pattern.groups();
        MessagePattern {
            groups: groups
                .filter_map(|(group, name)| Some((group, column_of(wire, &[name])?)))
                .collect(),
            pattern: pattern.clone(),
            asked: None,
        }
    }

    /// Appends its groups if it matches.
    fn append(&mut self, message: &str, put: &mut impl FnMut(Option<usize>, &str)) -> bool {
        if self.asked.is_none() {
            let regex = self.pattern.regex();
            self.asked = regex.map(|regex| (regex.clone(), regex.capture_locations()));
        }
        let Some((regex, locations)) = &mut self.asked else { return false };
        if regex.captures_read(locations, message).is_none() {
            return false;
        }
        for &(group, column) in &self.groups {
            let text = locations.get(group).and_then(|(a, b)| message.get(a..b));
            if let Some(text) = text {
                put(Some(column), text);
            }
        }
        true
    }
}

impl HeaderColumns {
    fn append(&self, header: &Header<'_>, put: &mut impl FnMut(Option<usize>, &str)) {
        let parts = [
            (self.hostname, header.host),
            (self.appname, header.program),
            (self.procid, header.pid),
            (self.msgid, header.message_id),
            (self.facility, self.facility.and_then(|_| header.facility())),
            (self.severity, self.severity.and_then(|_| header.severity())),
            (self.structured, header.structured),
        ];
        for (column, text) in parts {
            if let Some(text) = text {
                put(column, text);
            }
        }
    }
}

/// `message repeated 3 times: [ Failed password ..]`, as syslog daemons fold equal lines: how
/// many there were, and what they said.
fn folded(message: &str) -> Option<(&str, &str)> {
    let (times, rest) = message.strip_prefix("message repeated ")?.split_once(" times: [")?;
    let inner = rest.trim_end().strip_suffix(']')?;
    times.bytes().all(|b| b.is_ascii_digit()).then_some((times, inner.trim_start()))
}

/// When a record was written or received, by its wrapper, in milliseconds since 1970 UTC; without regard to
/// the zone of a time that has none. A time before 2000, or after the record was received, is none.
fn written(wrapper: &Wrapper, received: i64) -> Option<i64> {
    const YEAR_2000: i64 = 946_684_800_000;
    const DAY: i64 = 86_400_000;
    let text = wrapper.get(&Field::Time).or_else(|| wrapper.get(&Field::Received))?;
    let at = time::parse(text, &[TimeFormat::Auto], 0).or_else(|| time::local(text))?;
    (YEAR_2000..=received.saturating_add(DAY)).contains(&at).then_some(at)
}

/// The header of a line, completed by what a wrapper says of it.
fn header_of<'l>(line: &'l str, wrapper: Option<&'l Wrapper>) -> Option<Header<'l>> {
    let parsed = Header::parse(line);
    let Some(wrapper) = wrapper else { return parsed };
    let program = wrapper.get(&Field::Program);
    let mut header = match (program, parsed) {
        // The shipper read the program off a whole line. A message cannot pose as one: it would have
        // to be of the same program.
        (Some(program), Some(header))
            if header.program == Some(program) && header.time != Time::None =>
        {
            header
        }
        (None, Some(header)) => header,
        (program, _) => Header {
            program,
            pid: wrapper.get(&Field::Pid),
            message: line.trim_start(),
            ..Header::default()
        },
    };
    header.host = header.host.or_else(|| wrapper.get(&Field::Host));
    Some(header)
}
