//! `undertone join LINK`: the whole setup of an account, with nothing to choose and nothing to remember.
//!
//! ```text
//!   link read, not expired, no account here yet ▶ identity of the link opened with its code
//!     ▶ device key on the disk ▶ gateway accepts it ▶ identity kept ▶ key and phone.toml in place ▶ contact added
//! ```
//! A join that the gateway refuses leaves the profile as it was; one that breaks off goes on with the same link.

use std::fs::File;
use std::io::{BufReader, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use undertone_config::{ContactLink, Credential, JoinLink, Link, OperatorKey, PhoneConfig, PhonePaths, SoundConfig};
use undertone_sip::registration::JoinToken;
use zeroize::Zeroizing;

use super::arguments::{Arguments, Join};
use super::session::{random_instance, runtime};
use super::setup::paths;
use super::today::last_day;
use super::{Failure, link_argument, passphrase, say, warn};
use crate::core::contacts::ContactChange;
use crate::core::errand::Problem;
use crate::core::event::{Event, Trouble};
use crate::keeping::contacts_file::ContactsFile;
use crate::keeping::device_key::DEVICE_KEY_FILE;
use crate::keeping::error::KeptError;
use crate::keeping::identity_file::{KeptIdentity, exists, identity_path};
use crate::keeping::link_identity::{LinkCode, LinkIdentityError, Place, open_from};
use crate::keeping::pending_join::PendingJoin;
use crate::keeping::seal::Cost;
use crate::net::errand::{self, ErrandError, Order};
use crate::net::gateway_access::GatewayAccess;
use crate::net::tls::ConnectError;
use crate::net::trust::Trust;
use crate::ui::prompt::{ask_unseen, read_secret};

/// The identity that a link brings.
enum Brought {
    /// None: the phone makes its own, or has one.
    Nothing,
    /// One that this profile has already, from an earlier try.
    Known(KeptIdentity),
    /// One to be kept once the gateway has accepted this device.
    New(KeptIdentity),
}

/// Runs the command.
///
/// # Errors
/// When the link cannot be used, or the gateway does not accept it.
pub(super) fn run(arguments: &Arguments, wanted: &Join) -> Result<(), Failure> {
    if arguments.direct.is_some() {
        return Err(Failure::Argument("--direct needs no account: leave it out of `undertone join`".into()));
    }
    let paths = paths(arguments)?;
    let config_file = paths.config_file();
    if exists(&config_file) {
        return Err(KeptError::HasAccount { file: config_file }.into());
    }
    let link = read_link(arguments, wanted)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    refuse_expired(&link, now_s)?;
    let brought = brought_identity(arguments, wanted, &paths, &link)?;
    let pending = PendingJoin::begin(paths.folder(), &link.token)?;
    tell_connecting(arguments, &link);
    let access = match redeem(&link, &pending) {
        Ok(access) => access,
        Err(error) => return Err(not_joined(error, &link, pending)),
    };
    if let Brought::New(kept) = &brought {
        passphrase::keep_brought(arguments, &paths, kept)?;
    }
    pending.finish(&config(&link, &access), &config_file)?;
    let identity = own_identity(arguments, &paths, brought, &link);
    tell_joined(arguments, &paths, link, identity);
    Ok(())
}

fn read_link(arguments: &Arguments, wanted: &Join) -> Result<JoinLink, Failure> {
    let argument = wanted.link.as_deref().unwrap_or("-");
    if argument == "-" && passphrase::can_ask(arguments) {
        let mut out = std::io::stdout().lock();
        write!(out, "Paste the link: ").and_then(|()| out.flush()).map_err(Failure::Output)?;
    }
    match link_argument::text(argument)?.parse() {
        Ok(Link::Join(link)) => Ok(*link),
        Ok(Link::Contact(_)) => Err(Failure::Argument(
            "this link is for calling somebody, not for joining a gateway: add it with `undertone contact add`".into(),
        )),
        Err(why) => Err(Failure::Argument(why.to_string())),
    }
}

fn refuse_expired(link: &JoinLink, now_s: u64) -> Result<(), Failure> {
    if now_s < link.expires_s {
        return Ok(());
    }
    Err(Failure::Argument(format!(
        "this link was good until {}: ask for a new one (or, if that day is not over, check this machine's clock)",
        last_day(link.expires_s)
    )))
}

/// Opens the identity in the link before anything is sent, so that a wrong code costs nothing.
fn brought_identity(
    arguments: &Arguments,
    wanted: &Join,
    paths: &PhonePaths,
    link: &JoinLink,
) -> Result<Brought, Failure> {
    let Some(sealed) = &link.identity else { return Ok(Brought::Nothing) };
    let brought = opened_with_code(arguments, wanted, link, sealed)?;
    let file = identity_path(paths.folder());
    if exists(&file) {
        let kept = passphrase::opened(arguments, &file)?.kept;
        if kept.identity.public() == brought.identity.public() {
            return Ok(Brought::Known(kept));
        }
        return Err(Failure::Argument(format!(
            "{} holds another identity than this link: use `--profile DIR` for this account",
            file.display()
        )));
    }
    ContactsFile::check(paths.folder(), &brought.contacts_key)?;
    passphrase::can_keep(arguments)?;
    Ok(Brought::New(brought))
}

fn opened_with_code(
    arguments: &Arguments,
    wanted: &Join,
    link: &JoinLink,
    sealed: &[u8],
) -> Result<KeptIdentity, Failure> {
    let place = Place::of(link);
    let open = |code: &LinkCode| open_from(sealed, &place, code, Cost::PRODUCTION);
    let refused = |why: LinkIdentityError| Failure::Argument(why.to_string());
    if let Some(path) = &wanted.code_file {
        let refuse = |why: &str| Failure::Argument(format!("--code-file {}: {why}: check the file", path.display()));
        let file = File::open(path).map_err(|error| refuse(&format!("cannot be read ({error})")))?;
        let text = read_secret(&mut BufReader::new(file)).map_err(|_| refuse("has no code in its first line"))?;
        let code = LinkCode::read(text.expose()).ok_or_else(|| refuse("has no code in its first line"))?;
        return open(&code).map_err(refused);
    }
    if !passphrase::can_ask(arguments) {
        return Err(Failure::NobodyToAsk("--code-file"));
    }
    loop {
        let question = "The code that your other device shows (not shown here):";
        let text = passphrase::with_terminal(|input, out| ask_unseen(question, input, out))?;
        match LinkCode::read(text.expose()).as_ref().map(open) {
            Some(Ok(kept)) => return Ok(kept),
            Some(Err(LinkIdentityError::WrongCode)) => say(&LinkIdentityError::WrongCode.to_string()),
            Some(Err(why)) => return Err(refused(why)),
            None => say("A code has 16 letters and digits, such as ABCD EFGH IJKL 2345."),
        }
    }
}

fn redeem(link: &JoinLink, pending: &PendingJoin) -> Result<GatewayAccess, ErrandError> {
    let mut access = GatewayAccess {
        gateway: link.gateway.clone(),
        trust: Trust::Pin(link.pin.into()),
        device: Some(Arc::clone(pending.key())),
        operator: Some(OperatorKey::from_bytes(link.operator)),
        announced: None,
        config_file: None,
    };
    let order = Order {
        address: link.address.clone(),
        instance: random_instance(),
        invite: JoinToken::new(Zeroizing::new(URL_SAFE_NO_PAD.encode(link.token.expose()))),
        question: None,
    };
    let no_runtime = |_| ErrandError::Problem(Problem::Lost);
    runtime().map_err(no_runtime)?.block_on(errand::run(&mut access, order))?;
    Ok(access)
}

/// What the person is told, and what becomes of the device key: it stays only if the gateway may have accepted it.
fn not_joined(error: ErrandError, link: &JoinLink, pending: PendingJoin) -> Failure {
    match error {
        ErrandError::Connect(ConnectError::WrongPin) => {
            pending.leave();
            Failure::Refused(format!(
                "the gateway at {} has another key than this link says: someone may be in between, or the link is old; \
                 do not go on before you have asked whoever gave you the link",
                link.gateway
            ))
        }
        ErrandError::Connect(error) => {
            pending.leave();
            error.into()
        }
        ErrandError::Problem(Problem::Refused(
            Trouble::InviteUsed
            | Trouble::InviteExpired
            | Trouble::InviteUnknown
            | Trouble::TooManyDevices
            | Trouble::DeviceNotAllowed,
        )) => {
            pending.give_up();
            error.into()
        }
        // Anything else may have been said after the token was spent for this key.
        ErrandError::Problem(
            Problem::Refused(_)
            | Problem::Declined { .. }
            | Problem::NoSuchDevice
            | Problem::Lost
            | Problem::NotNow
            | Problem::Unreadable,
        )
        | ErrandError::NotKept(_) => error.into(),
    }
}

fn config(link: &JoinLink, access: &GatewayAccess) -> PhoneConfig {
    PhoneConfig {
        address: link.address.clone(),
        credential: Credential::DeviceKey(DEVICE_KEY_FILE.to_owned()),
        gateway: link.gateway.clone(),
        pin: Some(link.pin),
        operator: Some(OperatorKey::from_bytes(link.operator)),
        next: access.announced,
        sound: SoundConfig::default(),
        hide_from: false,
    }
}

/// The identity of this device from here on. The account is there already, so what fails is a warning.
fn own_identity(arguments: &Arguments, paths: &PhonePaths, brought: Brought, link: &JoinLink) -> Option<KeptIdentity> {
    let file = identity_path(paths.folder());
    let question = "Choose a passphrase for your identity, by which contacts know you (not shown; empty: keep none):";
    let kept = match brought {
        Brought::Known(kept) | Brought::New(kept) => return Some(kept),
        // One that exists is opened only if it is needed.
        Brought::Nothing if exists(&file) && link.contact.is_none() => return None,
        Brought::Nothing if exists(&file) => passphrase::opened(arguments, &file).map(|opened| Some(opened.kept)),
        Brought::Nothing => passphrase::made(arguments, paths, question),
    };
    kept.unwrap_or_else(|why| {
        warn(arguments.json, &why.sentence());
        None
    })
}

fn tell_connecting(arguments: &Arguments, link: &JoinLink) {
    if arguments.json {
        say(&json!({ "event": "connecting", "gateway": link.gateway.to_string() }).to_string());
    } else {
        say(&format!("Connecting to the gateway {} …", link.gateway));
    }
}

fn tell_joined(arguments: &Arguments, paths: &PhonePaths, link: JoinLink, identity: Option<KeptIdentity>) {
    let has_identity = exists(&identity_path(paths.folder()));
    let key_code = identity.as_ref().map(|kept| kept.identity.public().key_code());
    let own_address = link.address.to_string();
    let contact = link.contact.and_then(|contact| add_contact(arguments, paths, contact, identity));
    let ready = Event::Ready { address: own_address.clone() }.sentence();
    if arguments.json {
        let joined = json!({
            "event": "joined", "address": own_address, "file": paths.config_file(), "key_code": key_code,
            "contact": contact, "sentence": ready,
        });
        say(&joined.to_string());
        return;
    }
    if let Some(code) = key_code {
        say(&format!("Your key code: {code}"));
    }
    if !has_identity {
        say("No identity is kept: make one with `undertone identity create`, so that contacts can know you by it.");
    }
    if let Some(contact) = contact {
        say(&format!("Added to your contacts: {contact}"));
    }
    say(&format!(
        "Saved in {}. Next: `undertone listen`, or `undertone call NAME@GATEWAY`.",
        paths.config_file().display()
    ));
    say(&ready);
}

/// Adds the person in the link; who it was. What cannot be added is given back, so that nothing is lost.
fn add_contact(
    arguments: &Arguments,
    paths: &PhonePaths,
    link: ContactLink,
    identity: Option<KeptIdentity>,
) -> Option<String> {
    let (address, text) = (link.address.to_string(), link.to_text());
    let added = match identity {
        None => {
            Err("there is no identity to protect contacts with: make one with `undertone identity create`".to_owned())
        }
        Some(kept) => ContactsFile::open(paths.folder(), kept.contacts_key).map_err(|why| why.to_string()).and_then(
            |(mut file, _)| {
                let change = ContactChange::AddLink { link, name: String::new() };
                file.change(change).map(|_| ()).map_err(|why| why.to_string())
            },
        ),
    };
    match added {
        Ok(()) => Some(address),
        Err(why) => {
            let text = text.as_str();
            warn(arguments.json, &format!("{address} was not added ({why}); then `undertone contact add` with {text}"));
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use undertone_config::{LinkToken, Pin};

    use super::*;

    #[test]
    fn an_expired_link_is_refused_with_its_day_before_anything_is_sent() {
        let link = link();
        assert!(refuse_expired(&link, link.expires_s - 1).is_ok());
        let refused = refuse_expired(&link, link.expires_s).unwrap_err().to_string();
        assert!(refused.contains("until 2027-01-15") && refused.contains("ask for a new one"), "{refused}");
    }

    #[test]
    fn only_an_answer_that_may_have_been_yes_keeps_the_device_key() {
        for (error, stays) in [
            (ErrandError::Problem(Problem::Lost), true),
            (ErrandError::Problem(Problem::NotNow), true),
            (ErrandError::Problem(Problem::Refused(Trouble::TooManyPhones)), true),
            (ErrandError::Problem(Problem::Refused(Trouble::GatewayRefused)), true),
            (ErrandError::Problem(Problem::Refused(Trouble::InviteUsed)), false),
            (ErrandError::Problem(Problem::Refused(Trouble::DeviceNotAllowed)), false),
            (ErrandError::Connect(ConnectError::WrongPin), false),
            (ErrandError::Connect(ConnectError::CertificateExpired), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let pending = PendingJoin::begin(folder.path(), &LinkToken::new([9; 32])).unwrap();
            let words = not_joined(error, &link(), pending).to_string();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), usize::from(stays), "{words}");
        }
    }

    #[test]
    fn a_gateway_with_another_key_than_the_link_says_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pending = PendingJoin::begin(folder.path(), &LinkToken::new([9; 32])).unwrap();
        let error = ErrandError::Connect(ConnectError::WrongPin);
        let words = not_joined(error, &link(), pending).to_string();
        assert!(words.contains("gw.example:5061") && words.contains("another key than this link"), "{words}");
    }

    fn link() -> JoinLink {
        JoinLink {
            address: "alice@gw.example".parse().unwrap(),
            gateway: "gw.example:5061".parse().unwrap(),
            pin: Pin::from_sha256([3; 32]),
            operator: [4; 32],
            expires_s: 1_800_000_000,
            token: LinkToken::new([9; 32]),
            contact: None,
            identity: None,
        }
    }
}
