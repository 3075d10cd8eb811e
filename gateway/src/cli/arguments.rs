//! The command line, as the operator types it.

use super::Failure;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use undertone_config::Domain;

/// Connects encrypted calls between phones without being able to hear them.
#[derive(Debug, Parser)]
#[command(
    name = "undertone-gateway",
    version,
    after_help = "First `undertone-gateway init --domain NAME --public-address IP`, then `undertone-gateway user add NAME`\n\
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
    /// Add, remove or list accounts, also while the gateway runs
    User {
        /// What to do.
        #[command(subcommand)]
        task: UserTask,
    },
    /// Print the pin by which phones know this gateway
    Pin,
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
    /// Your own certificate chain (PEM); without one a self-signed one is made, which phones check by its pin
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub certificate: Option<PathBuf>,
    /// The key of --certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub private_key: Option<PathBuf>,
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum UserTask {
    /// Add an account; prints its password once
    Add {
        /// The name, the part of the address before the @
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

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// For development only: also take unencrypted SIP over TCP on this loopback address
    #[arg(long, value_name = "IP:PORT")]
    pub insecure_loopback_signalling: Option<SocketAddr>,
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
