//! Threads that help with one piece of work at a time, and that nobody ever waits for.
//!
//! A token takes over a hundred matrix products of some tens of microseconds. Pools that end each with a barrier
//! collapse as soon as another program wants a core: whoever computes spins until a helper that lost its core is
//! scheduled again. Here work is cut into parts that anyone may compute, the caller takes parts too, and computes the
//! last ones again rather than wait for them: a helper without a core costs its help and nothing more.

use std::{
    hint::spin_loop,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Looks for work before a helper goes to sleep: about 0.2 ms, the pause between two products of one token.
const SPINS: u32 = 4_000;

/// Parts for each thread: enough that a slow one is not missed, few enough that they are worth taking.
const PARTS_PER_THREAD: usize = 4;

/// Work in parts that do not depend on one another; each may be computed twice, with the same result.
pub(super) trait Parts: Send + Sync + 'static {
    /// Computes the items `range`, in order.
    fn compute(&self, range: std::ops::Range<usize>) -> Vec<f32>;
}

/// The caller's thread and its helpers.
pub struct Crew {
    board: Arc<Board>,
    helpers: Vec<JoinHandle<()>>,
}

/// Where helpers look for work.
struct Board {
    /// Grows with each work; helpers watch it.
    turn: AtomicUsize,
    work: Mutex<Option<Arc<Work>>>,
    closed: AtomicBool,
    sleepers: Vec<AtomicBool>,
}

struct Work {
    parts: Box<dyn Parts>,
    items: usize,
    /// Items of a part.
    size: usize,
    next: AtomicUsize,
    results: Vec<OnceLock<Vec<f32>>>,
}

impl Crew {
    /// A crew of `threads`, the caller's included.
    pub fn new(threads: usize) -> Self {
        let count = threads.max(1) - 1;
        let board = Arc::new(Board {
            turn: AtomicUsize::new(0),
            work: Mutex::default(),
            closed: AtomicBool::new(false),
            sleepers: (0..count).map(|_| AtomicBool::new(false)).collect(),
        });
        let helpers = (0..count).filter_map(|at| {
            let board = board.clone();
            // A thread that the system refuses is one helper fewer.
            thread::Builder::new().name(format!("crew-{at}")).spawn(move || board.help(at)).ok()
        });
        Self { helpers: helpers.collect(), board }
    }

    /// Computes `parts` for 0..`items`, and gives the results in order.
    pub(super) fn compute(&self, parts: impl Parts, items: usize) -> Vec<f32> {
        if self.helpers.is_empty() {
            return parts.compute(0..items);
        }
        let count = ((self.helpers.len() + 1) * PARTS_PER_THREAD).min(items.max(1));
        let size = items.div_ceil(count).max(1);
        let work = Arc::new(Work {
            parts: Box::new(parts),
            items,
            size,
            next: AtomicUsize::new(0),
            results: (0..items.div_ceil(size)).map(|_| OnceLock::new()).collect(),
        });
        self.board.post(work.clone(), &self.helpers);
        work.take_parts();
        let mut results = Vec::new();
        for (part, result) in work.results.iter().enumerate() {
            results.extend_from_slice(result.get_or_init(|| work.part(part)));
        }
        results
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.board.closed.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            helper.join().ok();
        }
    }
}

impl Board {
    fn post(&self, work: Arc<Work>, helpers: &[JoinHandle<()>]) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        self.turn.fetch_add(1, Ordering::SeqCst);
        for (sleeps, helper) in self.sleepers.iter().zip(helpers) {
            // Waking is a system call, which a helper that is awake does not need.
            if sleeps.load(Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
    }

    fn help(&self, at: usize) {
        let mut seen = 0;
        loop {
            let turn = self.next_turn(at, seen);
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            seen = turn;
            let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(work) = work {
                work.take_parts();
            }
        }
    }

    /// Waits until there is work after turn `seen`, or the board is closed.
    fn next_turn(&self, at: usize, seen: usize) -> usize {
        let news = || {
            let turn = self.turn.load(Ordering::SeqCst);
            (turn != seen || self.closed.load(Ordering::SeqCst)).then_some(turn)
        };
        for _ in 0..SPINS {
            if let Some(turn) = news() {
                return turn;
            }
            spin_loop();
        }
        loop {
            // First said, then looked: who posts after the look sees that this helper sleeps.
            self.sleepers[at].store(true, Ordering::SeqCst);
            if let Some(turn) = news() {
                self.sleepers[at].store(false, Ordering::SeqCst);
                return turn;
            }
            thread::park();
        }
    }
}

impl Work {
    fn take_parts(&self) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(result) = self.results.get(part) else { return };
            // Whoever is first; the other result is the same.
            result.set(self.part(part)).ok();
        }
    }

    fn part(&self, part: usize) -> Vec<f32> {
        let start = part * self.size;
        self.parts.compute(start..self.items.min(start + self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Squares;

    impl Parts for Squares {
        fn compute(&self, range: std::ops::Range<usize>) -> Vec<f32> {
            range.map(|it| (it * it) as f32).collect()
        }
    }

    #[test]
    fn results_come_in_order_however_many_help() {
        for threads in [0, 1, 2, 5] {
            let crew = Crew::new(threads);
            for items in [0, 1, 2, 7, 64, 1_000] {
                assert_eq!(crew.compute(Squares, items), Squares.compute(0..items), "{threads} {items}");
            }
        }
    }

    /// Helpers never come back from a part; the caller's thread does not mind.
    struct StuckHelpers(thread::ThreadId, Arc<AtomicBool>);

    impl Parts for StuckHelpers {
        fn compute(&self, range: std::ops::Range<usize>) -> Vec<f32> {
            while thread::current().id() != self.0 && !self.1.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            Squares.compute(range)
        }
    }

    #[test]
    fn nobody_waits_for_a_stuck_helper() {
        let (crew, released) = (Crew::new(3), Arc::new(AtomicBool::new(false)));
        for _ in 0..20 {
            let work = StuckHelpers(thread::current().id(), released.clone());
            assert_eq!(crew.compute(work, 100), Squares.compute(0..100));
        }
        released.store(true, Ordering::SeqCst);
    }

    #[test]
    fn sleeping_helpers_wake_and_leave() {
        let crew = Crew::new(2);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(crew.compute(Squares, 50), Squares.compute(0..50));
        thread::sleep(Duration::from_millis(20));
        drop(crew);
    }
}
