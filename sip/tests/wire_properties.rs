//! Properties of reader and writer over generated input: nothing panics, reading undoes writing, no
//! text put into a field can become another field, and `rsip` agrees on simple valid messages.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use undertone_sip::digest::{Challenge, Credentials};
use undertone_sip::sdp::Description;
use undertone_sip::wire::uri::{host_to_string, parse_uri, uri_param, uri_to_string};
use undertone_sip::wire::{
    CSeq, End, Frame, HeaderName, MAX_BODY_LEN, MAX_HEADER_LEN, MAX_HEADERS, MAX_PARAMS, Message, Method, NameAddr,
    Params, Request, Response, StreamFramer, Via, parse, screen, write,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 1_usize..50) {
        drive(&bytes, cut);
    }

    #[test]
    fn no_damage_to_a_sound_message_makes_a_reader_panic(
        at in 0_usize..700, byte in any::<u8>(), removed in 0_usize..30, cut in 1_usize..50,
    ) {
        let mut bytes = SOUND.replace('\n', "\r\n").into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + removed).min(bytes.len());
        bytes.drain(at..end);
        drive(&bytes, cut);
    }

    #[test]
    fn no_text_makes_a_value_reader_panic(text in "\\PC{0,80}", sippy in "[sip:@;?=,<>\"\\\\%0-9a-f\\[\\] .*/-]{0,60}") {
        for text in [text, sippy] {
            let _ = parse_uri(&text);
            let _ = NameAddr::parse(&text);
            let _ = Via::parse(&text);
            let _ = CSeq::parse(&text);
            let _ = Challenge::parse(&text);
            let _ = Challenge::parse(&format!("Digest {text}"));
            let _ = Credentials::parse(&format!("Digest {text}"));
            let _ = Description::parse(text.as_bytes());
        }
    }

    #[test]
    fn a_written_request_reads_back_equal(request in a_request()) {
        let message = Message::Request(request);
        prop_assert_eq!(round_trip(&message), message);
    }

    #[test]
    fn a_written_response_reads_back_equal(
        status in 100_u16..700, reason in "[ -~а-я]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut response = Response::new(status);
        response.reason = reason;
        response.headers = base_headers(&Method::Invite);
        response.body = body;
        let message = Message::Response(response);
        prop_assert_eq!(round_trip(&message), message);
    }

    #[test]
    fn whatever_stands_in_a_field_stays_in_that_field(evil in evil_text()) {
        let bytes = written(&poisoned(&evil));
        let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = &bytes[..head_end];
        // One line per field and no bare line end; the body starts where we say and not earlier.
        let lines: Vec<&[u8]> = head.split(|&b| b == b'\n').collect();
        prop_assert_eq!(lines.len(), FIELDS_OF_POISONED + 1);
        for line in &lines[..lines.len() - 1] {
            prop_assert_eq!(line.iter().filter(|&&b| b == b'\r').count(), 1);
        }
        prop_assert!(lines.iter().all(|line| !line.starts_with(b"Evil:")));
        prop_assert_eq!(&bytes[head_end + 4..], b"body");
    }

    #[test]
    fn whatever_stands_in_an_address_stays_in_its_component(evil in evil_text()) {
        let mut uri = parse_uri("sip:alice@gw.example;x=y").unwrap();
        uri.auth.as_mut().unwrap().user = evil.clone();
        uri.params = vec![rsip::Param::Other("x".into(), Some(evil.clone().into()))];
        let name = NameAddr { display: Some(evil.clone()), uri, params: Params::new().with("tag", evil.clone()) };
        let text = name.to_string();
        prop_assert!(!text.contains(['\r', '\n']));
        let read = NameAddr::parse(&text);
        if evil.is_empty() {
            return Ok(());
        }
        let read = read.unwrap();
        prop_assert_eq!(host_to_string(&read.uri.host_with_port.host), "gw.example");
        let shown = evil.replace(['\r', '\n'], " ");
        prop_assert_eq!(read.display.as_deref(), Some(shown.as_str()));
        prop_assert_eq!(read.tag(), Some(shown.as_str()));
        prop_assert_eq!(read.params.iter().count(), 1);
        prop_assert_eq!(read.uri.params.len(), 1);
    }

    #[test]
    fn a_uri_reads_back_equal_and_its_text_is_stable(text in a_uri()) {
        let uri = parse_uri(&text).unwrap();
        let written = uri_to_string(&uri);
        let again = parse_uri(&written).unwrap();
        prop_assert_eq!(&again, &uri);
        prop_assert_eq!(uri_to_string(&again), written);
    }

    #[test]
    fn headers_built_by_code_read_back_equal(
        display in proptest::option::of("[ -~а-я]{0,20}"), tag in "[a-z0-9]{1,16}", value in "[ -~]{1,20}",
        number in 0_u32..(1 << 31), port in proptest::option::of(any::<u16>()),
    ) {
        let uri = parse_uri("sips:bob@gw.example").unwrap();
        let name = NameAddr { display, uri, params: Params::new().with("tag", tag.clone()).with("x", value.clone()) };
        prop_assert_eq!(NameAddr::parse(&name.to_string()), Ok(name));
        let params = Params::new().with("branch", format!("z9hG4bK{tag}")).with("y", value);
        let via = Via { transport: "TLS".into(), host: "gw.example".into(), port, params };
        prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
        let cseq = CSeq { number, method: Method::Invite };
        prop_assert_eq!(CSeq::parse(&cseq.to_string()), Ok(cseq));
    }

    #[test]
    fn rsip_agrees_on_simple_messages(user in "[a-z]{1,8}", host in "[a-z]{1,8}\\.example", number in 1_u32..9999) {
        let text = format!(
            "INVITE sip:{user}@{host} SIP/2.0\r\nVia: SIP/2.0/TLS {host};branch=z9hG4bK{user}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{host}>;tag={user}\r\nTo: <sip:{user}@{host}>\r\n\
             Call-ID: {user}\r\nCSeq: {number} INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        let Message::Request(ours) = parse(text.as_bytes()).unwrap() else { panic!("a request") };
        let theirs = rsip::Request::try_from(text.as_bytes()).unwrap();
        prop_assert_eq!(&ours.uri, &theirs.uri);
        prop_assert_eq!(ours.method.as_str(), theirs.method.to_string());
        prop_assert_eq!(ours.headers.len(), theirs.headers.iter().count());
        use rsip::prelude::*;
        prop_assert_eq!(ours.headers.from().unwrap().uri, theirs.from_header().unwrap().uri().unwrap());
        prop_assert_eq!(ours.headers.cseq().unwrap().number, theirs.cseq_header().unwrap().seq().unwrap());
        prop_assert_eq!(ours.headers.call_id().unwrap(), theirs.call_id_header().unwrap().value());
        let via = theirs.via_header().unwrap().typed().unwrap();
        let branch = via.branch().unwrap().value().to_owned();
        let our_via = ours.headers.via_top().unwrap();
        prop_assert_eq!(our_via.branch(), Some(branch.as_str()));
    }
}

