//! A client that leaves before it has an answer: the work for it is dropped, as other hosts drop it.

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use std::{future::Future, pin::pin};
use wasm_bindgen::{JsCast as _, closure::Closure};
use worker::web_sys::{AbortSignal, Request};

/// Listens to the signal for as long as it lives.
struct Listening {
    signal: AbortSignal,
    callback: Closure<dyn FnMut()>,
}

impl Listening {
    fn new(request: &Request, told: impl FnMut() + 'static) -> Self {
        let listening = Self { signal: request.signal(), callback: Closure::new(told) };
        listening.signal.set_onabort(Some(listening.callback.as_ref().unchecked_ref()));
        listening
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.signal.set_onabort(None);
    }
}

/// What `work` gives, unless the client leaves first; then `work` is dropped, and settles itself.
pub(crate) async fn unless_left<T>(request: &Request, work: impl Future<Output = T>) -> Option<T> {
    let (sender, left) = oneshot::channel();
    let mut sender = Some(sender);
    let _listening = Listening::new(request, move || {
        let _ = sender.take().map(|it| it.send(()));
    });
    match select(pin!(work), left).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
