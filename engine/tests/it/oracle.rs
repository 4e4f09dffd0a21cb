//! The oracle: whatever streams equals the same SQL run once by DataFusion, however the stream comes.
//!
//! Generated rules of every kind over generated events (ties, NULLs, late and too late rows,
//! repeated native ids, idle partitions, rows exactly on boundaries), streamed whole, cut, shuffled
//! within lateness, on several workers and shards, and saved and restored. Half of the cases are the
//! same in every run, the other half come from a seed of the moment, which is printed. Each kind of
//! rule must have found something: an oracle that agrees on nothing proves nothing. A failure prints
//! the seed of its case: `SLUICE_ORACLE_SEED=<seed> SLUICE_ORACLE_CASES=10 cargo test -p sluice-engine oracle`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_engine::{
    Content, History, LoadedRule, Partition,
    replay::{Dice, Replay, ReplayBuilder},
    rule_test::{Agreement, Bench, agree},
};
use sluice_event::{PartitionId, TimeSettings};

/// Streams per generated rule: compiling is the dear part.
const STREAMS: usize = 10;

/// The cases that every run has.
pub(super) const FIXED_SEED: u64 = 20_260_101;

#[test]
fn generated_rules_give_what_batch_gives() {
    let cases = number("SLUICE_ORACLE_CASES").unwrap_or(1_000) as usize;
    let (seeds, floor) = match number("SLUICE_ORACLE_SEED") {
        Some(seed) => (vec![seed], false),
        None => (vec![FIXED_SEED, seed_of_the_moment()], true),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("oracle: {cases} cases from each of the seeds {seeds:?} on {threads} threads");
    let lookups = lookups();
    let run = |thread: usize| {
        let content = Content::load_with(&[], &[], &[lookups.path().to_path_buf()]).unwrap();
        assert_eq!(content.errors().count(), 0);
        let mut tally = Tally::default();
        let rules = cases.div_ceil(STREAMS);
        for (seed, rule) in seeds.iter().flat_map(|s| (0..rules).map(move |r| (s, r))) {
            if rule % threads == thread {
                let streams = STREAMS.min(cases - rule * STREAMS);
                case(&content, seed + rule as u64, streams, &mut tally);
            }
        }
        tally
    };
    let run = &run;
    let tally = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|t| scope.spawn(move || run(t))).collect();
        handles.into_iter().map(|h| h.join().unwrap()).fold(Tally::default(), Tally::and)
    });
    for (kind, (cases, findings)) in &tally.kinds {
        println!("oracle: {kind}: {cases} cases, {findings} findings");
    }
    let failures = &tally.failures;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    if floor && cases >= 1_000 {
        for kind in KINDS {
            let (cases, findings) = tally.kinds.get(kind).copied().unwrap_or_default();
            assert!(
                cases >= 40 && findings >= cases,
                "{kind}: {cases} cases with {findings} findings prove too little"
            );
        }
    }
}

/// Lookups of every kind of key.
pub(super) fn lookups() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("tier.csv", "user,tier\nann,gold\nBob,silver\nbob,\n"),
        ("person.csv", "user,team\nANN,red\nbob,blue\n"),
        ("person.yaml", "key: user\nmatch: ignore_case\n"),
        ("zone.csv", "net,zone\n10.0.0.0/8,inside\n10.0.0.2/32,lab\n2001:db8::/32,six\n"),
        ("zone.yaml", "key: net\nmatch: cidr\n"),
        ("name.csv", "suffix,kind\nn,ends\nton,long\n"),
        ("name.yaml", "key: suffix\nmatch: suffix\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// What ran: cases and findings by kind of rule, and what went wrong.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<&'static str, (usize, usize)>,
    failures: Vec<String>,
}

impl Tally {
    fn and(mut self, other: Tally) -> Tally {
        for (kind, (cases, findings)) in other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            *sum = (sum.0 + cases, sum.1 + findings);
        }
        self.failures.extend(other.failures);
        self
    }
}

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

pub(super) fn seed_of_the_moment() -> u64 {
    // Far from the fixed seed, and short enough to be typed.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    1_000_000_000 + now.as_millis() as u64 % 1_000_000_000
}

