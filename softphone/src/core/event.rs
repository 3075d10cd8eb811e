//! What a person sees: one event per change, as a JSON line for programs and as a sentence for people.
//!
//! The words are the shared vocabulary: *not connected, ready, calling, ringing, encrypted, on hold, ended*. No event
//! carries a protocol word; text that came from the network is cleaned and cut before it gets here ([`clean`]).

use std::net::SocketAddr;

use serde::Serialize;

use super::call::CallId;
use super::ceremony::Question;
pub use super::not_done::NotDone;
pub use super::unverified::Unverified;
use super::warning;

/// Longest piece of text from the network that is shown: one line on a terminal.
pub const MAX_SHOWN_LEN: usize = 120;

/// A change that the person at this phone should know of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// No calls are possible at the moment.
    NotConnected {
        /// What stands in the way.
        why: Trouble,
        /// Seconds until the phone tries again by itself; `None` when trying again is pointless until something is changed.
        retry_in_s: Option<u64>,
    },
    /// Calls are possible.
    Ready {
        /// The address under which this phone can be called.
        address: String,
    },
    /// The gateway announced a new key for itself that its operator has not signed. The phone goes on as before.
    FalseAnnouncement,
    /// A call to someone was started here.
    Calling {
        /// The call.
        call: CallId,
        /// Who is called.
        to: String,
    },
    /// It rings: here (someone calls) or there (the called phone rings).
    Ringing {
        /// The call.
        call: CallId,
        /// Which phone rings.
        at: Side,
        /// The person at the other end.
        other: String,
    },
    /// The call was answered; the phones are agreeing on keys. No sound yet.
    Connecting {
        /// The call.
        call: CallId,
    },
    /// The phones agreed on keys: from here on sound flows, encrypted from phone to phone.
    Encrypted {
        /// The call.
        call: CallId,
        /// The cipher that protects the sound, such as `AES-256-GCM`.
        cipher: &'static str,
        /// How the keys were agreed on, such as `DTLS 1.3`.
        key_agreement: &'static str,
        /// Whether a recording of the call is of no use to a future quantum computer (ML-KEM-768 mixed into the keys).
        post_quantum: bool,
        /// What is known about who is at the other end.
        verification: Verification,
    },
    /// The words that are equal on both phones if nobody sits in between.
    SafetyWords {
        /// The call.
        call: CallId,
        /// To be read to each other.
        words: [&'static str; 4],
        /// The same for people who share no language.
        digits: String,
    },
    /// The other phone proved to be that of this person.
    Verified {
        /// The call.
        call: CallId,
        /// The person, as called here.
        name: String,
        /// Always [`Verification::Verified`].
        verification: Verification,
        /// By what and since when, such as `verified by link of 2026-11-25`.
        how: String,
        /// Whether later calls will know it too; `false` if the caller's address is hidden.
        kept: bool,
    },
    /// The other phone proved a key, and it stays open whose it is.
    NotVerified {
        /// The call.
        call: CallId,
        /// The person, as shown.
        name: String,
        /// Always [`Verification::NotVerified`].
        verification: Verification,
        /// Why nothing is compared or kept.
        why: Unverified,
    },
    /// The two people are to read a half of the safety words to each other, and to pick what they hear.
    Compare {
        /// The call.
        call: CallId,
        /// The person, as shown.
        name: String,
        /// What to read and what to pick from.
        #[serde(flatten)]
        question: Box<Question>,
    },
    /// Loud: what was heard is not what this phone shows. No sound goes out any more.
    WrongPick {
        /// The call.
        call: CallId,
        /// The person, as shown.
        name: String,
        /// Whether they are a verified contact, and stay one.
        still_verified: bool,
    },
    /// Loud: a contact's phone showed another key than the one that is known. The call ends.
    KeyChanged {
        /// The call.
        call: CallId,
        /// The contact.
        name: String,
        /// Whether sound had left this phone before: the contact was verified with the other key during the call.
        heard: bool,
    },
    /// Loud: the link of this call was used before by another phone.
    LinkUsed {
        /// The call.
        call: CallId,
        /// The person at the other end, or whom the link was made for.
        name: String,
        /// Who used the link in this call: this phone, or the one that calls.
        by: Side,
    },
    /// What a call taught about a contact could not be kept.
    NotKept {
        /// Why, as a sentence with its remedy.
        why: String,
    },
    /// The first sound of the other side came out of the playout buffer.
    SoundStarted {
        /// The call.
        call: CallId,
    },
    /// This phone's microphone was switched off or on.
    Muted {
        /// The call.
        call: CallId,
        /// `true`: nothing is heard there.
        on: bool,
    },
    /// The call was put on hold or taken back.
    OnHold {
        /// The call.
        call: CallId,
        /// Who did it.
        by: Side,
        /// `true`: on hold.
        on: bool,
    },
    /// The other side pressed a key of its dial pad.
    Digit {
        /// The call.
        call: CallId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// How good the line is; from time to time during a call, and once at its end.
    Statistics(Statistics),
    /// Somebody called while this phone was busy or stopping.
    Missed {
        /// Who called.
        from: String,
    },
    /// Somebody called in a way that could not have been protected, and was refused without ringing.
    Refused {
        /// Who called.
        from: String,
        /// What was wrong, and what to change at the other phone.
        why: String,
    },
    /// A command could not be carried out.
    NotDone {
        /// Why, and what to do.
        why: NotDone,
    },
    /// The call is over.
    Ended {
        /// The call.
        call: CallId,
        /// Why it ended.
        why: EndReason,
        /// Explanation in the other side's or the gateway's words, cleaned; often empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        detail: String,
        /// Who was at the other end.
        other: String,
        /// How long the call was encrypted, in seconds; 0 if it never was.
        duration_s: u64,
    },
    /// The phone has signed off; nothing follows.
    Stopped,
}

/// Which of the two ends of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// This phone.
    Here,
    /// The other phone.
    There,
}

