//! Real records: CloudTrail of attack techniques (stratus-red-team) and labelled events of rule tests
//! (panther-analysis). They lie beside the repository and are never copied into it; where they are
//! not there, these tests print so and pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
};

use serde_json::Value;

use crate::support::{Run, Scratch, shared, sluice};

/// What the shipped rules find in the events of each technique, each file by itself.
const TECHNIQUES: &[(&str, &[&str])] = &[
    (
        "aws.credential-access.ec2-get-password-data",
        &["cloud.access_denied_burst", "cloud.ec2_password_data_read"],
    ),
    (
        "aws.credential-access.ec2-steal-instance-credentials",
        &["cloud.instance_credentials_beside_user_key", "cloud.ssm_command_by_iam_user"],
    ),
    ("aws.credential-access.secretsmanager-batch-retrieve-secrets", &["cloud.secrets_batch_read"]),
    ("aws.credential-access.secretsmanager-retrieve-secrets", &["cloud.secrets_enumeration"]),
    (
        "aws.credential-access.ssm-retrieve-securestring-parameters",
        &["cloud.parameters_decrypted_burst"],
    ),
    ("aws.defense-evasion.cloudtrail-delete", &["cloud.audit_logging_disabled"]),
    ("aws.defense-evasion.cloudtrail-event-selectors", &["cloud.audit_logging_disabled"]),
    ("aws.defense-evasion.cloudtrail-stop", &["cloud.audit_logging_disabled"]),
    ("aws.defense-evasion.dns-delete-logs", &["cloud.log_source_removed"]),
    ("aws.defense-evasion.organizations-leave", &["cloud.organization_left"]),
    ("aws.defense-evasion.vpc-remove-flow-logs", &["cloud.log_source_removed"]),
    (
        "aws.discovery.ec2-download-user-data",
        &["cloud.access_denied_burst", "cloud.instance_user_data_read"],
    ),
    ("aws.execution.ec2-launch-unusual-instances", &["cloud.gpu_instances_launched"]),
    ("aws.execution.ec2-user-data", &["cloud.instance_user_data_changed"]),
    ("aws.execution.ssm-send-command", &["cloud.ssm_command_by_iam_user"]),
    ("aws.execution.ssm-start-session", &["cloud.ssm_session_burst"]),
    (
        "aws.exfiltration.ec2-security-group-open-port-22-ingress",
        &["cloud.security_group_opened_to_world"],
    ),
    ("aws.exfiltration.ec2-share-ami", &["cloud.image_or_snapshot_shared"]),
    ("aws.exfiltration.ec2-share-ebs-snapshot", &["cloud.image_or_snapshot_shared"]),
    ("aws.exfiltration.rds-share-snapshot", &["cloud.image_or_snapshot_shared"]),
    ("aws.impact.bedrock-invoke-model", &["cloud.bedrock_model_enabled"]),
    ("aws.initial-access.console-login-without-mfa", &["cloud.console_login_without_mfa"]),
    ("aws.lateral-movement.ec2-instance-connect", &["cloud.ssh_key_pushed_to_instances"]),
    (
        "aws.lateral-movement.ec2-serial-console-send-ssh-public-key",
        &["cloud.serial_console_enabled", "cloud.ssh_key_pushed_to_instances"],
    ),
    ("aws.persistence.iam-backdoor-role", &["cloud.role_trusts_other_account"]),
    ("aws.persistence.iam-backdoor-user", &["cloud.access_key_created_for_other_user"]),
    (
        "aws.persistence.iam-create-admin-user",
        &["cloud.access_key_created_for_other_user", "cloud.admin_policy_attached"],
    ),
    (
        "aws.persistence.iam-create-backdoor-role",
        &["cloud.admin_policy_attached", "cloud.role_trusts_other_account"],
    ),
    (
        "aws.persistence.iam-create-user-login-profile",
        &["cloud.console_password_set_for_other_user"],
    ),
    ("aws.persistence.lambda-backdoor-function", &["cloud.function_opened_to_others"]),
    ("aws.persistence.lambda-layer-extension", &["cloud.function_changed_by_iam_user"]),
    ("aws.persistence.lambda-overwrite-code", &["cloud.function_changed_by_iam_user"]),
    ("aws.persistence.rolesanywhere-create-trust-anchor", &["identity.federation_changed"]),
    ("aws.persistence.sts-federation-token", &["cloud.federation_token_issued"]),
    (
        "aws.privilege-escalation.iam-update-user-login-profile",
        &["cloud.console_password_set_for_other_user"],
    ),
];

