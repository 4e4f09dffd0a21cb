//! How a window runs, in words.

use super::{AggregateFunction, LIST_MAX, Limits, Window, WindowPlan, is_threshold};
use crate::StageView;

pub(super) fn of(plan: &WindowPlan, limits: &Limits) -> StageView {
    let operator = match plan.window {
        Window::Tumble { size } => format!("tumble of {} s", size / 1000),
        Window::Hop { slide, size } => format!("hop of {} s every {} s", size / 1000, slide / 1000),
        Window::Session { gap } => format!("session with gaps up to {} s", gap / 1000),
        Window::Sliding { size } => format!("sliding over {} s", size / 1000),
    };
    let (key, state) = (Some(0..plan.keys), Some("per key: the rows of open windows"));
    StageView { operator, key, state, bounds: bounds(plan, limits) }
}

fn bounds(plan: &WindowPlan, limits: &Limits) -> Vec<String> {
    let keys = format!(
        "{} keys are kept on each shard; above it those with the fewest rows are judged at once and \
         given up, later findings are `capped` and `sluice.rule_degraded` says so",
        limits.keys_max
    );
    let evidence = "evidence shows the first 10 and the last 10 rows of a finding".to_owned();
    let is_list = |f: AggregateFunction| {
        matches!(f, AggregateFunction::List | AggregateFunction::ListDistinct)
    };
    let list = plan.aggregates.iter().any(|a| is_list(a.function)).then(|| {
        format!(
            "a list of array_agg has the first {LIST_MAX} values in their order; a finding with more \
             is `capped`"
        )
    });
    rows(plan, limits).into_iter().chain([keys, evidence]).chain(list).collect()
}

fn rows(plan: &WindowPlan, limits: &Limits) -> Vec<String> {
    let most = limits.window_events_max;
    match plan.window {
        Window::Sliding { .. } if is_threshold(plan) => vec![format!(
            "{most} rows of a key are kept one by one, above it what the thresholds need; they fire \
             exactly at any rate, and what a finding shows is then a lower bound (`capped`)"
        )],
        Window::Sliding { .. } => vec![format!(
            "{most} rows of a key are kept one by one; above it the oldest are judged at once and \
             summed up by stretches of time. A finding whose window cuts a stretch is `capped`, and \
             `sluice.rule_degraded` names the key"
        )],
        Window::Session { .. } => vec![
            format!(
                "{most} rows of a key are kept one by one; older ones are summed up and lose nothing"
            ),
            format!(
                "a session is split after {} h, and both parts are `capped`",
                limits.session_max / 3_600_000
            ),
            values(most),
        ],
        Window::Tumble { .. } | Window::Hop { .. } => vec![values(most)],
    }
}

fn values(most: usize) -> String {
    format!(
        "{most} distinct values and native ids of a window are remembered, or as many as a threshold \
         asks for; above it a finding is `capped`, and `sluice.rule_degraded` names the key if the \
         condition is no threshold"
    )
}
