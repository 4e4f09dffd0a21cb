//! The service over a scripted input: what it finds does not depend on stops, reloads or how its
//! input arrives, and nothing it is given is lost.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use arrow::{array::AsArray, datatypes::Int64Type};
use crossbeam_channel::Sender;
use sluice_engine::{
    Content, Delivery, Engine, EngineConfig, EngineError, History, MemorySink, Partition, Progress,
    QueryLimits, RunOptions, Seq, Source, Unobserved,
    durable::{FindingStore, LetterFilter, Retention},
    history::{DiskSettings, EventHistory},
    replay::Dice,
    service::{
        LiveInput, Phase, RuleChange, Service, ServiceParts, ServiceSettings, ServiceStatus,
    },
};
use sluice_event::PartitionId;
use sluice_finding::{Finding, FindingId, FindingState};
use sluice_generator::{Generator, Scenario};
use sluice_ingest::{
    Chunk, SourceSpec,
    live::{Arrival, Input, InputControl, InputFailure, Place, Positions},
};

const START: i64 = 1_767_225_600_000;

/// What a place holds: lines of one mapping source, with when each was received.
type Log = (Arc<str>, Vec<(i64, String)>);

/// An input whose places hold given lines; it may be read again from any position.
struct Script {
    name: Arc<str>,
    logs: Vec<Log>,
    dice: Dice,
}

impl Script {
    fn place(&self, part: usize) -> Place {
        Place { input: self.name.clone(), part: part.to_string().into() }
    }
}

impl Input for Script {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn remap(&mut self, _sources: &[Arc<SourceSpec>]) -> Result<(), InputFailure> {
        Ok(())
    }

