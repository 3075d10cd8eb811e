//! The phone's line to its gateway, in virtual time: signing in, keeping alive, coming back, giving up, signing off.
//!
//! The gateway here is a script that answers REGISTER; calls through a real one are tried with the whole product.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ring::signature::{Ed25519KeyPair, KeyPair};
use undertone::core::command::Command;
use undertone::core::contacts::{ContactChange, Contacts};
use undertone::core::event::{EndReason, Event, NotDone, Trouble};
use undertone::core::phone::Phone;
use undertone::core::phone_output::{FlowOpened, Output, Target};
use undertone::core::phone_settings::{Account, Mode, Proof, Settings};
use undertone::core::ringing::MAX_SILENT_CALLS;
use undertone_config::{AnnouncedPin, OperatorKey, Pin, Secret};
use undertone_media::certificate::Certificate;
use undertone_media::verify::IdentityKey;
use undertone_sip::sdp::{Candidate, Codec, Description, Fingerprint, Ice, Origin};
use undertone_sip::user_agent::{FlowId, Transport};
use undertone_sip::wire::{HeaderName, Message, Method, Request, Response, parse, write};

#[test]
fn a_phone_connects_signs_in_and_is_ready() {
    let mut line = Line::new();
    assert_eq!(line.opened.len(), 1);
    line.open();
    let register = line.last_request();
    assert_eq!(register.method, Method::Register);
    line.accept();
    assert_eq!(line.events, [Event::Ready { address: "alice@gw.example".into() }]);
}

