//! Times without a zone, read in that of the input: what a clock that is put forward and back shows.

use std::sync::Arc;

use sluice_ingest::{Codec, InputOptions, SourceSpec, SyslogCodec, Zone};

use crate::{
    decoding::sshd,
    support::{Outcome, run_spec},
    wrapped::{decode, decoder_of, source, texts},
};

fn in_zone(spec: SourceSpec, zone: &str) -> SourceSpec {
    let Codec::Syslog(codec) = spec.codec else { panic!("not syslog") };
    let zone = Zone::parse(zone).unwrap();
    SourceSpec { codec: Codec::Syslog(SyslogCodec { zone, ..codec }), ..spec }
}

fn lines(zone: &str, dates: &[&str]) -> Outcome {
    let line = |date: &&str| {
        format!("{date} web-1 sshd[7]: Failed password for ann from 203.0.113.9 port 42 ssh2\n")
    };
    run_spec(in_zone(sshd(), zone), dates.iter().map(line).collect::<String>().into_bytes())
}

fn times(outcome: &Outcome) -> Vec<String> {
    outcome.column("time").into_iter().map(|time| time.unwrap_or_default()).collect()
}

#[test]
fn an_offset_depends_on_the_date() {
    let outcome = lines(
        "Europe/Berlin",
        &[
            "2025-07-01T12:00:00",
            "2025-12-01T12:00:00",
            "2025-12-01T12:00:00Z",
            "2025-12-01 12:00:00 EST",
            "Dec  2 12:00:00",
        ],
    );
    assert_eq!(
        times(&outcome),
        [
            "2025-07-01T10:00:00.000Z",
            "2025-12-01T11:00:00.000Z",
            "2025-12-01T12:00:00.000Z",
            "2025-12-01T17:00:00.000Z",
            "2025-12-02T11:00:00.000Z",
        ]
    );
    assert_eq!(outcome.counts.time_flags.len(), 0);
    let fixed = lines("+05:30", &["2025-07-01T12:00:00"]);
    assert_eq!(times(&fixed), ["2025-07-01T06:30:00.000Z"]);
}

#[test]
fn an_hour_that_comes_twice_is_the_first_until_the_log_goes_back() {
    let outcome = lines(
        "Europe/Berlin",
        &[
            "2025-10-26T01:59:59",
            "2025-10-26T02:30:00",
            "2025-10-26T02:29:58",
            "2025-10-26T02:59:59",
            "2025-10-26T02:00:00",
            "2025-10-26T02:45:00",
            "2025-10-26T03:00:00",
        ],
    );
    assert_eq!(
        times(&outcome),
        [
            "2025-10-25T23:59:59.000Z",
            "2025-10-26T00:30:00.000Z",
            "2025-10-26T00:29:58.000Z",
            "2025-10-26T00:59:59.000Z",
            "2025-10-26T01:00:00.000Z",
            "2025-10-26T01:45:00.000Z",
            "2025-10-26T02:00:00.000Z",
        ]
    );
    let ambiguous = &outcome.counts.time_flags["ambiguous"];
    assert_eq!(ambiguous.rows, 5);
    assert_eq!(ambiguous.example.as_deref(), Some("2025-10-26T02:30:00.000 Europe/Berlin"));
    let flags = outcome.column("time_flag");
    assert_eq!((flags[0].as_deref(), flags[1].as_deref()), (None, Some("ambiguous")));
    let claimed = outcome.column("original_time");
    assert_eq!(claimed[4].as_deref(), Some("2025-10-26T02:00:00.000 Europe/Berlin"));
    // The log says which it is: nothing is doubtful.
    let named = lines("Europe/Berlin", &["2025-10-26 02:30:00 CET", "2025-10-26 02:30:00 CEST"]);
    assert_eq!(times(&named), ["2025-10-26T01:30:00.000Z", "2025-10-26T00:30:00.000Z"]);
    assert_eq!(named.counts.time_flags.len(), 0);
}

#[test]
fn a_time_that_no_clock_showed_is_read_as_before_it_was_put_forward() {
    let outcome = lines(
        "America/New_York",
        &["2025-03-09T01:59:59", "2025-03-09T02:30:00", "2025-03-09T03:00:00"],
    );
    assert_eq!(
        times(&outcome),
        ["2025-03-09T06:59:59.000Z", "2025-03-09T07:30:00.000Z", "2025-03-09T07:00:00.000Z"]
    );
    let skipped = &outcome.counts.time_flags["skipped"];
    assert_eq!(skipped.rows, 1);
    assert_eq!(skipped.example.as_deref(), Some("2025-03-09T02:30:00.000 America/New_York"));
}

#[test]
fn in_a_stream_it_is_the_second_unless_that_is_after_it_was_received() {
    let options =
        InputOptions { zone: Zone::parse("Europe/Berlin").ok(), ..InputOptions::default() };
    let spec = Arc::new(SourceSpec::clone(&source("linux.sshd"))).for_input(&options);
    let line =
        "Oct 26 02:30:00 web-1 sshd[7]: Failed password for ann from 203.0.113.9 port 42 ssh2";
    for (received, expect) in [
        ("2025-10-26T00:30:01Z", "2025-10-26T00:30:00Z"),
        ("2025-10-26T01:29:58Z", "2025-10-26T01:30:00Z"),
        ("2025-10-26T09:00:00Z", "2025-10-26T01:30:00Z"),
    ] {
        let received = sluice_event::parse_rfc3339(received.as_bytes()).unwrap().0;
        let mut chunk = sluice_ingest::Chunk::of_lines(
            sluice_event::PartitionId(0),
            &[line.to_owned()],
            received,
        );
        chunk.messages = true;
        let decoded = decoder_of(&spec).decode(&chunk);
        assert_eq!(texts(&decoded.wire, "timestamp"), [expect], "{received}");
    }
}

#[test]
fn the_time_that_a_wrapper_gives_has_the_zone_of_the_input() {
    let options =
        InputOptions { zone: Zone::parse("Europe/Berlin").ok(), ..InputOptions::default() };
    let spec = Arc::new(SourceSpec::clone(&source("linux.sshd"))).for_input(&options);
    let wrapped = |time: &str| {
        format!(
            r#"{{"timestamp":"{time}","host":"web-1","program":"sshd","pid":"7","message":"Failed password for ann from 203.0.113.9 port 42 ssh2"}}"#
        )
    };
    let records = [wrapped("2025-12-31T10:00:00"), wrapped("2025-12-31T10:00:00Z")];
    let decoded = decode(&mut decoder_of(&spec), &records);
    assert_eq!(texts(&decoded.wire, "timestamp"), ["2025-12-31T09:00:00Z", "2025-12-31T10:00:00Z"]);
}
