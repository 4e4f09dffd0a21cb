//! `sluice config ..` and `sluice init ..`: every problem at once, which layer won, and that no secret
//! comes out.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;

use crate::support::{Run, Scratch, sluice};

/// The configuration of the documentation.
const EXAMPLE: &str = r#"data_dir = "./data"
[api]
listen = "127.0.0.1:7777"
[sources.okta]
mapping = "okta.system"
kafka = { brokers = "127.0.0.1:9092", topics = ["okta"], group = "sluice", start = "earliest" }
[sources.okta.kafka.librdkafka]
"fetch.wait.max.ms" = "50"
[sources.push]
mapping = "auto"
http = {}
"#;

/// Runs the binary in a scratch folder with these variables and no others of ours.
fn run_in(scratch: &Scratch, env: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
        command.env_remove(name);
    }
    let home = scratch.path("home");
    let command = command.args(arguments).current_dir(scratch.path(""));
    let command = command.env("HOME", home).env_remove("XDG_CONFIG_HOME").envs(env.iter().copied());
    let output = command.output().unwrap();
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

/// The effective settings by path: (value, origin).
fn shown(run: &Run) -> std::collections::BTreeMap<String, (Value, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let of = |row: Value| (text(&row["path"]), (row["value"].clone(), text(&row["origin"])));
    run.rows().into_iter().map(of).collect()
}

#[test]
fn the_documented_example_is_good_and_is_found_without_a_flag() {
    let scratch = Scratch::new();
    scratch.write("sluice.toml", EXAMPLE);
    run_in(&scratch, &[], &["config", "check"])
        .exits(0)
        .says(&["./sluice.toml: 0 errors, 0 warnings"]);
    let settings = shown(&run_in(&scratch, &[], &["config", "show"]).exits(0));
    assert_eq!(settings["sources.okta.kafka.group"], ("sluice".into(), "./sluice.toml:6".into()));
    let option = &settings["sources.okta.kafka.librdkafka.\"fetch.wait.max.ms\""];
    assert_eq!(option, &("50".into(), "./sluice.toml:8".into()));
    assert_eq!(settings["log.format"], ("text".into(), "default".into()));
}

#[test]
fn the_strongest_layer_wins_and_is_named() {
    let scratch = Scratch::new();
    scratch
        .write("home/.config/sluice/sluice.toml", "[log]\nlevel = \"warn\"\nformat = \"json\"\n");
    scratch.write("sluice.toml", EXAMPLE);
    scratch.write("conf.d/10-log.toml", "[log]\nlevel = \"debug\"\n");
    let env = [("SLUICE_RETENTION__FINDING_AGE", "7d"), ("SLUICE_API__LISTEN", "127.0.0.1:1")];
    let arguments = ["config", "show", "--listen", "127.0.0.1:2"];
    let settings = shown(&run_in(&scratch, &env, &arguments).exits(0));
    assert_eq!(settings["log.level"].1, "./conf.d/10-log.toml:2");
    assert!(settings["log.format"].1.ends_with("/.config/sluice/sluice.toml:3"));
    assert_eq!(settings["api.listen"], ("127.0.0.1:2".into(), "flag --listen".into()));
    let age = ("7d".into(), "env SLUICE_RETENTION__FINDING_AGE".into());
    assert_eq!(settings["retention.finding_age"], age);
}

#[test]
fn a_check_lists_every_problem_with_its_line_and_is_exit_3() {
    let scratch = Scratch::new();
    let text = EXAMPLE
        .replace("data_dir", "dat_dir")
        .replace("127.0.0.1:7777", "0.0.0.0:7777")
        .replace("okta.system", "okta.sytem")
        .replace("start = ", "strat = ");
    let text =
        format!("{text}[engine]\ncheckpoint_every = 2\n[history]\ntable_bytes = \"256 mib\"\n");
    scratch.write("sluice.toml", format!("{text}[log]\nlevel = \"info\n"));
    let broken = scratch.write("rules/broken.sql", "SELECT 1\n");
    let env = [("SLUICE_RULES", broken.as_str())];
    run_in(&scratch, &env, &["config", "check"]).exits(3).says(&[
        "there is no setting `dat_dir`\n  --> ./sluice.toml:1:1\n1 | dat_dir = \"./data\"\n  | ^^^^^^^ did you mean `data_dir`?",
        "other machines can reach 0.0.0.0:7777",
        "there is no mapping source `okta.sytem`",
        "did you mean `okta.system`?",
        "did you mean `start`?",
        "a duration needs its unit",
        "`256 mib` is not a size",
        "./sluice.toml:17:",
        "broken.sql",
        "errors, 0 warnings",
    ]);
    let json = run_in(&scratch, &env, &["config", "check", "--output", "json"]).exits(3);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let problems = json["problems"].as_array().unwrap();
    assert!(problems.len() == 8, "{problems:#?}");
    assert!(problems.iter().any(|p| p["span"]["line"] == 1 && p["code"] == "C002"));
    // A service is not started with any of them.
    run_in(&scratch, &env, &["run"]).exits(3).says(&["there is no setting `dat_dir`"]);
}

