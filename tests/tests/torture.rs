//! Bad input over real TLS: every message of RFC 4475, and streams that never end, mean nothing or ask for too much.
//!
//! Each goes to a running gateway on a connection of its own; after each the gateway must still answer a sane request.

#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use undertone::net::trust::Trust;
use undertone_tests::live::{DOMAIN, Gateway};

/// Longest wait for an answer on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request sent after a message that swallows it is not answered by then. Longer than the second that the gateway
/// waits for a last answer before it hangs up.
const SWALLOWED: Duration = Duration::from_secs(2);

/// What becomes of a message, seen from the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// Answered with this status; the connection goes on.
    Answered(u16),
    /// Answered with this status and hung up: where the next message begins cannot be known.
    Last(u16),
    /// Not answered; the connection goes on.
    Ignored,
    /// Hung up without a word.
    Closed,
    /// The gateway waits for the rest of the message.
    Waits,
}

use Verdict::{Answered, Closed, Ignored, Last, Waits};

/// In the order of the RFC. Over TLS, from somebody who has not signed in: who is well understood is still refused
/// by 401 (REGISTER), 403 (INVITE) or 405 (methods this gateway does not serve). Where the RFC asks for 400 and the
/// broken field is one that the answer would have to repeat (Via, From, To, CSeq), the message is ignored.
const TABLE: [(&str, Verdict); 49] = [
    ("wsinv", Answered(481)),      // 3.1.1.1: read; its To tag names no dialog here
    ("intmeth", Answered(501)),    // 3.1.1.2
    ("esc01", Answered(403)),      // 3.1.1.3
    ("escnull", Answered(401)),    // 3.1.1.4
    ("esc02", Answered(501)),      // 3.1.1.5: a method named `RE%47IST%45R` is not REGISTER
    ("lwsdisp", Answered(200)),    // 3.1.1.6
    ("longreq", Answered(403)),    // 3.1.1.7
    ("dblreq", Last(400)),         // 3.1.1.8: a stream holds two requests, both answered; then no message
    ("semiuri", Answered(200)),    // 3.1.1.9
    ("transports", Answered(200)), // 3.1.1.10
    ("mpart01", Answered(405)),    // 3.1.1.11
    ("unreason", Ignored),         // 3.1.1.12: an answer to nothing
    ("noreason", Ignored),         // 3.1.1.13: an answer to nothing
    ("badinv01", Ignored),         // 3.1.2.1: Via
    ("clerr", Waits),              // 3.1.2.2
    ("ncl", Last(400)),            // 3.1.2.3
    ("scalar02", Ignored),         // 3.1.2.4: CSeq
    ("scalarlg", Ignored),         // 3.1.2.5
    ("quotbal", Ignored),          // 3.1.2.6: To
    ("ltgtruri", Answered(400)),   // 3.1.2.7
    ("lwsruri", Answered(400)),    // 3.1.2.8
    ("lwsstart", Answered(400)),   // 3.1.2.9
    ("trws", Answered(400)),       // 3.1.2.10
    ("escruri", Answered(400)),    // 3.1.2.11
    ("baddate", Answered(400)),    // 3.1.2.12
    ("regbadct", Answered(400)),   // 3.1.2.13
    ("badaspec", Ignored),         // 3.1.2.14: To
    ("baddn", Ignored),            // 3.1.2.15: From, To
    ("badvers", Ignored),          // 3.1.2.16: Via is of the unknown version too
    ("mismatch01", Answered(400)), // 3.1.2.17
    ("mismatch02", Answered(400)), // 3.1.2.18: 501 or 400
    ("bigcode", Ignored),          // 3.1.2.19
    ("badbranch", Answered(200)),  // 3.2.1
    ("insuf", Ignored),            // 3.3.1: From, To
    ("unkscm", Answered(416)),     // 3.3.2
    ("novelsc", Answered(416)),    // 3.3.3
    ("unksm2", Answered(400)),     // 3.3.4
    ("bext01", Answered(420)),     // 3.3.5
    ("invut", Answered(415)),      // 3.3.6
    ("regaut01", Answered(401)),   // 3.3.7
    ("multi01", Answered(400)),    // 3.3.8
    ("mcl01", Last(400)),          // 3.3.9
    ("bcast", Ignored),            // 3.3.10
    ("zeromf", Answered(483)),     // 3.3.11
    ("cparam01", Answered(401)),   // 3.3.12
    ("cparam02", Answered(401)),   // 3.3.13
    ("regescrt", Answered(401)),   // 3.3.14
    ("sdp01", Answered(406)),      // 3.3.15
    ("inv2543", Closed),           // 3.4.1: no Content-Length, which a stream needs (RFC 3261 §20.14)
];

