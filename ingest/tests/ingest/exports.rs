//! What search products and journals export, around records of every source; and what is not read, by
//! name.

use std::collections::BTreeMap;

use sluice_ingest::{DeadLetterCode, FoundFile, Limits, SourceSpec, detect, find_files};

use crate::{
    encodings::file,
    support::{folder, run_file, spec},
    wrapped::{AUDIT, FLOW, SSHD, TRAIL, decode, decoder_of, source, sources, texts},
};

const OKTA: &str = r#"{"eventType":"user.session.start","published":"2025-12-31T09:00:00.000Z","actor":{"id":"u"}}"#;

/// A record of each source, a column of it, and what is in that.
const RECORDS: [(&str, &str, &str, &str); 5] = [
    ("aws.cloudtrail", TRAIL, "eventName", "ListBuckets"),
    ("kubernetes.audit", AUDIT, "auditID", "k"),
    ("okta.system", OKTA, "eventType", "user.session.start"),
    ("aws.vpc_flow", FLOW, "srcaddr", "203.0.113.9"),
    ("linux.sshd", SSHD, "user", "root"),
];

/// Exports by who writes them: the lines before a row, and the row with `{}` for the record as a cell.
const TABLES: [(&str, &str, &str); 14] = [
    (
        "splunk",
        "\"_raw\",\"_time\",host,source,sourcetype",
        "{},\"2025-12-31T09:00:00.000+0000\",web-1,x,y",
    ),
    (
        "splunk, all fields",
        "_bkt,_cd,_indextime,_raw,_serial,_time,host",
        "m,1:2,1767171600,{},0,2025-12-31T09:00:00Z,h",
    ),
    ("splunk, only the event", "\"_raw\"", "{}"),
    ("splunk for Excel", "sep=;\n_raw;host", "{};h"),
    ("kibana", "\"@timestamp\",\"host.name\",message", "\"Dec 31, 2025 @ 09:00:00.000\",web-1,{}"),
    (
        "kibana, the original",
        "\"@timestamp\",\"event.original\",\"agent.name\"",
        "\"Dec 31, 2025 @ 09:00:00.000\",{},x",
    ),
    ("kibana, of a beat", "\"@timestamp\",\"agent.name\",\"log.file.path\",message", "-,a,/x,{}"),
    ("cloudwatch insights", "@timestamp,@message,@logStream", "2025-12-31 09:00:00.000,{},s"),
    ("datadog", "Date,Host,Service,Message", "2025-12-31T09:00:00.000Z,web-1,s,{}"),
    (
        "sumo",
        "\"_messageid\",\"_messagetime\",\"_raw\",\"_sourcehost\"",
        "1,1767171600000,{},web-1",
    ),
    (
        "grafana",
        "\"labels\",\"Time\",\"Line\",\"tsNs\",\"id\"",
        "x,1767171600000,{},1767171600000000000,1",
    ),
    (
        "google",
        "insertId,logName,textPayload,timestamp",
        "i,projects/p/logs/l,{},2025-12-31T09:00:00Z",
    ),
    ("azure", "TenantId,TimeGenerated,Category,log_s", "t,2025-12-31T09:00:00Z,kube-audit,{}"),
    ("tabs", "_raw\thost", "{}\th"),
];

/// A text as a cell.
fn cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn found(bytes: &[u8]) -> Option<String> {
    let sources = sources();
    detect(sources.iter().map(AsRef::as_ref), bytes).best.map(|best| best.source)
}

#[test]
fn rows_of_an_export_are_the_records_in_them() {
    let mut read = 0;
    for (name, record, column, told) in RECORDS {
        let spec = source(name);
        for (product, header, row) in TABLES {
            let row = row.replace("{}", &cell(record));
            for end in ["\n", "\r\n"] {
                let text = format!("\u{feff}{header}{end}{row}{end}{row}");
                let (rows, letters) = file(&spec, column, text.as_bytes());
                assert_eq!(rows, [told, told], "{product}: {text}");
                assert_eq!(letters, [], "{product}: {text}");
                assert_eq!(found(text.as_bytes()).as_deref(), Some(name), "{product}: {text}");
                read += 1;
            }
        }
    }
    assert_eq!(read, 140);
}

