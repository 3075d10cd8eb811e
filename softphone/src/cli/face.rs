//! What a command does about what happens: shows it, dials when the phone is ready, ends when the call has ended,
//! and keeps the exit code.

use undertone_config::ConfigError;

use super::Failure;
use crate::audio::SoundNotice;
use crate::core::command::Command;
use crate::core::event::{Event, NotDone, Side, Trouble};
use crate::net::driver::Observer;
use crate::net::tls::ConnectError;
use crate::ui::keys::Keys;
use crate::ui::printer::{Printer, Shown};

/// What the phone was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One call to someone.
    Call {
        /// Who.
        uri: String,
        /// With this account's address left out.
        hide: bool,
    },
    /// Wait for calls.
    Listen,
    /// Answer every call with its own sound.
    Echo,
    /// Be driven by lines.
    Headless,
    /// Find out whether the account works.
    Check,
}

/// One command's face.
#[derive(Debug)]
pub(super) struct Face {
    purpose: Purpose,
    printer: Printer,
    /// Someone sits at the terminal and is told which keys work.
    person: bool,
    keys: Keys,
    ever_ready: bool,
    encrypted: bool,
    connect_error: Option<ConnectError>,
    failure: Option<Failure>,
}

impl Face {
    pub(super) fn new(purpose: Purpose, printer: Printer, person: bool) -> Self {
        Self {
            purpose,
            printer,
            person,
            keys: Keys::default(),
            ever_ready: false,
            encrypted: false,
            connect_error: None,
            failure: None,
        }
    }

    /// What the command comes to, once the phone has stopped.
    pub(super) fn outcome(self) -> Result<(), Failure> {
        match (self.failure, self.purpose) {
            (Some(failure), _) => Err(failure),
            (None, Purpose::Call { .. }) if !self.encrypted => Err(Failure::NoCall),
            (None, _) => Ok(()),
        }
    }

    /// Whether the phone cannot go on after this trouble.
    fn is_fatal(&self, why: Trouble, retry_in_s: Option<u64>) -> bool {
        if retry_in_s.is_none() {
            return true;
        }
        let for_a_person_to_change = match why {
            Trouble::GatewayNotTrusted
            | Trouble::GatewayCertificateExpired
            | Trouble::AccountRefused
            | Trouble::DeviceNotAllowed
            | Trouble::InviteUsed
            | Trouble::InviteExpired
            | Trouble::InviteUnknown
            | Trouble::TooManyDevices => true,
            Trouble::GatewayNotFound
            | Trouble::GatewayUnreachable
            | Trouble::ConnectionLost
            | Trouble::TooManyPhones
            | Trouble::GatewayRefused => false,
        };
        let waits = matches!(self.purpose, Purpose::Listen | Purpose::Echo);
        !self.ever_ready && (for_a_person_to_change || !waits)
    }

    fn not_connected(&mut self, why: Trouble, retry_in_s: Option<u64>) -> Vec<Command> {
        let detail = self.connect_error.take();
        if !self.is_fatal(why, retry_in_s) {
            return Vec::new();
        }
        let failure = detail.map_or_else(|| Failure::Refused(why.sentence().to_owned()), Failure::Connect);
        self.failure.get_or_insert(failure);
        vec![Command::Quit]
    }

    fn not_done(&mut self, why: &NotDone) -> Vec<Command> {
        if !matches!(self.purpose, Purpose::Call { .. }) || self.keys.in_call {
            return Vec::new();
        }
        let failure = match why {
            NotDone::BadAddress { .. } => Failure::Argument(why.sentence()),
            NotDone::NotConnected
            | NotDone::NoCall
            | NotDone::NothingToAnswer
            | NotDone::NotInCall
            | NotDone::AlreadyInCall
            | NotDone::NotADigit
            | NotDone::SoundWithheld
            | NotDone::HoldRefused
            | NotDone::NoKeys
            | NotDone::NothingToCompare
            | NotDone::CannotHide
            | NotDone::Stopping => Failure::NoCall,
        };
        self.failure.get_or_insert(failure);
        vec![Command::Quit]
    }

    fn hint(&self) {
        // A single call that is over ends by itself.
        let pointless = matches!(self.purpose, Purpose::Call { .. }) && self.keys == Keys::default();
        if self.person && !pointless {
            self.printer.show(&Shown::Hint(self.keys.help()));
        }
    }

