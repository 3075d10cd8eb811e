//! INVITE client transaction (RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §7.2).
//!
//! ```text
//!            INVITE ─▶            A: INVITE ─▶ (T1, 2·T1, 4·T1 …, unreliable only)
//!  Calling ──────────────────────────────── B (64·T1): timed out ──▶ Terminated
//!    │ 1xx        │ 2xx          │ 300–699: ACK ─▶
//!    ▼            ▼              ▼
//!  Proceeding ─▶ Accepted      Completed ◀─ 300–699: ACK ─▶ (again)
//!                 │ M (64·T1)    │ D (32 s, reliable: 0)
//!                 ▼              ▼
//!               Terminated     Terminated
//! ```
//! In Accepted every further 2xx is delivered: it is a repeat (the dialog repeats its ACK) or comes
//! from another fork.

use std::time::Duration;

use super::time::{T1, TIMEOUT, unless_reliable};
use super::{Effect, Effects, Timer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
}

/// An INVITE we sent.
#[derive(Debug)]
pub(crate) struct ClientInvite {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl ClientInvite {
    pub(crate) fn start(reliable: bool) -> (Self, Effects) {
        let mut effects = vec![Effect::SendRequest, Effect::Arm(Timer::B, TIMEOUT)];
        if !reliable {
            effects.push(Effect::Arm(Timer::A, T1));
        }
        (Self { state: State::Calling, reliable, interval: T1 }, effects)
    }

    /// Whether the other side has shown that it has the request: only then may it be cancelled (§9.1).
    pub(crate) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether a final answer has come.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.state, State::Completed | State::Accepted)
    }

    pub(crate) fn handle_response(&mut self, status: u16) -> Effects {
        match (self.state, status) {
            (State::Calling | State::Proceeding, 0..=199) => {
                self.state = State::Proceeding;
                vec![Effect::Disarm(Timer::A), Effect::Disarm(Timer::B), Effect::Deliver]
            }
            (State::Calling | State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                vec![
                    Effect::Disarm(Timer::A),
                    Effect::Disarm(Timer::B),
                    Effect::Arm(Timer::M, TIMEOUT),
                    Effect::Deliver,
                ]
            }
            (State::Calling | State::Proceeding, _) => {
                self.state = State::Completed;
                let mut effects =
                    vec![Effect::Disarm(Timer::A), Effect::Disarm(Timer::B), Effect::SendAck, Effect::Deliver];
                effects.push(match unless_reliable(self.reliable, TIMEOUT) {
                    Some(wait) => Effect::Arm(Timer::D, wait),
                    None => Effect::Terminate,
                });
                effects
            }
            (State::Accepted, 200..=299) => vec![Effect::Deliver],
            (State::Completed, 300..) => vec![Effect::SendAck],
            (State::Accepted | State::Completed, _) => vec![],
        }
    }

    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Effects {
        match (timer, self.state) {
            (Timer::A, State::Calling) => {
                self.interval *= 2;
                vec![Effect::SendRequest, Effect::Arm(Timer::A, self.interval)]
            }
            (Timer::B, State::Calling) => vec![Effect::TimedOut, Effect::Terminate],
            (Timer::D, State::Completed) | (Timer::M, State::Accepted) => vec![Effect::Terminate],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_repeated_with_doubling_pauses_until_something_answers() {
        let (mut machine, effects) = ClientInvite::start(false);
        assert_eq!(effects, [Effect::SendRequest, Effect::Arm(Timer::B, TIMEOUT), Effect::Arm(Timer::A, T1)]);
        for doubled in [2, 4, 8] {
            let effects = machine.handle_timer(Timer::A);
            assert_eq!(effects, [Effect::SendRequest, Effect::Arm(Timer::A, T1 * doubled)]);
        }
        machine.handle_response(100);
        assert!(machine.is_proceeding());
        assert!(machine.handle_timer(Timer::A).is_empty());
        assert!(machine.handle_timer(Timer::B).is_empty());
    }

    #[test]
    fn a_reliable_invite_is_sent_once_and_still_times_out() {
        let (mut machine, effects) = ClientInvite::start(true);
        assert_eq!(effects, [Effect::SendRequest, Effect::Arm(Timer::B, TIMEOUT)]);
        assert_eq!(machine.handle_timer(Timer::B), [Effect::TimedOut, Effect::Terminate]);
    }

    #[test]
    fn repeated_refusals_are_acknowledged_but_delivered_once() {
        let (mut machine, _) = ClientInvite::start(false);
        assert!(machine.handle_response(486).contains(&Effect::Deliver));
        assert_eq!(machine.handle_response(486), [Effect::SendAck]);
        assert!(machine.handle_response(180).is_empty());
        assert!(machine.handle_response(200).is_empty());
        assert_eq!(machine.handle_timer(Timer::D), [Effect::Terminate]);
    }

    #[test]
    fn a_reliable_refusal_leaves_nothing_behind() {
        let (mut machine, _) = ClientInvite::start(true);
        let effects = machine.handle_response(603);
        assert_eq!(effects[2..], [Effect::SendAck, Effect::Deliver, Effect::Terminate]);
    }

    #[test]
    fn every_acceptance_is_delivered_until_timer_m() {
        let (mut machine, _) = ClientInvite::start(true);
        assert!(machine.handle_response(200).contains(&Effect::Arm(Timer::M, TIMEOUT)));
        assert_eq!(machine.handle_response(200), [Effect::Deliver]);
        assert!(machine.handle_response(180).is_empty());
        assert!(machine.handle_response(486).is_empty());
        assert_eq!(machine.handle_timer(Timer::M), [Effect::Terminate]);
    }
}
