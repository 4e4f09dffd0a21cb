//! Batch lowering of windows and `first_seen` against models that read like their definitions.

use std::collections::{BTreeMap, BTreeSet};

use sluice_event::Encoder;
use sluice_sql::{BatchFindings, batch};

use crate::support::{Chance, Row, authentication, random_rows, texts};

/// Rows of a result as text, sorted, the key first as hex.
fn rows(found: &BatchFindings, columns: &[&str]) -> Vec<Vec<String>> {
    let columns: Vec<_> = columns.iter().map(|c| texts(&found.rows, c)).collect();
    let mut rows: Vec<Vec<String>> = (0..found.rows.num_rows())
        .map(|i| {
            let values = columns.iter().map(|c| c[i].clone().unwrap_or_else(|| "NULL".to_owned()));
            std::iter::once(hex(&found.key[i])).chain(values).collect()
        })
        .collect();
    rows.sort();
    rows
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn window_key(user: Option<&str>, kind: &str, size: i64, start: i64) -> String {
    let mut key = Encoder::default();
    match user {
        Some(user) => key.text(user),
        None => key.null(),
    }
    key.text(kind);
    key.int(size);
    key.time(start);
    hex(&key.into_bytes())
}

fn row_key(uid: u128) -> String {
    let mut key = Encoder::default();
    key.bytes(&uid.to_be_bytes());
    hex(&key.into_bytes())
}

fn by_user(rows: &[Row]) -> BTreeMap<Option<String>, Vec<Row>> {
    let mut users: BTreeMap<Option<String>, Vec<Row>> = BTreeMap::new();
    for row in rows {
        users.entry(row.user.clone()).or_default().push(row.clone());
    }
    users
}

/// count(*), count(DISTINCT src_ip), min(time), max(time), rows with status s1.
struct Summary {
    count: usize,
    ips: usize,
    first: i64,
    last: i64,
    s1: usize,
}

fn summary<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Summary {
    let rows: Vec<&Row> = rows.into_iter().collect();
    Summary {
        count: rows.len(),
        ips: rows.iter().filter_map(|r| r.ip.as_ref()).collect::<BTreeSet<_>>().len(),
        first: rows.iter().map(|r| r.time).min().unwrap_or(0),
        last: rows.iter().map(|r| r.time).max().unwrap_or(0),
        s1: rows.iter().filter(|r| r.status.as_deref() == Some("s1")).count(),
    }
}

impl Summary {
    fn line(&self, key: String, user: Option<&str>, window: (i64, i64)) -> Vec<String> {
        [
            key,
            user.unwrap_or("NULL").to_owned(),
            self.count.to_string(),
            self.ips.to_string(),
            self.first.to_string(),
            self.last.to_string(),
            self.s1.to_string(),
            window.0.to_string(),
            window.1.to_string(),
        ]
        .into()
    }
}

fn select(window: &str, having: &str) -> String {
    format!(
        "SELECT user_name, n, ips, f, l, s1, w['start'] AS ws, w['end'] AS we FROM ( \
         SELECT user_name, {window} AS w, count(*) AS n, count(DISTINCT src_ip) AS ips, \
         min(time) AS f, max(time) AS l, count(*) FILTER (WHERE status = 's1') AS s1 \
         FROM authentication GROUP BY user_name, w {having}) x"
    )
}

const COLUMNS: &[&str] = &["user_name", "n", "ips", "f", "l", "s1", "ws", "we"];

/// Runs `cases` random tables and compares with the model.
#[track_caller]
fn check(
    cases: u64,
    sql: impl Fn(i64, usize) -> String,
    model: impl Fn(&[Row], i64, usize) -> Vec<Vec<String>>,
) {
    let mut total = 0;
    for seed in 0..cases {
        let mut chance = Chance(seed);
        let data = random_rows(&mut chance);
        let size = (1 + chance.below(12) as i64) * 1000;
        let least = 1 + chance.below(4) as usize;
        let tables = authentication(&data, 1 + chance.below(30) as usize);
        let sql = sql(size, least);
        let found =
            batch(&sql, &tables, None).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{sql}"));
        let mut expect = model(&data, size, least);
        expect.sort();
        total += expect.len();
        assert_eq!(rows(&found, COLUMNS), expect, "seed {seed}\n{sql}\n{data:#?}");
    }
    assert!(total > cases as usize, "the cases found too little: {total}");
}

fn interval(millis: i64) -> String {
    format!("INTERVAL '{} seconds'", millis / 1000)
}

#[test]
fn sliding_is_the_latest_qualifying_row_of_each_cell() {
    check(
        60,
        |size, least| {
            select(
                &format!("sliding(time, {})", interval(size)),
                &format!("HAVING count(*) >= {least} AND count(DISTINCT src_ip) >= 1"),
            )
        },
        |rows, size, least| {
            let mut lines = Vec::new();
            for (user, rows) in by_user(rows) {
                let mut cells: BTreeMap<i64, (i64, Summary)> = BTreeMap::new();
                for row in &rows {
                    let window =
                        rows.iter().filter(|r| r.time >= row.time - size && r.time <= row.time);
                    let summary = summary(window);
                    if summary.count < least || summary.ips < 1 {
                        continue;
                    }
                    let cell = row.time.div_euclid(size) * size;
                    if cells.get(&cell).is_none_or(|(time, _)| *time < row.time) {
                        cells.insert(cell, (row.time, summary));
                    }
                }
                for (cell, (time, summary)) in cells {
                    let key = window_key(user.as_deref(), "sliding", size, cell);
                    lines.push(summary.line(key, user.as_deref(), (time - size, time)));
                }
            }
            lines
        },
    );
}

#[test]
fn tumble_is_a_group_per_window() {
    check(
        40,
        |size, least| {
            select(
                &format!("tumble(time, {})", interval(size)),
                &format!("HAVING count(*) >= {least}"),
            )
        },
        |rows, size, least| hopping(rows, "tumble", size, size, least),
    );
}

#[test]
fn hop_is_a_group_per_overlapping_window() {
    check(
        40,
        |slide, least| {
            select(
                &format!("hop(time, {}, {})", interval(slide), interval(slide * 3)),
                &format!("HAVING count(*) >= {least}"),
            )
        },
        |rows, slide, least| hopping(rows, "hop", slide, slide * 3, least),
    );
}

fn hopping(rows: &[Row], kind: &str, slide: i64, size: i64, least: usize) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for (user, rows) in by_user(rows) {
        let starts: BTreeSet<i64> = (-300..300).map(|n| n * slide).collect();
        for start in starts {
            let summary = summary(rows.iter().filter(|r| r.time >= start && r.time < start + size));
            if summary.count >= least {
                let key = window_key(user.as_deref(), kind, size, start);
                lines.push(summary.line(key, user.as_deref(), (start, start + size)));
            }
        }
    }
    lines
}