/// What is known about who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// The other phone has proved to be that of a known person.
    Verified,
    /// The other phone must prove a known key, and is about to: no sound goes out before.
    Checking,
    /// The other phone could prove who it is, but has not (yet).
    NotVerified,
    /// The other phone is of a kind that cannot prove who it is.
    CannotBeVerified,
}

/// Why no calls are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The name of the gateway does not resolve to an address.
    GatewayNotFound,
    /// Nobody answers at the gateway's address.
    GatewayUnreachable,
    /// The gateway's key is not the pinned one, or its certificate is not valid.
    GatewayNotTrusted,
    /// The gateway's certificate is out of its time, or this machine's clock is wrong.
    GatewayCertificateExpired,
    /// The connection to the gateway broke.
    ConnectionLost,
    /// The gateway does not know the account or its password is wrong.
    AccountRefused,
    /// The gateway does not know this device's key for the account: it was revoked, or never let in.
    DeviceNotAllowed,
    /// Another device has joined with this invite.
    InviteUsed,
    /// The invite's days are over.
    InviteExpired,
    /// The gateway did not make this invite, or not for this account.
    InviteUnknown,
    /// The account has as many devices as it may have.
    TooManyDevices,
    /// As many phones are signed in to the account as may be at once.
    TooManyPhones,
    /// The gateway answered that it cannot serve this phone now.
    GatewayRefused,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The person here hung up.
    HungUpHere,
    /// The other side hung up.
    HungUpThere,
    /// The caller gave up before anybody answered here.
    CallerGaveUp,
    /// The person here gave up before anybody answered there.
    GaveUp,
    /// The person here refused the call.
    DeclinedHere,
    /// The other side refused the call.
    DeclinedThere,
    /// The other side is in another call.
    Busy,
    /// Nobody answered there in time.
    NoAnswer,
    /// Nobody answered here in time.
    NotAnsweredHere,
    /// Unknown, offline, refusing or silent: the gateway does not say which.
    CannotBeReached,
    /// The two phones have no protected way of talking in common.
    NotCompatible,
    /// No media path came about within the time allowed.
    NoPath,
    /// No keys were agreed on within the time allowed.
    NoKeys,
    /// The key seen in the call is not the one announced: someone may be in between.
    WrongKey,
    /// The phones could not prove themselves to each other: someone may be in between.
    VerificationFailed,
    /// A contact known by a key, and a call without any proof of one: someone may have removed it.
    ProofMissing,
    /// The key agreement or protection broke down.
    EncryptionFailed,
    /// Nothing came from the other side any more.
    ConnectionLost,
    /// The gateway could not place the call.
    GatewayFailed,
}

