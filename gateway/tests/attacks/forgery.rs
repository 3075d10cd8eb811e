//! What attackers write: requests and answers that repeat what belongs to somebody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use undertone_config::LinkToken;
use undertone_gateway::core::{AccountName, DeviceHash, TokenHash};
use undertone_sip::digest::Challenge;
use undertone_sip::wire::{HeaderName, Message, Method, Request, Response, parse};

use crate::world::{self, DOMAIN, PhoneId, World, challenge, password, proof};

/// How one phone names its leg of a call in what it sends.
pub struct Dialog {
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub branch: String,
}

impl Dialog {
    pub fn of_nobody() -> Self {
        let (from, to) = (format!("<sip:carol@{DOMAIN}>;tag=1"), format!("<sip:{DOMAIN}>"));
        Self { from, to, call_id: "none".to_owned(), branch: "z9hG4bKnone".to_owned() }
    }
}

/// The dialog of the last call that this phone placed or took.
pub fn dialog(world: &World, id: PhoneId) -> Dialog {
    let flow = world.phones[id.0].flow;
    let messages = world.traffic.iter().rev().filter(|c| c.flow == flow);
    let mut accepted = messages.filter_map(|c| match parse(&c.bytes) {
        Ok(Message::Response(r)) if r.status == 200 && r.headers.cseq().unwrap().method == Method::Invite => {
            Some((c.to_phone, r.headers))
        }
        _ => None,
    });
    let (is_caller, headers) = accepted.next().unwrap();
    let value = |name| headers.get(&name).unwrap().to_owned();
    let (from, to) = (value(HeaderName::From), value(HeaderName::To));
    let (from, to) = if is_caller { (from, to) } else { (to, from) };
    let branch = headers.via_top().unwrap().branch().unwrap().to_owned();
    Dialog { from, to, call_id: value(HeaderName::CallId), branch }
}

/// A request inside a dialog; a CANCEL repeats the branch of the INVITE.
pub fn forged(method: &str, dialog: &Dialog, n: usize) -> String {
    let Dialog { from, to, call_id, branch } = dialog;
    let branch = if method == "CANCEL" { branch.clone() } else { format!("z9hG4bKforged{n}") };
    let sdp = String::from_utf8(world::offer(3)).unwrap();
    let (fields, body) = match method {
        "INVITE" | "UPDATE" => ("Content-Type: application/sdp\r\n", sdp.as_str()),
        _ => ("", ""),
    };
    format!(
        "{method} sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch={branch}\r\nMax-Forwards: 70\r\n\
         From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {} {method}\r\nContact: <sip:x@x.invalid>\r\n\
         {fields}Content-Length: {}\r\n\r\n{body}",
        2_000_000_000 + n,
        body.len()
    )
}

/// An INVITE that crossed a flow: the lines that whoever answers or cancels it must repeat.
pub struct Repeated {
    lines: String,
    number: u32,
    pub to: String,
}

pub fn invite_of(world: &World, id: PhoneId) -> Repeated {
    let flow = world.phones[id.0].flow;
    let crossed = world.traffic.iter().rev().filter(|c| c.flow == flow);
    let headers = crossed.filter_map(|c| parse(&c.bytes).ok()).find(is_invite).unwrap().headers().clone();
    let line = |name: HeaderName| format!("{}: {}\r\n", name.as_str(), headers.get(&name).unwrap());
    let lines = [HeaderName::Via, HeaderName::From, HeaderName::CallId].map(line).concat();
    let to = headers.get(&HeaderName::To).unwrap().to_owned();
    Repeated { lines, number: headers.cseq().unwrap().number, to }
}

impl Repeated {
    pub fn request(&self, method: &str) -> String {
        let Self { lines, number, to } = self;
        format!(
            "{method} sip:bob@{DOMAIN} SIP/2.0\r\n{lines}To: {to}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    pub fn response(&self, status: u16) -> String {
        let Self { lines, number, to } = self;
        format!("SIP/2.0 {status} x\r\n{lines}To: {to};tag=t\r\nCSeq: {number} INVITE\r\nContent-Length: 0\r\n\r\n")
    }
}

/// An INVITE to bob with fields and a body of the attacker's choice.
pub fn invite(from: &str, n: usize, fields: &str, body: &str) -> String {
    format!(
        "INVITE sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKi{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:{from}@{DOMAIN}>;tag=i{n}\r\nTo: <sip:bob@{DOMAIN}>\r\nCall-ID: i{n}\r\nCSeq: 1 INVITE\r\n\
         {}{fields}\r\nContent-Length: {}\r\n\r\n{body}",
        if fields.starts_with("Contact:") { "" } else { "Contact: <sip:x@x.invalid>\r\n" },
        body.len()
    )
}

pub fn fresh_nonce(world: &mut World, id: PhoneId) -> Challenge {
    let mut request = world.register_request(id);
    // Who is signed in is challenged again only when he offers a proof.
    let unknown = Challenge { realm: DOMAIN.to_owned(), nonce: "unknown".to_owned(), opaque: None, stale: false };
    let account = world.phones[id.0].account.clone();
    request.headers.push(HeaderName::Authorization, proof(&account, &password(&account), &unknown, 1));
    challenge(&world.request(id, request))
}

/// A phone that joined an account of its own.
pub fn joined(world: &mut World, name: &str) -> PhoneId {
    let token = LinkToken::new([name.as_bytes()[0]; 32]);
    world.store().invite_to_new(&account(name), &TokenHash::of(&token), 7, world.today).unwrap().unwrap();
    world.look_at_store();
    let phone = world.connect_with(name, Some(device(name)));
    let text = URL_SAFE_NO_PAD.encode([name.as_bytes()[0]; 32]);
    let mut request = world.register_request(phone);
    request.headers.push(HeaderName::Authorization, format!("Undertone-Token token=\"{text}\""));
    assert_eq!(world.request(phone, request).status, 200);
    phone
}

pub fn device(name: &str) -> DeviceHash {
    DeviceHash::of_key(name.as_bytes())
}

pub fn account(name: &str) -> AccountName {
    AccountName::parse(name).unwrap()
}

pub fn device_command(from: &str, to: &str, line: &str) -> Request {
    let mut request = Request::new(Method::Message, world::uri(&format!("sip:{DOMAIN}")));
    request.headers.push(HeaderName::From, format!("{from};tag=1"));
    request.headers.push(HeaderName::To, to);
    request.headers.push(HeaderName::ContentType, "application/undertone-devices");
    request.body = line.as_bytes().to_vec();
    request
}

pub fn is_invite(message: &Message) -> bool {
    matches!(message, Message::Request(request) if request.method == Method::Invite)
}

/// The status of the newest final answer that this phone received.
pub fn last_status(world: &World, id: PhoneId) -> u16 {
    let responses = world.received(id).into_iter().rev().filter_map(|message| match message {
        Message::Response(Response { status, .. }) if status >= 200 => Some(status),
        _ => None,
    });
    responses.into_iter().next().unwrap_or(0)
}
