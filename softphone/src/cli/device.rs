//! `undertone device`: lets further devices of the same person in, lists them, shuts one out.
//!
//! Each command connects by itself for one question, whether or not a phone of this profile is running.

use std::fmt::Write as _;

use rand_core::{OsRng, TryRngCore};
use serde::Serialize;
use serde_json::json;
use undertone_config::{AccountAddress, Credential, JoinLink, PhoneConfig};
use zeroize::Zeroizing;

use super::arguments::{Arguments, DeviceTask};
use super::identity::agreed;
use super::session::{random_instance, runtime};
use super::setup::paths;
use super::today::last_day;
use super::{Failure, code, passphrase, say, warn};
use crate::core::device_hash::DeviceHash;
use crate::core::devices::{Device, DeviceAnswer, DeviceInvite, DeviceQuestion};
use crate::core::errand::Problem;
use crate::keeping::identity_file::{KeptIdentity, exists, identity_path};
use crate::keeping::link_identity::{LinkCode, Place, seal_for};
use crate::keeping::seal::Cost;
use crate::net::errand::{self, Order};
use crate::net::gateway_access::GatewayAccess;
use crate::net::trust::Trust;

/// Said where an identity is handed on.
const CODE_MEANING: &str = "Then it asks for this code. Tell it in another way than the link, best by showing it: whoever \
     has both can pose as you.";
/// Said where there is none.
const NO_IDENTITY: &str = "this device keeps no identity, so the other one will have a key of its own, and your contacts \
     cannot tell that both are yours: make one with `undertone identity create` first";

/// A link for programs. Written at once, without a copy of its secrets.
#[derive(Serialize)]
struct InviteLine<'a> {
    event: &'static str,
    link: &'a str,
    code: Option<&'a str>,
    expires: String,
}

/// The account of this profile, and the way to its gateway.
struct Desk {
    address: AccountAddress,
    access: GatewayAccess,
}

/// Runs the command.
///
/// # Errors
/// When this device has not joined, or the gateway does not do what is asked.
pub(super) fn run(arguments: &Arguments, task: &DeviceTask) -> Result<(), Failure> {
    let mut desk = Desk::open(arguments)?;
    match task {
        DeviceTask::Add { no_qr } => add(arguments, &mut desk, *no_qr),
        DeviceTask::List => {
            let devices = desk.list()?;
            devices.iter().for_each(|device| tell_device(arguments, device));
            Ok(())
        }
        DeviceTask::Revoke { device, yes } => revoke(arguments, &mut desk, device, *yes),
    }
}

impl Desk {
    fn open(arguments: &Arguments) -> Result<Self, Failure> {
        if arguments.direct.is_some() {
            return Err(Failure::Argument("--direct has no gateway to ask: leave it out".into()));
        }
        let file = paths(arguments)?.config_file();
        let config = PhoneConfig::load(&file)?;
        if matches!(config.credential, Credential::Password(_)) {
            return Err(Failure::Argument(format!(
                "{} signs in by password, and only devices that joined by a link can manage devices: ask your \
                 gateway's operator for an invite",
                config.address
            )));
        }
        let access = GatewayAccess::configured(&config, &file)?;
        Ok(Self { address: config.address, access })
    }

    fn ask(&mut self, question: DeviceQuestion) -> Result<DeviceAnswer, Failure> {
        let order = Order {
            address: self.address.clone(),
            instance: random_instance(),
            invite: None,
            question: Some(question),
        };
        let answer = runtime()?.block_on(errand::run(&mut self.access, order))?;
        answer.ok_or_else(unreadable)
    }

    fn list(&mut self) -> Result<Vec<Device>, Failure> {
        match self.ask(DeviceQuestion::List)? {
            DeviceAnswer::Devices(devices) => Ok(devices),
            DeviceAnswer::Invite(_) | DeviceAnswer::Revoked => Err(unreadable()),
        }
    }
}