/// How good the line is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// The call.
    pub call: CallId,
    /// Round trip between this phone and the relay (or the other phone), if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f32>,
    /// Sound packets that arrived and were accepted.
    pub packets_received: u64,
    /// Sound packets sent.
    pub packets_sent: u64,
    /// Share of the sound packets that should have arrived and did not.
    pub loss_percent: f32,
    /// What sound waits in the playout buffer at the moment, in milliseconds.
    pub playout_delay_ms: f32,
    /// Datagrams that were dropped because they were not part of this call or not authentic.
    pub datagrams_dropped: u64,
    /// Every address with which this call exchanged datagrams.
    pub addresses: Vec<SocketAddr>,
}

impl Event {
    /// One line of JSON without a line break: the fields of the event and its `sentence`.
    pub fn json_line(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.insert("sentence".into(), self.sentence().into());
        }
        value.to_string()
    }

    /// The name of the event as in JSON: `ready`, `ringing`, `encrypted` …
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotConnected { .. } => "not_connected",
            Self::Ready { .. } => "ready",
            Self::FalseAnnouncement => "false_announcement",
            Self::Calling { .. } => "calling",
            Self::Ringing { .. } => "ringing",
            Self::Connecting { .. } => "connecting",
            Self::Encrypted { .. } => "encrypted",
            Self::SafetyWords { .. } => "safety_words",
            Self::Verified { .. } => "verified",
            Self::NotVerified { .. } => "not_verified",
            Self::Compare { .. } => "compare",
            Self::WrongPick { .. } => "wrong_pick",
            Self::KeyChanged { .. } => "key_changed",
            Self::LinkUsed { .. } => "link_used",
            Self::NotKept { .. } => "not_kept",
            Self::SoundStarted { .. } => "sound_started",
            Self::Muted { .. } => "muted",
            Self::OnHold { .. } => "on_hold",
            Self::Digit { .. } => "digit",
            Self::Statistics(_) => "statistics",
            Self::Missed { .. } => "missed",
            Self::Refused { .. } => "refused",
            Self::NotDone { .. } => "not_done",
            Self::Ended { .. } => "ended",
            Self::Stopped => "stopped",
        }
    }

    /// One or two sentences for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotConnected { why, retry_in_s } => match retry_in_s {
                Some(seconds) => format!("Not connected: {} Trying again in {seconds} s.", why.sentence()),
                None => format!("Not connected: {}", why.sentence()),
            },
            Self::Ready { address } => format!("Ready. You can be called at {address}."),
            Self::FalseAnnouncement => {
                "Warning: the gateway announced a new key that its operator has not signed. This phone ignores it; tell \
                 the operator."
                    .into()
            }
            Self::Calling { to, .. } => format!("Calling {to} …"),
            Self::Ringing { at: Side::Here, other, .. } => format!("Call from {other}."),
            Self::Ringing { at: Side::There, other, .. } => format!("Ringing at {other} …"),
            Self::Connecting { .. } => "Connecting: agreeing on keys with the other phone …".into(),
            Self::Encrypted { cipher, key_agreement, post_quantum, verification, .. } => {
                let lasting = if *post_quantum { ", protected against future quantum computers" } else { "" };
                format!("Encrypted with {cipher} (keys by {key_agreement}){lasting}. {}", verification.sentence())
            }
            Self::SafetyWords { words, digits, .. } => format!(
                "Safety words: {} ({digits}). Read them to each other: if they differ, somebody is listening, so hang up.",
                words.join(" ")
            ),
            Self::Verified { name, how, kept, .. } => verified_sentence(name, how, *kept),
            Self::NotVerified { name, why, .. } => why.sentence(name),
            Self::Compare { question, .. } => question.sentence(),
            Self::WrongPick { name, still_verified, .. } => warning::wrong_pick(name, *still_verified),
            Self::KeyChanged { name, heard, .. } => warning::key_changed(name, *heard),
            Self::LinkUsed { name, by, .. } => warning::link_used(name, *by),
            Self::NotKept { why } => format!("What this call taught about your contacts could not be kept: {why}."),
            Self::SoundStarted { .. } => "You can hear the other side.".into(),
            Self::Muted { on: true, .. } => "Your microphone is off.".into(),
            Self::Muted { on: false, .. } => "Your microphone is on.".into(),
            Self::OnHold { by, on, .. } => hold_sentence(*by, *on).into(),
            Self::Digit { digit, .. } => format!("The other side pressed {digit}."),
            Self::Statistics(statistics) => statistics.sentence(),
            Self::Missed { from } => format!("Missed call from {from}."),
            Self::Refused { from, why } => format!("Refused a call from {from}: {why}."),
            Self::NotDone { why } => why.sentence(),
            Self::Ended { why, detail, other, .. } => ended_sentence(*why, detail, other),
            Self::Stopped => "Stopped.".into(),
        }
    }
}

