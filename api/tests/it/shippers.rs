//! Log shippers as people run them, from a program's log line over Kafka to a finding: rsyslog and
//! syslog-ng with their Kafka modules, and what journald exports. Not the forms of their records one
//! by one, which are the envelopes' own tests.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    kafka::Broker,
    okta,
    service::{Home, Service, now},
};

/// Topics of lines that sshd has logged, and the user in each line.
const TOPICS: [&str; 6] =
    ["rs-json", "rs-line", "rs-protocol23", "sng-json", "sng-line", "journald"];

/// One of the programs, with the libraries and modules it comes with.
struct Shipper {
    root: PathBuf,
    scratch: Scratch,
}

impl Shipper {
    /// The one of a folder of `SLUICE_TEST_SHIPPERS`, or says why this test is skipped.
    fn of(name: &str) -> Option<Shipper> {
        let root = PathBuf::from(sluice_harness::variable("SLUICE_TEST_SHIPPERS")?).join(name);
        Some(Shipper { root, scratch: Scratch::new() })
    }

    /// The file of this name below its folder.
    fn file(&self, name: &str) -> PathBuf {
        let mut found = Vec::new();
        walk(&self.root, &mut |path| {
            let program = path.ends_with(Path::new("bin").join(name))
                || path.ends_with(Path::new("sbin").join(name))
                || path.ends_with(Path::new("systemd").join(name))
                || (name.ends_with(".so") && path.ends_with(name));
            if program {
                found.push(path.to_owned());
            }
        });
        found.pop().unwrap_or_else(|| panic!("no {name} below {}", self.root.display()))
    }

    /// Where the module of this name is.
    fn folder_of(&self, name: &str) -> String {
        self.file(name).parent().unwrap().to_str().unwrap().to_owned()
    }

    /// One of its programs, which finds its own libraries before those of the system.
    fn command(&self, program: &str) -> Command {
        let mut folders = BTreeSet::new();
        walk(&self.root, &mut |path| {
            if path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")) {
                folders.insert(path.parent().unwrap().to_owned());
            }
        });
        let mut command = Command::new(self.file(program));
        command
            .env("LD_LIBRARY_PATH", env::join_paths(folders).unwrap())
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.scratch.path("said")).unwrap());
        command
    }

    /// The socket programs log to, once a daemon listens on it.
    fn socket(&self) -> UnixDatagram {
        let begun = now();
        let socket = UnixDatagram::unbound().unwrap();
        while socket.connect(self.scratch.path("log")).is_err() {
            let said = fs::read_to_string(self.scratch.path("said")).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not listen: {said}");
            thread::sleep(Duration::from_millis(20));
        }
        socket
    }
}

/// Every file below a folder.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => walk(&path, each),
            false => each(&path),
        }
    }
}

/// A running daemon; ended when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What sshd logs of a refused password.
fn refused(user: &str) -> String {
    format!("Failed password for invalid user {user} from 203.0.113.9 port 4242 ssh2")
}

/// The same as glibc's `syslog` writes it.
fn datagram(stamp: &str, user: &str) -> String {
    format!("<86>{stamp} sshd[71]: {}", refused(user))
}

