//! What an attacker or a broken producer may send, through the whole product: each bad record is
//! reported by file, line, code and reason, and the good one after it is processed.

use std::io::Write;

use crate::support::{REFUSED, Run, Scratch, cloudtrail, okta, rule, shared, sluice, sluice_with};

/// Records that no row can be made of, and the code and a part of the reason each must get.
fn hopeless(good: &str) -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let with = |field: &str| format!("{},{field}}}", good.strip_suffix('}').unwrap()).into_bytes();
    // Without the keys of its source: of a record that has them the other fields are read.
    let deep = |open: &str, close: &str| {
        format!(r#"{{"x":{}1{}}}"#, open.repeat(10_000), close.repeat(10_000)).into_bytes()
    };
    let fields: Vec<String> = (0..1_000_000).map(|i| format!("\"f{i}\":{i}")).collect();
    let half: String = good.chars().take(good.len() / 2).collect();
    vec![
        (half.into_bytes(), "bad_json", "EOF"),
        (deep("[", "]"), "too_deep", "nested deeper than 64"),
        (deep(r#"{"a":"#, "}"), "too_deep", "nested deeper than 64"),
        (b"\xff\xff\xff".to_vec(), "bad_utf8", "invalid UTF-8"),
        (Vec::new(), "empty", "empty"),
        (b"  \t ".to_vec(), "empty", "empty"),
        (b"null".to_vec(), "empty", "empty"),
        (
            format!(r#"{{"x":"{}"}}"#, "a".repeat(30 << 20)).into_bytes(),
            "too_large",
            "limit is 16777216",
        ),
        (format!("{{{}}}", fields.join(",")).into_bytes(), "too_large", "limit is 16777216"),
        (
            format!("{{{}}}", vec![r#""a":1"#; 150_000].join(",")).into_bytes(),
            "too_many_fields",
            "too many fields",
        ),
        (br#"{"a":1}"#.to_vec(), "not_this_source", "no source knows it; its fields are a"),
        (with(r#""x":NaN"#), "bad_json", "expected value"),
        (b"42".to_vec(), "bad_json", "expected a JSON object"),
        (b"no JSON at all".to_vec(), "bad_json", "expected"),
    ]
}

/// A file of `first`, then every hopeless record with a good one after it. Returns its lines.
fn between_good_ones(good: impl Fn(&str) -> String) -> (Vec<u8>, Vec<(usize, String, String)>) {
    let mut file = good("first").into_bytes();
    let mut expected = Vec::new();
    for (i, (bad, code, reason)) in hopeless(&good("bad")).into_iter().enumerate() {
        file.push(b'\n');
        file.extend(bad);
        file.push(b'\n');
        file.extend(good(&format!("after{i}")).into_bytes());
        expected.push((2 + 2 * i, code.to_owned(), reason.to_owned()));
    }
    file.push(b'\n');
    (file, expected)
}

#[track_caller]
fn names_each(run: &Run, path: &str, expected: &[(usize, String, String)]) {
    for (line, code, reason) in expected {
        let start = format!("{path}:{line}: {code}: ");
        let said = run.stderr.lines().find(|l| l.starts_with(&start));
        let said = said.unwrap_or_else(|| panic!("no `{start}` in\n{}", run.stderr));
        assert!(said.contains(reason), "{said}");
    }
}

#[track_caller]
fn every_bad_record(source: &str, good: impl Fn(&str) -> String, sql: &str) {
    let scratch = Scratch::new();
    let (file, expected) = between_good_ones(good);
    let log = scratch.write("log", file);
    let bad = expected.len() as u64;
    let counted = [(source.to_owned(), [2 * bad + 1, bad + 1, 0, bad, 0])];
    let users: Vec<String> =
        std::iter::once("first".to_owned()).chain((0..bad).map(|i| format!("after{i}"))).collect();

    let rows = sluice(&["mapping", "run", "--source", source, &log]).exits(1);
    names_each(&rows, &log, &expected);
    assert_eq!(rows.counters(), counted);
    let seen: Vec<String> =
        rows.rows().iter().map(|r| r["user_name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, users);

    let rules = scratch.write("all.sql", rule("all", sql));
    let found = sluice(&["eval", "--source", source, "-r", &rules, &log]).exits(0);
    names_each(&found, &log, &expected);
    assert_eq!(found.counters(), counted);
    let mut seen: Vec<String> = found
        .rows()
        .iter()
        .map(|f| f["fields"]["user_name"].as_str().unwrap().to_owned())
        .collect();
    let mut users = users;
    seen.sort();
    users.sort();
    assert_eq!(seen, users);
}

#[test]
fn okta_records() {
    every_bad_record("okta.system", okta, REFUSED);
}

#[test]
fn cloudtrail_records() {
    every_bad_record(
        "aws.cloudtrail",
        cloudtrail,
        "SELECT time, user_name\nFROM api_activity\nWHERE api_operation = 'GetSecretValue'",
    );
}

/// One odd record between two good ones: all three become rows. Returns the row of the odd one and
/// the run.
#[track_caller]
fn evaluates(odd: impl AsRef<[u8]>) -> (serde_json::Value, Run) {
    let (mut rows, run) = evaluate_all(&[odd]);
    (rows.remove(0), run)
}

/// Odd records between good ones, in one run: all become rows. Returns those of the odd ones and the
/// run.
#[track_caller]
fn evaluate_all(odd: &[impl AsRef<[u8]>]) -> (Vec<serde_json::Value>, Run) {
    let scratch = Scratch::new();
    let (first, next) = (okta("first"), okta("next"));
    let mut lines = vec![first.as_bytes()];
    for record in odd {
        lines.extend([record.as_ref(), next.as_bytes()]);
    }
    let log = scratch.write("log", lines.join(&b'\n'));
    let run = sluice(&["mapping", "run", "--received-at", "2026-01-01T10:00:00Z", &log]).exits(0);
    let received = lines.len() as u64;
    assert_eq!(run.counters(), [("okta.system".to_owned(), [received, received, 0, 0, 0])]);
    let rows = run.rows();
    assert_eq!(rows.len(), lines.len());
    assert!(rows.iter().skip(2).step_by(2).all(|row| row["user_name"] == "next"), "{rows:?}");
    (rows.into_iter().skip(1).step_by(2).collect(), run)
}

fn with(field: &str) -> String {
    format!("{},{field}}}", okta("odd").strip_suffix('}').unwrap())
}

#[test]
fn numbers_beyond_their_type_are_null_and_counted() {
    let odd = ["1e400", "9223372036854775808", "-1e400", "64496"]
        .map(|number| with(&format!(r#""securityContext":{{"asNumber":{number}}}"#)));
    let (rows, run) = evaluate_all(&odd);
    let numbers: Vec<_> = rows.iter().map(|row| row["src_asn"].as_u64()).collect();
    assert_eq!(numbers, [None, None, None, Some(64_496)]);
    run.says(&["3 values of `securityContext.asNumber` were of another type and are NULL"]);
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let (row, _) = evaluates(with(r#""actor":{"id":"2","type":"User","alternateId":"last"}"#));
    assert_eq!(row["user_name"], "last");
}

#[test]
fn invalid_utf_8_in_a_value_is_replaced() {
    let odd: Vec<u8> = okta("o~d").bytes().map(|b| if b == b'~' { 0xff } else { b }).collect();
    let (row, _) = evaluates(odd);
    assert_eq!(row["user_name"], "o\u{fffd}d");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends() {
    let (row, _) = evaluates(format!("\u{feff}{}\r", okta("odd")));
    assert_eq!(row["user_name"], "odd");
    let scratch = Scratch::new();
    let log = scratch.write("log", format!("\u{feff}{}\r\n{}\r\n", okta("a"), okta("b")));
    let run = sluice(&["mapping", "run", &log]).exits(0);
    assert_eq!(run.counters(), [("okta.system".to_owned(), [2, 2, 0, 0, 0])]);
}

#[test]
fn times_that_cannot_be_are_bounded_and_flagged() {
    let times = [
        r#""9999-12-31T23:59:59Z""#,
        r#""-0001-01-01T00:00:00Z""#,
        r#""NaN""#,
        "null",
        "1e300",
        "-62198755200",
        "1767258000",
        "1767258000000000000",
    ];
    let odd = times.map(|time| okta("odd").replace("\"2026-01-01T09:00:00.000Z\"", time));
    let (rows, _) = evaluate_all(&odd);
    let found = rows.iter().map(|row| {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        (text("time").unwrap(), text("time_flag"), text("original_time"))
    });
    let [future, before_christ, no_number, missing, too_large, too_early, seconds, nanoseconds] =
        found.collect::<Vec<_>>().try_into().unwrap();
    let some = |text: &str| Some(text.to_owned());
    let received = "2026-01-01T10:00:00.000Z".to_owned();
    assert_eq!(
        future,
        ("2026-01-01T10:05:00.000Z".into(), some("future"), some("9999-12-31T23:59:59.000Z")),
        "no further ahead than max_skew"
    );
    let kept = |text: &str| (received.clone(), some("invalid"), some(text));
    assert_eq!(before_christ, kept("-0001-01-01T00:00:00Z"), "the text is kept");
    assert_eq!(no_number, kept("NaN"), "the text is kept");
    assert_eq!(missing, (received.clone(), some("missing"), None));
    assert_eq!(too_large, (received.clone(), some("missing"), None));
    assert_eq!((too_early.0, too_early.1), (received, some("invalid")));
    assert_eq!(seconds, ("2026-01-01T09:00:00.000Z".into(), None, None));
    assert_eq!(nanoseconds, ("2026-01-01T09:00:00.000Z".into(), None, None));
}

#[test]
fn a_clock_in_the_future_takes_nothing_from_the_windows_of_others() {
    let scratch = Scratch::new();
    let future = okta("odd").replace("2026-01-01T", "9999-01-01T");
    let log = scratch.write("log", [okta("a"), future, okta("b")].join("\n"));
    let rules = scratch.write(
        "w.sql",
        rule(
            "w",
            "SELECT src_ip, max(user_name) AS user_name, count(*) AS n\nFROM authentication\n\
             WHERE status = 'Failure' AND user_name IN ('a', 'b')\n\
             GROUP BY src_ip, sliding(time, INTERVAL '10 minutes')\nHAVING count(*) >= 2",
        ),
    );
    let run =
        sluice(&["eval", "-r", &rules, "--received-at", "2026-01-01T09:00:00Z", &log]).exits(0);
    assert_eq!(run.rows()[0]["count"], 2, "{}", run.stderr);
    assert_eq!(run.counters()[0].1, [3, 3, 0, 0, 0]);
}

#[test]
fn a_gzip_bomb_ends_its_file_only() {
    let scratch = Scratch::new();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writeln!(gz, "{}", okta("first")).unwrap();
    for _ in 0..100 {
        gz.write_all(&vec![b'a'; 1 << 20]).unwrap();
    }
    let bomb = gz.finish().unwrap();
    assert!(bomb.len() < 200_000);
    scratch.write("logs/a.gz", bomb);
    scratch.write("logs/b.ndjson", okta("next"));
    let run = sluice(&["mapping", "run", &scratch.path("logs")])
        .exits(1)
        .says(&["logs/a.gz", "1 decompress (line 2: inflates more than 100 to 1"]);
    assert_eq!(run.counters()[0].1[1], 2, "both good records");
}

#[test]
fn damaged_compression_keeps_what_was_read() {
    let scratch = Scratch::new();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    (0..200).for_each(|i| writeln!(gz, "{}", okta(&format!("u{i}"))).unwrap());
    let mut bytes = gz.finish().unwrap();
    bytes.truncate(bytes.len() - 10);
    let log = scratch.write("log.gz", bytes);
    let run = sluice(&["mapping", "run", &log]).exits(1).says(&["decompress"]);
    assert!(run.counters()[0].1[1] > 100);
}

#[test]
fn compressed_plain_folder_and_stdin_read_the_same() {
    let scratch = Scratch::new();
    let rules = scratch.write("all.sql", rule("all", REFUSED));
    let text = [okta("a"), okta("b")].join("\n");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    // The content tells, not the name.
    let gz = scratch.write("gz/log.txt", gz.finish().unwrap());
    let zst = scratch.write("zst/log.json", zstd::encode_all(text.as_bytes(), 3).unwrap());
    scratch.write("folder/x/log.ndjson", &text);
    let ids = |run: Run| {
        let run = run.exits(0);
        assert_eq!(run.counters(), [("okta.system".to_owned(), [2, 2, 0, 0, 0])]);
        let mut ids: Vec<String> =
            run.rows().iter().map(|f| f["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let stdin = ids(sluice_with(&["eval", "-r", &rules, "-"], text.as_bytes()));
    assert_eq!(stdin.len(), 2);
    for path in [&gz, &zst, &scratch.path("folder")] {
        assert_eq!(ids(sluice(&["eval", "-r", &rules, path])), stdin, "{path}");
    }
}

#[test]
fn what_is_no_log_is_refused_and_named() {
    let scratch = Scratch::new();
    let noise: Vec<u8> =
        (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let noise = scratch.write("noise.bin", noise);
    let text = scratch.write("poem.txt", "Roses are red\nviolets are blue\n");
    let empty = scratch.write("empty.log", "");
    let nowhere = scratch.path("nowhere.log");
    // One rule: which ones run is no matter here.
    let rules = scratch.write("one.sql", rule("one", REFUSED));
    for verb in [&["eval", "-r", &rules][..], &["mapping", "run"][..]] {
        let run = |path: &str| sluice(&[verb, &[path]].concat()).exits(3);
        run(&noise).says(&[&noise, "not text: not a log", "--source"]);
        run(&text).says(&[&text, "cannot tell what this is", "--source", "okta.system"]);
        run(&empty).says(&[&empty, "empty", "--source"]);
        run(&nowhere).says(&["cannot read", &nowhere, "No such file"]);
    }
    // Named, it is read, and every record of it is set aside.
    let run = sluice(&["mapping", "run", "--source", "okta.system", &noise]).exits(1);
    let [received, mapped, _, aside, _] = run.counters()[0].1;
    assert!(received > 0 && mapped == 0 && aside == received, "{}", run.stderr);
    assert!(run.stderr.contains("further records that are set aside are only counted"));
    sluice(&["eval", "-r", &rules, "--source", "okta.system", &empty])
        .exits(0)
        .says(&["received 0 "]);
}

#[test]
fn a_file_that_is_no_log_in_a_folder_of_logs() {
    let scratch = Scratch::new();
    scratch.write("logs/empty.log", "");
    scratch.write("logs/good.ndjson", okta("good"));
    let run = sluice(&["mapping", "run", &scratch.path("logs")]).exits(0);
    assert_eq!(run.counters(), [("okta.system".to_owned(), [1, 1, 0, 0, 0])]);
}

#[test]
fn a_wide_real_log_of_no_source_is_refused() {
    let Some(windows) = shared("otrf/windows-40k.ndjson.zst") else { return };
    sluice(&["eval", windows.to_str().unwrap()])
        .exits(3)
        .says(&["cannot tell what this is", "--source"]);
}
