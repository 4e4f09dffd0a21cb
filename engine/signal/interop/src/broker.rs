//! A real Kafka, started by `.ci/kafka/kafka.sh`, and its own console producer.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use tempfile::TempDir;

use crate::Outcome;

/// A running broker; stopped when dropped.
pub struct Broker {
    dir: TempDir,
    pub bootstrap: String,
}

/// The console producer on one topic; what it is given is sent within a second.
pub struct Producer {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Broker {
    /// Starts one; `jars` is a folder that `kafka.sh fetch` filled.
    pub fn start(jars: &Path) -> Outcome<Broker> {
        let dir = tempfile::tempdir()?;
        std::os::unix::fs::symlink(jars.join("libs"), dir.path().join("libs"))?;
        let settings = "auto.create.topics.enable=true\nnum.partitions=1\n";
        fs::write(dir.path().join("extra.properties"), settings)?;
        let mut broker = Broker { dir, bootstrap: String::new() };
        let said = broker.script("start")?;
        let line = said.lines().find_map(|line| line.strip_prefix("BOOTSTRAP="));
        broker.bootstrap = line.ok_or("the broker does not say where it is")?.to_owned();
        Ok(broker)
    }

    pub fn producer(&self, topic: &str) -> Outcome<Producer> {
        let mut java = Command::new("java");
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp"])
            .arg(self.dir.path().join("libs/*"))
            .args(["kafka.tools.ConsoleProducer", "--bootstrap-server", &self.bootstrap])
            .args(["--topic", topic, "--request-required-acks", "all", "--timeout", "100"]);
        let java = java.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = java.spawn()?;
        let stdin = child.stdin.take();
        Ok(Producer { child, stdin })
    }

    fn script(&self, verb: &str) -> Outcome<String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script: PathBuf = here.join("../../../.ci/kafka/kafka.sh");
        let out = Command::new(script).arg(verb).arg(self.dir.path()).output()?;
        match out.status.success() {
            true => Ok(String::from_utf8(out.stdout)?),
            false => Err(String::from_utf8_lossy(&out.stderr).into()),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.script("stop").ok();
    }
}

impl Producer {
    /// Sends records, each a line.
    pub fn send(&mut self, records: &[String]) -> Outcome<()> {
        let stdin = self.stdin.as_mut().ok_or("the producer has ended")?;
        for record in records {
            writeln!(stdin, "{record}")?;
        }
        Ok(stdin.flush()?)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // The end of its input is its own.
        self.stdin = None;
        self.child.wait().ok();
    }
}