/// The time now in a format of `date`.
fn date(format: &str) -> String {
    let output = Command::new("date").env("LC_ALL", "C").args(["-u", format]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn rsyslog(shipper: &Shipper, brokers: &str) -> Daemon {
    let path = |below| shipper.scratch.path(below);
    // The records of a program that writes JSON to a file of its own.
    shipper.scratch.write("okta.log", okta("rs-file") + "\n");
    fs::create_dir_all(path("work")).unwrap();
    let action = |topic: &str, template: &str| {
        format!(
            "if $msg contains \"{topic}\" then action(type=\"omkafka\" broker=[\"{brokers}\"] \
             topic=\"{topic}\" template=\"{template}\" confParam=[\"queue.buffering.max.ms=50\"])\n"
        )
    };
    let text = format!(
        r#"global(workDirectory="{work}")
module(load="imfile" mode="polling" pollingInterval="1")
module(load="imuxsock" SysSock.Use="off")
module(load="omkafka")
template(name="json" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="tag" name="syslogtag" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}}
input(type="imuxsock" Socket="{log}")
input(type="imfile" File="{file}" Tag="okta")
{actions}"#,
        work = path("work"),
        log = path("log"),
        file = path("okta.log"),
        actions = [
            action("rs-json", "json"),
            action("rs-line", "RSYSLOG_TraditionalFileFormat"),
            action("rs-protocol23", "RSYSLOG_SyslogProtocol23Format"),
            action("rs-file", "json"),
        ]
        .concat(),
    );
    let config = shipper.scratch.write("rsyslog.conf", text);
    let modules = shipper.folder_of("omkafka.so");
    let mut command = shipper.command("rsyslogd");
    command.args(["-n", "-f", &config, "-i", &path("pid"), "-M", &modules]);
    Daemon(command.spawn().unwrap())
}

fn syslog_ng(shipper: &Shipper, brokers: &str) -> Daemon {
    let path = |below| shipper.scratch.path(below);
    let output = |topic: &str, message: &str| {
        format!(
            "log {{ source(s); filter {{ message(\"{topic}\") }}; destination {{ kafka-c(\
             bootstrap-servers(\"{brokers}\") topic(\"{topic}\") {message}); }}; }};\n"
        )
    };
    let text = format!(
        "@version: 3.38\noptions {{ keep-hostname(yes); stats-freq(0); }};\n\
         source s {{ unix-dgram(\"{}\"); }};\n{}{}",
        path("log"),
        output("sng-json", "message(\"$(format-json --scope rfc5424)\")"),
        // Its own template: time, host, program, message.
        output("sng-line", ""),
    );
    let config = shipper.scratch.write("syslog-ng.conf", text);
    let mut command = shipper.command("syslog-ng");
    command
        .args(["-F", "-f", &config, "--no-caps"])
        .arg(format!("--module-path={}", shipper.folder_of("libkafka.so")))
        .arg(format!("--persist-file={}", path("persist")))
        .arg(format!("--pidfile={}", path("pid")))
        .arg(format!("--control={}", path("control")));
    Daemon(command.spawn().unwrap())
}

/// What `journalctl -o json` says of a line in a journal.
fn journal(shipper: &Shipper, user: &str) -> String {
    let export = format!(
        "__REALTIME_TIMESTAMP=1767225600123456\n__MONOTONIC_TIMESTAMP=5\n\
         _BOOT_ID=0123456789abcdef0123456789abcdef\n_MACHINE_ID=0123456789abcdef0123456789abcde0\n\
         _HOSTNAME=web1\nSYSLOG_IDENTIFIER=sshd\n_PID=71\n_COMM=sshd\n_TRANSPORT=syslog\n\
         PRIORITY=6\nMESSAGE={}\n\n",
        refused(user)
    );
    let export = shipper.scratch.write("export", export);
    let journal = shipper.scratch.path("one.journal");
    let mut write = shipper.command("systemd-journal-remote");
    assert!(write.args(["-o", &journal, &export]).status().unwrap().success());
    let mut read = shipper.command("journalctl");
    read.args(["--file", &journal, "-o", "json", "--no-pager"]);
    String::from_utf8(read.stdout(Stdio::piped()).output().unwrap().stdout).unwrap()
}

fn signins(service: &Service) -> Vec<Value> {
    let sql = "SELECT user_name, src_ip, src_port, device_hostname, actor_process_name, status, time_flag, \
               CAST(time AS TEXT) AS at FROM authentication ORDER BY user_name";
    let answer = service.post("/api/v1/hunts", &json!({"sql": sql})).is(200).json();
    answer["rows"].as_array().unwrap().clone()
}

#[test]
fn a_line_becomes_a_finding_through_rsyslog_syslog_ng_and_journald() {
    let Some(rs) = Shipper::of("rsyslog") else { return };
    let Some(ng) = Shipper::of("syslog-ng") else { return };
    let Some(journald) = Shipper::of("journald") else { return };
    let Some(broker) = Broker::own(1) else { return };
    let inputs: String = TOPICS
        .iter()
        .map(|topic| (topic, "linux.sshd"))
        .chain([(&"rs-file", "auto")])
        .map(|(topic, mapping)| {
            format!(
                "[sources.{topic}]\nmapping = \"{mapping}\"\nkafka = {{ brokers = \"{}\", \
                 topics = [\"{topic}\"], group = \"sluice\", start = \"earliest\" }}\n",
                broker.bootstrap()
            )
        })
        .collect();
    let home = Home::new(&format!("mappings = [\"builtin\"]\n{inputs}"));

    let daemons = [rsyslog(&rs, broker.bootstrap()), syslog_ng(&ng, broker.bootstrap())];
    let sockets = [rs.socket(), ng.socket()];
    let (stamp, second) = (date("+%b %e %H:%M:%S"), date("+%Y-%m-%dT%H:%M"));
    for topic in TOPICS {
        let socket = match topic.split('-').next().unwrap() {
            "rs" => &sockets[0],
            "sng" => &sockets[1],
            _ => continue,
        };
        socket.send(datagram(&stamp, topic).as_bytes()).unwrap();
    }
    let journal = journal(&journald, "journald");
    assert!(journal.contains("__CURSOR"), "{journal}");
    broker.produce("journald", journal.lines());

    let service = home.start();
    let said = |shipper: &Shipper| fs::read_to_string(shipper.scratch.path("said")).unwrap();
    let begun = now();
    while service.total("") != Some(7) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "findings of {:#?} only\nrsyslog: {}\nsyslog-ng: {}",
            signins(&service),
            said(&rs),
            said(&ng)
        );
        thread::sleep(Duration::from_millis(50));
    }
    let mut users = BTreeSet::new();
    for row in signins(&service) {
        let user = row["user_name"].as_str().unwrap().to_owned();
        assert_eq!((&row["src_ip"], &row["status"]), (&json!("203.0.113.9"), &json!("Failure")));
        assert_eq!(row["time_flag"], Value::Null, "{row}");
        let at = row["at"].as_str().unwrap();
        match user.as_str() {
            "rs-file" => assert!(at.starts_with("2026-01-01T09:00:00"), "{row}"),
            "journald" => assert!(at.starts_with("2026-01-01T00:00:00.123"), "{row}"),
            _ => assert!(at.starts_with(&second), "{row}: not at {second}"),
        }
        if user != "rs-file" {
            assert_eq!(row["src_port"], 4242, "{row}");
            assert!(row["device_hostname"].is_string(), "{row}");
        }
        users.insert(user);
    }
    let expected = TOPICS.iter().copied().chain(["rs-file"]).map(str::to_owned).collect();
    assert_eq!(users, expected);
    assert_eq!(service.status()["store"]["dead_letters"], 0);
    drop(daemons);
    service.stop();
}
