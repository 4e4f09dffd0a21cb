//! Logs as people ship them: envelopes around every shipped source, records of others, bounds.
//! The mappings themselves are not run here: only what the wire says.

use std::sync::{Arc, LazyLock};

use sluice_event::PartitionId;
use sluice_ingest::{
    Chunk, DeadLetterCode, Decoder, Envelopes, InputOptions, Limits, SourceSpec, Zone,
    builtin_mappings, detect,
};

use crate::{
    support::{RECEIVED, spec},
    wrappers::{headless, wrappers},
};

/// The shipped sources, without their SQL.
pub(crate) fn sources() -> Vec<Arc<SourceSpec>> {
    static SHIPPED: LazyLock<Vec<Arc<SourceSpec>>> = LazyLock::new(shipped);
    SHIPPED.clone()
}

fn shipped() -> Vec<Arc<SourceSpec>> {
    let mappings: Vec<_> = builtin_mappings()
        .into_iter()
        .map(|(path, text)| Arc::new(sluice_rule::Mapping::parse(&path, &path, &text).unwrap().0))
        .collect();
    let any = spec().mappings[0].transform.clone();
    let sources = SourceSpec::from_mappings(&mappings, |_, _| Ok(any.clone())).unwrap();
    sources.into_iter().map(Arc::new).collect()
}

pub(crate) fn source(name: &str) -> Arc<SourceSpec> {
    sources().into_iter().find(|s| *s.source == *name).unwrap()
}

pub(crate) const TRAIL: &str = r#"{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","eventTime":"2025-12-31T09:00:00Z"}"#;
pub(crate) const AUDIT: &str = r#"{"kind":"Event","auditID":"k","stage":"ResponseComplete","user":{"username":"ann"},"verb":"list"}"#;
const OKTA: &str = r#"{"eventType":"user.session.start","published":"2025-12-31T09:00:00.000Z","actor":{"id":"u"}}"#;
pub(crate) const FLOW: &str = "2 111122223333 eni-0a1b2c3d 203.0.113.9 10.0.1.5 51234 22 6 20 4249 1767171600 1767171660 ACCEPT OK";
pub(crate) const SSHD: &str =
    "Dec 31 09:00:00 web-1 sshd[7]: Failed password for root from 203.0.113.9 port 4242 ssh2";
const MESSAGE: &str = "Failed password for root from 203.0.113.9 port 4242 ssh2";

/// The column of each source that a whole record fills, and its text.
fn told(source: &str) -> (&'static str, &'static str) {
    match source {
        "aws.cloudtrail" => ("eventName", "ListBuckets"),
        "kubernetes.audit" => ("auditID", "k"),
        "okta.system" => ("eventType", "user.session.start"),
        "aws.vpc_flow" => ("srcaddr", "203.0.113.9"),
        _ => ("user", "root"),
    }
}

pub(crate) fn texts(batch: &arrow::array::RecordBatch, column: &str) -> Vec<String> {
    use arrow::array::AsArray;
    let values = arrow::compute::cast(&batch[column], &arrow::datatypes::DataType::Utf8).unwrap();
    values.as_string::<i32>().iter().map(|v| v.unwrap_or("NULL").to_owned()).collect()
}

/// Decodes records as a source, each whole in memory.
pub(crate) fn decode(decoder: &mut Decoder, records: &[String]) -> sluice_ingest::Decoded {
    decoder.decode(&Chunk::of_lines(PartitionId(0), records, RECEIVED))
}

pub(crate) fn decoder_of(spec: &SourceSpec) -> Decoder {
    Decoder::new(spec, Limits::default())
}

