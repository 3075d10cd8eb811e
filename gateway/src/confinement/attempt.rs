//! What an intruder would try from inside the gateway, tried for real: `undertone-gateway doctor --confinement`.
//!
//! Each attempt has a process of its own that confines itself as the gateway does, tries, and says what came of it;
//! some attempts are answered by killing that process. Whatever an attempt needs beforehand (a socket to connect with)
//! is there before the confinement, so that it fails by the confinement and by nothing else.

use super::{Confinement, ConfinementError, bare_call};
use clap::ValueEnum;
use nix::sys::prctl::get_dumpable;
use nix::sys::ptrace;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::kill;
use nix::unistd::{Uid, getppid, setuid};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that must not be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attempt {
    /// Open a file that is not in the state folder.
    ReadFile,
    /// Make a file outside the state folder.
    WriteFile,
    /// Read the TLS key from the disk once more.
    ReadKey,
    /// Start another program beside the gateway.
    StartProgram,
    /// Become another program.
    BecomeProgram,
    /// Connect to this machine.
    Connect,
    /// Take connections on another port.
    Listen,
    /// Send and read bare packets.
    RawSocket,
    /// Look into the process that started it.
    TraceProcess,
    /// Signal the process that started it.
    SignalProcess,
    /// Become root.
    BecomeRoot,
    /// Be dumped to disk when it crashes.
    DumpCore,
    /// Be looked into by other processes of its user.
    BeTraced,
    /// Take more memory than it may.
    TakeMemory,
    /// Use io_uring, which seccomp does not see into.
    IoUring,
    /// Load code into the kernel.
    Bpf,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel said no, in these words.
    Denied(String),
    /// It was possible.
    Possible,
    /// It failed for another reason, which proves nothing.
    Unclear(String),
}

/// What the attempts need, made before the confinement.
#[derive(Debug)]
pub struct Ground {
    listener: TcpListener,
    connecting: Socket,
    listening: Socket,
    program: PathBuf,
    key: PathBuf,
    outside: PathBuf,
}

impl Attempt {
    /// All, in the order they are told.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// For programs.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// For people: “… is denied”.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ReadFile => "reading a file outside the state folder",
            Self::WriteFile => "making a file outside the state folder",
            Self::ReadKey => "reading the gateway's key from the disk",
            Self::StartProgram => "starting a program",
            Self::BecomeProgram => "becoming another program",
            Self::Connect => "connecting to an address",
            Self::Listen => "listening on another port",
            Self::RawSocket => "sending and reading bare packets",
            Self::TraceProcess => "looking into another process",
            Self::SignalProcess => "signalling another process",
            Self::BecomeRoot => "becoming root",
            Self::DumpCore => "dumping memory to disk after a crash",
            Self::BeTraced => "being looked into by another process",
            Self::TakeMemory => "taking more memory than a full gateway needs",
            Self::IoUring => "using io_uring",
            Self::Bpf => "loading code into the kernel",
        }
    }

    /// Confines this process and tries. Does not return when the answer is to kill the process.
    ///
    /// # Errors
    /// When the process could not be confined at all.
    pub fn make(self, confinement: &Confinement, ground: &Ground) -> Result<Outcome, ConfinementError> {
        confinement.enter()?;
        Ok(match self.try_it(confinement, ground) {
            Ok(()) => Outcome::Possible,
            Err(error) if is_denial(&error) => Outcome::Denied(error.to_string()),
            Err(error) => Outcome::Unclear(error.to_string()),
        })
    }

    fn try_it(self, confinement: &Confinement, ground: &Ground) -> io::Result<()> {
        match self {
            Self::ReadFile => File::open(&ground.program).map(drop),
            Self::WriteFile => OpenOptions::new().write(true).create_new(true).open(&ground.outside).map(drop),
            Self::ReadKey => std::fs::read(&ground.key).map(zeroize::Zeroizing::new).map(drop),
            Self::StartProgram => Command::new(&ground.program).arg("--version").status().map(drop),
            Self::BecomeProgram => Err(Command::new(&ground.program).arg("--version").exec()),
            Self::Connect => ground.connecting.connect(&ground.listener.local_addr()?.into()),
            Self::Listen => ground.listening.bind(&loopback().into()),
            Self::RawSocket => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).map(drop),
            Self::TraceProcess => Ok(ptrace::seize(getppid(), ptrace::Options::empty())?),
            Self::SignalProcess => Ok(kill(getppid(), None)?),
            Self::BecomeRoot => Ok(setuid(Uid::from_raw(0))?),
            Self::DumpCore => {
                let (_, most) = getrlimit(Resource::RLIMIT_CORE)?;
                if most > 0 { Ok(()) } else { Ok(setrlimit(Resource::RLIMIT_CORE, 1, 1)?) }
            }
            Self::BeTraced => {
                if get_dumpable()? {
                    Ok(())
                } else {
                    Err(io::ErrorKind::PermissionDenied.into())
                }
            }
            Self::TakeMemory => {
                let octets = usize::try_from(confinement.memory).unwrap_or(usize::MAX);
                Vec::<u8>::new().try_reserve_exact(octets).map_err(|_| io::ErrorKind::OutOfMemory.into())
            }
            Self::IoUring => Ok(bare_call::io_uring_setup()?),
            Self::Bpf => Ok(bare_call::bpf_map_create()?),
        }
    }
}

impl Ground {
    /// Makes sockets, and names what is tried.
    ///
    /// # Errors
    /// When the system gives no socket on loopback.
    pub fn prepare(key: &Path) -> io::Result<Self> {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
        Ok(Self {
            listener: TcpListener::bind(loopback())?,
            connecting: socket()?,
            listening: socket()?,
            program: std::env::current_exe()?,
            key: key.to_owned(),
            outside: std::env::temp_dir().join(format!("undertone-attempt-{}", std::process::id())),
        })
    }

    /// Removes what an attempt that was possible has left.
    pub fn clean(&self) {
        // It is hardly ever there.
        let _ = std::fs::remove_file(&self.outside);
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// `EPERM` and `EACCES`, and that memory is refused. Anything else may have another cause.
fn is_denial(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_refusal_counts_as_denied() {
        for (error, counts) in [
            (nix::libc::EPERM, true),
            (nix::libc::EACCES, true),
            (nix::libc::ENOENT, false),
            (nix::libc::ENOSYS, false),
            (nix::libc::EFAULT, false),
            (nix::libc::ECONNREFUSED, false),
        ] {
            assert_eq!(is_denial(&io::Error::from_raw_os_error(error)), counts, "{error}");
        }
    }

    #[test]
    fn unconfined_the_ground_lets_connect_listen_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        std::fs::write(&key, b"key").unwrap();
        let ground = Ground::prepare(&key).unwrap();
        let confinement = Confinement {
            state_folder: folder.path().to_owned(),
            memory: 1 << 20,
            may_lack_parts: false,
            hands_over: false,
        };
        for attempt in [
            Attempt::ReadFile,
            Attempt::WriteFile,
            Attempt::ReadKey,
            Attempt::StartProgram,
            Attempt::Connect,
            Attempt::Listen,
            Attempt::SignalProcess,
            Attempt::TakeMemory,
        ] {
            attempt.try_it(&confinement, &ground).unwrap_or_else(|error| panic!("{}: {error}", attempt.name()));
        }
        assert!(ground.outside.exists());
        ground.clean();
        assert!(!ground.outside.exists());
    }
}
