//! The terminal: keys without Enter, typing without echo, and both undone whatever happens.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// Of a terminal that does not say how wide it is.
pub const USUAL_COLUMNS: usize = 80;

/// Whether a person sits at both ends of this program.
#[must_use]
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// How many columns the terminal has to which this program writes; `None` when it writes elsewhere.
#[must_use]
pub fn columns() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout.as_fd()).ok();
    Some(size.map_or(USUAL_COLUMNS, |size| usize::from(size.ws_col)).max(1))
}

/// The terminal in another mode until this is dropped.
pub struct TerminalMode {
    before: Termios,
}

impl std::fmt::Debug for TerminalMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TerminalMode")
    }
}

impl TerminalMode {
    /// Keys arrive at once and are not shown; Ctrl-C still ends the program.
    #[must_use]
    pub fn keys() -> Option<Self> {
        Self::without(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Lines are typed unseen.
    #[must_use]
    pub fn unseen() -> Option<Self> {
        Self::without(LocalFlags::ECHO)
    }

    fn without(flags: LocalFlags) -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin().as_fd()).ok()?;
        let mut mode = before.clone();
        mode.local_flags.remove(flags);
        tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &mode).ok()?;
        Some(Self { before })
    }
}

impl Drop for TerminalMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.before);
    }
}
