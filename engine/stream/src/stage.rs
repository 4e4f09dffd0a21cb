//! What a rule does with the rows that passed its conditions. A kind that remembers is a file here: what its
//! plan says, as a [`KeyedStage`], and the operator that runs it. What all kinds share is `runtime` and
//! `shard`; how SQL becomes a plan is the crate `sql`.

mod baseline;
mod first_seen;
mod surprise;
mod window;

use std::{ops::Range, sync::Arc};

use sluice_event::defect::defect;

use crate::{StreamPlan, operator::Running, shard::ShardOptions};
pub use baseline::{BaselineEntries, BaselinePlan, baseline_output};
pub use first_seen::FirstSeenPlan;
pub use surprise::{Question, SurprisePlan, rows_waiting_max};
use window::families;
pub(crate) use window::key_order;
pub use window::{
    Aggregate, AggregateFunction, AggregateRange, Comparison, Condition, GroupColumn, Growth,
    LIST_MAX, Limits, Window, WindowPlan, encode_key, window_row_key,
};

/// See the module.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Each row is a finding; the intermediate columns are the output.
    Stateless,
    /// Rows are grouped by key and window.
    Window(WindowPlan),
    /// A row is a finding if its key tuple is new.
    FirstSeen(FirstSeenPlan),
    /// Rows are scored against what their entity usually does; unusual units are findings.
    Baseline(BaselinePlan),
    /// Each row is a finding if what a baseline knows makes it one.
    Surprise(SurprisePlan),
}

impl Stage {
    /// Whether each row is a finding by itself.
    pub fn is_stateless(&self) -> bool {
        self.keyed().is_none()
    }

    /// How it runs, in words.
    pub fn view(&self, limits: &Limits) -> StageView {
        match self.keyed() {
            Some(keyed) => keyed.view(limits),
            None => StageView {
                operator: "each row that passes is a finding".to_owned(),
                key: None,
                state: None,
                bounds: Vec::new(),
            },
        }
    }

    /// What it remembers by; `None` if it remembers nothing.
    pub(crate) fn keyed(&self) -> Option<&dyn KeyedStage> {
        match self {
            Stage::Stateless => None,
            Stage::Window(plan) => Some(plan),
            Stage::FirstSeen(plan) => Some(plan),
            Stage::Baseline(plan) => Some(plan),
            Stage::Surprise(plan) => Some(plan),
        }
    }
}

/// How a stage runs, in words: for `rule explain` and the rule's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    /// What it does.
    pub operator: String,
    /// The intermediate columns that are the key; to the end if there is no end.
    pub key: Option<Range<usize>>,
    /// What it keeps.
    pub state: Option<&'static str>,
    /// What bounds that, and what becomes of findings there: a sentence each. The bounds themselves are
    /// [`Limits`].
    pub bounds: Vec<String>,
}

/// A plan, and the place of its rule in the rule set.
pub(crate) type IndexedPlan = (usize, Arc<StreamPlan>);

/// What the plan of a stage that remembers says.
pub(crate) trait KeyedStage {
    /// The operator of `rule`, whose plan this is, and of all `rules` that share it; `None` if it runs in
    /// that of another one.
    fn operator(
        &self,
        rule: &IndexedPlan,
        rules: &[IndexedPlan],
        options: &ShardOptions,
    ) -> Option<Box<dyn Running>>;

    /// What the key of a row is, of so many intermediate columns.
    fn key(&self, columns: usize) -> KeyColumns;

    /// How far before F it refers to events, milliseconds.
    fn reach(&self, limits: &Limits) -> i64;

    /// Whether it must know from when on the history of its tables is complete.
    fn needs_history(&self) -> bool {
        false
    }

    /// How it runs, in words.
    fn view(&self, limits: &Limits) -> StageView;
}

/// What the key of a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyColumns {
    /// The values of these intermediate columns, in this order.
    Values(Vec<usize>),
    /// A hash of them; a row with a NULL among them has no key.
    Hash(Vec<usize>),
    /// The rule itself: all of it is on one shard.
    Rule,
    /// Another rule: all of it is on the shard of that one.
    OtherRule(Arc<str>),
}

/// The rules, those that share an operator together: first the one whose plan makes it.
pub(crate) fn sharing(plans: &[IndexedPlan]) -> Vec<Vec<IndexedPlan>> {
    let asks = |(_, plan): &&IndexedPlan| matches!(plan.stage, Stage::Surprise(_));
    let others: Vec<IndexedPlan> = plans.iter().filter(|rule| !asks(rule)).cloned().collect();
    let mut all = families(&others);
    for rule in plans.iter().filter(asks) {
        let Stage::Surprise(stage) = &rule.1.stage else { continue };
        let asked = |rules: &&mut Vec<IndexedPlan>| {
            rules.first().is_some_and(|(_, first)| first.rule == stage.baseline)
        };
        match all.iter_mut().find(asked) {
            Some(rules) => rules.push(rule.clone()),
            None => {
                let (rule, baseline) = (&rule.1.rule, &stage.baseline);
                defect(
                    "stage.surprise",
                    format_args!("{rule} asks {baseline}, which does not run"),
                );
            }
        }
    }
    all
}

/// Milliseconds.
const DAY: i64 = 86_400_000;

/// Timers may expire so many milliseconds late.
pub(crate) const GRAIN: i64 = 1_000;

/// How late timers of state over so many milliseconds may expire.
fn grain(size: i64) -> i64 {
    (size / 64).clamp(1, GRAIN)
}
