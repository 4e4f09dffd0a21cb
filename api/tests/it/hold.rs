//! What must hold when somebody means harm, on the whole product: special files, links in circles,
//! modes of files, text that acts on a terminal, options that load code, and the audit log. The attacks
//! on the API are tested beside its handlers.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::json;

use super::support::{
    REFUSED, Run, Scratch, okta, rule,
    service::{Home, now},
};

/// Runs the binary; one that takes longer than 20 s has failed.
#[track_caller]
fn ends(arguments: &[&str]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(arguments)
        .env_remove("SLUICE_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("sluice {arguments:?} does not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

fn fifo(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_fifo_among_the_rules_holds_up_neither_reloads_nor_signals() {
    let home = Home::new("");
    let service = home.start();
    fifo(&home.scratch.path("rules/pipe.sql"));
    symlink("/dev/zero", home.scratch.path("rules/endless.sql")).unwrap();
    let begun = now();
    let report = service.post("/api/v1/reload", &json!({})).is(200).json();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(report["applied"], false, "{report}");
    let problems = report["problems"].to_string();
    assert!(problems.contains("not a regular file"), "{problems}");
    // Dead letters have places of their own, and the rules from before go on.
    service.post("/api/v1/dead-letters/drop", &json!({"all": true})).is(200);
    service.push(&okta("ann")).is(202);
    service.wait_for("the finding", || service.total("rule_id:one") == Some(1));
    let begun = now();
    service.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn special_files_are_refused_wherever_a_file_is_named() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe");
    fifo(&pipe);
    for path in [pipe.as_str(), "/dev/zero"] {
        ends(&["config", "check", "--config", path]).exits(3).says(&["not a regular file"]);
        ends(&["rule", "lint", path]).exits(2).prints(&["not a regular file"]);
    }
    ends(&["eval", "/dev/zero"]).exits(3).says(&["a device, not a regular file"]);
    scratch.write("data/node.key", [7; 16]);
    fifo(&scratch.path("data/tokens.json"));
    ends(&["token", "list", "--data-dir", &scratch.path("data")])
        .exits(3)
        .says(&["not a regular file"]);
    let text = format!("data_dir = \"{}\"\nrules = [\"/dev/zero\"]\n", scratch.path("d"));
    let config = scratch.write("device.toml", text);
    ends(&["config", "check", "--config", &config]).exits(3).says(&["not a regular file"]);
}

#[test]
fn links_in_a_circle_end() {
    let scratch = Scratch::new();
    scratch.write("rules/a/one.sql", rule("a.one", REFUSED));
    scratch.write("rules/b/two.sql", rule("b.two", REFUSED));
    for link in ["rules/a/up", "rules/b/up", "rules/b/side"] {
        let to = if link.ends_with("side") { "rules/a" } else { "rules" };
        symlink(scratch.path(to), scratch.path(link)).unwrap();
    }
    let run = ends(&["rule", "lint", &scratch.path("rules"), "--output", "json"]);
    assert!(run.code == 0 || run.code == 1, "{}", run.stderr);
    scratch.write("logs/okta.json", okta("ann"));
    symlink(scratch.path("logs"), scratch.path("logs/again")).unwrap();
    ends(&["eval", "-r", &scratch.path("rules/a/one.sql"), &scratch.path("logs")]).exits(0);
}

/// Paths below a folder that group or others may use.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.permissions().mode() & 0o077 != 0 {
                found.push(format!("{} {:o}", path.display(), metadata.permissions().mode()));
            }
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn a_data_directory_is_for_its_owner_alone() {
    let home = Home::new("");
    let data = home.data("");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let service = home.start();
    service.push(&okta("ann")).is(202);
    service.wait_for("the finding", || service.total("rule_id:one") == Some(1));
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(service.said().contains("had mode 755"), "{}", service.said());
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    service.stop();
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    // Put back from a copy that kept no modes; what a link leads to is not ours.
    let outside = home.scratch.write("outside", "theirs");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&outside, data.join("index/linked")).unwrap();
    let open = Command::new("chmod").args(["-R", "a+rX"]).arg(&data).status().unwrap();
    assert!(open.success() && open_to_others(&data).len() > 10);
    let service = home.start();
    fs::remove_file(data.join("index/linked")).unwrap();
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    assert_eq!(mode(&outside), 0o644);
    assert!(service.said().contains("group or others had rights to"), "{}", service.said());
    service.stop();
}

#[test]
fn the_directory_of_something_else_is_left_as_it_is() {
    let scratch = Scratch::new();
    let theirs = scratch.write("home/letters.txt", "theirs");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in [&theirs, &scratch.path("home")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let dir = scratch.path("home");
    ends(&["token", "create", "--data-dir", &dir, "--role", "viewer", "--name", "ann"])
        .exits(3)
        .says(&["not of Sluice"]);
    assert_eq!((mode(&theirs), mode(&dir)), (0o755, 0o755));
}

#[test]
fn nothing_that_others_wrote_acts_on_the_terminal() {
    let scratch = Scratch::new();
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}gpj";
    let acts = |text: &str| {
        text.chars().any(|c| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}')
    };
    let file = scratch.write(&format!("{hostile}.sql"), "no rule");
    for arguments in [
        &["eval", hostile][..],
        &[hostile],
        &["rule", "lint", &file],
        &["rule", "lint", &file, "--output", "json"],
        &["status", "--url", hostile],
        &["config", "check", "--config", hostile],
        &["token", "revoke", hostile, "--data-dir", hostile],
    ] {
        let run = ends(arguments);
        assert!(run.code != 0, "{arguments:?}");
        assert!(
            !acts(&run.stderr) && !acts(&run.stdout),
            "{arguments:?}: {}{}",
            run.stderr,
            run.stdout
        );
    }
}

#[test]
fn a_token_is_not_named_as_another_or_backwards() {
    let scratch = Scratch::new();
    let dir = scratch.path("data");
    let create = |name: &str| {
        ends(&["token", "create", "--data-dir", &dir, "--role", "viewer", "--name", name])
    };
    create("ann").exits(0);
    let list = ends(&["token", "list", "--data-dir", &dir]).exits(0);
    let id = list.rows()[0]["id"].as_str().unwrap().to_owned();
    create(&id).exits(3).says(&["could be taken for the id"]);
    create("\u{202e}nna").exits(3).says(&["reorder text"]);
    create("an\u{200b}n").exits(3);
    create("ann\r").exits(3);
}

#[test]
fn options_that_load_code_are_not_taken_and_passwords_in_values_are_not_shown() {
    let scratch = Scratch::new();
    let check = |options: &str| {
        let text = format!(
            "data_dir = \"{}\"\n[sources.x.kafka]\nbrokers = \"h:1\"\ntopics = [\"t\"]\n\
             [sources.x.kafka.librdkafka]\n{options}\n",
            scratch.path("data")
        );
        let config = scratch.write("sluice.toml", text);
        let check = ends(&["config", "check", "--config", &config]).exits(3);
        let show = ends(&["config", "show", "--config", &config]);
        (check, show)
    };
    for option in
        ["plugin.library.paths", "ssl.engine.location", "ssl.providers", "sasl.kerberos.kinit.cmd"]
    {
        let (check, _) = check(&format!("\"{option}\" = \"/tmp/evil.so\""));
        check.says(&["loads code or runs a command", option]);
    }
    for value in ["http://user:c4n4ry@proxy:3128", "https://x/?q=1 socks5://a:c4n4ry@h"] {
        let (check, show) = check(&format!("\"http.proxy\" = \"{value}\""));
        for text in [&check.stdout, &check.stderr, &show.stdout, &show.stderr] {
            assert!(!text.contains("c4n4ry"), "{value}: {text}");
        }
        check.says(&["must not be in the configuration"]);
    }
}

#[test]
fn the_audit_log_is_verified_offline() {
    let home = Home::new("");
    let data = home.scratch.path("data");
    let service = home.start();
    service.post("/api/v1/hunts", &json!({"sql": "SELECT 1 AS one"})).is(200);
    let page = service.get("/api/v1/audit").is(200).json();
    let actions: Vec<&str> =
        page["items"].as_array().unwrap().iter().map(|i| i["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["token.create", "service.start", "POST /api/v1/hunts"], "{page}");
    let head = format!("{}:{}", page["head"]["seq"], page["head"]["hash"].as_str().unwrap());
    // Beside a running server, too.
    let run = ends(&["audit", "verify", "--data-dir", &data, "--head", &head]).exits(0);
    assert_eq!(run.rows()[0]["records"], 3);
    service.stop();
    let file = home.data("audit.log");
    let good = fs::read_to_string(&file).unwrap();
    let first = good.lines().next().unwrap();
    fs::write(&file, format!("{first}\n")).unwrap();
    ends(&["audit", "verify", "--data-dir", &data]).exits(0);
    ends(&["audit", "verify", "--data-dir", &data, "--head", &head])
        .exits(1)
        .says(&["from record 2 on: the end is cut off"]);
    fs::write(&file, good.replace("token.create", "token.revoke")).unwrap();
    ends(&["audit", "verify", "--data-dir", &data]).exits(1).says(&["from record 1 on"]);
    ends(&["audit", "verify", "--data-dir", &home.scratch.path("none")]).exits(3);
}

#[test]
fn a_memory_limit_refuses_queries_first_and_loses_nothing() {
    let home = Home::new("memory_limit = \"256MiB\"\n");
    let service = home.start();
    service.push(&okta("ann")).is(202);
    service.wait_for("the finding", || {
        let answer = service.search("rule_id:one", "");
        // A debug build may be near the limit by itself: then it says so.
        answer.status == 503 || answer.json()["total"]["value"] == 1
    });
    let memory = &service.status()["memory"];
    assert_eq!(memory["limit_bytes"], 256 << 20);
    assert!(memory["bytes"].as_u64().unwrap() > 1 << 20, "{memory}");
}
