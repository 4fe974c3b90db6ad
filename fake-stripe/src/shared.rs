//! The fake's state, as its server, its sender and a test hold it.

use crate::world::World;
use std::{
    fs,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, futures::OwnedNotified};

#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    changed: Arc<Notify>,
    /// Where everything is kept between runs.
    file: Option<PathBuf>,
    secret_key: String,
    webhook_secret: String,
}

impl Shared {
    pub(crate) fn new(world: World, secret_key: String, webhook_secret: String, file: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner { world: Mutex::new(world), changed: Arc::default(), file, secret_key, webhook_secret }))
    }

    pub(crate) fn secret_key(&self) -> &str {
        &self.0.secret_key
    }

    pub(crate) fn webhook_secret(&self) -> &str {
        &self.0.webhook_secret
    }

    /// Changes something; what falls due by then is done first.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        world.catch_up();
        let done = act(&mut world);
        self.save(&world);
        drop(world);
        self.0.changed.notify_waiters();
        done
    }

    /// Looks at something, and tells nobody.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.lock())
    }

    /// Ends at the next change after this call, also before it is first polled.
    pub(crate) fn changed(&self) -> Pin<Box<OwnedNotified>> {
        let mut changed = Box::pin(self.0.changed.clone().notified_owned());
        changed.as_mut().enable();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In one step, so that a run that is killed leaves what was there before.
    fn save(&self, world: &World) {
        let Some(file) = &self.0.file else { return };
        let draft = file.with_extension("draft");
        // What cannot be kept is only forgotten: this is a fake.
        let _ = fs::write(&draft, world.saved().to_string()).and_then(|()| fs::rename(&draft, file));
    }
}
