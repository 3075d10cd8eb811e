//! A network of its own with nothing but loopback: programs on it can reach each other and nobody else. Phones that
//! choose their address by themselves have only one to choose.

use super::process::{LiveError, Process};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

/// How long it may take to set up.
const START: Duration = Duration::from_secs(10);

/// The network; gone when dropped and everything on it has ended.
pub struct Island {
    /// Keeps it alive.
    holder: Process,
    is_root: bool,
}

impl Island {
    /// Makes one. Who is not root needs unprivileged user namespaces, as Debian allows them.
    pub fn new() -> Result<Self, LiveError> {
        // The folder of our process belongs to whom we run as.
        let own =
            std::fs::metadata("/proc/self").map_err(|reason| LiveError::Io { what: "/proc/self".into(), reason })?;
        let is_root = own.uid() == 0;
        let mut command = Command::new("unshare");
        command.arg("--net");
        if !is_root {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", "PATH=$PATH:/usr/sbin:/sbin ip link set lo up && echo made && exec cat"]);
        let mut holder = Process::start("unshare", &mut command)?;
        holder.expect_line("made", START)?;
        Ok(Self { holder, is_root })
    }

    /// What to put before a program and its arguments to run it on this network.
    pub fn prefix(&self) -> Vec<String> {
        let mut words =
            vec!["nsenter".to_owned(), "--target".to_owned(), self.holder.id().to_string(), "--net".to_owned()];
        if !self.is_root {
            words.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        words.push("--".to_owned());
        words
    }
}

/// `program` behind the words of a prefix, which may be none.
pub(super) fn prefixed(prefix: &[String], program: impl AsRef<std::ffi::OsStr>) -> Command {
    match prefix.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}
