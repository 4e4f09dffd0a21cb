//! The options that go to the Kafka client as they are, `[sources.NAME.kafka.librdkafka]`: which of
//! them are ours, which hold secrets.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value as Json, json};
use sluice_rule::Diagnostic;

use super::{
    reader::{Effective, Problem, Reader, Setting},
    secret::{self, Readable, Secret},
    tree::{Raw, SettingNode},
};

/// Options by name, secrets as references.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Options(BTreeMap<String, String>);

/// An option whose reference leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// The option.
    pub(crate) option: String,
    /// Why.
    pub(crate) primary: String,
    /// How to mend it.
    pub(crate) hint: String,
}

/// Options that this program sets itself, with the reason.
const OWNED: [(&str, &str); 13] = [
    ("bootstrap.servers", "write `brokers` of the kafka table"),
    ("metadata.broker.list", "write `brokers` of the kafka table"),
    ("group.id", "write `group` of the kafka table"),
    ("auto.offset.reset", "write `start`; a position that is gone must be seen, not skipped"),
    ("enable.auto.commit", "positions are committed when what they cover is durable"),
    ("auto.commit.enable", "positions are committed when what they cover is durable"),
    ("auto.commit.interval.ms", "positions are committed when what they cover is durable"),
    ("enable.auto.offset.store", "positions are committed when what they cover is durable"),
    ("offset.store.method", "positions are kept in the store of findings"),
    ("offset.store.path", "positions are kept in the store of findings"),
    ("statistics.interval.ms", "lag and idleness are read from the statistics"),
    ("log.queue", "the client's log goes to the log of this process"),
    ("enable.partition.eof", "the end of a partition is how an idle one is told"),
];

/// Options that load code or run commands: whoever writes the configuration would run as this process.
const CODE: [&str; 6] = [
    "plugin.library.paths",
    "ssl.engine.location",
    "ssl.engine.id",
    "ssl_engine_callback_data",
    "ssl.providers",
    "sasl.kerberos.kinit.cmd",
];

/// Options that name a file with a private key.
const KEY_FILES: [&str; 2] = ["ssl.key.location", "ssl.keystore.location"];

impl Options {
    /// An option as it was written.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The options with their references followed.
    ///
    /// # Errors
    /// Every option whose reference leads nowhere.
    pub(crate) fn resolve(
        &self,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, Secret>, Vec<Unresolved>> {
        let mut resolved = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, value) in &self.0 {
            match secret::resolve(value, &env) {
                Ok(secret) => {
                    resolved.insert(name.clone(), secret);
                }
                Err((primary, hint)) => {
                    wrong.push(Unresolved { option: name.clone(), primary, hint });
                }
            }
        }
        if wrong.is_empty() { Ok(resolved) } else { Err(wrong) }
    }

    /// What is wrong with who may read the key files: option, level, text, hint.
    pub(crate) fn exposed_files(&self) -> Vec<(String, bool, String, String)> {
        let file = |name: &str, value: &str| {
            let path = secret::file_of(value).map(ToOwned::to_owned);
            path.or_else(|| KEY_FILES.contains(&name).then(|| value.into()))
        };
        let files = self.0.iter().filter_map(|(name, value)| Some((name, file(name, value)?)));
        files
            .filter_map(|(name, path)| {
                let shown = path.display();
                let (error, who) = match secret::readable(&path)? {
                    Readable::Owner => return None,
                    Readable::Group => (false, "its group"),
                    Readable::World => (true, "everybody"),
                };
                let what = format!("{who} on this machine can read the key in {shown}");
                Some((name.clone(), error, what, format!("chmod 600 {shown}")))
            })
            .collect()
    }
}

/// Values that are references are shown; others of secret names never are.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, value)| (name, shown(name, value))))
            .finish()
    }
}

fn shown<'v>(name: &str, value: &'v str) -> &'v str {
    if secret::is_written_out(name, value) { secret::MASK } else { value }
}

impl Setting for Options {
    fn read(reader: &mut Reader<'_>, key: &'static str, _default: &'static str) -> Self {
        let mut options = Options::default();
        if reader.entry(key).is_none() {
            return options;
        }
        let reader = reader.below(key);
        for name in reader.keys() {
            let path = reader.path(name);
            let Some(entry) = reader.entry(name) else { continue };
            let (raw, at) = match &entry.node {
                SettingNode::Leaf(raw, at) => (raw, at),
                SettingNode::Table(_) => {
                    let wrong = Diagnostic::error("C003", "", format!("`{path}` is a table")).hint(
                        "names of options have dots: write them in quotes, \
                               \"fetch.wait.max.ms\" = \"50\"",
                    );
                    reader.notes.problems.push(Problem::at(wrong, Some(&entry.key)));
                    continue;
                }
            };
            let mut refuse = |primary: String, hint: &str| {
                let wrong = Diagnostic::error("C006", "", primary).hint(hint);
                reader.notes.problems.push(Problem::at(wrong, Some(at)));
            };
            if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
                refuse(format!("`{name}` is not yours to set here"), reason);
                continue;
            }
            if CODE.contains(&name) {
                refuse(
                    format!("`{name}` loads code or runs a command: it is not taken"),
                    "leave it out; certificates and keys go by `ssl.*.location` and `ssl.*.pem`",
                );
                continue;
            }
            let value = match raw {
                Raw::Text(text) | Raw::Loose(text) => text.clone(),
                Raw::Integer(number) => number.to_string(),
                Raw::Bool(value) => value.to_string(),
                Raw::Other(_, number) => number.clone(),
                Raw::List(_) => {
                    refuse(format!("`{path}`: a string is needed"), "\"a,b\" for several");
                    continue;
                }
            };
            if secret::is_written_out(name, &value) {
                refuse(
                    format!("`{name}` holds a secret: it must not be in the configuration"),
                    "\"${env:NAME}\" takes it from an environment variable, \"file:/path\" from a \
                     file with mode 0600",
                );
                continue;
            }
            reader.notes.effective.push(Effective {
                path,
                value: value.as_str().into(),
                origin: Some(at.clone()),
            });
            options.0.insert(name.to_owned(), value);
        }
        options
    }

    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}})
    }
}
