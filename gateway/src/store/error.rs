//! What can be wrong with the account store, each as one sentence that says what to do.

use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// The store cannot be used, or refused a change.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error(
        "there is no account store {}; run `undertone-gateway init` first, or correct state_folder in gateway.toml",
        file.display()
    )]
    Missing {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("cannot read the account store {}: {reason}; run the command as the user who owns it", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's words.
        reason: io::Error,
    },
    /// It, or its folder, cannot be made.
    #[error("cannot write the account store {}: {reason}; check the owner and free space of its folder", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// The operating system's words.
        reason: io::Error,
    },
    /// The file or its folder may be read but not written.
    #[error(
        "the account store {} is read-only here; run the command as the user who owns it, and check that its folder is writable",
        file.display()
    )]
    ReadOnly {
        /// The file.
        file: PathBuf,
    },
    /// No room on the disk.
    #[error("the disk that holds the account store {} is full; make room and try again", file.display())]
    Full {
        /// The file.
        file: PathBuf,
    },
    /// Another command is writing, and did not finish.
    #[error("the account store {} is in use by another command; wait until it has finished and try again", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// The content makes no sense.
    #[error("the account store {} is damaged; put a backup back with `undertone-gateway restore FILE`, or move it away and make the accounts anew", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
    },
    /// The disk does not take what is written.
    #[error(
        "the account store {} could not be written ({reason}); check the disk, its quota and the limit on file sizes, then try again",
        file.display()
    )]
    NotWritten {
        /// The file.
        file: PathBuf,
        /// SQLite's words.
        reason: rusqlite::Error,
    },
    /// Asked to write a backup over something.
    #[error("{} is there already and is not overwritten; choose another file for the backup", file.display())]
    BackupExists {
        /// The file.
        file: PathBuf,
    },
    /// The backup's file cannot be written.
    #[error("cannot write the backup {}: {reason}; choose another file, on a disk with room", file.display())]
    BackupUnwritable {
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: io::Error,
    },
    /// A backup that cannot take the store's place.
    #[error("{} is not restored: {why}; nothing has changed, give another backup", file.display())]
    NotRestored {
        /// The file given.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A database, but none of ours.
    #[error("{} belongs to another program or was never finished; move it away and run `undertone-gateway init`", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// Written by another version of this program.
    #[error("the account store {} has version {version}, which this program cannot read; use the program that wrote it", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: i64,
    },
    /// Passwords are bound to the domain, so it cannot change under them.
    #[error(
        "the accounts in {} were made for {made_for}, but gateway.toml says {configured}; correct `domain`, or make the accounts anew",
        file.display()
    )]
    Domain {
        /// The file.
        file: PathBuf,
        /// The domain at its making.
        made_for: String,
        /// The domain in the configuration.
        configured: String,
    },
    /// Asked to add an account that is there.
    #[error(
        "there is an account {name} already; choose another name, or give this one a new password with `undertone-gateway user password {name}`"
    )]
    Exists {
        /// The name.
        name: String,
    },
    /// Asked to remove an account that is not there.
    #[error("there is no account {name}; `undertone-gateway user list` shows all")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A serial that has been used, or a smaller one.
    #[error(
        "serial {serial} has been used: phones keep the announcement with the greatest one, so sign again with --serial {} or more",
        last.saturating_add(1)
    )]
    Serial {
        /// The one given.
        serial: u64,
        /// The greatest so far.
        last: i64,
    },
    /// Anything else SQLite says.
    #[error("the account store {} cannot be used: {reason}; check the disk it is on", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// SQLite's words.
        reason: rusqlite::Error,
    },
}

impl StoreError {
    /// Names the cause of a database error.
    pub(super) fn of(error: rusqlite::Error, file: &Path) -> Self {
        let file = file.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { file },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => Self::ReadOnly { file },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt { file },
            Some(ErrorCode::DiskFull) => Self::Full { file },
            Some(ErrorCode::SystemIoFailure) if is_write(&error) => Self::NotWritten { file, reason: error },
            _ => Self::Database { file, reason: error },
        }
    }
}

/// Whether it was a write that failed, with anything but a full disk.
fn is_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE};
    let writes = [SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_DIR_FSYNC];
    error.sqlite_error().is_some_and(|error| writes.contains(&error.extended_code))
}
