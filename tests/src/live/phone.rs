//! A phone process without a person: `undertone headless`, with wav files or named devices for sound.

use super::gateway::{DOMAIN, Gateway};
use super::island::prefixed;
use super::process::{LiveError, Process, binary};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a phone may take to be ready; generous, for a loaded machine.
const START: Duration = Duration::from_secs(20);

/// Leads to the keystore of whoever runs the tests, in which a phone would keep its identity.
const KEYSTORE_BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// What a phone speaks and hears with.
#[derive(Debug, Clone, Default)]
pub struct PhoneOptions {
    /// `--mic`: a wav file, a device, or `silence`.
    pub microphone: Option<String>,
    /// `--speaker`: a wav file, a device, or `none`.
    pub speaker: Option<String>,
    /// Take every call at once.
    pub auto_answer: bool,
    /// `NAME@ADDR:PORT` for calls without a gateway.
    pub direct: Option<String>,
    /// Opens the identity: a file with its passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// Words to put before the program, such as those of an island.
    pub prefix: Vec<String>,
    /// File into which the system writes every network call of the phone (by `strace`).
    pub network_log: Option<PathBuf>,
}

/// A running phone; ended when dropped.
pub struct Phone {
    /// The running process.
    pub process: Process,
    /// Under which it can be called.
    pub address: String,
}

impl PhoneOptions {
    /// Speaks `microphone` and records into `speaker`.
    pub fn wav(microphone: &Path, speaker: &Path) -> Self {
        let text = |path: &Path| Some(path.display().to_string());
        Self { microphone: text(microphone), speaker: text(speaker), ..Self::default() }
    }

    /// Takes every call at once.
    #[must_use]
    pub fn answering(mut self) -> Self {
        self.auto_answer = true;
        self
    }
}

impl Phone {
    /// Adds the account `name` to `gateway`, sets a phone up for it in `folder` and starts it.
    pub fn join(gateway: &Gateway, folder: &Path, name: &str, options: &PhoneOptions) -> Result<Self, LiveError> {
        let password = gateway.add_user(name)?;
        let profile = Self::set_up(gateway, folder, name, &password)?;
        Self::start(name, &profile, options)
    }

    /// Runs `undertone setup` for an account that exists; returns the profile's folder.
    pub fn set_up(gateway: &Gateway, folder: &Path, name: &str, password: &str) -> Result<PathBuf, LiveError> {
        let profile = folder.join(name);
        let mut command = Command::new(binary("undertone")?);
        command.arg("--profile").arg(&profile).args(["setup", "--address", &format!("{name}@{DOMAIN}")]);
        command.args(["--gateway", &gateway.signalling, "--pin", &gateway.pin, "--password-stdin"]);
        command.env_remove(KEYSTORE_BUS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let io = |reason| LiveError::Io { what: "undertone setup".into(), reason };
        let mut child = command.spawn().map_err(io)?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{password}").map_err(io)?;
        }
        super::gateway::succeeded("undertone setup", &child.wait_with_output().map_err(io)?)?;
        Ok(profile)
    }

    /// Starts a phone that is set up in `profile` and waits until it is ready.
    pub fn start(name: &str, profile: &Path, options: &PhoneOptions) -> Result<Self, LiveError> {
        let phone = binary("undertone")?;
        let mut command = match &options.network_log {
            Some(file) => {
                let mut command = Command::new("strace");
                command.args(["-f", "-qq", "-e", "trace=network", "-o"]).arg(file).arg("--").arg(phone);
                command
            }
            None => prefixed(&options.prefix, phone),
        };
        command.arg("--json").arg("--profile").arg(profile).arg("headless");
        for (flag, value) in
            [("--mic", &options.microphone), ("--speaker", &options.speaker), ("--direct", &options.direct)]
        {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
        if let Some(file) = &options.passphrase_file {
            command.arg("--passphrase-file").arg(file);
        }
        if options.auto_answer {
            command.arg("--auto-answer");
        }
        command.env_remove(KEYSTORE_BUS);
        command.envs(options.environment.iter().map(|(key, value)| (key, value)));
        let mut process = Process::start(name, &mut command)?;
        let ready = process.expect("ready", START)?;
        let address = ready["address"].as_str().unwrap_or_default().to_owned();
        Ok(Self { process, address })
    }

    /// Asks the phone to stop and waits for its end; its exit code.
    pub fn quit(mut self) -> Option<i32> {
        // A phone that is already gone has an exit code as well.
        let _ = self.process.say("quit");
        self.process.finish(Duration::from_secs(15))
    }
}
