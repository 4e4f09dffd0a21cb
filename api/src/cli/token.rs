//! `sluice token ..`: make, list and revoke tokens. Works on the data directory, so it needs no
//! server; a running one sees the change within a second. Not how tokens are kept (see
//! [`crate::tokens`]).

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use sluice_event::rfc3339;
use sluice_rule::{parse_duration, suggest};

use super::{
    Format,
    exit::{Exit, Failure},
    output::{Output, printable},
};
use crate::{
    audit::{AuditLog, Entry},
    clock, node,
    tokens::{Role, TokenInfo, Tokens},
};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token and print it; it is shown this once
    Create(Create),
    /// Print every token but its secret
    List(List),
    /// End a token at once
    Revoke(Revoke),
}

impl TokenVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            TokenVerb::Create(verb) => verb.run(out),
            TokenVerb::List(verb) => verb.run(out),
            TokenVerb::Revoke(verb) => verb.run(out),
        }
    }
}

/// The token alone is on stdout.
///
///   export SLUICE_TOKEN=$(sluice token create --data-dir ./data --role admin)
///   sluice token create --data-dir ./data --role ingest --input push --expires 90d
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Create {
    /// The `data_dir` of the configuration.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// What it may do: viewer, analyst, rule_author, responder, admin, auditor, ingest or metrics.
    #[arg(long)]
    role: String,
    /// What to call it, as the history of findings shows it; default: the role.
    #[arg(long)]
    name: Option<String>,
    /// When it ends, from now: 90d. Default: never.
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    /// An input it may push to, role `ingest` only; may be given again. Default: all.
    #[arg(long = "input", value_name = "INPUT")]
    inputs: Vec<String>,
}

impl Create {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let role = role(&self.role)?;
        let now = clock::now();
        let expires = self.expires.as_deref().map(|text| lifetime(text, now)).transpose()?;
        node::make_data_dir(&self.data_dir)?;
        let tokens = open(&self.data_dir)?;
        let name = match self.name {
            Some(name) => name,
            None => free_name(role.name(), &tokens.list()),
        };
        let inputs = (!self.inputs.is_empty()).then_some(self.inputs);
        let text = tokens.create(&name, role, expires, inputs, now)?;
        recorded(&self.data_dir, "token.create", &json!({"name": name, "role": role.name()}))?;
        // Not through `printable`: it is made of harmless characters and must come out as it is.
        out.text(&format!("{text}\n"))?;
        out.flush()?;
        if !out.quiet() {
            let end =
                expires.map_or("does not expire".to_owned(), |t| format!("ends {}", rfc3339(t)));
            eprintln!("token `{name}`, role {}, {end}; it is not shown again", role.name());
        }
        Ok(Exit::Done)
    }
}

/// Which tokens there are.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The `data_dir` of the configuration.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
}

impl List {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let tokens = open(&self.data_dir)?.list();
        let time = |t: Option<i64>| t.map(rfc3339);
        let list: Vec<Json> = tokens
            .iter()
            .map(|t| {
                json!({
                    "id": t.id, "name": t.name, "role": t.role.name(), "inputs": t.inputs,
                    "created": rfc3339(t.created), "expires": time(t.expires),
                    "last_used": time(t.last_used),
                })
            })
            .collect();
        match out.format() {
            Format::Json => out.json(&list.into())?,
            Format::Ndjson => list.iter().try_for_each(|t| out.json_line(t))?,
            Format::Table | Format::Md => {
                let dash = |t: Option<i64>| t.map_or_else(|| "-".to_owned(), rfc3339);
                let rows: Vec<Vec<String>> = tokens
                    .iter()
                    .map(|t| {
                        let inputs = t.inputs.as_ref().map_or("all".to_owned(), |i| i.join(","));
                        let inputs = if t.role == Role::Ingest { inputs } else { "-".to_owned() };
                        let role = t.role.name().to_owned();
                        let (end, used) = (dash(t.expires), dash(t.last_used));
                        vec![t.id.clone(), printable(&t.name), role, inputs, end, used]
                    })
                    .collect();
                out.table(&["ID", "NAME", "ROLE", "INPUTS", "EXPIRES", "LAST USED"], &rows)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Requests with it are refused from the next second on.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The id of the token, or its name.
    id: String,
    /// The `data_dir` of the configuration.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
}

impl Revoke {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let tokens = open(&self.data_dir)?;
        if !tokens.revoke(&self.id)? {
            return Err(Failure::argument(
                format!("there is no token `{}` in {}", self.id, self.data_dir.display()),
                "`sluice token list` shows ids and names",
            ));
        }
        recorded(&self.data_dir, "token.revoke", &json!({"which": self.id}))?;
        if !out.quiet() {
            eprintln!("token `{}` is revoked", self.id);
        }
        Ok(Exit::Done)
    }
}

/// The tokens of a directory.
///
/// # Errors
/// If there is no such directory, or its file of tokens cannot be read.
fn open(dir: &Path) -> Result<Tokens, Failure> {
    if !dir.is_dir() {
        return Err(Failure::argument(
            format!("there is no directory {}", dir.display()),
            "--data-dir names the `data_dir` of the configuration; `sluice config show` prints it",
        ));
    }
    Ok(Tokens::open(dir)?)
}

/// Records in the audit log what this user of the machine did.
pub(super) fn recorded(dir: &Path, action: &str, detail: &Json) -> Result<(), Failure> {
    let entry = Entry::of_user(action, detail.clone());
    AuditLog::new(dir).append(entry, clock::now()).map(drop).map_err(|error| {
        Failure::argument(
            format!("it is done, but cannot be recorded in the audit log: {error}"),
            "run it as the user that owns the data directory",
        )
    })
}

fn role(text: &str) -> Result<Role, Failure> {
    let names: Vec<&str> = Role::ALL.iter().map(|r| r.name()).collect();
    Role::parse(text).ok_or_else(|| {
        let near = suggest(text, names.iter().copied())
            .map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        Failure::argument(
            format!("no role `{text}`"),
            format!("{near}there are: {}", names.join(", ")),
        )
    })
}

fn lifetime(text: &str, now: i64) -> Result<i64, Failure> {
    let end = parse_duration(text).filter(|d| *d > 0).and_then(|d| now.checked_add(d));
    end.ok_or_else(|| {
        Failure::argument(format!("`{text}` is not a duration"), "a number with a unit: 12h, 90d")
    })
}

/// `admin`, or `admin-2` if that is taken.
fn free_name(wanted: &str, tokens: &[TokenInfo]) -> String {
    let taken = |name: &str| tokens.iter().any(|t| t.name == name);
    let numbered = (2..).map(|n| format!("{wanted}-{n}"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|n| !taken(n)).unwrap_or_default()
}
