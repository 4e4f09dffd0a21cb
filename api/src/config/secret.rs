//! Secrets: in the configuration only as references, in memory behind a type that does not show
//! them, and masked where a line of a file is shown.

use std::{fmt, fs, path::Path};

use sluice_ingest::files;

/// A larger file holds no secret.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// A resolved secret. Its `Debug` and every other way of showing it hide it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The secret itself, for the client that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a value asks for that is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<'t> {
    Literal(&'t str),
    Env(&'t str),
}

/// Whether a value refers to secrets: `${env:NAME}` anywhere in it, or `file:/path` as a whole.
pub(crate) fn is_reference(value: &str) -> bool {
    file_of(value).is_some() || pieces(value).iter().any(|p| matches!(p, Piece::Env(_)))
}

/// The file of `file:/path`.
pub(crate) fn file_of(value: &str) -> Option<&Path> {
    value.strip_prefix("file:").filter(|path| path.starts_with('/')).map(Path::new)
}

/// The value with its references followed.
///
/// # Errors
/// What cannot be followed and how to mend it: (what, hint). No contents.
pub(crate) fn resolve(
    value: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Secret, (String, String)> {
    if let Some(path) = file_of(value) {
        let text = files::read_text(path, MAX_SECRET_BYTES).map_err(|e| {
            (
                format!("cannot read the secret in {}: {e}", path.display()),
                "name a file that this user can read, with mode 0600".to_owned(),
            )
        })?;
        // The line break that editors add is no part of it.
        return Ok(Secret(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    let mut whole = String::new();
    for piece in pieces(value) {
        match piece {
            Piece::Literal(text) => whole.push_str(text),
            Piece::Env(name) => whole.push_str(&env(name).ok_or_else(|| {
                (
                    format!("the environment variable {name} is not set"),
                    format!("set it for this process: {name}=.. sluice run"),
                )
            })?),
        }
    }
    Ok(Secret(whole))
}

fn pieces(value: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${env:") {
        let Some((name, after)) = after.split_once('}') else { break };
        found.extend([Piece::Literal(before), Piece::Env(name)]);
        rest = after;
    }
    found.push(Piece::Literal(rest));
    found
}

/// Who may read a file that holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Its owner.
    Owner,
    /// Its group too.
    Group,
    /// Everybody.
    World,
}

/// Who may read a file; `None` if there is none, or that cannot be told.
pub(crate) fn readable(path: &Path) -> Option<Readable> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    Some(match mode {
        mode if mode & 0o004 != 0 => Readable::World,
        mode if mode & 0o040 != 0 => Readable::Group,
        _ => Readable::Owner,
    })
}

/// Whether everybody on the machine may read a file.
pub(crate) fn readable_by_all(path: &Path) -> bool {
    readable(path) == Some(Readable::World)
}

/// Words in the name of a setting that holds a secret.
const SECRET_WORDS: [&str; 9] =
    ["pass", "pasw", "pwd", "secret", "token", "credential", ".pem", "jaas", "oauthbearer.config"];

/// Whether a setting of this name holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !PUBLIC.contains(&name.as_str())
}

/// Settings that sound like secrets and are none.
const PUBLIC: [&str; 3] =
    ["ssl.certificate.pem", "ssl.ca.pem", "sasl.oauthbearer.token.endpoint.url"];

/// Whether a setting holds a secret as it is, and not as a reference.
pub(crate) fn is_written_out(name: &str, value: &str) -> bool {
    file_of(value).is_none() && (is_secret(name) && !is_reference(value) || looks_secret(value))
}

/// Whether a value is a secret by its looks, whatever its setting is called: a URL with a password, a
/// private key, a token, or a list of words with a password among them. What is a reference is none.
pub(crate) fn looks_secret(value: &str) -> bool {
    // Where a reference stands is no password.
    const REFERENCE: char = '\u{1a}';
    let mut literal = String::with_capacity(value.len());
    for piece in pieces(value) {
        match piece {
            Piece::Literal(text) => literal.push_str(text),
            Piece::Env(_) => literal.push(REFERENCE),
        }
    }
    let said = |secret: &str| secret.chars().any(|c| c != REFERENCE);
    let with_password = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        user.split_once(':').is_some_and(|(_, password)| said(password))
    };
    let named = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        let given = rest.trim_start_matches(['"', '\'', '\\', ' ']).strip_prefix(['=', ':']);
        let given = given.map(|text| text.trim_start_matches(['"', '\'', '\\', ' ']));
        given.is_some_and(|text| text.chars().next().is_some_and(|c| c != REFERENCE))
    };
    let lower = literal.to_ascii_lowercase();
    literal.split("://").skip(1).any(with_password)
        || literal.contains("PRIVATE KEY")
        || literal
            .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'))
            .any(|word| word.contains("slc_") || word.starts_with("eyJ") && word.contains('.'))
        || SECRET_WORDS.iter().any(|word| lower.split(word).skip(1).any(named))
}

/// A file's text with every line hidden that may hold a secret: what is shown around a mistake. Lines
/// stay lines, and a key stays readable. Strings and keys of several lines are hidden as a whole.
pub(crate) fn masked(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = Vec::with_capacity(lines.len());
    let mut rest = lines.as_slice();
    while let Some(first) = rest.first() {
        let (block, after) = rest.split_at_checked(block(rest)).unwrap_or((rest, &[]));
        rest = after;
        let secret = may_hold_secret(first) || block.len() > 1 && looks_secret(&block.join("\n"));
        if !secret {
            shown.extend(block.iter().map(|line| masked_line(line)));
            continue;
        }
        shown.push(hidden(first));
        shown.extend(block.iter().skip(1).map(|_| MASK.to_owned()));
    }
    shown.join("\n")
}

/// How many of these lines belong together: a string in three quotes, a private key.
fn block(lines: &[&str]) -> usize {
    let Some((first, rest)) = lines.split_first() else { return 0 };
    let quotes = ["\"\"\"", "'''"].into_iter().find(|q| first.matches(q).count() % 2 == 1);
    let end = match quotes {
        Some(quotes) => quotes,
        None if first.contains("-----BEGIN") && !first.contains("-----END") => "-----END",
        None => return 1,
    };
    // One that does not end goes on to the end of the file.
    let last = rest.iter().position(|line| line.contains(end));
    last.map_or(lines.len(), |at| at + 2)
}

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

fn may_hold_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let named = SECRET_WORDS.iter().any(|word| lower.contains(word)) || line.contains('@');
    named && line.contains('=') || looks_secret(line)
}

fn masked_line(line: &str) -> String {
    if may_hold_secret(line) { hidden(line) } else { line.to_owned() }
}

/// A line with all that follows its first `=` hidden; all of it if it has none.
fn hidden(line: &str) -> String {
    match line.split_once('=') {
        // `slc_.. = 1`: the secret may be the key.
        Some((name, _)) if !looks_secret(name) => format!("{name}= {MASK}"),
        _ => MASK.to_owned(),
    }
}

/// A message with the values hidden that it quotes in backquotes, if they are secrets by their looks.
pub(crate) fn masked_message(text: &str) -> String {
    let hide = |(at, part): (usize, &str)| match at % 2 == 1 && looks_secret(part) {
        true => MASK.to_owned(),
        false => part.to_owned(),
    };
    text.split('`').enumerate().map(hide).collect::<Vec<_>>().join("`")
}
