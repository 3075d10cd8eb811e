//! The profile of one phone: its folder, the commands that are run on it, and the phone that is started from it.

use super::gateway::run;
use super::phone::{Phone, PhoneOptions};
use super::process::{LiveError, binary};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Protects the identity of every test profile.
const PASSPHRASE: &str = "correct horse battery staple";
/// The variable it is given in.
const PASSPHRASE_VARIABLE: &str = "UNDERTONE_PASSPHRASE";

/// A folder of a phone.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
    passphrase_file: Option<PathBuf>,
}

/// What a command printed.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its JSON lines.
    pub lines: Vec<Value>,
}

impl Profile {
    /// The profile `name` in `folder`, which need not exist.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { folder: folder.join(name), passphrase_file: None }
    }

    /// The same, with its identity sealed by the passphrase in `file` instead of the one of all test profiles.
    #[must_use]
    pub fn sealed_by(self, file: &Path) -> Self {
        Self { passphrase_file: Some(file.to_owned()), ..self }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command on it, with JSON output and no keystore.
    pub fn command(&self, arguments: &[&str]) -> Result<Command, LiveError> {
        let mut command = Command::new(binary("undertone")?);
        command.arg("--json").arg("--profile").arg(&self.folder).args(arguments);
        match &self.passphrase_file {
            Some(file) => command.arg("--passphrase-file").arg(file),
            None => command.env(PASSPHRASE_VARIABLE, PASSPHRASE),
        };
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Said, LiveError> {
        run(&mut self.command(arguments)?).map(|output| Said::read(&output))
    }

    /// Runs a command that must succeed; its last line.
    pub fn done(&self, arguments: &[&str]) -> Result<Value, LiveError> {
        let said = self.run(arguments)?;
        match (said.code, said.lines.last()) {
            (Some(0), Some(last)) => Ok(last.clone()),
            _ => Err(LiveError::Failed { name: format!("undertone {arguments:?}"), said: format!("{said:?}") }),
        }
    }

    /// Starts its phone and waits until it is ready.
    pub fn start(&self, name: &str, options: &PhoneOptions) -> Result<Phone, LiveError> {
        let mut options = options.clone();
        match &self.passphrase_file {
            Some(file) => options.passphrase_file = Some(file.clone()),
            None => options.environment.push((PASSPHRASE_VARIABLE.to_owned(), PASSPHRASE.to_owned())),
        }
        Phone::start(name, &self.folder, &options)
    }
}

impl Said {
    /// Reads a command's output.
    pub fn read(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { code: output.status.code(), lines }
    }

    /// The sentence of a command that was refused.
    pub fn refusal(&self) -> Option<&str> {
        let last = self.lines.last().filter(|last| last["event"] == "failed" && self.code == Some(2))?;
        last["sentence"].as_str()
    }

    /// The first line with this event.
    pub fn event(&self, name: &str) -> Option<&Value> {
        self.lines.iter().find(|line| line["event"] == name)
    }
}
