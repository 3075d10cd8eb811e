//! What ends a command early; always one sentence and exit code 2.

use crate::confinement::ConfinementError;
use crate::core::accounts::AccountNameError;
use crate::net::ServeError;
use crate::store::StoreError;
use crate::tls::TlsError;
use std::io;
use std::path::PathBuf;
use undertone_config::ConfigError;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The gateway cannot run.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The gateway cannot be confined.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The doctor found a way out.
    #[error(
        "the gateway's confinement does not hold here: of the attempts {possible} were possible and {unclear} failed for another reason; use Linux 5.13 or newer with Landlock and seccomp, and report this as a defect if it is"
    )]
    Unconfined {
        /// Attempts that worked.
        possible: usize,
        /// Attempts that prove nothing.
        unclear: usize,
    },
    /// The doctor could not try.
    #[error("the confinement could not be tried ({0}); close some programs and try again")]
    Doctor(#[source] io::Error),
    /// The name given is none.
    #[error(transparent)]
    Name(#[from] AccountNameError),
    /// `init` never overwrites.
    #[error("{} is there already; move it away to start anew, or go on with `undertone-gateway invite NAME`", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// An argument cannot be used.
    #[error("{0}")]
    Argument(String),
    /// No key could be made.
    #[error("no certificate could be made for this domain ({0}); give one with --certificate and --private-key")]
    Certificate(#[from] rcgen::Error),
    /// Standard output is gone.
    #[error("writing to standard output failed ({0}); run the command again with somewhere to print to")]
    Output(#[source] io::Error),
}

impl Failure {
    /// The sentence, without the numbers the system adds to its own words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let text = self.to_string();
        let mut parts = text.split(" (os error ");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |said, part| said + part.split_once(')').map_or("", |(_, rest)| rest))
    }
}
