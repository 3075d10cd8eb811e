//! Commands and options, as `--help` shows them.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use undertone_config::HostPort;

use super::contact_arguments::ContactTask;
use super::failure::Failure;
use crate::audio::{MicrophoneChoice, SpeakerChoice};

/// Calls people through your gateway: sound is encrypted from phone to phone, the gateway cannot hear it.
#[derive(Debug, Parser)]
#[command(name = "undertone", version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "First `undertone setup`, then `undertone listen` to be called, or `undertone call NAME@GATEWAY`.\n\
    Exit codes: 0 done, 1 the call did not happen, 2 a configuration, certificate, device or argument cannot be used."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
    /// Keep account and settings in this folder instead of ~/.config/undertone
    #[arg(long, global = true, value_name = "DIR")]
    pub profile: Option<PathBuf>,
    /// Print one JSON object per line instead of sentences
    #[arg(long, global = true)]
    pub json: bool,
    /// Microphone: a name from `undertone devices`, FILE.wav, or `silence`
    #[arg(long, global = true, value_name = "DEVICE")]
    pub mic: Option<String>,
    /// Speaker: a name from `undertone devices`, FILE.wav, or `none`
    #[arg(long, global = true, value_name = "DEVICE")]
    pub speaker: Option<String>,
    /// Read the passphrase of your identity from the first line of a file, or set UNDERTONE_PASSPHRASE
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Call phones directly, without gateway or account, from this address of this machine.
    ///
    /// For measurements and for tests with other makers' phones: sound is encrypted all the same, but who calls whom
    /// is sent in the clear and both sides learn each other's network address. Never saved.
    #[arg(long, global = true, value_name = "[NAME@]ADDR:PORT")]
    pub direct: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Enter your account and check it with your gateway
    Setup(Setup),
    /// Call someone: NAME@GATEWAY, or NAME on your own gateway
    Call {
        /// Who to call, such as bob@gw.example, or a contact's name
        uri: String,
        /// Do not tell the gateway who calls; the called phone learns it in a way that only it can read
        #[arg(long)]
        hide: bool,
    },
    /// Wait for calls
    #[command(visible_alias = "answer")]
    Listen {
        /// Take every call at once
        #[arg(long)]
        auto_answer: bool,
    },
    /// Answer every call and send back what it says
    Echo,
    /// Show, make, copy or replace the key by which your contacts know this phone
    #[command(subcommand)]
    Identity(IdentityTask),
    /// Know people and be known: contacts, and the links by which you find each other
    #[command(subcommand)]
    Contact(ContactTask),
    /// List microphones and speakers
    Devices,
    /// Hear your own voice after a moment, with a level meter
    TestSound {
        /// Stop after this many seconds
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
        seconds: Option<u32>,
    },
    /// Be driven by a program: commands as lines on standard input, events as lines on standard output
    ///
    /// Commands: dial URI, dial-hidden URI, answer, reject, hangup, mute, unmute, hold, resume, dtmf KEYS, pick 1-4,
    /// pick none, digits, skip, check, quit.
    Headless {
        /// Take every call at once
        #[arg(long)]
        auto_answer: bool,
    },
}

/// What to do with the identity.
#[derive(Debug, Subcommand)]
pub enum IdentityTask {
    /// Show your key code, to be compared with what your contact's phone shows
    Show {
        /// Show no QR code
        #[arg(long)]
        no_qr: bool,
    },
    /// Make an identity that is kept, by your desktop's keystore or sealed with a passphrase
    Create,
    /// Write a copy, sealed with a passphrase, for another device or a safe place
    Export {
        /// Where to; must not exist yet
        file: PathBuf,
    },
    /// Take over an exported identity on a device that has none
    Import {
        /// The exported file
        file: PathBuf,
    },
    /// Replace your key by a new one: all contacts have to verify you again
    Reset {
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

/// Options of `setup`; what is not given is asked for.
#[derive(Debug, Default, Args)]
pub struct Setup {
    /// Your address, such as alice@gw.example
    #[arg(long, value_name = "NAME@GATEWAY")]
    pub address: Option<String>,
    /// Where the gateway listens, if not at port 5061 of the address's domain
    #[arg(long, value_name = "HOST:PORT")]
    pub gateway: Option<String>,
    /// The gateway's pin (sha256:…), as its operator gives it; without one its certificate must be publicly trusted
    #[arg(long)]
    pub pin: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Do not try the account before saving it
    #[arg(long)]
    pub offline: bool,
}

/// `--direct`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectAddress {
    /// What this phone calls itself.
    pub name: String,
    /// Where it listens for SIP.
    pub address: std::net::SocketAddr,
}

/// The name of a phone without an account.
const DIRECT_NAME: &str = "undertone";

impl Arguments {
    /// Reads this program's own command line. Help and version are printed and end the program.
    ///
    /// # Errors
    /// When the arguments make no sense, as one sentence.
    pub fn read() -> Result<Self, Failure> {
        Self::try_parse().map_err(|error| {
            if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                error.exit()
            }
            Failure::Argument(one_sentence(&error.to_string()))
        })
    }