#[test]
fn every_envelope_file_is_what_its_own_examples_say() {
    let envelopes = Arc::new(Envelopes::builtin().unwrap());
    let mut examples = 0;
    for envelope in envelopes.iter() {
        assert!(!envelope.tests.is_empty() && !envelope.references.is_empty(), "{}", envelope.id);
        for test in &envelope.tests {
            examples += 1;
            let (payloads, fields) = envelopes.run_test(test);
            assert_eq!(payloads, test.payloads, "{}: {}", envelope.id, test.name);
            assert_eq!(fields, test.fields, "{}: {}", envelope.id, test.name);
        }
    }
    assert!(examples >= 60, "{examples} examples");
}

/// What `serde_json` makes of a text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn records_of_every_source_in_every_envelope() {
    let all = sources();
    let mut pairs = 0;
    for (name, record) in [
        ("aws.cloudtrail", TRAIL),
        ("kubernetes.audit", AUDIT),
        ("okta.system", OKTA),
        ("aws.vpc_flow", FLOW),
        ("linux.sshd", SSHD),
    ] {
        let spec = source(name);
        let mut decoder = decoder_of(&spec);
        let (column, value) = told(name);
        let mut wrapped = wrappers(record);
        if name == "linux.sshd" {
            wrapped.extend(headless(MESSAGE));
        }
        for (wrapper, text) in wrapped {
            pairs += 1;
            let decoded = decode(&mut decoder, std::slice::from_ref(&text));
            assert_eq!(decoded.failed, [], "{name} in {wrapper}: {text}");
            let found = texts(&decoded.wire, column);
            assert!(!found.is_empty(), "{name} in {wrapper}: {text}");
            assert!(found.iter().all(|f| f == value), "{name} in {wrapper}: {found:?} {text}");
            if name == "linux.sshd" {
                assert_eq!(texts(&decoded.wire, "hostname")[0], "web-1", "{wrapper}");
                assert_eq!(texts(&decoded.wire, "procid")[0], "7", "{wrapper}");
                let times = texts(&decoded.wire, "timestamp");
                assert!(times[0].starts_with("2025-12-31T09:00:00"), "{wrapper}: {times:?}");
            }
            // What a source named decodes, `auto` finds.
            let seen = detect(all.iter().map(AsRef::as_ref), format!("{text}\n").as_bytes());
            let best = seen.best.as_ref().map(|m| m.source.as_str());
            assert_eq!(best, Some(name), "{wrapper}: {seen} {text}");
        }
    }
    assert!(pairs >= 200, "{pairs} pairs");
}