/// One generated rule over several generated streams.
fn case(content: &Content, seed: u64, streams: usize, tally: &mut Tally) {
    let mut dice = Dice::new(seed);
    let shape = Shape::roll(&mut dice);
    let failures = &mut tally.failures;
    let text = shape.file();
    let loaded: LoadedRule = match content.compile("oracle/case.sql", &text) {
        Ok(loaded) => loaded,
        // Conditions that exclude each other are refused, rightly.
        Err(problems)
            if problems
                .iter()
                .filter(|p| p.diagnostic.level == sluice_rule::Level::Error)
                .all(|p| p.diagnostic.code == "R034") =>
        {
            return;
        }
        Err(problems) => {
            let shown: Vec<String> =
                problems.iter().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
            failures.push(format!("seed {seed}: refused\n{}\n{text}", shown.join("\n")));
            return;
        }
    };
    let sum = tally.kinds.entry(shape.kind).or_default();
    for stream in 0..streams {
        let replay = events(shape.size, &mut dice);
        let history = match dice.below(3) {
            0 => History::None,
            _ => History::Since(BASE + dice.below(40) as i64 * shape.size / 10),
        };
        let bench = Bench::new(content, &loaded, history);
        let way = dice.roll();
        let agreement = agree(&bench, &replay, way, true)
            .unwrap_or_else(|e| Agreement { findings: 0, failures: vec![e] });
        *sum = (sum.0 + 1, sum.1 + agreement.findings);
        let wrong = agreement.failures;
        if let Some(first) = wrong.first() {
            failures.push(format!(
                "seed {seed}, stream {stream}: {} differences, first: {first}\n{}",
                wrong.len(),
                shape.sql
            ));
        }
    }
}

/// The kinds of rules that are generated.
const KINDS: [&str; 6] = ["stateless", "first_seen", "sliding", "tumble", "hop", "session"];

/// A generated rule.
struct Shape {
    /// One of [`KINDS`].
    kind: &'static str,
    sql: String,
    /// Window or span, milliseconds.
    size: i64,
}

impl Shape {
    fn roll(dice: &mut Dice) -> Shape {
        let minutes = [1, 5, 10][dice.below(3)];
        let size = minutes * 60_000;
        let filter = condition(dice, 2);
        let key = pick(dice, &["user_name", "src_ip", "src_country", "user_name, src_country"]);
        let number = dice.below(10);
        let kind = match number {
            0 | 1 => "stateless",
            2 => "first_seen",
            3..=5 => "sliding",
            6 | 7 => "tumble",
            8 => "hop",
            _ => "session",
        };
        // A stream asks the lookup row by row, the batch form joins tables.
        let from = match dice.below(6) {
            0 => "authentication JOIN lookup.tier ON tier.user = user_name",
            1 => "authentication LEFT JOIN lookup.tier ON tier.user = user_name",
            _ => "authentication",
        };
        let sql = match number {
            0 | 1 => format!(
                "SELECT user_name, src_ip, status, src_port, time FROM {from} WHERE {filter}"
            ),
            2 => format!(
                "SELECT user_name, src_country, time FROM {from} WHERE {filter} \
                 AND first_seen(INTERVAL '{minutes} minutes', {})",
                pick(dice, &["user_name, src_country", "src_ip", "user_name"])
            ),
            kind => {
                let window = match kind {
                    3..=5 => format!("sliding(time, INTERVAL '{minutes} minutes')"),
                    6 if dice.one_in(2) => format!("date_bin(INTERVAL '{minutes} minutes', time)"),
                    6 | 7 => format!("tumble(time, INTERVAL '{minutes} minutes')"),
                    8 => format!(
                        "hop(time, INTERVAL '{minutes} minutes', INTERVAL '{} minutes')",
                        minutes * 3
                    ),
                    _ => format!("session(time, INTERVAL '{minutes} minutes')"),
                };
                let bare = kind > 5 && dice.one_in(6);
                let having = if bare { String::new() } else { format!(" HAVING {}", having(dice)) };
                format!(
                    "SELECT {key}, count(*) AS n, count(DISTINCT src_ip) AS ips, \
                     sum(src_port) AS total, min(time) AS first_time, max(time) AS last_time, \
                     avg(src_port) AS mean, max(src_country) AS country, \
                     count(*) FILTER (WHERE status = 'Failure') AS failures, \
                     {} \
                     FROM {from} WHERE {filter} GROUP BY {key}, {window}{having}",
                    shown(dice, !window.starts_with("date_bin"))
                )
            }
        };
        Shape { kind, sql, size }
    }

