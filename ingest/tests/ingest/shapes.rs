//! Shapes that records come in beside objects and lines: arrays that are one record, entries of a
//! journal, lines with a container before them, messages without a header, names in lower case, parts of
//! a cut line.

use sluice_ingest::{DeadLetterCode, Router, detect};

use crate::{
    encodings::file,
    route::message,
    wrapped::{AUDIT, TRAIL, decode, decoder_of, quoted, source, sources, texts},
};

const MESSAGE: &str = "Failed password for root from 203.0.113.9 port 4242 ssh2";

/// What `auto` says a file is.
pub(crate) fn told(text: impl AsRef<[u8]>) -> Option<String> {
    let all = sources();
    let seen = detect(all.iter().map(AsRef::as_ref), text.as_ref());
    seen.best.map(|m| m.source)
}

/// Checks that a file is of a source, by its name and unnamed, and every record of it reads.
#[track_caller]
pub(crate) fn reads(name: &str, text: impl AsRef<[u8]>, column: &str, expected: &[&str]) {
    let text = text.as_ref();
    let shown = String::from_utf8_lossy(text);
    let (rows, letters) = file(&source(name), column, text);
    assert_eq!(
        (rows.as_slice(), letters),
        (&expected.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()[..], Vec::new()),
        "{shown}"
    );
    assert_eq!(told(text).as_deref(), Some(name), "{shown}");
    // The same as one message of a queue.
    let specs = sources();
    let mut router = Router::new(specs, None).unwrap();
    let parts = router.chunks(vec![message(1, text)]);
    let mut decoder = decoder_of(&source(name));
    let rows: Vec<String> = parts
        .iter()
        .filter(|(of, _)| **of == *name)
        .flat_map(|(_, chunk)| texts(&decoder.decode(chunk).wire, column))
        .collect();
    assert_eq!(rows, expected, "as a message: {shown}");
}

