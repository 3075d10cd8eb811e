//! The exchange as a state machine; two messages, each in two acknowledged parts.
//!
//! ```text
//! Initiator (sent the call's first INVITE)      Responder
//!   AwaitCiphertext                               AwaitKey
//!     ek 0, ek 1 ───────────────────────────────▶
//!     ◀─────────────────────────── ack 0, ack 1
//!     ◀──────────────────────────── ct 0, ct 1   has the secret ──▶ Deliver
//!   has the secret ──▶ AnswerAgain
//!     ack 0, ack 1 ─────────────────────────────▶ or a first packet under the new keys ──▶ AnswerAgain
//! ```
//!
//! Parts that are not acknowledged are repeated after 100, 200, 400, then every 800 ms until 10 s. A repeated part is
//! acknowledged again; what is out of order, malformed or meant for the other role is ignored. Nothing here
//! proves who the other side is: that is VFY1's part, under a channel binding made of the mixed keys.

use super::failure::Failure;
use super::fragments::{Incoming, Outgoing};
use super::frame::{Frame, Message};
use super::key_encapsulation::{DecapsulationKey, encapsulate};
use super::secret::Secret;
use crate::verify::{self, LIMIT, Repeat, Role};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long parts are acknowledged again: until the other side's repetitions have stopped, with time to travel.
const ANSWER_AGAIN: Duration = Duration::from_secs(15);
/// Frames kept for an owner that does not poll: more than one step ever makes. Further ones are repeated anyway.
const MAX_QUEUED_FRAMES: usize = 8;

/// What the exchange wants.
#[derive(Debug)]
pub enum Output {
    /// Send this as one record inside the association.
    Send(Vec<u8>),
    /// The secret is there. At most once.
    Agreed(Secret),
    /// The exchange is over; keys that it has given are not to be used any more. The last output.
    Failed(Failure),
}

enum State {
    /// Initiator: the encapsulation key is out.
    AwaitCiphertext {
        key: DecapsulationKey,
        sent: Outgoing,
        arriving: Incoming,
    },
    /// Responder, at first.
    AwaitKey {
        arriving: Incoming,
    },
    /// Responder: the ciphertext is out, and whether it has arrived is not known.
    Deliver {
        sent: Outgoing,
    },
    AnswerAgain,
    Over,
}

/// One run of the exchange.
pub struct Exchange {
    role: Role,
    state: State,
    started: Instant,
    repeat: Option<Repeat>,
    outputs: VecDeque<Output>,
}

impl Exchange {
    /// Starts in an association that has just come about; the initiator's frames are ready to be polled.
    pub fn new(role: Role, now: Instant) -> Self {
        let state = State::AwaitKey { arriving: Incoming::new(Message::EncapsulationKey) };
        let mut exchange = Self { role, state, started: now, repeat: None, outputs: VecDeque::new() };
        if role == Role::Initiator {
            match DecapsulationKey::generate() {
                Ok((key, public)) => {
                    let sent = Outgoing::new(Message::EncapsulationKey, public);
                    exchange.send_all(&sent, now);
                    let arriving = Incoming::new(Message::Ciphertext);
                    exchange.state = State::AwaitCiphertext { key, sent, arriving };
                }
                Err(failure) => exchange.fail(failure),
            }
        }
        exchange
    }

    /// Takes one message out of the association. VFY1 may begin only after this exchange, so a message of it from a
    /// phone that still owes its key says that this phone knows of no exchange.
    pub fn handle_message(&mut self, message: &[u8], now: Instant) {
        match Frame::read(message) {
            Some(Frame::Fragment { of, number, octets }) => self.handle_fragment(of, number, octets, now),
            Some(Frame::Acknowledgement { of, number }) => self.handle_acknowledgement(of, number),
            None if message.starts_with(verify::MAGIC) && matches!(self.state, State::AwaitKey { .. }) => {
                self.fail(Failure::Stripped);
            }
            None => {}
        }
    }

    /// The other side has shown that it has the secret: nothing needs to be repeated any more.
    pub fn handle_confirmed(&mut self) {
        if matches!(self.state, State::Deliver { .. }) {
            self.state = State::AnswerAgain;
            self.repeat = None;
        }
    }

