//! A server that does what a test says, for what neither a real server nor the fake upstream does on demand.

use axum::Router;
use std::net::SocketAddr;
use tokio::{net::TcpListener, task::JoinHandle};

/// A running double; it stops with this value.
pub struct Double {
    /// Without a slash at its end.
    pub url: String,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Double {
    pub async fn serve(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        Self { url, address, server: tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A URL of this machine at which nothing listens.
pub fn nowhere() -> String {
    format!("http://127.0.0.1:{}", embedded::port::free().unwrap())
}
