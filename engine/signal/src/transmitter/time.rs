//! What passing time does to streams: idle ones are verified or paused, what shadow streams would send is
//! recorded, what is too old goes. Not the clock, and not what time does to levels.

use serde_json::Map;

use super::{HistoryRow, Transmitter, dead_key, manage::is_push};
use crate::{EventType, Row, StreamStatus, SubjectId};

/// Dead letters are kept for so long, milliseconds.
const DEAD_AGE: i64 = 30 * 24 * 3_600_000;
/// Rows of a shadow stream that are recorded at once.
const SHADOWS: usize = 1_000;

impl Transmitter {
    /// Puts a verification on each push stream that has been idle for the keepalive time. It carries no
    /// state: nobody asked for it.
    pub(super) fn keep_alive(&mut self, now: i64) {
        let after = self.settings.keepalive;
        if after == 0 {
            return;
        }
        let mut idle = Vec::new();
        for (id, live) in &mut self.streams {
            let seen = *live.seen_at.get_or_insert(now);
            let last = live.health.delivered_at.map_or(seen, |at| at.max(seen));
            let quiet = now - last >= after && live.outbox.len() == 0;
            let flows = live.stream.status == StreamStatus::Enabled;
            if quiet && is_push(&live.stream) && flows {
                idle.push(id.clone());
            }
        }
        for id in idle {
            let subject = SubjectId::opaque(&id);
            self.send_one(&id, EventType::Verification, subject, Map::new(), now);
        }
    }

    /// Remembers that the receiver of a stream did something about it. Written seldom: a poll is not to cost a
    /// sync.
    pub(super) fn touch(&mut self, id: &str, now: i64) {
        let timeout = self.settings.inactivity_timeout;
        let Some(live) = self.streams.get_mut(id) else { return };
        if timeout > 0 && now - live.stream.active_at > (timeout / 10).min(60_000) {
            live.stream.active_at = now;
            self.put_stream(id);
        }
    }

    /// Pauses streams whose receiver has done nothing for the inactivity timeout (SSF 1.0 section 8.1.1), and
    /// tells it.
    pub(super) fn pause_inactive(&mut self, now: i64) {
        let timeout = self.settings.inactivity_timeout;
        if timeout == 0 {
            return;
        }
        let idle = self.streams.iter().filter(|(_, live)| {
            let stream = &live.stream;
            // Of a push stream, what the receiver takes is a sign of it too.
            let last = stream.active_at.max(live.health.delivered_at.unwrap_or_default());
            stream.status == StreamStatus::Enabled && !stream.configured && now - last >= timeout
        });
        let idle: Vec<String> = idle.map(|(id, _)| id.clone()).collect();
        for id in idle {
            let reason = format!("nothing was heard of the receiver for {} s", timeout / 1_000);
            self.change_status(&id, StreamStatus::Paused, Some(reason.clone()), now);
            self.announce_status(&id, StreamStatus::Paused, &reason, now);
            self.record(HistoryRow {
                at: now,
                action: "paused".into(),
                stream: Some(id),
                detail: Some(reason),
                ..HistoryRow::default()
            });
        }
    }

    /// Drops SETs that have waited too long, counted, and dead letters that nobody replayed.
    pub(super) fn forget_old(&mut self, now: i64) {
        let (mut late, mut dead) = (Vec::new(), Vec::new());
        for (id, live) in &self.streams {
            let old = live.outbox.rows().filter(|r| now - r.created_at > self.settings.queue_age);
            late.extend(old.map(|row| (id.clone(), row.jti.clone())));
            let old = live.dead.values().filter(|letter| now - letter.at > DEAD_AGE);
            dead.extend(old.map(|letter| (id.clone(), letter.row.jti.clone())));
        }
        for (id, jti) in late {
            self.drop_row(&id, &jti, "dropped", now);
            self.totals.dropped += 1;
        }
        for (id, jti) in dead {
            if let Some(live) = self.streams.get_mut(&id) {
                live.dead.remove(&jti);
            }
            self.delete(dead_key(&id, &jti));
        }
    }

    /// Records what streams in shadow mode would send now, as if it had been delivered.
    pub(super) fn record_shadows(&mut self, now: i64) {
        let shadow = |receiver: &String| self.profiles.get(receiver).is_some_and(|p| p.shadow);
        let streams = self.streams.iter().filter(|(_, live)| shadow(&live.stream.receiver));
        let streams: Vec<String> = streams.map(|(id, _)| id.clone()).collect();
        for id in streams {
            while let Some(live) = self.streams.get(&id) {
                let flows = live.stream.status == StreamStatus::Enabled;
                let wanted =
                    |row: &Row| flows && !row.kind().is_some_and(EventType::is_about_stream);
                let due = live.outbox.due(now, SHADOWS, wanted);
                if due.is_empty() {
                    break;
                }
                for jti in due {
                    self.record_shadow(&id, &jti, now);
                }
            }
        }
    }

    fn record_shadow(&mut self, id: &str, jti: &str, now: i64) {
        let Some(live) = self.streams.get_mut(id) else { return };
        let Some(row) = live.outbox.remove(jti) else { return };
        self.totals.shadow += 1;
        self.sent_off(id, row, true, now);
    }
}
