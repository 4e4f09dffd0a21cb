//! What people read and write about signals, as it is on the wire. Not what is done with it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_event::rfc3339;
use sluice_signal::{
    EntityKey, EntityLevel, HistoryRow, Level, Row, Stream, Transmitter, stream::Delivery,
};
use utoipa::{IntoParams, ToSchema};

use super::super::quarantine::QuarantineView;
use crate::{
    clock,
    node::signals::{OpaStats, TopicStats},
};

/// The level of an entity.
#[derive(Serialize, ToSchema)]
#[schema(as = Risk)]
pub(in super::super::super) struct Risk {
    pub(super) entity: String,
    /// Whether it ever had another level than low.
    pub(super) known: bool,
    /// `low`, `medium` or `high`.
    pub(super) level: &'static str,
    pub(super) previous_level: &'static str,
    /// 0 to 100, where the level is computed.
    pub(super) score: Option<f64>,
    /// Rules and features behind the computed level.
    pub(super) factors: Vec<String>,
    /// Changes of the level so far: the version of this answer.
    pub(super) version: u64,
    /// When the level changed last.
    pub(super) changed_at: Option<String>,
    /// It flaps: the level does not fall before this time.
    pub(super) held_until: Option<String>,
    #[serde(rename = "override")]
    pub(super) over: Option<RiskOverride>,
    pub(super) quarantine: Option<QuarantineView>,
    pub(super) as_of: String,
}

/// What a person said instead of the computed level.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct RiskOverride {
    pub(super) level: &'static str,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) since: String,
    pub(super) until: String,
}

/// A level that a person gives.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct Raise {
    /// `low`, `medium` or `high`.
    pub(super) level: String,
    /// Why: receivers show it to their people.
    pub(super) reason: String,
    /// How long, `8h`, at most `90d`.
    pub(super) expires_in: String,
}

/// Why something is done.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct Because {
    /// Why.
    pub(in super::super) reason: String,
}

/// Signals of this node.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct Overview {
    pub(super) issuer: String,
    pub(super) streams: Vec<StreamView>,
    /// Kinds of entity whose rises wait for a person.
    pub(super) storms: Vec<StormView>,
    /// Open Policy Agents that levels are written to.
    pub(super) opa: Vec<OpaView>,
    /// The topic of Kafka that has levels; null where none is configured.
    #[schema(required)]
    pub(super) kafka: Option<TopicView>,
    /// Entities that are not low, or about which a person decided.
    pub(super) raised: u64,
    /// Since the start of the process.
    pub(super) totals: TotalsView,
}

/// A stream and how it does.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct StreamView {
    pub(super) id: String,
    pub(super) receiver: String,
    /// Whether the operator made it.
    pub(super) configured: bool,
    /// `push` or `poll`.
    pub(super) delivery: &'static str,
    pub(super) endpoint: Option<String>,
    /// `enabled`, `paused` or `disabled`.
    pub(super) status: &'static str,
    pub(super) reason: Option<String>,
    /// Records only.
    pub(super) shadow: bool,
    pub(super) events_delivered: Vec<&'static str>,
    pub(super) queued: u64,
    /// Those of them that a person has to approve first.
    pub(super) awaiting_approval: u64,
    /// Entities whose rise mutes keep back.
    pub(super) muted: u64,
    pub(super) oldest_at: Option<String>,
    pub(super) dead_letters: u64,
    pub(super) delivered_at: Option<String>,
    /// When its receiver acknowledged a verification last, since the start of the process.
    pub(super) proven_at: Option<String>,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) error: Option<String>,
    pub(super) next_attempt_at: Option<String>,
}

/// A storm.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct StormView {
    pub(super) kind: &'static str,
    pub(super) since: String,
    pub(super) held: u64,
}

/// An Open Policy Agent and how it does.
#[derive(Serialize, ToSchema)]
#[schema(as = OpaAgent)]
pub(in super::super::super) struct OpaView {
    pub(super) name: String,
    /// Scheme and host.
    pub(super) endpoint: String,
    /// When it took the whole document last.
    #[schema(required)]
    pub(super) synced_at: Option<String>,
    /// When it took anything last.
    #[schema(required)]
    pub(super) delivered_at: Option<String>,
    /// Whole documents it took since the start of the process.
    pub(super) puts: u64,
    /// Patches likewise.
    pub(super) patches: u64,
    /// Failures in a row.
    pub(super) failures: u32,
    #[schema(required)]
    pub(super) error: Option<String>,
    #[schema(required)]
    pub(super) next_attempt_at: Option<String>,
    /// What stands for the document it has.
    #[schema(required)]
    pub(super) revision: Option<String>,
}

/// The topic of levels and how it does.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskTopic)]
pub(in super::super::super) struct TopicView {
    pub(super) topic: String,
    /// Records that are not written yet.
    pub(super) pending: u64,
    /// Records it took since the start of the process.
    pub(super) written: u64,
    #[schema(required)]
    pub(super) written_at: Option<String>,
    /// Failures in a row.
    pub(super) failures: u32,
    #[schema(required)]
    pub(super) error: Option<String>,
}

