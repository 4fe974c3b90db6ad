//! A connection's way to a server, known before the server is there, and which a test can shut.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// A port of this machine that leads to another; it closes with this value.
pub struct Gate {
    pub address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// Which of a connection's two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    There,
    /// From it.
    Back,
}

struct State {
    target: watch::Sender<Option<SocketAddr>>,
    shut: watch::Sender<Option<Way>>,
    /// Whether bytes came to the shut way.
    caught: watch::Sender<bool>,
}

impl Gate {
    /// Listens; who connects waits until [`Gate::lead_to`] says where to.
    pub async fn listen() -> Self {
        Self::listen_on((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same at an address that is known already.
    pub async fn listen_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            target: watch::channel(None).0,
            shut: watch::channel(None).0,
            caught: watch::channel(false).0,
        });
        let server = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, server }
    }

    /// Its address as an HTTP client writes it, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens the gate.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.target.send_replace(Some(target));
    }

    /// Breaks every connection, and refuses new ones.
    pub async fn close(mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// From now on nothing passes this way.
    pub fn shut(&self, way: Way) {
        self.state.shut.send_replace(Some(way));
    }

    /// Waits until something stands before the shut way.
    pub async fn caught(&self) {
        let mut caught = self.state.caught.subscribe();
        timeout(crate::PATIENCE, caught.wait_for(|it| *it)).await.expect("something comes soon").unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Those that run end with this set, which ends with the gate.
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let state = state.clone();
        connections.spawn(async move {
            let mut target = state.target.subscribe();
            let target = target.wait_for(Option::is_some).await.unwrap().unwrap();
            let Ok(server) = TcpStream::connect(target).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::join!(
                pass(from_client, to_server, Way::There, &state),
                pass(from_server, to_client, Way::Back, &state)
            );
        });
    }
}

/// Carries bytes until the sender ends, or for ever holds what comes to a shut way.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: Way, state: &State) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else {
            let _ = to.shutdown().await;
            return;
        };
        if *state.shut.borrow() == Some(way) {
            state.caught.send_replace(true);
            std::future::pending::<()>().await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
