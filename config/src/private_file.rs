//! Writing a file so that only its owner reads it and a crash leaves the old or the new content.

use crate::error::ConfigError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes `content` to `file` with mode 0600: temporary file, fsync, rename, fsync of the folder.
/// Missing folders are made with mode 0700.
pub fn write_private(file: &Path, content: &[u8]) -> Result<(), ConfigError> {
    write(file, content).map_err(|reason| ConfigError::Unwritable { file: file.to_owned(), reason })
}

fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut temporary_name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    temporary_name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(temporary_name);
    let written = write_through(&temporary, content).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        // Nothing half-written may stay behind; the first error is the one worth reporting.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_through(temporary: &Path, content: &[u8]) -> io::Result<()> {
    // One that another user put there first would stay his to read, or lead elsewhere. What is left of a crash goes.
    match fs::remove_file(temporary) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => return Err(reason),
        Ok(()) | Err(_) => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    out.write_all(content)?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_readable_by_its_owner_only_and_no_temporary_file_stays() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("a/b/phone.toml");
        write_private(&file, b"one").expect("written");
        write_private(&file, b"two").expect("written again");
        assert_eq!(fs::read(&file).expect("readable"), b"two");
        assert_eq!(fs::metadata(&file).expect("exists").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().expect("has one")).expect("readable").count(), 1);
    }

    #[test]
    fn what_lies_in_the_temporary_files_place_gets_nothing_of_the_content() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (file, elsewhere) = (folder.path().join("key.pem"), folder.path().join("elsewhere"));
        let temporary = folder.path().join(format!("key.pem.{}.new", std::process::id()));
        std::os::unix::fs::symlink(&elsewhere, &temporary).expect("linked");
        write_private(&file, b"secret").expect("written");
        assert!(!elsewhere.exists(), "no link is followed");
        fs::write(&temporary, b"").expect("written");
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o666)).expect("changed");
        let mut reader = File::open(&temporary).expect("opened before");
        write_private(&file, b"secret").expect("written");
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("readable");
        assert_eq!(read, "", "an earlier file of the name is not written to");
        assert_eq!(fs::metadata(&file).expect("exists").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&file).expect("readable"), b"secret");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_sentence_that_names_the_file() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let blocker = folder.path().join("file");
        fs::write(&blocker, b"x").expect("written");
        let error = write_private(&blocker.join("phone.toml"), b"one").expect_err("a file is no folder");
        assert!(error.to_string().contains("phone.toml"), "{error}");
    }
}
