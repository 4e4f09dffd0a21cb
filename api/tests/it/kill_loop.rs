//! The promise of the store, on real processes: `kill -9` at random moments while Kafka is read, with
//! the broker restarted in between, and at the end the findings of a run nobody disturbed.
//!
//! `SLUICE_KILLS` sets how often (20). Skipped, and says so, where there is no Kafka to start.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sluice_engine::{
    Seq,
    durable::{FindingStore, LetterFilter, Retention},
};
use sluice_finding::{Finding, FindingId, FindingState};
use sluice_generator::{Generator, Scenario};

use crate::support::kafka::Broker;

const START: i64 = 1_767_225_600_000;

/// Topic and mapping source.
const TOPICS: [(&str, &str); 4] = [
    ("okta", "okta.system"),
    ("cloudtrail", "aws.cloudtrail"),
    ("flow", "aws.vpc_flow"),
    ("sshd", "linux.sshd"),
];

#[test]
fn kills_and_broker_restarts_change_no_finding() {
    let Some(broker) = Broker::own(2) else { return };
    let kills: u32 = std::env::var("SLUICE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let seed = std::env::var("SLUICE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or_else(seed);
    eprintln!("{kills} kills, SLUICE_SEED={seed}");
    let mut dice = sluice_engine::replay::Dice::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(&broker, kills as usize);

    let disturbed = Node::new(folder.path(), "disturbed", &broker);
    let mut midway = 0;
    for kill in 0..kills {
        feed.some();
        let logged = disturbed.log().len();
        let mut process = disturbed.start();
        // A quarter of the kills may fall into the start, which other work on the machine draws out.
        if kill % 4 != 0 {
            disturbed.wait_until_reading(logged);
        }
        if kill % 7 == 3 {
            thread::sleep(Duration::from_millis(300));
            broker.restart();
        }
        thread::sleep(Duration::from_millis(400 + dice.below(3_200) as u64));
        feed.some();
        process.kill().unwrap();
        process.wait().unwrap();
        let positions = disturbed.positions();
        midway += u32::from(positions > 0 && positions < feed.total);
    }
    feed.rest();
    disturbed.run_to(feed.total);
    let found = disturbed.findings();

    let undisturbed = Node::new(folder.path(), "undisturbed", &broker);
    undisturbed.run_to(feed.total);
    let expected = undisturbed.findings();

    eprintln!(
        "{} records, {} findings; {midway} of {kills} kills in the middle",
        feed.total,
        expected.len()
    );
    assert!(expected.len() > 100, "{}", expected.len());
    assert!(midway >= kills / 4, "{midway} of {kills} kills in the middle");
    for (id, finding) in &expected {
        assert_eq!(found.get(id), Some(finding), "{} {id}", finding.rule_id);
    }
    let surplus: Vec<_> = found.iter().filter(|(id, _)| !expected.contains_key(id)).collect();
    assert!(surplus.is_empty(), "{surplus:#?}");
    assert_eq!(disturbed.letters(), undisturbed.letters());
    assert_eq!(disturbed.letters(), feed.bad, "dead letters");
}

/// The three scenarios and a bad record here and there, on their way to the broker.
struct Feed<'a> {
    broker: &'a Broker,
    lines: Vec<(&'static str, String)>,
    next: usize,
    step: usize,
    /// Records in all.
    total: u64,
    /// Of them, those that no mapping can read.
    bad: u64,
}

impl<'a> Feed<'a> {
    fn new(broker: &'a Broker, kills: usize) -> Self {
        let generator = Generator::new(1, START);
        let mut lines: Vec<_> =
            Scenario::ALL.into_iter().flat_map(|s| generator.scenario(s)).collect();
        lines.sort_by_key(|line| line.time_ms);
        let mut bad = 0;
        let mut records = Vec::new();
        for (at, line) in lines.into_iter().enumerate() {
            let Some((topic, _)) = TOPICS.iter().find(|(_, source)| *source == line.source) else {
                continue;
            };
            records.push((*topic, line.text));
            if at % 500 == 499 {
                bad += 1;
                records.push(("okta", format!("{{\"cut off at\": {at}")));
            }
        }
        let total = records.len() as u64;
        let step = records.len() / (2 * kills.max(1)) + 1;
        Feed { broker, lines: records, next: 0, step, total, bad }
    }

    fn some(&mut self) {
        let end = (self.next + self.step).min(self.lines.len());
        for (topic, _) in TOPICS {
            let of_topic = self.lines[self.next..end].iter().filter(|(t, _)| *t == topic);
            self.broker.produce(topic, of_topic.map(|(_, text)| text.as_str()));
        }
        self.next = end;
    }

    fn rest(&mut self) {
        while self.next < self.lines.len() {
            self.some();
        }
    }
}

/// A configuration and a data directory.
struct Node {
    config: PathBuf,
    data_dir: PathBuf,
}

impl Node {
    fn new(folder: &Path, name: &str, broker: &Broker) -> Node {
        let data_dir = folder.join(name);
        let config = folder.join(format!("{name}.toml"));
        let mut text = format!(
            "data_dir = \"{}\"\n[api]\nlisten = \"127.0.0.1:0\"\n[engine]\nhistory = \"none\"\n\
             checkpoint_every = \"300ms\"\n",
            data_dir.display()
        );
        for (topic, source) in TOPICS {
            text += &format!(
                "[sources.{topic}]\nmapping = \"{source}\"\n\
                 kafka = {{ brokers = \"{}\", topics = [\"{topic}\"], group = \"{name}\", \
                 start = \"earliest\" }}\n",
                broker.bootstrap()
            );
        }
        fs::write(&config, text).unwrap();
        Node { config, data_dir }
    }

    fn start(&self) -> Child {
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.config.with_extension("log"))
            .unwrap();
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["run", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn store(&self) -> FindingStore {
        FindingStore::open(&self.data_dir.join("store"), Retention::default()).unwrap()
    }

    /// Records before the last checkpoint.
    fn positions(&self) -> u64 {
        if !self.data_dir.join("store").is_dir() {
            return 0;
        }
        let checkpoint = self.store().checkpoint().unwrap();
        let positions = checkpoint.map(|c| c.positions).unwrap_or_default();
        let of_topics = positions.iter().filter(|(place, _)| !place.input.starts_with("sluice."));
        of_topics.map(|(_, next)| next).sum()
    }

    /// Waits until the log says, after so many bytes, that a process reads its inputs.
    fn wait_until_reading(&self, logged: usize) {
        let started = now();
        while !self.log().get(logged..).is_some_and(|log| log.contains("findings and state in")) {
            assert!(started.elapsed() < Duration::from_secs(120), "{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs, stopped gently now and then, until so many records are behind the checkpoint and one more
    /// run finds nothing more: what is found over findings comes after them.
    fn run_to(&self, total: u64) {
        let started = now();
        let mut patience = 6;
        let mut before = None;
        loop {
            let done = self.positions() >= total;
            let found = done.then(|| self.findings());
            if done && before == found {
                return;
            }
            before = found;
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(600), "{}: {}", self.log(), self.positions());
            let mut process = self.start();
            thread::sleep(Duration::from_secs(patience));
            patience = (patience + 4).min(60);
            let pid = process.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
            let status = process.wait().unwrap();
            // A process that was still starting has no handler for the signal yet.
            assert!(status.success() || status.code().is_none(), "{status}: {}", self.log());
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }

    /// Net findings, without what arrival may change.
    fn findings(&self) -> BTreeMap<FindingId, Finding> {
        let store = self.store();
        let mut found = BTreeMap::new();
        let mut seq = Seq(0);
        loop {
            let (page, next) = store.after(seq, 500).unwrap();
            if page.is_empty() && next == seq {
                return found;
            }
            seq = next;
            for stored in page {
                let finding = stored.finding;
                if finding.state != FindingState::Withdrawn {
                    let state = FindingState::Confirmed;
                    found
                        .insert(finding.id, Finding { state, revision: 1, late: false, ..finding });
                }
            }
        }
    }

    fn letters(&self) -> u64 {
        self.store().dead_letters(&LetterFilter::default(), None, 10_000).unwrap().len() as u64
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a test waits")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "other moments with every run; the seed is printed")]
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}
