//! The forms in which shippers send a record, by name.

use std::collections::BTreeMap;

use crate::wrapped::quoted;

/// The wrappers that records of a source come in, by name.
pub(crate) fn wrappers(record: &str) -> BTreeMap<&'static str, String> {
    let text = quoted(record);
    let base64 = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(record)
    };
    let mut all = BTreeMap::from([
        (
            "cloudwatch subscription",
            format!(
                r#"{{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logStream":"s","logEvents":[{{"id":"1","timestamp":1767171600000,"message":{text}}}]}}"#
            ),
        ),
        ("cloudwatch export", format!("2025-12-31T09:00:00.000Z {record}")),
        (
            "filter-log-events",
            format!(
                r#"{{"events":[{{"timestamp":1767171600000,"message":{text},"ingestionTime":1767171600001}}]}}"#
            ),
        ),
        (
            "sns",
            format!(
                r#"{{"Type":"Notification","MessageId":"m","TopicArn":"arn:t","Message":{text}}}"#
            ),
        ),
        ("sqs", format!(r#"{{"MessageId":"m","ReceiptHandle":"r","Body":{text}}}"#)),
        (
            "sns in sqs",
            format!(
                r#"{{"messageId":"m","receiptHandle":"r","body":{}}}"#,
                quoted(&format!(
                    r#"{{"Type":"Notification","TopicArn":"arn:t","Message":{text}}}"#
                ))
            ),
        ),
        (
            "firehose request",
            format!(
                r#"{{"requestId":"r","timestamp":1767171600000,"records":[{{"data":"{base64}"}}]}}"#
            ),
        ),
        ("kinesis", format!(r#"{{"kinesis":{{"data":"{base64}"}},"eventSource":"aws:kinesis"}}"#)),
        (
            "docker",
            format!(
                r#"{{"log":{},"stream":"stdout","time":"2025-12-31T09:00:00Z"}}"#,
                quoted(&format!("{record}\n"))
            ),
        ),
        ("cri", format!("2025-12-31T09:00:00.123456789Z stdout F {record}")),
        (
            "cri of docker",
            format!(
                "2025-12-31T09:00:00.123456789Z stdout F {}",
                format_args!(r#"{{"log":{text},"stream":"stdout","time":"2025-12-31T09:00:00Z"}}"#)
            ),
        ),
        (
            "filebeat",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","@metadata":{{"beat":"filebeat"}},"message":{text},"log":{{"file":{{"path":"/x"}}}},"agent":{{"type":"filebeat"}},"host":{{"name":"web-1"}}}}"#
            ),
        ),
        (
            "elastic agent",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","data_stream":{{"type":"logs"}},"event":{{"original":{text}}},"message":"x"}}"#
            ),
        ),
        (
            "elasticsearch hit",
            format!(
                r#"{{"_index":"i","_id":"1","_source":{{"message":{text},"agent":{{"type":"filebeat"}}}}}}"#
            ),
        ),
        ("fluent bit", format!(r#"{{"date":1767171600.5,"log":{text}}}"#)),
        (
            "fluent bit on kubernetes",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","log":{text},"stream":"stdout","time":"2025-12-31T09:00:00Z","kubernetes":{{"pod_name":"p"}}}}"#
            ),
        ),
        (
            "vector",
            format!(
                r#"{{"file":"/x","host":"web-1","message":{text},"source_type":"file","timestamp":"2025-12-31T09:00:00Z"}}"#
            ),
        ),
        (
            "logstash",
            format!(
                r#"{{"@version":"1","@timestamp":"2025-12-31T09:00:00Z","host":"web-1","message":{text}}}"#
            ),
        ),
        (
            "splunk hec",
            format!(r#"{{"time":1767171600,"host":"web-1","sourcetype":"x","event":{text}}}"#),
        ),
        ("splunk result", format!(r#"{{"preview":false,"result":{{"_raw":{text}}}}}"#)),
        (
            "otlp",
            format!(
                r#"{{"resourceLogs":[{{"resource":{{"attributes":[]}},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1767171600000000000","body":{{"stringValue":{text}}}}}]}}]}}]}}"#
            ),
        ),
        ("nothing but a message", format!(r#"{{"message":{text}}}"#)),
        ("splunk hec without metadata", format!(r#"{{"event":{text},"fields":{{"site":"x"}}}}"#)),
        ("kafka connect", format!(r#"{{"schema":{{"type":"string"}},"payload":{text}}}"#)),
        (
            "kcat",
            format!(
                r#"{{"topic":"t","partition":0,"offset":3,"ts":1767171600000,"payload":{text}}}"#
            ),
        ),
        (
            "pubsub",
            format!(r#"{{"message":{{"data":"{base64}","messageId":"1"}},"subscription":"s"}}"#),
        ),
        (
            "google log entry",
            format!(r#"{{"logName":"l","timestamp":"2025-12-31T09:00:00Z","textPayload":{text}}}"#),
        ),
        (
            "loki line",
            format!(
                r#"{{"labels":{{"app":"x"}},"line":{text},"timestamp":"2025-12-31T09:00:00Z"}}"#
            ),
        ),
        (
            "loki push",
            format!(
                r#"{{"streams":[{{"stream":{{}},"values":[["1767171600000000000",{text}]]}}]}}"#
            ),
        ),
        ("insights", format!(r#"{{"@timestamp":"2025-12-31 09:00:00.000","@message":{text}}}"#)),
        (
            "insights results",
            format!(
                r#"{{"results":[[{{"field":"@message","value":{text}}}]],"status":"Complete"}}"#
            ),
        ),
        (
            "log analytics",
            format!(
                r#"{{"TimeGenerated":"2025-12-31T09:00:00Z","Category":"kube-audit","log_s":{text}}}"#
            ),
        ),
        (
            "openshift",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","message":{text},"openshift":{{"sequence":1}}}}"#
            ),
        ),
        (
            "ecs",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","event":{{"original":{text},"dataset":"x"}}}}"#
            ),
        ),
        (
            "otlp with the names of the protocol",
            format!(
                r#"{{"resource_logs":[{{"scope_logs":[{{"log_records":[{{"body":{{"string_value":{text}}}}}]}}]}}]}}"#
            ),
        ),
        ("encoded twice", text.clone()),
        ("an array of texts", format!("[{text}]")),
        ("two in a row", format!(r#"{{"date":1,"log":{text}}}{{"date":1,"log":{text}}}"#)),
        ("an array", format!(r#"[{{"date":1,"log":{text}}}]"#)),
    ]);
    if record.starts_with('{') {
        all.extend([
            (
                "eventbridge",
                format!(r#"{{"detail-type":"x","source":"y","account":"1","detail":{record}}}"#),
            ),
            ("splunk hec object", format!(r#"{{"time":1767171600,"host":"h","event":{record}}}"#)),
            ("syslog", format!("<133>Dec 31 09:00:00 cp-1 audit[7]: {record}")),
            ("syslog rfc 5424", format!("<133>1 2025-12-31T09:00:00Z cp-1 audit 7 - - {record}")),
            ("syslog with a cookie", format!("Dec 31 09:00:00 cp-1 audit: @cee: {record}")),
            ("fluentd", format!("2025-12-31T09:00:00+00:00\tkube.audit\t{record}")),
            ("docker compose", format!("audit-1  | {record}")),
            ("kubectl", format!("[pod/audit-1/main] {record}")),
            ("an event stream", format!("data: {record}")),
            ("RFC 7464", format!("\u{1e}{record}")),
            ("a comma after it", format!("{record},")),
            ("no newline between", format!("{record}{record}")),
            ("a blank between", format!("{record} {record}")),
            (
                "azure",
                format!(
                    r#"{{"records":[{{"category":"kube-audit","properties":{{"log":{text}}}}}]}}"#
                ),
            ),
        ]);
    }
    all
}

/// The wrappers of the message of a syslog line, whose header they have in fields.
pub(crate) fn headless(message: &str) -> BTreeMap<&'static str, String> {
    let text = quoted(message);
    BTreeMap::from([
        (
            "journald",
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1767171600000000","_HOSTNAME":"web-1","SYSLOG_IDENTIFIER":"sshd","_COMM":"sshd","_PID":"7","MESSAGE":{text}}}"#
            ),
        ),
        (
            "journald bytes",
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1767171600000000","_HOSTNAME":"web-1","_COMM":"sshd","_PID":"7","MESSAGE":{:?}}}"#,
                message.as_bytes()
            ),
        ),
        (
            "rsyslog",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","host":"web-1","tag":"sshd[7]:","message":{}}}"#,
                quoted(&format!(" {message}"))
            ),
        ),
        (
            "rsyslog jsonmesg",
            format!(
                r#"{{"msg":{text},"timereported":"2025-12-31T09:00:00Z","hostname":"web-1","syslogtag":"sshd[7]:","programname":"sshd","procid":"7"}}"#
            ),
        ),
        (
            "syslog-ng",
            format!(
                r#"{{"PROGRAM":"sshd","PID":"7","MESSAGE":{text},"HOST":"web-1","DATE":"Dec 31 09:00:00"}}"#
            ),
        ),
        (
            "vector syslog",
            format!(
                r#"{{"appname":"sshd","hostname":"web-1","message":{text},"procid":7,"source_type":"syslog","timestamp":"2025-12-31T09:00:00Z"}}"#
            ),
        ),
        (
            "fluent bit syslog",
            format!(
                r#"{{"time":"2025-12-31T09:00:00Z","host":"web-1","ident":"sshd","pid":"7","message":{text}}}"#
            ),
        ),
        (
            "logstash syslog",
            format!(
                r#"{{"@version":"1","@timestamp":"2025-12-31T09:00:00Z","logsource":"web-1","program":"sshd","pid":"7","message":{text}}}"#
            ),
        ),
        (
            "filebeat system module",
            format!(
                r#"{{"@timestamp":"2025-12-31T09:00:00Z","agent":{{"type":"filebeat"}},"host":{{"hostname":"web-1"}},"process":{{"name":"sshd","pid":7}},"message":{text}}}"#
            ),
        ),
        (
            "otlp syslog",
            format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1767171600000000000","body":{{"stringValue":{text}}},"attributes":[{{"key":"appname","value":{{"stringValue":"sshd"}}}},{{"key":"hostname","value":{{"stringValue":"web-1"}}}},{{"key":"proc_id","value":{{"stringValue":"7"}}}}]}}]}}]}}]}}"#
            ),
        ),
        (
            "gelf",
            format!(
                r#"{{"version":"1.1","host":"web-1","short_message":{text},"timestamp":1767171600,"_application_name":"sshd","_process_id":7}}"#
            ),
        ),
    ])
}
