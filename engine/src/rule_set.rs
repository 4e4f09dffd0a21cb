//! All loaded rules, ready to run: plans by slot, one predicate network per table, and the layers of
//! those that read what others found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use sluice_event::TableName;
use sluice_rule::Rule;
use sluice_stream::{PredicateNetwork, StreamPlan};

use crate::layers::Layers;

/// The rules of a run. Immutable: a reload makes another and swaps it at a batch boundary.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<LoadedRule>,
    tables: BTreeMap<TableName, TableRules>,
    layers: Layers,
    /// Those that say each finding with its row.
    stateless: BTreeSet<Arc<str>>,
}

/// One rule and what it compiled to. Its slot is its index in the set.
#[derive(Clone, Debug)]
pub struct LoadedRule {
    /// The file.
    pub rule: Arc<Rule>,
    /// The plan.
    pub plan: Arc<StreamPlan>,
    /// The lookups it asks, each with its version.
    pub lookups: Arc<[(Arc<str>, Arc<str>)]>,
}

impl LoadedRule {
    /// The versions of its lookups by name, as a finding shows them in the field `lookups`; `None` if
    /// it asks none.
    pub(crate) fn lookup_versions(&self) -> Option<serde_json::Value> {
        let version = |(name, version): &(Arc<str>, Arc<str>)| {
            (name.to_string(), serde_json::Value::from(&**version))
        };
        let versions: serde_json::Map<_, _> = self.lookups.iter().map(version).collect();
        (!versions.is_empty()).then(|| versions.into())
    }
}

/// The rules that read one table.
#[derive(Debug)]
pub struct TableRules {
    /// The filters of all of them; its slots are indices into `branches`.
    pub network: PredicateNetwork,
    /// Per network slot: (rule slot, branch of that rule's plan).
    pub branches: Vec<(usize, usize)>,
}

impl RuleSet {
    /// Builds the networks. `schema` gives the full schema of a table.
    pub fn new(
        mut rules: Vec<LoadedRule>,
        schema: impl Fn(&TableName) -> Option<SchemaRef>,
    ) -> Self {
        // Rules of a circle have been refused by who loaded them.
        let (layers, _) = Layers::of(&rules);
        for loaded in &mut rules {
            let layer = layers.layer(&loaded.plan.rule);
            if layer > 1 {
                let plan = Arc::make_mut(&mut loaded.plan);
                for branch in plan.branches.iter_mut().filter(|b| b.table.is_findings()) {
                    branch.table = TableName::findings(layer);
                }
            }
        }
        let stateless = rules.iter().filter(|r| r.plan.stage.is_stateless());
        let stateless = stateless.map(|r| r.plan.rule.clone()).collect();
        let mut by_table: BTreeMap<TableName, Vec<(usize, usize)>> = BTreeMap::new();
        for (slot, loaded) in rules.iter().enumerate() {
            for (index, branch) in loaded.plan.branches.iter().enumerate() {
                by_table.entry(branch.table.clone()).or_default().push((slot, index));
            }
        }
        let tables = by_table
            .into_iter()
            .filter_map(|(table, branches)| {
                let filters = branches
                    .iter()
                    .enumerate()
                    .map(|(i, (slot, b))| (i, rules[*slot].plan.branches[*b].filter.clone()))
                    .collect();
                let network = PredicateNetwork::new(schema(&table)?, filters);
                Some((table, TableRules { network, branches }))
            })
            .collect();
        RuleSet { rules, tables, layers, stateless }
    }

    /// Which of them read what others found.
    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Whether a rule says each finding with its row.
    pub(crate) fn is_stateless(&self, rule: &str) -> bool {
        self.stateless.contains(rule)
    }

    /// The rules by slot.
    pub fn rules(&self) -> &[LoadedRule] {
        &self.rules
    }

    /// The rules of a table, if any reads it.
    pub fn table(&self, table: &TableName) -> Option<&TableRules> {
        self.tables.get(table)
    }

    /// The tables some rule reads.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.keys()
    }

    /// The plans that keep keyed state, by slot.
    pub fn keyed(&self) -> Vec<(usize, Arc<StreamPlan>)> {
        self.rules
            .iter()
            .enumerate()
            .filter(|(_, r)| !r.plan.stage.is_stateless())
            .map(|(slot, r)| (slot, r.plan.clone()))
            .collect()
    }
}
