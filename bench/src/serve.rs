//! The accept loop that the mock and the floor share.

use std::error::Error;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves HTTP/1.1 on `listener` for as long as the future is polled, a task a connection.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S)
where
    S: HttpService<Incoming, ResBody = B> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("accept failed: {error}");
                tokio::task::yield_now().await;
                continue;
            }
        };
        // Without this a stream of small events waits for delayed acknowledgements, 40 ms at a time.
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY refused: {error}");
        }
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            // A client that hangs up ends its connection with an error; that is its right.
            let _ = connection.await;
        });
    }
}