#[test]
fn a_stream_of_messages_and_keepalives_is_cut_the_same_however_it_arrives() {
    let message = SOUND.replace('\n', "\r\n");
    let stream = format!("\r\n\r\n{message}{message}\r\n\r\n{message}");
    let message = || Frame::Message(message.clone().into_bytes());
    let expected = [Frame::Ping, message(), message(), Frame::Ping, message()];
    for piece in 1..stream.len() {
        let mut framer = StreamFramer::new(End::Server);
        let mut frames = Vec::new();
        for part in stream.as_bytes().chunks(piece) {
            framer.push(part);
            while let Some(frame) = framer.next() {
                frames.push(frame.unwrap());
            }
        }
        assert_eq!(frames, expected, "pieces of {piece}");
    }
}

#[test]
fn a_client_hears_of_a_pong_at_once() {
    let mut framer = StreamFramer::new(End::Client);
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Some(Ok(Frame::Pong)));
    framer.push(b"\r");
    assert_eq!(framer.next(), None);
    framer.push(b"\n");
    assert_eq!(framer.next(), Some(Ok(Frame::Pong)));
}

#[test]
fn a_stream_that_never_ends_its_header_dies_at_the_bound() {
    let mut framer = StreamFramer::new(End::Server);
    let mut pushed = 0;
    let error = loop {
        framer.push(&[b'a'; 100]);
        pushed += 100;
        assert!(pushed <= MAX_HEADER_LEN + 200, "still waiting");
        if let Some(outcome) = framer.next() {
            break outcome.unwrap_err();
        }
    };
    assert!(error.to_string().contains("16 KiB"));
    framer.push(SOUND.as_bytes());
    assert_eq!(framer.next(), None);
}