    fn file(&self) -> String {
        format!(
            "/*---\nid: oracle.case\ntitle: Generated\nseverity: low\n---*/\n{}\n",
            self.sql.replace(" FROM ", "\nFROM ").replace(" WHERE ", "\nWHERE ")
        )
    }
}

pub(super) fn pick<'t>(dice: &mut Dice, from: &[&'t str]) -> &'t str {
    from[dice.below(from.len())]
}

pub(super) fn condition(dice: &mut Dice, depth: usize) -> String {
    if depth > 0 && dice.one_in(2) {
        let (a, b) = (condition(dice, depth - 1), condition(dice, depth - 1));
        return match dice.below(5) {
            0 | 1 => format!("({a} AND {b})"),
            2 => format!("({a} OR {b})"),
            3 => format!("NOT ({a})"),
            _ => format!("({a}) IS NOT TRUE"),
        };
    }
    pick(
        dice,
        &[
            "status = 'Failure'",
            "status <> 'Success'",
            "status IN ('Failure', 'Unknown')",
            "status NOT IN ('Success')",
            "user_name LIKE 'a%'",
            "user_name ILIKE '%B%'",
            "user_name NOT LIKE '%n'",
            "icontains(user_name, 'AN', 'ob')",
            "starts_with(user_name, 'b')",
            "regexp_like(user_name, '^[ab]')",
            "user_name IS NOT NULL",
            "user_name IS NULL",
            "src_country = 'NL'",
            "src_country IS NULL",
            "src_port > 40",
            "src_port BETWEEN 20 AND 70",
            "src_port <= 50",
            "is_mfa",
            "is_mfa IS NOT TRUE",
            "lower(user_name) = 'ann'",
            "length(user_name) > 3",
            "cidr_match(src_ip, '10.0.0.0/8')",
            "src_ip <> '192.0.2.1'",
            "json_get_str(unmapped, 'app') = 'mail'",
            "json_get_int(unmapped, 'risk', 'score') > 50",
            "json_contains(unmapped, 'risk')",
            "lookup('tier', user_name, 'tier') = 'gold'",
            "lookup('person', user_name, 'team') <> 'red'",
            "in_lookup('zone', src_ip)",
            "lookup('zone', src_ip, 'zone') IN ('inside', 'six')",
            "in_lookup('name', concat('x.', user_name))",
            "json_any(unmapped, 'tags', '*', v -> v LIKE 'v%')",
            "json_all(unmapped, 'tags', '*', v -> v <> 'lab')",
            "geo_distance_km(src_latitude, src_longitude, 52.5, 13.4) < 1000",
            "array_has(user_groups, 'admins')",
            "array_any_match(user_groups, g -> g LIKE 'a%')",
            "TRUE",
        ],
    )
    .to_owned()
}

fn having(dice: &mut Dice) -> String {
    let n = 1 + dice.below(5);
    let m = 1 + dice.below(3);
    match dice.below(13) {
        11 => format!("array_length(array_agg(DISTINCT src_ip)) >= {m}"),
        12 => "geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), \
               max(src_longitude)) > 500"
            .to_owned(),
        0..=3 => format!("count(*) >= {n}"),
        4 => format!("count(DISTINCT src_ip) >= {m}"),
        5 => format!("count(*) >= {n} AND count(DISTINCT src_ip) >= {m}"),
        6 => format!("count(*) = {n}"),
        7 => format!("count(*) < {n}"),
        8 => format!("avg(src_port) > {}", 30 + 10 * m),
        9 => format!("sum(src_port) > {}", 50 * n),
        _ => format!("count(*) FILTER (WHERE status = 'Failure') >= {m}"),
    }
}

/// More columns of a group; the bounds of a window only where it has a name for them.
fn shown(dice: &mut Dice, bounds: bool) -> String {
    let lists = pick(
        dice,
        &[
            "array_agg(src_ip) AS all_ips, array_agg(DISTINCT src_country) AS countries",
            "array_agg(DISTINCT time) AS times, array_agg(src_port) FILTER (WHERE is_mfa) AS ports",
            "array_to_string(array_agg(DISTINCT user_name), ', ') AS names, \
             json_get_str(max(unmapped), 'app') AS app",
            "geo_distance_km(min(src_latitude), min(src_longitude), max(src_latitude), \
             max(src_longitude)) AS km",
        ],
    );
    let bounds = if bounds { ", window_start AS opened, window_end AS ended" } else { "" };
    format!("{lists}{bounds}")
}