#[test]
fn what_the_phone_sends_names_no_address_of_its_own() {
    let mut line = Line::ready();
    line.command(Command::Dial { uri: "bob".into() });
    let invite = line.last_request();
    assert_eq!(invite.method, Method::Invite);
    let mut bytes = Vec::new();
    write(&Message::Request(invite), &mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let via = text.lines().find(|line| line.starts_with("Via:")).unwrap();
    let contact = text.lines().find(|line| line.starts_with("Contact:")).unwrap();
    assert!(via.contains(".invalid;") && contact.contains(".invalid;"), "{via} {contact}");
    assert!(text.contains("m=audio 9 ") && text.contains("c=IN IP4 0.0.0.0") && !text.contains("candidate"));
    assert!(!text.contains("User-Agent"));
}

#[test]
fn two_connections_show_nothing_in_common() {
    let mut line = Line::ready();
    let first = line.last_request();
    line.lose(Trouble::ConnectionLost);
    line.run_for(Duration::from_secs(3));
    line.open();
    let second = line.last_request();
    for name in [HeaderName::Via, HeaderName::CallId] {
        assert_ne!(first.headers.get(&name), second.headers.get(&name));
    }
    let contact = |request: &Request| request.headers.contacts().unwrap()[0].uri.clone();
    assert_ne!(contact(&first), contact(&second));
}

#[test]
fn a_wrong_password_is_final_and_says_what_to_do() {
    let mut line = Line::new();
    line.open();
    line.answer(403);
    let refused = Event::NotConnected { why: Trouble::AccountRefused, retry_in_s: None };
    assert_eq!(line.events.as_slice(), std::slice::from_ref(&refused));
    assert!(refused.sentence().contains("undertone setup"));
    line.run_for(Duration::from_secs(3600));
    assert_eq!(line.opened.len(), 1, "the password is not tried again");
}

#[test]
fn a_device_signs_in_without_a_word_about_itself() {
    let mut line = Line::of_device();
    line.open();
    assert_eq!(line.last_request().headers.get(&HeaderName::Authorization), None);
    line.accept();
    assert_eq!(line.events, [Event::Ready { address: "alice@gw.example".into() }]);
}

#[test]
fn a_device_that_is_not_known_is_final_and_says_what_to_do() {
    let refused = Event::NotConnected { why: Trouble::DeviceNotAllowed, retry_in_s: None };
    assert!(refused.sentence().contains("this device is no longer allowed on this account: ask for a new link"));
    for (status, reason) in [(403, "This device is not known for this account"), (401, ""), (404, "")] {
        let mut line = Line::of_device();
        line.open();
        line.refuse(status, reason);
        assert_eq!(line.events.as_slice(), std::slice::from_ref(&refused), "{status} {reason}");
        line.run_for(Duration::from_secs(3600));
        assert_eq!(line.opened.len(), 1, "{status} {reason}: not tried again");
    }
    let mut line = Line::of_device();
    line.open();
    line.refuse(403, "A reason of its own");
    line.run_for(Duration::from_secs(3600));
    assert!(line.opened.len() > 1, "a refusal that says nothing of the device does not end it");
}

#[test]
fn a_device_that_is_revoked_while_it_is_ready_tries_once_and_stops() {
    let mut line = Line::of_device();
    line.open();
    line.accept();
    line.lose(Trouble::ConnectionLost);
    assert!(matches!(line.events.last(), Some(Event::NotConnected { why: Trouble::ConnectionLost, .. })));
    line.run_for(Duration::from_secs(1));
    line.open();
    line.refuse(403, "This device is not known for this account");
    let refused = Event::NotConnected { why: Trouble::DeviceNotAllowed, retry_in_s: None };
    assert_eq!(line.events.last(), Some(&refused));
    line.run_for(Duration::from_secs(3600));
    assert_eq!(line.opened.len(), 2);
}

#[test]
fn a_next_key_that_the_operator_signed_is_given_to_the_shell_once_and_a_false_one_is_told_once() {
    let operator = Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap();
    let forger = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap();
    let mut line = Line::of_device();
    let public = operator.public_key().as_ref().try_into().unwrap();
    line.phone.listen_for_next_key(OperatorKey::from_bytes(public), Some(1));
    line.open();
    line.accept_announcing(&announcement(&forger, 9));
    for (signer, serial) in [(&operator, 1), (&operator, 3), (&operator, 3), (&operator, 2), (&forger, 9)] {
        line.renew();
        line.accept_announcing(&announcement(signer, serial));
    }
    assert_eq!(line.kept, [AnnouncedPin { pin: Pin::from_sha256([7; 32]), serial: 3 }]);
    assert_eq!(line.events, [Event::FalseAnnouncement, Event::Ready { address: "alice@gw.example".into() }]);
}

#[test]
fn a_phone_that_knows_no_operator_takes_no_next_key() {
    let operator = Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap();
    let mut line = Line::new();
    line.open();
    line.accept_announcing(&announcement(&operator, 3));
    assert!(line.kept.is_empty());
    assert_eq!(line.events, [Event::Ready { address: "alice@gw.example".into() }]);
}

#[test]
fn a_gateway_with_another_key_than_the_pinned_one_is_never_tried_again() {
    let mut line = Line::new();
    line.fail(Trouble::GatewayNotTrusted);
    assert_eq!(line.events, [Event::NotConnected { why: Trouble::GatewayNotTrusted, retry_in_s: None }]);
    line.run_for(Duration::from_secs(3600));
    assert_eq!(line.opened.len(), 1);
}

#[test]
fn an_unreachable_gateway_is_tried_again_with_growing_jittered_pauses() {
    let mut line = Line::new();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        line.fail(Trouble::GatewayUnreachable);
        let before = line.opened.len();
        let from = line.now;
        while line.opened.len() == before {
            line.step();
        }
        pauses.push((line.now - from).as_secs_f32());
    }
    for (n, pause) in pauses.iter().enumerate() {
        let full = f32::from(1_u16 << n.min(6)).min(60.0);
        assert!(*pause >= full * 0.5 && *pause <= full, "{pauses:?}");
    }
}

#[test]
fn a_lost_line_comes_back_by_itself() {
    let mut line = Line::ready();
    line.lose(Trouble::ConnectionLost);
    assert!(matches!(line.events.last(), Some(Event::NotConnected { why: Trouble::ConnectionLost, .. })));
    line.command(Command::Dial { uri: "bob".into() });
    assert_eq!(line.events.last(), Some(&Event::NotDone { why: NotDone::NotConnected }));
    line.run_for(Duration::from_secs(3));
    line.open();
    line.accept();
    assert!(matches!(line.events.last(), Some(Event::Ready { .. })));
}