#[test]
fn a_stream_needs_one_sound_content_length() {
    let head = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\n";
    let too_long = format!("Content-Length: {}\r\n", MAX_BODY_LEN + 1);
    for fields in ["", "Content-Length: -1\r\n", "l: 1\r\nContent-Length: 1\r\n", "l: 1, 1\r\n", &too_long] {
        let mut framer = StreamFramer::new(End::Server);
        framer.push(format!("{head}{fields}\r\n").as_bytes());
        assert!(framer.next().unwrap().is_err(), "{fields}");
    }
    let mut framer = StreamFramer::new(End::Server);
    framer.push(format!("{head}L :\r\n 2\r\nX: y\r\n Content-Length: 9\r\n\r\nab").as_bytes());
    assert!(matches!(framer.next(), Some(Ok(Frame::Message(message))) if message.ends_with(b"\r\n\r\nab")));
}

#[test]
fn a_message_with_too_many_headers_or_parameters_is_refused() {
    let sound = SOUND.replace('\n', "\r\n");
    let there = 8;
    let with = |more: usize| sound.replacen("Max-Forwards", &("Y: z\r\n".repeat(more) + "Max-Forwards"), 1);
    assert!(parse(with(MAX_HEADERS - there).as_bytes()).is_ok());
    let error = parse(with(MAX_HEADERS - there + 1).as_bytes()).unwrap_err();
    assert_eq!(error.status, 513);
    assert!(error.partial.is_some());

    let many = |count: usize| (0..count).fold(String::from("<sip:a@b>"), |text, i| format!("{text};p{i}"));
    assert!(NameAddr::parse(&many(MAX_PARAMS)).is_ok());
    assert!(NameAddr::parse(&many(MAX_PARAMS + 1)).is_err());
    assert!(NameAddr::parse("<sip:a@b>;tag=1;TAG=2").is_err());
}

#[test]
fn a_star_contact_stands_alone_and_only_in_a_register() {
    let with = |method: &str, contact: &str| {
        let sound = SOUND.replace('\n', "\r\n").replace("OPTIONS", method);
        let (before, after) = sound.split_once("Contact: ").unwrap();
        let (_, after) = after.split_once("\r\n").unwrap();
        parse(format!("{before}Contact: {contact}\r\n{after}").as_bytes())
    };
    let register = with("REGISTER", "*").unwrap();
    assert!(register.headers().contact_is_star() && register.headers().contacts().unwrap().is_empty());
    for contact in ["*, <sip:a@h>", "*\r\nm: <sip:a@h>", "*\r\nm: *"] {
        assert!(with("REGISTER", contact).is_err(), "{contact}");
    }
    assert!(with("INVITE", "*").is_err());
}

#[test]
fn screening_spares_ack_and_cancel_and_refuses_encoded_bodies() {
    let mut request = Request::new(Method::Invite, parse_uri("sip:a@h").unwrap());
    request.headers = base_headers(&Method::Invite);
    request.headers.push(HeaderName::Require, "100rel, timer");
    assert_eq!(screen(&request).unwrap_err().header, Some((HeaderName::Unsupported, "100rel".to_owned())));
    request.method = Method::Cancel;
    assert_eq!(screen(&request), Ok(()));
    request.method = Method::Ack;
    request.uri = parse_uri("tel:1").unwrap();
    assert_eq!(screen(&request), Ok(()));
    let mut request = Request::new(Method::Invite, parse_uri("sip:a@h").unwrap());
    request.headers = base_headers(&Method::Invite);
    request.body = b"x".to_vec();
    assert_eq!(screen(&request).unwrap_err().status, 415);
    request.headers.push(HeaderName::ContentType, "Application / SDP ; charset=x");
    assert_eq!(screen(&request), Ok(()));
    request.headers.push(HeaderName::ContentEncoding, "gzip");
    assert_eq!(screen(&request).unwrap_err().status, 415);
    request.headers.remove(&HeaderName::ContentEncoding);
    request.headers.push(HeaderName::Accept, "text/plain, application/*;q=0.5");
    assert_eq!(screen(&request), Ok(()));
}