impl Event {
    /// Whether it must not be overlooked: somebody may be listening or posing as somebody else.
    pub fn is_loud(&self) -> bool {
        let ended_for_safety = matches!(
            self,
            Self::Ended { why: EndReason::ProofMissing | EndReason::VerificationFailed | EndReason::WrongKey, .. }
        );
        ended_for_safety || matches!(self, Self::WrongPick { .. } | Self::KeyChanged { .. } | Self::LinkUsed { .. })
    }
}

impl Trouble {
    /// One sentence for people: what is wrong and what to do.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::GatewayNotFound => "the gateway's name was not found: check its address and your network.",
            Self::GatewayUnreachable => "the gateway does not answer: check your network.",
            Self::GatewayNotTrusted => {
                "the gateway's key is not the one this phone expects: do not go on before you have asked its operator."
            }
            Self::GatewayCertificateExpired => {
                "the gateway's certificate has expired or is not yet valid: check this machine's clock, then ask its operator."
            }
            Self::ConnectionLost => "the connection to the gateway was lost.",
            Self::AccountRefused => {
                "the gateway does not accept this account: check its name and password, and enter them again with `undertone setup`."
            }
            Self::DeviceNotAllowed => {
                "this device is no longer allowed on this account: ask for a new link (`undertone device add` on another \
                 of your devices, or your gateway's operator)."
            }
            Self::InviteUsed => {
                "this link has been used by another device: ask for a new one, and if nobody of yours used it, say so to \
                 whoever gave it to you."
            }
            Self::InviteExpired => "this link has expired: ask for a new one.",
            Self::InviteUnknown => "the gateway does not know this link: ask for a new one.",
            Self::TooManyDevices => {
                "this account has as many devices as it may have: remove one first (`undertone device revoke` on another \
                 of your devices), then ask for a new link."
            }
            Self::TooManyPhones => {
                "as many phones are signed in to this account as may be at once: switch one of them off, then try again."
            }
            Self::GatewayRefused => "the gateway cannot serve this phone now.",
        }
    }
}

impl Verification {
    /// One sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Verified => "Verified.",
            Self::Checking => "Checking that nobody sits in between …",
            Self::NotVerified => "Not verified yet.",
            Self::CannotBeVerified => "The other phone cannot be verified.",
        }
    }
}

impl Statistics {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let loss = self.loss_percent;
        match self.round_trip_ms {
            Some(ms) => format!("Line: {loss:.1} % lost, {ms:.0} ms to the relay and back."),
            None => format!("Line: {loss:.1} % lost."),
        }
    }
}

/// Text from the network made fit to be shown: printable characters only, at most [`MAX_SHOWN_LEN`] of them.
///
/// Control and formatting characters would let a stranger move the cursor of a terminal or turn the line around.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| is_shown(*c)).take(MAX_SHOWN_LEN).collect::<String>().trim().to_owned()
}

fn is_shown(c: char) -> bool {
    let turns_text_around =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !turns_text_around
}

fn verified_sentence(name: &str, how: &str, kept: bool) -> String {
    match kept {
        true => format!("{name}: {how}. Nobody sits in between."),
        false => format!(
            "{name}: {how}, for this call only, as their address is hidden. Ask them to call once without hiding it."
        ),
    }
}