/// Counters.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct TotalsView {
    pub(super) made: u64,
    pub(super) delivered: u64,
    pub(super) retried: u64,
    pub(super) dead_letters: u64,
    pub(super) superseded: u64,
    pub(super) dropped: u64,
    pub(super) shadow: u64,
    pub(super) held: u64,
    /// Kept back by mutes.
    pub(super) muted: u64,
    /// Accepted with another status than 202.
    pub(super) nonconformant: u64,
    /// Falls that waited for a silent input.
    pub(super) stale: u64,
    /// Times that an entity was held at the higher level since it flaps.
    pub(super) flapping: u64,
}

/// A stream with what is in it.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct StreamDetail {
    pub(super) stream: StreamView,
    /// The oldest SETs that wait, at most 500.
    pub(super) queue: Vec<SetView>,
    /// Dead letters, at most 500.
    pub(super) dead_letters: Vec<SetView>,
}

/// A SET.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct SetView {
    pub(super) jti: String,
    pub(super) event_type: String,
    #[schema(value_type = Object)]
    pub(super) subject: Value,
    #[schema(value_type = Object)]
    pub(super) event: Map<String, Value>,
    pub(super) txn: Option<String>,
    pub(super) created_at: String,
    pub(super) attempts: u32,
    /// It is sent when a person approves it.
    pub(super) awaiting_approval: bool,
    /// What the last attempt came to, or why it is a dead letter.
    pub(super) error: Option<String>,
}

/// The status of a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct SetStatus {
    /// `enabled`, `paused` or `disabled`.
    pub(super) status: String,
    /// Why.
    pub(super) reason: String,
}

/// An event to send by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct SendEvent {
    /// A short name, `session-revoked`.
    pub(super) event_type: String,
    /// A subject identifier (RFC 9493).
    #[schema(value_type = Object)]
    pub(super) subject: Map<String, Value>,
    /// The event; without one it is a test, marked so.
    #[schema(value_type = Option<Object>)]
    pub(super) event: Option<Map<String, Value>>,
}

/// What was put into the queue.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct Sent {
    pub(super) jti: String,
}

/// A dead letter to send again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct Replay {
    /// Its id.
    pub(super) jti: String,
}

/// What becomes of the rises that a storm holds back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct EndStorm {
    /// Whether they are sent; else they are dropped.
    pub(super) send: bool,
    /// Why.
    pub(super) reason: String,
}

/// What became of them.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct StormEnded {
    pub(super) changes: u64,
}

/// Which rows of history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct HistoryParams {
    /// Rows at most, 1 to 500.
    pub(super) limit: Option<String>,
    /// Only of this stream.
    pub(super) stream: Option<String>,
    /// Only this action: `shadow` is what would have been sent.
    pub(super) action: Option<String>,
    /// Only about this entity, `user:ann@example.com`, and of the SETs that tell of it.
    pub(super) about: Option<String>,
}

/// The time of a preview.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in super::super::super) struct PreviewParams {
    /// RFC 3339, or `now-24h`; a day before `to` without it.
    pub(super) from: Option<String>,
    /// Likewise; now without it.
    pub(super) to: Option<String>,
}

/// What is decided about SETs that wait for approval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApproveSignals)]
pub(in super::super::super) struct Approve {
    /// One SET; absent: all that wait in the stream.
    #[serde(default)]
    pub(super) jti: Option<String>,
    /// Whether they are sent, or dropped.
    pub(super) send: bool,
    /// Why.
    pub(super) reason: String,
}

/// How many SETs were decided about.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovedSignals)]
pub(in super::super::super) struct Approved {
    pub(super) sets: u64,
}

/// Rows of history, the newest first.
#[derive(Serialize, ToSchema)]
pub(in super::super::super) struct HistoryPage {
    #[schema(value_type = Vec<Object>)]
    pub(super) items: Vec<HistoryView>,
}

#[derive(Serialize)]
pub(in super::super::super) struct HistoryView {
    pub(super) time: String,
    #[serde(flatten)]
    pub(super) row: Map<String, Value>,
}

impl Risk {
    pub(super) fn of(entity: &EntityKey, level: Option<&EntityLevel>) -> Risk {
        let over = level.and_then(|l| l.over.as_ref()).map(|over| RiskOverride {
            level: over.level.name(),
            reason: over.reason.clone(),
            by: over.by.clone(),
            since: rfc3339(over.since),
            until: rfc3339(over.until),
        });
        let word = |level: Option<Level>| level.unwrap_or_default().name();
        Risk {
            entity: format!("{}:{}", entity.kind.name(), entity.id),
            known: level.is_some(),
            level: word(level.map(|l| l.level)),
            previous_level: word(level.map(|l| l.previous_level)),
            score: level.and_then(|l| l.score),
            factors: level.map_or_else(Vec::new, |l| l.reasons.clone()),
            version: level.map_or(0, |l| l.change_no),
            changed_at: level.filter(|l| l.change_no > 0).map(|l| rfc3339(l.changed_at)),
            held_until: level.and_then(|l| l.held_until).map(rfc3339),
            over,
            quarantine: level.and_then(|l| l.quarantine.as_ref()).map(QuarantineView::of),
            as_of: rfc3339(clock::now()),
        }
    }
}

