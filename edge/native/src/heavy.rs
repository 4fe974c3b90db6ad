//! Heavy work, such as hashing a password: a thread for each core, which gives way to the threads that serve.

use edge_core::host::Busy;
use std::{
    num::NonZero,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};
use tokio::sync::{Semaphore, oneshot};

/// How much may wait for each thread: at 25 ms a piece, the last waits for less than a second.
const WAITING: usize = 32;

/// The least favourable priority that a thread can have: an idle core is used, a busy one is left to others.
const NICE: i32 = 19;

type Work = (Box<dyn FnOnce() + Send>, oneshot::Sender<()>);

/// Threads, and the room that is left in front of them.
pub(crate) struct Heavy {
    work: mpsc::Sender<Work>,
    room: Arc<Semaphore>,
}

impl Heavy {
    /// One thread a core. They end when this value and all that it was given are gone.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (work, taken) = mpsc::channel::<Work>();
        let taken = Arc::new(Mutex::new(taken));
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..threads {
            let taken = taken.clone();
            thread::Builder::new().name("heavy".to_owned()).spawn(move || serve(&taken))?;
        }
        Ok(Self { work, room: Arc::new(Semaphore::new(threads * (1 + WAITING))) })
    }

    /// Runs `work` on one of the threads.
    pub(crate) async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| Busy)?;
        let (done, finished) = oneshot::channel();
        // The room is given back when the work is over, and not when whoever asked has left.
        let work = Box::new(move || {
            work();
            drop(room);
        });
        self.work.send((work, done)).map_err(|_| Busy)?;
        finished.await.map_err(|_| Busy)
    }
}

fn serve(taken: &Mutex<mpsc::Receiver<Work>>) {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "heavy work keeps its priority");
    }
    loop {
        // The lock is held while waiting: the others wait for it, and so for their turn.
        let next = taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((work, done)) = next else { return };
        work();
        // Whoever asked may have left.
        let _ = done.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    #[tokio::test]
    async fn work_runs_and_beyond_its_room_is_refused() {
        let heavy = Arc::new(Heavy::start().unwrap());
        let room = heavy.room.available_permits();
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let wait = || {
            let (heavy, gate) = (heavy.clone(), gate.clone());
            async move { heavy.run(Box::new(move || gate.lock().unwrap().recv().unwrap_or_default())).await }
        };
        let all = tokio::spawn(join_all((0..room).map(|_| wait()).collect::<Vec<_>>()));
        while heavy.room.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(heavy.run(Box::new(|| {})).await, Err(Busy));
        drop(open);
        assert!(all.await.unwrap().iter().all(Result::is_ok));
        assert_eq!(heavy.run(Box::new(|| {})).await, Ok(()));
    }
}