    /// Repeats what is outstanding, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let outstanding = match &self.state {
            State::AwaitCiphertext { sent, .. } | State::Deliver { sent } => sent.outstanding().collect(),
            State::AwaitKey { .. } => Vec::new(),
            State::AnswerAgain | State::Over => return,
        };
        if now >= self.started + LIMIT {
            return self.fail(Failure::Timeout);
        }
        if self.repeat.as_mut().is_some_and(|repeat| repeat.is_due(now)) {
            outstanding.into_iter().for_each(|frame| self.send(frame));
        }
    }

    /// When [`Exchange::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let limit = self.started + LIMIT;
        match &self.state {
            State::AnswerAgain | State::Over => None,
            State::AwaitCiphertext { .. } | State::AwaitKey { .. } | State::Deliver { .. } => {
                Some(self.repeat.map_or(limit, |repeat| repeat.at().min(limit)))
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn handle_fragment(&mut self, of: Message, number: usize, octets: &[u8], now: Instant) {
        // Our own fragments coming back are no answer.
        let expected = match self.role {
            Role::Initiator => Message::Ciphertext,
            Role::Responder => Message::EncapsulationKey,
        };
        if of != expected {
            return;
        }
        match &mut self.state {
            State::Over => return,
            State::AnswerAgain if now >= self.started + ANSWER_AGAIN => return,
            State::AnswerAgain | State::Deliver { .. } => {}
            State::AwaitKey { arriving } => arriving.take(number, octets),
            State::AwaitCiphertext { sent, arriving, .. } => {
                arriving.take(number, octets);
                // Only who has the whole key can answer.
                sent.acknowledge_all();
                self.repeat = None;
            }
        }
        self.send(Frame::Acknowledgement { of, number }.to_bytes());
        if let Err(failure) = self.go_on(now) {
            self.fail(failure);
        }
    }

    /// Makes the secret once everything for it is there.
    fn go_on(&mut self, now: Instant) -> Result<(), Failure> {
        match &self.state {
            State::AwaitKey { arriving } => {
                let Some(key) = arriving.complete() else { return Ok(()) };
                let (ciphertext, secret) = encapsulate(key)?;
                let sent = Outgoing::new(Message::Ciphertext, ciphertext);
                self.send_all(&sent, now);
                self.state = State::Deliver { sent };
                self.outputs.push_back(Output::Agreed(secret));
            }
            State::AwaitCiphertext { key, sent, arriving } => {
                let Some(ciphertext) = arriving.complete() else { return Ok(()) };
                let secret = key.decapsulate(sent.octets(), ciphertext)?;
                self.state = State::AnswerAgain;
                self.outputs.push_back(Output::Agreed(secret));
            }
            State::Deliver { .. } | State::AnswerAgain | State::Over => {}
        }
        Ok(())
    }

    fn handle_acknowledgement(&mut self, of: Message, number: usize) {
        match (&mut self.state, of) {
            (State::AwaitCiphertext { sent, .. }, Message::EncapsulationKey) => {
                sent.acknowledge(number);
                if sent.is_delivered() {
                    self.repeat = None;
                }
            }
            (State::Deliver { sent }, Message::Ciphertext) => {
                sent.acknowledge(number);
                if sent.is_delivered() {
                    self.handle_confirmed();
                }
            }
            (
                State::AwaitCiphertext { .. }
                | State::AwaitKey { .. }
                | State::Deliver { .. }
                | State::AnswerAgain
                | State::Over,
                Message::EncapsulationKey | Message::Ciphertext,
            ) => {}
        }
    }

    fn send_all(&mut self, message: &Outgoing, now: Instant) {
        message.outstanding().for_each(|frame| self.send(frame));
        self.repeat = Some(Repeat::new(now));
    }

    fn send(&mut self, frame: Vec<u8>) {
        if self.outputs.len() < MAX_QUEUED_FRAMES {
            self.outputs.push_back(Output::Send(frame));
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Over;
        self.repeat = None;
        self.outputs.push_back(Output::Failed(failure));
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("role", &self.role).finish_non_exhaustive()
    }
}
