//! Why something kept cannot be used, each as one sentence that names the file and the remedy.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use undertone_config::ConfigError;

/// Why a kept file was not read or written. Nothing was changed.
#[derive(Debug, Error)]
pub enum KeptError {
    /// There is none.
    #[error("there is no identity in {}: make one with `undertone identity create`, or import one", file.display())]
    Missing {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// There is one already.
    #[error("{} holds an identity already: `undertone identity show` shows it, `reset` replaces it", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The system does not let it be read.
    #[error("cannot read {}: {reason}; check its owner and permissions", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's words.
        reason: io::Error,
    },
    /// Cut off, changed, or not such a file at all.
    #[error("{} is damaged or not a file of this kind: put an intact copy in its place; nothing was changed", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
    },
    /// Written by a later version.
    #[error("{} was written by a newer version of Undertone: update this phone; nothing was changed", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
    },
    /// It was there before.
    #[error("{} is gone: put it back, or start again to begin without contacts", file.display())]
    Gone {
        /// Where it was.
        file: PathBuf,
    },
    /// The file is whole, but this passphrase does not open it.
    #[error("this passphrase does not open {}: try again; nothing was changed", file.display())]
    WrongPassphrase {
        /// The file.
        file: PathBuf,
    },
    /// The contacts were kept under another identity.
    #[error(
        "{} was kept under another identity: import that identity, or move the file away and add the contacts anew",
        file.display()
    )]
    OtherIdentity {
        /// The file.
        file: PathBuf,
    },
    /// The machine has not enough memory for the passphrase's check.
    #[error("the passphrase cannot be checked: 64 MiB of free memory are needed; close some programs and try again")]
    NoMemory,
    /// It cannot be written.
    #[error(transparent)]
    Unwritable(#[from] ConfigError),
}
