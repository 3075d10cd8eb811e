//! The transaction table: finds the transaction of a message, keeps its bytes, carries effects out.
//!
//! Bounded in total by [`Settings::max_transactions`](crate::user_agent::Settings) and per flow by
//! [`MAX_TRANSACTIONS_PER_FLOW`]; beyond, requests are refused without state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::client_invite::ClientInvite;
use super::client_request::ClientRequest;
use super::key::{ClientKey, MergeKey, ServerKey};
use super::server_invite::ServerInvite;
use super::server_request::ServerRequest;
use super::{Effect, Effects, Timer};
use crate::user_agent::outbox::Outbox;
use crate::user_agent::{Alarm, FlowId, SessionId, TransactionId};
use crate::wire::{CSeq, HeaderName, Message, Method, Request, Response, write};

/// Transactions one flow may hold: one stranger cannot fill the table for the others. A phone has
/// fewer than ten; the gateways of a busy trunk would be on several flows.
pub const MAX_TRANSACTIONS_PER_FLOW: usize = 512;

/// Who is told about the answers of a request we sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A session's request.
    Session(SessionId),
    /// A request made with `UserAgent::request`.
    Outside,
    /// Nobody: the request finishes something that is already over.
    Nobody,
}

/// What became of a request that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A new transaction; it waits for a response.
    New(TransactionId),
    /// A repeat or the ACK of a refusal: dealt with.
    Absorbed,
    /// An ACK no transaction wants: it belongs to a dialog.
    DialogAck,
    /// Another copy of a request that is being worked on: 482.
    Merged,
    /// No room: 503.
    Full,
    /// Without the fields that name a transaction.
    Nameless,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    Request(ClientRequest),
}

#[derive(Debug)]
struct Client {
    flow: FlowId,
    reliable: bool,
    owner: Owner,
    key: ClientKey,
    machine: ClientMachine,
    /// Without its body.
    request: Request,
    /// What is repeated; empty on a reliable transport.
    bytes: Vec<u8>,
    ack: Vec<u8>,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Request(ServerRequest),
}

#[derive(Debug)]
struct Server {
    flow: FlowId,
    reliable: bool,
    session: Option<SessionId>,
    key: ServerKey,
    merge_key: Option<MergeKey>,
    machine: ServerMachine,
    /// Without its body.
    request: Request,
    tag: String,
    /// The newest response.
    bytes: Vec<u8>,
}

/// All transactions of a user agent.
#[derive(Debug)]
pub(crate) struct Layer {
    limit: usize,
    next_id: u64,
    clients: BTreeMap<TransactionId, Client>,
    client_index: BTreeMap<ClientKey, TransactionId>,
    servers: BTreeMap<TransactionId, Server>,
    server_index: BTreeMap<ServerKey, TransactionId>,
    merge_index: BTreeMap<MergeKey, TransactionId>,
    per_flow: BTreeMap<FlowId, usize>,
    by_session: BTreeSet<(SessionId, TransactionId)>,
}

impl Layer {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            next_id: 1,
            clients: BTreeMap::new(),
            client_index: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_index: BTreeMap::new(),
            merge_index: BTreeMap::new(),
            per_flow: BTreeMap::new(),
            by_session: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// An id that names no transaction and never will.
    pub(crate) fn spare_id(&mut self) -> TransactionId {
        let id = TransactionId(self.next_id);
        self.next_id += 1;
        id
    }

    fn has_room(&self, flow: FlowId) -> bool {
        let on_flow = self.per_flow.get(&flow).copied().unwrap_or_default();
        self.len() < self.limit && on_flow < MAX_TRANSACTIONS_PER_FLOW
    }

    fn admit(&mut self, flow: FlowId) -> TransactionId {
        *self.per_flow.entry(flow).or_default() += 1;
        self.spare_id()
    }