/// Events of `panther` that are not in the shape of their log type, by test name, and why.
const NOT_THE_RECORD: &[(&str, &str)] = &[
    ("CreateIPSet Event", "every key in lower case, as no CloudTrail record is"),
    ("UpdateIPSet", "every key in lower case, as no CloudTrail record is"),
    ("NotIPSet", "every key in lower case, as no CloudTrail record is"),
];

fn name_of(path: &std::path::Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn technique_files() -> Option<Vec<std::path::PathBuf>> {
    let folder = shared("stratus/detonation-logs")?;
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    Some(files)
}

#[test]
fn techniques_are_found() {
    let Some(files) = technique_files() else { return };
    // One run over all: the names of the rules by the file their evidence is in would be lost, and
    // bursts of different files would add up. So one run each.
    let mut found = BTreeMap::new();
    for file in &files {
        let run = sluice(&["eval", file.to_str().unwrap()]).exits(0);
        let [received, mapped, ..] = run.counters()[0].1;
        assert_eq!(received, mapped, "{}: {}", file.display(), run.stderr);
        let rules: BTreeSet<String> =
            run.rows().iter().map(|f| f["rule_id"].as_str().unwrap().to_owned()).collect();
        found.insert(name_of(file), rules);
    }
    for (technique, rules) in &found {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        println!("{technique:<62} {}", if rules.is_empty() { "-" } else { "found" });
        rules.iter().for_each(|rule| println!("    {rule}"));
    }
    let caught = found.values().filter(|rules| !rules.is_empty()).count();
    println!("{caught} of {} techniques found", found.len());
    let stated: BTreeMap<String, BTreeSet<String>> = TECHNIQUES
        .iter()
        .map(|(technique, rules)| {
            ((*technique).to_owned(), rules.iter().map(|r| (*r).to_owned()).collect())
        })
        .collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), stated.keys().collect::<Vec<_>>());
    for (technique, rules) in &stated {
        assert_eq!(&found[technique], rules, "{technique}");
    }
}

#[test]
fn techniques_map_whole() {
    let Some(files) = technique_files() else { return };
    let records: Vec<Value> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).unwrap();
            match serde_json::from_str(&text).unwrap() {
                Value::Array(records) => records,
                one => vec![one],
            }
        })
        .collect();
    assert_eq!(records.len(), 310);
    check("aws.cloudtrail", &records, cloudtrail);
}

/// The events of a log type, in the shape that log has.
fn panther(log_type: &str, shaped: impl Fn(&Value) -> bool) -> Option<Vec<Value>> {
    let text = fs::read_to_string(shared("panther/rule-tests.jsonl")?).unwrap();
    let mut events = Vec::new();
    for line in text.lines() {
        let test: Value = serde_json::from_str(line).unwrap();
        let types = test["log_types"].as_array().unwrap();
        if !types.iter().any(|t| t == log_type) {
            continue;
        }
        let own = types.len() == 1 || test["event"]["p_log_type"] == log_type;
        let name = test["test"].as_str().unwrap();
        let exception = NOT_THE_RECORD.iter().find(|(test, _)| *test == name);
        match (own || shaped(&test["event"]), exception) {
            (true, None) => events.push(test["event"].clone()),
            (true, Some((_, why))) => eprintln!("{log_type}: left out `{name}`: {why}"),
            // Rules over several log types have events of the others.
            (false, _) => {}
        }
    }
    Some(events)
}

#[test]
fn cloudtrail_events_map_whole() {
    let Some(mut events) = panther("AWS.CloudTrail", |e| e["eventVersion"].is_string()) else {
        return;
    };
    assert!(events.len() >= 185, "{}", events.len());
    for event in &mut events {
        complete(event, &[("eventVersion", "1.08"), ("eventSource", "any.amazonaws.com")]);
    }
    check("aws.cloudtrail", &events, cloudtrail);
}

