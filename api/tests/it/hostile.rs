//! Rule files written to hang or kill the process (`testdata/rules/hostile`): each is an error or a
//! rule, within bounds of address space and time.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

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