    /// Sends a request whose topmost `Via` carries a fresh branch. `None`: no room.
    pub(crate) fn start(
        &mut self,
        flow: FlowId,
        reliable: bool,
        owner: Owner,
        mut request: Request,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<TransactionId> {
        let key = ClientKey::of_request(flow, &request)?;
        if !self.has_room(flow) {
            return None;
        }
        let id = self.admit(flow);
        let bytes = to_bytes(Message::Request(request.clone()));
        request.body = Vec::new();
        let (machine, effects) = ClientMachine::start(&request.method, reliable);
        if let Owner::Session(session) = owner {
            self.by_session.insert((session, id));
        }
        self.client_index.insert(key.clone(), id);
        let ack = Vec::new();
        self.clients.insert(id, Client { flow, reliable, owner, key, machine, request, bytes, ack });
        self.apply_client(id, effects, outbox, now);
        if reliable && let Some(client) = self.clients.get_mut(&id) {
            client.bytes = Vec::new();
        }
        Some(id)
    }

    /// Sends the CANCEL of an INVITE we sent (§9.1).
    pub(crate) fn cancel(&mut self, invite: TransactionId, outbox: &mut Outbox, now: Instant) {
        let Some(client) = self.clients.get(&invite) else { return };
        let (flow, reliable) = (client.flow, client.reliable);
        let request = hop_request(&client.request, Method::Cancel, None);
        self.start(flow, reliable, Owner::Nobody, request, outbox, now);
    }

    /// Takes a response; returns who is to be told of it.
    pub(crate) fn handle_response(
        &mut self,
        flow: FlowId,
        response: &Response,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<(TransactionId, Owner)> {
        let key = ClientKey::of_response(flow, response)?;
        let id = *self.client_index.get(&key)?;
        let client = self.clients.get_mut(&id)?;
        let owner = client.owner;
        let effects = client.machine.handle_response(response.status);
        if effects.contains(&Effect::SendAck) && client.ack.is_empty() {
            let to = response.headers.get(&HeaderName::To);
            client.ack = to_bytes(Message::Request(hop_request(&client.request, Method::Ack, to)));
        }
        self.apply_client(id, effects, outbox, now).deliver.then_some((id, owner))
    }

    /// Takes a request. `tag` becomes the To tag of its responses if it is new.
    pub(crate) fn handle_request(
        &mut self,
        flow: FlowId,
        reliable: bool,
        request: &Request,
        tag: String,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Arrival {
        let Some(key) = ServerKey::of(flow, request) else { return Arrival::Nameless };
        if let Some(&id) = self.server_index.get(&key) {
            return self.handle_repeat(id, request, outbox, now);
        }
        if request.method == Method::Ack {
            return Arrival::DialogAck;
        }
        let merge_key = MergeKey::of(&request.headers);
        if merge_key.as_ref().is_some_and(|key| self.merge_index.contains_key(key)) {
            return Arrival::Merged;
        }
        if !self.has_room(flow) {
            return Arrival::Full;
        }
        let id = self.admit(flow);
        let (machine, effects) = ServerMachine::start(&request.method, reliable);
        self.server_index.insert(key.clone(), id);
        if let Some(merge_key) = merge_key.clone() {
            self.merge_index.insert(merge_key, id);
        }
        let request = Request { body: Vec::new(), ..request.clone() };
        let bytes = Vec::new();
        self.servers.insert(id, Server { flow, reliable, session: None, key, merge_key, machine, request, tag, bytes });
        self.apply_server(id, effects, outbox, now);
        Arrival::New(id)
    }

    fn handle_repeat(&mut self, id: TransactionId, request: &Request, outbox: &mut Outbox, now: Instant) -> Arrival {
        let Some(server) = self.servers.get_mut(&id) else { return Arrival::Absorbed };
        let is_ack = request.method == Method::Ack;
        let effects = match &mut server.machine {
            ServerMachine::Invite(machine) if is_ack => {
                if machine.is_accepted() {
                    return Arrival::DialogAck;
                }
                machine.handle_ack()
            }
            ServerMachine::Invite(machine) => machine.handle_repeat(),
            ServerMachine::Request(machine) => machine.handle_repeat(),
        };
        self.apply_server(id, effects, outbox, now);
        Arrival::Absorbed
    }

    /// Sends a response; one that comes too late is dropped.
    pub(crate) fn respond(&mut self, id: TransactionId, response: Response, outbox: &mut Outbox, now: Instant) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let effects = server.machine.respond(response.status);
        if effects.contains(&Effect::SendResponse) {
            server.bytes = to_bytes(Message::Response(response));
        }
        self.apply_server(id, effects, outbox, now);
    }

    /// Sends the newest response again: a dialog's 2xx (§13.3.1.4) or a long ringing (§13.3.1.1).
    pub(crate) fn repeat_response(&self, id: TransactionId, outbox: &mut Outbox) {
        if let Some(server) = self.servers.get(&id) {
            outbox.transmit(server.flow, server.bytes.clone());
        }
    }

    /// A transaction's timer is due; returns whom to tell that nobody answered.
    pub(crate) fn handle_timer(
        &mut self,
        id: TransactionId,
        timer: Timer,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<Owner> {
        if let Some(client) = self.clients.get_mut(&id) {
            let owner = client.owner;
            let effects = client.machine.handle_timer(timer);
            return self.apply_client(id, effects, outbox, now).timed_out.then_some(owner);
        }
        if let Some(server) = self.servers.get_mut(&id) {
            let effects = server.machine.handle_timer(timer);
            self.apply_server(id, effects, outbox, now);
        }
        None
    }

    /// The request of a server transaction, without its body, and the To tag of its responses.
    pub(crate) fn received(&self, id: TransactionId) -> Option<(&Request, &str)> {
        self.servers.get(&id).map(|server| (&server.request, server.tag.as_str()))
    }

    /// Notes whose INVITE this is, so that its CANCEL finds the session.
    pub(crate) fn assign(&mut self, id: TransactionId, session: SessionId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.session = Some(session);
            self.by_session.insert((session, id));
        }
    }

    /// The INVITE a CANCEL is about: its transaction, and its session unless it is already answered.
    pub(crate) fn cancelled(&self, flow: FlowId, cancel: &Request) -> Option<(TransactionId, Option<SessionId>)> {
        let key = ServerKey::of_cancelled(flow, cancel)?;
        let id = *self.server_index.get(&key)?;
        let server = self.servers.get(&id)?;
        Some((id, if server.machine.is_answered() { None } else { server.session }))
    }

    /// Whether an INVITE we sent has been answered provisionally only, so that it may be cancelled.
    pub(crate) fn is_proceeding(&self, id: TransactionId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.machine.is_proceeding())
    }

    /// Ends a transaction at once.
    pub(crate) fn forget(&mut self, id: TransactionId, outbox: &mut Outbox) {
        outbox.alarms.disarm_transaction(id);
        let flow = if let Some(client) = self.clients.remove(&id) {
            self.client_index.remove(&client.key);
            if let Owner::Session(session) = client.owner {
                self.by_session.remove(&(session, id));
            }
            client.flow
        } else if let Some(server) = self.servers.remove(&id) {
            self.server_index.remove(&server.key);
            if let Some(merge_key) = &server.merge_key {
                self.merge_index.remove(merge_key);
            }
            if let Some(session) = server.session {
                self.by_session.remove(&(session, id));
            }
            server.flow
        } else {
            return;
        };
        if let Some(count) = self.per_flow.get_mut(&flow) {
            *count -= 1;
            if *count == 0 {
                self.per_flow.remove(&flow);
            }
        }
    }

    /// A session is over: its transactions have no owner any more. What a reliable transport cannot
    /// repeat ends at once, so that nothing of an ended call stays in memory longer than it must;
    /// so does an INVITE nobody will answer or wait for.
    pub(crate) fn end_session(&mut self, session: SessionId, outbox: &mut Outbox) {
        let least = (session, TransactionId(0));
        while let Some(&(of, id)) = self.by_session.range(least..).next()
            && of == session
        {
            self.by_session.remove(&(of, id));
            let client_is_done = self.clients.get_mut(&id).is_some_and(|client| {
                client.owner = Owner::Nobody;
                match &client.machine {
                    ClientMachine::Invite(machine) => client.reliable || !machine.is_answered(),
                    ClientMachine::Request(_) => false,
                }
            });
            let server_is_done = self.servers.get_mut(&id).is_some_and(|server| {
                server.session = None;
                server.reliable && server.machine.is_accepted()
            });
            if client_is_done || server_is_done {
                self.forget(id, outbox);
            }
        }
    }

    /// Ends everything on a flow; returns the requests whose owners are to be told.
    pub(crate) fn close_flow(&mut self, flow: FlowId, outbox: &mut Outbox) -> Vec<TransactionId> {
        let on_flow = |transaction_flow: FlowId| transaction_flow == flow;
        let clients: Vec<_> = self.clients.iter().filter(|(_, c)| on_flow(c.flow)).map(|(id, _)| *id).collect();
        let servers: Vec<_> = self.servers.iter().filter(|(_, s)| on_flow(s.flow)).map(|(id, _)| *id).collect();
        let unanswered = clients
            .iter()
            .filter(|id| self.clients.get(id).is_some_and(|c| c.owner == Owner::Outside && !c.machine.is_answered()))
            .copied()
            .collect();
        for id in clients.into_iter().chain(servers) {
            self.forget(id, outbox);
        }
        unanswered
    }

    fn apply_client(&mut self, id: TransactionId, effects: Effects, outbox: &mut Outbox, now: Instant) -> Told {
        let mut told = Told::default();
        for effect in effects {
            let Some(client) = self.clients.get(&id) else { break };
            match effect {
                Effect::SendRequest => outbox.transmit(client.flow, client.bytes.clone()),
                Effect::SendAck => outbox.transmit(client.flow, client.ack.clone()),
                Effect::SendResponse => {}
                Effect::Deliver => told.deliver = true,
                Effect::TimedOut => told.timed_out = true,
                Effect::Arm(timer, wait) => outbox.arm(Alarm::Transaction(id, timer), now + wait),
                Effect::Disarm(timer) => outbox.disarm(Alarm::Transaction(id, timer)),
                Effect::Terminate => self.forget(id, outbox),
            }
        }
        told
    }

    fn apply_server(&mut self, id: TransactionId, effects: Effects, outbox: &mut Outbox, now: Instant) {
        for effect in effects {
            let Some(server) = self.servers.get(&id) else { break };
            match effect {
                // A repeat that comes before there is a response has nothing to be told.
                Effect::SendResponse if server.bytes.is_empty() => {}
                Effect::SendResponse => outbox.transmit(server.flow, server.bytes.clone()),
                Effect::Arm(timer, wait) => outbox.arm(Alarm::Transaction(id, timer), now + wait),
                Effect::Disarm(timer) => outbox.disarm(Alarm::Transaction(id, timer)),
                Effect::Terminate => self.forget(id, outbox),
                Effect::SendRequest | Effect::SendAck | Effect::Deliver | Effect::TimedOut => {}
            }
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    deliver: bool,
    timed_out: bool,
}

impl ClientMachine {
    fn start(method: &Method, reliable: bool) -> (Self, Effects) {
        if *method == Method::Invite {
            let (machine, effects) = ClientInvite::start(reliable);
            (Self::Invite(machine), effects)
        } else {
            let (machine, effects) = ClientRequest::start(reliable);
            (Self::Request(machine), effects)
        }
    }

    fn handle_response(&mut self, status: u16) -> Effects {
        match self {
            Self::Invite(machine) => machine.handle_response(status),
            Self::Request(machine) => machine.handle_response(status),
        }
    }

    fn handle_timer(&mut self, timer: Timer) -> Effects {
        match self {
            Self::Invite(machine) => machine.handle_timer(timer),
            Self::Request(machine) => machine.handle_timer(timer),
        }
    }

    fn is_answered(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_answered(),
            Self::Request(machine) => machine.is_answered(),
        }
    }

    fn is_proceeding(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_proceeding(),
            Self::Request(_) => false,
        }
    }
}

impl ServerMachine {
    fn start(method: &Method, reliable: bool) -> (Self, Effects) {
        if *method == Method::Invite {
            let (machine, effects) = ServerInvite::start(reliable);
            (Self::Invite(machine), effects)
        } else {
            let (machine, effects) = ServerRequest::start(reliable);
            (Self::Request(machine), effects)
        }
    }

