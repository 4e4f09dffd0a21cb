//! Tumbling and hopping windows: half-open, on a fixed grid, one [`Bucket`] each.

use super::{
    Cell, Context, Group, Kind, Limits, Reported, Verdict,
    bucket::{Bucket, remembered},
    layout::{Layout, RowView},
};
use crate::{
    Bound, EmitMode, Pace, Window,
    caps::Caps,
    events::EventRef,
    keys::Timers,
    operator::{Arrival, Env, Lost, Restore},
    state::{Reader, StateError, Writer},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Fixed {
    slide: i64,
    size: i64,
    /// Distinct values and native ids a window remembers.
    most: usize,
}

/// The open windows of one key, by start.
#[derive(Debug, Default)]
pub(crate) struct Windows(Vec<(i64, Open)>);

#[derive(Debug)]
struct Open {
    bucket: Bucket,
    /// Gained a row since it was last judged.
    changed: bool,
    /// The watermark had passed its end when it was last judged.
    passed: bool,
}

impl Fixed {
    pub(crate) fn new(window: Window, limits: &Limits, threshold: usize) -> Self {
        let (slide, size) = match window {
            Window::Hop { slide, size } => (slide.max(1), size.max(1)),
            Window::Tumble { size } | Window::Sliding { size } | Window::Session { gap: size } => {
                (size.max(1), size.max(1))
            }
        };
        Fixed { slide, size, most: remembered(limits, threshold) }
    }

    fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.size)
    }
}

impl Kind for Fixed {
    type Rows = Windows;
    const VERSION: u8 = 3;

    fn start(&self) -> Windows {
        Windows::default()
    }

    /// Takes a row into each of its windows; `false` if it is a duplicate in all of them.
    fn insert(
        &self,
        windows: &mut Windows,
        layout: &Layout,
        arrival: &Arrival<'_>,
        env: &mut Env<'_>,
    ) -> bool {
        let mut values = Vec::new();
        let row = layout.keep(arrival, env.texts, &mut values);
        let row = RowView { row, values: &values };
        let newest = arrival.time.div_euclid(self.slide).saturating_mul(self.slide);
        let mut fresh = false;
        for back in 0..self.size / self.slide {
            let start = newest.saturating_sub(back.saturating_mul(self.slide));
            let list = &mut windows.0;
            let at = match list.last() {
                Some((last, _)) if *last < start => Err(list.len()),
                _ => list.binary_search_by_key(&start, |(s, _)| *s),
            };
            let at = at.unwrap_or_else(|at| {
                if list.is_empty() {
                    list.reserve_exact(1);
                }
                let bucket = Bucket::new(layout);
                list.insert(at, (start, Open { bucket, changed: false, passed: false }));
                at
            });
            let Some((_, open)) = list.get_mut(at) else { continue };
            let before = open.bucket.capped;
            let added = open.bucket.add(layout, &row, env.events, self.most);
            if open.bucket.capped && !before {
                env.lost = Some(Lost { bound: Bound::ValuesOfWindow, time: arrival.time });
            }
            open.changed |= added;
            fresh |= added;
        }
        fresh
    }

    fn examine(
        &self,
        windows: &mut Windows,
        cx: &Context<'_>,
        env: &mut Env<'_>,
        reported: &Reported,
    ) -> Vec<Cell> {
        let mut cells = Vec::new();
        for (start, open) in &mut windows.0 {
            let (start, end) = (*start, self.end(*start));
            let closed = cx.frontier.closed >= end;
            let passed = cx.frontier.watermark >= end;
            let (speaks, fresh) = match cx.emit {
                EmitMode::OnMatch => (true, open.changed),
                EmitMode::OnWatermark => (passed, open.changed || !open.passed),
                EmitMode::OnClose => (closed, true),
            };
            let unconfirmed = closed && reported.has(start);
            if !speaks || !(fresh || unconfirmed) {
                continue;
            }
            (open.changed, open.passed) = (false, passed);
            let bucket = &open.bucket;
            let caps =
                Caps::VALUES.when(bucket.capped) | Caps::KEYS.when(start <= cx.evicted_through);
            let group = || Group {
                id: start,
                window: (start, end),
                time: bucket.time,
                rows: bucket.rows,
                late: bucket.late,
                time_flags: bucket.time_flags,
                caps,
                aggregates: bucket.accumulators.values(),
            };
            let verdict = match &cx.plan.condition {
                _ if !fresh => Verdict::AsReported,
                Some(condition) => {
                    let holds = condition.holds(&|i| bucket.accumulators.value(i));
                    if !holds && !reported.has(start) {
                        continue;
                    }
                    if holds && cx.pace == Pace::News && !closed && reported.has(start) {
                        (open.changed, env.waits) = (true, true);
                        continue;
                    }
                    Verdict::Judged(holds.then(group))
                }
                None => Verdict::Open { groups: vec![group()], whole: true },
            };
            cells.push(Cell { id: start, closed, caps, verdict });
        }
        cells
    }

    fn evidence(&self, windows: &Windows, group: &Group) -> Vec<EventRef> {
        let found = windows.0.binary_search_by_key(&group.id, |(start, _)| *start);
        let open = found.ok().and_then(|at| windows.0.get(at));
        open.map(|(_, open)| open.bucket.evidence().collect()).unwrap_or_default()
    }

    fn finish(&self, windows: &mut Windows, cx: &Context<'_>) -> Option<Timers> {
        let done = windows.0.partition_point(|(start, _)| self.end(*start) <= cx.frontier.closed);
        windows.0.drain(..done);
        let closed = windows.0.first().map(|(start, _)| self.end(*start))?;
        let watermark = (cx.emit == EmitMode::OnWatermark)
            .then(|| windows.0.iter().find(|(_, o)| !o.passed).map(|(start, _)| self.end(*start)))
            .flatten();
        Some(Timers { watermark, closed: Some(closed), waits: false })
    }

    fn rows(windows: &Windows) -> usize {
        windows.0.iter().map(|(_, o)| o.bucket.rows as usize).sum()
    }

    fn newest(windows: &Windows) -> Option<i64> {
        windows.0.iter().map(|(_, o)| o.bucket.time).max()
    }

    fn bytes(windows: &Windows) -> usize {
        windows.0.iter().map(|(_, o)| 16 + o.bucket.bytes()).sum()
    }

    fn encode(&self, windows: &Windows, w: &mut Writer) {
        w.length(windows.0.len());
        for (start, open) in &windows.0 {
            w.signed(*start);
            open.bucket.encode(w);
        }
    }

    /// Every window counts as changed: it is judged again, and what was reported is not repeated.
    fn decode(
        &self,
        layout: &Layout,
        r: &mut Reader<'_>,
        restore: &mut Restore<'_>,
    ) -> Result<Windows, StateError> {
        let windows = r.list(|r| {
            let start = r.signed()?;
            let bucket = Bucket::decode(layout, r, restore)?;
            Ok((start, Open { bucket, changed: true, passed: false }))
        })?;
        Ok(Windows(windows))
    }
}
