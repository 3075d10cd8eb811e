//! What the running gateway gives up before the first stranger is heard, so that a fault in it is worth little.
//!
//! ```text
//!   listeners, key, store are open ─▶ own user ─▶ no capabilities ─▶ limits ─▶ not dumpable ─▶ no new privileges
//!     ─▶ Landlock: only the state folder ─▶ seccomp: only the calls it needs ─▶ threads start
//! ```
//! There is no way back and no exception: the process has one thread while it goes through this, every later thread
//! inherits it. Each step is the kernel's and asks for no privilege (`landlock(7)`, `seccomp(2)`), so it is the same for
//! root, for a plain user and in a container.

pub mod attempt;
mod bare_call;
mod error;
mod files;
mod limits;
mod system_calls;
mod user;

pub use error::{ConfinementError, Part};
pub use limits::memory_limit;
pub use user::RUN_AS;

use std::path::PathBuf;

/// What the gateway keeps of the system.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// Holds the account store: the only folder that can be read or written afterwards.
    pub state_folder: PathBuf,
    /// Octets of private memory the process may have.
    pub memory: u64,
    /// Go on, with a warning for each part that the kernel refuses.
    pub may_lack_parts: bool,
    /// Give the store to the user the gateway runs as. Only the gateway itself does.
    pub hands_over: bool,
}

impl Confinement {
    /// Confines this process for good. Must come before any thread is started.
    ///
    /// # Errors
    /// When the kernel refuses a part and [`Confinement::may_lack_parts`] does not allow it, or when the user that the
    /// gateway should run as cannot use the state folder.
    pub fn enter(&self) -> Result<(), ConfinementError> {
        // Opened with the rights that are given up next.
        let rules = files::rules(&self.state_folder);
        self.bear(user::drop_privileges(&self.state_folder, self.hands_over))?;
        self.bear(limits::set(self.memory))?;
        self.bear(rules.and_then(files::enter))?;
        self.bear(system_calls::restrict())?;
        if self.hands_over {
            user::warn_if_root();
        }
        Ok(())
    }

    fn bear(&self, step: Result<(), ConfinementError>) -> Result<(), ConfinementError> {
        match step {
            Err(ConfinementError::Refused { part, reason }) if self.may_lack_parts => {
                tracing::warn!("NOT CONFINED: {}, since the system refuses it ({reason})", part.loss());
                Ok(())
            }
            done => done,
        }
    }
}
