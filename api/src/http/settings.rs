//! How the server listens and what it bears. The configuration fills it in; tests change single
//! limits.

use std::{net::SocketAddr, time::Duration};

use sluice_engine::QueryLimits;
use sluice_ingest::push::PushLimits;

use super::tls::TlsFiles;
use crate::network::Network;

/// How the server listens and what it bears.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    /// Where to listen; port 0: any free one.
    pub(crate) listen: SocketAddr,
    /// Where Envoy asks over gRPC; `None`: nowhere.
    pub(crate) grpc: Option<SocketAddr>,
    /// Certificate and key, to serve HTTPS; without, plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
    /// Connections at a time; one more takes the place of the one that is idle for longest, or is
    /// closed at once. 2,048.
    pub(crate) connections: usize,
    /// Connections of one address, likewise. 256.
    pub(crate) connections_per_address: usize,
    /// Addresses of proxies: `connections_per_address` is not for them, and the address of a client is
    /// what they say. None.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Requests of one token at a time, until their answers are taken; one more gets 429. 64.
    pub(crate) requests_per_token: usize,
    /// Percent of the processor that one token may use while others work, over ten seconds. 25.
    pub(crate) processor_per_token: usize,
    /// Changes that one token may ask for in a minute; one more gets 429. 3,000.
    pub(crate) changes_per_minute: usize,
    /// Pushed records of one token a second, over ten seconds, that nothing can read; then 429. 5,000.
    pub(crate) rejected_per_second: usize,
    /// Suppressions under one name, of 10,000; one more gets 409. 1,000.
    pub(crate) suppressions_per_token: usize,
    /// Mutes under one name, of 1,000; one more gets 409. 100.
    pub(crate) mutes_per_token: usize,
    /// Overrides and quarantines under one name; one more gets 409. 10,000.
    pub(crate) decisions_per_token: usize,
    /// Clients of the live stream; one more gets 503. 1,000.
    pub(crate) streams: usize,
    /// Clients of the live stream with one token; one more gets 429. 32.
    pub(crate) streams_per_token: usize,
    /// Bytes of bodies and answers in flight, of which one token has at most half. 512 MiB.
    pub(crate) memory: u64,
    /// From the first byte of a connection, or the end of a request, to the end of the next head:
    /// 5 s. An idle connection is closed as soon.
    pub(crate) head_time: Duration,
    /// From the end of the head to the head of the response, 30 s.
    pub(crate) request_time: Duration,
    /// A client that takes nothing of its answer for this long is cut off: 30 s.
    pub(crate) write_time: Duration,
    /// What one hunt may use; its deadline is below `request_time`.
    pub(crate) hunt: QueryLimits,
    /// Hunts at a time. 2: each may use a core and `hunt.memory` bytes.
    pub(crate) hunts: usize,
    /// Bytes of a pushed body as it comes over the wire. 16 MiB.
    pub(crate) push_bytes: usize,
    /// What a pushed body may inflate to, and how many records it may hold.
    pub(crate) push_limits: PushLimits,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 7777)),
            grpc: None,
            tls: None,
            connections: 2_048,
            connections_per_address: 256,
            trusted_proxies: Vec::new(),
            requests_per_token: 64,
            processor_per_token: 25,
            changes_per_minute: 3_000,
            rejected_per_second: 5_000,
            suppressions_per_token: 1_000,
            mutes_per_token: 100,
            decisions_per_token: 10_000,
            streams: 1_000,
            streams_per_token: 32,
            memory: 512 << 20,
            head_time: Duration::from_secs(5),
            request_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            hunt: QueryLimits { deadline: Duration::from_secs(25), ..QueryLimits::default() },
            hunts: 2,
            push_bytes: 16 << 20,
            push_limits: PushLimits::default(),
        }
    }
}
