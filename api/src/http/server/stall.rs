//! A connection whose client must take what is written to it: one that asks and never reads would
//! hold its answer, and its place, for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// The connection.
pub(super) struct Stalling<S> {
    stream: S,
    time: Duration,
    /// Set while a write waits: when it has waited too long.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    /// Fails a write that nothing is taken of for `time`.
    pub(super) fn new(stream: S, time: Duration) -> Self {
        Stalling { stream, time, end: None }
    }

    fn waits(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let time = self.time;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(time)));
        if end.deadline() <= Instant::now() || end.as_mut().poll(context).is_ready() {
            return Poll::Ready(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client reads nothing",
            ));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = Pin::new(&mut self.stream).poll_write(context, bytes) {
            self.end = None;
            return Poll::Ready(done);
        }
        Poll::Ready(Err(ready!(self.waits(context))))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = Pin::new(&mut self.stream).poll_write_vectored(context, bytes) {
            self.end = None;
            return Poll::Ready(done);
        }
        Poll::Ready(Err(ready!(self.waits(context))))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
