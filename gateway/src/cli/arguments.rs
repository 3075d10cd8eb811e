//! The command line, as the operator types it.

use super::Failure;
use crate::confinement::attempt::Attempt;
use crate::core::succession::MAX_SERIAL;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use undertone_config::{Domain, HostPort, Pin};

/// Connects encrypted calls between phones without being able to hear them.
#[derive(Debug, Parser)]
#[command(
    name = "undertone-gateway",
    version,
    after_help = "First `undertone-gateway init --domain NAME --public-address IP`, then `undertone-gateway invite NAME`\n\
                  for each person, then `undertone-gateway serve`."
)]
pub struct Arguments {
    /// Configuration file [default: /etc/undertone/gateway.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON lines for programs instead of sentences
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What the operator can ask for.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Write the configuration, make key, certificate and account store; overwrites nothing
    Init(Init),
    /// Make a link by which a person joins with one phone; also while the gateway runs
    Invite(Invite),
    /// Add, remove or list accounts, also while the gateway runs
    User {
        /// What to do.
        #[command(subcommand)]
        task: UserTask,
    },
    /// List or revoke the devices of an account, also while the gateway runs
    Device {
        /// What to do.
        #[command(subcommand)]
        task: DeviceTask,
    },
    /// Print the pin by which phones know this gateway
    Pin,
    /// Renew the self-signed certificate; the key, and so the pin, stays
    Certificate {
        /// What to do.
        #[command(subcommand)]
        task: CertificateTask,
    },
    /// Make the key under which this gateway's next key is announced; it is kept off the server
    OperatorKey {
        /// What to do.
        #[command(subcommand)]
        task: OperatorKeyTask,
    },
    /// Replace this gateway's key so that phones follow: new, sign, announce, weeks later use
    NextKey {
        /// What to do.
        #[command(subcommand)]
        task: NextKeyTask,
    },
    /// Write all accounts into a new file, also while the gateway runs; overwrites nothing
    Backup(Backup),
    /// Put a backup in the place of all accounts, also while the gateway runs; checks it first
    Restore(Restore),
    /// Try to break out of the gateway's confinement and tell how each attempt ends
    Doctor(Doctor),
    /// Run the gateway until it is stopped (Ctrl-C or SIGTERM ends calls properly)
    Serve(Serve),
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The part of all addresses after the @, such as gw.example
    #[arg(long)]
    pub domain: Domain,
    /// An IP address by which phones reach this machine; once for IPv4, once for IPv6
    #[arg(long = "public-address", value_name = "IP", required = true)]
    pub public_addresses: Vec<IpAddr>,
    /// Where to listen for phones [default: port 5061 on all addresses]
    #[arg(long = "listen", value_name = "IP:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Where to relay sound (UDP) [default: port 40000 on all addresses]
    #[arg(long = "relay-listen", value_name = "IP:PORT")]
    pub relay_listen: Vec<SocketAddr>,
    /// Folder of the account store [default: /var/lib/undertone, or `state` beside a --config FILE]
    #[arg(long, value_name = "FOLDER")]
    pub state_folder: Option<PathBuf>,
    /// Where to write the operator's key, for example on a USB stick [default: `operator.key` beside the configuration]
    #[arg(long, value_name = "FILE")]
    pub operator_key: Option<PathBuf>,
    /// Your own certificate chain (PEM); without one a self-signed one is made, which phones check by its pin
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub certificate: Option<PathBuf>,
    /// The key of --certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub private_key: Option<PathBuf>,
}

