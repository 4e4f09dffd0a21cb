//! A disk that fills up: inputs pause, the API answers, and when there is room again everything goes on
//! by itself with nothing lost.
//!
//! On a small file system of its own; skipped, and says so, where none can be mounted.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;

use crate::support::{
    REFUSED, Scratch, okta, rule,
    service::{Home, Service},
};

/// A file system in memory; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one, or says why this test is skipped.
    fn mount(folder: &str, size: &str) -> Option<Disk> {
        fs::create_dir_all(folder).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs", folder])
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Disk(folder.into())),
            Ok(output) => {
                sluice_harness::skip(String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                sluice_harness::skip(&format!("mount: {error}"));
                None
            }
        }
    }

    fn free(&self) -> u64 {
        let output = Command::new("df").args(["-B1", "--output=avail"]).arg(&self.0).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Takes space until so many bytes are free.
    fn leave(&self, bytes: u64) {
        let ballast = self.0.join("ballast");
        let held = fs::metadata(&ballast).map_or(0, |m| m.len());
        let more = self.free().saturating_sub(bytes);
        let done = Command::new("fallocate")
            .args(["-l", &(held + more).to_string()])
            .arg(&ballast)
            .status()
            .unwrap();
        assert!(done.success());
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

const MIB: u64 = 1 << 20;

fn users(names: std::ops::Range<u32>) -> String {
    names.map(|n| okta(&format!("user{n}"))).collect::<Vec<_>>().join("\n")
}

fn findings(service: &Service) -> u64 {
    service.status()["store"]["findings"].as_u64().unwrap()
}

#[test]
fn a_full_disk_pauses_and_nothing_is_lost() {
    let scratch = Scratch::new();
    // The journal of the store takes 64 MiB at once; then more than twice of `min_free` is left.
    let Some(disk) = Disk::mount(&scratch.path("data"), "512m") else { return };
    let home =
        Home::within(scratch, "[engine]\nmin_free = \"128MiB\"\ncheckpoint_every = \"300ms\"\n");
    let service = home.start();
    service.push(&users(0..20)).is(202);
    service.wait_for("findings", || findings(&service) == 20);
    service.wait_for("the index", || service.total("") == Some(20));

    // Nearly full: what is pushed is kept, and waits.
    disk.leave(100 * MIB);
    service.wait_for("pause", || service.status()["phase"] == "paused");
    let status = service.status();
    assert_eq!(status["ready"], false);
    assert!(status["problems"][0].as_str().unwrap().contains("free on disk"), "{status}");
    service.get("/readyz").is(503);
    service.get("/healthz").is(200);
    service.push(&users(20..30)).is(202);

    // Senders are told to wait before they take what the store needs, and when nothing is left; what
    // was asked before is answered still.
    for left in [50 * MIB, 0] {
        disk.leave(left);
        let refused = service.push(&users(30..40)).is(503);
        assert!(refused.retry_after.is_some(), "{}", refused.text);
    }
    assert_eq!(findings(&service), 20);
    assert_eq!(service.total("user7"), Some(1));
    service.get("/metrics").is(200);

    disk.clear();
    service.wait_for("going on", || service.status()["phase"] == "running");
    service.get("/readyz").is(200);
    service.push(&users(30..40)).is(202);
    service.wait_for("findings", || findings(&service) == 40);
    service.wait_for("the index", || service.total("") == Some(40));
    let records = service.records(0);
    assert_eq!((&records["received"], &records["balanced"]), (&json!(40), &json!(true)));
    assert_eq!(service.status()["conservation_errors"], json!([]));
    service.stop();
    drop(disk);
}

/// The store refuses to use its reserve of 64 MiB before inputs pause: the run is given up, and begins
/// again from the last checkpoint.
#[test]
fn a_commit_that_found_no_room_is_made_when_there_is() {
    let scratch = Scratch::new();
    let Some(disk) = Disk::mount(&scratch.path("data"), "320m") else { return };
    let home =
        Home::within(scratch, "[engine]\nmin_free = \"1MiB\"\ncheckpoint_every = \"300ms\"\n");
    let service = home.start();
    service.push(&users(0..20)).is(202);
    service.wait_for("the index", || service.total("") == Some(20));

    disk.leave(40 * MIB);
    service.push(&users(20..30)).is(202);
    service.wait_for("pause", || service.status()["phase"] == "paused");
    service.get("/readyz").is(503);
    service.push(&users(30..35)).is(202);
    assert_eq!(findings(&service), 20);
    // Work that needs the disk is put off, not lost.
    let id = service.search("user7", "").json()["items"][0]["id"].as_str().unwrap().to_owned();
    let change = json!({"status": "in_progress"}).to_string();
    let path = format!("/api/v1/findings/{id}");
    let refused = service.ask("PATCH", &path, "application/json", &change).is(503);
    assert!(refused.retry_after.is_some(), "{}", refused.text);
    let titled = rule("one", REFUSED).replace("A rule of the tests", "Refused");
    home.scratch.write("rules/one.sql", titled);
    let report = service.post("/api/v1/reload", &json!({})).is(200).json();
    assert_eq!(report["applied"], false, "{report}");

    disk.clear();
    service.wait_for("going on", || service.status()["phase"] == "running");
    service.wait_for("findings", || findings(&service) == 35);
    service.get("/readyz").is(200);
    service.ask("PATCH", &path, "application/json", &change).is(200);
    assert_eq!(service.status()["conservation_errors"], json!([]));
    assert_eq!(service.records(0)["balanced"], true);
    service.stop();

    // Stopped while it is full, it goes on at the next start.
    let service = home.start();
    disk.leave(40 * MIB);
    service.push(&users(35..40)).is(202);
    service.wait_for("pause", || service.status()["phase"] == "paused");
    service.stop();
    disk.clear();
    let service = home.start();
    service.wait_for("findings", || findings(&service) == 40);
    service.stop();
    drop(disk);
}
