//! The tower layer finds the peer's address by itself.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::Request;
use pouw::tower::PouwLayer;
use pouw::{Config, Gate, GateConfig, PeerAddr, PouwEngine};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tower::ServiceExt;

/// A gate that admits one request of each client.
fn gate() -> (Gate, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let engine = PouwEngine::open(directory.path(), Config::new([7; 32]).unwrap()).unwrap();
    (Gate::new(engine, GateConfig::builder().rate_limit(1).build().unwrap()).unwrap(), directory)
}

/// The status of a request to `server` from another address of this machine.
async fn status_from(source: [u8; 4], server: SocketAddr) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: pouw\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply).split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn an_axum_server_limits_each_address_without_being_told_where_the_address_is() {
    let (gate, _directory) = gate();
    let app = Router::new().route("/", get(|| async { "hello" })).layer(PouwLayer::new(gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await });
    for source in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        let statuses = [status_from(source, server).await, status_from(source, server).await];
        assert_eq!(statuses, ["200", "429"], "{source:?}");
    }
}

/// The status of a request with this extension.
async fn status_with<T: Clone + Send + Sync + 'static>(app: &Router, extension: T) -> u16 {
    let request = Request::builder().uri("/").extension(extension).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_peer_is_read_from_the_named_extension_and_from_no_other() {
    let [one, other]: [SocketAddr; 2] = [([192, 0, 2, 1], 80).into(), ([192, 0, 2, 2], 80).into()];
    let app = |layer: PouwLayer| Router::new().route("/", get(|| async { "hello" })).layer(layer);
    let (by_default, _directory) = gate();
    let by_default = app(PouwLayer::new(by_default));
    assert_eq!(
        [status_with(&by_default, PeerAddr(one)).await, status_with(&by_default, ConnectInfo(one)).await],
        [200, 429]
    );
    assert_eq!(
        [status_with(&by_default, ConnectInfo(other)).await, status_with(&by_default, PeerAddr(other)).await],
        [200, 429]
    );
    let (named, _directory) = gate();
    let named = app(PouwLayer::new(named).peer_from::<IpAddr>());
    assert_eq!([status_with(&named, one.ip()).await, status_with(&named, other.ip()).await], [200, 200]);
    // These have no address for this layer, so they are one client.
    assert_eq!([status_with(&named, PeerAddr(one)).await, status_with(&named, ConnectInfo(other)).await], [200, 429]);
}