/// 2026-01-01T00:00:00Z, a boundary of every window size used.
pub(super) const BASE: i64 = 1_767_225_600_000;

pub(super) fn events(size: i64, dice: &mut Dice) -> Replay {
    let time = TimeSettings { delay: 10_000, lateness: size / 2, ..TimeSettings::default() };
    let count = 1 + dice.below(3);
    let table = sluice_event::TableName::new("authentication");
    let partitions = (0..count)
        .map(|id| Partition {
            id: PartitionId(id as u32),
            source: None,
            name: None,
            tables: vec![table.clone()],
            time,
        })
        .collect();
    let mut builder = ReplayBuilder::new(partitions);
    let mut now = BASE;
    let rows = dice.below(60);
    let mut earlier: Vec<(i64, BTreeMap<String, Value>)> = Vec::new();
    for row in 0..rows {
        now += match dice.below(8) {
            0 | 1 => 0,
            2 => size / 10,
            3 => size / 3,
            4 => size - (now - BASE).rem_euclid(size),
            5 => size,
            _ => dice.below(20_000) as i64,
        };
        let at = match dice.below(12) {
            0 => now - size / 2,
            1 => now - size / 2 - 1,
            2 => now - size / 2 + 1,
            3 => now - size * 2,
            4 => now - dice.below(15_000) as i64,
            _ => now,
        };
        let (at, columns) = match earlier.len() {
            0 => (at, columns(dice, row)),
            n if dice.one_in(10) => earlier[dice.below(n)].clone(),
            _ => (at, columns(dice, row)),
        };
        earlier.push((at, columns.clone()));
        let partition = PartitionId(dice.below(count) as u32);
        builder.row(partition, &table, at, &columns).unwrap();
    }
    builder.finish().unwrap()
}

fn columns(dice: &mut Dice, row: usize) -> BTreeMap<String, Value> {
    let or_null = |dice: &mut Dice, value: Value| if dice.one_in(6) { Value::Null } else { value };
    let user = json!(pick(dice, &["ann", "bob", "Bob", "anton", "carol", ""]));
    let ip = json!(pick(dice, &["10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2", "2001:db8::1"]));
    let country = json!(pick(dice, &["NL", "DE", "FR"]));
    let status = json!(pick(dice, &["Success", "Failure", "Failure", "Unknown"]));
    let mut columns = BTreeMap::from([
        ("user_name".to_owned(), or_null(dice, user)),
        ("src_ip".to_owned(), or_null(dice, ip)),
        ("src_country".to_owned(), or_null(dice, country)),
        ("status".to_owned(), or_null(dice, status)),
        ("src_port".to_owned(), json!(dice.below(100))),
        ("is_mfa".to_owned(), json!(dice.one_in(2))),
    ]);
    let score = dice.below(100);
    let risk = or_null(dice, json!({ "score": score }));
    let tags: Vec<&str> = (0..dice.below(3)).map(|_| pick(dice, &["vip", "lab", "va"])).collect();
    let app = pick(dice, &["mail", "hr"]);
    let unmapped = json!({ "app": app, "tags": tags, "risk": risk }).to_string();
    columns.insert("unmapped".to_owned(), or_null(dice, json!(unmapped)));
    let (latitude, longitude) = [(52.5, 13.4), (48.1, 11.6), (-33.9, 151.2)][dice.below(3)];
    columns.insert("src_latitude".to_owned(), or_null(dice, json!(latitude)));
    columns.insert("src_longitude".to_owned(), or_null(dice, json!(longitude)));
    let groups: Vec<&str> = (0..dice.below(3)).map(|_| pick(dice, &["admins", "dev"])).collect();
    columns.insert("user_groups".to_owned(), json!(groups));
    if dice.one_in(2) {
        columns.insert("native_uid".to_owned(), json!(format!("id-{row}")));
    }
    let port = columns["src_port"].clone();
    columns.insert("src_port".to_owned(), or_null(dice, port));
    columns
}