    /// What `--direct` says, if it is there.
    ///
    /// # Errors
    /// When it is no address and port of one machine.
    pub fn direct_address(&self) -> Result<Option<DirectAddress>, Failure> {
        let Some(text) = &self.direct else { return Ok(None) };
        let (name, address) = text.rsplit_once('@').unwrap_or((DIRECT_NAME, text));
        let refuse = |why: &str| {
            Failure::Argument(format!("--direct {text}: {why}: write it like 127.0.0.1:5060 or alice@192.0.2.7:5060"))
        };
        let address: std::net::SocketAddr = address.parse().map_err(|_| refuse("is not an IP address and port"))?;
        if address.ip().is_unspecified() {
            return Err(refuse("must be one address that the other phone can reach"));
        }
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || !name.chars().all(usable) {
            return Err(refuse("the name may only have letters, digits, dots, hyphens and underscores"));
        }
        Ok(Some(DirectAddress { name: name.to_owned(), address }))
    }

    /// The microphone: the option, else the configuration's, else the default one.
    #[must_use]
    pub fn microphone(&self, configured: Option<&str>) -> MicrophoneChoice {
        MicrophoneChoice::parse(self.mic.as_deref().or(configured).unwrap_or_default())
    }

    /// The speaker: the option, else the configuration's, else the default one.
    #[must_use]
    pub fn speaker(&self, configured: Option<&str>) -> SpeakerChoice {
        SpeakerChoice::parse(self.speaker.as_deref().or(configured).unwrap_or_default())
    }
}

/// The gateway of an address without one: port 5061 of its domain.
pub(super) fn gateway_of(domain: &str) -> Result<HostPort, Failure> {
    domain.parse().map_err(|error| Failure::Argument(format!("{error}")))
}

/// clap's words in one line, without its usage.
fn one_sentence(words: &str) -> String {
    let lines = words.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let mut sentence = String::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")) {
        sentence.push_str(match sentence.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => ", ",
        });
        sentence.push_str(line.trim_start_matches("error: "));
    }
    sentence + ": see `undertone --help`"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_option_is_explained() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
        }
        for option in command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments)) {
            assert!(option.get_help().is_some() || option.is_hide_set(), "{}", option.get_id());
        }
    }

    #[test]
    fn a_wrong_command_line_is_one_sentence() {
        for (arguments, said) in [
            (&["undertone", "--bogus"][..], "unexpected argument '--bogus' found: see `undertone --help`"),
            (
                &["undertone", "call"],
                "the following required arguments were not provided: <URI>: see `undertone --help`",
            ),
        ] {
            let error = Arguments::try_parse_from(arguments).map(|_| ()).expect_err("wrong");
            assert_eq!(one_sentence(&error.to_string()), said);
        }
    }

    #[test]
    fn global_options_may_stand_after_the_command() {
        let parsed = Arguments::try_parse_from(["undertone", "call", "bob", "--json", "--mic", "a.wav"]).unwrap();
        assert!(parsed.json && matches!(parsed.task, Task::Call { .. }));
        assert_eq!(parsed.microphone(Some("Headset")), MicrophoneChoice::Wav("a.wav".into()));
        assert_eq!(parsed.speaker(Some("Headset")), SpeakerChoice::Named("Headset".into()));
        assert!(matches!(
            Arguments::try_parse_from(["undertone", "answer", "--auto-answer"]).unwrap().task,
            Task::Listen { auto_answer: true }
        ));
    }

    #[test]
    fn a_direct_address_names_one_machine() {
        let direct = |text: &str| {
            Arguments::try_parse_from(["undertone", "headless", "--direct", text]).unwrap().direct_address()
        };
        let plain = direct("127.0.0.1:5060").unwrap().unwrap();
        assert_eq!((plain.name.as_str(), plain.address.port()), ("undertone", 5060));
        assert_eq!(direct("al.ice@[::1]:7").unwrap().unwrap().name, "al.ice");
        for wrong in ["127.0.0.1", "0.0.0.0:5060", "host:5060", "a b@127.0.0.1:5060", "@127.0.0.1:5060"] {
            assert!(matches!(direct(wrong), Err(Failure::Argument(_))), "{wrong}");
        }
    }
}
