//! Whom an entity is compared with, and how it differs from them. Not how unusual what it does is: that
//! is in findings of baselines.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use sluice_baseline::{ComparedGroup, FeatureComparison, ValueComparison};
use sluice_engine::baseline::ComparedEntity;
use sluice_event::rfc3339;
use utoipa::ToSchema;

use super::super::{
    params::{Nothing, Params},
    problem::Problem,
    risk::{entity, view::name},
    shared::Shared,
};

/// An entity beside its peers.
#[derive(Serialize, ToSchema)]
#[schema(as = EntityPeers)]
pub(in crate::http) struct Peers {
    kind: &'static str,
    id: String,
    /// `KIND:ID`.
    entity: String,
    /// By each baseline that knows it, as of the last checkpoint; empty if none does.
    baselines: Vec<Compared>,
    as_of: String,
}

/// How an entity differs from its peers in what a baseline looks at.
#[derive(Serialize, ToSchema)]
#[schema(as = PeerComparison)]
struct Compared {
    /// The baseline, `baselines.user_signin`.
    baseline: String,
    title: String,
    /// How much history there is: `learning`, `warm` or `confident`.
    state: &'static str,
    /// Days, sessions or blocks that make up what is usual for it.
    learned: u64,
    /// Whom it is compared with; null if it is in no group, or in one of fewer than five.
    #[schema(required)]
    group: Option<Group>,
    /// Entities of the organisation that have a profile.
    organisation: u64,
    features: Vec<Feature>,
}

/// A peer group.
#[derive(Serialize, ToSchema)]
#[schema(as = PeerGroup)]
struct Group {
    /// What a directory calls it; of learned ones `group` and a number that they keep from day to day.
    name: String,
    /// How many are in it, the entity itself included.
    members: u64,
    /// `learned` from what entities do, or `directory`.
    source: &'static str,
}

/// A feature of an entity and of others.
#[derive(Serialize, ToSchema)]
#[schema(as = PeerFeature)]
struct Feature {
    name: String,
    /// `categorical`, `edge`, `time_of_week`, `count`, `distinct` or `numeric`.
    kind: &'static str,
    /// How much of what it does its group does as well (the organisation where it has none), from 0 to 1;
    /// null for counts and numbers, and without history.
    #[schema(required)]
    alike: Option<f64>,
    /// Where they differ, the largest difference first: at most ten values whose shares differ by a
    /// hundredth or more; of counts each window; of numbers the median.
    values: Vec<Compare>,
}

/// A value, and how much of it there is.
#[derive(Serialize, ToSchema)]
#[schema(as = PeerValue)]
struct Compare {
    /// The value; of a count its window and when; of numbers `median`.
    value: String,
    /// Of the entity: the share of the value; of a count the mean of the largest in a unit; of numbers
    /// the number.
    own: f64,
    /// The mean over the group; null without one, and for counts.
    #[schema(required)]
    peers: Option<f64>,
    /// The mean over the organisation.
    organisation: f64,
}

/// An entity beside its peers
///
/// The group that baselines compare it with, how many are in it, and where it differs from them. One
/// that no baseline knows has no comparison.
#[utoipa::path(
    get, path = "/api/v1/entities/{kind}/{id}/peers", tag = "entities",
    operation_id = "get_entity_peers",
    params(
        ("kind" = String, Path, description = "The kind of entity."),
        ("id" = String, Path, description = "Its canonical name.")
    ),
    responses((status = 200, description = "The comparison.", body = Peers, example = json!({
        "kind": "user", "id": "ann@example.com", "entity": "user:ann@example.com",
        "baselines": [{"baseline": "baselines.user_signin",
            "title": "Where, when and from what each user signs in", "state": "confident",
            "learned": 41, "group": {"name": "group 3", "members": 17, "source": "learned"},
            "organisation": 212, "features": [{"name": "application", "kind": "categorical",
                "alike": 0.61, "values": [{"value": "vault", "own": 0.34, "peers": 0.02,
                    "organisation": 0.01}]}]}],
        "as_of": "2026-11-24T08:16:00.000Z"
    })))
)]
pub(in crate::http) async fn peers(
    State(shared): State<Shared>,
    Path((kind, id)): Path<(String, String)>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Peers>, Problem> {
    let entity = entity(&kind, &id)?;
    let service = shared.app.service.clone();
    let asked = entity.clone();
    let compared = shared.pools.reads.run(move || service.comparisons(&asked)).await??;
    Ok(Json(Peers {
        entity: name(&entity),
        kind: entity.kind.name(),
        id: entity.id,
        baselines: compared.into_iter().map(Compared::of).collect(),
        as_of: rfc3339(shared.app.store.now()),
    }))
}

impl Compared {
    fn of(known: ComparedEntity) -> Compared {
        let comparison = known.comparison;
        Compared {
            baseline: known.baseline.to_string(),
            title: known.title,
            state: comparison.state.name(),
            learned: comparison.learned,
            group: comparison.group.map(Group::of),
            organisation: comparison.organisation,
            features: comparison.features.into_iter().map(Feature::of).collect(),
        }
    }
}

impl Group {
    fn of(compared: ComparedGroup) -> Group {
        Group {
            name: compared.group.name,
            members: compared.group.members,
            source: if compared.is_told { "directory" } else { "learned" },
        }
    }
}

impl Feature {
    fn of(feature: FeatureComparison) -> Feature {
        Feature {
            name: feature.name,
            kind: feature.kind,
            alike: feature.alike.map(rounded),
            values: feature.values.into_iter().map(Compare::of).collect(),
        }
    }
}

impl Compare {
    fn of(value: ValueComparison) -> Compare {
        Compare {
            value: value.value,
            own: rounded(value.own),
            peers: value.peers.map(rounded),
            organisation: rounded(value.organisation),
        }
    }
}

fn rounded(x: f64) -> f64 {
    (x * 10_000.0).round() / 10_000.0
}
