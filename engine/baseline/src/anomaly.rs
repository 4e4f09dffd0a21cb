//! Scores of units as others see them, and anomalies with their explanation. Plain values.

use std::sync::Arc;

/// The score of a closed unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitScore {
    /// The entity.
    pub entity: Arc<str>,
    /// Start of the day or session in milliseconds since 1970 UTC, or the number of the block.
    pub unit: i64,
    /// Time of its last event, milliseconds.
    pub time: i64,
    /// Its events.
    pub events: u64,
    /// Sum of the features' scores, nats.
    pub score: f64,
    /// `-ln` of the calibrated tail probability, to 1e-6.
    pub surprise: f64,
    /// Between 0 and 1: how much of the score rests on the entity's own history.
    pub confidence: f64,
    /// How much history there is.
    pub state: Confidence,
    /// The anomaly it is, if it is one.
    pub anomaly: Option<Arc<Anomaly>>,
    /// It was reported as an anomaly while it was open and is none: what it came to.
    pub withdrawn: Option<Arc<Anomaly>>,
}

/// How much history an entity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Fewer than 3 units are learned.
    Learning,
    /// 3 to 20.
    Warm,
    /// More than 20.
    Confident,
}

impl Confidence {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Learning => "learning",
            Confidence::Warm => "warm",
            Confidence::Confident => "confident",
        }
    }
}

/// A unit whose tail probability is below the alarm rate. Its identity is (baseline, entity, unit).
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// The baseline's id.
    pub baseline: Arc<str>,
    /// The entity.
    pub entity: Arc<str>,
    /// As in [`UnitScore`].
    pub unit: i64,
    /// Time of the last event known, milliseconds.
    pub time: i64,
    /// Events known.
    pub events: u64,
    /// Of the unit, or of its most surprising feature if that is larger; to 1e-6.
    pub surprise: f64,
    /// As in [`UnitScore`].
    pub confidence: f64,
    /// Whom the entity was compared with beside the organisation.
    pub peers: Option<PeerGroup>,
    /// The features, most surprising first.
    pub features: Vec<FeatureScore>,
    /// The population the scores were made with: the event day, days since 1970.
    pub model_version: i64,
    /// Whether the unit is closed, so that nothing can change the scores.
    pub is_final: bool,
}

/// A group of entities that do the same work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerGroup {
    /// As the directory names it; `group` and a number if it was learned.
    pub name: String,
    /// Entities in it.
    pub members: u64,
}

/// The score of a feature in a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureScore {
    /// Its place in the declaration.
    pub place: usize,
    /// Its name.
    pub feature: Arc<str>,
    /// ATT&CK tactic, if declared.
    pub tactic: Option<Arc<str>>,
    /// Nats; the unit's score is the sum over features.
    pub score: f64,
    /// `-ln` of the calibrated tail probability, to 1e-6.
    pub surprise: f64,
    /// The values that speak most for an anomaly, at most five, largest first.
    pub values: Vec<ValueScore>,
}

/// Why a value is unusual: the numbers its score is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueScore {
    /// What it is counted under, as [`push`](crate::Baseline::push) gives it; 0 for counts.
    pub key: u64,
    /// The value as text; `#` and its hash where the text was not kept.
    pub value: String,
    /// How often in this unit.
    pub count: u64,
    /// How often in the profile, decayed.
    pub seen: f64,
    /// All occurrences of the feature in the profile, decayed; of counts, the number of units.
    pub of: f64,
    /// The share, or for counts the mean, expected of this entity.
    pub expected: f64,
    /// Of its peers, or of the organisation where it has none.
    pub peers: f64,
    /// Of the organisation.
    pub organisation: f64,
    /// `ln p_org - ln p_self`, clipped: not like this entity.
    pub self_nats: f64,
    /// `ln p_org - ln p_peer`: not like its peers; at most 0 if usual for them.
    pub peer_nats: f64,
    /// `-ln p_org`: rare in the organisation.
    pub rarity_nats: f64,
}