#[test]
fn a_ping_goes_out_about_every_25_seconds_and_a_missing_answer_means_a_new_connection() {
    let mut line = Line::ready();
    let from = line.now;
    for _ in 0..4 {
        let pings = line.pings;
        while line.pings == pings {
            line.step();
        }
        line.receive(b"\r\n");
    }
    let mean = (line.now - from).as_secs_f32() / 4.0;
    assert!((20.0..=30.0).contains(&mean), "{mean}");
    let pings = line.pings;
    while line.pings == pings {
        line.step();
    }
    line.run_for(Duration::from_secs(10));
    assert!(matches!(line.events.last(), Some(Event::NotConnected { why: Trouble::ConnectionLost, .. })));
    assert_eq!(line.closed, 1);
    line.run_for(Duration::from_secs(3));
    assert_eq!(line.opened.len(), 2);
}

#[test]
fn the_registration_is_renewed_before_it_expires() {
    let mut line = Line::ready();
    let before = line.requests.len();
    let from = line.now;
    while line.requests.len() == before {
        line.receive(b"\r\n");
        line.step();
    }
    let after = (line.now - from).as_secs();
    assert!((60..600).contains(&after), "{after} s");
    assert_eq!(line.last_request().method, Method::Register);
    line.accept();
    assert_eq!(line.events.iter().filter(|event| event.name() == "ready").count(), 1, "nobody needs to know");
}

#[test]
fn garbage_from_the_gateway_ends_the_connection_not_the_phone() {
    let mut line = Line::ready();
    line.receive(&[b'x'; 40_000]);
    assert!(matches!(line.events.last(), Some(Event::NotConnected { why: Trouble::ConnectionLost, .. })));
    assert_eq!(line.closed, 1);
}

#[test]
fn quitting_signs_off_before_the_connection_closes() {
    let mut line = Line::ready();
    line.command(Command::Quit);
    let goodbye = line.last_request();
    assert_eq!(goodbye.method, Method::Register);
    assert_eq!(goodbye.headers.get(&HeaderName::Expires), Some("0"));
    assert!(!line.events.contains(&Event::Stopped));
    line.accept();
    line.run_for(Duration::from_millis(1));
    assert_eq!(line.events.last(), Some(&Event::Stopped));
    assert_eq!(line.closed, 1);
    assert_eq!(line.phone.poll_timeout(), None);
}

#[test]
fn quitting_does_not_wait_for_a_gateway_that_is_silent_or_gone() {
    let mut silent = Line::ready();
    silent.command(Command::Quit);
    silent.run_for(Duration::from_millis(2100));
    assert_eq!(silent.events.last(), Some(&Event::Stopped));
    let mut gone = Line::new();
    gone.fail(Trouble::GatewayUnreachable);
    gone.command(Command::Quit);
    assert_eq!(gone.events.last(), Some(&Event::Stopped));
}

#[test]
fn refusals_are_told_in_words() {
    for (status, reason, words) in [
        (480, EndReason::CannotBeReached, "cannot be reached right now"),
        (486, EndReason::Busy, "in another call"),
        (603, EndReason::DeclinedThere, "declined"),
        (488, EndReason::NotCompatible, "no encrypted call"),
        (503, EndReason::GatewayFailed, "could not place"),
        (404, EndReason::CannotBeReached, "cannot be reached right now"),
    ] {
        let mut line = Line::ready();
        line.command(Command::Dial { uri: "bob".into() });
        line.answer(status);
        let ended = line.events.last().unwrap();
        assert!(matches!(ended, Event::Ended { why, .. } if *why == reason), "{status}: {ended:?}");
        assert!(ended.sentence().contains(words), "{status}: {}", ended.sentence());
    }
}

#[test]
fn the_reason_of_a_refused_description_is_passed_on_cleaned() {
    let mut line = Line::ready();
    line.command(Command::Dial { uri: "bob".into() });
    let mut response = line.response(488);
    response.reason = "The other phone offers no audio".into();
    line.receive_message(Message::Response(response));
    let ended = line.events.last().unwrap();
    assert!(ended.sentence().contains("offers no audio"), "{}", ended.sentence());
}

