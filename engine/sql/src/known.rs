//! What baselines know: the tables `baseline.<name>` and the function `surprise`. Not how it is kept or
//! scored: who has it implements [`Baselines`].
//!
//! Hunts have both, as of a moment. What is known changes with every day that is learned, so that tables of
//! it would give a rule other findings when the same events are read again: rules have `surprise` alone, which
//! answers about the day of the row (`compiler::asking`), and here only names and types of what it asks.

mod surprise;
mod table;

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use arrow::{
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};

pub(crate) use surprise::{surprise, surprise_call};
pub(crate) use table::tables;

/// The schema of the tables, and the first part of their names.
pub(crate) const BASELINE: &str = "baseline";

/// Baselines that can be asked.
///
/// Guarantees: what one [`Baselines::snapshot`] gives is of one moment.
pub trait Baselines: fmt::Debug + Send + Sync {
    /// What is known now, for one query.
    ///
    /// # Errors
    /// If it cannot be read.
    fn snapshot(&self) -> Result<Arc<dyn KnownBaselines>, String>;
}

/// What baselines know at one moment.
pub trait KnownBaselines: fmt::Debug + Send + Sync {
    /// The baselines, in name order.
    fn baselines(&self) -> &[BaselineTable];

    /// The rows of a baseline, of these entities or of all, with the columns of [`baseline_columns`].
    ///
    /// # Errors
    /// If it cannot be read.
    fn rows(&self, name: &str, entities: Option<&[String]>) -> Result<BaselineRows, String>;

    /// How unusual a value would be: `None` if it says nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    fn surprise(
        &self,
        name: &str,
        feature: &str,
        entity: &str,
        value: &AskedValue<'_>,
    ) -> Result<Option<f64>, String>;
}

/// Batches of rows, one after the other.
pub type BaselineRows = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

/// A baseline by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineTable {
    /// `user_signin`.
    pub name: String,
    /// The id of the rule its findings are of, `baselines.user_signin`.
    pub id: String,
    /// Whether its unit is a day: then what it knows about a day stays the same on it, and rules may ask it.
    pub by_day: bool,
    /// Its features in order of declaration, each with what a value of it is.
    pub features: Vec<(String, AskedKind)>,
}

/// What a value of a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedKind {
    /// A text.
    Text,
    /// A number.
    Number,
    /// An instant: its hour of the week in UTC.
    Time,
    /// Nothing that one row has: a count over a window.
    Counted,
}

/// A value that is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AskedValue<'a> {
    /// Of [`AskedKind::Text`].
    Text(&'a str),
    /// Of [`AskedKind::Number`].
    Number(f64),
    /// Of [`AskedKind::Time`], milliseconds since 1970 UTC.
    Time(i64),
}

/// The columns of `baseline.<name>`.
pub fn baseline_columns() -> SchemaRef {
    static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |name: &str, kind: DataType, null: bool| Field::new(name, kind, null);
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            field("entity", DataType::Utf8, false),
            field("feature", DataType::Utf8, false),
            field("value", DataType::Utf8, false),
            field("count", DataType::Float64, false),
            field("share", DataType::Float64, true),
            field("peer_share", DataType::Float64, true),
            field("org_share", DataType::Float64, true),
            field("last_seen", time, true),
            field("state", DataType::Utf8, false),
            field("confidence", DataType::Float64, false),
        ]))
    });
    COLUMNS.clone()
}

/// Baselines as part of what a text may ask; the same if they are one and the same.
#[derive(Clone, Debug)]
pub(crate) struct Asked(pub(crate) Arc<dyn KnownBaselines>);

impl Asked {
    /// Names and types, for texts that are compiled and asked elsewhere.
    pub(crate) fn declared(mut baselines: Vec<BaselineTable>) -> Asked {
        baselines.sort_by(|a, b| a.name.cmp(&b.name));
        Asked(Arc::new(Declared(baselines)))
    }
}

/// Baselines that are named and not asked here.
#[derive(Debug)]
struct Declared(Vec<BaselineTable>);

impl KnownBaselines for Declared {
    fn baselines(&self) -> &[BaselineTable] {
        &self.0
    }

    fn rows(&self, name: &str, _: Option<&[String]>) -> Result<BaselineRows, String> {
        Err(format!("`baseline.{name}` is for hunts"))
    }

    fn surprise(
        &self,
        name: &str,
        _: &str,
        _: &str,
        _: &AskedValue<'_>,
    ) -> Result<Option<f64>, String> {
        Err(format!("`{name}` is asked where it runs"))
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Asked) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Asked {}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.baselines().iter().for_each(|baseline| baseline.name.hash(state));
    }
}
