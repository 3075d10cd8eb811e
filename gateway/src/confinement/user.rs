//! Whom the gateway runs as, and that it has no capability.
//!
//! Started by root it becomes the owner of its state folder if that is not root, else the system user
//! [`RUN_AS`], who is given the store. Not `nobody`: whatever else runs as `nobody` could read the store then. Where there is
//! no such user it stays root by number, without any of root's capabilities: the system's files are still closed to it by
//! Landlock, and a warning names the command that makes the user. A plain user has nothing to drop but capabilities
//! (systemd may have given one for a port below 1024; the port is open by now).

use super::error::{ConfinementError, Part};
use crate::store::STORE_FILE;
use caps::{CapSet, Capability};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{AccessFlags, Gid, Uid, User, faccessat, setgroups, setresgid, setresuid};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// The system user of a gateway that root starts.
pub const RUN_AS: &str = "undertone";

/// What SQLite keeps in the state folder: its file and, after a crash, the journal that heals it.
const STORE_FILES: [&str; 2] = ["", "-journal"];

/// Another user than the one who started the program.
struct Other {
    name: String,
    uid: Uid,
    gid: Gid,
}

pub(super) fn drop_privileges(folder: &Path, hands_over: bool) -> Result<(), ConfinementError> {
    let refused = ConfinementError::refused(Part::Privileges);
    let other = whom(folder).map_err(|error| refused(error.to_string()))?;
    // Empties what a program that were started after all could get back. Only who has this right needs to.
    if holds(Capability::CAP_SETPCAP) {
        caps::clear(None, CapSet::Bounding).map_err(|error| refused(error.to_string()))?;
    }
    if let Some(other) = &other {
        let unreachable =
            |reason| ConfinementError::OutOfReach { folder: folder.to_owned(), user: other.name.clone(), reason };
        if hands_over {
            hand_over(folder, other).map_err(unreachable)?;
        }
        become_other(other).map_err(|error| refused(error.to_string()))?;
        if hands_over {
            let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
            faccessat(AT_FDCWD, folder, all, AtFlags::AT_EACCESS).map_err(|error| unreachable(error.into()))?;
        }
    }
    // In this order: what is effective must be permitted.
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| refused(error.to_string()))?;
    }
    set_no_new_privs().map_err(|error| refused(error.to_string()))
}

/// For the operator, when all else is well.
pub(super) fn warn_if_root() {
    if Uid::effective().is_root() {
        tracing::warn!(
            "the gateway goes on as root, though without root's rights; make it a user of its own with `useradd --system {RUN_AS}`"
        );
    }
}

/// None: the present user goes on.
fn whom(folder: &Path) -> io::Result<Option<Other>> {
    // A container's root may have no right to become somebody else; it has little to give up then.
    if !Uid::effective().is_root() || !holds(Capability::CAP_SETUID) || !holds(Capability::CAP_SETGID) {
        return Ok(None);
    }
    let owner = std::fs::metadata(folder)?;
    if owner.uid() == 0 {
        let own = User::from_name(RUN_AS)?;
        return Ok(own.map(|user| Other { name: user.name, uid: user.uid, gid: user.gid }));
    }
    let uid = Uid::from_raw(owner.uid());
    Ok(Some(match User::from_uid(uid)? {
        Some(user) => Other { name: user.name, uid, gid: user.gid },
        None => Other { name: uid.to_string(), uid, gid: Gid::from_raw(owner.gid()) },
    }))
}

/// The folder may be another's by now, who could have put links there: none is followed, and a file that has a second
/// name is left alone.
fn hand_over(folder: &Path, other: &Other) -> io::Result<()> {
    use nix::libc::{O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK};
    let open = |path: &Path, flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
    for suffix in STORE_FILES {
        match open(&folder.join(format!("{STORE_FILE}{suffix}")), O_NOFOLLOW | O_NONBLOCK) {
            Ok(file) => give(&file, other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    give(&open(folder, O_DIRECTORY)?, other)
}

fn give(file: &File, other: &Other) -> io::Result<()> {
    let found = file.metadata()?;
    let is_single = found.is_dir() || (found.is_file() && found.nlink() == 1);
    if found.uid() != 0 || !is_single {
        return Ok(());
    }
    fchown(file, Some(other.uid.as_raw()), Some(other.gid.as_raw()))
}

fn become_other(other: &Other) -> nix::Result<()> {
    setgroups(&[])?;
    setresgid(other.gid, other.gid, other.gid)?;
    setresuid(other.uid, other.uid, other.uid)
}

fn holds(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}
