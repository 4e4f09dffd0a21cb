//! What a baseline file declares, as values. Not the file, and not its SELECT.

use std::sync::Arc;

use sluice_event::EntityKind;

/// The most windows a feature may have.
pub const WINDOWS_MAX: usize = 4;

/// A baseline, declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its id, `baselines.user_signin`.
    pub id: Arc<str>,
    /// What its entity column names.
    pub entity: EntityKind,
    /// What gets one score.
    pub unit: Unit,
    /// The features, in order of declaration; at least one.
    pub features: Vec<Feature>,
    /// The share of units that may raise a false alarm, between 0 and 1.
    pub alarm_rate: f64,
    /// How fast its risk contribution decays, milliseconds.
    pub half_life: i64,
    /// An entity's first units that are learned at full weight and not scored.
    pub warmup: u32,
    /// Whom an entity is compared with beside the organisation.
    pub peers: PeerSource,
}

/// Where peer groups come from. An entity that has none is compared with the organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerSource {
    /// Rows say in which group their entity is.
    pub directory: bool,
    /// Entities of which no row says so are grouped by what they do.
    pub learned: bool,
}

/// One declared column and how it is modelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name in findings.
    pub name: Arc<str>,
    /// The model.
    pub kind: FeatureKind,
    /// The expression it reads: state is kept over an edit while this and the kind stay.
    pub reads: Arc<str>,
    /// ATT&CK tactic of an anomaly in it.
    pub tactic: Option<Arc<str>>,
}

/// The model of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// Which values, and how often.
    Categorical,
    /// Whom the entity reaches: as categorical, with the number of entities that reach the same
    /// value in its explanation.
    Edge,
    /// Two-hour bins of the local weekday or weekend.
    TimeOfWeek,
    /// Rows per window; windows in milliseconds, at most [`WINDOWS_MAX`].
    Count(Vec<i64>),
    /// Different values per window; windows in milliseconds, at most [`WINDOWS_MAX`].
    Distinct(Vec<i64>),
    /// The size of a number.
    Numeric,
}

impl FeatureKind {
    /// The word in front matter.
    pub fn name(&self) -> &'static str {
        match self {
            FeatureKind::Categorical => "categorical",
            FeatureKind::Edge => "edge",
            FeatureKind::TimeOfWeek => "time_of_week",
            FeatureKind::Count(_) => "count",
            FeatureKind::Distinct(_) => "distinct",
            FeatureKind::Numeric => "numeric",
        }
    }
}

/// What gets one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An entity's UTC day.
    Day,
    /// Activity without a gap longer than this, milliseconds; at most a day long.
    Session(i64),
    /// So many events of an entity.
    Events(u32),
}