#[test]
fn session_is_cut_where_the_silence_is_longer_than_the_gap() {
    check(
        40,
        |gap, least| {
            let gap = interval(gap.min(3000));
            select(&format!("session(time, {gap})"), &format!("HAVING count(*) >= {least}"))
        },
        |rows, gap, least| {
            let gap = gap.min(3000);
            let mut lines = Vec::new();
            for (user, mut rows) in by_user(rows) {
                rows.sort_by_key(|r| r.time);
                let mut sessions: Vec<Vec<Row>> = Vec::new();
                for row in rows {
                    match sessions.last_mut() {
                        Some(s) if row.time - s[s.len() - 1].time <= gap => s.push(row),
                        _ => sessions.push(vec![row]),
                    }
                }
                for session in sessions.iter().filter(|s| s.len() >= least) {
                    let summary = summary(session);
                    let key = window_key(user.as_deref(), "session", gap, summary.first);
                    let window = (summary.first, summary.last + gap);
                    lines.push(summary.line(key, user.as_deref(), window));
                }
            }
            lines
        },
    );
}

#[test]
fn first_seen_looks_back_over_rows_that_pass_the_other_conditions() {
    let mut total = 0;
    for seed in 0..80 {
        let mut chance = Chance(seed);
        let data = random_rows(&mut chance);
        let span = (1 + chance.below(20) as i64) * 1000;
        let start = (chance.below(2) == 0).then(|| chance.below(30) as i64 * 1000 - 20_000);
        let tables = authentication(&data, 1 + chance.below(30) as usize);
        let sql = format!(
            "SELECT a.user_name, a.src_ip, a.time FROM authentication a \
             WHERE a.status = 's1' AND first_seen({}, a.user_name, lower(a.src_ip))",
            interval(span)
        );
        let found = batch(&sql, &tables, start).unwrap();
        let passed: Vec<&Row> = data.iter().filter(|r| r.status.as_deref() == Some("s1")).collect();
        let mut expect: Vec<Vec<String>> = passed
            .iter()
            .filter(|e| e.user.is_some() && e.ip.is_some())
            .filter(|e| start.is_none_or(|start| e.time - span >= start))
            .filter(|e| {
                !passed.iter().any(|r| {
                    (&r.user, &r.ip) == (&e.user, &e.ip)
                        && (r.time, r.uid) < (e.time, e.uid)
                        && r.time >= e.time - span
                })
            })
            .map(|e| {
                vec![
                    row_key(e.uid),
                    e.user.clone().unwrap(),
                    e.ip.clone().unwrap(),
                    e.time.to_string(),
                ]
            })
            .collect();
        expect.sort();
        total += expect.len();
        assert_eq!(
            rows(&found, &["user_name", "src_ip", "time"]),
            expect,
            "seed {seed}\n{data:#?}"
        );
    }
    assert!(total > 80);
}

