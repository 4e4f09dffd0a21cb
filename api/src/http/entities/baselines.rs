//! What baselines know of an entity, as the API shows it. Not how it is scored.

use serde::Serialize;
use sluice_baseline::{FeatureValues, RecentValue, UsualValue};
use sluice_engine::baseline::KnownEntity;
use utoipa::ToSchema;

/// What a baseline knows of an entity.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityBaseline)]
pub(super) struct Baseline {
    /// The baseline, `baselines.user_signin`.
    baseline: String,
    title: String,
    /// How much history there is: `learning`, `warm` or `confident`.
    state: &'static str,
    /// Days, sessions or blocks that make up what is usual.
    learned: u64,
    /// Those that are not learned yet: what is unusual in them does not become usual by itself.
    waiting: u64,
    features: Vec<Feature>,
}

/// What is known of a feature.
#[derive(Serialize, ToSchema)]
#[schema(as = BaselineFeature)]
struct Feature {
    name: String,
    /// `categorical`, `edge`, `time_of_week`, `count`, `distinct` or `numeric`.
    kind: &'static str,
    /// What is learned, most frequent first, at most ten.
    usual: Vec<Usual>,
    /// What is not learned yet, most frequent first, at most ten.
    recent: Vec<Recent>,
}

/// A value that is learned.
#[derive(Serialize, ToSchema)]
#[schema(as = UsualValue)]
struct Usual {
    /// The value; of a count its window and when.
    value: String,
    /// How often it was seen, decayed; of a count the mean of the largest in a unit.
    seen: f64,
    /// Of how many; of a count the units it is the mean of.
    of: f64,
}

/// A value that is not learned yet.
#[derive(Serialize, ToSchema)]
#[schema(as = RecentValue)]
struct Recent {
    /// As in `usual`.
    value: String,
    /// How often; of a count the largest.
    count: u64,
}

impl Baseline {
    pub(super) fn of(known: KnownEntity) -> Baseline {
        let profile = known.profile;
        Baseline {
            baseline: known.baseline.to_string(),
            title: known.title,
            state: profile.state.name(),
            learned: profile.learned,
            waiting: profile.waiting,
            features: profile.features.into_iter().map(Feature::of).collect(),
        }
    }
}

impl Feature {
    fn of(feature: FeatureValues) -> Feature {
        let usual = |v: UsualValue| Usual {
            value: v.value,
            seen: hundredths(v.seen),
            of: hundredths(v.of),
        };
        let recent = |v: RecentValue| Recent { value: v.value, count: v.count };
        Feature {
            name: feature.name,
            kind: feature.kind,
            usual: feature.usual.into_iter().map(usual).collect(),
            recent: feature.recent.into_iter().map(recent).collect(),
        }
    }
}

fn hundredths(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