fn hold_sentence(by: Side, on: bool) -> &'static str {
    match (by, on) {
        (Side::Here, true) => "On hold: you put the call on hold.",
        (Side::Here, false) => "You took the call back.",
        (Side::There, true) => "On hold: the other side put you on hold.",
        (Side::There, false) => "The other side took the call back.",
    }
}

fn ended_sentence(why: EndReason, detail: &str, other: &str) -> String {
    let sentence = match why {
        EndReason::HungUpHere => "Ended: you hung up.".into(),
        EndReason::HungUpThere => "Ended: the other side hung up.".into(),
        EndReason::CallerGaveUp => format!("Ended: {other} gave up calling."),
        EndReason::GaveUp => "Ended: you gave up calling.".into(),
        EndReason::DeclinedHere => "Ended: you declined the call.".into(),
        EndReason::DeclinedThere => format!("Ended: {other} declined the call."),
        EndReason::Busy => format!("Ended: {other} is in another call."),
        EndReason::NoAnswer => format!("Ended: {other} did not answer."),
        EndReason::NotAnsweredHere => "Ended: you did not answer.".into(),
        EndReason::CannotBeReached => format!("Ended: {other} cannot be reached right now."),
        EndReason::NotCompatible => "Ended: no encrypted call with the other phone is possible.".into(),
        EndReason::NoPath => "Ended: no way for the sound was found. Check your network.".into(),
        EndReason::NoKeys => "Ended: the phones could not agree on keys in time, so nothing was sent.".into(),
        EndReason::WrongKey => {
            "Ended for your safety: the other phone's key is not the one that was announced. Someone may be in between."
                .into()
        }
        EndReason::ProofMissing => warning::proof_missing(other),
        EndReason::VerificationFailed => "Ended for your safety: the phones could not be checked.".into(),
        EndReason::EncryptionFailed => "Ended for your safety: the encryption of the call failed.".into(),
        EndReason::ConnectionLost => "Ended: the connection was lost.".into(),
        EndReason::GatewayFailed => "Ended: the gateway could not place the call.".into(),
    };
    if detail.is_empty() { sentence } else { format!("{sentence} ({detail})") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_event_is_one_json_line_with_its_name_and_sentence() {
        let event = Event::Encrypted {
            call: CallId(1),
            cipher: "AES-256-GCM",
            key_agreement: "DTLS 1.3",
            post_quantum: true,
            verification: Verification::NotVerified,
        };
        let line = event.json_line();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], event.name());
        assert_eq!(value["cipher"], "AES-256-GCM");
        assert_eq!(value["post_quantum"], true);
        assert_eq!(value["sentence"], event.sentence());
    }

    #[test]
    fn protection_against_quantum_computers_is_claimed_only_where_it_is() {
        for post_quantum in [true, false] {
            let (cipher, key_agreement, verification) = ("AES-256-GCM", "DTLS 1.3", Verification::NotVerified);
            let event = Event::Encrypted { call: CallId(1), cipher, key_agreement, post_quantum, verification };
            assert_eq!(event.sentence().contains("protected against future quantum computers"), post_quantum);
        }
    }

    #[test]
    fn every_event_is_named_alike_in_json_and_by_name() {
        for event in one_of_each() {
            let value: serde_json::Value = serde_json::from_str(&event.json_line()).unwrap();
            assert_eq!(value["event"], event.name());
            assert!(!event.sentence().is_empty());
        }
    }

    #[test]
    fn sentences_carry_no_protocol_words() {
        for event in one_of_each() {
            let sentence = event.sentence();
            for jargon in
                ["SIP", "SDP", "ICE", "INVITE", "BYE", "488", "480", "fingerprint", "RTP", "STUN", "TLS handshake"]
            {
                assert!(!sentence.contains(jargon), "{sentence}");
            }
        }
    }

    #[test]
    fn text_from_the_network_cannot_move_the_cursor_or_turn_the_line_around() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{202e}d\u{200b}"), "a[2Jbcd");
        assert_eq!(clean(&"x".repeat(1000)).len(), MAX_SHOWN_LEN);
    }

    #[test]
    fn an_unreachable_contact_is_named_without_saying_why() {
        let event = Event::Ended {
            call: CallId(1),
            why: EndReason::CannotBeReached,
            detail: String::new(),
            other: "bob@gw.example".into(),
            duration_s: 0,
        };
        assert_eq!(event.sentence(), "Ended: bob@gw.example cannot be reached right now.");
    }

    #[test]
    fn a_question_stands_whole_in_its_json_line() {
        let event = Event::Compare { call: CallId(7), name: "Bob".into(), question: Box::new(question()) };
        let value: serde_json::Value = serde_json::from_str(&event.json_line()).unwrap();
        assert_eq!((&value["round"], &value["read"][1]), (&1.into(), &"b".into()));
        assert_eq!(value["choices"].as_array().unwrap().len(), 4);
        assert_eq!(value["choices_digits"][3], "4444");
        assert!(value["sentence"].as_str().unwrap().contains("1: c d"));
    }

    fn question() -> Question {
        Question {
            round: 1,
            read: ["a", "b"],
            choices: [["c", "d"], ["e", "f"], ["g", "h"], ["i", "j"]],
            read_digits: "0000".into(),
            choices_digits: ["1111", "2222", "3333", "4444"].map(String::from),
            digits: false,
        }
    }

    fn one_of_each() -> Vec<Event> {
        let call = CallId(7);
        let other = String::from("bob@gw.example");
        let mut events = vec![
            Event::NotConnected { why: Trouble::ConnectionLost, retry_in_s: Some(2) },
            Event::NotConnected { why: Trouble::AccountRefused, retry_in_s: None },
            Event::NotConnected { why: Trouble::DeviceNotAllowed, retry_in_s: None },
            Event::Ready { address: other.clone() },
            Event::FalseAnnouncement,
            Event::Calling { call, to: other.clone() },
            Event::Ringing { call, at: Side::Here, other: other.clone() },
            Event::Ringing { call, at: Side::There, other: other.clone() },
            Event::Connecting { call },
            Event::SafetyWords {
                call,
                words: ["aardvark", "adroitness", "absurd", "adviser"],
                digits: "00000101".into(),
            },
            Event::SoundStarted { call },
            Event::Verified {
                call,
                name: "Bob".into(),
                verification: Verification::Verified,
                how: "verified by link of 2026-11-25".into(),
                kept: true,
            },
            Event::NotVerified {
                call,
                name: "Bob".into(),
                verification: Verification::NotVerified,
                why: Unverified::Skipped,
            },
            Event::Compare { call, name: "Bob".into(), question: Box::new(question()) },
            Event::WrongPick { call, name: "Bob".into(), still_verified: true },
            Event::KeyChanged { call, name: "Bob".into(), heard: true },
            Event::LinkUsed { call, name: "Bob".into(), by: Side::Here },
            Event::LinkUsed { call, name: "Bob".into(), by: Side::There },
            Event::NotKept { why: "the disk is full".into() },
            Event::Muted { call, on: true },
            Event::OnHold { call, by: Side::There, on: true },
            Event::Digit { call, digit: '#' },
            Event::Missed { from: other.clone() },
            Event::Refused { from: other.clone(), why: "The other phone offers an unencrypted call".into() },
            Event::Stopped,
            Event::Statistics(Statistics {
                call,
                round_trip_ms: Some(12.5),
                packets_received: 99,
                packets_sent: 100,
                loss_percent: 1.0,
                playout_delay_ms: 20.0,
                datagrams_dropped: 0,
                addresses: vec!["192.0.2.1:3478".parse().unwrap()],
            }),
        ];
        for why in [
            NotDone::NotConnected,
            NotDone::NoCall,
            NotDone::BadAddress { hint: "it has no name" },
            NotDone::HoldRefused,
        ] {
            events.push(Event::NotDone { why });
        }
        for why in
            [EndReason::HungUpHere, EndReason::WrongKey, EndReason::NotCompatible, EndReason::NoPath, EndReason::Busy]
        {
            events.push(Event::Ended { call, why, detail: String::new(), other: other.clone(), duration_s: 0 });
        }
        events
    }
}
