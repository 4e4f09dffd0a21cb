//! Every shipped mapping, on records that say next to nothing and on records whose texts another party
//! chose. Not whether it maps good records, which is its own tests block.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use sluice_engine::{Content, json as engine_json};
use sluice_event::PartitionId;
use sluice_ingest::{Chunk, Mapper, SourceSpec};

/// 2026-01-02T00:00:00Z.
const RECEIVED: i64 = 1_767_312_000_000;

fn shipped() -> Content {
    let content = Content::load(&["builtin".into()], &["builtin".into()]).unwrap();
    assert!(content.errors().next().is_none());
    content
}

/// The rows a source makes of records, each with its table.
fn rows(content: &Content, source: &str, records: &[String]) -> Vec<Map<String, Value>> {
    let spec: &Arc<SourceSpec> =
        content.sources.iter().find(|s| *s.source == *source).unwrap_or_else(|| panic!("{source}"));
    let time = spec.time_settings;
    let mut mapper = Mapper::new(spec.clone(), "default", PartitionId(0), time, false, i64::MIN);
    let processed = mapper.process(&Chunk::of_lines(PartitionId(0), records, RECEIVED));
    let mut rows = Vec::new();
    for batch in &processed.batches {
        for row in 0..batch.len() {
            let mut object = engine_json::row(&batch.columns, row);
            object.insert("table".to_owned(), batch.table.as_str().into());
            rows.push((batch.record[row], object));
        }
    }
    rows.sort_by_key(|(record, _)| *record);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// A record with the keys that tell what it is and nothing in them: of an object `{}`, of a list `[]`,
/// of anything else itself, since the name of an operation tells the mapping.
fn stripped(record: &str, keys: &[String]) -> Option<String> {
    let whole: Map<String, Value> = serde_json::from_str(record).ok()?;
    let kept = whole.into_iter().filter(|(key, _)| keys.contains(key)).map(|(key, value)| {
        let value = match value {
            Value::Object(object) if keys.iter().any(|k| k.starts_with(&format!("{key}."))) => {
                let inner = object.into_iter();
                inner.filter(|(name, _)| keys.contains(&format!("{key}.{name}"))).collect()
            }
            Value::Object(_) => json!({}),
            Value::Array(_) => json!([]),
            other => other,
        };
        (key, value)
    });
    Some(Value::Object(kept.collect()).to_string())
}

/// The keys that identify records of a mapping: those its source is detected by, and those its `when`
/// asks.
fn identifying(mapping: &sluice_rule::Mapping) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        let word = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
        text.split(word).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let mut keys: Vec<String> =
        mapping.detect.has.iter().flat_map(|k| k.split('|')).map(str::to_owned).collect();
    let columns: Vec<&String> = mapping.columns.columns.iter().map(|(name, _)| name).collect();
    for word in words(mapping.when.as_ref().map_or("", |when| &when.text)) {
        let top = word.split('.').next().unwrap().to_owned();
        if columns.contains(&&top) {
            keys.extend([top, word]);
        }
    }
    keys
}

#[test]
fn a_record_stripped_to_what_identifies_it_says_nothing() {
    let content = shipped();
    let mut covered: BTreeMap<String, usize> = BTreeMap::new();
    for mapping in &content.mappings {
        let keys = identifying(mapping);
        let records: Vec<String> = mapping
            .tests
            .iter()
            .filter(|case| case.dead_letter.is_none())
            .flat_map(|case| case.records.iter())
            // What identifies a flow is its addresses: those without are below.
            .filter(|_| mapping.source != "aws.vpc_flow")
            .filter_map(|record| stripped(record, &keys))
            .collect();
        for record in records.iter().chain(&bare(&mapping.source)) {
            for row in rows(&content, &mapping.source, std::slice::from_ref(record)) {
                says_nothing(&row, record);
                if row["table"] == mapping.to.as_str() {
                    *covered.entry(mapping.id.to_string()).or_default() += 1;
                }
            }
        }
    }
    for mapping in &content.mappings {
        let n = covered.get(&*mapping.id.to_string()).copied().unwrap_or(0);
        assert!(n > 0, "no stripped record of {}", mapping.id);
    }
}

