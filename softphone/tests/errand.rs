//! One errand at a scripted gateway, in virtual time: joining with an invite, asking about devices, and every way in
//! which it comes to nothing. The real gateway is tried with the whole product.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use undertone::core::devices::{DeviceAnswer, DeviceQuestion};
use undertone::core::errand::{Errand, Output, Problem, Settings};
use undertone::core::event::Trouble;
use undertone_sip::registration::JoinToken;
use undertone_sip::wire::{HeaderName, Message, Method, Request, Response, parse, write};

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

type Outcome = Result<Option<DeviceAnswer>, Problem>;

#[test]
fn joining_shows_the_invite_once_and_signs_off() {
    let mut visit = Visit::new(None, true);
    let register = visit.request();
    assert_eq!((register.method, register.uri.to_string()), (Method::Register, "sip:gw.example".into()));
    assert_eq!(
        register.headers.get(&HeaderName::Authorization),
        Some(format!("Undertone-Token token=\"{TOKEN}\"").as_str())
    );
    visit.answer(200, "OK", "");
    let goodbye = visit.request();
    assert_eq!(goodbye.headers.get(&HeaderName::Expires), Some("0"));
    assert_eq!(goodbye.headers.get(&HeaderName::Authorization), None);
    visit.answer(200, "OK", "");
    assert!(matches!(visit.outcome(), Ok(None)));
    assert_eq!(visit.errand.poll_timeout(), None);
}

#[test]
fn every_refusal_of_an_invite_is_told_apart_and_is_final() {
    for (reason, trouble, words) in [
        ("This invite has been used", Trouble::InviteUsed, "used by another device"),
        ("This invite has expired", Trouble::InviteExpired, "has expired: ask for a new one"),
        ("This invite is not known here", Trouble::InviteUnknown, "does not know this link"),
        ("This account has too many devices", Trouble::TooManyDevices, "remove one first"),
        ("This device is not known for this account", Trouble::DeviceNotAllowed, "no longer allowed"),
    ] {
        let mut visit = Visit::new(None, true);
        visit.request();
        visit.answer(403, reason, "");
        let problem = visit.outcome().unwrap_err();
        assert_eq!(problem, Problem::Refused(trouble));
        assert!(problem.to_string().contains(words), "{problem}");
        assert_eq!(visit.errand.poll_timeout(), None);
    }
}

#[test]
fn a_question_is_asked_once_signed_in_and_answered_after_signing_off() {
    let mut visit = Visit::new(Some(DeviceQuestion::List), false);
    visit.request();
    visit.answer(200, "OK", "");
    let question = visit.request();
    assert_eq!((question.method, question.uri.to_string()), (Method::Message, "sip:gw.example".into()));
    assert_eq!(question.headers.content_type().as_deref(), Some("application/undertone-devices"));
    assert_eq!(question.body, b"list");
    visit.answer(200, "OK", &format!("{HASH} 2026-11-25 this\r\n"));
    assert_eq!(visit.request().headers.get(&HeaderName::Expires), Some("0"));
    visit.answer(200, "OK", "");
    let Ok(Some(DeviceAnswer::Devices(devices))) = visit.outcome() else { panic!("no list") };
    assert_eq!(devices[0].hash.to_string(), HASH);
}

#[test]
fn a_device_that_revokes_itself_is_closed_and_that_is_success() {
    let mut visit = Visit::asking(DeviceQuestion::Revoke(HASH.parse().unwrap()));
    visit.answer(200, "OK", "");
    visit.errand.handle_closed();
    assert!(matches!(visit.outcome(), Ok(Some(DeviceAnswer::Revoked))));
}

#[test]
fn a_gateway_that_does_not_confirm_the_sign_off_is_not_waited_for() {
    let mut visit = Visit::asking(DeviceQuestion::Revoke(HASH.parse().unwrap()));
    visit.answer(200, "OK", "");
    let waited = visit.wait();
    assert!(waited <= Duration::from_secs(2), "{waited:?}");
    assert!(matches!(visit.outcome(), Ok(Some(DeviceAnswer::Revoked))));
}

#[test]
fn what_a_question_may_be_refused_with_is_told_in_words() {
    for (question, status, reason, expected) in [
        (DeviceQuestion::Revoke(HASH.parse().unwrap()), 404, "No such device", Problem::NoSuchDevice),
        (DeviceQuestion::Add, 503, "Busy", Problem::NotNow),
        (DeviceQuestion::Add, 403, "Too\u{202e} many", Problem::Declined { words: "Too many".into() }),
        (DeviceQuestion::List, 405, "Not here", Problem::Declined { words: "Not here".into() }),
    ] {
        let mut visit = Visit::asking(question);
        visit.answer(status, reason, "");
        assert_eq!(visit.outcome().unwrap_err(), expected);
    }
    let mut unreadable = Visit::asking(DeviceQuestion::Add);
    unreadable.answer(200, "OK", "token x\r\n");
    assert_eq!(unreadable.outcome().unwrap_err(), Problem::Unreadable);
}

