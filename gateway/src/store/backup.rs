//! Backup and restore of the account store, also while the gateway runs.
//!
//! ```text
//! back up   one snapshot ─▶ FILE.<pid>.new ─▶ checked ─▶ on the disk ─▶ renamed to FILE, over nothing
//! restore   FILE ─▶ copied beside the store ─▶ checked ─▶ old store held still and kept by a second name
//!           ─▶ copy renamed into its place ─▶ checked there ─▶ old store overwritten and removed
//! ```
//! At every step either the old or the new store is in place, whole. A gateway that runs sees that the file has been
//! replaced before its next look and before its next change ([`Store::follow`]); while the store is held still, it
//! can change nothing that would be lost.

use super::{BUSY_WAIT, STORE_FILE, Store, StoreError, identity};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use undertone_config::Domain;

/// Added to the store's name: a backup that is being checked.
const ARRIVING: &str = ".restoring";

/// Added to the store's name: the store that is being replaced.
const LEAVING: &str = ".before-restore";

impl Store {
    /// Writes everything, as of one moment, into a new file of mode 0600. Overwrites nothing; an unfinished file never
    /// has the name asked for.
    pub fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        let unwritable = |reason| StoreError::BackupUnwritable { file: file.to_owned(), reason };
        let file = std::path::absolute(file).map_err(unwritable)?;
        if file.symlink_metadata().is_ok() {
            return Err(StoreError::BackupExists { file });
        }
        let temporary = with_suffix(&file, &format!(".{}.new", std::process::id()));
        let result = self.write_backup(&temporary, &file);
        if result.is_err() {
            // Nothing half-written may stay behind; the first error is the one worth reporting.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    fn write_backup(&self, temporary: &Path, file: &Path) -> Result<(), StoreError> {
        let unwritable = |reason| StoreError::BackupUnwritable { file: file.to_owned(), reason };
        let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary).map_err(unwritable)?;
        let name = temporary.to_str().ok_or_else(|| unwritable(io::Error::other("its name is not UTF-8")))?;
        self.connection.execute("VACUUM INTO ?1", params![name]).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => unwritable(ErrorKind::StorageFull.into()),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => unwritable(io::Error::other(error)),
            _ => self.cause(error),
        })?;
        let unsound =
            |error: StoreError| unwritable(io::Error::other(format!("read again, it is not whole ({error})")));
        Self::open_file(temporary.to_owned(), &self.domain).map_err(unsound)?;
        out.sync_all().map_err(unwritable)?;
        rename_over_nothing(temporary, file).map_err(|reason| {
            let is_there = reason.kind() == ErrorKind::AlreadyExists;
            if is_there { StoreError::BackupExists { file: file.to_owned() } } else { unwritable(reason) }
        })?;
        sync_folder_of(file).map_err(unwritable)
    }

    /// Puts a backup in the place of a gateway's store, or of a store that is damaged or lost, and opens it.
    pub fn restore(folder: &Path, domain: &Domain, backup: &Path) -> Result<Self, StoreError> {
        let place = folder.join(STORE_FILE);
        let unwritable = |reason| StoreError::Unwritable { file: place.clone(), reason };
        if !folder.is_dir() {
            return Err(StoreError::Missing { file: place });
        }
        let turn = File::open(folder).map_err(unwritable)?;
        if turn.try_lock().is_err() {
            return Err(StoreError::Busy { file: place });
        }
        let (arriving, leaving) = (with_suffix(&place, ARRIVING), with_suffix(&place, LEAVING));
        // What a restore that was interrupted left: the store itself is in place under its own name.
        for leftover in [&arriving, &journal_of(&arriving), &leaving, &journal_of(&leaving)] {
            wipe(leftover).map_err(unwritable)?;
        }
        let checked = copy_checked(backup, &arriving, &place, domain)
            .and_then(|()| give_to_owner_of(&place, folder, &arriving).map_err(unwritable))
            .and_then(|()| replace(&place, &arriving, &leaving));
        if let Err(error) = checked {
            // The first error is the one worth reporting.
            let _ = wipe(&arriving).and_then(|()| wipe(&journal_of(&arriving)));
            return Err(error);
        }
        let restored = match Self::open_file(place.clone(), domain) {
            Ok(restored) => restored,
            Err(error) => {
                if leaving.exists() {
                    fs::rename(&leaving, &place).and_then(|()| sync_folder_of(&place)).map_err(unwritable)?;
                }
                return Err(error);
            }
        };
        wipe(&leaving).and_then(|()| wipe(&journal_of(&leaving))).map_err(unwritable)?;
        Ok(restored)
    }
}

