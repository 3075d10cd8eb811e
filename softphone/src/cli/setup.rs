//! `undertone setup`: account and gateway into the configuration, asked for at a terminal or given as options.
//!
//! Nothing is written before everything is known and, unless `--offline`, the gateway has accepted the account; the
//! file is replaced as a whole, readable by its owner only.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use undertone_config::{AccountAddress, Environment, HostPort, PhoneConfig, PhonePaths, Pin, Secret, SoundConfig};

use super::arguments::{Arguments, Setup, gateway_of};
use super::{Failure, passphrase, say};
use crate::keeping::identity_file::{exists, identity_path};
use crate::ui::prompt::{ask, ask_unseen, read_secret};
use crate::ui::terminal::is_interactive;

/// Where the questions go.
struct Person<'a, I, O> {
    /// `None` when nobody is there.
    terminal: Option<(&'a mut I, &'a mut O)>,
}

/// Runs the command.
///
/// # Errors
/// When something is missing, wrong, or refused by the gateway.
pub fn run(arguments: &Arguments, wanted: &Setup) -> Result<(), Failure> {
    if arguments.direct.is_some() {
        return Err(Failure::Argument("--direct is never saved: leave it out of `undertone setup`".into()));
    }
    let paths = paths(arguments)?;
    let file = paths.config_file();
    let mut input = io::stdin().lock();
    let mut out = io::stdout().lock();
    let asking = is_interactive() && !wanted.password_stdin;
    let stdin_password = if wanted.password_stdin { Some(password(&mut input, "standard input")?) } else { None };
    let person = Person { terminal: asking.then_some((&mut input, &mut out)) };
    let config = collect(wanted, stdin_password, configured_sound(arguments), person)?;
    // Set up again, the phone goes on to hide who calls.
    let config = PhoneConfig { hide_from: configured(arguments).is_some_and(|before| before.hide_from), ..config };
    drop((input, out));
    if !wanted.offline {
        super::session::check_account(&config)?;
    }
    config.save(&file)?;
    let key_code = made_identity(arguments, &paths)?;
    if arguments.json {
        let saved =
            serde_json::json!({ "event": "saved", "file": file, "checked": !wanted.offline, "key_code": key_code });
        say(&saved.to_string());
    } else {
        if let Some(code) = key_code {
            say(&format!("Your key code: {code}"));
        }
        say(&format!("Saved in {}. Next: `undertone listen`, or `undertone call NAME@GATEWAY`.", file.display()));
    }
    Ok(())
}

/// Makes the identity if there is none, and a keystore or a passphrase for it; its key code. One that exists is left alone.
fn made_identity(arguments: &Arguments, paths: &PhonePaths) -> Result<Option<String>, Failure> {
    if exists(&identity_path(paths.folder())) {
        return Ok(None);
    }
    let question = "Choose a passphrase for your identity, by which contacts know you (not shown; empty: keep none):";
    let made = match passphrase::made(arguments, paths, question) {
        // The account is saved already; the phone says that it keeps no identity.
        Err(Failure::Keystore(_)) => None,
        made_or_failed => made_or_failed?,
    };
    Ok(made.map(|kept| kept.identity.public().key_code()))
}

/// The folder of this phone's files.
pub(super) fn paths(arguments: &Arguments) -> Result<PhonePaths, Failure> {
    Ok(PhonePaths::new(arguments.profile.as_deref(), &Environment::of_this_process())?)
}

/// The sound devices of the configuration; a missing or broken one has none, and is reported where it is needed.
pub(super) fn configured_sound(arguments: &Arguments) -> SoundConfig {
    configured(arguments).map(|config| config.sound).unwrap_or_default()
}

fn configured(arguments: &Arguments) -> Option<PhoneConfig> {
    PhoneConfig::load(&paths(arguments).ok()?.config_file()).ok()
}

fn collect<I: BufRead, O: Write>(
    wanted: &Setup,
    stdin_password: Option<Secret>,
    sound: SoundConfig,
    mut person: Person<'_, I, O>,
) -> Result<PhoneConfig, Failure> {
    let address: AccountAddress = match &wanted.address {
        Some(text) => parse("--address", text)?,
        None => person.ask("--address", "Your address (NAME@GATEWAY):", str::parse)?,
    };
    let default_gateway = gateway_of(address.domain().as_str())?;
    let gateway: HostPort = match &wanted.gateway {
        Some(text) => parse("--gateway", text)?,
        None if person.terminal.is_none() => default_gateway,
        None => {
            let question = format!("Where the gateway listens [{default_gateway}]:");
            let fallback = default_gateway.clone();
            person.ask(
                "--gateway",
                &question,
                move |text| {
                    if text.is_empty() { Ok(fallback.clone()) } else { text.parse() }
                },
            )?
        }
    };
    let pin: Option<Pin> = match &wanted.pin {
        Some(text) => Some(parse("--pin", text)?),
        None if person.terminal.is_none() => None,
        None => person.ask("--pin", "The gateway's pin (empty: its certificate is publicly trusted):", |text| {
            if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
        })?,
    };
    let password = match (stdin_password, &wanted.password_file) {
        (Some(password), _) => password,
        (None, Some(path)) => {
            let unreadable = |error: io::Error| {
                Failure::Argument(format!(
                    "--password-file {}: cannot be read ({error}): check the file",
                    path.display()
                ))
            };
            password(&mut BufReader::new(File::open(path).map_err(unreadable)?), &path.display().to_string())?
        }
        (None, None) => person.password()?,
    };
    Ok(PhoneConfig { address, password, gateway, pin, sound, hide_from: false })
}

