//! Six folders of mixed, wrapped and damaged logs, as a newcomer has them: one screen says of each file
//! what it is, how much of it was read, and what was not and why.

use std::io::Write;

use crate::support::{Run, Scratch, cloudtrail, okta, sluice};

const FLOW: &str = "2 111122223333 eni-0a1b2c3d 203.0.113.9 10.0.1.5 51234 22 6 20 4249 1767258000 1767258060 ACCEPT OK";
const SSHD: &str =
    "Jan  1 09:00:00 web-1 sshd[7]: Failed password for root from 203.0.113.9 port 4242 ssh2";
const AUDIT: &str = r#"{"kind":"Event","auditID":"k","stage":"ResponseComplete","verb":"list","user":{"username":"ann"},"requestReceivedTimestamp":"2026-01-01T09:00:00Z"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The rules over a folder; checks the exit and that the screen is one.
#[track_caller]
fn eval(scratch: &Scratch, folder: &str) -> Run {
    let run = sluice(&["eval", "--received-at", "2026-01-01T12:00:00Z", &scratch.path(folder)]);
    let run = run.exits(0);
    let lines = run.stderr.lines().count();
    assert!(lines <= 45, "{lines} lines are more than one screen:\n{}", run.stderr);
    run
}

/// Checks that the line of a file has each of the texts.
#[track_caller]
fn file(run: &Run, name: &str, texts: &[&str]) {
    let line = run.stderr.lines().find(|l| l.contains(name)).unwrap_or_else(|| {
        panic!("no line of {name}:\n{}", run.stderr);
    });
    for text in texts {
        assert!(line.contains(text), "no `{text}` in: {line}\n{}", run.stderr);
    }
}

#[test]
fn a_bucket_of_trails() {
    let scratch = Scratch::new();
    let records = format!(r#"{{"Records":[{},{}]}}"#, cloudtrail("ann"), cloudtrail("bob"));
    scratch.write("trail/2026/01/a.json.gz", gzip(records.as_bytes()));
    let lines = format!("{}\n", cloudtrail("ann")).repeat(2_000);
    let packed = gzip(lines.as_bytes());
    scratch.write("trail/2026/01/cut.json.gz", &packed[..packed.len() - 20]);
    scratch.write(
        "trail/digest/d.json",
        r#"{"digestStartTime":"a","digestEndTime":"b","logFiles":[]}"#,
    );
    let config = r#"{"fileVersion":"1.0","configSnapshotId":"x","configurationItems":[]}"#;
    scratch.write("trail/config/c.json", config);
    let run = eval(&scratch, "trail");
    file(&run, "a.json.gz", &["aws.cloudtrail", "2 of 2", "all read"]);
    file(&run, "cut.json.gz", &["aws.cloudtrail", "1 decompress", "damaged compressed data"]);
    file(&run, "d.json", &["not read: cloudtrail digest: no events"]);
    file(&run, "c.json", &["not read: aws config snapshot: no events"]);
}

#[test]
fn the_logs_of_a_host() {
    let scratch = Scratch::new();
    let cron = "Jan  1 08:00:00 web-1 CRON[9]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)\n";
    scratch.write("host/auth.log", format!("{}{SSHD}\n", cron.repeat(20)));
    scratch.write("host/auth.log.1.gz", gzip(format!("{SSHD}\nnot a line of syslog\n").as_bytes()));
    let wide: Vec<u8> =
        format!("\u{feff}{SSHD}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    scratch.write("host/utf16.log", wide);
    let strange = SSHD.replace("Failed password for root", "Something new for root");
    scratch.write("host/strange.log", format!("{SSHD}\n{strange}\n"));
    scratch.write("host/poem.txt", "Roses are red\nviolets are blue\n");
    scratch.write("host/.hidden", SSHD);
    let run = eval(&scratch, "host");
    file(&run, "auth.log ", &["linux.sshd", "21 of 21", "all read"]);
    file(&run, "auth.log.1.gz", &["1 of 2", "1 bad_framing (line 2: not a syslog line"]);
    file(&run, "utf16.log", &["linux.sshd", "1 of 1", "all read"]);
    file(&run, "strange.log", &["2 of 2", "1 lines of known programs that no pattern takes"]);
    file(&run, "poem.txt", &["not read: lines of text, but no source looks like them"]);
    file(&run, ".hidden", &["skipped: hidden"]);
    run.says(&["5 files: 2 read whole, 2 in part, 1 not read", "`sluice mapping new FILE` begins"]);
}

#[test]
fn the_logs_of_a_cluster() {
    let scratch = Scratch::new();
    let (first, second) = AUDIT.split_at(60);
    scratch.write(
        "cluster/cri.log",
        format!(
            "2026-01-01T09:00:00.1Z stdout P {first}\n2026-01-01T09:00:00.2Z stdout F {second}\n"
        ),
    );
    scratch.write(
        "cluster/list.json",
        format!("{{\n \"kind\": \"EventList\",\n \"items\": [\n{AUDIT},\n{AUDIT}\n ]\n}}\n"),
    );
    scratch.write("cluster/audit.ndjson", format!("{AUDIT}\n{first}\n{AUDIT}\n"));
    let message = SSHD.split_once("]: ").unwrap().1;
    let journal = format!(
        r#"{{"__REALTIME_TIMESTAMP":"1767258000000000","_HOSTNAME":"web-1","_COMM":"sshd","MESSAGE":{}}}"#,
        quoted(message)
    );
    scratch.write("cluster/journal.json", format!("{journal}\n"));
    // A container that writes its audit log among messages of its own.
    let own = "2026-01-01T09:00:00.1Z stdout F I0101 09:00:00 server.go:1] starting\n".repeat(3);
    scratch.write("cluster/mixed.log", format!("{own}2026-01-01T09:00:00.1Z stdout F {AUDIT}\n"));
    let run = eval(&scratch, "cluster");
    file(&run, "cri.log", &["kubernetes.audit", "1 of 1", "all read"]);
    file(&run, "list.json", &["kubernetes.audit", "2 of 2", "all read"]);
    file(&run, "audit.ndjson", &["2 of 3", "1 bad_json (line 2: "]);
    file(&run, "journal.json", &["linux.sshd", "1 of 1", "all read"]);
    file(&run, "mixed.log", &["kubernetes.audit", "1 of 4", "3 bad_json (line 1: "]);
    run.says(&["5 files: 3 read whole, 2 in part"]);
}

#[test]
fn exports_of_a_log_service() {
    let scratch = Scratch::new();
    scratch.write("flows/export.log", format!("2026-01-01T09:00:00.000Z {FLOW}\n"));
    let events = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{{"id":"1","timestamp":1767258000000,"message":{}}}]}}"#,
        quoted(FLOW)
    );
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"x","logGroup":"","logStream":"","logEvents":[{"id":"","timestamp":1,"message":"m"}]}"#;
    scratch.write("flows/subscription.json", format!("{control}\n{events}\n"));
    scratch.write(
        "flows/order.csv",
        "dstaddr,srcaddr,dstport,start,action,log-status,x-new\n10.0.1.5,203.0.113.9,22,1767258000,REJECT,OK,z\n10.0.1.5,203.0.113.9\n",
    );
    let run = eval(&scratch, "flows");
    file(&run, "export.log", &["aws.vpc_flow", "1 of 1", "all read"]);
    file(&run, "subscription.json", &["1 of 2", "1 cloudwatch control message, no event"]);
    file(&run, "order.csv", &["1 of 3", "1 bad_framing (line 3: 2 fields, 7 expected", "1 header"]);
}

