//! `sluice dlq ..`: records that could not become rows. Through a running server; to look at them,
//! or drop them, when none runs, from the store itself.

mod show;
mod store;

use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use sluice_engine::durable::LetterFilter;
use sluice_event::rfc3339;
use sluice_ingest::DeadLetterCode;
use sluice_rule::{parse_duration, resolve_time, suggest};

use super::{
    Format,
    client::{Client, ServerArgs},
    exit::{Exit, Failure},
    output::{Output, printable},
    token::recorded,
};
use crate::clock;

#[derive(Debug, Subcommand)]
pub(crate) enum DlqVerb {
    /// Print dead letters, oldest first
    List(List),
    /// Print one: the reason, where it was read, its bytes
    Show(Show),
    /// Send them through the current mappings again
    Replay(Replay),
    /// Remove them for good
    Drop(Drop),
}

impl DlqVerb {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        match self {
            DlqVerb::List(verb) => verb.run(out),
            DlqVerb::Show(verb) => verb.run(out),
            DlqVerb::Replay(verb) => verb.run(out),
            DlqVerb::Drop(verb) => verb.run(out),
        }
    }
}

/// Where the dead letters are.
#[derive(Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Open the store itself; only while no server runs on it.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data_dir: Option<PathBuf>,
}

/// Which dead letters; all that is given must fit.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Of this mapping source.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// With this code: bad_json, no_mapping, ..
    #[arg(long)]
    code: Option<String>,
    /// Received since: a time, or how long ago: 24h.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

impl FilterArgs {
    fn filter(&self) -> Result<LetterFilter, Failure> {
        Ok(LetterFilter {
            source: self.source.clone(),
            code: self.code.as_deref().map(code).transpose()?,
            since: self.since.as_deref().map(since).transpose()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.source.is_none() && self.code.is_none() && self.since.is_none()
    }
}

/// Letters asked for at a time.
const PAGE: usize = 500;

/// A place to ask for dead letters.
enum Letters {
    Server(Client),
    Store(store::Opened),
}

impl Letters {
    fn open(place: &PlaceArgs) -> Result<Letters, Failure> {
        match &place.data_dir {
            Some(dir) => store::Opened::open(dir).map(Letters::Store),
            None => Client::new(&place.server).map(Letters::Server),
        }
    }

    /// Hands on each letter as JSON until `limit`.
    fn each(
        &self,
        filter: &LetterFilter,
        limit: usize,
        mut hand: impl FnMut(Json) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let mut handed = 0;
        let mut after: Option<String> = None;
        while handed < limit {
            let page = PAGE.min(limit - handed);
            let (items, next) = match self {
                Letters::Store(store) => store.page(filter, after.as_deref(), page)?,
                Letters::Server(client) => server_page(client, filter, after, page)?,
            };
            handed += items.len();
            items.into_iter().try_for_each(&mut hand)?;
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(handed)
    }

    fn one(&self, id: &str) -> Result<Json, Failure> {
        well_formed(id)?;
        match self {
            Letters::Store(store) => store.one(id),
            Letters::Server(client) => client.get(&format!("/dead-letters/{id}"), &[]),
        }
    }

    fn drop(&self, ids: &[String]) -> Result<u64, Failure> {
        match self {
            Letters::Store(store) => store.drop(ids),
            Letters::Server(client) => {
                let answer = client.post("/dead-letters/drop", &json!({"ids": ids}))?;
                Ok(answer["dropped"].as_u64().unwrap_or(0))
            }
        }
    }

    /// The ids that are meant: those named, else all that the filter lets through.
    fn ids(&self, named: &[String], filter: &FilterArgs) -> Result<Vec<String>, Failure> {
        if !named.is_empty() {
            named.iter().try_for_each(|id| well_formed(id))?;
            return Ok(named.to_vec());
        }
        let mut ids = Vec::new();
        self.each(&filter.filter()?, usize::MAX, |letter| {
            ids.extend(letter["id"].as_str().map(str::to_owned));
            Ok(())
        })?;
        Ok(ids)
    }
}

fn server_page(
    client: &Client,
    filter: &LetterFilter,
    cursor: Option<String>,
    limit: usize,
) -> Result<(Vec<Json>, Option<String>), Failure> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(filter.source.clone().map(|s| ("source", s)));
    query.extend(filter.code.map(|c| ("code", c.name().to_owned())));
    query.extend(filter.since.map(|s| ("since", rfc3339(s))));
    query.extend(cursor.map(|c| ("cursor", c)));
    let mut answer = client.get("/dead-letters", &query)?;
    let items = match answer["items"].take() {
        Json::Array(items) => items,
        _ => Vec::new(),
    };
    Ok((items, answer["next_cursor"].as_str().map(str::to_owned)))
}

/// Oldest first.
///
///   sluice dlq list --code bad_json --since 24h
///   sluice dlq list --output ndjson | jq -r .message | sort | uniq -c
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    place: PlaceArgs,
}

impl List {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let (filter, letters) = (self.filter.filter()?, Letters::open(&self.place)?);
        let mut found = Vec::new();
        let handed = letters.each(&filter, self.limit, |letter| {
            found.push(letter);
            Ok(())
        })?;
        match out.format() {
            Format::Json => out.json(&found.into())?,
            Format::Ndjson => found.iter().try_for_each(|l| out.json_line(l))?,
            Format::Table | Format::Md => {
                let rows: Vec<Vec<String>> = found.iter().map(show::row).collect();
                out.table(&["ID", "RECEIVED", "SOURCE", "CODE", "WHERE", "MESSAGE"], &rows)?;
            }
        }
        if handed == self.limit && !out.quiet() {
            eprintln!("there may be more: --limit");
        }
        Ok(Exit::Done)
    }
}

