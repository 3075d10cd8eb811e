//! Server transaction of every request but INVITE and ACK (RFC 3261 §17.2.2).
//!
//! ```text
//!  ─▶ request: deliver
//!  Trying ── request again: absorb
//!    │ 1xx from above: send            │ 200–699 from above: send
//!    ▼                                 ▼
//!  Proceeding ── request again: send ─▶ Completed ── request again: send ── J (64·T1, reliable: 0) ──▶ Terminated
//! ```
//! A request nobody above answers is forgotten after 64·T1, when its client has given up.

use super::time::{TIMEOUT, unless_reliable};
use super::{Effect, Effects, Timer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
}

/// A request we received.
#[derive(Debug)]
pub(crate) struct ServerRequest {
    state: State,
    reliable: bool,
}

impl ServerRequest {
    pub(crate) fn start(reliable: bool) -> (Self, Effects) {
        let effects = vec![Effect::Arm(Timer::Abandoned, TIMEOUT), Effect::Deliver];
        (Self { state: State::Trying, reliable }, effects)
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.state == State::Completed
    }

    pub(crate) fn handle_repeat(&mut self) -> Effects {
        match self.state {
            State::Trying => vec![],
            State::Proceeding | State::Completed => vec![Effect::SendResponse],
        }
    }

    /// A response from above.
    pub(crate) fn respond(&mut self, status: u16) -> Effects {
        match (self.state, status) {
            (State::Trying | State::Proceeding, 0..=199) => {
                self.state = State::Proceeding;
                vec![Effect::SendResponse]
            }
            (State::Trying | State::Proceeding, _) => {
                self.state = State::Completed;
                let last = match unless_reliable(self.reliable, TIMEOUT) {
                    Some(wait) => Effect::Arm(Timer::J, wait),
                    None => Effect::Terminate,
                };
                vec![Effect::Disarm(Timer::Abandoned), Effect::SendResponse, last]
            }
            (State::Completed, _) => vec![],
        }
    }

    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Effects {
        match (timer, self.state) {
            (Timer::J, State::Completed) => vec![Effect::Terminate],
            (Timer::Abandoned, State::Trying | State::Proceeding) => vec![Effect::Terminate],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_absorbed_until_there_is_an_answer_to_repeat() {
        let (mut machine, _) = ServerRequest::start(false);
        assert!(machine.handle_repeat().is_empty());
        assert!(machine.respond(200).contains(&Effect::Arm(Timer::J, TIMEOUT)));
        assert_eq!(machine.handle_repeat(), [Effect::SendResponse]);
        assert!(machine.respond(500).is_empty());
        assert_eq!(machine.handle_timer(Timer::J), [Effect::Terminate]);
    }

    #[test]
    fn on_a_reliable_transport_the_answer_ends_it() {
        let (mut machine, _) = ServerRequest::start(true);
        assert_eq!(machine.respond(200).last(), Some(&Effect::Terminate));
    }

    #[test]
    fn a_request_nobody_answers_is_forgotten() {
        let (mut machine, _) = ServerRequest::start(true);
        assert_eq!(machine.handle_timer(Timer::Abandoned), [Effect::Terminate]);
    }
}