#[test]
fn a_mail_box_of_okta_logs() {
    let scratch = Scratch::new();
    scratch.write("okta/page.json", format!("[{},{}]", okta("ann"), okta("bob")));
    let bridge = format!(
        r#"{{"version":"0","detail-type":"SystemLog","source":"aws.partner/okta.com/x","account":"1","time":"2026-01-01T09:00:02Z","detail":{}}}"#,
        okta("ann")
    );
    scratch.write("okta/bridge.json", format!("{bridge}\n"));
    let event = format!(r#"{{"event":{},"sourcetype":"x"}}"#, okta("ann"));
    scratch.write("okta/hec.json", format!("{event}{event}"));
    scratch.write("okta/notes.json", format!("{}\n// a comment\n{}\n", okta("ann"), okta("bob")));
    let run = eval(&scratch, "okta");
    file(&run, "page.json", &["okta.system", "2 of 2", "all read"]);
    file(&run, "bridge.json", &["okta.system", "1 of 1", "all read"]);
    file(&run, "hec.json", &["okta.system", "2 of 2", "all read"]);
    file(&run, "notes.json", &["2 of 3", "1 bad_json (line 2: "]);
}

#[test]
fn a_folder_of_everything() {
    let scratch = Scratch::new();
    let noise: Vec<u8> =
        (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    scratch.write("mess/noise.bin", noise);
    scratch.write("mess/empty.log", "");
    let mixed = format!("{}\n", okta("ann")).repeat(5) + &cloudtrail("bob") + "\n";
    scratch.write("mess/mixed.json", mixed);
    let docker = format!(
        r#"{{"log":{},"stream":"stdout","time":"2026-01-01T09:00:00Z"}}"#,
        quoted(&format!("{AUDIT}\n"))
    );
    scratch.write("mess/deep/below/docker.json", format!("{docker}\n"));
    let times = format!("{SSHD}\n{}\n", SSHD.replace("Jan  1 09:00:00", "2036-01-01T09:00:00Z"));
    scratch.write("mess/ahead.log", times);
    let timeless = cloudtrail("ann").replace("eventTime", "otherTime");
    scratch.write("mess/timeless.json", format!("{timeless}\n"));
    for n in 0..60 {
        scratch.write(&format!("mess/many/{n:02}.json"), okta("ann"));
    }
    let run = eval(&scratch, "mess");
    file(&run, "noise.bin", &["not read: the input is not text: not a log"]);
    file(&run, "empty.log", &["not read: the input is empty"]);
    file(&run, "mixed.json", &["5 of 6", "1 not_this_source (line 6: ", "looks like aws.cloud"]);
    file(&run, "ahead.log", &["1 rows ahead of when they were received (2036-01-01T09:00:00"]);
    file(&run, "timeless.json", &["1 rows without a time"]);
    // Of many files those that were read whole are shown together.
    run.says(&[
        "60 more files of okta.system: all 60 records read",
        "1 more files of kubernetes.audit",
    ]);
}
