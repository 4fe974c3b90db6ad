//! The native server.

use edge_core::{Config, Host};
use edge_native::Native;
use futures_util::FutureExt as _;
use nest_contract::{Watch, Watched};
use std::sync::Arc;
use tokio::{sync::oneshot, task::JoinHandle};

/// A server that drains when told, or with this value.
pub struct Server {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(config: Config, watch: Arc<Watch>) -> (Self, String) {
        let native = Arc::new(Native::new(&config).unwrap());
        let host: Arc<dyn Host> = Arc::new(Watched::new(native.clone(), watch));
        let server = edge_native::Server::bind(nest_contract::edge(config), native, host).await.unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        // A sender that is dropped stops it as well.
        let running = tokio::spawn(async move { server.run(stopped.map(drop)).await.unwrap() });
        (Self { stop, running }, url)
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        self.running.await.unwrap();
    }
}
