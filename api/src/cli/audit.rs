//! `sluice audit ..`: checks the audit log of a data directory. Needs no server and changes nothing.

use std::{io, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Format,
    exit::{Exit, Failure},
    output::Output,
};
use crate::audit;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Check every record of the audit log
    Verify(Verify),
}

impl AuditVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            AuditVerb::Verify(verb) => verb.run(out),
        }
    }
}

/// Exit code 1 if a record is not as it was written, was taken out, or the end was cut off. The last
/// shows only against a newest record that was kept elsewhere: `GET /api/v1/audit` gives it.
///
///   sluice audit verify --data-dir ./data
///   sluice audit verify --data-dir ./data --head 1042:9f86d081884c..
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Verify {
    /// The `data_dir` of the configuration.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// A record that must be there: its number and its hash.
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<String>,
}

impl Verify {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let known = self.head.as_deref().map(parse_head).transpose()?;
        let shown = self.data_dir.display();
        let failed = |error: io::Error| {
            Failure::argument(
                format!("cannot read the audit log of {shown}: {error}"),
                "--data-dir names the `data_dir` of the configuration",
            )
        };
        let found = audit::verify(&self.data_dir).map_err(failed)?;
        let mut problem = found.broken.clone();
        if let (None, Some((seq, hash))) = (&problem, &known) {
            let log = audit::AuditLog::new(&self.data_dir);
            let there = log.after(seq.saturating_sub(1), 1).map_err(failed)?;
            problem = match there.first() {
                Some((record, own)) if record.seq == *seq && own == hash => None,
                Some((record, _)) if record.seq == *seq => {
                    Some((*seq, "it is another record than the one given".to_owned()))
                }
                _ => Some((found.records + 1, format!("the end is cut off before record {seq}"))),
            };
        }
        let summary = json!({
            "records": found.records, "head": {"seq": found.head.seq, "hash": found.head.hash},
            "torn_lines": found.torn,
            "first_bad": problem.as_ref().map(|(seq, why)| json!({"seq": seq, "reason": why})),
        });
        match out.format() {
            Format::Json => out.json(&summary)?,
            Format::Ndjson => out.json_line(&summary)?,
            Format::Table | Format::Md => {
                out.line(&format!(
                    "{} records, head {}:{}",
                    found.records, found.head.seq, found.head.hash
                ))?;
            }
        }
        out.flush()?;
        for line in &found.torn {
            eprintln!("line {line} was cut short by a crash; the records around it chain");
        }
        let Some((seq, why)) = problem else { return Ok(Exit::Done) };
        eprintln!("error: the audit log does not hold from record {seq} on: {why}");
        Ok(Exit::CheckFailed)
    }
}

fn parse_head(text: &str) -> Result<(u64, String), Failure> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| {
        let hex = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        Some((seq.parse().ok()?, hash.to_ascii_lowercase())).filter(|_| hex)
    });
    parsed.ok_or_else(|| {
        Failure::argument(
            format!("`{text}` is not the number and hash of a record"),
            "SEQ:HASH as `sluice audit verify` prints it",
        )
    })
}
