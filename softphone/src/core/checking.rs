//! What the verification of a call means: who is verified, who has to compare words, who is warned.
//!
//! ```text
//!            ┌─ contact, key as known ────────────▶ verified
//!   proven ──┼─ by a link ──────── kept ──────────▶ verified, from here on
//!            ├─ stranger ─ picks ─ both right, kept ▶ verified, from here on
//!            │               ├──── skipped ────────▶ not verified
//!            │               └──── one wrong ──────▶ loud; no more sound goes out
//!            └─ stranger to a phone without a kept identity ─▶ words
//!   failed ──── loud if a key has changed ─────────▶ the call ends
//! ```
//! Nobody is called verified before it is kept: what the contacts say at that moment decides, not this call.

use std::time::Instant;

use rand_core::RngCore;
use undertone_media::dtls;
use undertone_media::verify::{Failure, IdentityPublic, InviteProof, Proven};

use super::call::{Call, CallId};
use super::ceremony::{CHOICES, Ceremony, Picked};
use super::contacts::{Checked, Contact, ContactChange, ContactError, Contacts, How, Key, LinkId};
use super::event::{EndReason, Event, NotDone, Side, Unverified, Verification};
use super::line::Line;
use super::media_command::MediaCommand;
use super::parties::Standing;
use super::phone::Phone;
use super::phone_output::Output;
use super::verification::Verdict;

/// How far the verification of a call has come.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// What the other phone proved.
    proven: Option<Proven>,
    /// The picks, while they last.
    picks: Option<Ceremony>,
    /// The picks that were left. They come again as they were: the right half would be what two drawings share.
    left: Option<Ceremony>,
    /// What is verified as soon as it is kept.
    awaits: Option<Awaited>,
    /// Something else was heard than this phone shows.
    wrong: bool,
}

/// What was handed out to be kept.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// A contact's key.
    Key,
    /// The use of a link.
    Link(LinkId),
}

/// Why a change of the contacts was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotKept {
    /// It does not fit what is there.
    Refused(ContactError),
    /// It could not be written; why, in words.
    Unwritten(String),
}

impl<R: RngCore> Phone<R> {
    /// The contacts of this account, at the start.
    pub fn set_contacts(&mut self, contacts: Contacts) {
        self.contacts = contacts;
    }

    /// The contacts have changed: by what this phone wanted kept, or by somebody else.
    pub fn handle_contacts(&mut self, contacts: Contacts, now: Instant) {
        self.contacts = contacts;
        self.settle_check();
        self.pump(now);
    }

    /// What this phone wanted kept was not; nothing has changed.
    pub fn handle_not_kept(&mut self, why: NotKept, now: Instant) {
        let awaited = self.call.as_mut().and_then(|call| call.check.awaits.take());
        match (why, awaited) {
            (NotKept::Refused(ContactError::LinkUsed), Some(Awaited::Link(link))) => self.warn_link_used(link),
            (NotKept::Refused(ContactError::OtherKey), Some(_)) => self.stop_for_another_key(now),
            (NotKept::Refused(ContactError::LinkExpired | ContactError::NoLink), Some(Awaited::Link(_))) => {
                self.leave_unverified(Unverified::LinkNotGood);
            }
            (NotKept::Refused(ContactError::LinkForAnother), Some(Awaited::Link(_))) => {
                self.leave_unverified(Unverified::LinkForAnother);
            }
            (NotKept::Refused(why), Some(_)) => self.show(Event::NotKept { why: why.to_string() }),
            (NotKept::Unwritten(why), _) => self.show(Event::NotKept { why }),
            // The contact was removed meanwhile: there is nothing to keep about it.
            (NotKept::Refused(_), None) => {}
        }
        self.pump(now);
    }