#[test]
fn silence_and_a_broken_connection_end_the_errand_without_a_verdict() {
    let mut silent = Visit::new(None, true);
    let waited = silent.wait();
    assert_eq!(waited, Duration::from_secs(20));
    assert_eq!(silent.outcome().unwrap_err(), Problem::Lost);
    let mut broken = Visit::asking(DeviceQuestion::List);
    broken.errand.handle_closed();
    assert_eq!(broken.outcome().unwrap_err(), Problem::Lost);
    let mut babbling = Visit::new(None, true);
    babbling.errand.handle_bytes(&[b'x'; 40_000], babbling.now);
    assert_eq!(babbling.outcome().unwrap_err(), Problem::Unreadable);
    let mut busy = Visit::new(None, true);
    busy.request();
    busy.answer(503, "Busy", "");
    assert_eq!(busy.outcome().unwrap_err(), Problem::NotNow);
}

#[test]
fn calls_that_come_meanwhile_find_a_phone_that_is_off_however_many_there_are() {
    let mut visit = Visit::asking(DeviceQuestion::List);
    let mut answers = Vec::new();
    for n in 0..50 {
        let invite = format!(
            "INVITE sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/TLS gw.example;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@gw.example>;tag=1\r\nTo: <sip:alice@gw.example>\r\nCall-ID: {n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:gw.example>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
        visit.errand.handle_bytes(invite.as_bytes(), visit.now);
        let statuses: Vec<u16> = visit
            .sent()
            .into_iter()
            .filter_map(|message| match message {
                Message::Response(response) => Some(response.status),
                Message::Request(_) => None,
            })
            .collect();
        assert!(!statuses.contains(&180), "{n}: {statuses:?}");
        answers.extend(statuses.last());
    }
    // Beyond the bound there is no room for a call, and no state is made.
    assert_eq!((answers.len(), answers[0]), (50, 480));
    assert!(answers.iter().all(|status| matches!(status, 480 | 503)), "{answers:?}");
    visit.answer(200, "OK", &format!("{HASH} 2026-11-25 this\r\n"));
    visit.request();
    visit.answer(200, "OK", "");
    assert!(matches!(visit.outcome(), Ok(Some(DeviceAnswer::Devices(_)))), "the question is answered all the same");
}

struct Visit {
    errand: Errand<ChaCha20Rng>,
    now: Instant,
    last: Option<Request>,
    outcome: Option<Outcome>,
}

impl Visit {
    fn new(question: Option<DeviceQuestion>, invited: bool) -> Self {
        let settings = Settings {
            address: "alice@gw.example".parse().unwrap(),
            instance: "urn:uuid:00000000-0000-4000-8000-000000000001".into(),
            invite: invited.then(|| JoinToken::new(TOKEN.to_owned().into()).unwrap()),
            question,
            operator: None,
        };
        let now = Instant::now();
        let errand = Errand::new(settings, [1, 2].map(ChaCha20Rng::seed_from_u64), now);
        Self { errand, now, last: None, outcome: None }
    }

    /// Signed in, with the question on its way.
    fn asking(question: DeviceQuestion) -> Self {
        let mut visit = Self::new(Some(question), false);
        visit.request();
        visit.answer(200, "OK", "");
        assert_eq!(visit.request().method, Method::Message);
        visit
    }

    fn sent(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(output) = self.errand.poll_output() {
            match output {
                Output::Transmit(bytes) => messages.push(parse(&bytes).unwrap()),
                Output::KeepNextPin(next) => panic!("nobody announced {next:?}"),
                Output::Over(outcome) => self.outcome = Some(outcome),
            }
        }
        messages
    }

    /// The one request that was sent since the last look.
    fn request(&mut self) -> Request {
        let mut sent = self.sent();
        match (sent.pop(), sent.pop()) {
            (Some(Message::Request(request)), None) => self.last.insert(request).clone(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, status: u16, reason: &str, body: &str) {
        let request = self.last.take().unwrap();
        let mut response = Response::new(status);
        response.reason = reason.into();
        for name in [HeaderName::Via, HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            response.headers.push(name.clone(), request.headers.get(&name).unwrap().to_owned());
        }
        response.headers.push(HeaderName::To, request.headers.to().unwrap().with_tag("gateway").to_string());
        if request.method == Method::Message && !body.is_empty() {
            response.headers.push(HeaderName::ContentType, "application/undertone-devices");
        }
        response.body = body.as_bytes().to_vec();
        let mut bytes = Vec::new();
        write(&Message::Response(response), &mut bytes);
        let (one, other) = bytes.split_at(bytes.len() / 2);
        self.errand.handle_bytes(one, self.now);
        self.errand.handle_bytes(other, self.now);
    }

    /// Lets time pass until it is over; how long that took.
    fn wait(&mut self) -> Duration {
        let from = self.now;
        while let Some(due) = self.errand.poll_timeout() {
            self.now = self.now.max(due);
            self.errand.handle_timeout(self.now);
            self.sent();
        }
        self.now - from
    }

    fn outcome(&mut self) -> Outcome {
        self.sent();
        self.outcome.take().unwrap()
    }
}
