//! The history over crashes, damage, full disks and retention: a hunt sees every row once, or says which
//! are missing.

mod losses;
mod packed;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Int64Type, TimeUnit},
};
use sluice_event::{EventBatch, Origin, PartitionId, Records, Schema, TableName, TimeSettings};
use sluice_sql::{Cancel, QueryLimits, SqlError};

use super::{DiskSettings, EventHistory, HuntResult, Loss, reader::conform};
use crate::{
    Checkpoint, CheckpointSink, Delivery, Progress, Source,
    durable::{FindingStore, Retention},
    replay::Dice,
};

const START: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;
const TABLE: &str = "authentication";
const ALL: (Option<i64>, Option<i64>) = (None, None);

/// A history on disk with its store, as a process has them.
struct Bench {
    dir: tempfile::TempDir,
    settings: DiskSettings,
    table_bytes: usize,
    /// The last checkpoint that is durable.
    epoch: u64,
    open: Option<(FindingStore, EventHistory)>,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let settings = DiskSettings {
            dir: dir.path().join("history"),
            file_every: Duration::from_secs(3_600),
            age: Duration::from_secs(86_400),
            bytes: 1 << 30,
            min_free: 0,
        };
        let mut bench = Bench { dir, settings, table_bytes: 64 << 20, epoch: 0, open: None };
        bench.restart();
        bench
    }

    /// Ends the process wherever it is, and begins another one.
    fn restart(&mut self) {
        self.open = None;
        let store = self.store();
        let history = EventHistory::open(self.settings.clone(), self.table_bytes, &store).unwrap();
        history.begin(self.epoch);
        self.open = Some((store, history));
    }

    fn store(&self) -> FindingStore {
        FindingStore::open(&self.dir.path().join("store"), Retention::default()).unwrap()
    }

    fn history(&self) -> &EventHistory {
        &self.open.as_ref().unwrap().1
    }

    /// Adds rows, as a worker does.
    fn push(&self, batch: &EventBatch) {
        self.history().push_before(self.epoch + 1, batch);
    }

    fn checkpoint(&mut self) {
        let (store, history) = self.open.as_ref().unwrap();
        let epoch = self.epoch + 1;
        let changes = history.seal(epoch);
        let checkpoint = Checkpoint { epoch, history: changes, ..Checkpoint::default() };
        store.history_list().keep(checkpoint).unwrap();
        history.kept(epoch);
        self.epoch = epoch;
    }

    /// A checkpoint of which everything but the batch of the store is written.
    fn half_a_checkpoint(&self) {
        self.history().seal(self.epoch + 1);
    }

    fn hunt(&self, sql: &str) -> HuntResult {
        hunt(self.history(), sql, ALL)
    }

    fn users(&self) -> Vec<String> {
        let found = self.hunt("SELECT user_name FROM authentication ORDER BY user_name");
        assert_eq!(found.gaps, []);
        texts(&found)
    }

    /// Parquet files there are, with their paths in order.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.settings.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|e| e == "parquet") => found.push(path),
                    false => {}
                }
            }
        }
        found.sort();
        found
    }

    fn tails(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.settings.dir.join("tail"));
        folder.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

fn hunt(history: &EventHistory, sql: &str, between: (Option<i64>, Option<i64>)) -> HuntResult {
    let limits = QueryLimits { rows: 1_000_000, ..QueryLimits::default() };
    history.hunt_between(sql, between, limits, &Cancel::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn texts(found: &HuntResult) -> Vec<String> {
    let batches = found.result.batches.iter();
    batches
        .flat_map(|b| b.column(0).as_string::<i32>().iter().map(|v| v.unwrap().to_owned()))
        .collect()
}

fn number(found: &HuntResult) -> i64 {
    found.result.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Sign-ins of these users at these times.
fn sign_ins(rows: &[(i64, String)]) -> EventBatch {
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|(time, _)| *time));
    let time: ArrayRef = Arc::new(times.with_timezone("UTC"));
    let user: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, u)| u)));
    let source: ArrayRef =
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "okta.system")));
    let columns = [("time", time), ("user_name", user), ("source", source)];
    let schema = Schema::builtin().table(TABLE).unwrap().arrow.clone();
    batch(TABLE, conform(&RecordBatch::try_from_iter(columns).unwrap(), &schema).unwrap())
}

fn batch(table: &str, columns: RecordBatch) -> EventBatch {
    let rows = columns.num_rows();
    EventBatch {
        table: TableName::new(table),
        columns,
        origin: Arc::new(Origin {
            source: "okta.system".into(),
            tenant: "default".into(),
            partition: PartitionId(0),
            time: TimeSettings::default(),
        }),
        records: Records::new(Vec::<u8>::new().into(), Vec::new()),
        record: vec![0; rows],
        sub_index: vec![0; rows],
        seen_before: vec![i64::MIN; rows],
    }
}