/// Options of `invite`.
#[derive(Debug, Args)]
pub struct Invite {
    /// The account, the part of the address before the @; made if it is not there
    pub name: String,
    /// How many days the link is good, to the end of the last one
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub days: u32,
    /// A contact link; the one link then joins and adds that contact
    #[arg(long, value_name = "LINK")]
    pub contact: Option<String>,
    /// Where phones connect, if it is not where gateway.toml says
    #[arg(long, value_name = "HOST:PORT")]
    pub gateway: Option<HostPort>,
    /// Draw no QR code
    #[arg(long)]
    pub no_qr: bool,
    /// Make no link, but take all open ones to this account back
    #[arg(long, conflicts_with_all = ["days", "contact", "gateway", "no_qr"])]
    pub withdraw: bool,
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum UserTask {
    /// Add an account with a password, for other makers' phones; prints the password once
    Add {
        /// The name, the part of the address before the @
        name: String,
    },
    /// Give an account a new password, for other makers' phones; prints it once
    Password {
        /// The name
        name: String,
    },
    /// Remove an account and close its connections
    Remove {
        /// The name
        name: String,
    },
    /// List all accounts
    List,
}

/// What can be done with devices.
#[derive(Debug, Subcommand)]
pub enum DeviceTask {
    /// List the devices of an account, by the hashes of their keys
    List {
        /// The account
        name: String,
    },
    /// Take a device's access away and close its connections
    Revoke {
        /// The account
        name: String,
        /// The hash, or enough of its beginning
        hash: String,
    },
}

/// What can be done with the certificate.
#[derive(Debug, Subcommand)]
pub enum CertificateTask {
    /// Write a new self-signed certificate for the same key
    Renew,
}

/// What can be done with the operator's key.
#[derive(Debug, Subcommand)]
pub enum OperatorKeyTask {
    /// Make one for a gateway that has none
    New {
        /// Where to write it, for example on a USB stick [default: `operator.key` beside the configuration]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Put it in place of an earlier one, which phones that have joined already go on to believe
        #[arg(long)]
        replace: bool,
    },
}

/// The steps from one key to the next.
#[derive(Debug, Subcommand)]
pub enum NextKeyTask {
    /// On the server: make the next key and print its pin
    New,
    /// Where the operator's key is: sign the pin and print the announcement
    Sign {
        /// The operator's key
        #[arg(long, value_name = "FILE")]
        operator_key: PathBuf,
        /// The gateway's domain
        #[arg(long)]
        domain: Domain,
        /// The pin that `next-key new` printed
        #[arg(long)]
        pin: Pin,
        /// A number greater than that of any announcement before
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=MAX_SERIAL))]
        serial: u64,
    },
    /// On the server: tell phones of the next key as they sign in
    Announce {
        /// What `next-key sign` printed, in quotes
        text: String,
    },
    /// On the server, when phones have been told: put the next key in place of the present one
    Use,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Make every forbidden attempt in a process confined like the gateway; code 0 only if all are denied
    #[arg(long, required = true)]
    pub confinement: bool,
    /// Make this one attempt in this process
    #[arg(long, hide = true)]
    pub attempt: Option<Attempt>,
}

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Where to write it
    pub file: PathBuf,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// What `backup` wrote
    pub file: PathBuf,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// For development only: also take unencrypted SIP over TCP on this loopback address
    #[arg(long, value_name = "IP:PORT")]
    pub insecure_loopback_signalling: Option<SocketAddr>,
    /// Start also where the system cannot confine the gateway; a warning says what is lost
    #[arg(long)]
    pub allow_unconfined: bool,
}

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
    sentence + ": see `undertone-gateway --help`"
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_option_is_explained() {
        let mut command = Arguments::command();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        assert!(help.contains("init") && help.contains("user") && help.contains("serve") && help.contains("pin"));
        for sub in command.get_subcommands() {
            for argument in sub.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{} {}", sub.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn a_wrong_command_line_is_one_sentence() {
        for (arguments, said) in [
            (
                &["undertone-gateway", "--bogus"][..],
                "unexpected argument '--bogus' found: see `undertone-gateway --help`",
            ),
            (
                &["undertone-gateway", "user", "add"],
                "the following required arguments were not provided: <NAME>: see `undertone-gateway --help`",
            ),
        ] {
            let error = Arguments::try_parse_from(arguments).map(|_| ()).expect_err("wrong");
            assert_eq!(one_sentence(&error.to_string()), said);
        }
    }
}
