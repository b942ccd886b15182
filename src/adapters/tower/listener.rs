//! Gently closed connections for `axum::serve`.

use std::io;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};

use super::super::PeerAddr;
use super::linger::Linger;

/// A listener for `axum::serve` whose connections are [`Linger`]s: they close so that a client
/// that is still sending can read the last response.
///
/// # Examples
///
/// ```no_run
/// # async fn serve(app: axum::Router) -> std::io::Result<()> {
/// use pouw::PeerAddr;
/// use pouw::tower::LingerListener;
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// let app = app.into_make_service_with_connect_info::<PeerAddr>();
/// axum::serve(LingerListener::new(listener), app).await
/// # }
/// ```
#[derive(Debug)]
pub struct LingerListener<L> {
    listener: L,
}

impl<L> LingerListener<L> {
    /// Wraps a listener.
    pub fn new(listener: L) -> Self {
        Self { listener }
    }
}

impl<L: Listener> Listener for LingerListener<L> {
    type Io = Linger<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = self.listener.accept().await;
        (Linger::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl<L: Listener<Addr = SocketAddr>> Connected<IncomingStream<'_, LingerListener<L>>> for PeerAddr {
    fn connect_info(stream: IncomingStream<'_, LingerListener<L>>) -> Self {
        Self(*stream.remote_addr())
    }
}