impl Overview {
    pub(super) fn of(
        transmitter: &Transmitter,
        opa: Vec<OpaStats>,
        topic: Option<TopicStats>,
    ) -> Overview {
        let totals = transmitter.totals();
        let storms = transmitter.storms().into_iter();
        Overview {
            issuer: transmitter.settings().issuer.clone(),
            streams: transmitter.streams().map(|s| StreamView::of(transmitter, s)).collect(),
            storms: storms
                .map(|(kind, since, held)| StormView {
                    kind: kind.name(),
                    since: rfc3339(since),
                    held: held as u64,
                })
                .collect(),
            opa: opa.into_iter().map(OpaView::of).collect(),
            kafka: topic.map(TopicView::of),
            raised: transmitter.raised_entities().count() as u64,
            totals: TotalsView {
                made: totals.made,
                delivered: totals.delivered,
                retried: totals.retried,
                dead_letters: totals.dead_letters,
                superseded: totals.superseded,
                dropped: totals.dropped,
                shadow: totals.shadow,
                held: totals.held,
                muted: totals.muted,
                nonconformant: totals.nonconformant,
                stale: totals.stale,
                flapping: totals.flapping,
            },
        }
    }
}

impl TopicView {
    fn of(TopicStats { topic, pending, state }: TopicStats) -> TopicView {
        TopicView {
            topic,
            pending,
            written: state.written,
            written_at: state.written_at.map(rfc3339),
            failures: state.failures,
            error: state.error,
        }
    }
}

impl OpaView {
    fn of(OpaStats { name, endpoint, state }: OpaStats) -> OpaView {
        OpaView {
            name,
            endpoint,
            synced_at: state.synced_at.map(rfc3339),
            delivered_at: state.delivered_at.map(rfc3339),
            puts: state.puts,
            patches: state.patches,
            failures: state.failures,
            error: state.error,
            next_attempt_at: state.next_attempt_at.map(rfc3339),
            revision: state.revision,
        }
    }
}

impl StreamView {
    pub(super) fn of(transmitter: &Transmitter, stream: &Stream) -> StreamView {
        let health = transmitter.health(&stream.id);
        let (delivery, endpoint) = match &stream.delivery {
            Delivery::Push { endpoint_url, .. } => ("push", Some(endpoint_url.clone())),
            Delivery::Poll => ("poll", None),
        };
        StreamView {
            id: stream.id.clone(),
            receiver: stream.receiver.clone(),
            configured: stream.configured,
            delivery,
            endpoint,
            status: stream.status.name(),
            reason: stream.reason.clone(),
            shadow: transmitter.profile_of(&stream.receiver).is_some_and(|p| p.shadow),
            events_delivered: transmitter.delivered(stream).iter().map(|t| t.name()).collect(),
            queued: health.queued as u64,
            awaiting_approval: transmitter.queue(&stream.id).filter(|r| r.awaiting).count() as u64,
            oldest_at: health.oldest_at.map(rfc3339),
            muted: health.muted as u64,
            dead_letters: health.dead_letters as u64,
            delivered_at: health.delivered_at.map(rfc3339),
            proven_at: health.proven_at.map(rfc3339),
            failures: health.failures,
            error: health.error,
            next_attempt_at: health.next_attempt_at.map(rfc3339),
        }
    }
}

impl StreamDetail {
    pub(super) fn of(transmitter: &Transmitter, id: &str) -> Option<StreamDetail> {
        const SHOWN: usize = 500;
        let stream = transmitter.streams().find(|s| s.id == id)?;
        let dead = transmitter.dead_letters(id).take(SHOWN);
        Some(StreamDetail {
            stream: StreamView::of(transmitter, stream),
            queue: transmitter
                .queue(id)
                .take(SHOWN)
                .map(|row| SetView::of(row, row.last_error.clone()))
                .collect(),
            dead_letters: dead.map(|d| SetView::of(&d.row, Some(d.reason.clone()))).collect(),
        })
    }
}

impl SetView {
    pub(super) fn of(row: &Row, error: Option<String>) -> SetView {
        SetView {
            jti: row.jti.clone(),
            event_type: row.event_type.clone(),
            subject: row.subject.to_value(),
            event: row.event.clone(),
            txn: row.txn.clone(),
            created_at: rfc3339(row.created_at),
            attempts: row.attempts,
            awaiting_approval: row.awaiting,
            error,
        }
    }
}

impl HistoryView {
    pub(super) fn of(row: HistoryRow) -> HistoryView {
        let time = rfc3339(row.at);
        let mut members = match serde_json::to_value(row) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => Map::new(),
        };
        members.remove("at");
        HistoryView { time, row: members }
    }
}
