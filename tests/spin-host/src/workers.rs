//! Instances and their reuse, by Spin's rules for components of WASI 0.3.

use crate::guest::{self, App, Guest};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::Sleep;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use wasmtime::{
    Store, StoreContextMut,
    component::{Component, GuestTaskId, Linker},
};
use wasmtime_wasi_http::{
    handler::{
        HandlerState, Instance, Proxy, ProxyHandler, Request, Response, ShouldAccept, ViewFn, WorkerExpiration,
        WorkerState, WorkerStatus,
    },
    p3::{WasiHttpView as _, bindings::ServicePre},
};

/// Spin's defaults: requests that an instance answers in its life, how many at once, and how long it idles.
const REUSED: usize = 128;
const AT_ONCE: usize = 16;
const IDLE: Duration = Duration::from_secs(1);

/// The instances of one component.
#[derive(Clone)]
pub(crate) struct Workers(ProxyHandler<Maker>);

impl Workers {
    /// `stop` lets idle instances end at once.
    pub(crate) fn new(component: &Component, app: Arc<App>, stop: CancellationToken) -> anyhow::Result<Self> {
        let mut linker = Linker::new(component.engine());
        guest::imports(&mut linker)?;
        let component = ServicePre::new(linker.instantiate_pre(component)?)?;
        Ok(Self(ProxyHandler::new(Maker { component, app, stop, running: TaskTracker::new() })))
    }

    /// Gives `request` to an instance that has room, or to a new one.
    pub(crate) async fn handle(&self, request: Request) -> anyhow::Result<Response> {
        Ok(self.0.handle((), request).await?)
    }

    /// Resolves when no instance is left, once the order to stop was given.
    pub(crate) async fn ended(&self) {
        let running = &self.0.state().running;
        running.close();
        running.wait().await;
    }
}

/// Makes instances.
struct Maker {
    component: ServicePre<Guest>,
    app: Arc<App>,
    stop: CancellationToken,
    running: TaskTracker,
}

impl HandlerState for Maker {
    type StoreData = Guest;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Expiration, Worker>> {
        let mut store =
            Store::new(self.component.engine(), Guest::new(self.app.clone()).map_err(wasmtime::Error::from_anyhow)?);
        let service = self.component.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: ViewFn::P3(Guest::http),
            expiration: Expiration {
                sleep: Box::pin(tokio::time::sleep(IDLE)),
                stop: Box::pin(self.stop.clone().cancelled_owned()),
            },
            state: Worker { stop: self.stop.clone(), _running: self.running.token() },
        })
    }
}

/// When an instance ends: after idling for a while, or when idle at the order to stop. Work has no limit.
struct Expiration {
    sleep: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let stopping = self.stop.as_mut().poll(cx).is_ready();
        match status {
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
            WorkerStatus::Idle if stopping => Poll::Ready(()),
            WorkerStatus::Idle => {
                let deadline = (start + IDLE).into();
                if self.sleep.deadline() != deadline {
                    self.sleep.as_mut().reset(deadline);
                }
                self.sleep.as_mut().poll(cx)
            }
        }
    }
}

/// An instance's life.
struct Worker {
    stop: CancellationToken,
    _running: TaskTrackerToken,
}

impl WorkerState for Worker {
    type StoreData = Guest;
    type RequestId = ();

    fn should_accept_request(&self, at_once: usize, total: usize) -> ShouldAccept {
        if total >= REUSED {
            ShouldAccept::Never
        } else if at_once >= AT_ONCE {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Guest>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<Guest>, result: wasmtime::Result<()>) {
        // An instance that is dropped with its host counts as failed, and is not.
        if let Err(error) = result
            && !self.stop.is_cancelled()
        {
            eprintln!("spin-host: an instance failed: {error:?}");
        }
        drop(store);
    }
}