#[test]
fn a_missing_file_or_folder_is_told() {
    let scratch = Scratch::new();
    run_in(&scratch, &[], &["config", "check"])
        .exits(3)
        .says(&["there is no source", "init kafka"]);
    run_in(&scratch, &[], &["run", "--config", "nope.toml"])
        .exits(3)
        .says(&["there is no such file", "nope.toml"]);
    // Without the file it is not known which rules are meant: none are compiled.
    let broken = scratch.write("rules/broken.sql", "SELECT 1\n");
    let run =
        run_in(&scratch, &[("SLUICE_RULES", &broken)], &["config", "check", "--config", "no"]);
    assert!(!run.exits(3).says(&["there is no such file"]).stderr.contains("broken.sql"));
    scratch.write("sluice.toml", format!("mappings = [\"builtin\", \"./nowhere\"]\n{EXAMPLE}"));
    run_in(&scratch, &[], &["config", "check"]).exits(3).says(&["nowhere", "files and folders"]);
}

#[test]
fn rules_that_do_not_load_are_exit_2_of_a_service() {
    let scratch = Scratch::new();
    scratch.write("sluice.toml", EXAMPLE);
    let rules = scratch.write("rules/broken.sql", "SELECT 1\n");
    run_in(&scratch, &[("SLUICE_RULES", &rules)], &["run"]).exits(2).says(&["broken.sql"]);
}

