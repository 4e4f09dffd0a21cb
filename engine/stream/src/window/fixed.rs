//! Tumbling and hopping windows: half-open, on a fixed grid, one [`Bucket`] each.

use std::{collections::BTreeMap, sync::Arc};

use super::{Cell, Context, Group, Limits, Spoken, bucket::Bucket};
use crate::{
    Aggregate, Class, KeyedRow, Window,
    keys::Wake,
    state::{Reader, StateError, Writer},
};

/// The open windows of one key, by start.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    windows: BTreeMap<i64, Open>,
}

#[derive(Debug)]
struct Open {
    bucket: Bucket,
    /// Gained a row since it was last judged.
    changed: bool,
    /// The watermark had passed its end when it was last judged.
    passed: bool,
}

impl Fixed {
    /// Takes a row into each of its windows; `false` if it is a duplicate in all of them.
    pub(crate) fn insert(
        &mut self,
        aggregates: &[Aggregate],
        window: Window,
        row: &KeyedRow,
        limits: &Limits,
    ) -> bool {
        let (slide, size) = grid(window);
        let newest = row.time.div_euclid(slide).saturating_mul(slide);
        let mut fresh = false;
        for back in 0..size / slide {
            let start = newest.saturating_sub(back.saturating_mul(slide));
            let open = self.windows.entry(start).or_insert_with(|| Open {
                bucket: Bucket::new(aggregates),
                changed: false,
                passed: false,
            });
            let added = open.bucket.add(aggregates, row, limits);
            open.changed |= added;
            fresh |= added;
        }
        fresh
    }

    pub(crate) fn examine(&mut self, cx: &Context<'_>, spoken: &Spoken) -> Vec<Cell> {
        let (_, size) = grid(cx.plan.window);
        let mut cells = Vec::new();
        for (&start, open) in &mut self.windows {
            let end = start.saturating_add(size);
            let closed = cx.frontier.closed >= end;
            let passed = cx.frontier.watermark >= end;
            let (speaks, fresh) = match cx.class {
                Class::Monotone => (true, open.changed),
                Class::Repairable => (passed, open.changed || !open.passed),
                Class::Final => (closed, true),
            };
            let unconfirmed = closed && spoken.contains_key(&start);
            if !speaks || !(fresh || unconfirmed) {
                continue;
            }
            let bucket = &open.bucket;
            let capped = bucket.capped || start <= cx.forgotten;
            let groups = fresh.then(|| {
                vec![Group {
                    id: start,
                    window: (start, end),
                    time: bucket.time,
                    rows: bucket.rows,
                    late: bucket.late,
                    capped,
                    aggregates: bucket.accumulators.values(),
                }]
            });
            cells.push(Cell { id: start, closed, capped, groups });
            (open.changed, open.passed) = (false, passed);
        }
        cells
    }

    pub(crate) fn evidence(&self, id: i64) -> Vec<Arc<str>> {
        self.windows.get(&id).map(|o| o.bucket.evidence()).unwrap_or_default()
    }

    /// Drops windows nothing can change; `None` if none is left.
    pub(crate) fn finish(&mut self, cx: &Context<'_>) -> Option<Wake> {
        let (_, size) = grid(cx.plan.window);
        let end = |start: &i64| start.saturating_add(size);
        while let Some(entry) = self.windows.first_entry() {
            if end(entry.key()) > cx.frontier.closed {
                break;
            }
            entry.remove();
        }
        let closed = self.windows.first_key_value().map(|(start, _)| end(start))?;
        let watermark = (cx.class == Class::Repairable)
            .then(|| self.windows.iter().find(|(_, o)| !o.passed).map(|(start, _)| end(start)))
            .flatten();
        Some(Wake { watermark, closed: Some(closed) })
    }

    pub(crate) fn rows(&self) -> usize {
        self.windows.values().map(|o| o.bucket.rows as usize).sum()
    }

    /// The newest row.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.windows.values().map(|o| o.bucket.time).max()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.windows.values().map(|o| 48 + o.bucket.bytes()).sum()
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        w.length(self.windows.len());
        for (start, open) in &self.windows {
            w.signed(*start);
            open.bucket.encode(w);
        }
    }

    /// Every window counts as changed: it is judged again, and what was said before is not repeated.
    pub(crate) fn decode(aggregates: &[Aggregate], r: &mut Reader<'_>) -> Result<Self, StateError> {
        let windows = r.list(|r| {
            let start = r.signed()?;
            let bucket = Bucket::decode(aggregates, r)?;
            Ok((start, Open { bucket, changed: true, passed: false }))
        })?;
        Ok(Fixed { windows: windows.into_iter().collect() })
    }
}

/// Slide and size.
fn grid(window: Window) -> (i64, i64) {
    match window {
        Window::Hop { slide, size } => (slide.max(1), size.max(1)),
        Window::Tumble { size } | Window::Sliding { size } | Window::Session { gap: size } => {
            (size.max(1), size.max(1))
        }
    }
}
