//! A gateway process with a state folder of its own on loopback.

use super::process::{LiveError, Process, binary};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Domain of all accounts of a test gateway; the top-level domain is reserved (RFC 2606).
pub const DOMAIN: &str = "gw.test";
/// How long the process may take to be ready; generous, for a loaded machine.
const START: Duration = Duration::from_secs(20);

/// A gateway that serves; ended when dropped.
pub struct Gateway {
    /// The running process.
    pub process: Process,
    /// `127.0.0.1:PORT` where phones connect.
    pub signalling: String,
    /// `127.0.0.1:PORT` where the relay takes sound.
    pub relay: String,
    /// By which phones know it.
    pub pin: String,
    config: PathBuf,
}

impl Gateway {
    /// Initialises a gateway in `folder` and serves on free ports.
    pub fn start(folder: &Path) -> Result<Self, LiveError> {
        let config = folder.join("gateway.toml");
        let made = run(Command::new(binary("undertone-gateway")?).arg("--config").arg(&config).args([
            "init",
            "--domain",
            DOMAIN,
            "--public-address",
            "127.0.0.1",
            "--listen",
            "127.0.0.1:0",
            "--relay-listen",
            "127.0.0.1:0",
        ]))?;
        succeeded("undertone-gateway init", &made)?;
        Self::serve(&config)
    }

    /// Serves an initialised gateway.
    pub fn serve(config: &Path) -> Result<Self, LiveError> {
        let mut command = Command::new(binary("undertone-gateway")?);
        command.arg("--json").arg("--config").arg(config).arg("serve");
        let mut process = Process::start("undertone-gateway", &mut command)?;
        let ready = process.expect("ready", START)?;
        let first = |key: &str| ready[key][0].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            signalling: first("signalling"),
            relay: first("relay"),
            pin: ready["pin"].as_str().unwrap_or_default().to_owned(),
            process,
            config: config.to_owned(),
        })
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Adds an account; returns its password.
    pub fn add_user(&self, name: &str) -> Result<String, LiveError> {
        let output = self.command(&["user", "add", name])?;
        succeeded("undertone-gateway user add", &output)?;
        let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(line["password"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes an invite to the account `name`; the link.
    pub fn invite(&self, name: &str, options: &[&str]) -> Result<String, LiveError> {
        let arguments = [&["invite", name, "--gateway", &self.signalling], options].concat();
        let output = self.command(&arguments)?;
        succeeded("undertone-gateway invite", &output)?;
        let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(line["link"].as_str().unwrap_or_default().to_owned())
    }

    /// Runs an operator's command against this gateway's configuration.
    pub fn command(&self, arguments: &[&str]) -> Result<Output, LiveError> {
        run(Command::new(binary("undertone-gateway")?).arg("--json").arg("--config").arg(&self.config).args(arguments))
    }
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> Result<Output, LiveError> {
    command.output().map_err(|reason| LiveError::Io { what: format!("running {command:?}"), reason })
}

/// The command's errors if it failed.
pub(super) fn succeeded(name: &str, output: &Output) -> Result<(), LiveError> {
    if output.status.success() {
        return Ok(());
    }
    Err(LiveError::Failed { name: name.to_owned(), said: String::from_utf8_lossy(&output.stderr).into_owned() })
}