    /// Follows the call for the meaning of keys; says which work when that changes.
    fn follow(&mut self, event: &Event) {
        let before = (self.keys.ringing, self.keys.in_call, self.keys.comparing);
        match event {
            Event::Ringing { at: Side::Here, .. } => self.keys.ringing = true,
            Event::Calling { .. } | Event::Ringing { at: Side::There, .. } | Event::Connecting { .. } => {
                self.keys = Keys { ringing: false, in_call: true, ..self.keys };
            }
            Event::Encrypted { .. } => {
                self.keys = Keys { ringing: false, in_call: true, ..self.keys };
                self.encrypted = true;
            }
            Event::Muted { on, .. } => self.keys.muted = *on,
            Event::OnHold { by: Side::Here, on, .. } => self.keys.held = *on,
            Event::Ended { .. } => self.keys = Keys::default(),
            Event::Compare { .. } => self.keys.comparing = true,
            Event::Verified { .. } | Event::NotVerified { .. } | Event::WrongPick { .. } => self.keys.comparing = false,
            Event::KeyChanged { .. }
            | Event::LinkUsed { .. }
            | Event::NotKept { .. }
            | Event::NotConnected { .. }
            | Event::Ready { .. }
            | Event::FalseAnnouncement
            | Event::SafetyWords { .. }
            | Event::SoundStarted { .. }
            | Event::OnHold { by: Side::There, .. }
            | Event::Digit { .. }
            | Event::Statistics(_)
            | Event::Missed { .. }
            | Event::Refused { .. }
            | Event::NotDone { .. }
            | Event::Stopped => {}
        }
        if before != (self.keys.ringing, self.keys.in_call, self.keys.comparing) {
            self.hint();
        }
    }

    fn react(&mut self, event: &Event) -> Vec<Command> {
        match (event, &self.purpose) {
            (Event::NotConnected { why, retry_in_s }, _) => self.not_connected(*why, *retry_in_s),
            (Event::NotDone { why }, _) => self.not_done(why),
            (Event::Ready { .. }, Purpose::Call { uri, hide }) if !self.ever_ready => {
                let (uri, hide) = (uri.clone(), *hide);
                self.ever_ready = true;
                vec![if hide { Command::DialHidden { uri } } else { Command::Dial { uri } }]
            }
            (Event::Ready { .. }, Purpose::Check) => vec![Command::Quit],
            (Event::Ready { .. }, _) => {
                self.ever_ready = true;
                Vec::new()
            }
            (Event::Ended { .. }, Purpose::Call { .. }) => vec![Command::Quit],
            (Event::Ringing { at: Side::Here, .. }, Purpose::Check | Purpose::Call { .. }) => vec![Command::Reject],
            (
                Event::FalseAnnouncement
                | Event::Calling { .. }
                | Event::Ringing { .. }
                | Event::Connecting { .. }
                | Event::Encrypted { .. }
                | Event::SafetyWords { .. }
                | Event::Verified { .. }
                | Event::NotVerified { .. }
                | Event::Compare { .. }
                | Event::WrongPick { .. }
                | Event::KeyChanged { .. }
                | Event::LinkUsed { .. }
                | Event::NotKept { .. }
                | Event::SoundStarted { .. }
                | Event::Muted { .. }
                | Event::OnHold { .. }
                | Event::Digit { .. }
                | Event::Statistics(_)
                | Event::Missed { .. }
                | Event::Refused { .. }
                | Event::Ended { .. }
                | Event::Stopped,
                _,
            ) => Vec::new(),
        }
    }
}

impl Observer for Face {
    fn see(&mut self, event: Event) -> Vec<Command> {
        let had_failure = self.failure.is_some();
        let commands = self.react(&event);
        // For people the failure that ends the command is said once, at its end.
        let said_at_the_end = !had_failure && matches!(&self.failure, Some(failure) if failure.exit_code() == 2);
        if !(said_at_the_end && self.printer.is_for_people()) {
            self.printer.show(&Shown::Event(event.clone()));
        }
        self.follow(&event);
        commands
    }

    fn see_sound(&mut self, notice: SoundNotice) {
        self.printer.show(&Shown::Sound(notice));
    }

    fn see_connect_error(&mut self, error: ConnectError) {
        self.connect_error = Some(error);
    }

    fn see_unkept(&mut self, error: ConfigError) {
        self.printer.warn(&error.to_string());
    }

    fn see_mistake(&mut self, why: String) {
        self.printer.show(&Shown::Mistake(why));
    }

