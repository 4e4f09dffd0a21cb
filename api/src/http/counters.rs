//! What the API counts of itself, for `/metrics`.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    proto::MetricFamily,
};

use super::problem::{Code, Problem};

/// Counters of the HTTP layer.
#[derive(Clone)]
pub(super) struct Counters {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    auth_failures: IntCounterVec,
    queries: IntCounterVec,
    query_seconds: HistogramVec,
    reloads: IntCounterVec,
    shares: IntCounterVec,
    /// Clients of the live stream.
    pub(super) streams: IntGauge,
    /// Gaps reported to clients of the live stream.
    pub(super) gaps: IntCounter,
}

const BUCKETS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

impl Counters {
    /// All at nothing.
    ///
    /// # Errors
    /// If a name were given twice: a defect.
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)
        };
        let counters = Counters {
            registry: Registry::new(),
            requests: counter(
                "sluice_http_requests_total",
                "Requests answered.",
                &["route", "method", "status"],
            )?,
            seconds: histogram(
                "sluice_http_request_seconds",
                "Time from the head of a request to the head of its response.",
                &["route"],
            )?,
            auth_failures: counter(
                "sluice_auth_failures_total",
                "Requests without a good token.",
                &["reason"],
            )?,
            queries: counter(
                "sluice_queries_total",
                "Searches and hunts, by how they ended.",
                &["kind", "outcome"],
            )?,
            query_seconds: histogram(
                "sluice_query_seconds",
                "Time that searches and hunts took.",
                &["kind"],
            )?,
            reloads: counter(
                "sluice_reloads_total",
                "Reloads asked for over the API, by how they ended.",
                &["kind", "outcome"],
            )?,
            shares: counter(
                "sluice_share_refused_total",
                "Requests refused because one name has as many of something as one may have.",
                &["what"],
            )?,
            streams: IntGauge::new("sluice_stream_clients", "Clients of the live stream.")?,
            gaps: IntCounter::new(
                "sluice_stream_gaps_total",
                "Gaps reported to clients of the live stream that were too slow.",
            )?,
        };
        for family in [&counters.requests, &counters.auth_failures, &counters.queries] {
            counters.registry.register(Box::new(family.clone()))?;
        }
        counters.registry.register(Box::new(counters.reloads.clone()))?;
        counters.registry.register(Box::new(counters.shares.clone()))?;
        counters.registry.register(Box::new(counters.seconds.clone()))?;
        counters.registry.register(Box::new(counters.query_seconds.clone()))?;
        counters.registry.register(Box::new(counters.streams.clone()))?;
        counters.registry.register(Box::new(counters.gaps.clone()))?;
        Ok(counters)
    }

    /// A request that was answered.
    pub(super) fn request(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        // A method is whatever a client writes: others than these share a label.
        let method = match method.as_str() {
            m @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => m,
            _ => "other",
        };
        self.requests.with_label_values(&[route, method, status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// A request without a good token.
    pub(super) fn auth_failed(&self, reason: &str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// A search or hunt that ended.
    pub(super) fn query(&self, kind: &str, outcome: &str, took: Duration) {
        self.queries.with_label_values(&[kind, outcome]).inc();
        self.query_seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// A request for one more of something than a name may have: its answer.
    pub(super) fn share_refused(&self, what: &str, setting: &str, most: usize) -> Problem {
        self.shares.with_label_values(&[what]).inc();
        let text = format!("there are {most} {what} under this name, of those that all share");
        Problem::new(Code::Conflict, text).hint(format!("`api.{setting}` is the limit"))
    }

    /// A reload that ended.
    pub(super) fn reloaded(&self, applied: bool) {
        let outcome = if applied { "applied" } else { "refused" };
        self.reloads.with_label_values(&["content", outcome]).inc();
    }

    /// All of them.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}
