//! INVITE server transaction (RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1).
//!
//! ```text
//!  ─▶ INVITE: deliver
//!  Proceeding ── 1xx from above: send ── INVITE again: send it again
//!    │ 2xx: send                │ 300–699: send
//!    ▼                          ▼
//!  Accepted                   Completed ── G (T1, doubling up to T2, unreliable only): send again
//!    │ INVITE: absorb           │ ACK        │ H (64·T1): timed out
//!    │ 2xx from above: send     ▼            ▼
//!    │ L (64·T1)              Confirmed    Terminated
//!    ▼                          │ I (T4, reliable: 0)
//!  Terminated                 Terminated
//! ```
//! The dialog above repeats the 2xx until its ACK arrives, on every transport (§13.3.1.4).

use std::time::Duration;

use super::time::{T1, T4, TIMEOUT, double_up_to_t2, unless_reliable};
use super::{Effect, Effects, Timer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
}

/// An INVITE we received.
#[derive(Debug)]
pub(crate) struct ServerInvite {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl ServerInvite {
    /// The layer bounds Proceeding by its owner: every session has a ring limit.
    pub(crate) fn start(reliable: bool) -> (Self, Effects) {
        (Self { state: State::Proceeding, reliable, interval: T1 }, vec![Effect::Deliver])
    }

    /// Whether a final answer has been sent.
    pub(crate) fn is_answered(&self) -> bool {
        self.state != State::Proceeding
    }

    /// Whether it was answered with a 2xx: its ACK belongs to the dialog.
    pub(crate) fn is_accepted(&self) -> bool {
        self.state == State::Accepted
    }

    pub(crate) fn handle_repeat(&mut self) -> Effects {
        match self.state {
            State::Proceeding | State::Completed => vec![Effect::SendResponse],
            State::Accepted | State::Confirmed => vec![],
        }
    }

    /// An ACK that belongs to this transaction, hence acknowledges a refusal.
    pub(crate) fn handle_ack(&mut self) -> Effects {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                let last = match unless_reliable(self.reliable, T4) {
                    Some(wait) => Effect::Arm(Timer::I, wait),
                    None => Effect::Terminate,
                };
                vec![Effect::Disarm(Timer::G), Effect::Disarm(Timer::H), last]
            }
            State::Proceeding | State::Accepted | State::Confirmed => vec![],
        }
    }

    /// A response from above.
    pub(crate) fn respond(&mut self, status: u16) -> Effects {
        match (self.state, status) {
            (State::Proceeding, 0..=199) => vec![Effect::SendResponse],
            (State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                vec![Effect::SendResponse, Effect::Arm(Timer::L, TIMEOUT)]
            }
            (State::Proceeding, _) => {
                self.state = State::Completed;
                let mut effects = vec![Effect::SendResponse, Effect::Arm(Timer::H, TIMEOUT)];
                if !self.reliable {
                    effects.push(Effect::Arm(Timer::G, T1));
                }
                effects
            }
            (State::Accepted, 200..=299) => vec![Effect::SendResponse],
            (State::Accepted | State::Completed | State::Confirmed, _) => vec![],
        }
    }

    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Effects {
        match (timer, self.state) {
            (Timer::G, State::Completed) => {
                self.interval = double_up_to_t2(self.interval);
                vec![Effect::SendResponse, Effect::Arm(Timer::G, self.interval)]
            }
            (Timer::H, State::Completed) => vec![Effect::TimedOut, Effect::Terminate],
            (Timer::I, State::Confirmed) | (Timer::L, State::Accepted) => vec![Effect::Terminate],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_invite_gets_the_newest_provisional_answer_again() {
        let (mut machine, _) = ServerInvite::start(false);
        assert_eq!(machine.respond(180), [Effect::SendResponse]);
        assert_eq!(machine.handle_repeat(), [Effect::SendResponse]);
        assert!(!machine.is_answered());
    }

    #[test]
    fn a_refusal_is_repeated_until_its_ack() {
        let (mut machine, _) = ServerInvite::start(false);
        assert!(machine.respond(486).contains(&Effect::Arm(Timer::G, T1)));
        let effects = machine.handle_timer(Timer::G);
        assert_eq!(effects, [Effect::SendResponse, Effect::Arm(Timer::G, T1 * 2)]);
        assert!(machine.handle_ack().contains(&Effect::Arm(Timer::I, T4)));
        assert!(machine.handle_timer(Timer::G).is_empty());
        assert!(machine.handle_ack().is_empty());
        assert_eq!(machine.handle_timer(Timer::I), [Effect::Terminate]);
    }

    #[test]
    fn on_a_reliable_transport_the_ack_ends_it() {
        let (mut machine, _) = ServerInvite::start(true);
        assert_eq!(machine.respond(486), [Effect::SendResponse, Effect::Arm(Timer::H, TIMEOUT)]);
        assert_eq!(machine.handle_ack().last(), Some(&Effect::Terminate));
    }

    #[test]
    fn a_refusal_nobody_acknowledges_times_out() {
        let (mut machine, _) = ServerInvite::start(false);
        machine.respond(480);
        assert_eq!(machine.handle_timer(Timer::H), [Effect::TimedOut, Effect::Terminate]);
    }

    #[test]
    fn once_accepted_it_absorbs_repeats_and_passes_repeated_acceptances() {
        let (mut machine, _) = ServerInvite::start(false);
        assert_eq!(machine.respond(200), [Effect::SendResponse, Effect::Arm(Timer::L, TIMEOUT)]);
        assert!(machine.handle_repeat().is_empty());
        assert_eq!(machine.respond(200), [Effect::SendResponse]);
        assert!(machine.respond(487).is_empty());
        assert_eq!(machine.handle_timer(Timer::L), [Effect::Terminate]);
    }
}
