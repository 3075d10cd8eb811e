//! Why the gateway is not confined, each as one sentence that says what to do.

use std::io;
use std::path::PathBuf;

/// What can be refused by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Running as an own user without capabilities.
    Privileges,
    /// Memory, core dumps, being looked into.
    Limits,
    /// Landlock.
    Files,
    /// seccomp.
    SystemCalls,
}

impl Part {
    /// What the kernel should have done.
    const fn deed(self) -> &'static str {
        match self {
            Self::Privileges => "take its privileges away",
            Self::Limits => "limit its memory and forbid dumps of it",
            Self::Files => "keep it in its state folder (Landlock)",
            Self::SystemCalls => "restrict its system calls (seccomp)",
        }
    }

    /// What an intruder can do without this part.
    #[must_use]
    pub const fn loss(self) -> &'static str {
        match self {
            Self::Privileges => "whoever breaks into the gateway has the rights of the user who started it",
            Self::Limits => {
                "what the gateway has in memory can be dumped to disk, and it can use up the machine's memory"
            }
            Self::Files => "whoever breaks into the gateway can read and change other files, its key among them",
            Self::SystemCalls => {
                "whoever breaks into the gateway can start programs, look into others and connect anywhere"
            }
        }
    }
}

/// The gateway does not start, since it would run unconfined.
#[derive(Debug, thiserror::Error)]
pub enum ConfinementError {
    /// The kernel says no.
    #[error(
        "the gateway does not start unconfined, and this system refuses to {} ({reason}); use Linux 5.13 or newer with Landlock and seccomp, or accept with --allow-unconfined that {}",
        part.deed(), part.loss()
    )]
    Refused {
        /// Which part is missing.
        part: Part,
        /// The system's words.
        reason: String,
    },
    /// Root started it, and the user it would run as has no way to the store.
    #[error(
        "{}: the user {user}, as which the gateway runs when root starts it, cannot use this state folder ({reason}); move it to where that user may go, such as /var/lib/undertone", folder.display()
    )]
    OutOfReach {
        /// The state folder.
        folder: PathBuf,
        /// Name or number.
        user: String,
        /// The system's words.
        reason: io::Error,
    },
}

impl ConfinementError {
    pub(super) fn refused(part: Part) -> impl Fn(String) -> Self {
        move |reason| Self::Refused { part, reason }
    }
}
