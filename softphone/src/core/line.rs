//! The phone's line: what carries its signalling, through a gateway or phone to phone.

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::RngCore;
use undertone_config::{AnnouncedPin, OperatorKey};
use undertone_media::verify::AddressHash;
use undertone_sip::user_agent::{FlowId, FlowIdentity, TransactionId};
use undertone_sip::wire::{Message, ParseError, Request, Response, Uri};

use super::address::{self, Callee, DirectCallee};
use super::direct_line::DirectLine;
use super::event::{Event, NotDone, Trouble};
use super::gateway_line::GatewayLine;
use super::phone_output::{FlowOpened, Target};
use super::phone_settings::Mode;

/// A keep-alive of RFC 5626 §4.4.1, and its answer.
pub(super) const PING: &[u8] = b"\r\n\r\n";
/// See [`PING`].
pub(super) const PONG: &[u8] = b"\r\n";

/// Either kind of line.
pub(super) enum Line<R> {
    Gateway(Box<GatewayLine<R>>),
    Direct(DirectLine),
}

/// What a line wants done.
#[derive(Debug)]
pub(super) enum LineAction {
    /// Open a flow.
    Open { flow: FlowId, target: Target },
    /// Close it; whatever was on it is lost.
    Close { flow: FlowId },
    /// A keep-alive or its answer.
    Transmit { flow: FlowId, bytes: Vec<u8> },
    /// A request for the user agent to carry through.
    Request { flow: FlowId, request: Box<Request> },
    /// Keep the gateway's next key.
    KeepNextPin(AnnouncedPin),
    /// Tell the person.
    Show(Event),
    /// The gateway knows that this phone is gone.
    SignedOff,
}

/// The way to someone who is to be called.
pub(super) enum Road {
    /// Over the registered flow.
    Gateway { flow: FlowId, callee: Callee },
    /// Over a flow of its own, which may still have to be opened.
    Direct { flow: FlowId, callee: DirectCallee, is_open: bool },
}

impl<R: RngCore> Line<R> {
    pub(super) fn new(mode: Mode, registration_rng: R, rng: &mut R, now: Instant) -> Self {
        match mode {
            Mode::Gateway(account) => Self::Gateway(Box::new(GatewayLine::new(account, registration_rng, rng, now))),
            Mode::Direct(direct) => Self::Direct(DirectLine::new(direct)),
        }
    }

    pub(super) fn listen_for_next_key(&mut self, operator: OperatorKey, newest: Option<u64>) {
        match self {
            Self::Gateway(line) => line.listen_for_next_key(operator, newest),
            Self::Direct(_) => {}
        }
    }

    /// The identity to use on the flow; `None` if it is not wanted.
    pub(super) fn handle_flow_opened(
        &mut self,
        flow: FlowId,
        opened: FlowOpened,
        rng: &mut impl RngCore,
        now: Instant,
    ) -> Option<FlowIdentity> {
        match self {
            Self::Gateway(line) => line.handle_flow_opened(flow, opened, rng, now),
            Self::Direct(line) => line.handle_flow_opened(flow, opened, now),
        }
    }

    pub(super) fn handle_flow_closed(&mut self, flow: FlowId, why: Trouble, rng: &mut impl RngCore, now: Instant) {
        match self {
            Self::Gateway(line) => line.handle_flow_closed(flow, why, rng, now),
            Self::Direct(line) => line.handle_flow_closed(flow),
        }
    }

    /// The messages that these bytes complete.
    pub(super) fn handle_bytes(
        &mut self,
        flow: FlowId,
        bytes: &[u8],
        rng: &mut impl RngCore,
        now: Instant,
    ) -> Vec<Result<Message, ParseError>> {
        match self {
            Self::Gateway(line) => line.handle_bytes(flow, bytes, rng, now),
            Self::Direct(line) => line.handle_bytes(flow, bytes, now),
        }
    }

    /// The user agent has taken the last [`LineAction::Request`].
    pub(super) fn handle_requested(&mut self, transaction: TransactionId) {
        match self {
            Self::Gateway(line) => line.handle_requested(transaction),
            Self::Direct(_) => {}
        }
    }

    pub(super) fn handle_response(&mut self, transaction: TransactionId, response: &Response, now: Instant) {
        match self {
            Self::Gateway(line) => line.handle_response(transaction, response, now),
            Self::Direct(_) => {}
        }
    }

    pub(super) fn handle_request_timed_out(&mut self, transaction: TransactionId, now: Instant) {
        match self {
            Self::Gateway(line) => line.handle_request_timed_out(transaction, now),
            Self::Direct(_) => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, rng: &mut impl RngCore, now: Instant) {
        match self {
            Self::Gateway(line) => line.handle_timeout(rng, now),
            Self::Direct(line) => line.handle_timeout(now),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Gateway(line) => line.poll_timeout(),
            Self::Direct(line) => line.poll_timeout(),
        }
    }

    pub(super) fn poll_action(&mut self, rng: &mut impl RngCore, now: Instant) -> Option<LineAction> {
        match self {
            Self::Gateway(line) => line.poll_action(rng, now),
            Self::Direct(line) => line.poll_action(),
        }
    }

    /// The way to the typed address.
    pub(super) fn road(&mut self, typed: &str, now: Instant) -> Result<Road, NotDone> {
        match self {
            Self::Gateway(line) => line.road(typed),
            Self::Direct(line) => line.road(typed, now),
        }
    }

    /// Where this phone is reached inside a dialog on the flow: a random name that leads nowhere else, or its address.
    pub(super) fn contact(&self, flow: FlowId, rng: &mut impl RngCore) -> Uri {
        match self {
            Self::Gateway(line) => line.contact(rng),
            Self::Direct(line) => line.own_uri(flow),
        }
    }

    /// Who calls, on the flow.
    pub(super) fn own_uri(&self, flow: FlowId) -> Uri {
        match self {
            Self::Gateway(line) => line.own_uri(),
            Self::Direct(line) => line.own_uri(flow),
        }
    }

    /// The address that this phone proves in calls; `None` without a gateway, where addresses prove nothing.
    pub(super) fn own_address(&self) -> Option<AddressHash> {
        match self {
            Self::Gateway(line) => Some(address::hash(&line.own_uri())),
            Self::Direct(_) => None,
        }
    }

    /// Where this phone takes media on calls of the flow; `None` behind a relay.
    pub(super) fn media_address(&self, flow: FlowId) -> Option<SocketAddr> {
        match self {
            Self::Gateway(_) => None,
            Self::Direct(line) => line.media_address(flow),
        }
    }

    /// A call uses the flow.
    pub(super) fn enter(&mut self, flow: FlowId) {
        match self {
            Self::Gateway(_) => {}
            Self::Direct(line) => line.enter(flow),
        }
    }

    /// The call that used the flow is over.
    pub(super) fn leave(&mut self, flow: FlowId, now: Instant) {
        match self {
            Self::Gateway(_) => {}
            Self::Direct(line) => line.leave(flow, now),
        }
    }

    /// Begins to sign off; `false` if nobody needs to know.
    pub(super) fn sign_off(&mut self, now: Instant) -> bool {
        match self {
            Self::Gateway(line) => line.sign_off(now),
            Self::Direct(_) => false,
        }
    }

    /// Closes every flow.
    pub(super) fn close(&mut self) {
        match self {
            Self::Gateway(line) => line.close(),
            Self::Direct(line) => line.close(),
        }
    }
}
