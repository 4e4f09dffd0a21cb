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

/// Whether a value is a secret by its looks, whatever its setting is called: a URL with a password, a
/// private key, a token, or a list of words with a password among them.
pub(crate) fn looks_secret(value: &str) -> bool {
    let with_password = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    };
    let lower = value.to_ascii_lowercase();
    value.split("://").skip(1).any(with_password)
        || value.contains("PRIVATE KEY")
        || value
            .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'))
            .any(|word| word.starts_with("slc_") || word.starts_with("eyJ") && word.contains('.'))
        || SECRET_WORDS.iter().any(|word| {
            lower.split_once(word).is_some_and(|(_, rest)| {
                rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).starts_with(['=', ':'])
            })
        })
}

/// A file's text with what follows the name of a secret hidden, and addresses with a user in them:
/// what is shown around a mistake. Lines stay lines.
pub(crate) fn masked(text: &str) -> String {
    let mut hiding: Option<&str> = None;
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            if let Some(quotes) = hiding {
                if line.contains(quotes) {
                    hiding = None;
                }
                return "***".to_owned();
            }
            let lower = line.to_ascii_lowercase();
            let word = SECRET_WORDS.iter().chain(&["@"]).filter_map(|w| lower.find(w)).min();
            // An `@` comes after the `=`, a name before it.
            let equals = word.and_then(|at| {
                let after = line.get(at..)?.find('=').map(|i| i + at);
                after.or_else(|| line.get(..at)?.find('='))
            });
            let equals = match lower.contains('@') {
                true => line.find('=').into_iter().chain(equals).min(),
                false => equals,
            };
            let Some((name, value)) = equals.and_then(|at| line.split_at_checked(at + 1)) else {
                return line.to_owned();
            };
            hiding = ["\"\"\"", "'''"].into_iter().find(|q| value.matches(q).count() % 2 == 1);
            format!("{name} ***")
        })
        .collect();
    lines.join("\n")
}