#[test]
fn every_message_of_rfc_4475_gets_its_verdict_over_tls_and_the_gateway_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(folder.path());
    let mut wrong = Vec::new();
    for (name, expected) in TABLE {
        let mut connection = gateway.connect();
        connection.send(&std::fs::read(format!("../sip/tests/torture/{name}.dat")).unwrap());
        let found = connection.verdict();
        if found != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
        gateway.is_well();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_message_in_the_folder_is_in_the_table() {
    let folder = std::fs::read_dir("../sip/tests/torture").unwrap();
    let mut names: Vec<String> =
        folder.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    let mut expected: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn whoever_sends_too_much_or_nonsense_loses_the_connection_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(folder.path());
    let mut bystander = gateway.connect();
    bystander.send(sane("OPTIONS").as_bytes());
    assert_eq!(bystander.status(), 200);
    let long_field = format!("X-Long: {}\r\n", "a".repeat(20_000));
    let many_fields = "X-Many: b\r\n".repeat(2_000);
    let noise: Vec<u8> = (0..65_536_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases: [(&str, Vec<u8>); 6] = [
        ("a header line of 20 kB", with_field("OPTIONS", &long_field)),
        ("2000 headers", with_field("OPTIONS", &many_fields)),
        ("noise", noise),
        ("zeros", vec![0; 65_536]),
        ("another protocol", b"GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n".to_vec()),
        ("a negative length", sane("OPTIONS").replace("Length: 0", "Length: -1").into_bytes()),
    ];
    for (name, bytes) in cases {
        let mut connection = gateway.connect();
        connection.send(&bytes);
        let (_, is_open) = connection.read_for(PATIENCE);
        assert!(!is_open, "{name} is cut off");
        gateway.is_well();
    }
    bystander.send(b"\r\n\r\n");
    assert_eq!(bystander.read_for(SWALLOWED), ("\r\n".to_owned(), true), "the others stay connected");
}

#[test]
fn an_endless_header_and_an_endless_body_are_cut_off_after_a_bounded_number_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(folder.path());
    let endless_body = sane("MESSAGE").replace("Length: 0", "Length: 4294967295");
    for (start, more) in [(&sane("OPTIONS")[..30], "X-Endless: and so on\r\n"), (endless_body.as_str(), "body ")] {
        let mut connection = gateway.connect();
        connection.send(start.as_bytes());
        let more = more.repeat(100);
        let mut taken = 0;
        while taken < 64 << 20 && connection.send(more.as_bytes()) {
            taken += more.len();
        }
        // What the system's own buffers took counts as well: some megabytes on loopback.
        assert!(taken < 32 << 20, "{taken} bytes were taken");
        gateway.is_well();
    }
}

#[test]
fn who_never_says_anything_is_sent_away_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(folder.path());
    let start = Instant::now();
    let mut mute = TcpStream::connect(&gateway.gateway.signalling).unwrap();
    mute.set_read_timeout(Some(4 * PATIENCE)).unwrap();
    let mut slow = gateway.connect();
    slow.send(&sane("OPTIONS").as_bytes()[..40]);
    // A reset is an end as well.
    assert_eq!(mute.read(&mut [0]).unwrap_or_default(), 0);
    let handshake = start.elapsed();
    assert!((9..20).contains(&handshake.as_secs()), "no TLS: {handshake:?}");
    let (said, is_open) = slow.read_for(4 * PATIENCE);
    let request = start.elapsed();
    assert!(!is_open && said.is_empty() && (29..45).contains(&request.as_secs()), "no request: {request:?}");
    gateway.is_well();
}

#[test]
fn a_connection_without_tls_gets_no_sip() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(folder.path());
    let mut plain = TcpStream::connect(&gateway.gateway.signalling).unwrap();
    plain.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    plain.write_all(sane("OPTIONS").as_bytes()).unwrap();
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("SIP"), "{said:?}");
    gateway.is_well();
}