#[test]
fn stateless_rows_are_keyed_by_their_event() {
    let mut chance = Chance(5);
    let data: Vec<Row> = (0..3).flat_map(|_| random_rows(&mut chance)).collect();
    let tables = authentication(&data, 7);
    let expect = |keep: &dyn Fn(&Row) -> bool| {
        let mut keys: Vec<_> = data.iter().filter(|r| keep(r)).map(|r| row_key(r.uid)).collect();
        keys.sort();
        keys
    };
    for (sql, keep) in [
        (
            "SELECT user_name AS who FROM authentication WHERE status = 's1'",
            (&|r: &Row| r.status.as_deref() == Some("s1")) as &dyn Fn(&Row) -> bool,
        ),
        (
            "WITH x AS (SELECT user_name AS who, status AS s FROM events) \
             SELECT who FROM x WHERE s = 's1' AND who = 'u1'",
            &|r| r.status.as_deref() == Some("s1") && r.user.as_deref() == Some("u1"),
        ),
        (
            "SELECT user_name AS who FROM authentication WHERE status = 's1' UNION ALL \
             SELECT src_ip AS who FROM authentication WHERE status = 's2'",
            &|r| r.status.is_some(),
        ),
    ] {
        let found = batch(sql, &tables, None).unwrap();
        assert_eq!(found.rows.num_columns(), 1, "{sql}");
        let mut keys: Vec<String> = found.key.iter().map(|k| hex(k)).collect();
        keys.sort();
        assert_eq!(keys, expect(keep), "{sql}");
    }
}

#[test]
fn absence_and_chains_are_keyed_by_the_outer_row() {
    let row = |uid, time, user: &str, status: &str| Row {
        uid,
        time,
        user: Some(user.into()),
        status: Some(status.into()),
        ip: None,
    };
    let day = 86_400_000;
    let data = [
        row(1, 0, "a", "s1"),
        row(2, day / 2, "a", "s2"),
        row(3, 0, "b", "s1"),
        row(4, 3 * day, "b", "s2"),
    ];
    let tables = authentication(&data, 2);
    let sql = |exists: &str| {
        format!(
            "SELECT a.user_name FROM authentication a WHERE a.status = 's1' AND {exists} ( \
             SELECT 1 FROM authentication b WHERE b.status = 's2' AND b.user_name = a.user_name \
             AND b.time >= a.time AND b.time - a.time <= INTERVAL '1 day')"
        )
    };
    for (exists, uid) in [("EXISTS", 1), ("NOT EXISTS", 3)] {
        let found = batch(&sql(exists), &tables, None).unwrap();
        let keys: Vec<_> = found.key.iter().map(|k| hex(k)).collect();
        assert_eq!(keys, [row_key(uid)], "{exists}: three days are not less than one");
    }
}

