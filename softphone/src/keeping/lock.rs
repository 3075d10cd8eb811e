//! One lock per profile: two phones that change the same files do it one after the other.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use undertone_config::ConfigError;

/// Held while kept files are read and replaced; let go when dropped, also by a crash.
pub(super) struct ProfileLock {
    _file: File,
}

impl ProfileLock {
    /// Waits until nobody else changes what lies beside `file`.
    pub(super) fn beside(file: &Path) -> Result<Self, ConfigError> {
        let unwritable = |reason: io::Error| ConfigError::Unwritable { file: file.to_owned(), reason };
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join("lock")).map_err(unwritable)?;
        lock.lock().map_err(unwritable)?;
        Ok(Self { _file: lock })
    }
}