#[test]
fn ones_own_address_cannot_be_called() {
    let mut line = Line::ready();
    line.command(Command::Dial { uri: "alice".into() });
    assert!(matches!(line.events.last(), Some(Event::NotDone { why: NotDone::BadAddress { .. } })));
}

#[test]
fn a_flood_of_strangers_is_met_with_silence_and_leaves_room_for_those_who_may_ring() {
    let mut line = Line::ready();
    line.phone.set_identity(IdentityKey::from_bytes(&[7; 32]));
    line.events.clear();
    for number in 0..40 {
        line.receive(invite(number).as_bytes());
    }
    assert_eq!(line.phone.silent_calls(), 40);
    let final_ones: Vec<u16> = line.responses.iter().copied().filter(|status| *status > 100).collect();
    assert_eq!(final_ones, vec![480; 40 - MAX_SILENT_CALLS], "what the gateway shows at the same moment as silence");
    assert_eq!(line.events, [], "nobody is told");
    let mut contacts = Contacts::new();
    contacts.apply(ContactChange::StrangersMayRing(true)).unwrap();
    line.phone.handle_contacts(contacts, line.now);
    line.receive(invite(41).as_bytes());
    assert_eq!(line.responses.last(), Some(&180));
    assert!(matches!(line.events.as_slice(), [Event::Ringing { .. }]));
}