    /// The verification of the call has come to an end.
    pub(super) fn take_verdict(&mut self, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Proven(proven) => self.take_proof(proven, now),
            Verdict::Failed { why, counts } => {
                if why == Failure::KeyChanged {
                    self.warn_key_changed(false);
                }
                if counts {
                    self.count_failed_check();
                }
                self.end(EndReason::VerificationFailed, &why.to_string(), now);
            }
        }
    }

    /// The called phone says that another one used the link before.
    pub(super) fn hear_link_used(&mut self) {
        if let Some((call, name)) = self.current() {
            self.show(Event::LinkUsed { call, name, by: Side::Here });
        }
    }

    /// The person picked one of the halves (1 to 4), or none.
    pub(super) fn pick(&mut self, choice: Option<u8>, now: Instant) -> Result<(), NotDone> {
        let check = &mut self.call.as_mut().ok_or(NotDone::NoCall)?.check;
        let picks = check.picks.as_mut().ok_or(NotDone::NothingToCompare)?;
        let choice = match choice {
            Some(number) if (1..=CHOICES).contains(&usize::from(number)) => Some(usize::from(number) - 1),
            Some(_) => return Err(NotDone::NothingToCompare),
            None => None,
        };
        match picks.pick(choice) {
            Picked::Next => self.ask(),
            Picked::Passed => {
                check.left = check.picks.take();
                self.keep_compared(now);
            }
            Picked::Wrong => {
                check.picks = None;
                self.stop_for_wrong_pick();
            }
        }
        Ok(())
    }

    /// Words or digits.
    pub(super) fn switch_digits(&mut self) -> Result<(), NotDone> {
        let check = &mut self.call.as_mut().ok_or(NotDone::NoCall)?.check;
        check.picks.as_mut().ok_or(NotDone::NothingToCompare)?.switch_digits();
        self.ask();
        Ok(())
    }

    /// The person does not want to compare.
    pub(super) fn skip_check(&mut self) -> Result<(), NotDone> {
        let check = &mut self.call.as_mut().ok_or(NotDone::NoCall)?.check;
        check.left = Some(check.picks.take().ok_or(NotDone::NothingToCompare)?);
        self.leave_unverified(Unverified::Skipped);
        Ok(())
    }

    /// The person wants to compare, whatever is known.
    pub(super) fn compare_words(&mut self) -> Result<(), NotDone> {
        let call = self.call.as_mut().ok_or(NotDone::NoCall)?;
        match call.check.proven {
            Some(proven) if !call.check.wrong => self.begin_comparison(proven),
            Some(_) | None => return Err(NotDone::NothingToCompare),
        }
        Ok(())
    }

    fn take_proof(&mut self, proven: Proven, now: Instant) {
        let Some(call) = &mut self.call else { return };
        call.check.proven = Some(proven);
        let parties = &call.parties;
        let link = match proven.invite {
            InviteProof::Link(index) => parties.links.get(index).copied(),
            InviteProof::None | InviteProof::Unknown => None,
        };
        match (parties.standing, link) {
            (Standing::Verified(checked), _) => self.show_verified(checked),
            (_, Some(link)) => self.use_link(link, proven.peer, now),
            (Standing::ByTheirLink, None) => self.keep_key(How::Link { made: None }, now),
            (Standing::ByOurLink(_) | Standing::ByUsedLink(_), None) => self.leave_unverified(Unverified::LinkNotGood),
            (Standing::ByPublicLink, None) => self.leave_unverified(Unverified::PublicLink),
            (Standing::Stranger, None) if proven.invite == InviteProof::Unknown => {
                self.leave_unverified(Unverified::LinkNotGood);
            }
            (Standing::Stranger, None) => self.begin_comparison(proven),
        }
        self.note_that_it_proves();
    }

    /// From here on this contact's phone must prove a key, and a verified one knows this phone without a link.
    fn note_that_it_proves(&mut self) {
        // What is being kept says so too.
        let call = self.call.as_ref().filter(|call| call.check.awaits.is_none());
        let contact = call.and_then(|call| self.contacts.at(call.parties.account.as_ref()?));
        let is_news = |contact: &&Contact| !contact.proves || contact.key.is_verified() && contact.token.is_some();
        if let Some(contact) = contact.filter(is_news) {
            let address = contact.address.clone();
            self.output(Output::Keep(ContactChange::Proves { address }));
        }
    }

    fn use_link(&mut self, link: LinkId, key: IdentityPublic, now: Instant) {
        let used_by = self.contacts.links().iter().find(|open| open.id == link).and_then(|open| open.used_by);
        if used_by.is_some_and(|used_by| used_by != key) {
            self.warn_link_used(link);
            return;
        }
        let Some(address) = self.call.as_ref().and_then(|call| call.parties.account.clone()) else {
            self.leave_unverified(Unverified::Hidden);
            return;
        };
        self.keep(Awaited::Link(link), ContactChange::UseLink { link, key, address, today: self.clock.day(now) });
    }

    fn keep_key(&mut self, how: How, now: Instant) {
        let Some(Call { parties, check: Check { proven: Some(proven), .. }, .. }) = &self.call else { return };
        let Some(address) = parties.account.clone() else { return };
        let checked = Checked { how, day: self.clock.day(now) };
        self.keep(Awaited::Key, ContactChange::Verify { address, key: proven.peer, checked });
    }

    fn keep(&mut self, awaited: Awaited, change: ContactChange) {
        if let Some(call) = &mut self.call {
            call.check.awaits = Some(awaited);
            self.output(Output::Keep(change));
        }
    }

    /// Both picks are right.
    fn keep_compared(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        match (call.parties.standing, &call.parties.account) {
            (Standing::Verified(checked), _) => self.show_verified(checked),
            (_, Some(_)) => self.keep_key(How::Words, now),
            (_, None) => {
                let how = Checked { how: How::Words, day: self.clock.day(now) };
                self.show_as_verified(how, false);
            }
        }
    }

    /// What was awaited has been kept: verified from here on.
    fn settle_check(&mut self) {
        let Some(call) = &mut self.call else { return };
        let Check { proven: Some(proven), awaits: Some(_), wrong: false, .. } = &call.check else { return };
        let contact = call.parties.account.as_ref().and_then(|account| self.contacts.at(account));
        if let Some(contact) = contact
            && let Key::Verified { key, checked } = contact.key
            && key == proven.peer
        {
            call.check.awaits = None;
            call.parties.standing = Standing::Verified(checked);
            call.other.clone_from(&contact.name);
            self.show_verified(checked);
        }
    }

    fn begin_comparison(&mut self, proven: Proven) {
        let Some(call) = &mut self.call else { return };
        if self.keeps_identity {
            let picks = call.check.picks.take().or_else(|| call.check.left.take()).map(Ceremony::anew);
            let role = call.parties.role;
            call.check.picks = Some(picks.unwrap_or_else(|| Ceremony::draw(&proven.words, role, &mut self.rng)));
            self.ask();
        } else {
            let (call, words, digits) = (call.id, proven.words.words(), proven.words.digits());
            self.show(Event::SafetyWords { call, words, digits });
        }
    }

    fn ask(&mut self) {
        let Some(call) = &self.call else { return };
        if let Some(picks) = &call.check.picks {
            let (call, name, question) = (call.id, call.other.clone(), Box::new(picks.question()));
            self.show(Event::Compare { call, name, question });
        }
    }

    fn stop_for_wrong_pick(&mut self) {
        let Some((call, name)) = self.current() else { return };
        let mut still_verified = false;
        if let Some(call) = &mut self.call {
            call.check.wrong = true;
            still_verified = matches!(call.parties.standing, Standing::Verified(_));
        }
        self.output(Output::Media(MediaCommand::CloseSound { call }));
        self.show(Event::WrongPick { call, name, still_verified });
        self.count_failed_check();
    }

    /// The contact was verified with another key while this call went on.
    fn stop_for_another_key(&mut self, now: Instant) {
        self.warn_key_changed(true);
        self.count_failed_check();
        self.end(EndReason::VerificationFailed, &Failure::KeyChanged.to_string(), now);
    }

    fn warn_key_changed(&mut self, heard: bool) {
        if let Some((call, name)) = self.current() {
            self.show(Event::KeyChanged { call, name, heard });
        }
    }

    fn warn_link_used(&mut self, link: LinkId) {
        let Some(call) = &mut self.call else { return };
        let id = call.id;
        let told_when_it_rang = matches!(call.parties.standing, Standing::ByUsedLink(_));
        call.parties.standing = Standing::ByUsedLink(link);
        self.output(Output::Media(MediaCommand::TellLinkUsed { call: id }));
        let made_for = self.contacts.links().iter().find(|open| open.id == link).map(|open| open.name.clone());
        if !told_when_it_rang && let Some(name) = made_for {
            self.show(Event::LinkUsed { call: id, name, by: Side::There });
        }
        self.leave_unverified(Unverified::LinkUsed);
    }

    /// Whether nothing that is said or pressed here leaves this phone.
    pub(super) fn withholds_sound(&self) -> bool {
        let Some(call) = &self.call else { return false };
        let must_prove = matches!(self.line, Line::Gateway(_))
            && call.terms().is_some_and(|terms| terms.agreed.peer() == dtls::Peer::Ours);
        call.check.wrong || must_prove && call.check.proven.is_none()
    }

    fn count_failed_check(&mut self) {
        let account = self.call.as_ref().and_then(|call| call.parties.account.as_ref());
        if let Some(contact) = account.and_then(|account| self.contacts.at(account)) {
            let address = contact.address.clone();
            self.output(Output::Keep(ContactChange::CheckFailed { address }));
        }
    }

    fn leave_unverified(&mut self, why: Unverified) {
        if let Some((call, name)) = self.current() {
            let verification = Verification::NotVerified;
            self.show(Event::NotVerified { call, name, verification, why });
        }
    }

    fn show_verified(&mut self, checked: Checked) {
        self.show_as_verified(checked, true);
    }

    fn show_as_verified(&mut self, checked: Checked, kept: bool) {
        if let Some((call, name)) = self.current() {
            let verification = Verification::Verified;
            self.show(Event::Verified { call, name, verification, how: format!("verified {checked}"), kept });
        }
    }

    fn current(&self) -> Option<(CallId, String)> {
        self.call.as_ref().map(|call| (call.id, call.other.clone()))
    }
}