    fn respond(&mut self, status: u16) -> Effects {
        match self {
            Self::Invite(machine) => machine.respond(status),
            Self::Request(machine) => machine.respond(status),
        }
    }

    fn handle_timer(&mut self, timer: Timer) -> Effects {
        match self {
            Self::Invite(machine) => machine.handle_timer(timer),
            Self::Request(machine) => machine.handle_timer(timer),
        }
    }

    fn is_answered(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_answered(),
            Self::Request(machine) => machine.is_answered(),
        }
    }

    fn is_accepted(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_accepted(),
            Self::Request(_) => false,
        }
    }
}

/// The ACK of a refusal (§17.1.1.3) or the CANCEL (§9.1) of a request: same Request-URI, topmost Via,
/// Call-ID, From, Route and sequence number; the ACK takes the response's To.
fn hop_request(request: &Request, method: Method, to: Option<&str>) -> Request {
    let mut hop = Request::new(method.clone(), request.uri.clone());
    let copied = [HeaderName::Via, HeaderName::MaxForwards, HeaderName::From, HeaderName::CallId, HeaderName::Route];
    for (name, value) in request.headers.iter() {
        if copied.contains(name) {
            hop.headers.push(name.clone(), value);
        } else if *name == HeaderName::To {
            hop.headers.push(HeaderName::To, to.unwrap_or(value));
        } else if *name == HeaderName::CSeq
            && let Ok(CSeq { number, .. }) = CSeq::parse(value)
        {
            let cseq = CSeq { number, method: method.clone() };
            hop.headers.push(HeaderName::CSeq, cseq.to_string());
        }
    }
    hop
}

fn to_bytes(message: Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&message, &mut bytes);
    bytes
}
