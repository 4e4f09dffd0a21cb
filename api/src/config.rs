//! The configuration of a service: one TOML file and what may override it, merged leaf by leaf,
//! every problem at once. Not what is done with it (see `cli`), not its content: rules and mappings.
//!
//! Layers, weakest first: the default of each setting; `/etc/sluice/sluice.toml`;
//! `~/.config/sluice/sluice.toml`; `./sluice.toml` or the file named by `--config`; environment
//! variables `SLUICE_SECTION__KEY`; flags. Beside each file, `conf.d/*.toml` add to it, in name order.

mod check;
mod document;
mod layers;
mod options;
mod reader;
mod said;
mod secret;
mod settings;
mod signals;
mod ssf;
mod tree;
mod trust;
mod value;
mod webhooks;

pub(crate) use layers::Layers;
pub(crate) use reader::{Effective, Problem};
pub(crate) use said::RuleSignal;
pub(crate) use secret::{Secret, readable_by_all};
pub(crate) use settings::{Config, Kafka, Log, LogFormat, Source, Tls};
pub(crate) use signals::{Opa, Receiver, Reference, RiskTopic, Signals};
pub(crate) use ssf::Ssf;
pub(crate) use trust::CloudflareAccess;
pub(crate) use value::HistoryStart;
#[cfg(feature = "kafka")]
pub(crate) use value::Start;
pub(crate) use webhooks::Webhook;

use sluice_rule::Diagnostic;

use reader::{Notes, Reader, Section};

/// The code of a file or folder of the configuration that cannot be read.
const UNREADABLE: &str = "C008";

/// What the layers came to.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration; where a setting is wrong, its default.
    pub(crate) config: Config,
    /// Every setting, in the order of [`Config`], and which layer gave it.
    pub(crate) effective: Vec<Effective>,
    /// Everything that is wrong or questionable.
    pub(crate) problems: Vec<Problem>,
    /// The files that were read, weakest first.
    pub(crate) files: Vec<String>,
}

impl Loaded {
    /// Reads and merges the layers and checks what can be checked without the outside world.
    pub(crate) fn read(layers: &Layers) -> Loaded {
        let mut notes = Notes::default();
        let merged = layers.merge(&mut notes);
        Loaded::typed(&merged.table, notes, merged.files)
    }

    fn typed(table: &tree::Table, mut notes: Notes, files: Vec<String>) -> Loaded {
        let config = Config::section(&mut Reader::root(table, &mut notes));
        check::cross_field(&config, &mut notes);
        Loaded { config, effective: notes.effective, problems: notes.problems, files }
    }

    /// Whether anything keeps it from being used.
    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.diagnostic.is_error())
    }

    /// Whether every file of it could be read.
    pub(crate) fn is_whole(&self) -> bool {
        !self.problems.iter().any(|p| p.diagnostic.code == UNREADABLE)
    }

    /// Adds a problem with a setting, `sources.okta.mapping`, at the place it was given.
    pub(crate) fn blame(&mut self, path: &str, diagnostic: Diagnostic) {
        let origin = self.effective.iter().find(|e| e.path == path).and_then(|e| e.origin.as_ref());
        self.problems.push(Problem::at(diagnostic, origin));
    }
}

/// The JSON Schema of a configuration file.
pub(crate) fn json_schema() -> serde_json::Value {
    let mut schema = reader::object_schema::<Config>();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        object.insert("title".into(), "Sluice configuration".into());
    }
    schema
}

#[cfg(test)]
mod tests;
