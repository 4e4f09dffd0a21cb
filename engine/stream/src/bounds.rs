//! What bounds the state of a rule and what becomes of its findings there, in words: for `rule
//! explain` and the rule's health. The bounds themselves are [`Limits`].

use crate::{AggregateFunction, LIST_MAX, Limits, Stage, StreamPlan, Window, WindowPlan, window};

/// One sentence per bound; none if the rule keeps no state.
pub fn bounds(plan: &StreamPlan, limits: &Limits) -> Vec<String> {
    let keys = format!(
        "{} keys are kept on each shard; above it those with the fewest rows are judged at once and \
         given up, later findings are `capped` and `sluice.rule_degraded` says so",
        limits.keys_max
    );
    match &plan.stage {
        Stage::Stateless => Vec::new(),
        Stage::FirstSeen(_) => vec![format!(
            "{} key tuples are kept on each shard; one that was given up counts as new again, and \
             `sluice.rule_degraded` says so",
            limits.keys_max
        )],
        Stage::Baseline(baseline) => vec![
            format!(
                "{} entities are kept; above it further ones wait for the end of the day, when those \
                 with the least history are given up, and `sluice.rule_degraded` says so",
                baseline.policy.entities_max
            ),
            format!(
                "{} values of a feature are kept of each entity, those seen most, and as many of each \
                 unit; the others count together",
                baseline.policy.profile_values_max
            ),
        ],
        Stage::Window(window) => {
            let evidence =
                "evidence shows the first 10 and the last 10 rows of a finding".to_owned();
            let list = window.aggregates.iter().any(|a| {
                matches!(a.function, AggregateFunction::List | AggregateFunction::ListDistinct)
            });
            let list = list.then(|| {
                format!(
                    "a list of array_agg has the first {LIST_MAX} values in their order; a finding \
                     with more is `capped`"
                )
            });
            rows(window, limits).into_iter().chain([keys, evidence]).chain(list).collect()
        }
    }
}

fn rows(plan: &WindowPlan, limits: &Limits) -> Vec<String> {
    let most = limits.window_events_max;
    match plan.window {
        Window::Sliding { .. } if window::is_threshold(plan) => vec![format!(
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
