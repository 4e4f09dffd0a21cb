//! Running the binary, scratch folders and a few good records and rules. Not the checks.

pub(crate) mod endpoint;
pub(crate) mod kafka;
pub(crate) mod service;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// What one command line came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Run {
    /// Stdout as ndjson.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", self.stderr))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", head(&self.stdout), self.stderr);
        self
    }

    /// Checks that stderr has each of the texts.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "no `{text}` in stderr:\n{}", self.stderr);
        }
        self
    }

    /// Checks that stdout has each of the texts.
    #[track_caller]
    pub(crate) fn prints(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stdout.contains(text),
                "no `{text}` in stdout:\n{}\nstderr:\n{}",
                head(&self.stdout),
                self.stderr
            );
        }
        self
    }

    /// What the counters say of each source: received, mapped, to no row, set aside, dropped. They
    /// must add up.
    #[track_caller]
    pub(crate) fn counters(&self) -> Vec<(String, [u64; 5])> {
        assert!(!self.stderr.contains("do not add up"), "{}", self.stderr);
        let found: Vec<(String, [u64; 5])> = self
            .stderr
            .lines()
            .filter_map(|line| {
                let (source, rest) = line.split_once(": received ")?;
                let numbers: Vec<u64> =
                    rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
                Some((source.to_owned(), numbers.try_into().ok()?))
            })
            .collect();
        assert!(!found.is_empty(), "no counters in stderr:\n{}", self.stderr);
        for (source, [received, mapped, to_no_row, aside, dropped]) in &found {
            assert_eq!(*received, mapped + to_no_row + aside + dropped, "{source}");
        }
        found
    }
}

fn head(text: &str) -> String {
    text.chars().take(4_000).collect()
}

/// Runs the binary in the repository's folder.
pub(crate) fn sluice(arguments: &[&str]) -> Run {
    sluice_with(arguments, b"")
}

/// Runs the binary with something on stdin.
pub(crate) fn sluice_with(arguments: &[&str], stdin: &[u8]) -> Run {
    sluice_as(arguments, &[], stdin)
}

/// Runs the binary with variables in its environment and something on stdin.
pub(crate) fn sluice_as(arguments: &[&str], env: &[(&str, &str)], stdin: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(arguments)
        .current_dir(root())
        .env_remove("SLUICE_LOG")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A run that refuses its arguments never reads stdin.
        scope.spawn(move || input.write_all(stdin).is_ok());
        child.wait_with_output().unwrap()
    });
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Shared data beside the repository, or where `SLUICE_SHARED_DATA` says; `None`, with a printed
/// reason, where it is not there.
pub(crate) fn shared(below: &str) -> Option<PathBuf> {
    sluice_harness::shared_data(below)
}

/// A folder that goes away with it.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    /// Writes a file, its folders too; returns its path.
    pub(crate) fn write(&self, below: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The path of something below the folder.
    pub(crate) fn path(&self, below: &str) -> String {
        self.0.path().join(below).to_str().unwrap().to_owned()
    }
}

/// A good Okta record: a refused sign-in of `user`, its id `user` too.
pub(crate) fn okta(user: &str) -> String {
    format!(
        r#"{{"uuid":"{user}","published":"2026-01-01T09:00:00.000Z","eventType":"user.session.start","outcome":{{"result":"FAILURE","reason":"INVALID_CREDENTIALS"}},"actor":{{"id":"00u","type":"User","alternateId":"{user}"}},"client":{{"ipAddress":"203.0.113.9"}},"target":[]}}"#
    )
}

/// A good CloudTrail record: `user` reads a secret.
pub(crate) fn cloudtrail(user: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.08","userIdentity":{{"type":"IAMUser","principalId":"AIDA","accountId":"111122223333","userName":"{user}"}},"eventTime":"2026-01-01T09:00:00Z","eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.9","requestParameters":{{"secretId":"prod/db"}},"readOnly":true,"eventID":"{user}","recipientAccountId":"111122223333"}}"#
    )
}

/// A whole rule file that passes lint: `id`, a SELECT.
pub(crate) fn rule(id: &str, sql: &str) -> String {
    format!(
        "/*---\nid: {id}\ntitle: A rule of the tests\nseverity: low\nentity: {{user_name: user}}\n\
         false_positives: [none]\nrunbook: Ask.\n---*/\n{sql}\n"
    )
}

/// Every refused sign-in.
pub(crate) const REFUSED: &str =
    "SELECT time, user_name, src_ip\nFROM authentication\nWHERE status = 'Failure'";