#[test]
fn okta_events_map_whole() {
    // Records of CloudTrail have an `eventType` too.
    let shaped = |e: &Value| e["eventType"].is_string() && !e["eventVersion"].is_string();
    let Some(mut events) = panther("Okta.SystemLog", shaped) else { return };
    assert!(events.len() >= 31, "{}", events.len());
    for event in &mut events {
        as_okta_writes_it(event);
        complete(event, &[("uuid", "u")]);
    }
    check("okta.system", &events, okta);
}

#[test]
fn kubernetes_events_map_whole() {
    let Some(mut events) = panther("Amazon.EKS.Audit", |e| e["objectRef"].is_object()) else {
        return;
    };
    assert!(events.len() >= 80, "{}", events.len());
    for event in &mut events {
        complete(event, &[("auditID", "a"), ("stage", "ResponseComplete")]);
    }
    check("kubernetes.audit", &events, kubernetes);
}

#[test]
fn vpc_flow_events_map_whole() {
    let flow = |e: &Value| e["p_log_type"] == "AWS.VPCFlow";
    let Some(events) = panther("AWS.VPCFlow", flow) else { return };
    let events: Vec<Value> = events.into_iter().filter(flow).collect();
    assert_eq!(events.len(), 6, "the other four are of OCSF.NetworkActivity");
    // They are records after parsing: written as the log that has just these fields.
    let mut text = "version account-id srcaddr dstaddr dstport log-status\n".to_owned();
    for event in &events {
        let field = |name: &str| event[name].to_string().trim_matches('"').to_owned();
        let (from, to, port) = (field("srcAddr"), field("dstAddr"), field("dstPort"));
        text.push_str(&format!("2 123456789012 {from} {to} {port} OK\n"));
    }
    let scratch = Scratch::new();
    let log = scratch.write("log", text);
    let run = sluice(&["mapping", "run", &log]).exits(0);
    let rows = run.rows();
    assert_eq!(rows.len(), events.len(), "{}", run.stderr);
    for (event, row) in events.iter().zip(&rows) {
        assert_eq!(row["src_ip"], event["srcAddr"]);
        assert_eq!(row["dst_ip"], event["dstAddr"]);
        assert_eq!(row["dst_port"], event["dstPort"]);
    }
}

/// Adds the keys that every record of a log has and that an excerpt for a rule's test left out.
fn complete(event: &mut Value, keys: &[(&str, &str)]) {
    let Value::Object(fields) = event else { return };
    for (key, value) in keys {
        fields.entry(*key).or_insert_with(|| (*value).into());
    }
}

/// Maps the events, one row each, and checks each row against its event: returns what is missing.
fn check(source: &str, events: &[Value], missing: fn(&Value, &Value) -> Vec<&'static str>) {
    let scratch = Scratch::new();
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let log = scratch.write("log", lines.join("\n"));
    let run: Run = sluice(&["mapping", "run", "--source", source, &log]).exits(0);
    let n = events.len() as u64;
    assert_eq!(run.counters(), [(source.to_owned(), [n, n, 0, 0, 0])]);
    let rows = run.rows();
    assert_eq!(rows.len(), events.len());
    let mut holes = Vec::new();
    for (event, row) in events.iter().zip(&rows) {
        for what in missing(event, row) {
            holes.push(format!("{what}\n  of {event}\n  in {row}"));
        }
    }
    assert!(holes.is_empty(), "{} holes, the first: {}", holes.len(), holes[0]);
    eprintln!("{source}: {n} events, each with who, what, from where, when and outcome it has");
}

/// Whether a field says something.
fn told(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !matches!(text.as_str(), "" | "unknown" | "-"),
        _ => true,
    }
}

