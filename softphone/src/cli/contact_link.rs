//! `undertone contact link`, `links` and `withdraw`: the links by which others become known to this phone.

use std::io::{self, Write};

use rand_core::{OsRng, RngCore, TryRngCore};
use serde::Serialize;
use serde_json::json;
use time::{Date, Duration};
use undertone_config::{ContactLink, LinkToken};
use zeroize::Zeroizing;

use super::arguments::Arguments;
use super::code;
use super::contact::{Book, refused};
use super::contact_arguments::MakeLink;
use super::today::today;
use super::{Failure, say};
use crate::core::contacts::{ContactChange, ContactError, Contacts, LINK_LIFE_DAYS, LinkId, OpenLink};
use crate::core::event::clean;
use crate::keeping::contacts_file::ChangeError;

/// Links are numbered with six digits, drawn: short to type, and two windows do not take the same one.
const NUMBERS: std::ops::Range<u32> = 100_000..1_000_000;

/// A link for programs. Written at once, without a copy of its secret.
#[derive(Serialize)]
struct LinkLine<'a> {
    event: &'static str,
    link: &'a str,
    public: bool,
    name: Option<&'a str>,
    number: Option<u64>,
    expires: Option<String>,
}

/// Makes a link, or closes the public one.
pub(super) fn make(arguments: &Arguments, book: &mut Book, wanted: &MakeLink) -> Result<(), Failure> {
    if wanted.close {
        return close(arguments, book);
    }
    let own = book.own_address.clone();
    let address = own.ok_or_else(|| refused("a link needs your address: run `undertone setup` first"))?;
    let key = *book.own_key.as_bytes();
    let Some(name) = &wanted.name else {
        book.change(ContactChange::PublicLink(true))?;
        let link = ContactLink { address, key, token: None }.to_text();
        let line = LinkLine {
            event: "contact_link",
            link: link.as_str(),
            public: true,
            name: None,
            number: None,
            expires: None,
        };
        let meaning = "Your public link, open until you close it with `--public --close`: whoever has it may ring and \
             knows that it is you who answers; you do not know who they are.";
        return tell(arguments, wanted, &line, meaning);
    };
    let name = Some(clean(name)).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| refused("the name is empty: say whom the link is for"))?;
    let mut token = Zeroizing::new([0; 32]);
    OsRng.unwrap_err().fill_bytes(token.as_mut());
    let (id, made) = (draw_number(&book.contacts), today());
    let link = ContactLink { address, key, token: Some(LinkToken::new(*token)) }.to_text();
    let open = OpenLink { id, token: LinkToken::new(*token), name: name.clone(), made, used_by: None };
    book.change(ContactChange::GiveOut(open))?;
    let expires = last_day(made);
    let line = LinkLine {
        event: "contact_link",
        link: link.as_str(),
        public: false,
        name: Some(&name),
        number: Some(id.0),
        expires: Some(expires.to_string()),
    };
    let meaning = format!(
        "Link {} for {name}, good for one phone until {expires}: give it to nobody else, because the first phone that \
         calls with it is taken for {name}.",
        id.0
    );
    tell(arguments, wanted, &line, &meaning)
}

/// Lists the links that were given out.
pub(super) fn list(arguments: &Arguments, contacts: &Contacts) {
    let today = today();
    if arguments.json {
        let links: Vec<_> = contacts.links().iter().map(|link| described(contacts, link, today)).collect();
        say(&json!({ "event": "links", "links": links, "public_link": contacts.has_public_link() }).to_string());
        return;
    }
    if contacts.has_public_link() {
        say("Your public link is open: `undertone contact link --public` shows it.");
    }
    if contacts.links().is_empty() {
        say("No links: `undertone contact link NAME` makes one.");
    }
    for link in contacts.links() {
        let user = user(contacts, link).map(|user| format!(" by {user}")).unwrap_or_default();
        let (name, state) = (clean(&link.name), state(link, today));
        say(&format!("{} for {name}: {state}{user}, made {}, until {}", link.id.0, link.made, last_day(link.made)));
    }
}

/// Makes one link worthless.
pub(super) fn withdraw(arguments: &Arguments, book: &mut Book, which: &str) -> Result<(), Failure> {
    let id = found(&book.contacts, which)?;
    book.change(ContactChange::Withdraw(id))?;
    if arguments.json {
        say(&json!({ "event": "link_withdrawn", "number": id.0 }).to_string());
    } else {
        say(&format!("Withdrawn: link {} lets nobody ring any more. Whoever used it before stays your contact.", id.0));
    }
    Ok(())
}

fn close(arguments: &Arguments, book: &mut Book) -> Result<(), Failure> {
    book.change(ContactChange::PublicLink(false))?;
    if arguments.json {
        say(&json!({ "event": "public_link", "open": false }).to_string());
    } else {
        say("Closed: who has only your public link may not ring any more.");
    }
    Ok(())
}

fn tell(arguments: &Arguments, wanted: &MakeLink, line: &LinkLine<'_>, meaning: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, line).map_err(|why| Failure::Output(why.into()))?;
        return writeln!(out).map_err(Failure::Output);
    }
    drop(out);
    if !wanted.no_qr {
        code::draw(line.link);
    }
    say(meaning);
    say(line.link);
    Ok(())
}

fn found(contacts: &Contacts, which: &str) -> Result<LinkId, Failure> {
    let no_link = |why: ContactError| Failure::Change(ChangeError::Refused(why));
    if let Some(link) = contacts.links().iter().find(|link| link.id.0.to_string() == which.trim()) {
        return Ok(link.id);
    }
    let is_named = |link: &&OpenLink| link.name.to_lowercase() == which.trim().to_lowercase();
    let mut named = contacts.links().iter().filter(is_named);
    match (named.next(), named.next()) {
        (Some(link), None) => Ok(link.id),
        (None, _) => Err(no_link(ContactError::NoLink)),
        (Some(_), Some(_)) => {
            Err(refused("several links were made for this name: give the number that `undertone contact links` shows"))
        }
    }
}

fn draw_number(contacts: &Contacts) -> LinkId {
    let mut rng = OsRng.unwrap_err();
    loop {
        let drawn = NUMBERS.start + rng.next_u32() % (NUMBERS.end - NUMBERS.start);
        let id = LinkId(u64::from(drawn));
        if contacts.links().iter().all(|link| link.id != id) {
            return id;
        }
    }
}

fn described(contacts: &Contacts, link: &OpenLink, today: Date) -> serde_json::Value {
    json!({
        "number": link.id.0,
        "name": clean(&link.name),
        "made": link.made.to_string(),
        "expires": last_day(link.made).to_string(),
        "state": state(link, today),
        "used_by": user(contacts, link),
    })
}

fn state(link: &OpenLink, today: Date) -> &'static str {
    match (link.used_by, link.is_expired(today)) {
        (Some(_), _) => "used",
        (None, true) => "expired",
        (None, false) => "open",
    }
}

/// The address of the contact whose phone used the link; a contact that was removed since has none.
fn user(contacts: &Contacts, link: &OpenLink) -> Option<String> {
    let contact = contacts.known_by(link.used_by.as_ref()?)?;
    Some(contact.address.to_string())
}

fn last_day(made: Date) -> Date {
    made.saturating_add(Duration::days(LINK_LIFE_DAYS))
}
