//! Each operator as its definition reads, O(n^2), from a plain list of rows.

use std::collections::{BTreeMap, BTreeSet};

use sluice_event::{Encoder, EventUid, TimeFlags, Value};
use sluice_stream::{Comparison, Condition, EmitMode, Window};

use crate::run::{Random, SESSION_MAX};

/// One accepted row: key, a text, a number, a filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) uid: EventUid,
    pub(crate) time_flags: TimeFlags,
    pub(crate) values: [Value; 4],
}

impl Row {
    pub(crate) fn evidence(&self) -> String {
        format!("{{\"row\":\"{} {:x}\"}}", self.time, self.uid.bits)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Window { window: Window, having: Having },
    FirstSeen { span: i64 },
}

/// HAVING over the aggregates of [`aggregates`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Having {
    Always,
    Count(i64),
    Distinct(i64),
    CountAndDistinct(i64, i64),
    /// Not monotone.
    CountBetween(i64, i64),
    /// Not monotone, NULL over no value.
    MeanBelow(f64),
    /// Not monotone: so many rows pass the filter.
    Filtered(i64),
    /// At least so many do.
    FilteredAtLeast(i64),
}

impl Having {
    /// One that a later row can make false again.
    pub(crate) fn not_monotone(random: &mut Random) -> Having {
        let n = random.below(6) as i64 + 1;
        match random.below(3) {
            0 => Having::CountBetween(n, 2 * n),
            1 => Having::MeanBelow(n as f64 - 2.0),
            _ => Having::Filtered(n),
        }
    }
}

impl Having {
    pub(crate) fn any(emit: EmitMode, random: &mut Random) -> Having {
        let kinds = if emit == EmitMode::OnMatch { 3 } else { 6 };
        let (a, b) = (random.below(6) as i64 + 1, random.below(3) as i64 + 1);
        match random.below(kinds) {
            0 => Having::Count(a),
            1 => Having::Distinct(b),
            2 => Having::CountAndDistinct(a, b),
            3 => Having::CountBetween(a, a + b),
            4 => Having::MeanBelow(a as f64 - 2.0),
            _ => Having::Always,
        }
    }

    /// As a tree of comparisons, if there is a HAVING.
    pub(crate) fn condition(self) -> Option<Condition> {
        let compare = |aggregate, comparison, constant| Condition::Compare {
            aggregate,
            comparison,
            constant,
        };
        let at_least = |i, n| compare(i, Comparison::GreaterOrEqual, Value::Int(n));
        Some(match self {
            Having::Always => return None,
            Having::Count(n) => at_least(0, n),
            Having::Distinct(n) => at_least(2, n),
            Having::CountAndDistinct(n, m) => Condition::All(vec![at_least(0, n), at_least(2, m)]),
            Having::CountBetween(n, m) => Condition::All(vec![
                at_least(0, n),
                compare(0, Comparison::LessOrEqual, Value::Int(m)),
            ]),
            Having::MeanBelow(v) => compare(6, Comparison::Less, Value::Float(v)),
            Having::Filtered(n) => compare(7, Comparison::Equal, Value::Int(n)),
            Having::FilteredAtLeast(n) => at_least(7, n),
        })
    }

    pub(crate) fn is_monotone(self) -> bool {
        match self {
            Having::Always
            | Having::Count(_)
            | Having::Distinct(_)
            | Having::FilteredAtLeast(_)
            | Having::CountAndDistinct(..) => true,
            Having::CountBetween(..) | Having::MeanBelow(_) | Having::Filtered(_) => false,
        }
    }

    pub(crate) fn keeps(self, aggregates: &[Value]) -> Option<bool> {
        let int = |i: usize| match aggregates[i] {
            Value::Int(n) => n,
            _ => panic!("not a count"),
        };
        Some(match self {
            Having::Always => true,
            Having::Count(n) => int(0) >= n,
            Having::Distinct(n) => int(2) >= n,
            Having::CountAndDistinct(n, m) => int(0) >= n && int(2) >= m,
            Having::CountBetween(n, m) => (n..=m).contains(&int(0)),
            Having::MeanBelow(v) => aggregates[6].as_float()? < v,
            Having::Filtered(n) => int(7) == n,
            Having::FilteredAtLeast(n) => int(7) >= n,
        })
    }
}

/// What a finding must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) time: i64,
    pub(crate) window: Option<(i64, i64)>,
    pub(crate) columns: Vec<Value>,
    pub(crate) evidence: Vec<String>,
    pub(crate) total: u64,
    pub(crate) capped: bool,
    pub(crate) time_flags: TimeFlags,
}

pub(crate) type Findings = BTreeMap<Vec<u8>, Finding>;

pub(crate) fn findings(stage: &Stage, rows: &[Row], history_start: Option<i64>) -> Findings {
    let mut seen = BTreeSet::new();
    let mut rows: Vec<Row> =
        rows.iter().filter(|r| !r.uid.native || seen.insert(r.uid.bits)).cloned().collect();
    rows.sort_by_key(|r| (r.time, r.uid.bits));
    match stage {
        Stage::FirstSeen { span } => first_seen(*span, &rows, history_start),
        Stage::Window { window, having } => {
            let keys: BTreeSet<&Value> = rows.iter().map(|r| &r.values[0]).collect();
            let of = |key: &Value| rows.iter().filter(|r| r.values[0] == *key).collect::<Vec<_>>();
            keys.iter().flat_map(|key| windows(*window, *having, key, &of(key))).collect()
        }
    }
}

