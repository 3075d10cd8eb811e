//! The line without a gateway: one flow per phone, opened to call it or accepted from it.
//!
//! Only for measurements and for tests with foreign phones: who calls whom is readable on the way. The call itself is
//! encrypted as everywhere.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use undertone_sip::user_agent::{FlowId, FlowIdentity, Transport};
use undertone_sip::wire::{End, Frame, Message, ParseError, StreamFramer, Uri, parse};

use super::address;
use super::event::{Event, NotDone};
use super::line::{LineAction, PONG, Road};
use super::phone_output::{DirectAddresses, FIRST_ACCEPTED_FLOW, FlowOpened, Target};
use super::phone_settings::Direct;

/// Flows kept at once. One call uses one; the others belong to strangers who must not take the phone's memory.
pub(super) const MAX_DIRECT_FLOWS: usize = 32;
/// A flow without a call is kept as long as an answer may be repeated on it (RFC 3261 §17.1.1.2, timer B, twice).
pub(super) const DIRECT_IDLE_TIME: Duration = Duration::from_secs(64);

/// The line of a phone without a gateway.
pub(super) struct DirectLine {
    settings: Direct,
    flows: BTreeMap<FlowId, Flow>,
    last_flow: u64,
    actions: VecDeque<LineAction>,
}

struct Flow {
    transport: Transport,
    remote: SocketAddr,
    /// Known once it is open.
    local: Option<SocketAddr>,
    framer: Option<StreamFramer>,
    in_call: bool,
    used: Instant,
}

impl DirectLine {
    pub(super) fn new(settings: Direct) -> Self {
        let address = settings.shown_address.clone();
        let actions = VecDeque::from([LineAction::Show(Event::Ready { address })]);
        Self { settings, flows: BTreeMap::new(), last_flow: 0, actions }
    }

    pub(super) fn handle_flow_opened(
        &mut self,
        flow: FlowId,
        opened: FlowOpened,
        now: Instant,
    ) -> Option<FlowIdentity> {
        let accepted = flow.0 >= FIRST_ACCEPTED_FLOW;
        let Some(DirectAddresses { local, remote }) =
            opened.direct.filter(|_| accepted || self.flows.contains_key(&flow))
        else {
            self.drop_flow(flow);
            return None;
        };
        if accepted && !self.flows.contains_key(&flow) {
            self.make_room();
        }
        let end = if accepted { End::Server } else { End::Client };
        let framer = opened.transport.is_reliable().then(|| StreamFramer::new(end));
        let in_call = self.flows.get(&flow).is_some_and(|flow| flow.in_call);
        let entry = Flow { transport: opened.transport, remote, local: Some(local), framer, in_call, used: now };
        self.flows.insert(flow, entry);
        let contact = self.own_uri(flow);
        Some(FlowIdentity { transport: opened.transport, sent_by: local.to_string(), contact })
    }

    pub(super) fn handle_flow_closed(&mut self, flow: FlowId) {
        self.flows.remove(&flow);
    }

    pub(super) fn handle_bytes(
        &mut self,
        flow: FlowId,
        bytes: &[u8],
        now: Instant,
    ) -> Vec<Result<Message, ParseError>> {
        let Some(entry) = self.flows.get_mut(&flow) else { return Vec::new() };
        entry.used = now;
        let Some(framer) = &mut entry.framer else {
            // Some phones keep their address translation open with empty lines.
            let keep_alive = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0));
            return if keep_alive { Vec::new() } else { vec![parse(bytes)] };
        };
        framer.push(bytes);
        let mut messages = Vec::new();
        while let Some(frame) = framer.next() {
            match frame {
                Ok(Frame::Message(bytes)) => messages.push(parse(&bytes)),
                Ok(Frame::Ping) => self.actions.push_back(LineAction::Transmit { flow, bytes: PONG.to_vec() }),
                Ok(Frame::Pong) => {}
                Err(_) => {
                    self.drop_flow(flow);
                    return messages;
                }
            }
        }
        messages
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let idle: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.expires().is_some_and(|at| now >= at))
            .map(|(id, _)| *id)
            .collect();
        for flow in idle {
            self.drop_flow(flow);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.flows.values().filter_map(Flow::expires).min()
    }

    pub(super) fn poll_action(&mut self) -> Option<LineAction> {
        self.actions.pop_front()
    }

    pub(super) fn road(&mut self, typed: &str, now: Instant) -> Result<Road, NotDone> {
        let callee = address::direct_callee(typed)?;
        let known = self.flows.iter().find(|(_, flow)| {
            flow.local.is_some() && flow.transport == callee.transport && flow.remote == callee.address
        });
        if let Some((flow, _)) = known {
            return Ok(Road::Direct { flow: *flow, callee, is_open: true });
        }
        self.make_room();
        self.last_flow += 1;
        let flow = FlowId(self.last_flow);
        let (transport, address) = (callee.transport, callee.address);
        let entry = Flow { transport, remote: address, local: None, framer: None, in_call: false, used: now };
        self.flows.insert(flow, entry);
        self.actions.push_back(LineAction::Open { flow, target: Target::Peer { transport, address } });
        Ok(Road::Direct { flow, callee, is_open: false })
    }

    /// `sip:name@address:port` as the other end of the flow sees this phone.
    pub(super) fn own_uri(&self, flow: FlowId) -> Uri {
        let entry = self.flows.get(&flow);
        let transport = entry.map_or(Transport::Udp, |flow| flow.transport);
        let local = entry.and_then(|flow| flow.local).unwrap_or(([0, 0, 0, 0], 0).into());
        address::own_direct_uri(&self.settings.name, local, transport)
    }

    /// The media port on the address that this flow has here.
    pub(super) fn media_address(&self, flow: FlowId) -> Option<SocketAddr> {
        let local = self.flows.get(&flow).and_then(|flow| flow.local);
        // Without one there is nothing to be reached at; the other side is told so and refuses.
        Some(SocketAddr::new(local.map_or([0, 0, 0, 0].into(), |local| local.ip()), self.settings.media_port))
    }

    pub(super) fn enter(&mut self, flow: FlowId) {
        if let Some(flow) = self.flows.get_mut(&flow) {
            flow.in_call = true;
        }
    }

    pub(super) fn leave(&mut self, flow: FlowId, now: Instant) {
        if let Some(entry) = self.flows.get_mut(&flow) {
            entry.in_call = false;
            entry.used = now;
            if entry.local.is_none() {
                self.drop_flow(flow);
            }
        }
    }

    pub(super) fn close(&mut self) {
        for flow in std::mem::take(&mut self.flows).into_keys() {
            self.actions.push_back(LineAction::Close { flow });
        }
    }

    /// Closes the flow that has been without a call for longest, if there are too many.
    fn make_room(&mut self) {
        if self.flows.len() < MAX_DIRECT_FLOWS {
            return;
        }
        let idle = self.flows.iter().filter(|(_, flow)| !flow.in_call);
        if let Some((flow, _)) = idle.min_by_key(|(_, flow)| flow.used) {
            self.drop_flow(*flow);
        }
    }

    fn drop_flow(&mut self, flow: FlowId) {
        self.flows.remove(&flow);
        self.actions.push_back(LineAction::Close { flow });
    }
}

impl Flow {
    fn expires(&self) -> Option<Instant> {
        (!self.in_call).then(|| self.used + DIRECT_IDLE_TIME)
    }
}