#[test]
fn what_is_no_call_at_all_meets_the_same_silence() {
    let mut line = Line::ready();
    line.phone.set_identity(IdentityKey::from_bytes(&[7; 32]));
    line.receive(invite(1).replace("a=fingerprint", "a=fingerprinx").as_bytes());
    line.receive(invite(2).replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPX").as_bytes());
    assert_eq!((line.responses.as_slice(), line.phone.silent_calls()), (&[100, 100][..], 2));
}

fn invite(number: usize) -> String {
    let certificate = Certificate::generate(SystemTime::UNIX_EPOCH).unwrap();
    let fingerprint = Fingerprint { sha256: certificate.fingerprint() };
    let mut offer = Description::new(Origin::default(), fingerprint, vec![Codec::opus(111)]);
    let candidates = vec![Candidate::host("203.0.113.7:40000".parse().unwrap())];
    let (ufrag, pwd) = ("relayrelay".to_owned(), "0123456789abcdef01234567".to_owned());
    offer.ice = Some(Ice { ufrag, pwd, lite: true, candidates });
    offer.vfy = true;
    let sdp = String::from_utf8(offer.to_bytes()).unwrap();
    format!(
        "INVITE sip:alice@gw.example SIP/2.0\r\nVia: SIP/2.0/TLS gw.example;branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:mallory@gw.example>;tag=m{number}\r\nTo: <sip:alice@gw.example>\r\n\
         Call-ID: call{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:token@gw.example;transport=tls>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

struct Line {
    phone: Phone<ChaCha20Rng>,
    now: Instant,
    opened: Vec<FlowId>,
    closed: usize,
    requests: Vec<Request>,
    responses: Vec<u16>,
    pings: usize,
    events: Vec<Event>,
    kept: Vec<AnnouncedPin>,
}

/// As the operator's command makes it, for the key of sevens.
fn announcement(signer: &Ed25519KeyPair, serial: u64) -> String {
    let text = [b"undertone next pin\0gw.example\0", &serial.to_be_bytes()[..], &[7; 32]].concat();
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(&text));
    format!("{} serial={serial} sig={signature}", Pin::from_sha256([7; 32]))
}

impl Line {
    fn new() -> Self {
        Self::proven_by(Proof::Password(Secret::new("correct horse".into())))
    }

    fn of_device() -> Self {
        Self::proven_by(Proof::DeviceKey)
    }

    fn proven_by(proof: Proof) -> Self {
        let account = Account {
            name: "alice".into(),
            domain: "gw.example".into(),
            proof,
            instance: "urn:uuid:00000000-0000-4000-8000-000000000001".into(),
        };
        let settings = Settings { mode: Mode::Gateway(account), auto_answer: false, today: SystemTime::UNIX_EPOCH };
        let now = Instant::now();
        let phone = Phone::new(settings, [1, 2, 3].map(ChaCha20Rng::seed_from_u64), now);
        let (opened, requests, events) = (Vec::new(), Vec::new(), Vec::new());
        let (responses, kept) = (Vec::new(), Vec::new());
        let mut line = Self { phone, now, opened, closed: 0, requests, responses, pings: 0, events, kept };
        line.drain();
        line
    }

    fn ready() -> Self {
        let mut line = Self::new();
        line.open();
        line.accept();
        line
    }

    fn flow(&self) -> FlowId {
        *self.opened.last().unwrap()
    }

    fn open(&mut self) {
        let opened = FlowOpened { transport: Transport::Tls, direct: None };
        self.phone.handle_flow_opened(self.flow(), opened, self.now);
        self.drain();
    }

    fn fail(&mut self, why: Trouble) {
        self.phone.handle_flow_closed(self.flow(), why, self.now);
        self.drain();
    }

    fn lose(&mut self, why: Trouble) {
        self.fail(why);
    }

    fn accept(&mut self) {
        self.answer(200);
    }

    fn refuse(&mut self, status: u16, reason: &str) {
        let mut response = self.response(status);
        response.reason = reason.into();
        self.receive_message(Message::Response(response));
    }

    fn accept_announcing(&mut self, announcement: &str) {
        let mut response = self.response(200);
        response.headers.push(HeaderName::Other("Undertone-Next-Pin".into()), announcement);
        self.receive_message(Message::Response(response));
    }

    /// Waits until the registration is renewed.
    fn renew(&mut self) {
        let before = self.requests.len();
        while self.requests.len() == before {
            self.receive(b"\r\n");
            self.step();
        }
    }

    fn answer(&mut self, status: u16) {
        let response = self.response(status);
        self.receive_message(Message::Response(response));
    }

    /// The answer to the phone's last request.
    fn response(&self, status: u16) -> Response {
        let request = self.last_request();
        let mut response = Response::new(status);
        for name in [HeaderName::Via, HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            response.headers.push(name.clone(), request.headers.get(&name).unwrap().to_owned());
        }
        response.headers.push(HeaderName::To, request.headers.to().unwrap().with_tag("gateway").to_string());
        response.headers.push(HeaderName::Expires, "600");
        response
    }

    fn receive_message(&mut self, message: Message) {
        let mut bytes = Vec::new();
        write(&message, &mut bytes);
        self.receive(&bytes);
    }

    /// In two pieces, as a stream may bring it.
    fn receive(&mut self, bytes: &[u8]) {
        let flow = self.flow();
        let (one, other) = bytes.split_at(bytes.len() / 2);
        self.phone.handle_bytes(flow, one, self.now);
        self.phone.handle_bytes(flow, other, self.now);
        self.drain();
    }

    fn command(&mut self, command: Command) {
        self.phone.handle_command(command, self.now);
        self.drain();
    }

    fn last_request(&self) -> Request {
        self.requests.last().unwrap().clone()
    }

    fn step(&mut self) {
        self.now = self.now.max(self.phone.poll_timeout().unwrap());
        self.phone.handle_timeout(self.now);
        self.drain();
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.phone.poll_timeout().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(output) = self.phone.poll_output() {
            match output {
                Output::OpenFlow { flow, target } => {
                    assert_eq!(target, Target::Gateway);
                    self.opened.push(flow);
                }
                Output::CloseFlow { .. } => self.closed += 1,
                Output::Transmit { bytes, .. } if bytes == b"\r\n\r\n" => self.pings += 1,
                Output::Transmit { bytes, .. } => match parse(&bytes) {
                    Ok(Message::Request(request)) if request.method != Method::Ack => self.requests.push(request),
                    Ok(Message::Response(response)) => self.responses.push(response.status),
                    Ok(Message::Request(_)) | Err(_) => {}
                },
                Output::KeepNextPin(next) => self.kept.push(next),
                Output::Ui(event) => self.events.push(event),
                Output::Keep(change) => panic!("nothing is known of anybody: {change:?}"),
                Output::Media(command) => panic!("no call was answered: {command:?}"),
            }
        }
    }
}