#[test]
fn every_way_to_write_a_window_gives_the_same_keys() {
    let mut chance = Chance(11);
    let data: Vec<Row> = (0..3).flat_map(|_| random_rows(&mut chance)).collect();
    let tables = authentication(&data, 16);
    let keys = |sql: &str| -> Vec<String> {
        let found = batch(sql, &tables, None).unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let mut keys: Vec<String> = found.key.iter().map(|k| hex(k)).collect();
        assert_eq!(keys.len(), found.rows.num_rows());
        keys.sort();
        keys
    };
    let size = "INTERVAL '5 seconds'";
    let expect = keys(&format!(
        "SELECT user_name, tumble(time, {size}) AS w, count(*) AS n FROM authentication \
         GROUP BY user_name, w HAVING n > 1"
    ));
    assert!(expect.len() > 3);
    for sql in [
        format!(
            "SELECT user_name, tumble(time, {size})['start'] AS s, count(*) AS n FROM authentication GROUP BY user_name, tumble(time, {size}) HAVING count(*) > 1"
        ),
        format!(
            "SELECT a.user_name FROM authentication a GROUP BY tumble(a.time, {size}), a.user_name HAVING count(*) > 1"
        ),
        format!(
            "WITH f AS (SELECT time AS t, user_name FROM events) SELECT user_name FROM f GROUP BY user_name, tumble(t, {size}) HAVING count(*) > 1"
        ),
        format!(
            "SELECT user_name FROM (SELECT user_name, tumble(time, {size}) AS w, count(*) AS n FROM authentication GROUP BY user_name, w) x WHERE n > 1"
        ),
        format!(
            "SELECT user_name, date_bin({size}, time) AS w FROM authentication GROUP BY user_name, w HAVING count(*) > 1"
        ),
    ] {
        assert_eq!(keys(&sql), expect, "{sql}");
    }
}

#[test]
fn keys_are_ordered_by_name_and_may_be_expressions_or_none() {
    let row = |uid, user: &str, ip: &str| Row {
        uid,
        time: 61_000,
        user: Some(user.into()),
        status: Some("s1".into()),
        ip: Some(ip.into()),
    };
    let tables = authentication(&[row(1, "Ann", "10.0.0.1"), row(2, "Ann", "10.0.0.1")], 2);
    let key = |texts: &[&str]| {
        let mut key = Encoder::default();
        texts.iter().for_each(|t| key.text(t));
        key.text("tumble");
        key.int(60_000);
        key.time(60_000);
        hex(&key.into_bytes())
    };
    let window = "tumble(time, INTERVAL '1 minute')";
    for (sql, expect) in [
        (
            format!(
                "SELECT count(*) AS n FROM authentication GROUP BY user_name, src_ip, {window}"
            ),
            key(&["10.0.0.1", "Ann"]),
        ),
        (
            format!(
                "SELECT count(*) AS n FROM authentication GROUP BY {window}, status, user_name"
            ),
            key(&["s1", "Ann"]),
        ),
        (
            format!(
                "SELECT lower(user_name) AS u FROM authentication GROUP BY lower(user_name), {window}"
            ),
            key(&["ann"]),
        ),
        (format!("SELECT count(*) AS n FROM authentication GROUP BY {window}"), key(&[])),
    ] {
        let found = batch(&sql, &tables, None).unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let keys: Vec<String> = found.key.iter().map(|k| hex(k)).collect();
        assert_eq!(keys, [expect], "{sql}");
    }
    for (sql, expect) in [
        ("SELECT user_name, count(*) FROM events GROUP BY user_name", "without a window"),
        ("SELECT DISTINCT user_name FROM events", "have no key"),
    ] {
        let error = batch(sql, &tables, None).unwrap_err();
        assert!(error.to_string().contains(expect), "{sql}\n{error}");
    }
}
