//! Client transaction of every request but INVITE and ACK (RFC 3261 §17.1.2).
//!
//! ```text
//!           request ─▶          E: request ─▶ (T1, doubling up to T2, unreliable only)
//!  Trying ───────────────────────────────── F (64·T1): timed out ──▶ Terminated
//!    │ 1xx         │ 200–699: deliver            ▲
//!    ▼             ▼                             │ F
//!  Proceeding ─▶ Completed ── K (T4, reliable: 0) ──▶ Terminated
//!   E: request ─▶ (every T2)
//! ```

use std::time::Duration;

use super::time::{T1, T2, T4, TIMEOUT, double_up_to_t2, unless_reliable};
use super::{Effect, Effects, Timer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
}

/// A request we sent.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl ClientRequest {
    pub(crate) fn start(reliable: bool) -> (Self, Effects) {
        let mut effects = vec![Effect::SendRequest, Effect::Arm(Timer::F, TIMEOUT)];
        if !reliable {
            effects.push(Effect::Arm(Timer::E, T1));
        }
        (Self { state: State::Trying, reliable, interval: T1 }, effects)
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.state == State::Completed
    }

    pub(crate) fn handle_response(&mut self, status: u16) -> Effects {
        match (self.state, status) {
            (State::Trying | State::Proceeding, 0..=199) => {
                self.state = State::Proceeding;
                vec![Effect::Deliver]
            }
            (State::Trying | State::Proceeding, _) => {
                self.state = State::Completed;
                let last = match unless_reliable(self.reliable, T4) {
                    Some(wait) => Effect::Arm(Timer::K, wait),
                    None => Effect::Terminate,
                };
                vec![Effect::Disarm(Timer::E), Effect::Disarm(Timer::F), Effect::Deliver, last]
            }
            (State::Completed, _) => vec![],
        }
    }

    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Effects {
        match (timer, self.state) {
            (Timer::E, State::Trying) => {
                self.interval = double_up_to_t2(self.interval);
                vec![Effect::SendRequest, Effect::Arm(Timer::E, self.interval)]
            }
            (Timer::E, State::Proceeding) => vec![Effect::SendRequest, Effect::Arm(Timer::E, T2)],
            (Timer::F, State::Trying | State::Proceeding) => {
                vec![Effect::TimedOut, Effect::Terminate]
            }
            (Timer::K, State::Completed) => vec![Effect::Terminate],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_t2() {
        let (mut machine, _) = ClientRequest::start(false);
        for pause in [1000, 2000, 4000, 4000, 4000] {
            let again = Effect::Arm(Timer::E, Duration::from_millis(pause));
            assert_eq!(machine.handle_timer(Timer::E), [Effect::SendRequest, again]);
        }
    }

    #[test]
    fn after_a_provisional_answer_it_is_repeated_every_t2() {
        let (mut machine, _) = ClientRequest::start(false);
        assert_eq!(machine.handle_response(100), [Effect::Deliver]);
        assert_eq!(machine.handle_timer(Timer::E), [Effect::SendRequest, Effect::Arm(Timer::E, T2)]);
        assert_eq!(machine.handle_timer(Timer::F), [Effect::TimedOut, Effect::Terminate]);
    }

    #[test]
    fn repeated_answers_are_absorbed_until_timer_k() {
        let (mut machine, _) = ClientRequest::start(false);
        assert!(machine.handle_response(200).contains(&Effect::Arm(Timer::K, T4)));
        assert!(machine.is_answered());
        assert!(machine.handle_response(200).is_empty());
        assert_eq!(machine.handle_timer(Timer::K), [Effect::Terminate]);
    }

    #[test]
    fn a_reliable_request_is_never_repeated_and_ends_with_its_answer() {
        let (mut machine, effects) = ClientRequest::start(true);
        assert_eq!(effects, [Effect::SendRequest, Effect::Arm(Timer::F, TIMEOUT)]);
        assert_eq!(machine.handle_response(404).last(), Some(&Effect::Terminate));
    }
}