#[test]
fn no_secret_comes_out_of_any_verb() {
    const CANARY: &str = "c4n4ry-s3cret";
    let scratch = Scratch::new();
    let key = scratch.write("key", CANARY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let good = EXAMPLE.replace(
        "\"fetch.wait.max.ms\" = \"50\"",
        &format!("\"sasl.password\" = \"${{env:CANARY}}\"\n\"ssl.key.password\" = \"file:{key}\""),
    );
    let literal = EXAMPLE.replace(
        "\"fetch.wait.max.ms\" = \"50\"",
        &format!("\"sasl.password\" = \"{CANARY}\"\n\"sasl.pasword\" = \"{CANARY}\" oops"),
    );
    let in_url = EXAMPLE.replace("127.0.0.1:9092", &format!("u:{CANARY}@h:9092"));
    // No rules: loading them is no part of this.
    scratch.write("no-rules/README", "");
    let env = [("CANARY", CANARY), ("RUST_BACKTRACE", "1"), ("SLUICE_RULES", "./no-rules")];
    for (text, code) in [(&good, 0), (&literal, 3), (&in_url, 3)] {
        scratch.write("sluice.toml", text);
        for verb in [
            &["config", "show"][..],
            &["config", "show", "--output", "json", "-vv"],
            &["config", "check"],
            &["config", "check", "--output", "json", "-vv"],
        ] {
            let run = run_in(&scratch, &env, verb).exits(code);
            let all = format!("{}{}", run.stdout, run.stderr);
            assert!(!all.contains(CANARY), "{verb:?}\n{all}");
        }
    }
    scratch.write("sluice.toml", &good);
    let settings = shown(&run_in(&scratch, &env, &["config", "show"]));
    let password = &settings["sources.okta.kafka.librdkafka.\"sasl.password\""].0;
    assert_eq!(password, "${env:CANARY}");
    run_in(&scratch, &[], &["config", "check"])
        .exits(3)
        .says(&["the environment variable CANARY is not set"]);
    scratch.write("sluice.toml", &literal);
    run_in(&scratch, &env, &["config", "check"]).exits(3).says(&[
        "`sasl.password` holds a secret",
        "${env:NAME}",
        "\"sasl.password\" = ***",
    ]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    scratch.write("sluice.toml", &good);
    run_in(&scratch, &env, &["config", "check"])
        .exits(3)
        .says(&["everybody on this machine can read the key", "chmod 600"]);
}

#[test]
fn the_outside_is_only_looked_at_when_asked() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = format!(
        "data_dir = \"./data\"\n[api]\nlisten = \"{address}\"\n[sources.push]\nhttp = {{}}\n"
    );
    scratch.write("sluice.toml", &text);
    run_in(&scratch, &[], &["config", "check"]).exits(0);
    run_in(&scratch, &[], &["config", "check", "--connect"])
        .exits(3)
        .says(&["cannot listen on 127.0.0.1:", "./sluice.toml:3:10"]);
    drop(taken);
    scratch.write("data/of-somebody-else", "x");
    run_in(&scratch, &[], &["config", "check", "--connect"]).exits(3).says(&[
        "is not empty and not of Sluice",
        "`of-somebody-else`",
        "./sluice.toml:1:12",
    ]);
    fs::remove_dir_all(scratch.path("data")).unwrap();
    scratch.write("sluice.toml", format!("{text}[engine]\nmin_free = \"1000TiB\"\n"));
    run_in(&scratch, &[], &["config", "check", "--connect"])
        .exits(3)
        .says(&["MiB are free, below"]);
}

#[test]
fn what_init_writes_is_accepted_and_never_over_a_file() {
    let scratch = Scratch::new();
    let arguments = ["init", "kafka", "--brokers", "a:9092,b:9092", "--topic", "x", "--topic", "y"];
    run_in(&scratch, &[], &arguments).exits(0).prints(&["sluice.toml"]);
    let written = fs::read_to_string(scratch.path("sluice.toml")).unwrap();
    run_in(&scratch, &[], &["config", "check"]).exits(0).says(&["0 errors, 0 warnings"]);
    let settings = shown(&run_in(&scratch, &[], &["config", "show"]));
    assert_eq!(settings["sources.kafka.kafka.brokers"].0, "a:9092,b:9092");
    assert_eq!(settings["sources.kafka.kafka.topics"].0, serde_json::json!(["x", "y"]));
    // What is commented out is right too.
    let all: Vec<&str> = written
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest,
            _ => line,
        })
        .collect();
    let all = all
        .join("\n")
        .replace("\"./rules\"", "\"builtin\"")
        .replace("\"./mappings\"", "\"builtin\"");
    scratch.write("all.toml", all);
    let env = [("KAFKA_PASSWORD", "x")];
    run_in(&scratch, &env, &["config", "check", "--config", "all.toml"]).exits(0);

    run_in(&scratch, &[], &["init", "kafka"])
        .exits(3)
        .says(&["sluice.toml is already there", "--force"]);
    assert_eq!(fs::read_to_string(scratch.path("sluice.toml")).unwrap(), written);
    run_in(&scratch, &[], &["init", "kafka", "--force"]).exits(0);
    assert_ne!(fs::read_to_string(scratch.path("sluice.toml")).unwrap(), written);
    let run =
        run_in(&scratch, &[], &["init", "kafka", "--mapping", "okta.sytem", "--output-file", "-"]);
    run.exits(3).says(&["did you mean `okta.system`?"]);
    let run = run_in(&scratch, &[], &["init", "kafka", "--topic", "a b\"\n", "--output-file", "-"]);
    run.exits(3).says(&["cannot be the name of a topic"]);
}

#[test]
fn the_schema_is_json_and_forbids_unknown_keys() {
    let schema: Value =
        serde_json::from_str(&sluice(&["config", "schema"]).exits(0).stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["api"]["properties"]["listen"]["default"], "127.0.0.1:7777");
}

#[test]
fn a_broker_that_is_gone_is_told_where_it_is_named() {
    let scratch = Scratch::new();
    // Bound and let go: nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = EXAMPLE.replace("127.0.0.1:9092", &gone).replace("127.0.0.1:7777", "127.0.0.1:0");
    scratch.write("sluice.toml", text);
    run_in(&scratch, &[], &["config", "check", "--connect"]).exits(3).says(&[
        "./sluice.toml:6:",
        "error[C010]",
        "1 errors, 0 warnings",
    ]);
}
