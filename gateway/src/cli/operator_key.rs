//! `undertone-gateway operator-key new`, and what `init` shares with it: the key that announces this gateway's next
//! key (Ed25519, PKCS #8, PEM; `openssl pkey` reads and makes it too).
//!
//! Only its public half stays on the server. So whoever takes the server over can pretend to be it for as long as he
//! holds it, but cannot lead phones to a key of his own for good.

use super::arguments::{Arguments, OperatorKeyTask};
use super::{Failure, config_file, load_config, own_command, say, wait_for_running_gateway};
use crate::store::Store;
use rcgen::{KeyPair, PKCS_ED25519};
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use undertone_config::{OperatorKey, write_private};
use zeroize::Zeroizing;

/// The file's name beside the configuration, unless told otherwise.
const DEFAULT_FILE: &str = "operator.key";

/// What is said of a new key, wherever it was made.
pub(super) const KEEP_IT_AWAY: &str = "Move it to another machine or a USB stick, keep a second copy, and leave none \
                                       on this server: phones believe it when this gateway's key is replaced.";

/// A new key and where it goes.
pub(super) struct NewOperatorKey {
    file: PathBuf,
    pem: Zeroizing<String>,
    public: OperatorKey,
}

impl NewOperatorKey {
    /// Draws a key for `wanted`, or for a file beside the configuration. Refuses a file that is there, or one among
    /// what the gateway itself can read and write.
    pub(super) fn draw(wanted: Option<&Path>, beside: &Path, state_folder: &Path) -> Result<Self, Failure> {
        let file = wanted.map_or_else(|| beside.with_file_name(DEFAULT_FILE), Path::to_owned);
        let file = std::path::absolute(&file)
            .map_err(|reason| Failure::Argument(format!("{}: {reason}; give a full path", file.display())))?;
        if is_inside(&file, state_folder) {
            return Err(Failure::Argument(format!(
                "{} is inside the gateway's state folder; choose a place for the operator's key that the gateway does not use",
                file.display()
            )));
        }
        if file.exists() {
            return Err(Failure::Argument(format!(
                "{} is there already and is not overwritten; choose another file for the operator's key",
                file.display()
            )));
        }
        if let Some(folder) = file.parent().filter(|folder| wanted.is_some() && !folder.is_dir()) {
            return Err(Failure::Argument(format!(
                "there is no folder {} for the operator's key; is the disk it is on connected? Make the folder, or choose another",
                folder.display()
            )));
        }
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let public = OperatorKey::from_bytes(
            key.public_key_raw().try_into().map_err(|_| rcgen::Error::KeyGenerationUnavailable)?,
        );
        Ok(Self { file, pem: Zeroizing::new(key.serialize_pem()), public })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn public(&self) -> &OperatorKey {
        &self.public
    }

    pub(super) fn pem(&self) -> &[u8] {
        self.pem.as_bytes()
    }
}

/// Whether the file is in the folder, whatever links and dots lead there.
fn is_inside(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = file.parent().map(real).unwrap_or_default();
    file.starts_with(folder) || beside.starts_with(real(folder))
}

/// The file, if the key still lies where `init` writes it unless told otherwise.
pub(super) fn left_on_server(beside: &Path) -> Option<PathBuf> {
    Some(beside.with_file_name(DEFAULT_FILE)).filter(|file| file.exists())
}

/// Reads the private half.
pub(super) fn read(file: &Path) -> Result<Ed25519KeyPair, Failure> {
    let refuse = |reason: &dyn std::fmt::Display| {
        Failure::Argument(format!(
            "cannot read the operator's key {} ({reason}); give the file that `undertone-gateway init` or `operator-key new` wrote",
            file.display()
        ))
    };
    let der = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|error| refuse(&error))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|error| refuse(&error))
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, task: &OperatorKeyTask) -> Result<(), Failure> {
    let OperatorKeyTask::New { out, replace } = task;
    let config = load_config(arguments)?;
    let mut store = Store::open(&config.state_folder, &config.domain)?;
    if store.succession()?.operator.is_some() && !replace {
        return Err(Failure::Argument(
            "this gateway has an operator key, and phones that have joined believe only that one; if it is lost, make \
             another for those that join from here on with --replace"
                .to_owned(),
        ));
    }
    let new = NewOperatorKey::draw(out.as_deref(), &config_file(arguments), &config.state_folder)?;
    write_private(new.file(), new.pem())?;
    if let Err(error) = store.set_operator(new.public()) {
        // A key that no gateway knows must not be taken for one; the store's error is the one worth reporting.
        let _ = std::fs::remove_file(new.file());
        return Err(error.into());
    }
    wait_for_running_gateway();
    if arguments.json {
        let line = serde_json::json!({ "operator_key": new.file(), "public": new.public().to_string() });
        return say(&line.to_string());
    }
    say(&format!(
        "The operator's key is written to {}. {KEEP_IT_AWAY}\n\nNext:\n\n  {}",
        new.file().display(),
        own_command(arguments, "invite NAME")
    ))
}