fn add(arguments: &Arguments, desk: &mut Desk, no_qr: bool) -> Result<(), Failure> {
    let file = identity_path(paths(arguments)?.folder());
    // First, so that a wrong passphrase makes no invite.
    let kept = if exists(&file) { Some(passphrase::opened(arguments, &file)?.kept) } else { None };
    let DeviceAnswer::Invite(invite) = desk.ask(DeviceQuestion::Add)? else { return Err(unreadable()) };
    let mut link = bare_link(desk, invite)?;
    let code = kept.map(|kept| seal_into(&mut link, &kept)).transpose()?;
    if code.is_none() {
        warn(arguments.json, NO_IDENTITY);
    }
    tell_invite(arguments, &link, code.as_ref(), no_qr);
    Ok(())
}

/// The link to this account. What a new device will trust comes from this device's own configuration: the gateway could
/// name an operator of its own making.
fn bare_link(desk: &Desk, invite: DeviceInvite) -> Result<JoinLink, Failure> {
    let Trust::Pin(pinned) = &desk.access.trust else {
        return Err(Failure::Argument(
            "phone.toml names no pin for the gateway, which a link needs: ask the operator for an invite instead"
                .into(),
        ));
    };
    let operator = desk.access.operator.unwrap_or(invite.operator);
    if operator != invite.operator {
        return Err(Failure::Refused(
            "the gateway names another operator's key than the one this device got when it joined: someone may have \
             taken the gateway over; ask its operator before you let a device in"
                .into(),
        ));
    }
    Ok(JoinLink {
        address: desk.address.clone(),
        gateway: desk.access.gateway.clone(),
        pin: pinned.pin,
        operator: *operator.as_bytes(),
        expires_s: invite.expires_s,
        token: invite.token,
        contact: None,
        identity: None,
    })
}

fn seal_into(link: &mut JoinLink, kept: &KeptIdentity) -> Result<LinkCode, Failure> {
    let mut rng = OsRng.unwrap_err();
    let code = LinkCode::draw(&mut rng);
    let sealed = seal_for(kept, &Place::of(link), &code, Cost::PRODUCTION, &mut rng);
    link.identity = Some(sealed.map_err(|why| Failure::Refused(why.to_string()))?);
    Ok(code)
}

fn tell_invite(arguments: &Arguments, link: &JoinLink, code: Option<&LinkCode>, no_qr: bool) {
    let (text, expires, shown) = (link.to_text(), last_day(link.expires_s).to_string(), code.map(LinkCode::shown));
    if arguments.json {
        let shown = shown.as_ref().map(|shown| shown.as_str());
        let line = InviteLine { event: "device_invite", link: text.as_str(), code: shown, expires };
        let written = serde_json::to_string(&line).map(Zeroizing::new);
        say(&written.unwrap_or_default());
        return;
    }
    say(&format!(
        "On the other device run `undertone join` and paste this link, good for one device until {expires}:\n"
    ));
    say(text.as_str());
    if !no_qr {
        code::draw(&text);
    }
    if let Some(shown) = shown {
        say(&format!("\n{CODE_MEANING}\n\n    {}\n", shown.as_str()));
    }
}

fn revoke(arguments: &Arguments, desk: &mut Desk, prefix: &str, yes: bool) -> Result<(), Failure> {
    let device = meant(&desk.list()?, prefix)?;
    let consequence = if device.is_this {
        "This is the device you are using: it can make and take no calls any more, until it joins again with a new link."
    } else {
        "That device can make and take no calls any more, until it joins again with a new link."
    };
    if !yes {
        if !passphrase::can_ask(arguments) {
            return Err(Failure::Argument(format!("{consequence} Nothing was changed: add --yes to do it")));
        }
        say(&format!("{}\n{consequence}", line(&device)));
        if !agreed("REVOKE")? {
            say("Nothing was changed.");
            return Ok(());
        }
    }
    let DeviceAnswer::Revoked = desk.ask(DeviceQuestion::Revoke(device.hash))? else { return Err(unreadable()) };
    if arguments.json {
        say(&json!({ "event": "device_revoked", "device": device.hash.to_string(), "this": device.is_this })
            .to_string());
    } else if device.is_this {
        say("Revoked: this device is let in no more. Its files stay until you delete them.");
    } else {
        say(
            "Revoked: its calls have ended and it is let in no more. Links to this account that nobody has used yet open \
             nothing any more. If it was lost or stolen, also look whether `undertone device list` shows only devices of \
             yours, and make a new identity with `undertone identity reset`, because the old one may be on it.",
        );
    }
    Ok(())
}

