//! What outlives a process that is killed.

use std::io;

/// Lines that are there again when the process is started anew. Nobody else writes them at the same time.
pub trait Journal: Send + Sync {
    /// All of it; a last line may be cut short.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Adds to the end. When this returns, the death of the process takes nothing of it back.
    fn append(&self, lines: &[u8]) -> io::Result<()>;

    /// Puts `lines` in the place of all that is there, whole or not at all.
    fn replace(&self, lines: &[u8]) -> io::Result<()>;
}