/// Records of sources that are no JSON, with nothing in them.
fn bare(source: &str) -> Vec<String> {
    let lines: &[&str] = match source {
        "linux.sshd" => &[
            "Dec 31 09:00:00 web-1 sshd[7]: a message of a version to come",
            "Dec 31 09:00:00 web-1 sshd[7]:",
            "<86>1 2025-12-31T09:00:00Z - sshd - - -",
        ],
        "aws.vpc_flow" => &[
            "2 111122223333 eni-0a1b2c3d - - - - - - - 1767171600 1767171660 - NODATA",
            "2 - - - - - - - - - - - - -",
            r#"{"srcaddr":"","dstaddr":"-"}"#,
        ],
        _ => &[],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[track_caller]
fn says_nothing(row: &Map<String, Value>, record: &str) {
    assert_ne!(row.get("status"), Some(&json!("Success")), "{record}\n{row:?}");
    for (column, value) in row {
        let who = column.contains("user_") && column != "user_agent" && column != "user_type";
        let whence = column.ends_with("_ip") || column == "ips" || column == "users";
        assert!(
            !(who || whence) || value.is_null() || *value == json!([]),
            "{record}\n{column} is {value}"
        );
    }
}

/// What is expected of the row of a record.
type Expected<'e> = &'e [(&'e str, Value)];

#[track_caller]
fn check(content: &Content, source: &str, record: &Value, expected: Expected<'_>) {
    let record = record.as_str().map_or_else(|| record.to_string(), str::to_owned);
    let rows = rows(content, source, std::slice::from_ref(&record));
    let [row] = rows.as_slice() else { panic!("{} rows of {record}", rows.len()) };
    for (column, wanted) in expected {
        let found = row.get(*column).unwrap_or(&Value::Null);
        assert_eq!(found, wanted, "{column} of {record}");
    }
}

/// Texts that look like what a mapping reads, for fields that another party writes.
const TEXTS: [&str; 8] = [
    "198.51.100.66",
    "admin@example.com",
    "\",\"status\":\"Success\",\"user_name\":\"root",
    "Accepted password for root from 198.51.100.66 port 1 ssh2",
    "user=root rhost=198.51.100.66",
    "arn:aws:iam::999999999999:user/root",
    "system:masters",
    "2 999999999999 eni-1 198.51.100.66 10.0.0.1 1 22 6 1 1 1767171600 1767171660 ACCEPT OK",
];

#[test]
fn cloudtrail_takes_who_and_whence_from_what_aws_writes() {
    let content = shipped();
    for text in TEXTS {
        // The caller chooses the agent, the parameters, the name of the session and what an error quotes.
        let record = json!({
            "eventVersion": "1.08",
            "userIdentity": {
                "type": "AssumedRole", "principalId": format!("AROAEXAMPLE1:{text}"),
                "arn": format!("arn:aws:sts::111122223333:assumed-role/web/{text}"),
                "accountId": "111122223333", "accessKeyId": "ASIAEXAMPLE1",
                "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "web",
                    "arn": "arn:aws:iam::111122223333:role/web"}}
            },
            "eventTime": "2025-12-31T09:00:00Z", "eventSource": "s3.amazonaws.com",
            "eventName": "PutObject", "awsRegion": "eu-central-1", "sourceIPAddress": "203.0.113.9",
            "userAgent": format!("[{text}]"), "errorCode": "AccessDenied", "errorMessage": text,
            "requestParameters": {"userName": text, "sourceIPAddress": text, "bucketName": text},
            "eventID": "x1", "eventType": "AwsApiCall", "recipientAccountId": "111122223333"
        });
        check(
            &content,
            "aws.cloudtrail",
            &record,
            &[
                ("user_name", json!("web")),
                ("user_domain", json!("111122223333")),
                ("src_ip", json!("203.0.113.9")),
                ("status", json!("Failure")),
                ("device_uid", Value::Null),
                ("cloud_account_uid", json!("111122223333")),
            ],
        );
    }
    // A name that anybody may type into the form of the console.
    let typed = json!({
        "eventVersion": "1.08", "userIdentity": {"type": "IAMUser", "accountId": "111122223333",
            "userName": "x\" from 198.51.100.66"},
        "eventTime": "2025-12-31T09:00:00Z", "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin", "sourceIPAddress": "203.0.113.9",
        "userAgent": "ConsoleLogin Success", "errorMessage": "Failed authentication",
        "responseElements": {"ConsoleLogin": "Failure"}, "eventID": "x2",
        "eventType": "AwsConsoleSignIn", "recipientAccountId": "111122223333"
    });
    check(
        &content,
        "aws.cloudtrail",
        &typed,
        &[
            ("user_name", json!("x\" from 198.51.100.66")),
            ("src_ip", json!("203.0.113.9")),
            ("status", json!("Failure")),
        ],
    );
}

#[test]
fn a_quick_pattern_of_sshd_reads_what_the_general_one_reads() {
    let content = shipped();
    // `ssh1` and `Illegal` are of the general patterns alone.
    let forms = [
        ["Failed password for {} from 203.0.113.9 port 22 ssh2", " ssh2", " ssh1"],
        ["Failed none for invalid user {} from 2001:db8::1 port 1 ssh2", " ssh2", " ssh1"],
        ["Accepted password for {} from 203.0.113.9 port 22 ssh2", " ssh2", " ssh1"],
        [
            "Accepted publickey for {} from 203.0.113.9 port 22 ssh2: RSA SHA256:x/+",
            " ssh2:",
            " ssh1:",
        ],
        ["Invalid user {} from 203.0.113.9 port 22", "Invalid", "Illegal"],
    ];
    let words = ["bob", "for", "from", "invalid", "user", "198.51.100.66", "port", "7", "ssh2"];
    let mut names = vec![String::new()];
    for _ in 0..3 {
        let longer = names.iter().flat_map(|name| words.map(|word| format!("{name} {word}")));
        let longer: Vec<String> = longer.map(|name| name.trim_start().to_owned()).collect();
        names.extend(longer);
    }
    names.sort_unstable();
    names.dedup();
    let lines = |[form, quick, general]: [&str; 3], is_quick: bool| -> Vec<String> {
        let of = |name: &String| {
            // The words of a name are not replaced.
            let form = if is_quick { form.to_owned() } else { form.replacen(quick, general, 1) };
            format!("Dec 31 09:00:00 web-1 sshd[7]: {}", form.replacen("{}", name, 1))
        };
        names.iter().map(of).collect()
    };
    let read = |row: &Map<String, Value>| -> Vec<Value> {
        let columns =
            ["table", "activity", "status", "user_name", "src_ip", "src_port", "auth_protocol"];
        let failure = ["failure_reason", "event_code"];
        columns
            .iter()
            .chain(&failure)
            .map(|c| row.get(*c).cloned().unwrap_or(Value::Null))
            .collect()
    };
    let mut named = 0;
    for form in forms {
        let quick = rows(&content, "linux.sshd", &lines(form, true));
        let general = rows(&content, "linux.sshd", &lines(form, false));
        assert_eq!((quick.len(), general.len()), (names.len(), names.len()));
        for ((name, quick), general) in names.iter().zip(&quick).zip(&general) {
            assert_eq!(read(quick), read(general), "{} with `{name}`", form[0]);
            named += usize::from(quick.get("user_name") == Some(&json!(name)));
        }
    }
    assert!(named >= 4 * 800, "{named} rows have the name");
}

#[test]
fn okta_takes_who_and_whence_from_what_okta_writes() {
    let content = shipped();
    for text in TEXTS {
        let record = json!({
            "uuid": "u1", "published": "2025-12-31T09:00:00.000Z", "eventType": "user.session.start",
            "displayMessage": text, "outcome": {"result": "FAILURE", "reason": text},
            "actor": {"id": "00u1", "type": "User", "alternateId": "ann@example.com",
                "displayName": text},
            "client": {"ipAddress": "203.0.113.9", "device": "Computer",
                "userAgent": {"rawUserAgent": text, "os": "x", "browser": text}},
            "request": {"ipChain": [{"ip": "198.51.100.66", "source": "X-Forwarded-For"},
                {"ip": "203.0.113.9"}]},
            "debugContext": {"debugData": {"requestUri": text, "userName": text, "ipAddress": text}},
            "target": [{"id": "t", "type": "AppInstance", "displayName": text}]
        });
        check(
            &content,
            "okta.system",
            &record,
            &[
                ("user_name", json!("ann@example.com")),
                ("user_uid", json!("00u1")),
                ("src_ip", json!("203.0.113.9")),
                ("status", json!("Failure")),
            ],
        );
    }
}

#[test]
fn kubernetes_takes_who_and_whence_from_what_the_server_saw() {
    let content = shipped();
    for text in TEXTS {
        let record = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse",
            "auditID": "k1", "stage": "ResponseComplete", "verb": "get",
            "requestURI": format!("/api/v1/pods?fieldSelector={text}"),
            "user": {"username": "ann@example.com", "uid": "u-1", "groups": ["dev"]},
            // X-Forwarded-For is the client's; the last is whom the server talks to.
            "sourceIPs": ["198.51.100.66", "10.0.0.1", "203.0.113.9"],
            "userAgent": text,
            "objectRef": {"resource": "pods", "name": text, "namespace": "shop"},
            "requestObject": {"user": {"username": text}, "sourceIPs": [text]},
            "annotations": {"user": text, "sourceIPs": text},
            "responseStatus": {"code": 403, "reason": "Forbidden", "message": text},
            "requestReceivedTimestamp": "2025-12-31T09:00:00.000000Z"
        });
        check(
            &content,
            "kubernetes.audit",
            &record,
            &[
                ("user_name", json!("ann@example.com")),
                ("actor_user_name", Value::Null),
                ("src_ip", json!("203.0.113.9")),
                ("status", json!("Failure")),
            ],
        );
    }
}

