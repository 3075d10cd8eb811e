//! `undertone-gateway invite`: one link that is the whole account setup of a phone.

use super::arguments::{Arguments, Invite};
use super::gateway_address::gateway_address;
use super::{Failure, config_file, load_config, operator_key, own_command, qr, say, today, wait_for_running_gateway};
use crate::core::accounts::AccountName;
use crate::core::{Day, TokenHash};
use crate::store::{MAX_OPEN_INVITES, Store};
use crate::tls;
use rand_core::{OsRng, TryRngCore};
use undertone_config::{AccountAddress, ContactLink, GatewayConfig, JoinLink, Link, LinkToken};
use zeroize::Zeroizing;

/// Runs the command.
pub(super) fn run(arguments: &Arguments, wanted: &Invite) -> Result<(), Failure> {
    let name = AccountName::parse(&wanted.name)?;
    let contact = wanted.contact.as_deref().map(contact).transpose()?;
    let config = load_config(arguments)?;
    let mut store = Store::open(&config.state_folder, &config.domain)?;
    if wanted.withdraw {
        withdraw(arguments, &mut store, &name)
    } else {
        add(arguments, wanted, &config, store, contact)
    }
}

fn contact(text: &str) -> Result<ContactLink, Failure> {
    let refuse = |why: String| Failure::Argument(format!("--contact: {why}"));
    match text.parse().map_err(|error: undertone_config::LinkError| refuse(error.to_string()))? {
        Link::Contact(contact) => Ok(contact),
        Link::Join(_) => Err(refuse("this is a link to join a gateway; give somebody's contact link".to_owned())),
    }
}

fn add(
    arguments: &Arguments,
    wanted: &Invite,
    config: &GatewayConfig,
    mut store: Store,
    contact: Option<ContactLink>,
) -> Result<(), Failure> {
    // What can go wrong goes wrong before anything is written.
    let name = AccountName::parse(&wanted.name)?;
    let pin = tls::read_pin(&config.certificate)?;
    let operator = store.succession()?.operator.ok_or_else(|| {
        Failure::Argument(format!(
            "this gateway has no operator key, which links carry; make one with `{}` first",
            own_command(arguments, "operator-key new")
        ))
    })?;
    let refuse = |error: &dyn std::fmt::Display| Failure::Argument(error.to_string());
    let gateway = match &wanted.gateway {
        Some(gateway) => gateway.clone(),
        None => gateway_address(config).parse().map_err(|error| refuse(&error))?,
    };
    let name_in_link = name.as_str().parse().map_err(|error| refuse(&error))?;
    let address = AccountAddress::new(name_in_link, config.domain.clone());
    let token = draw();
    let is_new = !store.has(&name)?;
    let over = store
        .invite_to_new(&name, &TokenHash::of(&token), wanted.days, today())?
        .map_err(|_| too_many(arguments, &name))?;
    let expires_s = over.start_unix_s();
    let operator = *operator.as_bytes();
    let link = JoinLink { address, gateway, pin, operator, expires_s, token, contact, identity: None };
    wait_for_running_gateway();
    print(arguments, wanted, &link, over, is_new)
}

fn draw() -> LinkToken {
    let mut octets = Zeroizing::new([0; 32]);
    rand_core::RngCore::fill_bytes(&mut OsRng.unwrap_err(), octets.as_mut());
    LinkToken::new(*octets)
}

fn too_many(arguments: &Arguments, name: &AccountName) -> Failure {
    let name = name.as_str();
    Failure::Argument(format!(
        "{MAX_OPEN_INVITES} invites to {name} are open, which is as many as may be; take them back with `{}`",
        own_command(arguments, &format!("invite {name} --withdraw"))
    ))
}

fn print(arguments: &Arguments, wanted: &Invite, link: &JoinLink, over: Day, is_new: bool) -> Result<(), Failure> {
    let text = link.to_text();
    if arguments.json {
        let line = serde_json::json!({
            "event": "invite",
            "link": *text,
            "address": link.address.to_string(),
            "gateway": link.gateway.to_string(),
            "pin": link.pin.to_string(),
            "expires": link.expires_s,
            "new_account": is_new,
        });
        return say(&Zeroizing::new(line.to_string()));
    }
    let code = if wanted.no_qr { None } else { qr::draw(&text) };
    let code = code.map_or(Zeroizing::new(String::new()), |code| Zeroizing::new(format!("{}\n\n", *code)));
    let whose = if is_new {
        format!("Account {} is made.", link.address)
    } else {
        format!("Account {} was there already: this link lets one more phone into it.", link.address)
    };
    let left = operator_key::left_on_server(&config_file(arguments));
    let reminder = left.map_or(String::new(), |file| {
        format!("\n\nThe operator's key still lies in {}. {}", file.display(), operator_key::KEEP_IT_AWAY)
    });
    let last_day = Day::from_number(over.number().saturating_sub(1));
    say(&Zeroizing::new(format!(
        "{}{whose} Its owner joins with one phone, once, until the end of {last_day} (UTC), by `undertone join`, which \
         asks for this link:\n\n  \
         {}\n\n\
         Send the link over a safe way: whoever uses it first has the account. Nobody else can use it then.{reminder}",
        *code, *text
    )))
}

fn withdraw(arguments: &Arguments, store: &mut Store, name: &AccountName) -> Result<(), Failure> {
    if !store.has(name)? {
        return Err(crate::store::StoreError::Unknown { name: name.as_str().to_owned() }.into());
    }
    let withdrawn = store.withdraw_invites(name, today())?;
    wait_for_running_gateway();
    if arguments.json {
        return say(&serde_json::json!({ "event": "withdrawn", "invites": withdrawn }).to_string());
    }
    match withdrawn {
        0 => say(&format!("No invite to {} was open.", name.as_str())),
        1 => say(&format!("One open invite to {} is taken back; its link opens nothing.", name.as_str())),
        more => say(&format!("{more} open invites to {} are taken back; their links open nothing.", name.as_str())),
    }
}