fn windows(window: Window, having: Having, key: &Value, rows: &[&Row]) -> Findings {
    let mut found = Findings::new();
    let mut judge = |id: i64, bounds: (i64, i64), inside: Vec<&Row>, capped: bool| {
        let aggregates = aggregates(&inside);
        if having.keeps(&aggregates) == Some(true) {
            let last = inside.iter().map(|r| r.time).max().unwrap();
            let finding = Finding {
                time: last,
                window: Some(bounds),
                columns: [vec![key.clone()], aggregates, vec![Value::Time(bounds.0)]].concat(),
                evidence: shown(&inside),
                total: inside.len() as u64,
                capped,
                time_flags: inside.iter().fold(TimeFlags::NONE, |all, r| all | r.time_flags),
            };
            // Rows come in time order: the last one of a cell wins.
            found.insert(row_key(window, key, id), finding);
        }
    };
    let within = |from: i64, to: i64| -> Vec<&Row> {
        let start = rows.partition_point(|r| r.time < from);
        rows[start..].iter().take_while(|r| r.time <= to).copied().collect()
    };
    match window {
        Window::Sliding { size } => {
            for e in rows {
                let cell = e.time.div_euclid(size) * size;
                judge(cell, (e.time - size, e.time), within(e.time - size, e.time), false);
            }
        }
        Window::Tumble { size } => {
            for e in rows {
                let start = e.time.div_euclid(size) * size;
                judge(start, (start, start + size), within(start, start + size - 1), false);
            }
        }
        Window::Hop { slide, size } => {
            for e in rows {
                let newest = e.time.div_euclid(slide) * slide;
                for back in 0..size / slide {
                    let start = newest - back * slide;
                    judge(start, (start, start + size), within(start, start + size - 1), false);
                }
            }
        }
        Window::Session { gap } => {
            let mut sessions: Vec<(i64, i64, bool)> = Vec::new();
            for e in rows {
                match sessions.last_mut() {
                    Some((start, last, split)) if e.time - *last <= gap => {
                        if e.time - *start <= SESSION_MAX {
                            *last = e.time;
                        } else {
                            *split = true;
                            sessions.push((e.time, e.time, true));
                        }
                    }
                    _ => sessions.push((e.time, e.time, false)),
                }
            }
            for (start, last, split) in sessions {
                judge(start, (start, last + gap), within(start, last), split);
            }
        }
    }
    found
}

fn first_seen(span: i64, rows: &[Row], history_start: Option<i64>) -> Findings {
    let mut found = Findings::new();
    for e in rows {
        let tuple = |r: &Row| [r.values[0].clone(), r.values[1].clone()];
        let earlier = rows.iter().any(|r| {
            tuple(r) == tuple(e)
                && (r.time, r.uid.bits) < (e.time, e.uid.bits)
                && r.time >= e.time - span
        });
        let cold = history_start.is_some_and(|start| e.time - span < start);
        if earlier || cold || tuple(e).iter().any(Value::is_null) {
            continue;
        }
        let mut key = Encoder::default();
        key.bytes(&e.uid.bits.to_be_bytes());
        let finding = Finding {
            time: e.time,
            window: None,
            columns: vec![e.values[0].clone(), e.values[2].clone()],
            evidence: vec![e.evidence()],
            total: 1,
            capped: false,
            time_flags: e.time_flags,
        };
        found.insert(key.into_bytes(), finding);
    }
    found
}

fn row_key(window: Window, key: &Value, start: i64) -> Vec<u8> {
    let (kind, size) = match window {
        Window::Tumble { size } => ("tumble", size),
        Window::Hop { size, .. } => ("hop", size),
        Window::Session { gap } => ("session", gap),
        Window::Sliding { size } => ("sliding", size),
    };
    let mut encoder = Encoder::default();
    encoder.value(key);
    encoder.text(kind);
    encoder.int(size);
    encoder.time(start);
    encoder.into_bytes()
}

fn shown(rows: &[&Row]) -> Vec<String> {
    let all = rows.iter().map(|r| r.evidence());
    let hidden = 10..rows.len().max(20) - 10;
    all.enumerate().filter(|(i, _)| !hidden.contains(i)).map(|(_, e)| e).collect()
}

/// `count(*)`, `count(x)`, `count(DISTINCT x)`, `sum(y)`, `min(y)`, `max(y)`, `avg(y)`, and
/// `count(*) FILTER (WHERE f)`.
fn aggregates(rows: &[&Row]) -> Vec<Value> {
    let texts: Vec<&Value> = rows.iter().map(|r| &r.values[1]).filter(|v| !v.is_null()).collect();
    let numbers: Vec<f64> = rows.iter().filter_map(|r| r.values[2].as_float()).collect();
    let number = |v: Option<f64>| v.map_or(Value::Null, Value::Float);
    let sum = (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>());
    let count = |n: usize| Value::Int(n as i64);
    vec![
        count(rows.len()),
        count(texts.len()),
        count(texts.iter().collect::<BTreeSet<_>>().len()),
        number(sum),
        number(numbers.iter().copied().reduce(f64::min)),
        number(numbers.iter().copied().reduce(f64::max)),
        number(sum.map(|s| s / numbers.len() as f64)),
        count(rows.iter().filter(|r| r.values[3].as_bool() == Some(true)).count()),
    ]
}