fn holes(checks: &[(&'static str, bool, bool)]) -> Vec<&'static str> {
    checks.iter().filter(|(_, has, got)| *has && !*got).map(|(what, ..)| *what).collect()
}

fn who(row: &Value) -> bool {
    ["user_name", "user_uid", "actor_user_name", "actor_user_uid"].iter().any(|c| told(&row[*c]))
}

fn outcome(row: &Value) -> bool {
    matches!(row["status"].as_str(), Some("Success" | "Failure"))
}

fn cloudtrail(event: &Value, row: &Value) -> Vec<&'static str> {
    let identity = &event["userIdentity"];
    let named = ["userName", "principalId", "arn", "invokedBy"].iter().any(|f| told(&identity[*f]));
    let address = event["sourceIPAddress"].as_str().unwrap_or("");
    let service = address.ends_with(".amazonaws.com") || address == "AWS Internal";
    holes(&[
        ("who", named, who(row)),
        ("what", told(&event["eventName"]), row["event_code"] == event["eventName"]),
        ("from where, an address", address.parse::<IpAddr>().is_ok(), told(&row["src_ip"])),
        // The addresses of stratus are made unrecognisable: not all of them can be (08.1.250.216).
        (
            "from where, a text that is no address",
            told(&event["sourceIPAddress"]),
            told(&row["src_ip"])
                || told(&row["src_hostname"])
                || row["unmapped"].as_str().is_some_and(|kept| kept.contains("\"src_ip\"")),
        ),
        ("from where, a service", service, told(&row["src_hostname"])),
        ("when", dated(&event["eventTime"]), row["time_flag"].is_null()),
        ("outcome", says_outcome(event), outcome(row)),
        ("where", told(&event["awsRegion"]), row["cloud_region"] == event["awsRegion"]),
    ])
}

/// Whether a record says how the call went: an error, a call without one, or under its own name.
fn says_outcome(event: &Value) -> bool {
    let own = event["eventName"].as_str().unwrap_or_default();
    let kept = ["responseElements", "serviceEventDetails"];
    let under_its_name =
        |part: &&str| matches!(event[*part][own].as_str(), Some("Success" | "Failure"));
    told(&event["errorCode"])
        || event["eventType"] == "AwsApiCall"
        || kept.iter().any(under_its_name)
}

fn okta(event: &Value, row: &Value) -> Vec<&'static str> {
    holes(&[
        ("who", told(&event["actor"]["alternateId"]), who(row)),
        ("what", told(&event["eventType"]), row["event_code"] == event["eventType"]),
        ("from where", told(&event["client"]["ipAddress"]), told(&row["src_ip"])),
        ("when", dated(&event["published"]), row["time_flag"].is_null()),
        (
            "outcome",
            matches!(
                event["outcome"]["result"].as_str(),
                Some("SUCCESS" | "FAILURE" | "ALLOW" | "DENY")
            ),
            outcome(row),
        ),
    ])
}

fn kubernetes(event: &Value, row: &Value) -> Vec<&'static str> {
    let verb = event["verb"].as_str().unwrap_or("");
    let code = row["event_code"].as_str().unwrap_or("");
    holes(&[
        ("who", told(&event["user"]["username"]), who(row)),
        ("what", !verb.is_empty(), code.starts_with(verb)),
        ("on what", told(&event["objectRef"]["name"]), told(&row["resource_name"])),
        ("from where", told(&event["sourceIPs"][0]), told(&row["src_ip"])),
        ("when", dated(&event["requestReceivedTimestamp"]), row["time_flag"].is_null()),
        ("outcome", told(&event["responseStatus"]["code"]), outcome(row)),
    ])
}

/// Whether a field is a time at all: some tests have words in its place.
fn dated(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() >= 19 && text.bytes().take(4).all(|b| b.is_ascii_digit()))
}

/// The names of the fields of Okta's records; some tests have them in lower case.
fn as_okta_writes_it(event: &mut Value) {
    const NAMES: &[&str] = &[
        "authenticationContext",
        "debugContext",
        "displayMessage",
        "eventType",
        "legacyEventType",
        "securityContext",
    ];
    let Value::Object(fields) = event else { return };
    for name in NAMES {
        if let Some(value) = fields.remove(&name.to_lowercase()) {
            fields.insert((*name).to_owned(), value);
        }
    }
}