    fn key(&mut self, key: char) -> Option<Command> {
        self.keys.command(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::call::CallId;
    use crate::core::event::{EndReason, Verification};

    const CALL: CallId = CallId(1);

    #[test]
    fn a_call_is_dialled_once_and_succeeds_only_if_it_was_encrypted() {
        let mut face = face(Purpose::Call { uri: "bob".into(), hide: false });
        assert_eq!(face.see(ready()), [Command::Dial { uri: "bob".into() }]);
        assert_eq!(face.see(ready()), [], "a reconnect does not dial again");
        assert_eq!(face.see(encrypted()), []);
        assert_eq!(face.see(ended(EndReason::HungUpThere)), [Command::Quit]);
        assert!(face.outcome().is_ok());

        let mut face = self::face(Purpose::Call { uri: "bob".into(), hide: false });
        face.see(ready());
        assert_eq!(face.see(ended(EndReason::CannotBeReached)), [Command::Quit]);
        assert_eq!(face.outcome().map_err(|failure| failure.exit_code()), Err(1));
    }

    #[test]
    fn what_a_person_must_change_ends_every_command_with_code_2() {
        for purpose in [
            Purpose::Call { uri: "b".into(), hide: false },
            Purpose::Listen,
            Purpose::Echo,
            Purpose::Headless,
            Purpose::Check,
        ] {
            let mut face = face(purpose);
            face.see_connect_error(ConnectError::WrongPin);
            assert_eq!(face.see(trouble(Trouble::GatewayNotTrusted, Some(2))), [Command::Quit]);
            let failure = face.outcome().expect_err("failed");
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains("pin"), "{failure}");
        }
    }

    #[test]
    fn a_phone_that_waits_for_calls_waits_for_its_gateway_too() {
        let mut listen = face(Purpose::Listen);
        assert_eq!(listen.see(trouble(Trouble::GatewayUnreachable, Some(2))), []);
        assert!(listen.outcome().is_ok());
        let mut call = face(Purpose::Call { uri: "bob".into(), hide: false });
        assert_eq!(call.see(trouble(Trouble::GatewayUnreachable, Some(2))), [Command::Quit]);
        assert_eq!(call.outcome().map_err(|failure| failure.exit_code()), Err(2));
        let mut lost_later = face(Purpose::Headless);
        lost_later.see(ready());
        assert_eq!(lost_later.see(trouble(Trouble::ConnectionLost, Some(2))), []);
    }

    #[test]
    fn an_address_that_cannot_be_called_is_a_wrong_argument() {
        let mut face = face(Purpose::Call { uri: "@".into(), hide: false });
        face.see(ready());
        let event = Event::NotDone { why: NotDone::BadAddress { hint: "write it like name@gateway" } };
        assert_eq!(face.see(event), [Command::Quit]);
        assert_eq!(face.outcome().map_err(|failure| failure.exit_code()), Err(2));
    }

    #[test]
    fn a_hidden_call_is_dialled_hidden() {
        let mut face = face(Purpose::Call { uri: "bob".into(), hide: true });
        assert_eq!(face.see(ready()), [Command::DialHidden { uri: "bob".into() }]);
    }

    #[test]
    fn keys_know_whether_it_rings_or_a_call_goes_on() {
        let mut face = face(Purpose::Listen);
        face.see(Event::Ringing { call: CALL, at: Side::Here, other: "bob".into() });
        assert_eq!(face.key('a'), Some(Command::Answer));
        face.see(encrypted());
        face.see(Event::Muted { call: CALL, on: true });
        assert_eq!(face.key('m'), Some(Command::Mute(false)));
        face.see(ended(EndReason::HungUpHere));
        assert_eq!(face.key('m'), None);
    }

    fn face(purpose: Purpose) -> Face {
        Face::new(purpose, Printer::silent(), false)
    }

    fn ready() -> Event {
        Event::Ready { address: "alice@gw.example".into() }
    }

    fn trouble(why: Trouble, retry_in_s: Option<u64>) -> Event {
        Event::NotConnected { why, retry_in_s }
    }

    fn encrypted() -> Event {
        let verification = Verification::NotVerified;
        Event::Encrypted {
            call: CALL,
            cipher: "AES-256-GCM",
            key_agreement: "DTLS 1.3",
            post_quantum: true,
            verification,
        }
    }

    fn ended(why: EndReason) -> Event {
        Event::Ended { call: CALL, why, detail: String::new(), other: "bob".into(), duration_s: 1 }
    }
}
