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
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use thiserror::Error;
use tokio::{runtime::Runtime, sync::watch};
use tower::ServiceExt;

use super::{
    App,
    held::until_sent,
    router,
    settings::HttpSettings,
    tls::{Tls, TlsError},
};
use crate::network::{Network, Peer};
use connections::Connections;
use stall::Stalling;

/// A server that runs until it is stopped or dropped.
pub(crate) struct Server {
    address: SocketAddr,
    grpc: Option<SocketAddr>,
    scheme: &'static str,
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
    /// The certificate or the key.
    #[error("serve TLS")]
    Tls(#[source] TlsError),
    /// No threads.
    #[error("start the threads of the HTTP server")]
    Threads(#[source] io::Error),
    /// A metric is defined twice: a defect.
    #[error("define metrics")]
    Metrics(#[source] prometheus::Error),
}

/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 << 10;
/// Requests of one HTTP/2 connection at a time: a gateway has few connections and many requests.
const STREAMS: u32 = 1_000;
/// An HTTP/2 connection is asked so often whether it is still there, and ends without an answer.
const PING: Duration = Duration::from_secs(20);
/// How long requests may go on after the end was asked for.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Threads of the runtime: they only move bytes, work is on the blocking threads.
const THREADS: usize = 2;

/// Listens and serves, on threads of its own: it can be called, stopped and dropped anywhere.
///
/// # Errors
/// If the address is taken or not ours, or there are no threads.
pub(crate) fn serve(app: App, settings: HttpSettings) -> Result<Server, ServeError> {
    let (listener, address) = listen(settings.listen)?;
    let grpc = settings.grpc.map(listen).transpose()?;
    let grpc_address = grpc.as_ref().map(|(_, address)| *address);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(ServeError::Threads)?;
    let tls = settings.tls.clone().map(Tls::open).transpose().map_err(ServeError::Tls)?;
    let (stop, stopped) = watch::channel(false);
    app.tokens.watch();
    let (router, checks) =
        router::router(app, &settings, stopped.clone()).map_err(ServeError::Metrics)?;
    let inside = |(listener, address): (TcpListener, SocketAddr)| {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)
            .map_err(|source| ServeError::Listen { address, source })
    };
    let listener = inside((listener, address))?;
    let grpc = grpc.map(inside).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (done, ended) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let http = http1(&settings);
        let main = accept(listener, router, http, tls.clone(), settings.clone(), stopped.clone());
        let gateways = async {
            if let Some(listener) = grpc {
                accept(listener, checks, http2(), tls, settings, stopped).await;
            }
        };
        tokio::join!(main, gateways);
        // The receiver is gone after `DRAIN_TIME`.
        done.try_send(()).ok();
    });
    Ok(Server { address, grpc: grpc_address, scheme, stop, ended, runtime: Some(runtime) })
}

impl Server {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where Envoy asks over gRPC.
    pub(crate) fn grpc(&self) -> Option<SocketAddr> {
        self.grpc
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
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

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The protocol of a listener.
#[derive(Clone)]
enum Wire {
    Http1(http1::Builder),
    Http2(http2::Builder<TokioExecutor>),
}

fn http1(settings: &HttpSettings) -> Wire {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_time)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES.max(64 << 10));
    Wire::Http1(server)
}

fn http2() -> Wire {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    Wire::Http2(server)
}

impl Wire {
    /// Serves one connection.
    async fn serve<I, S, B>(self, io: I, service: S, watcher: Watcher) -> Result<(), hyper::Error>
    where
        I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        S: Service<hyper::Request<Incoming>, Response = hyper::Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<axum::BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<axum::BoxError>,
    {
        match self {
            Wire::Http1(server) => watcher.watch(server.serve_connection(io, service)).await,
            Wire::Http2(server) => watcher.watch(server.serve_connection(io, service)).await,
        }
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    wire: Wire,
    tls: Option<Arc<Tls>>,
    settings: HttpSettings,
    mut stopped: watch::Receiver<bool>,
) {
    let connections =
        Arc::new(Connections::new(settings.connections, settings.connections_per_address));
    let proxies = settings.trusted_proxies.clone();
    let trusted = |address| proxies.iter().any(|network: &Network| network.holds(address));
    let graceful = GracefulShutdown::new();
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
        let address = Some(peer.ip().to_canonical()).filter(|a| !trusted(*a));
        let Some(connection) = connections.enter(address) else {
            tracing::debug!(%peer, "too many connections");
            continue;
        };
        // An answer of HTTP/2 is several small writes: each would wait 40 ms for the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "answers may be slow");
        }
        let router = router.clone();
        let signs = connection.signs();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let in_flight = signs.request();
            let answer = router.clone().oneshot(request.map(axum::body::Body::new));
            async move { answer.await.map(|response| until_sent(response, in_flight)) }
        });
        let (wire, watcher) = (wire.clone(), graceful.watcher());
        let stream = Stalling::new(stream, settings.write_time);
        let acceptor = tls.as_ref().map(|tls| match &wire {
            Wire::Http1(_) => tls.acceptor(),
            Wire::Http2(_) => tls.http2_acceptor(),
        });
        let head_time = settings.head_time;
        let served = async move {
            let Some(acceptor) = acceptor else {
                return wire.serve(TokioIo::new(stream), service, watcher).await;
            };
            // A handshake has as long as the head of a request.
            match tokio::time::timeout(head_time, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => wire.serve(TokioIo::new(stream), service, watcher).await,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "no TLS");
                    Ok(())
                }
                Err(_) => Ok(()),
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                ended = served => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                },
                () = connection.evicted() => {
                    tracing::debug!(%peer, "an idle connection gives way to another");
                }
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Waits until the server is to end; its sender is gone only when the server is.
pub(super) async fn ended(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stop| *stop).await.ok();
}