/// Its bytes are escaped: nothing in them acts on the terminal.
///
///   sluice dlq show 0123456789abcdef0123456789abcdef
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Show {
    /// Its id, as `dlq list` shows it.
    id: String,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Show {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let letter = Letters::open(&self.place)?.one(&self.id)?;
        match out.format() {
            Format::Json => out.json(&letter)?,
            Format::Ndjson => out.json_line(&letter)?,
            Format::Table | Format::Md => {
                show::text(&letter).iter().try_for_each(|line| out.line(line))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Each goes through the mapping that is there now, with the time it was first received. Those that
/// make rows are removed; those that fail again stay, with their present reason. Exit code 1 if one
/// failed again.
///
///   sluice dlq replay --source okta.system --code mapping_error
///   sluice dlq replay 0123456789abcdef0123456789abcdef
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Replay {
    /// Ids; default: all that the filter lets through.
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Replay {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        if self.place.data_dir.is_some() {
            return Err(Failure::argument(
                "replay needs a running server",
                "its findings depend on what the rules remember, which only the running engine \
                 changes: start `sluice run`, then `sluice dlq replay --url ..`",
            ));
        }
        let letters = Letters::open(&self.place)?;
        let Letters::Server(client) = &letters else { return Ok(Exit::Done) };
        let ids = letters.ids(&self.ids, &self.filter)?;
        let (mut replayed, mut failed) = (0, 0);
        for part in ids.chunks(PAGE) {
            let answer = client.post("/dead-letters/replay", &json!({"ids": part}))?;
            replayed += answer["replayed"].as_u64().unwrap_or(0);
            for failure in answer["failed"].as_array().into_iter().flatten() {
                failed += 1;
                if out.format() == Format::Table {
                    let text = |key: &str| failure[key].as_str().unwrap_or("").to_owned();
                    out.line(&format!("{}  {}", text("id"), text("reason")))?;
                } else {
                    out.json_line(failure)?;
                }
            }
        }
        out.flush()?;
        eprintln!("{replayed} replayed, {failed} failed again");
        Ok(if failed == 0 { Exit::Done } else { Exit::CheckFailed })
    }
}

/// They cannot be brought back. Asks on a terminal; elsewhere it needs --yes.
///
///   sluice dlq drop --code empty --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Drop {
    /// Ids; without, a filter is needed.
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Drop {
    fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        if self.ids.is_empty() && self.filter.is_empty() {
            return Err(Failure::argument(
                "nothing says which dead letters to drop",
                "name ids, or --source, --code or --since",
            ));
        }
        if !self.yes && !io::stdin().is_terminal() {
            return Err(Failure::argument(
                "dropping dead letters cannot be undone",
                "--yes says that it is meant",
            ));
        }
        let letters = Letters::open(&self.place)?;
        let ids = letters.ids(&self.ids, &self.filter)?;
        if ids.is_empty() {
            eprintln!("there are none");
            return Ok(Exit::Done);
        }
        if !self.yes && !agreed(ids.len())? {
            eprintln!("nothing was dropped");
            return Ok(Exit::Done);
        }
        let mut dropped = 0;
        for part in ids.chunks(PAGE) {
            dropped += letters.drop(part)?;
        }
        // A server records it itself.
        if let Some(dir) = &self.place.data_dir {
            recorded(dir, "dead_letters.drop", &json!({"dropped": dropped}))?;
        }
        if !out.quiet() {
            eprintln!("{dropped} dropped");
        }
        Ok(Exit::Done)
    }
}

fn agreed(count: usize) -> Result<bool, Failure> {
    eprintln!("drop {count} dead letters for good? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Ids become part of a URL.
fn well_formed(id: &str) -> Result<(), Failure> {
    let hex = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if hex {
        return Ok(());
    }
    Err(Failure::argument(
        format!("`{}` is not the id of a dead letter", printable(id)),
        "32 hex digits, as `sluice dlq list` shows them",
    ))
}

fn code(text: &str) -> Result<DeadLetterCode, Failure> {
    DeadLetterCode::parse(text).ok_or_else(|| {
        let names = DeadLetterCode::ALL.map(DeadLetterCode::name);
        let near =
            suggest(text, names).map_or_else(String::new, |n| format!("did you mean `{n}`? "));
        Failure::argument(
            format!("no code `{text}`"),
            format!("{near}there are: {}", names.join(", ")),
        )
    })
}

fn since(text: &str) -> Result<i64, Failure> {
    let ago = parse_duration(text).map(|d| clock::now() - d);
    let absolute = text.starts_with(|c: char| c.is_ascii_digit());
    ago.or_else(|| absolute.then(|| resolve_time(text)).flatten()).ok_or_else(|| {
        Failure::argument(
            format!("`{text}` is not a time"),
            "RFC 3339, 2026-01-01T00:00:00Z, or how long ago: 24h",
        )
    })
}