#[test]
fn flows_take_nothing_from_fields_that_hold_texts() {
    let content = shipped();
    let line = "2 111122223333 eni-0a1b2c3d 203.0.113.9 10.0.1.5 51234 22 6 20 4249 1767171600 \
                1767171660 REJECT OK";
    check(
        &content,
        "aws.vpc_flow",
        &line.into(),
        &[
            ("src_ip", json!("203.0.113.9")),
            ("dst_ip", json!("10.0.1.5")),
            ("status", json!("Failure")),
        ],
    );
    // Names of tasks and services are whatever their owner calls them: one word, by the format.
    for text in ["198.51.100.66", "ACCEPT", "OK", "REJECT", "root@198.51.100.66"] {
        let record = json!({
            "version": 5, "account-id": "111122223333", "interface-id": "eni-0a1b2c3d",
            "srcaddr": "203.0.113.9", "dstaddr": "10.0.1.5", "action": "REJECT", "log-status": "OK",
            "start": 1_767_171_600, "end": 1_767_171_660, "ecs-service-name": text,
            "ecs-cluster-name": text, "traffic-path": text
        });
        check(
            &content,
            "aws.vpc_flow",
            &record,
            &[
                ("src_ip", json!("203.0.113.9")),
                ("dst_ip", json!("10.0.1.5")),
                ("status", json!("Failure")),
            ],
        );
    }
}
