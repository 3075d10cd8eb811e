//! Who knows whom: identities that are kept, contacts and links, as a phone's shell would keep them on a disk.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use time::Date;
use undertone::core::checking::NotKept;
use undertone::core::contacts::{Contact, ContactChange, ContactError, Contacts, LinkId, OpenLink};
use undertone_config::{AccountAddress, ContactLink, LinkToken};
use undertone_media::verify::{IdentityKey, IdentityPublic};

use super::gateway_site::DOMAIN;
use super::simulation::World;
use super::station::StationId;

/// The day on which a world begins, and nearly always ends.
pub const TODAY: Date = match Date::from_ordinal_date(1970, 1) {
    Ok(day) => day,
    Err(_) => panic!("a valid date"),
};

impl World {
    /// The phone keeps an identity from here on, drawn from `seed`: it has contacts, and is silent to strangers.
    pub fn keep_identity(&mut self, id: StationId, seed: u64) {
        let station = self.station_mut(id);
        let identity = IdentityKey::generate(&mut ChaCha20Rng::seed_from_u64(seed ^ 0x1d_e7));
        station.key = Some(identity.public());
        station.phone.set_identity(identity);
        station.phone.set_contacts(copy(&station.contacts));
    }

    /// Two phones with kept identities, alice and bob, that know nobody yet.
    pub fn acquaintances(seed: u64) -> (Self, StationId, StationId) {
        let (mut world, alice, bob) = Self::alice_and_bob(seed);
        world.keep_identity(alice, 2 * seed + 1);
        world.keep_identity(bob, 2 * seed + 2);
        (world, alice, bob)
    }

    /// The public half of the kept identity.
    pub fn key(&self, id: StationId) -> IdentityPublic {
        self.station(id).key.expect("this station keeps an identity")
    }

    /// The address of the account.
    pub fn address(&self, id: StationId) -> AccountAddress {
        format!("{}@{DOMAIN}", self.station(id).account).parse().expect("a valid address")
    }

    /// Changes what a station knows, as a command in another window would.
    ///
    /// # Errors
    /// As the contacts say.
    pub fn change_contacts(&mut self, id: StationId, change: ContactChange) -> Result<(), ContactError> {
        let now = self.now;
        let station = self.station_mut(id);
        station.contacts.apply(change)?;
        station.phone.handle_contacts(copy(&station.contacts), now);
        self.settle();
        Ok(())
    }

    /// What a phone wants kept.
    pub(super) fn keep(&mut self, id: StationId, change: ContactChange) {
        let now = self.now;
        let station = self.station_mut(id);
        match station.contacts.apply(change) {
            Ok(()) => station.phone.handle_contacts(copy(&station.contacts), now),
            Err(why) => station.phone.handle_not_kept(NotKept::Refused(why), now),
        }
    }

    /// A link of this station, made today for somebody of this name, with a token of its own.
    pub fn give_link(&mut self, id: StationId, name: &str) -> ContactLink {
        self.give_link_of(id, name, TODAY)
    }

    /// The same, made on another day.
    pub fn give_link_of(&mut self, id: StationId, name: &str, made: Date) -> ContactLink {
        let number = self.station(id).contacts.links().len() as u64 + 1;
        let mut token = [0; 32];
        ChaCha20Rng::seed_from_u64(id.0 as u64 * 1_000 + number).fill_bytes(&mut token);
        let link =
            OpenLink { id: LinkId(number), token: LinkToken::new(token), name: name.to_owned(), made, used_by: None };
        self.change_contacts(id, ContactChange::GiveOut(link)).expect("there is room for a link");
        ContactLink { address: self.address(id), key: *self.key(id).as_bytes(), token: Some(LinkToken::new(token)) }
    }

    /// Adds the maker of a link.
    pub fn add_by_link(&mut self, id: StationId, link: ContactLink, name: &str) {
        let change = ContactChange::AddLink { link, name: name.to_owned() };
        self.change_contacts(id, change).expect("a link fits a contact that is not verified");
    }

    /// Alice and bob, verified on both sides by a link that bob gave alice and a first call.
    pub fn friends(seed: u64) -> (Self, StationId, StationId) {
        let (mut world, alice, bob) = Self::acquaintances(seed);
        let link = world.give_link(bob, "Alice A");
        world.add_by_link(alice, link, "Bob B");
        world.meet(alice, bob);
        world.hang_up(alice, bob);
        (world, alice, bob)
    }

    /// A call from one to the other in which both are verified.
    pub fn meet(&mut self, caller: StationId, callee: StationId) {
        self.call(caller, callee);
        self.wait_verified(&[caller, callee]);
    }

    /// Lets time pass until these phones call the other side verified.
    pub fn wait_verified(&mut self, ids: &[StationId]) {
        self.run_until("both are verified", |world| {
            ids.iter().all(|id| world.station(*id).sees_in_this_call("verified"))
        });
    }

    /// Lets time pass until these phones play the other's sound and ask to compare words.
    pub fn wait_sound_of_strangers(&mut self, ids: &[StationId]) {
        self.run_until("sound has started and words are shown", |world| {
            let is_there = |id: &StationId| {
                let station = world.station(*id);
                station.sees_in_this_call("sound_started") && station.sees_in_this_call("compare")
            };
            ids.iter().all(is_there)
        });
    }

    /// All calls of this phone hide who calls.
    pub fn hide_from(&mut self, id: StationId) {
        self.station_mut(id).phone.set_hide_from(true);
    }

    /// Calls that this phone met with silence.
    pub fn silent_calls(&self, id: StationId) -> u64 {
        self.station(id).phone.silent_calls()
    }

    /// A call from one to the other, answered.
    pub fn call(&mut self, caller: StationId, callee: StationId) {
        let account = self.station(callee).account.clone();
        self.dial(caller, &account);
        self.wait_ringing(callee);
        self.command(callee, undertone::core::command::Command::Answer);
    }

    /// Ends the call on both sides.
    pub fn hang_up(&mut self, one: StationId, other: StationId) {
        self.command(one, undertone::core::command::Command::HangUp);
        let before = self.station(other).count("ended");
        self.run_until("the other side knows", |world| world.station(other).count("ended") > before);
    }
}

/// Contacts are one thing on a disk; what reads them has its own.
fn copy(contacts: &Contacts) -> Contacts {
    let token = |token: &LinkToken| LinkToken::new(*token.expose());
    let people = contacts.people().map(|contact| Contact {
        address: contact.address.clone(),
        name: contact.name.clone(),
        key: contact.key,
        token: contact.token.as_ref().map(token),
        proves: contact.proves,
        failed_checks: contact.failed_checks,
        hide_from: contact.hide_from,
    });
    let links = contacts.links().iter().map(|link| OpenLink {
        id: link.id,
        token: token(&link.token),
        name: link.name.clone(),
        made: link.made,
        used_by: link.used_by,
    });
    Contacts::from_kept(people, links.collect(), contacts.has_public_link(), contacts.strangers_may_ring())
        .expect("as many as there were")
}