#[test]
fn line_ends_of_other_systems_are_refused() {
    assert!(parse(SOUND.as_bytes()).is_err());
    let mixed = SOUND.replace('\n', "\r\n").replacen("70\r\n", "70\n", 1);
    assert!(parse(mixed.as_bytes()).is_err());
    let carriage = SOUND.replace('\n', "\r\n").replacen("70\r\n", "70\r", 1);
    assert!(parse(carriage.as_bytes()).is_err());
}

#[test]
fn a_broken_ack_or_response_is_never_answered() {
    let ack = SOUND.replace('\n', "\r\n").replace("OPTIONS", "ACK").replace("<sip:b@h>", "<sip:b@h");
    assert_eq!(parse(ack.as_bytes()).unwrap_err().partial, None);
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\n\r\n";
    assert_eq!(parse(response.as_bytes()).unwrap_err().partial, None);
}

#[test]
fn addresses_with_ip_literals_ports_and_parameters_are_read() {
    let uri = parse_uri("SIPS:Bob@[2001:DB8::1]:5061;transport=TLS;lr;X=1?a=b").unwrap();
    assert_eq!(uri_to_string(&uri), "sips:Bob@[2001:db8::1]:5061;transport=tls;lr;X=1");
    assert_eq!(uri_param(&uri, "transport").as_deref(), Some("tls"));
    assert_eq!(uri_to_string(&parse_uri("sip:GW.Example.").unwrap()), "sip:gw.example.");
    assert_eq!(uri_to_string(&parse_uri("tel:+1-201").unwrap()), "tel:+1-201");
    for bad in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a b@h",
        "sip:a@h:99999",
        "sip:a@h:",
        "sip:a@[::1",
        "sip:a@-h",
        "sip:a@h;;",
        "sip:a@h;p=",
        "sip:a@h?x",
        "sip:%4@h",
        "sip:a@h>",
        "1x:a",
        "tel:",
        "tel:<",
        "sip:é@h",
        "sip:[é]",
    ] {
        assert!(parse_uri(bad).is_err(), "{bad}");
    }
}

const SOUND: &str = "OPTIONS sip:bob@gw.example SIP/2.0\nVia: SIP/2.0/TLS host.example:5061;branch=z9hG4bKabc;rport\n\
    Max-Forwards: 70\nFrom: \"A, \\\"b\\\"\" <sip:a@h>;tag=1\nTo: Bob <sip:b@h>\nCall-ID: xyz@h\nCSeq: 1 OPTIONS\n\
    Contact: <sip:a@[::1];transport=tls>;q=0.5, sip:c@h;expires=60\nContent-Length: 0\n\n";

/// Feeds bytes to every reader of whole messages.
fn drive(bytes: &[u8], cut: usize) {
    if let Ok(message) = parse(bytes) {
        let again = round_trip(&message);
        assert_eq!(again.body(), message.body());
    }
    let _ = Description::parse(bytes);
    for end in [End::Server, End::Client] {
        let mut framer = StreamFramer::new(end);
        for part in bytes.chunks(cut) {
            framer.push(part);
            while framer.next().is_some() {}
        }
    }
}

fn written(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(message, &mut bytes);
    bytes
}

/// Writes and reads; the computed `Content-Length` is taken out again.
fn round_trip(message: &Message) -> Message {
    let mut again = parse(&written(message)).unwrap();
    let headers = match &mut again {
        Message::Request(request) => &mut request.headers,
        Message::Response(response) => &mut response.headers,
    };
    headers.remove(&HeaderName::ContentLength);
    again
}

