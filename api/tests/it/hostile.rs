//! Rule files written to hang or kill the process (`testdata/rules/hostile`): each is an error or a
//! rule, within bounds of address space and time; and as a hunt, each is answered while others are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use sluice_rule::SqlFile;

use crate::support::service::{Home, now};

/// Address space of the process in KiB, and seconds for all files together: each alone takes at most
/// five.
const LIMITS: &str = "ulimit -v 2000000; exec timeout 240 \"$0\" --output json rule lint \"$1\"";

#[test]
fn every_hostile_file_is_an_error_or_a_rule() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/rules/hostile");
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    assert!(files.len() >= 60, "{} files", files.len());
    let ran = Command::new("sh")
        .args(["-c", LIMITS, env!("CARGO_BIN_EXE_sluice")])
        .arg(&folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{stderr}");
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let refused: BTreeSet<String> = findings
        .iter()
        .filter(|f| f["level"] == "error")
        .filter_map(|f| Path::new(f["file"].as_str()?).file_name()?.to_str().map(str::to_owned))
        .collect();
    let loaded = report["summary"]["rules"].as_u64().unwrap() as usize;
    // Each file is one or the other, and none is both or neither.
    assert_eq!(refused.len() + loaded, files.len(), "{refused:?}\n{stderr}");
    assert!(refused.len() >= 50, "{} refused", refused.len());
    assert!(!stderr.contains("panic"), "{stderr}");
}

/// Resident memory that a service may take while it refuses or runs them, KiB.
const RESIDENT_MAX: u64 = 1_500_000;

/// How long anybody else waits meanwhile, at most: two hunts may run at once, each on a core.
const OTHERS_WAIT: Duration = Duration::from_secs(20);

/// How long a hunt waits for the place of the one before it: past the deadline of that one.
const PLACE_WAIT: Duration = Duration::from_secs(30);

#[test]
fn every_hostile_text_as_a_hunt_leaves_others_served() {
    let home =
        Home::new("memory_limit = \"2GiB\"\n[hunts]\ndeadline = \"5s\"\nmemory = \"64MiB\"\n");
    let other = home.token("analyst");
    let service = home.start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/rules/hostile");
    let mut texts: Vec<(String, String)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .map(|path| {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // What stands between the blocks, where the file has blocks.
            let sql = SqlFile::parse(&name, &text).map_or(text, |file| file.sql.trim().to_owned());
            (name, sql)
        })
        .collect();
    texts.sort();
    assert!(texts.len() >= 60, "{} texts", texts.len());
    let done = AtomicBool::new(false);
    let (slowest, asked, most) = thread::scope(|scope| {
        let others = scope.spawn(|| {
            let (mut slowest, mut asked, mut most) = (Duration::ZERO, 0, 0);
            let body = r#"{"sql": "SELECT 1 AS one"}"#;
            while !done.load(Ordering::Relaxed) {
                let begun = now();
                let path = "/api/v1/hunts";
                let answer = service.with_token(&other, "POST", path, "application/json", body);
                if answer.status == 200 {
                    slowest = slowest.max(begun.elapsed());
                    asked += 1;
                } else {
                    answer.is(429);
                }
                most = most.max(service.resident());
                thread::sleep(Duration::from_millis(50));
            }
            (slowest, asked, most)
        });
        let mut answers = BTreeMap::new();
        for (name, sql) in &texts {
            // A place is held until the work of the hunt before has ended.
            let begun = now();
            let answer = loop {
                let answer = service.post("/api/v1/hunts", &json!({ "sql": sql }));
                if answer.status != 429 {
                    break answer;
                }
                assert!(begun.elapsed() < PLACE_WAIT, "{name}: no place: {}", answer.text);
                thread::sleep(Duration::from_millis(200));
            };
            // Rows, or a problem that says what is wrong or which limit was hit.
            let known = [200, 400, 408, 413, 422, 503].contains(&answer.status);
            assert!(known, "{name}: {} {}", answer.status, answer.text);
            if answer.status != 200 {
                assert!(answer.json()["detail"].is_string(), "{name}: {}", answer.text);
            }
            *answers.entry(answer.status).or_insert(0) += 1;
        }
        done.store(true, Ordering::Relaxed);
        println!("hostile hunts: {answers:?}");
        assert!(answers.iter().filter(|(s, _)| **s != 200).map(|(_, n)| n).sum::<i32>() >= 40);
        others.join().unwrap()
    });
    println!("hostile hunts: {asked} other hunts, the slowest {slowest:?}; {most} KiB resident");
    assert!(asked >= 20, "{asked}");
    assert!(slowest < OTHERS_WAIT, "{slowest:?}");
    assert!(most < RESIDENT_MAX, "{most} KiB");
    service.stop();
}