/// Copies first and checks the copy: what was checked is what is put in place. An older version is brought up to date.
fn copy_checked(backup: &Path, arriving: &Path, place: &Path, domain: &Domain) -> Result<(), StoreError> {
    let refused = |why: String| StoreError::NotRestored { file: backup.to_owned(), why };
    let unreadable = |reason: io::Error| refused(format!("it cannot be read ({reason})"));
    let found = fs::metadata(backup).map_err(unreadable)?;
    if !found.is_file() {
        return Err(refused("it is not a file".to_owned()));
    }
    if identity(place).is_ok_and(|place| place == (found.dev(), found.ino())) {
        return Err(refused("it is the account store itself".to_owned()));
    }
    let mut from = File::open(backup).map_err(unreadable)?;
    let unwritable = |reason| StoreError::Unwritable { file: place.to_owned(), reason };
    let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(arriving);
    let mut to = to.map_err(unwritable)?;
    io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(unwritable)?;
    Store::open_file(arriving.to_owned(), domain).map(drop).map_err(|error| why_not(&error).map_or(error, refused))
}

/// What is wrong with the backup, if it is the backup with which something is wrong.
fn why_not(error: &StoreError) -> Option<String> {
    if let StoreError::Corrupt { .. } = error {
        Some("it is damaged".to_owned())
    } else if let StoreError::Foreign { .. } = error {
        Some("it is no account store".to_owned())
    } else if let StoreError::Version { version, .. } = error {
        Some(format!("it has version {version}, which this program cannot read"))
    } else if let StoreError::Domain { made_for, configured, .. } = error {
        Some(format!("its accounts were made for {made_for}, but gateway.toml says {configured}"))
    } else {
        None
    }
}

/// Root restores for the user as whom the gateway runs.
fn give_to_owner_of(place: &Path, folder: &Path, arriving: &Path) -> io::Result<()> {
    let owner = fs::metadata(place).or_else(|_| fs::metadata(folder))?;
    let own = fs::metadata(arriving)?;
    if (own.uid(), own.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    chown(arriving, Some(owner.uid()), Some(owner.gid()))
}

fn replace(place: &Path, arriving: &Path, leaving: &Path) -> Result<(), StoreError> {
    let unwritable = |reason| StoreError::Unwritable { file: place.to_owned(), reason };
    let held = hold_still(place)?;
    if place.exists() {
        fs::hard_link(place, leaving).map_err(unwritable)?;
    }
    // The journal of a change that never ended would be played into whatever has the store's name.
    let (journal, kept) = (journal_of(place), journal_of(leaving));
    let had_journal = journal.exists();
    if had_journal {
        fs::rename(&journal, &kept).map_err(unwritable)?;
    }
    if let Err(reason) = fs::rename(arriving, place) {
        if had_journal {
            fs::rename(&kept, &journal).map_err(unwritable)?;
        }
        return Err(unwritable(reason));
    }
    sync_folder_of(place).map_err(unwritable)?;
    drop(held);
    Ok(())
}

/// Finishes or undoes what was being written to the old store, and lets nobody write to it. A store too damaged for
/// that is written by nobody anyway.
fn hold_still(place: &Path) -> Result<Option<Connection>, StoreError> {
    let hold = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(place, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(connection)
    };
    let error = match hold() {
        Ok(connection) => return Ok(Some(connection)),
        Err(_) if !place.exists() => return Ok(None),
        Err(error) => StoreError::of(error, place),
    };
    let may_be_whole = matches!(
        error,
        StoreError::Busy { .. } | StoreError::ReadOnly { .. } | StoreError::Full { .. } | StoreError::NotWritten { .. }
    );
    if may_be_whole { Err(error) } else { Ok(None) }
}

/// Overwrites a file and removes it: what was deleted from the accounts must not come to light in it.
fn wipe(file: &Path) -> io::Result<()> {
    let len = match fs::symlink_metadata(file) {
        // A second name of the store in place: the name goes, the store stays.
        Ok(found) if found.nlink() > 1 || !found.is_file() => return fs::remove_file(file),
        Ok(found) => found.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut out = OpenOptions::new().write(true).open(file)?;
    io::copy(&mut io::Read::take(io::repeat(0), len), &mut out)?;
    out.flush()?;
    out.sync_all()?;
    fs::remove_file(file)
}

fn rename_over_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // Network file systems cannot; those that cannot have a second name for a file (FAT) can.
        Err(Errno::EINVAL) => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
        result => Ok(result?),
    }
}

fn sync_folder_of(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn journal_of(file: &Path) -> PathBuf {
    with_suffix(file, "-journal")
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