impl<I: BufRead, O: Write> Person<'_, I, O> {
    fn ask<T, E: std::fmt::Display>(
        &mut self,
        option: &'static str,
        question: &str,
        check: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        let (input, out) = self.terminal.as_mut().ok_or(Failure::NobodyToAsk(option))?;
        ask(question, *input, *out, check).map_err(Failure::Output)
    }

    fn password(&mut self) -> Result<Secret, Failure> {
        let (input, out) = self.terminal.as_mut().ok_or(Failure::NobodyToAsk("--password-stdin"))?;
        ask_unseen("Your password (not shown):", *input, *out).map_err(Failure::Output)
    }
}

fn parse<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Failure::Argument(format!("{option}: {error}")))
}

fn password(input: &mut impl BufRead, from: &str) -> Result<Secret, Failure> {
    let empty = || Failure::Argument(format!("the password from {from} is empty: give it as its first line"));
    let password = read_secret(input).map_err(|_| empty())?;
    if password.expose().is_empty() { Err(empty()) } else { Ok(password) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PIN: &str = "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_script_gives_everything_as_options() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\n").unwrap();
        let wanted = Setup {
            address: Some("alice@gw.example".into()),
            gateway: Some("127.0.0.1:7061".into()),
            pin: Some(PIN.into()),
            password_file: Some(file),
            ..Setup::default()
        };
        let config = collect(&wanted, None, SoundConfig::default(), nobody()).unwrap();
        assert_eq!(config.address.to_string(), "alice@gw.example");
        assert_eq!(config.gateway.to_string(), "127.0.0.1:7061");
        assert_eq!(config.password.expose(), "secret");
        assert!(config.pin.is_some());
    }

    #[test]
    fn the_gateway_defaults_to_the_domain_of_the_address() {
        let wanted = Setup { address: Some("alice@gw.example".into()), ..Setup::default() };
        let config = collect(&wanted, Some(Secret::new("x".into())), SoundConfig::default(), nobody()).unwrap();
        assert_eq!(config.gateway.to_string(), "gw.example:5061");
        assert!(config.pin.is_none());
    }

    #[test]
    fn what_a_script_leaves_out_or_spells_wrong_is_named() {
        let refused = |wanted: &Setup| collect(wanted, None, SoundConfig::default(), nobody()).unwrap_err().to_string();
        assert!(refused(&Setup::default()).contains("--address"));
        let no_password = Setup { address: Some("alice@gw.example".into()), ..Setup::default() };
        assert!(refused(&no_password).contains("--password-stdin"));
        for (wanted, option) in [
            (Setup { address: Some("alice".into()), ..Setup::default() }, "--address"),
            (
                Setup { gateway: Some("x:y".into()), address: Some("a@b.example".into()), ..Setup::default() },
                "--gateway",
            ),
            (
                Setup { pin: Some("sha256:short".into()), address: Some("a@b.example".into()), ..Setup::default() },
                "--pin",
            ),
        ] {
            assert!(refused(&wanted).contains(option), "{option}");
        }
    }

    #[test]
    fn a_person_is_asked_for_the_rest_and_again_after_a_mistake() {
        let mut input = "alice\nalice@gw.example\n\n\nsecret\n".as_bytes();
        let mut out = Vec::new();
        let person = Person { terminal: Some((&mut input, &mut out)) };
        let config = collect(&Setup::default(), None, SoundConfig::default(), person).unwrap();
        assert_eq!(config.gateway.to_string(), "gw.example:5061");
        assert_eq!(config.password.expose(), "secret");
        let asked = String::from_utf8(out).unwrap();
        assert!(asked.contains("[gw.example:5061]") && !asked.contains("secret"), "{asked}");
        assert_eq!(asked.matches("Your address").count(), 2);
    }

    fn nobody() -> Person<'static, &'static [u8], Vec<u8>> {
        Person { terminal: None }
    }
}
