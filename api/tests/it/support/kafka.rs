//! A real broker of a test's own, and its own tools to fill it: foreign clients, not ours.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A running broker; stopped when dropped.
pub(crate) struct Broker {
    folder: TempDir,
    bootstrap: String,
}

impl Broker {
    /// Starts one whose topics have so many partitions, or says why this test is skipped.
    pub(crate) fn own(partitions: u32) -> Option<Broker> {
        if !cfg!(feature = "kafka") {
            sluice_harness::lacks("the feature `kafka` is off");
            return None;
        }
        let shared = sluice_harness::variable("SLUICE_TEST_KAFKA_DIR")?;
        let folder = tempfile::tempdir().unwrap();
        let libs = Path::new(&shared).join("libs");
        std::os::unix::fs::symlink(libs, folder.path().join("libs")).unwrap();
        // Topics come with their first record: the admin tools are not part of the broker.
        let settings = format!(
            "auto.create.topics.enable=true\nnum.partitions={partitions}\n\
             message.max.bytes=41943040\nreplica.fetch.max.bytes=41943040\n"
        );
        fs::write(folder.path().join("extra.properties"), settings).unwrap();
        let mut broker = Broker { folder, bootstrap: String::new() };
        broker.bootstrap = broker.script("start");
        Some(broker)
    }

    /// The same, where there is kcat to read it with.
    pub(crate) fn own_with_reader(partitions: u32) -> Option<Broker> {
        if !has_kcat() {
            sluice_harness::lacks("there is no kcat");
            return None;
        }
        Broker::own(partitions)
    }

    /// Where clients connect.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Stops it.
    pub(crate) fn stop(&self) {
        self.script("stop");
    }

    /// Every record of a topic, one a line: headers, key, length of the value (-1 for a tombstone) and
    /// value, between tabs. By kcat: the console consumer is not part of the broker.
    pub(crate) fn consume(&self, topic: &str) -> String {
        let mut kcat = Command::new("kcat");
        kcat.args(["-C", "-b", &self.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"]);
        let out = kcat.args(["-f", "%h\\t%k\\t%S\\t%s\\n"]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Stops it and starts it again, on the same ports and data.
    pub(crate) fn restart(&self) {
        self.script("restart");
    }

    /// Sends records, one a line, and waits until the broker has them.
    pub(crate) fn produce<'l>(&self, topic: &str, records: impl Iterator<Item = &'l str>) {
        let mut text = String::new();
        for record in records {
            text.push_str(record);
            text.push('\n');
        }
        if !text.is_empty() {
            fill(self.producer(topic), &text);
        }
    }

    /// Sends lines as the console producer reads them with properties of its reader,
    /// `parse.headers=true`.
    pub(crate) fn send(&self, topic: &str, text: &str, properties: &[&str]) {
        let mut producer = self.java("kafka.tools.ConsoleProducer");
        producer
            .args(["--topic", topic, "--request-required-acks", "all"])
            .args(["--max-memory-bytes", "67108864"])
            .args(["--producer-property", "max.request.size=41943040"])
            .args(properties.iter().flat_map(|property| ["--property", property]));
        fill(producer, text);
    }

    /// kcat where there is one: it starts in no time.
    fn producer(&self, topic: &str) -> Command {
        if has_kcat() {
            let mut kcat = Command::new("kcat");
            kcat.args(["-P", "-b", &self.bootstrap, "-t", topic, "-X", "acks=all"]);
            kcat.stderr(Stdio::null());
            return kcat;
        }
        let mut java = self.java("kafka.tools.ConsoleProducer");
        java.args(["--topic", topic, "--request-required-acks", "all"]);
        java
    }

    fn java(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-cp"])
            .arg(self.folder.path().join("libs/*"))
            .arg(class)
            .args(["--bootstrap-server", &self.bootstrap])
            .stderr(Stdio::null());
        java
    }

    /// Runs the script that cares for brokers; where clients connect to this one.
    fn script(&self, verb: &str) -> String {
        let script: PathBuf =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".ci/kafka/kafka.sh");
        let out = Command::new(script).arg(verb).arg(self.folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let log = || fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default();
        assert!(out.status.success(), "{verb}: {}", log());
        let line = text.lines().find_map(|l| l.strip_prefix("BOOTSTRAP="));
        line.unwrap_or_default().to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.script("stop");
    }
}

fn has_kcat() -> bool {
    let mut kcat = Command::new("kcat");
    kcat.arg("-V").stdout(Stdio::null()).stderr(Stdio::null());
    kcat.status().is_ok_and(|s| s.success())
}

/// Writes everything to a producer and waits until the broker has it.
fn fill(mut producer: Command, text: &str) {
    let mut producer = producer.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    producer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(producer.wait().unwrap().success(), "the producer failed");
}