/// So many users, a minute apart.
fn users(from: i64, count: i64) -> Vec<(i64, String)> {
    (from..from + count).map(|n| (START + n * 60_000, format!("user{n:06}"))).collect()
}

#[test]
fn every_row_is_there_once_wherever_the_process_ends() {
    let seed = std::env::var("SLUICE_ORACLE_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut dice = Dice::new(seed);
    let mut bench = Bench::new();
    bench.settings.file_every = Duration::from_millis(20);
    bench.restart();
    let (mut covered, mut open, mut next) = (Vec::new(), Vec::new(), 0);
    let (mut crashes, mut most_files) = (0, 0);
    for step in 0..400 {
        match dice.below(10) {
            0..=4 => {
                // Of two hours, so that a checkpoint has rows for two files.
                let count = 1 + dice.below(40) as i64;
                let rows = users(next, count);
                next += count;
                bench.push(&sign_ins(&rows));
                open.extend(rows);
            }
            5 | 6 => {
                bench.checkpoint();
                covered.append(&mut open);
            }
            7 => bench.history().write_files(),
            _ => {
                if dice.one_in(2) {
                    bench.half_a_checkpoint();
                }
                if let (true, Some(file)) = (dice.one_in(2), bench.files().first()) {
                    // A file that was written and not listed.
                    fs::copy(file, file.with_file_name(format!("{:012}.parquet", 900_000 + step)))
                        .unwrap();
                }
                bench.restart();
                crashes += 1;
                // What no checkpoint covers is read again, in other batches.
                for rows in open.chunks(1 + dice.below(30)) {
                    bench.push(&sign_ins(rows));
                }
            }
        }
        most_files = most_files.max(bench.files().len());
        if step % 20 == 0 {
            let expected: Vec<String> =
                covered.iter().chain(&open).map(|(_, user): &(i64, String)| user.clone()).collect();
            assert_eq!(bench.users(), expected, "seed {seed}, step {step}");
        }
    }
    assert!(crashes > 30 && most_files > 10 && covered.len() > 1_000, "{crashes} {most_files}");
    bench.checkpoint();
    bench.history().write_files();
    assert_eq!(bench.tails(), [] as [PathBuf; 0], "everything is in files");
    assert_eq!(bench.users().len() as i64, next);
}

#[test]
fn only_files_that_may_have_rows_are_opened() {
    let mut bench = Bench::new();
    for hour in 0..6 {
        bench.push(&sign_ins(&users(hour * 60, 60)));
    }
    bench.push(&sign_ins(&[(START + 2 * HOUR, "late".to_owned())]));
    bench.checkpoint();
    bench.history().write_files();
    bench.push(&sign_ins(&users(360, 10)));
    let paths: Vec<String> = bench.files().iter().map(|p| p.display().to_string()).collect();
    assert_eq!(paths.len(), 6);
    assert!(
        paths[2].contains("/history/table=authentication/date=2026-01-01/hour=02/"),
        "{paths:?}"
    );
    let count = "SELECT count(*) FROM authentication";
    let all = bench.hunt(count);
    assert_eq!((number(&all), all.files_scanned, all.rows_scanned), (371, 6, 371));
    let between = (Some(START + HOUR), Some(START + 3 * HOUR));
    let some = hunt(bench.history(), count, between);
    assert_eq!((number(&some), some.files_scanned, some.rows_scanned), (121, 2, 121));
    let told = "SELECT count(*) FROM authentication WHERE time >= TIMESTAMP '2026-01-01T04:30:00Z'";
    let told = bench.hunt(told);
    assert_eq!((number(&told), told.files_scanned), (90 + 10, 2));
    let union = hunt(bench.history(), "SELECT count(*) FROM events", between);
    assert_eq!((number(&union), union.files_scanned), (121, 2));
    assert_eq!(all.covers_from[&TableName::new(TABLE)], Some(START));
    // Columns that are not asked for cost nothing.
    let narrow = bench.hunt("SELECT user_name FROM authentication").bytes_scanned;
    let wide = bench.hunt("SELECT * FROM authentication").bytes_scanned;
    assert!(narrow * 3 < wide, "{narrow} {wide}");
}

#[test]
fn small_files_of_an_hour_are_put_together() {
    let mut bench = Bench::new();
    for n in 0..20 {
        bench.push(&sign_ins(&users(n, 1)));
        bench.checkpoint();
        bench.history().write_files();
    }
    assert!(bench.files().len() < 8, "{:?}", bench.files());
    assert_eq!(bench.users().len(), 20);
    bench.restart();
    assert_eq!(bench.users().len(), 20);
}

#[test]
fn retention_drops_the_oldest_and_answers_say_since_when_they_are_complete() {
    let mut bench = Bench::new();
    for hour in 0..6 {
        bench.push(&sign_ins(&users(hour * 60, 60)));
    }
    bench.checkpoint();
    bench.history().write_files();
    let sizes: Vec<u64> = bench.files().iter().map(|p| fs::metadata(p).unwrap().len()).collect();
    bench.settings.bytes = sizes[2..].iter().sum::<u64>() + 1;
    bench.restart();
    bench.history().write_files();
    let table = TableName::new(TABLE);
    for _ in 0..2 {
        let found = bench.hunt("SELECT count(*) FROM authentication");
        assert_eq!((number(&found), found.gaps.len()), (240, 0));
        assert_eq!(found.covers_from[&table], Some(START + 2 * HOUR));
        assert_eq!(bench.files().len(), 4);
        let stats = bench.history().stats().tables[&table].clone();
        assert_eq!((stats.dropped_rows, stats.dropped_bytes), (120, sizes[0] + sizes[1]));
        bench.restart();
    }
    // A late row of an hour that was dropped does not make it complete.
    bench.push(&sign_ins(&[(START + 60_000, "late".to_owned())]));
    let found = bench.hunt("SELECT count(*) FROM authentication");
    assert_eq!(number(&found), 241);
    assert_eq!(found.covers_from[&table], Some(START + HOUR + 59 * 60_000 + 1));
    bench.settings.age = Duration::ZERO;
    bench.restart();
    std::thread::sleep(Duration::from_millis(5));
    bench.history().write_files();
    let found = bench.hunt("SELECT count(*) FROM authentication");
    assert_eq!((number(&found), found.covers_from[&table], bench.files().len()), (0, None, 0));
}

#[test]
fn files_of_an_older_schema_are_null_where_they_have_no_column() {
    let mut bench = Bench::new();
    let whole = sign_ins(&users(0, 3));
    let time = whole.columns.column_by_name("time").unwrap().clone();
    let name = whole.columns.column_by_name("user_name").unwrap().clone();
    let narrow =
        || RecordBatch::try_from_iter([("time", time.clone()), ("user_name", name.clone())]);
    bench.push(&batch(TABLE, narrow().unwrap()));
    // A column of another type then, and one that nobody knows any more.
    let odd: ArrayRef = Arc::new(Int32Array::from(vec![7, 8, 9]));
    let odd = RecordBatch::try_from_iter([
        ("time", time.clone()),
        ("user_name", name.clone()),
        ("src_port", Arc::new(StringArray::from(vec!["1", "2", "3"])) as ArrayRef),
        ("long_gone", odd),
    ]);
    bench.push(&batch(TABLE, odd.unwrap()));
    // A raw table has the columns of its rows.
    let raw = |columns: Vec<(&str, ArrayRef)>| {
        batch("raw.okta_system", RecordBatch::try_from_iter(columns).unwrap())
    };
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    bench.push(&raw(vec![("uuid", text("a"))]));
    for _ in 0..2 {
        let found = bench.hunt(
            "SELECT count(*) FROM authentication WHERE event_code IS NULL AND user_name IS NOT NULL",
        );
        assert_eq!((number(&found), found.gaps.len()), (6, 0));
        let ports = bench.hunt("SELECT max(src_port) + 0 FROM authentication");
        assert_eq!(ports.result.batches[0].num_rows(), 1);
        assert_eq!(number(&bench.hunt("SELECT count(uuid) FROM raw.okta_system")), 1);
        bench.checkpoint();
        bench.history().write_files();
    }
    assert_eq!(bench.files().len(), 2);
    bench.push(&raw(vec![("uuid", text("b")), ("actor", text("ann"))]));
    let found = bench.hunt("SELECT count(*) FROM raw.okta_system WHERE actor IS NULL");
    assert_eq!(number(&found), 1);
}

#[test]
fn a_hunt_over_more_than_its_memory_is_answered_or_refused_by_name() {
    let mut bench = Bench::new();
    // Of one hour: a file for each of many would be what takes the time.
    for n in 0..20 {
        let rows =
            users(n * 5_000, 5_000).into_iter().map(|(time, user)| (START + time % HOUR, user));
        bench.push(&sign_ins(&rows.collect::<Vec<_>>()));
    }
    bench.checkpoint();
    bench.history().write_files();
    let limits = QueryLimits {
        memory: 4 << 20,
        deadline: Duration::from_secs(600),
        ..QueryLimits::default()
    };
    let run = |sql: &str| bench.history().hunt(sql, limits);
    let found = run("SELECT count(*), count(user_name) FROM authentication").unwrap();
    assert_eq!(number(&found), 100_000);
    let bytes = found.bytes_scanned;
    assert!(bytes > 1 << 20, "{bytes}");
    let error =
        run("SELECT user_name, count(*) FROM authentication GROUP BY 1 ORDER BY 2").unwrap_err();
    assert!(matches!(error, SqlError::Limit(_)), "{error:?}");
}

#[test]
fn events_that_came_while_it_was_off_are_a_gap() {
    let mut bench = Bench::new();
    let now = crate::clock::clock();
    bench.push(&sign_ins(&[(now - 1_000, "ann".to_owned())]));
    bench.checkpoint();
    bench.open = None;
    let store = bench.store();
    bench.epoch += 1;
    let checkpoint = Checkpoint { epoch: bench.epoch, ..Checkpoint::default() };
    store.history_list().keep(checkpoint).unwrap();
    drop(store);
    bench.restart();
    let found = bench.hunt("SELECT count(*) FROM authentication");
    let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
    assert_eq!((number(&found), gap.loss, gap.rows), (1, Loss::Off, 0));
    assert!(gap.times.unwrap().1 >= now);
    bench.checkpoint();
    bench.restart();
    assert_eq!(bench.hunt("SELECT count(*) FROM authentication").gaps.len(), 1);
}

#[test]
fn it_can_be_read_again_hour_by_hour() {
    let mut bench = Bench::new();
    bench.push(&sign_ins(&users(100, 100)));
    bench.checkpoint();
    bench.history().write_files();
    bench.push(&sign_ins(&users(0, 100)));
    bench.push(&batch("dns", {
        let dns = Schema::builtin().table("dns").unwrap().arrow.clone();
        conform(&sign_ins(&users(0, 1)).columns, &dns).unwrap()
    }));
    let tables = [TableName::new(TABLE)].into();
    let mut source = bench.history().source(&tables, "default");
    assert_eq!(source.partitions().len(), 1);
    let progress = Progress::new(1);
    let (mut times, mut uids, mut ended) = (Vec::new(), std::collections::BTreeSet::new(), 0);
    while let Some(delivery) = source.next(&progress).unwrap() {
        match delivery {
            Delivery::Rows(rows) => {
                assert_eq!((&*rows.origin.source, rows.table.as_str()), ("okta.system", TABLE));
                uids.extend((0..rows.len()).map(|row| rows.uid(row).to_string()));
                times.extend(rows.times().to_vec());
            }
            Delivery::End(_) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((times.len(), uids.len(), ended), (200, 200, 1));
    let hours: Vec<i64> = times.iter().map(|time| time / HOUR).collect();
    assert!(hours.is_sorted());
    assert!(source.gaps().is_empty() && source.rows() == 200);
}

#[test]
fn times_are_those_of_the_schema() {
    let kind = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!(sign_ins(&users(0, 1)).columns.column_by_name("time").unwrap().data_type(), &kind);
}

#[test]
fn a_hunt_finds_a_row_by_the_identity_that_findings_show() {
    let mut bench = Bench::new();
    let mut rows = sign_ins(&users(0, 90));
    let text: Vec<u8> = (0..90).flat_map(|n| format!("{n:02}").into_bytes()).collect();
    rows.records = Records::new(text.into(), (0..90).map(|n| 2 * n..2 * n + 2).collect());
    rows.record = (0..90).collect();
    bench.push(&rows);
    let shown = |row: usize| {
        let row = rows.evidence(row);
        let uid = row.split_once("\"event_uid\":\"").and_then(|(_, uid)| uid.get(..32));
        uid.map(str::to_owned).unwrap_or_else(|| panic!("{row}"))
    };
    let found = |bench: &Bench, row: usize| {
        let uid = shown(row);
        let sql = format!("SELECT user_name FROM authentication WHERE event_uid = '{uid}'");
        texts(&bench.hunt(&sql))
    };
    let is_found = |bench: &Bench, place: &str| {
        for row in [0, 59, 60, 89] {
            assert_eq!(found(bench, row), [format!("user{row:06}")], "{place}");
        }
    };
    is_found(&bench, "in memory");
    let wide = bench.hunt("SELECT * FROM authentication").bytes_scanned;
    assert!(bench.hunt("SELECT user_name FROM authentication").bytes_scanned * 3 < wide);
    bench.checkpoint();
    is_found(&bench, "in memory and in the file of a checkpoint");
    bench.restart();
    is_found(&bench, "read from the file of a checkpoint");
    bench.history().write_files();
    assert_eq!((bench.files().len(), bench.tails().len()), (2, 0));
    is_found(&bench, "in Parquet files");
    bench.restart();
    is_found(&bench, "in Parquet files, after a restart");
}