fn base_headers(method: &Method) -> undertone_sip::wire::Headers {
    [
        (HeaderName::Via, "SIP/2.0/TLS h.example;branch=z9hG4bKabc".to_owned()),
        (HeaderName::MaxForwards, "70".to_owned()),
        (HeaderName::From, "<sip:a@h.example>;tag=1".to_owned()),
        (HeaderName::To, "<sip:b@h.example>".to_owned()),
        (HeaderName::CallId, "abc".to_owned()),
        (HeaderName::CSeq, format!("1 {method}")),
    ]
    .into_iter()
    .collect()
}

fn a_uri() -> impl Strategy<Value = String> {
    let user = proptest::option::of("[a-z0-9&=+$,;?/!~*'()_.-]{1,12}(%[0-9A-Fa-f]{2}){0,2}");
    let host =
        prop_oneof!["[a-z]{1,8}(\\.[a-zA-Z0-9]{1,5}){0,2}", Just("192.0.2.1".into()), Just("[2001:db8::1]".into())];
    let params = proptest::collection::vec("[a-z]{1,6}(=[a-zA-Z0-9%]{0,0}[a-z0-9.:]{1,8})?", 0..4);
    (any::<bool>(), user, host, proptest::option::of(any::<u16>()), params).prop_map(
        |(secure, user, host, port, params)| {
            let scheme = if secure { "sips" } else { "sip" };
            let user = user.map(|user| user + "@").unwrap_or_default();
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let params: String = params.into_iter().map(|param| format!(";{param}")).collect();
            format!("{scheme}:{user}{host}{port}{params}")
        },
    )
}

fn a_request() -> impl Strategy<Value = Request> {
    let method = prop_oneof![Just(Method::Invite), Just(Method::Bye), "[A-Z]{8}".prop_map(Method::Extension)];
    let extra = proptest::collection::vec(("X-[a-z]{1,8}", "[!-~а-я]([ -~а-я]{0,20}[!-~])?"), 0..6);
    let body = proptest::collection::vec(any::<u8>(), 0..80);
    (method, a_uri(), extra, body).prop_map(|(method, uri, extra, body)| {
        let method = Method::parse(method.as_str()).unwrap();
        let mut request = Request::new(method.clone(), parse_uri(&uri).unwrap());
        request.headers = base_headers(&method);
        for (name, value) in extra {
            request.headers.push(HeaderName::Other(name), value);
        }
        request.body = body;
        request
    })
}

fn evil_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\r\n:;,<>\"\\\\@ a-z\u{0}\u{85}\u{2028}]{0,30}",
        Just("x\r\nEvil: 1".to_owned()),
        Just("x\r\n\r\nEvil: 1".to_owned()),
        Just("\\\r\nEvil: 1".to_owned()),
        Just("\"\\\r\n\r\n".to_owned()),
    ]
}

/// Fields of [`poisoned`] that are written: `Content-Length` included, the one with a bad name not.
const FIELDS_OF_POISONED: usize = 4;

/// The text in every place of a message that holds text.
fn poisoned(evil: &str) -> Message {
    let mut uri = parse_uri("sip:a@h").unwrap();
    uri.auth.as_mut().unwrap().user = evil.to_owned();
    uri.host_with_port.host = rsip::Host::Domain(evil.to_owned().into());
    uri.params = vec![rsip::Param::Other(evil.to_owned().into(), Some(evil.to_owned().into()))];
    let name = NameAddr { display: Some(evil.to_owned()), uri: uri.clone(), params: Params::new().with("tag", evil) };
    let params = Params::new().with("branch", evil);
    let via = Via { transport: evil.to_owned(), host: evil.to_owned(), port: None, params };
    let mut request = Request::new(Method::Extension(evil.to_owned()), uri);
    request.headers.push(HeaderName::Via, via.to_string());
    request.headers.push(HeaderName::From, name.to_string());
    request.headers.push(HeaderName::CallId, evil);
    request.headers.push(HeaderName::Other(format!("X{evil}: ")), "value");
    request.body = b"body".to_vec();
    Message::Request(request)
}
