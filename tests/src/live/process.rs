//! One child process whose standard output is a stream of JSON lines.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Lines kept while nobody reads them; a process that prints more has gone wrong and is stopped by
/// its full pipe.
const MAX_WAITING_LINES: usize = 10_000;

/// Why a live run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A binary was not built.
    #[error("{0} is not built; run `cargo build --workspace --bins` first")]
    NotBuilt(String),
    /// A process could not be started or talked to.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's words.
        reason: std::io::Error,
    },
    /// A process did not say what was expected in time, or ended.
    #[error("{name} did not say “{expected}” within {seconds} s; it said:\n{said}")]
    Silent {
        /// The process.
        name: String,
        /// The awaited event.
        expected: String,
        /// How long it was given.
        seconds: u64,
        /// Everything it printed.
        said: String,
    },
    /// A command ended with an error.
    #[error("{name} failed: {said}")]
    Failed {
        /// The command.
        name: String,
        /// What it printed.
        said: String,
    },
    /// A recording cannot be read or made.
    #[error("{0}")]
    Sound(String),
}

/// A running child; killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
}

/// Path of a binary of this workspace, beside the running test or program.
pub fn binary(name: &str) -> Result<PathBuf, LiveError> {
    let missing = || LiveError::NotBuilt(name.to_owned());
    let own = std::env::current_exe().map_err(|reason| LiveError::Io { what: "own path".into(), reason })?;
    own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(missing)
}

impl Process {
    /// Starts `command` with piped input and output; its errors go to ours.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, LiveError> {
        let io = |what: &str| {
            let what = format!("{what} {name}");
            move |reason| LiveError::Io { what, reason }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(io("starting"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| LiveError::NotBuilt(name.to_owned()))?;
        let (to_us, lines) = sync_channel(MAX_WAITING_LINES);
        std::thread::spawn(move || {
            // Other makers' phones print what is not UTF-8.
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if to_us.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { name: name.to_owned(), child, stdin, lines, said: Vec::new() })
    }

    /// Writes one line to its standard input.
    pub fn say(&mut self, line: &str) -> Result<(), LiveError> {
        let what = format!("writing to {}", self.name);
        let io = |reason| LiveError::Io { what, reason };
        let stdin = self.stdin.as_mut().ok_or_else(|| LiveError::NotBuilt(self.name.clone()))?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).map_err(io)
    }

    /// Waits for the next event named `event`; events before it are kept in [`Process::said`].
    pub fn expect(&mut self, event: &str, within: Duration) -> Result<Value, LiveError> {
        self.expect_where(event, within, |_| true)
    }

    /// Waits for the next event named `event` that also satisfies `is_it`.
    pub fn expect_where(
        &mut self,
        event: &str,
        within: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value, LiveError> {
        let deadline = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let value: Option<Value> = serde_json::from_str(&line).ok();
                    self.said.push(line);
                    if let Some(value) = value.filter(|value| value["event"] == event && is_it(value)) {
                        return Ok(value);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.silent(event, within));
                }
            }
        }
    }

    /// Waits for a line that contains `words`, whatever its form.
    pub fn expect_line(&mut self, words: &str, within: Duration) -> Result<String, LiveError> {
        let deadline = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(words) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.silent(words, within));
                }
            }
        }
    }

    /// Every line it printed so far.
    pub fn said(&mut self) -> &[String] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    fn silent(&self, expected: &str, within: Duration) -> LiveError {
        let (name, expected) = (self.name.clone(), expected.to_owned());
        LiveError::Silent { name, expected, seconds: within.as_secs(), said: self.said.join("\n") }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes its input and waits for its end; returns its exit code, `None` if it had to be killed.
    pub fn finish(&mut self, within: Duration) -> Option<i32> {
        self.stdin = None;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) => drop(self.lines.recv_timeout(Duration::from_millis(20)).map(|line| self.said.push(line))),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