#[test]
fn an_event_of_several_lines_is_all_of_them() {
    let other = SSHD.replace("root", "ann");
    let text = format!("_raw,host\n{},h\n", cell(&format!("{SSHD}\n{other}")));
    let (rows, letters) = file(&source("linux.sshd"), "user", text.as_bytes());
    assert_eq!((rows, letters), (vec!["root".to_owned(), "ann".to_owned()], vec![]));
    let pretty: serde_json::Value = serde_json::from_str(TRAIL).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    let text = format!("_raw,host\n{},h\n", cell(&pretty));
    let (rows, letters) = file(&source("aws.cloudtrail"), "eventName", text.as_bytes());
    assert_eq!((rows, letters), (vec!["ListBuckets".to_owned()], vec![]));
}

#[test]
fn rows_of_a_query_are_records_themselves() {
    let text = concat!(
        "eventversion,useridentity,eventtime,eventsource,eventname\n",
        r#"1.08,"{""type"":""IAMUser"",""userName"":""ann""}",2025-12-31T09:00:00Z,s3.amazonaws.com,ListBuckets"#,
        "\n"
    );
    let spec = source("aws.cloudtrail");
    let (rows, letters) = file(&spec, "eventName", text.as_bytes());
    assert_eq!((rows, letters), (vec!["ListBuckets".to_owned()], vec![]));
    assert_eq!(found(text.as_bytes()).as_deref(), Some("aws.cloudtrail"));
    // A table of fields is read by its own source as before.
    let flow = "version,account_id,interface_id,srcaddr,dstaddr\n2,1,eni-1,203.0.113.9,10.0.0.1\n";
    let (rows, letters) = file(&source("aws.vpc_flow"), "srcaddr", flow.as_bytes());
    assert_eq!((rows, letters), (vec!["203.0.113.9".to_owned()], vec![]));
}

#[test]
fn a_date_without_a_year_is_near_to_what_the_export_says() {
    let text = "\"_raw\",\"_time\"\n\"Nov 20 10:00:00 web-1 sshd[7]: Failed password for root from \
                203.0.113.9 port 42 ssh2\",\"2019-11-20T10:00:00.000+0000\"\n";
    let (rows, _) = file(&source("linux.sshd"), "timestamp", text.as_bytes());
    assert_eq!(rows, ["2019-11-20T10:00:00Z"]);
    let text = "\"@timestamp\",\"process.name\",message\n\"Nov 20, 2019 @ 10:00:00.000\",sshd,Failed \
                password for root from 203.0.113.9 port 42 ssh2\n";
    let (rows, _) = file(&source("linux.sshd"), "timestamp", text.as_bytes());
    assert_eq!(rows, ["2019-11-20T10:00:00Z"]);
}

/// One entry as journalctl prints it, by `-o`.
fn journal() -> BTreeMap<&'static str, String> {
    let message = "Failed password for root from 203.0.113.9 port 4242 ssh2";
    BTreeMap::from([
        ("short", format!("Nov 20 10:00:00 web-1 sshd[7]: {message}\n")),
        ("short-iso", format!("2025-11-20T10:00:00+0000 web-1 sshd[7]: {message}\n")),
        (
            "short-iso-precise",
            format!("2025-11-20T10:00:00.000000+00:00 web-1 sshd[7]: {message}\n"),
        ),
        ("short-full", format!("Thu 2025-11-20 10:00:00 UTC web-1 sshd[7]: {message}\n")),
        ("with-unit", format!("Thu 2025-11-20 10:00:00 UTC web-1 ssh.service[7]: {message}\n")),
        (
            "with-unit, of one connection",
            format!(
                "Thu 2025-11-20 10:00:00 UTC web-1 sshd@3-10.0.0.1:22-203.0.113.9:4242.service[7]: {message}\n"
            ),
        ),
        (
            "verbose",
            format!(
                "-- Boot 0a --\nThu 2025-11-20 11:00:00.000000 CET [s=0a;i=1;b=2;m=3;t={:x};x=5]\n    \
                 PRIORITY=6\n    _HOSTNAME=web-1\n    _COMM=sshd\n    _PID=7\n    MESSAGE={message}\n",
                1_763_632_800_000_000_u64
            ),
        ),
        (
            "export",
            format!(
                "__CURSOR=s\n__REALTIME_TIMESTAMP=1763632800000000\n_HOSTNAME=web-1\n_COMM=sshd\n_PID=7\nMESSAGE={message}\n\n"
            ),
        ),
        (
            "json",
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1763632800000000","_HOSTNAME":"web-1","_COMM":"sshd","_PID":"7","MESSAGE":"{message}"}}"#
            ),
        ),
    ])
}

