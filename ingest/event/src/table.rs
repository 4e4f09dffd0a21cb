//! Names of tables. Not their columns: see [`crate::Schema`].

use std::{fmt, sync::Arc};

/// The name of a table as SQL spells it: `authentication`, or `raw.okta_system` for the typed
/// record of a source before mapping. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(Arc<str>);

/// The table of findings.
const FINDINGS: &str = "findings";

impl TableName {
    /// A table by its SQL name.
    pub fn new(name: &str) -> Self {
        TableName(name.into())
    }

    /// The raw table of a mapping source: `okta.system` gives `raw.okta_system`.
    pub fn raw(source: &str) -> Self {
        TableName(format!("raw.{}", source.replace('.', "_")).into())
    }

    /// What rules found, as rules of a layer see it that read what rules found: each layer reads the
    /// findings of those below it. The first layer is 1, its table `findings`.
    pub fn findings(layer: u32) -> Self {
        match layer {
            0 | 1 => TableName(FINDINGS.into()),
            layer => TableName(format!("{FINDINGS}.{layer}").into()),
        }
    }

    /// Whether its rows are findings.
    pub fn is_findings(&self) -> bool {
        let rest = self.0.strip_prefix(FINDINGS);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The name as written in SQL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a `raw.` table: wire columns, not the common vocabulary.
    pub fn is_raw(&self) -> bool {
        self.0.starts_with("raw.")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