    fn run(
        &mut self,
        from: &Positions,
        out: &Sender<Arrival>,
        control: &InputControl,
    ) -> Result<(), InputFailure> {
        let mut next: Vec<usize> = (0..self.logs.len())
            .map(|part| from.get(&self.place(part)).copied().unwrap_or(0) as usize)
            .collect();
        let send = |arrival: Arrival| control.hand_on(arrival, out, || {});
        for part in 0..self.logs.len() {
            if !send(Arrival::Assigned(self.place(part))) {
                return Ok(());
            }
        }
        while !control.stopped() {
            let open: Vec<usize> =
                (0..next.len()).filter(|p| next[*p] < self.logs[*p].1.len()).collect();
            if open.is_empty() || control.paused() {
                for part in (0..self.logs.len()).filter(|_| open.is_empty()) {
                    if !send(Arrival::Idle(self.place(part))) {
                        return Ok(());
                    }
                }
                while !control.stopped() && (open.is_empty() || control.paused()) {
                    thread::sleep(Duration::from_millis(2));
                }
                continue;
            }
            let part = open[self.dice.below(open.len())];
            let (source, lines) = &self.logs[part];
            let end = (next[part] + 1 + self.dice.below(60)).min(lines.len());
            let taken = &lines[next[part]..end];
            let texts: Vec<String> = taken.iter().map(|(_, text)| text.clone()).collect();
            let mut chunk = Chunk::of_lines(PartitionId(0), &texts, 0);
            chunk.received_each = taken.iter().map(|(time, _)| *time).collect();
            chunk.offsets = (next[part] as u64..).take(texts.len()).collect();
            chunk.at_end = false;
            let (place, next_offset) = (self.place(part), end as u64);
            let parts = vec![(source.clone(), chunk)];
            if !send(Arrival::Records { place, parts, next: next_offset }) {
                return Ok(());
            }
            next[part] = end;
            if self.dice.below(4) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

/// The three scenarios as logs, one place per source.
fn logs() -> Vec<Log> {
    let generator = Generator::new(1, START);
    let mut lines: Vec<_> = Scenario::ALL.into_iter().flat_map(|s| generator.scenario(s)).collect();
    lines.sort_by_key(|line| line.time_ms);
    let mut logs: BTreeMap<&str, Vec<(i64, String)>> = BTreeMap::new();
    for line in lines {
        logs.entry(line.source).or_default().push((line.time_ms, line.text));
    }
    logs.into_iter().map(|(source, lines)| (source.into(), lines)).collect()
}

struct Bench {
    dir: tempfile::TempDir,
    /// Another directory than its own.
    at: Option<PathBuf>,
    logs: Vec<Log>,
    seed: u64,
    /// Of the last start.
    history: Option<EventHistory>,
}

impl Bench {
    fn new(logs: Vec<Log>) -> Bench {
        Bench { dir: tempfile::tempdir().unwrap(), at: None, logs, seed: 1, history: None }
    }

    fn store(&self) -> FindingStore {
        FindingStore::open(&self.data().join("store"), Retention::default()).unwrap()
    }

    fn data(&self) -> &Path {
        self.at.as_deref().unwrap_or(self.dir.path())
    }

    /// The number that a hunt over the history of the last start gives.
    fn hunted(&self, sql: &str) -> i64 {
        let found = self.history.as_ref().unwrap().hunt(sql, QueryLimits::default()).unwrap();
        assert_eq!(found.gaps, []);
        found.result.batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    fn start(&mut self, content: Content) -> (Service, FindingStore) {
        self.seed += 1;
        self.history = None;
        let store = self.store();
        // Files are written again and again, and put together.
        let disk = DiskSettings {
            dir: self.data().join("history"),
            file_every: Duration::from_millis(40),
            age: Duration::from_secs(3_600),
            bytes: 1 << 30,
            min_free: 0,
        };
        let history = EventHistory::open(disk, 64 << 20, &store).unwrap();
        self.history = Some(history.clone());
        let mut by_source: BTreeMap<Arc<str>, Vec<Log>> = BTreeMap::new();
        for log in &self.logs {
            by_source.entry(log.0.clone()).or_default().push(log.clone());
        }
        let inputs = by_source
            .into_iter()
            .map(|(source, logs)| LiveInput {
                mapping: source.to_string(),
                input: Box::new(Script { name: source, logs, dice: Dice::new(self.seed) }),
                kind: "script",
            })
            .collect();
        let settings = ServiceSettings { checkpoint_every: 30, commit_every: 5, min_free: 0 };
        let service = Service::start(ServiceParts {
            content,
            config: config(),
            inputs,
            store: store.clone(),
            history,
            settings,
        })
        .unwrap();
        (service, store)
    }

    /// Waits until every line is behind the last checkpoint.
    fn finish(&self, service: &Service) -> ServiceStatus {
        let all: u64 = self.logs.iter().map(|(_, lines)| lines.len() as u64).sum();
        for _ in 0..3_000 {
            let status = service.status();
            assert!(!matches!(status.phase, Phase::Failed(_)), "{:?}", status.phase);
            let done: u64 = status.inputs.iter().flat_map(|i| i.positions.values()).sum();
            if done == all {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("not done: {:?}", service.status().inputs);
    }
}

fn config() -> EngineConfig {
    EngineConfig { history: History::None, ..EngineConfig::default() }
}

fn shipped() -> Content {
    Content::load(&["builtin".into()], &["builtin".into()]).unwrap()
}

/// What arrival may change is left out: state, revision, `late`.
fn settled(finding: Finding) -> Finding {
    Finding { state: FindingState::Confirmed, revision: 1, late: false, ..finding }
}

fn kept(store: &FindingStore) -> BTreeMap<FindingId, Finding> {
    let mut found = BTreeMap::new();
    let mut seq = Seq(0);
    loop {
        let (page, next) = store.after(seq, 100).unwrap();
        if page.is_empty() && next == seq {
            return found;
        }
        seq = next;
        for stored in page {
            if stored.finding.state != FindingState::Withdrawn {
                found.insert(stored.finding.id, settled(stored.finding));
            }
        }
    }
}

/// The same logs read as files are, to their end.
fn expected(content: &Content, logs: &[Log]) -> BTreeMap<FindingId, Finding> {
    struct Files(Vec<Partition>, Vec<Delivery>);
    impl Source for Files {
        fn partitions(&self) -> Vec<Partition> {
            self.0.clone()
        }
        fn next(&mut self, _: &Progress) -> Result<Option<Delivery>, EngineError> {
            Ok(self.1.pop())
        }
    }
    let mut source = Files(Vec::new(), Vec::new());
    for (id, (name, lines)) in (0u32..).map(PartitionId).zip(logs) {
        let index = content.sources.iter().position(|s| s.source == *name).unwrap();
        let spec = &content.sources[index];
        source.0.push(Partition {
            id,
            source: Some(index),
            name: None,
            tables: spec.tables(),
            time: spec.time_settings,
        });
        let texts: Vec<String> = lines.iter().map(|(_, text)| text.clone()).collect();
        let mut chunk = Chunk::of_lines(id, &texts, 0);
        chunk.received_each = lines.iter().map(|(time, _)| *time).collect();
        source.1.insert(0, Delivery::End(id));
        source.1.push(Delivery::Records(chunk));
    }
    let engine = Engine {
        rules: Arc::new(content.rule_set()),
        sources: content.sources.clone(),
        config: config(),
    };
    let mut sink = MemorySink::default();
    engine.run(&mut source, &mut sink, &Unobserved, RunOptions::default()).unwrap();
    let net = sink.findings().values().filter(|f| f.state != FindingState::Withdrawn);
    net.map(|f| (f.id, settled(f.clone()))).collect()
}

/// Without what rules over findings find: where inputs only rest, they wait for what is final.
fn of_events(
    content: &Content,
    found: BTreeMap<FindingId, Finding>,
) -> BTreeMap<FindingId, Finding> {
    let over = |f: &Finding| {
        let rule = content.rules.iter().find(|r| r.plan.rule == f.rule_id);
        rule.is_some_and(|r| r.plan.branches.iter().any(|b| b.table.is_findings()))
    };
    found.into_iter().filter(|(_, f)| !over(f)).collect()
}

#[track_caller]
fn same(found: &BTreeMap<FindingId, Finding>, expected: &BTreeMap<FindingId, Finding>) {
    for (id, finding) in expected {
        assert_eq!(found.get(id), Some(finding), "{} {id}", finding.rule_id);
    }
    let surplus: Vec<_> = found.iter().filter(|(id, _)| !expected.contains_key(id)).collect();
    assert!(surplus.is_empty(), "{surplus:#?}");
}

#[test]
fn it_finds_what_a_run_over_the_files_finds_however_often_it_is_stopped() {
    let content = shipped();
    let mut bench = Bench::new(logs());
    let expected = expected(&content, &bench.logs);
    assert!(expected.len() > 30, "{}", expected.len());
    let all: u64 = bench.logs.iter().map(|(_, lines)| lines.len() as u64).sum();
    let mut midway = 0;
    for round in 0..6 {
        let (service, store) = bench.start(shipped());
        // On a busy machine nothing may have been read yet.
        for _ in 0..3_000 {
            let counters = service.status().counters;
            if counters.sources.values().map(|counts| counts.received).sum::<u64>() > 0 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(20 * round));
        service.stop().unwrap();
        let checkpoint = store.checkpoint().unwrap().unwrap();
        let read = checkpoint.positions.iter().filter(|(place, _)| &*place.input != "findings");
        midway += u32::from((1..all).contains(&read.map(|(_, next)| next).sum()));
        assert_eq!(service.status().counters.violations(), Vec::<String>::new());
        drop((service, store));
    }
    assert!(midway >= 2, "stopped {midway} times in the middle");
    let (service, store) = bench.start(shipped());
    let mut status = bench.finish(&service);
    // Everything is durable: inputs that are idle now leave nothing to wait for.
    for _ in 0..3_000 {
        if status.checkpoint.pending_since.is_none() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        status = service.status();
    }
    assert_eq!(status.checkpoint.pending_since, None);
    service.stop().unwrap();
    assert_eq!(status.counters.violations(), Vec::<String>::new());
    same(&of_events(&content, kept(&store)), &of_events(&content, expected));
    // Hunts see the rows of all runs, each once.

    let hunted = bench.hunted("SELECT count(*) FROM events WHERE source = 'okta.system'");
    let distinct = "SELECT count(DISTINCT native_uid) FROM events WHERE source = 'okta.system'";
    assert_eq!((hunted > 100, hunted), (true, bench.hunted(distinct)));
}

/// Where a process that is to be killed finds its data.
const KILLED: &str = "SLUICE_ENGINE_LAYERS_DIR";

/// Refused sign-ins of some users in two places, that a rule finds, and a rule over what it finds, and a
/// rule over that. The last line is days later, so that all before it is final.
fn layered() -> Vec<Log> {
    let mut dice = Dice::new(11);
    let mut places = vec![Vec::new(), Vec::new()];
    let mut now = START;
    for n in 0..1_200_u32 {
        now += dice.below(20_000) as i64;
        let last = n >= 1_198;
        let at = if last { START + 4 * 86_400_000 } else { now - dice.below(60_000) as i64 };
        let user = ["ann", "bob", "carl"][dice.below(3)];
        let result = if last || dice.one_in(3) { "SUCCESS" } else { "FAILURE" };
        let (published, place) = (sluice_event::rfc3339(at), n as usize % 2);
        let line = format!(
            r#"{{"uuid":"u{n}","published":"{published}","eventType":"user.session.start","outcome":{{"result":"{result}"}},"actor":{{"alternateId":"{user}@example.com"}}}}"#
        );
        places[place].push((at, line));
    }
    places.into_iter().map(|lines| ("okta.system".into(), lines)).collect()
}

fn layers() -> Content {
    let folder = tempfile::tempdir().unwrap();
    let rule = |id: &str, sql: &str| {
        let text = format!(
            "/*---\nid: {id}\ntitle: T\nseverity: low\nentity: {{user_entity: user}}\n---*/\n{sql}\n"
        );
        write_rule(folder.path(), id, &text);
    };
    rule("base.refused", "SELECT user_entity, time FROM authentication WHERE status = 'Failure'");
    rule(
        "base.many",
        "SELECT user_entity, count(*) AS n FROM authentication WHERE status = 'Failure' \
         AND user_entity IS NOT NULL GROUP BY user_entity, sliding(time, INTERVAL '5 minutes') \
         HAVING count(*) >= 6",
    );
    rule(
        "over.both",
        "SELECT user_entity, count(*) AS n, max(time) AS time, count(DISTINCT rule_id) AS rules \
         FROM findings GROUP BY user_entity, tumble(time, INTERVAL '20 minutes') \
         HAVING count(DISTINCT rule_id) >= 2",
    );
    rule("top.each", "SELECT user_entity, time FROM findings WHERE rule_id = 'over.both'");
    let content = Content::load(&["builtin".into()], &[folder.path().to_path_buf()]).unwrap();
    let told: Vec<String> =
        content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    content
}

/// Runs until it is killed; only in a process that is told to.
#[test]
fn layers_until_killed() {
    let Some(dir) = std::env::var_os(KILLED) else { return };
    let mut bench = Bench::new(layered());
    bench.at = Some(PathBuf::from(dir));
    bench.seed = u64::from(std::process::id());
    let (_service, _store) = bench.start(layers());
    println!("started");
    thread::sleep(Duration::from_secs(600));
}

#[test]
fn rules_over_findings_find_the_same_however_often_they_are_killed() {
    let mut bench = Bench::new(layered());
    let content = layers();
    let expected = expected(&content, &bench.logs);
    let of = |rule: &str| expected.values().filter(|f| &*f.rule_id == rule).count();
    let counts = ["base.refused", "base.many", "over.both", "top.each"].map(of);
    assert!(counts.iter().all(|n| *n >= 5) && counts[2] == counts[3], "{counts:?}");
    let mut dice = Dice::new(5);
    for _ in 0..4 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["service::layers_until_killed", "--exact", "--nocapture"])
            .env(KILLED, bench.dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::lines(out).map_while(Result::ok).find(|line| line.contains("started"));
        thread::sleep(Duration::from_millis(20 + dice.below(400) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (service, store) = bench.start(layers());
    bench.finish(&service);
    // What is found of the last lines comes after them.
    for _ in 0..3_000 {
        if kept(&store).len() >= expected.len() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    service.stop().unwrap();
    assert_eq!(service.status().counters.violations(), Vec::<String>::new());
    same(&kept(&store), &expected);
    let of = |what: &str| bench.hunted(&format!("SELECT count({what}) FROM authentication"));
    assert_eq!((of("*"), of("DISTINCT native_uid")), (1_200, 1_200), "each row once");
    assert!(bench.history.as_ref().unwrap().stats().tables.values().any(|t| t.file_rows > 0));
}

#[test]
fn rules_change_while_it_runs_and_the_others_do_not_notice() {
    let mut content = shipped();
    // What asks a baseline cannot be loaded without it.
    content.rules.retain(|rule| !matches!(rule.plan.stage, sluice_stream::Stage::Surprise(_)));
    let mut bench = Bench::new(logs());
    let expected = expected(&content, &bench.logs);
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<String> = content.rules.iter().map(|r| r.plan.rule.to_string()).collect();
    for rule in &content.rules {
        write_rule(folder.path(), &rule.plan.rule, &rule.rule.file.text);
    }
    let load = || Content::load(&["builtin".into()], &[folder.path().to_path_buf()]).unwrap();
    let (service, store) = bench.start(load());
    thread::sleep(Duration::from_millis(50));

    // A rule goes, one gets another title, one is broken: then nothing changes.
    let removed = &ids[0];
    fs::remove_file(path(folder.path(), removed)).unwrap();
    let edited = &ids[1];
    let text = content.rules[1].rule.file.text.replace("title: ", "title: Now ");
    write_rule(folder.path(), edited, &text);
    write_rule(folder.path(), &ids[2], "/*---\nid: broken\n---*/ SELECT");
    let report = service.reload(load());
    assert!(!report.applied && !report.problems.is_empty(), "{report:?}");
    assert_eq!(service.status().rules.len(), ids.len());

    write_rule(folder.path(), &ids[2], &content.rules[2].rule.file.text);
    let report = service.reload(load());
    assert!(report.applied, "{report:?}");
    assert_eq!(report.rules.get(removed), Some(&RuleChange::Removed));
    assert_eq!(report.rules.get(edited), Some(&RuleChange::Edited));
    assert_eq!(report.kept, ids.len() as u64 - 2);
    assert_eq!(service.status().rules.len(), ids.len() - 1);
    let unchanged = service.reload(load());
    assert!(unchanged.applied && unchanged.rules.is_empty(), "{unchanged:?}");
    assert_eq!(unchanged.kept, ids.len() as u64 - 1);
    for n in 0..5 {
        write_rule(folder.path(), edited, &text.replace("title: Now ", &format!("title: {n} ")));
        let report = service.reload(load());
        assert!(report.applied, "{report:?}");
        assert_eq!(report.rules.len(), 1, "it was swapped: {report:?}");
    }
    let status = bench.finish(&service);
    service.stop().unwrap();
    assert_eq!(status.counters.violations(), Vec::<String>::new());
    let others = |f: &&Finding| *f.rule_id != *removed.as_str() && *f.rule_id != *edited.as_str();
    let only = |all: BTreeMap<FindingId, Finding>| -> BTreeMap<FindingId, Finding> {
        all.into_iter().filter(|(_, f)| others(&f)).collect()
    };
    same(&of_events(&content, only(kept(&store))), &of_events(&content, only(expected)));
}

#[test]
fn a_dead_letter_is_replayed_when_its_mapping_takes_it() {
    let good = r#"{"uuid":"a1","published":"2026-01-01T00:00:01Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"alternateId":"ann@example.com"}}"#;
    let mut bench = Bench::new(vec![(
        "okta.system".into(),
        vec![
            (START, good.to_owned()),
            (START + 1, "{broken".to_owned()),
            (START + 2, good.replace("a1", "a2")),
        ],
    )]);
    let (service, store) = bench.start(shipped());
    let status = bench.finish(&service);
    assert_eq!(status.counters.sources["okta.system"].received, 3);
    let letters = store.dead_letters(&LetterFilter::default(), None, 10).unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].letter.offset, letters[0].letter.received_at), (1, START + 1));
    let report = service.replay(letters.clone()).unwrap();
    assert_eq!((report.replayed, report.failed.len()), (0, 1));
    let again = store.dead_letter(&letters[0].id).unwrap().unwrap();
    assert_eq!(again.attempts, 1);

    let mut mended = again;
    let text = good.replace("a1", "a3").into_bytes();
    mended.letter.original = sluice_ingest::Original::Whole(text);
    let report = service.replay(vec![mended]).unwrap();
    assert_eq!((report.replayed, report.failed.len()), (1, 0));
    assert!(store.dead_letters(&LetterFilter::default(), None, 10).unwrap().is_empty());
    let counted = service.status().counters.sources;
    assert_eq!(counted["dead-letters"].mapped, 1, "{counted:?}");
    service.stop().unwrap();
}

fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{}.sql", id.replace('.', "/")))
}

fn write_rule(folder: &Path, id: &str, text: &str) {
    let path = path(folder, id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
