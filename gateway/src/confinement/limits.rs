//! How much memory the process may take, and that what is in it never reaches a disk or another process.

use super::error::{ConfinementError, Part};
use crate::net::MAX_CONNECTIONS;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::thread::available_parallelism;

/// The program with its store, relay and channels takes less than 64 MiB; the rest is for what the allocator cannot give
/// back at once.
const MEMORY_BASE: u64 = 512 * 1024 * 1024;

/// One core's worker thread: stack and an allocator's arena.
const MEMORY_PER_CORE: u64 = 16 * 1024 * 1024;

/// One connection: 60 KB of TLS state, one message of at most 80 KB being read, and full write queues for a phone that
/// does not read.
const MEMORY_PER_CONNECTION: u64 = 256 * 1024;

/// One call: two dialogs, their transactions and a relay slot that holds a few datagrams.
const MEMORY_PER_CALL: u64 = 64 * 1024;

/// Octets of private memory that a gateway for so many calls may have. Every table of it is bounded, so reaching this
/// is a fault: the process ends rather than grow on.
#[must_use]
pub fn memory_limit(max_calls: u32) -> u64 {
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
    MEMORY_BASE
        + cores * MEMORY_PER_CORE
        + MAX_CONNECTIONS as u64 * MEMORY_PER_CONNECTION
        + u64::from(max_calls) * MEMORY_PER_CALL
}

pub(super) fn set(memory: u64) -> Result<(), ConfinementError> {
    let limit = || -> nix::Result<()> {
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // Not the address space: an allocator reserves much of it that it never uses.
        let (_, most) = getrlimit(Resource::RLIMIT_DATA)?;
        let memory = memory.min(most);
        setrlimit(Resource::RLIMIT_DATA, memory, memory)?;
        // After the change of user, which sets it anew.
        set_dumpable(false)
    };
    limit().map_err(|error| ConfinementError::refused(Part::Limits)(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_limit_grows_with_the_calls_and_fits_all_connections_at_their_largest() {
        let small = memory_limit(500);
        assert_eq!(memory_limit(1_500) - small, 1_000 * MEMORY_PER_CALL);
        assert!(small > MAX_CONNECTIONS as u64 * 160 * 1024, "two messages of 80 KB on each");
    }
}
