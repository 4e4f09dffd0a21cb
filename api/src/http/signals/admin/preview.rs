//! What a stream was sent, or would have been sent in shadow mode, within a time: to see how a receiver would be
//! served before it is. Not what is decided about it.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use sluice_signal::HistoryRow;
use utoipa::ToSchema;

use super::{
    super::{
        super::{
            params::{Params, time},
            problem::Problem,
            shared::Shared,
        },
        signals,
    },
    unknown,
    view::{self, HistoryView},
};
use crate::clock;

/// Rows that are shown.
const SHOWN: usize = 500;
/// Without `from`: so long before `to`, milliseconds.
const BEFORE: i64 = 24 * 3_600_000;

/// What a stream was sent, or would have been.
#[derive(Serialize, ToSchema)]
#[schema(as = SignalPreview)]
pub(in super::super::super) struct Preview {
    stream: String,
    receiver: String,
    /// Whether its receiver is in shadow mode now: nothing is sent, everything is recorded.
    shadow: bool,
    from: String,
    to: String,
    /// SETs that would have been sent.
    recorded: u64,
    /// SETs that its receiver has acknowledged.
    delivered: u64,
    /// SETs that mutes kept back; each says why in `detail`. Those that were told later are among the others too.
    muted: u64,
    /// Recorded and delivered, by event type.
    by_event_type: BTreeMap<String, u64>,
    /// Changes of level of both, `low to high`.
    by_change: BTreeMap<String, u64>,
    /// SETs of either kind by receiver, all streams together.
    by_receiver: BTreeMap<String, u64>,
    /// The newest 500 of all three.
    #[schema(value_type = Vec<Object>)]
    items: Vec<HistoryView>,
}

/// What a stream was sent, or would have been
///
/// In shadow mode each SET is recorded when it would have been handed out: after coalescing, holds and storms.
/// Of the newest 50,000 rows of history.
#[utoipa::path(
    get, path = "/api/v1/signals/{stream}/preview", tag = "signals", operation_id = "preview_signals",
    params(("stream" = String, Path, description = "The id of the stream."), view::PreviewParams),
    responses((status = 200, description = "Counts and rows.", body = Preview, example = json!({
        "stream": "5f2c9a0b7d1e4c385f2c9a0b7d1e4c38", "receiver": "idp", "shadow": true,
        "from": "2026-11-23T08:15:00.000Z", "to": "2026-11-24T08:15:00.000Z", "recorded": 1, "delivered": 0, "muted": 0,
        "by_event_type": {"risk-level-change": 1}, "by_change": {"low to high": 1}, "by_receiver": {"idp": 1},
        "items": [{"time": "2026-11-24T08:10:00.000Z", "action": "shadow", "event_type": "risk-level-change",
        "detail": "low to high"}]
    })))
)]
pub(in super::super::super) async fn preview(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Params(params): Params<view::PreviewParams>,
) -> Result<Json<Preview>, Problem> {
    let now = clock::now();
    let to = time("to", params.to.as_deref(), now)?.unwrap_or(now);
    let from = time("from", params.from.as_deref(), now)?.unwrap_or(to - BEFORE);
    if from > to {
        return Err(Problem::parameter("from", "`from` is after `to`"));
    }
    let signals = signals(&shared)?;
    let about = id.clone();
    let known = signals.run(&shared, move |transmitter, _| {
        let receivers = transmitter.streams().map(|s| (s.id.clone(), s.receiver.clone()));
        let receivers: BTreeMap<String, String> = receivers.collect();
        let receiver = receivers.get(&about)?.clone();
        let shadow = transmitter.profile_of(&receiver).is_some_and(|p| p.shadow);
        Some((receivers, receiver, shadow))
    });
    let (receivers, receiver, shadow) = known.await?.ok_or_else(unknown)?;
    let wanted = move |row: &HistoryRow| {
        (from..=to).contains(&row.at) && matches!(&*row.action, "shadow" | "delivered" | "muted")
    };
    let read = move || signals.history(usize::MAX, wanted);
    let rows = shared.pools.reads.run(read).await??;
    let mut preview = Preview {
        stream: id,
        receiver,
        shadow,
        from: sluice_event::rfc3339(from),
        to: sluice_event::rfc3339(to),
        recorded: 0,
        delivered: 0,
        muted: 0,
        by_event_type: BTreeMap::new(),
        by_change: BTreeMap::new(),
        by_receiver: BTreeMap::new(),
        items: Vec::new(),
    };
    for row in rows {
        preview.take(row, &receivers);
    }
    Ok(Json(preview))
}

impl Preview {
    fn take(&mut self, row: HistoryRow, receivers: &BTreeMap<String, String>) {
        let Some(stream) = &row.stream else { return };
        let is_muted = row.action == "muted";
        if !is_muted {
            let receiver = receivers.get(stream).map_or("(deleted)", String::as_str);
            *self.by_receiver.entry(receiver.to_owned()).or_default() += 1;
        }
        if *stream != self.stream {
            return;
        }
        match &*row.action {
            "muted" => self.muted += 1,
            "shadow" => self.recorded += 1,
            _ => self.delivered += 1,
        }
        for (counts, name) in
            [(&mut self.by_event_type, &row.event_type), (&mut self.by_change, &row.detail)]
        {
            if let Some(name) = name.as_ref().filter(|_| !is_muted) {
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
        if self.items.len() < SHOWN {
            self.items.push(HistoryView::of(row));
        }
    }
}
