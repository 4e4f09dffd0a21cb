//! A compiled rule: what `sql` lowers a SELECT to and the operators run. Not its SQL, and not its
//! running state.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use sluice_event::{Eval, TableName};

use crate::{Predicate, Stage};

/// One rule, ready to run over a stream.
///
/// A row enters through the [`Branch`] of its table: filtered by the network, then by the fallible
/// residual, then turned into the intermediate columns that the [`Stage`] reads.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// The rule's id, `identity.mfa_fatigue`.
    pub rule: Arc<str>,
    /// One per table (or UNION ALL arm) the rule reads; at least one.
    pub branches: Vec<Branch>,
    /// The columns every branch produces.
    pub intermediate: SchemaRef,
    /// What happens to them.
    pub stage: Stage,
    /// The finding's columns in SELECT order.
    pub output: SchemaRef,
    /// When a finding is emitted and whether it can be taken back.
    pub emit: EmitMode,
    /// The rule's own lateness in milliseconds, if it sets one.
    pub lateness: Option<i64>,
    /// Hash of the stateful part (tables, filters, keys, window, aggregates), not of title, SELECT
    /// text or thresholds: state lives on while this stays.
    pub fingerprint: u64,
}

/// One input of a rule: the rows of a table that pass a condition.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The table.
    pub table: TableName,
    /// The infallible part of the condition, for the network.
    pub filter: Predicate,
    /// Conditions that may fail on a row (cast, division, index), evaluated last, only on rows that
    /// pass `filter`; a row on which one fails does not match and is counted.
    pub residual: Vec<Arc<dyn Eval>>,
    /// The intermediate columns, over the table's full schema. May fail on a row too.
    pub columns: Vec<Arc<dyn Eval>>,
}

/// When a rule emits findings and whether it can take one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitMode {
    /// With the row that makes it true; it only grows and is never withdrawn (stateless rules,
    /// monotone thresholds).
    OnMatch,
    /// When the watermark passes (first-seen: at once); a late row may change or withdraw it.
    OnWatermark,
    /// Once, when nothing can change it.
    OnClose,
}