/// The one device whose name starts so.
fn meant(devices: &[Device], prefix: &str) -> Result<Device, Failure> {
    let prefix = prefix.trim().to_ascii_lowercase();
    let mut found = devices.iter().filter(|device| device.hash.to_string().starts_with(&prefix));
    match (prefix.is_empty(), found.next(), found.next()) {
        (false, Some(device), None) => Ok(*device),
        (false, None, _) => Err(Failure::Refused(Problem::NoSuchDevice.to_string())),
        (true, _, _) | (false, Some(_), Some(_)) => Err(Failure::Argument(
            "several devices have names that start so: give more characters, as `undertone device list` shows them"
                .into(),
        )),
    }
}

fn tell_device(arguments: &Arguments, device: &Device) {
    if arguments.json {
        let Device { hash, added, is_this } = device;
        let line =
            json!({ "event": "device", "device": hash.to_string(), "added": added.to_string(), "this": is_this });
        say(&line.to_string());
    } else {
        say(&line(device));
    }
}

fn line(device: &Device) -> String {
    let mut line = format!("{}  joined {}", short(device.hash), device.added);
    if device.is_this {
        // Writing to a text cannot fail.
        let _ = write!(line, "  (this device)");
    }
    line
}

/// Enough of a name to tell a person's devices apart.
fn short(hash: DeviceHash) -> String {
    hash.to_string().chars().take(12).collect()
}

fn unreadable() -> Failure {
    Failure::Refused(Problem::Unreadable.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use undertone_config::{LinkToken, OperatorKey, Pin};

    use super::*;

    #[test]
    fn a_device_is_meant_by_the_start_of_its_name_if_only_one_has_it() {
        let devices = [device("ab", true), device("ac", false)];
        assert_eq!(meant(&devices, "AC ").unwrap(), devices[1]);
        for (prefix, words) in [("a", "several devices"), ("", "several devices"), ("b", "no such device")] {
            let refused = meant(&devices, prefix).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_device_is_shown_with_its_day_and_this_one_is_marked() {
        assert_eq!(line(&device("ab", true)), "abababababab  joined 2026-11-25  (this device)");
        assert_eq!(line(&device("ab", false)), "abababababab  joined 2026-11-25");
    }

    #[test]
    fn a_gateway_that_names_another_operator_gets_no_link() {
        let own = OperatorKey::from_bytes([4; 32]);
        let made = bare_link(&desk(Some(own)), invite(own)).unwrap();
        assert_eq!((made.operator, made.expires_s), ([4; 32], 1_800_000_000));
        let refused = bare_link(&desk(Some(own)), invite(OperatorKey::from_bytes([5; 32]))).unwrap_err().to_string();
        assert!(refused.contains("another operator's key"), "{refused}");
    }

    fn desk(operator: Option<OperatorKey>) -> Desk {
        let access = GatewayAccess {
            gateway: "gw.example:5061".parse().unwrap(),
            trust: Trust::Pin(Pin::from_sha256([3; 32]).into()),
            device: None,
            operator,
            announced: None,
            config_file: None,
        };
        Desk { address: "alice@gw.example".parse().unwrap(), access }
    }

    fn invite(operator: OperatorKey) -> DeviceInvite {
        DeviceInvite { token: LinkToken::new([9; 32]), expires_s: 1_800_000_000, operator }
    }

    fn device(octet: &str, is_this: bool) -> Device {
        let DeviceAnswer::Devices(devices) = DeviceQuestion::List
            .read(format!("{} 2026-11-25 {}\r\n", octet.repeat(32), if is_this { "this" } else { "other" }).as_bytes())
            .unwrap()
        else {
            panic!("no list")
        };
        devices[0]
    }
}
