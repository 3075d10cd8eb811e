//! `undertone-gateway certificate renew`: a new certificate for the same key, so that the pin stays.

use super::arguments::{Arguments, CertificateTask};
use super::{Failure, load_config, own_command, say, self_signed};
use crate::tls;
use undertone_config::write_private;

/// Runs the command.
pub(super) fn run(arguments: &Arguments, task: &CertificateTask) -> Result<(), Failure> {
    let CertificateTask::Renew = task;
    let config = load_config(arguments)?;
    if !tls::is_self_signed(&config.certificate)? {
        return Err(Failure::Argument(format!(
            "{} was issued by a certificate authority; renew it there for the same key, so that phones still know this gateway",
            config.certificate.display()
        )));
    }
    let key = self_signed::read_key(&config.private_key)?;
    let pin = self_signed::pin_of(&key);
    write_private(&config.certificate, self_signed::certificate(&config.domain, &key)?.as_bytes())?;
    if arguments.json {
        let line = serde_json::json!({ "certificate": config.certificate, "pin": pin.to_string() });
        return say(&line.to_string());
    }
    say(&format!(
        "The certificate {} is renewed for the same key; the pin is still\n\n  {pin}\n\nStart the gateway again:\n\n  {}",
        config.certificate.display(),
        own_command(arguments, "serve")
    ))
}