#[test]
fn a_record_of_another_source_is_not_this_one() {
    for (name, others) in [
        ("aws.cloudtrail", [AUDIT, OKTA, r#"{"a":1}"#]),
        ("kubernetes.audit", [TRAIL, OKTA, r#"{"a":1}"#]),
        ("okta.system", [TRAIL, AUDIT, "{}"]),
        ("linux.sshd", [TRAIL, AUDIT, r#"{"a":1}"#]),
        ("aws.vpc_flow", [TRAIL, AUDIT, r#"{"a":1}"#]),
    ] {
        let spec = source(name);
        let mut decoder = decoder_of(&spec);
        for other in others {
            let decoded = decode(&mut decoder, &[other.to_owned()]);
            assert_eq!(decoded.record.len(), 0, "{name}: {other}");
            let code = decoded.failed[0].code;
            assert_eq!(code, DeadLetterCode::NotThisSource, "{name}: {other}");
            let looks = match other {
                TRAIL => "it looks like aws.cloudtrail",
                AUDIT => "it looks like kubernetes.audit",
                OKTA => "it looks like okta.system",
                "{}" => "it has no fields",
                _ => "its fields are a",
            };
            let message = &decoded.failed[0].message;
            assert!(message.contains(looks), "{name}: {other}: {message}");
        }
    }
}

#[test]
fn bystanders_are_counted_and_never_rows() {
    let spec = source("aws.cloudtrail");
    let mut decoder = decoder_of(&spec);
    let digest = r#"{"digestStartTime":"a","digestEndTime":"b","logFiles":[]}"#;
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"x","logGroup":"","logStream":"","logEvents":[{"id":"","timestamp":1,"message":"m"}]}"#;
    let object = r#"{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"}}}"#;
    let records = [digest, control, object, TRAIL].map(str::to_owned);
    let decoded = decode(&mut decoder, &records);
    assert_eq!((decoded.record.len(), decoded.skipped, decoded.failed.len()), (1, 3, 0));
    let skipped: Vec<(&str, u64)> =
        decoded.bystanders.iter().map(|(reason, n)| (&**reason, *n)).collect();
    assert_eq!(
        skipped,
        [("cloudtrail digest", 1), ("cloudwatch control message", 1), ("s3 event notification", 1)]
    );
    let all = sources();
    let seen = detect(all.iter().map(AsRef::as_ref), digest.as_bytes());
    assert_eq!(seen.to_string(), "cloudtrail digest: no events");
}

#[test]
fn what_a_program_says_cannot_pose_as_another() {
    let spec = source("linux.sshd");
    let mut decoder = decoder_of(&spec);
    // A message that looks like a whole line of sshd, logged by anybody under a name of theirs.
    let forged = format!(
        r#"{{"__REALTIME_TIMESTAMP":"1767171600000000","_COMM":"logger","SYSLOG_IDENTIFIER":"sshd","MESSAGE":{}}}"#,
        quoted(SSHD)
    );
    let lines = [
        forged,
        format!("Dec 31 09:00:00 web-1 app[9]: {MESSAGE}"),
        format!("Dec 31 09:00:00 web-1 app[9]: {SSHD}"),
    ];
    let decoded = decode(&mut decoder, &lines);
    assert_eq!(texts(&decoded.wire, "user"), ["NULL"; 3]);
    assert_eq!(decoded.unparsed.lines, 0);
}

#[test]
fn lines_of_known_programs_that_no_pattern_takes_are_counted() {
    let spec = source("linux.sshd");
    let mut decoder = decoder_of(&spec);
    let lines = [
        "Dec 31 09:00:00 web-1 sshd[7]: something that nobody has seen yet",
        "Dec 31 09:00:00 web-1 sshd-session[7]: something that nobody has seen yet",
        "Dec 31 09:00:00 web-1 nginx[7]: something that nobody has seen yet",
        SSHD,
    ];
    let decoded = decode(&mut decoder, &lines.map(str::to_owned));
    assert_eq!(decoded.unparsed.lines, 2);
    assert_eq!(decoded.unparsed.examples, [lines[0], lines[1]]);
    // A header that hides the program is seen as well.
    let hidden = format!("Dec 31 09:00:00 web-1 (sshd [x] sshd[7]: {MESSAGE}");
    assert_eq!(decode(&mut decoder, &[hidden]).unparsed.lines, 1);
}

#[test]
fn over_a_bound_the_first_fields_are_read() {
    let spec = source("kubernetes.audit");
    let limits = Limits { record_bytes: 400, depth: 8, ..Limits::default() };
    let deep = format!(
        r#"{{"auditID":"k","stage":"s","user":{{"username":"ann"}},"requestObject":{}1{},"verb":"create"}}"#,
        "[".repeat(20),
        "]".repeat(20)
    );
    let chunk = Chunk::of_lines(PartitionId(0), &[deep], RECEIVED);
    let decoded = Decoder::new(&spec, limits).decode(&chunk);
    assert_eq!((decoded.record.len(), decoded.truncated.len()), (1, 1));
    assert_eq!(texts(&decoded.wire, "verb"), ["create"]);
    assert_eq!(texts(&decoded.wire, "requestObject"), ["NULL"]);

    let large = format!(
        r#"{{"auditID":"k","stage":"s","user":{{"username":"ann"}},"verb":"create","requestObject":{{"x":"{}"}}}}"#,
        "y".repeat(1_000)
    );
    let mut framer = sluice_ingest::Framer::new(&spec.framing(), limits);
    framer.push(format!("{AUDIT}\n{large}\n{AUDIT}\n").as_bytes());
    framer.finish();
    let framed = framer.take();
    assert_eq!((framed.records.len(), framed.faults.len()), (2, 1));
    let chunk = Chunk {
        records: framed.records,
        lines: framed.lines,
        offsets: framed.offsets,
        faults: framed.faults,
        ..Chunk::of_lines(PartitionId(0), &[], RECEIVED)
    };
    let decoded = Decoder::new(&spec, limits).decode(&chunk);
    assert_eq!((decoded.record.len(), decoded.truncated.len()), (3, 1));
    assert_eq!(decoded.chunk.unwrap().faults, []);
    assert_eq!(texts(&decoded.wire, "verb")[2], "create");
}

#[test]
fn an_input_names_its_zone_its_year_and_its_fields() {
    let options = InputOptions {
        zone: Zone::parse("+01:00").ok(),
        year: Some(2019),
        ..InputOptions::default()
    };
    let spec = source("linux.sshd").for_input(&options);
    let mut decoder = decoder_of(&spec);
    let decoded = decode(&mut decoder, &[SSHD.to_owned()]);
    assert_eq!(texts(&decoded.wire, "timestamp"), ["2019-12-31T08:00:00Z"]);
    let fields = ["dstaddr", "srcaddr", "brand-new"].map(str::to_owned).to_vec();
    let options = InputOptions { fields: Some(fields), ..InputOptions::default() };
    let spec = source("aws.vpc_flow").for_input(&options);
    let mut decoder = decoder_of(&spec);
    let decoded = decode(&mut decoder, &["10.0.0.1 203.0.113.9 x".to_owned()]);
    assert_eq!(texts(&decoded.wire, "srcaddr"), ["203.0.113.9"]);
    assert_eq!(decoded.extras.len(), 1);
    let json = [source("okta.system")];
    let unused = options.unused(json.iter().map(AsRef::as_ref));
    assert_eq!(unused, [("fields", "delimited")]);
}

#[test]
fn hostile_text_decides_neither_who_nor_from_where() {
    let spec = source("linux.sshd");
    let mut decoder = decoder_of(&spec);
    let real = "203.0.113.9";
    let users = [
        "x from 198.51.100.1 port 22 ssh2",
        "x from 198.51.100.1 port 22 ssh2: RSA SHA256:abc",
        "x rhost=198.51.100.1",
        "x user=root",
        "x 198.51.100.1 port 22 [preauth]",
        "x not allowed because account is locked",
        "invalid user x",
        "(uid=0)",
        "[preauth]",
    ];
    let mut checked = 0;
    for user in users {
        for line in [
            format!("Failed password for invalid user {user} from {real} port 4242 ssh2"),
            format!("Failed none for invalid user {user} from {real} port 4242 ssh2"),
            format!("Invalid user {user} from {real} port 4242"),
            format!("Connection closed by invalid user {user} {real} port 4242 [preauth]"),
            format!("Disconnected from authenticating user {user} {real} port 4242 [preauth]"),
            format!(
                "Disconnecting invalid user {user} {real} port 4242: Too many authentication failures [preauth]"
            ),
            format!(
                "error: maximum authentication attempts exceeded for invalid user {user} from {real} port 4242 ssh2 [preauth]"
            ),
            format!("User {user} from {real} not allowed because not listed in AllowUsers"),
            format!(
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={real}  user={user}"
            ),
            format!(
                "PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost={real}  user={user}"
            ),
            format!("error: PAM: Authentication failure for illegal user {user} from {real}"),
        ] {
            checked += 1;
            let text = format!("Dec 31 09:00:00 web-1 sshd[7]: {line}");
            let decoded = decode(&mut decoder, &[text]);
            assert_eq!(texts(&decoded.wire, "ip"), [real], "{line}");
            assert_eq!(decoded.unparsed.lines, 0, "{line}");
        }
    }
    assert_eq!(checked, 99);
}