#[test]
fn a_journal_in_each_form_that_has_a_time() {
    let spec = source("linux.sshd");
    for (form, text) in journal() {
        for (column, told) in [
            ("user", "root"),
            ("timestamp", "2025-11-20T10:00:00Z"),
            ("hostname", "web-1"),
            ("procid", "7"),
        ] {
            let (rows, letters) = file(&spec, column, text.as_bytes());
            assert_eq!(rows, [told], "{form}: {column}");
            assert_eq!(letters, [], "{form}");
        }
        assert_eq!(found(text.as_bytes()).as_deref(), Some("linux.sshd"), "{form}");
    }
}

/// Records of formats that are known and not read, with a part of what is said.
const REFUSED: [(&str, &str); 13] = [
    (r#"{"preview":false,"fields":["_raw"],"rows":[["a"]]}"#, "output_mode=json"),
    (r#"{"AuditId":"k","Stage":"ResponseComplete","Verb":"list","Type":"AKSAudit"}"#, "AKSAudit"),
    (r#"{"errorCode":"E0000011","errorSummary":"Invalid token provided","errorId":"x"}"#, "token"),
    (
        r#"{"kind":"Event","apiVersion":"v1","metadata":{"name":"p"},"reason":"Killing","involvedObject":{}}"#,
        "kubectl get events",
    ),
    (
        r#"{"metadata":{"product":{"name":"CloudTrail"},"version":"1.1.0"},"class_uid":6003,"category_uid":6}"#,
        "OCSF",
    ),
    (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System/></Event>",
        "as XML",
    ),
    ("<134>Nov 20 10:00:00 fw CEF:0|V|P|1|x|y|3|src=203.0.113.9", "CEF or LEEF"),
    ("CEF:0|V|P|1|x|y|3|src=203.0.113.9", "CEF or LEEF"),
    ("LEEF:1.0|V|P|1|x|src=203.0.113.9", "CEF or LEEF"),
    (
        r#"{"logName":"projects/p/logs/x","timestamp":"2025-11-20T10:00:00Z","protoPayload":{"methodName":"io.k8s.core.v1.secrets.list"}}"#,
        "GKE",
    ),
    (
        "timestamp,actor.alternate_id,client.ip_address,event_type,outcome.result\n2025-11-20T10:00:00Z,ann,203.0.113.9,user.session.start,FAILURE",
        "console downloads",
    ),
    ("Failed password for root from 203.0.113.9 port 4242 ssh2", "journalctl -o cat"),
    (
        "Accepted publickey for ann from 203.0.113.9 port 4242 ssh2: ED25519 SHA256:x",
        "journalctl -o cat",
    ),
];

#[test]
fn what_is_not_read_is_refused_by_name() {
    let specs = sources();
    for (text, said) in REFUSED {
        let detection = detect(specs.iter().map(AsRef::as_ref), format!("{text}\n").as_bytes());
        assert!(detection.best.is_none(), "{text}: {detection}");
        assert!(detection.to_string().contains(said), "{text}: {detection}");
        for spec in &specs {
            refused(spec, text, said);
        }
    }
}

#[test]
fn lines_that_a_terminal_or_a_container_was_to_show() {
    let mut read = 0;
    for (name, record, column, told) in RECORDS {
        let spec = source(name);
        for line in [
            format!("\u{1b}[36m{record}\u{1b}[0m"),
            format!("audit-1  | {record}"),
            format!("\u{1b}[33maudit-1  | \u{1b}[0m{record}"),
            format!("\u{1b}[33maudit-1  |\u{1b}[0m {record}"),
            format!("[pod/audit-1/main] {record}"),
            format!("\u{feff}{record}"),
            format!("{record}  "),
            format!("{record}{}", "\0".repeat(400)),
        ] {
            let text = format!("{line}\n{line}\n");
            let (rows, letters) = file(&spec, column, text.as_bytes());
            assert_eq!(rows, [told, told], "{text:?}");
            assert_eq!(letters, [], "{text:?}");
            assert_eq!(found(text.as_bytes()).as_deref(), Some(name), "{text:?}");
            read += 1;
        }
    }
    assert_eq!(read, 40);
    for record in [TRAIL, AUDIT, OKTA] {
        let text = format!("{}\n", cell(record));
        assert!(found(text.as_bytes()).is_some(), "{text}");
    }
}

#[test]
fn what_macos_logs_in_each_style() {
    let message = "Failed password for root from 203.0.113.9 port 4242 ssh2";
    let spec = source("linux.sshd");
    for text in [
        format!(
            "2025-12-31 10:00:00.123456+0100 0x1a2b     Info        0x0                  4100   0    sshd-session: {message}\n"
        ),
        format!("2025-12-31 09:00:00.123 Df sshd-session[4100:1a2b] {message}\n"),
        format!("2025-12-31 10:00:00.123456+0100  localhost sshd-session[4100]: {message}\n"),
        format!(
            r#"{{"timestamp":"2025-12-31 10:00:00.123456+0100","processImagePath":"/usr/libexec/sshd-session","processID":4100,"messageType":"Default","eventMessage":"{message}"}}"#
        ),
    ] {
        for (column, told) in
            [("user", "root"), ("timestamp", "2025-12-31T09:00:00.123Z"), ("procid", "4100")]
        {
            let (rows, letters) = file(&spec, column, text.as_bytes());
            assert_eq!((rows, letters), (vec![told.to_owned()], vec![]), "{column}: {text}");
        }
        assert_eq!(found(text.as_bytes()).as_deref(), Some("linux.sshd"), "{text}");
    }
}

#[test]
fn a_number_for_a_time_has_the_unit_of_its_size() {
    let spec = source("linux.sshd");
    for time in
        ["1767171600", "1767171600.000", "1767171600000", "1767171600000000", "1767171600000000000"]
    {
        let line = format!(
            "{time} web-1 sshd[7]: Failed password for root from 203.0.113.9 port 42 ssh2\n"
        );
        let (rows, _) = file(&spec, "timestamp", line.as_bytes());
        assert_eq!(rows, ["2025-12-31T09:00:00Z"], "{time}");
    }
}

#[test]
fn a_structure_as_athena_prints_it_and_a_list_without_records() {
    let text = "eventversion,useridentity,eventtime,eventsource,eventname\n1.08,\"{type=IAMUser, \
                username=ann}\",2025-12-31T09:00:00Z,s3.amazonaws.com,ListBuckets\n";
    let (rows, letters) = file(&source("aws.cloudtrail"), "eventName", text.as_bytes());
    assert_eq!((rows.len(), letters), (0, vec![DeadLetterCode::BadFraming]));
    let specs = sources();
    for text in [r#"{"Records":[]}"#, "[]\n"] {
        let detection = detect(specs.iter().map(AsRef::as_ref), text.as_bytes());
        assert_eq!(detection.to_string(), "a list without records: no events", "{text}");
    }
}

/// A file of a folder of its own.
fn stored(name: &str, bytes: &[u8]) -> FoundFile {
    let folder = folder(&format!("exports-{name}"));
    std::fs::write(folder.join(name), bytes).unwrap();
    find_files(&[folder]).unwrap().files.remove(0)
}

#[test]
fn an_archive_is_refused_whole_whatever_its_name() {
    let mut tar = vec![0; 512];
    tar[..5].copy_from_slice(b"a.log");
    tar[257..262].copy_from_slice(b"ustar");
    tar.extend(format!("{SSHD}\n").into_bytes());
    for (bytes, said) in [
        (tar, "a tar archive"),
        (b"PK\x03\x04\x14\0\0\0".to_vec(), "a zip archive"),
        (b"BZh91AY&SY\xff\0".to_vec(), "bzip2"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "xz"),
        (b"PAR1\x15\0\x15\x02".to_vec(), "Parquet"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0".to_vec(), "a packet capture"),
    ] {
        let specs = sources();
        let detection = detect(specs.iter().map(AsRef::as_ref), &bytes);
        assert!(detection.to_string().contains(said), "{detection}");
        let outcome = run_file(spec(), stored("auth.log", &bytes), Limits::default());
        assert_eq!(outcome.users().len(), 0, "{said}");
        assert_eq!(outcome.codes(), [("unreadable", 1)], "{said}");
        assert!(outcome.dead[0].message.contains(said), "{}", outcome.dead[0].message);
    }
}

fn refused(spec: &SourceSpec, text: &str, said: &str) {
    // A line of fields has no envelope of its own.
    let record = match text.split_once('\n') {
        None => text.to_owned(),
        Some(_) => {
            let (rows, letters) = file(spec, spec.wire.columns[0].0.as_str(), text.as_bytes());
            assert_eq!((rows.len(), letters.as_slice()), (0, &[DeadLetterCode::NotThisSource][..]));
            return;
        }
    };
    let decoded = decode(&mut decoder_of(spec), &[record]);
    assert_eq!(texts(&decoded.wire, &spec.wire.columns[0].0).len(), 0, "{}: {text}", spec.source);
    let failed = &decoded.failed[0];
    assert!(failed.message.contains(said), "{}: {text}: {}", spec.source, failed.message);
}