#[test]
fn arrays_that_are_one_record() {
    let log = quoted(AUDIT);
    for one in [
        format!(r#"["kube.audit",1767171600,{{"log":{log}}}]"#),
        format!(r#"["kube.audit",1767171600.5,{{"log":{log}}},{{"chunk":"x"}}]"#),
        format!(r#"[1767171600.5,{{"log":{log}}}]"#),
        format!(r#"[[1767171600.5,{{}}],{{"log":{log}}}]"#),
        format!(r#" ["kube.audit", [[1767171600, {AUDIT}]]]"#),
    ] {
        reads("kubernetes.audit", format!("{one}\n"), "auditID", &["k"]);
        reads("kubernetes.audit", format!("{one}\n{one}\n"), "auditID", &["k"; 2]);
    }
    reads(
        "kubernetes.audit",
        format!(r#"["kube.audit",[[1767171600,{AUDIT}],[1767171601,{{"log":{log}}}]]]"#),
        "auditID",
        &["k"; 2],
    );
    // Lists of records stay lists.
    for list in
        [format!("[{AUDIT},{AUDIT}]"), format!("[{log},{log}]"), format!("[[{AUDIT}],[{log}]]")]
    {
        reads("kubernetes.audit", format!("{list}\n"), "auditID", &["k"; 2]);
    }
}

#[test]
fn lines_that_begin_with_a_container_in_brackets() {
    let line = format!("[pod/audit-1/main] {AUDIT}\n");
    reads("kubernetes.audit", line.repeat(2), "auditID", &["k"; 2]);
    let (rows, letters) = file(
        &source("kubernetes.audit"),
        "auditID",
        format!("[pod/audit-1/main] started\n{line}").as_bytes(),
    );
    assert_eq!((rows, letters.len()), (vec!["k".to_owned()], 1));
}

#[test]
fn entries_of_a_journal() {
    let entry = |message: &[u8]| {
        let head = "__CURSOR=s\n__REALTIME_TIMESTAMP=1767171600123456\n_HOSTNAME=web-1\n_COMM=sshd\n_PID=7\n";
        let mut entry = head.as_bytes().to_vec();
        match message.contains(&b'\n') || std::str::from_utf8(message).is_err() {
            true => {
                entry.extend(b"MESSAGE\n");
                entry.extend((message.len() as u64).to_le_bytes());
                entry.extend(message);
            }
            false => {
                entry.extend(b"MESSAGE=");
                entry.extend(message);
            }
        }
        entry.extend(b"\n\n");
        entry
    };
    let named = |user: &[u8]| {
        [b"Failed password for invalid user ", user, b" from 203.0.113.9 port 4242 ssh2"].concat()
    };
    let export =
        [entry(MESSAGE.as_bytes()), entry(&named(b"\xff")), entry(MESSAGE.as_bytes())].concat();
    reads("linux.sshd", &export, "user", &["root", "\u{fffd}", "root"]);
    reads("linux.sshd", &export, "timestamp", &["2025-12-31T09:00:00.123Z"; 3]);
    reads("kubernetes.audit", entry(AUDIT.as_bytes()), "auditID", &["k"]);
    // One that is cut off is told, and harms no other.
    let (rows, letters) = file(&source("linux.sshd"), "user", &export[..export.len() - 30]);
    assert_eq!((rows.len(), letters), (3, Vec::new()));
    let mut cut = entry(b"a\nb");
    cut.truncate(cut.len() - 3);
    let (rows, letters) =
        file(&source("linux.sshd"), "user", &[entry(MESSAGE.as_bytes()), cut].concat());
    assert_eq!((rows.len(), letters), (1, vec![DeadLetterCode::BadFraming]));
}

#[test]
fn messages_of_a_service_without_a_header() {
    for line in [
        format!("4101 2025-12-31 09:00:00.123 {MESSAGE}"),
        format!("2025-12-31 09:00:00.123456789  {MESSAGE}"),
        format!("2025-12-31_09:00:00.12345 {MESSAGE}"),
        format!("@400000006954e61a0759cd15 {MESSAGE}"),
        format!(
            r#"{{"log":{},"stream":"stderr","time":"2025-12-31T09:00:00.123Z"}}"#,
            quoted(&format!("{MESSAGE}\r\n"))
        ),
        format!("2025-12-31T09:00:00.123456789Z stderr F {MESSAGE}"),
    ] {
        reads("linux.sshd", format!("{line}\n"), "timestamp", &["2025-12-31T09:00:00.123Z"]);
        reads("linux.sshd", format!("{line}\n"), "ip", &["203.0.113.9"]);
    }
    // What another service says is not sshd's.
    assert_eq!(told("2025-12-31T09:00:00.123456789Z stderr F Connection closed by peer\n"), None);
    assert_eq!(told("4101 2025-12-31 09:00:00.123 Failed to start\n"), None);
}

#[test]
fn names_in_lower_case_are_the_same_fields() {
    let lower = r#"{"eventversion":"1.08","eventsource":"s3.amazonaws.com","eventname":"ListBuckets","eventtime":"2025-12-31 09:00:00.000","useridentity":{"type":"IAMUser","sessioncontext":{"sessionissuer":{"username":"ops"}}},"requestparameters":"{\"bucketName\":\"b\"}"}"#;
    reads("aws.cloudtrail", format!("{lower}\n"), "eventName", &["ListBuckets"]);
    reads("aws.cloudtrail", format!("{lower}\n"), "requestParameters", &[r#"{"bucketName":"b"}"#]);
    let mut decoder = decoder_of(&source("aws.cloudtrail"));
    let decoded = decode(&mut decoder, &[lower.to_owned()]);
    let identity =
        arrow::util::display::array_value_to_string(&decoded.wire["userIdentity"], 0).unwrap();
    assert!(
        identity.contains("sessionIssuer: {") && identity.contains("userName: ops"),
        "{identity}"
    );
    // The name as the source writes it goes before, wherever it stands.
    for both in [
        TRAIL.replace(r#""eventName""#, r#""eventname":"Forged","eventName""#),
        TRAIL.replace(r#""eventTime""#, r#""eventname":"Forged","eventTime""#),
    ] {
        let decoded = decode(&mut decoder, &[both]);
        assert_eq!(texts(&decoded.wire, "eventName"), ["ListBuckets"]);
    }
    // Another spelling is another name.
    let upper = TRAIL.replace("eventName", "EVENTNAME");
    assert_eq!(decode(&mut decoder, &[upper]).failed.len(), 1);
}

#[test]
fn objects_that_are_kept_as_text_are_read() {
    let mut decoder = decoder_of(&source("kubernetes.audit"));
    let stringly = r#"{"auditID":"k","stage":"s","verb":"list","user":"{\"username\":\"ann\"}","sourceIPs":"[\"203.0.113.9\"]","annotations":"{\"a\":1}","objectRef":"pods"}"#;
    let decoded = decode(&mut decoder, &[stringly.to_owned()]);
    let shown = |column: &str| {
        arrow::util::display::array_value_to_string(&decoded.wire[column], 0).unwrap()
    };
    assert!(shown("user").contains("username: ann"), "{}", shown("user"));
    assert_eq!(
        (shown("sourceIPs").as_str(), shown("annotations").as_str()),
        ("[203.0.113.9]", r#"{"a":1}"#)
    );
    // A text that is none is a value of another type.
    let conflicts: Vec<&str> = decoded.conflicts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(conflicts, ["objectRef"]);
}

#[test]
fn a_part_of_a_line_without_the_others_says_what_it_is() {
    let (head, _) = AUDIT.split_at(40);
    let cri = format!("2025-12-31T09:00:00.1Z stdout P {head}");
    let long =
        format!("{{\"log\":{},\"stream\":\"stdout\",\"time\":\"t\"}}", quoted(&head.repeat(500)));
    for part in [cri, long] {
        let mut decoder = decoder_of(&source("kubernetes.audit"));
        let decoded = decode(&mut decoder, std::slice::from_ref(&part));
        let [failed] = decoded.failed.as_slice() else { panic!("{:?}", decoded.failed) };
        assert_eq!(failed.code, DeadLetterCode::PartOfLine, "{part:.80}");
        assert!(failed.message.contains("without its other parts"), "{}", failed.message);
        let parts = Router::new(sources(), None).unwrap().chunks(vec![message(1, &*part)]);
        let codes: Vec<DeadLetterCode> =
            parts.iter().flat_map(|(_, chunk)| chunk.faults.iter().map(|f| f.code)).collect();
        assert_eq!(codes, [DeadLetterCode::PartOfLine], "{part:.80}");
        // The last line of a file whose other parts never came.
        let (rows, letters) =
            file(&source("kubernetes.audit"), "auditID", format!("{part}\n").as_bytes());
        assert_eq!((rows.len(), letters), (0, vec![DeadLetterCode::PartOfLine]), "{part:.80}");
    }
}

#[test]
fn a_flow_record_as_an_object_is_no_line_in_an_envelope() {
    let flow = r#"{"srcAddr":"203.0.113.9","dstAddr":"10.0.1.5","dstPort":22,"action":"REJECT"}"#;
    let mut decoder = decoder_of(&source("aws.vpc_flow"));
    let decoded = decode(&mut decoder, &[flow.to_owned()]);
    assert_eq!(decoded.failed, []);
    assert_eq!(texts(&decoded.wire, "srcaddr"), ["203.0.113.9"]);
}

#[test]
fn what_journalctl_writes_between_the_lines_is_no_record() {
    let line = format!("Dec 31 09:00:00 web-1 sshd[7]: {MESSAGE}");
    let text = format!("-- Boot 1a2b --\n{line}\n-- Reboot --\n");
    reads("linux.sshd", text, "user", &["root"]);
    reads("linux.sshd", format!("sshd[7]: {MESSAGE}\n"), "user", &["root"]);
    reads("linux.sshd", format!("[  123.456789] web-1 sshd[7]: {MESSAGE}\n"), "user", &["root"]);
}

#[test]
fn what_a_function_is_called_with_is_no_event_of_its_own() {
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, TRAIL);
    let record = format!(
        r#"{{"kinesis":{{"data":"{data}"}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"s:1","eventName":"aws:kinesis:record"}}"#
    );
    reads("aws.cloudtrail", format!(r#"{{"Records":[{record}]}}"#), "eventName", &["ListBuckets"]);
}
