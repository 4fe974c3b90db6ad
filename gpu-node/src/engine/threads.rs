//! How many threads compute.

use std::{num::NonZeroUsize, thread};

/// Why the pools keep their own sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("other threads run already, so the sizes of the computing pools stay as they are")]
pub struct TooLate;

/// The cores that are ours: what cgroups and the affinity mask leave of the machine's.
pub fn available_cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Makes candle's two pools (rayon's, and its own, which spins) `threads` wide; to be called before any thread starts.
///
/// Left alone, candle counts the machine's physical cores, which in a container may be many more than ours; spinning on
/// a core that is not there makes it ten times slower. It takes the number from the environment only.
#[cfg(target_os = "linux")]
pub fn size_pools(threads: usize) -> Result<(), TooLate> {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    if !alone {
        return Err(TooLate);
    }
    for name in ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"] {
        // SAFETY: changing the environment is unsound only while another thread may read it, and there is none.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var(name, threads.to_string());
        }
    }
    Ok(())
}

/// Elsewhere it can't be told whether this thread is alone, and candle's own count (on macOS the fast cores) is good.
#[cfg(not(target_os = "linux"))]
pub fn size_pools(_threads: usize) -> Result<(), TooLate> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn pools_are_not_resized_beside_other_threads() {
        // Tests run in threads of their own.
        assert_eq!(size_pools(1), Err(TooLate));
    }
}