#[test]
fn pings_get_pongs_and_a_request_in_single_bytes_gets_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(folder.path());
    let mut connection = gateway.connect();
    connection.send(&b"\r\n\r\n".repeat(50));
    assert_eq!(connection.read_for(SWALLOWED), ("\r\n".repeat(50), true));
    for byte in sane("OPTIONS").as_bytes() {
        connection.send(&[*byte]);
    }
    assert_eq!(connection.status(), 200);
    connection.send(b"\r\n\r\n");
    assert_eq!(connection.read_for(SWALLOWED), ("\r\n".to_owned(), true));
}

/// A gateway and how its phones know it.
struct Running {
    gateway: Gateway,
    tls: Arc<ClientConfig>,
}

struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Running {
    fn start(folder: &Path) -> Self {
        let gateway = Gateway::start(folder).unwrap();
        let pin: undertone_config::Pin = gateway.pin.parse().unwrap();
        let tls = Arc::new(Trust::Pin(pin.into()).client_config(None).unwrap());
        Self { gateway, tls }
    }

    fn connect(&self) -> Connection {
        let name = ServerName::try_from(DOMAIN).unwrap();
        let tls = ClientConnection::new(self.tls.clone(), name).unwrap();
        let tcp = TcpStream::connect(&self.gateway.signalling).unwrap();
        tcp.set_nodelay(true).unwrap();
        Connection(StreamOwned::new(tls, tcp))
    }

    /// It answers a stranger's OPTIONS with 200 and his REGISTER with a challenge.
    fn is_well(&self) {
        let mut connection = self.connect();
        connection.send(sane("OPTIONS").as_bytes());
        assert_eq!(connection.status(), 200);
        connection.send(sane("REGISTER").as_bytes());
        assert_eq!(connection.status(), 401);
    }
}

impl Connection {
    /// Sends as much as the gateway takes: it may hang up in the middle.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).and_then(|()| self.0.flush()).is_ok()
    }

    /// What became of the message sent last: whether a sane request behind it is answered, and what comes before.
    fn verdict(&mut self) -> Verdict {
        self.send(sane("OPTIONS").as_bytes());
        let until = Instant::now() + SWALLOWED;
        let mut text = String::new();
        let mut is_open = true;
        while is_open && !text.contains(PROBED) && Instant::now() < until {
            let (more, still_open) = self.read_for(Duration::from_millis(10));
            text.push_str(&more);
            is_open = still_open;
        }
        let own = text.split("\r\n\r\n").filter(|answer| !answer.contains(PROBED));
        let statuses = own.filter_map(|answer| answer.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok());
        let status = statuses.filter(|status: &u16| *status >= 200).last();
        match (status, is_open) {
            (Some(status), true) => Answered(status),
            (Some(status), false) => Last(status),
            (None, true) if text.contains(PROBED) => Ignored,
            (None, true) => Waits,
            (None, false) => Closed,
        }
    }

    /// The status of the next answer.
    fn status(&mut self) -> u16 {
        let mut text = String::new();
        let until = Instant::now() + PATIENCE;
        while !text.contains("\r\n\r\n") && Instant::now() < until {
            let (more, open) = self.read_for(Duration::from_millis(20));
            text.push_str(&more);
            if !open {
                break;
            }
        }
        text.trim_start().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// What arrives within this time, and whether the connection is still open then.
    fn read_for(&mut self, time: Duration) -> (String, bool) {
        let until = Instant::now() + time;
        let mut all = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (String::from_utf8_lossy(&all).into_owned(), true);
            }
            self.0.sock.set_read_timeout(Some(left)).unwrap();
            match self.0.read(&mut buffer) {
                Ok(0) => return (String::from_utf8_lossy(&all).into_owned(), false),
                Ok(len) => all.extend_from_slice(&buffer[..len]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return (String::from_utf8_lossy(&all).into_owned(), false),
            }
        }
    }
}

/// Stands in the answer to [`sane`] OPTIONS.
const PROBED: &str = "Call-ID: probeOPTIONS";

/// A sane request with something more in its header.
fn with_field(method: &str, field: &str) -> Vec<u8> {
    sane(method).replace("Content-Length", &format!("{field}Content-Length")).into_bytes()
}

/// A request as any phone may send it before it has signed in.
fn sane(method: &str) -> String {
    format!(
        "{method} sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS probe.invalid;branch=z9hG4bKprobe{method}\r\n\
         From: <sip:alice@{DOMAIN}>;tag=probe\r\nTo: <sip:alice@{DOMAIN}>\r\nCall-ID: probe{method}\r\n\
         CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:alice@probe.invalid>\r\nContent-Length: 0\r\n\r\n"
    )
}
