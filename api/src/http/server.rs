//! The connection loop: how many connections, how long a head may take, how large it may be, and how
//! it all ends. Not the routes.

mod connections;
mod stall;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    time::Duration,
};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use sluice_engine::QueryLimits;
use thiserror::Error;
use tokio::{runtime::Runtime, sync::watch};
use tower::ServiceExt;

use super::{App, router};
use connections::Connections;
use stall::Stalling;

/// How the server listens and what it bears.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    /// Where to listen; port 0: any free one.
    pub(crate) listen: SocketAddr,
    /// Connections at a time; one more is closed at once. 2,048.
    pub(crate) connections: usize,
    /// Connections of one address. 256: a proxy in front needs as many as it has clients.
    pub(crate) connections_per_address: usize,
    /// Requests of one token at a time; one more gets 429. 64.
    pub(crate) requests_per_token: usize,
    /// Clients of the live stream; one more gets 503. 1,000.
    pub(crate) streams: usize,
    /// Pages of 64 findings that a client of the live stream may be behind before it is told of a gap.
    /// 64: some 4 MiB, which all clients share.
    pub(crate) stream_pages: usize,
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
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 7777)),
            connections: 2_048,
            connections_per_address: 256,
            requests_per_token: 64,
            streams: 1_000,
            stream_pages: 64,
            head_time: Duration::from_secs(5),
            request_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            hunt: QueryLimits { deadline: Duration::from_secs(25), ..QueryLimits::default() },
            hunts: 2,
            push_bytes: 16 << 20,
        }
    }
}

/// A server that runs until it is stopped or dropped.
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
    runtime: Option<Runtime>,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No threads.
    #[error("start the threads of the HTTP server")]
    Threads(#[source] io::Error),
    /// A metric is defined twice: a defect.
    #[error("define metrics")]
    Metrics(#[source] prometheus::Error),
}

/// Where a request comes from. Never from a header: no proxy is trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 << 10;
/// How long requests may go on after the end was asked for.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Threads of the runtime: they only move bytes, work is on the blocking threads.
const THREADS: usize = 2;

/// Listens and serves, on threads of its own: it can be called, stopped and dropped anywhere.
///
/// # Errors
/// If the address is taken or not ours, or there are no threads.
pub(crate) fn serve(app: App, settings: HttpSettings) -> Result<Server, ServeError> {
    let failed = |source| ServeError::Listen { address: settings.listen, source };
    let listener = TcpListener::bind(settings.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(ServeError::Threads)?;
    let (stop, stopped) = watch::channel(false);
    app.tokens.watch();
    let router = router::router(app, &settings, stopped.clone()).map_err(ServeError::Metrics)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(failed)?
    };
    let (done, ended) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        accept(listener, router, settings, stopped).await;
        // Nobody waits any more after `DRAIN_TIME`.
        done.try_send(()).ok();
    });
    Ok(Server { address, stop, ended, runtime: Some(runtime) })
}

impl Server {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, ends streams, lets requests end, and waits for that, at most 5 s.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.stop.send_replace(true);
        if self.ended.recv_timeout(DRAIN_TIME).is_err() {
            tracing::warn!("requests that did not end in time are cut off");
        }
        runtime.shutdown_background();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    settings: HttpSettings,
    mut stopped: watch::Receiver<bool>,
) {
    let connections =
        Arc::new(Connections::new(settings.connections, settings.connections_per_address));
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_time)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES.max(64 << 10));
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: others must end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = ended(&mut stopped) => break,
        };
        let Some(place) = connections.enter(peer.ip()) else {
            tracing::debug!(%peer, "too many connections");
            continue;
        };
        let router = router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let connection = server
            .serve_connection(TokioIo::new(Stalling::new(stream, settings.write_time)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Waits until the server is to end.
pub(super) async fn ended(stopped: &mut watch::Receiver<bool>) {
    // The sender is gone only when the server is.
    stopped.wait_for(|stop| *stop).await.ok();
}
