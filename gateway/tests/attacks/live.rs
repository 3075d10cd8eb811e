//! Attacks on the running program over real sockets of this machine, bounded in number and time.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use undertone_sip::sdp::Description;
use undertone_sip::wire::{MAX_BODY_LEN, MAX_HEADER_LEN, Message, parse};

use crate::program::{Gateway, Phone, Running, authorization, register};
use crate::relay_world::check;
use crate::world;

/// Waiting time for what must not come.
const NOTHING_COMES: Duration = Duration::from_millis(500);

#[test]
fn no_host_that_a_contact_via_route_or_sdp_names_is_ever_contacted() {
    let traps = Traps::set();
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| signed_in(&gateway, &running, name, &traps));
    let mut attempts = 0;
    for (tcp, udp) in traps.hosts() {
        for text in [
            register_naming(&tcp, "sip"),
            register_naming(&udp, "sips"),
            options_naming(&tcp),
            options_naming(&udp),
            options_naming(&tcp)
                .replace("SIP/2.0/TLS", "SIP/2.0/UDP")
                .replace("sip:localhost SIP", &format!("sip:x@{udp} SIP")),
        ] {
            alice.send(&text);
            alice.response();
            attempts += 1;
        }
    }
    let call = Call::place(&mut alice, &mut bob, &traps.sdp());
    call.hang_up(&mut alice, &mut bob);
    drop((alice, bob));
    std::thread::sleep(NOTHING_COMES);
    assert_eq!(traps.caught(), 0);
    let trap = traps.tcp[0].local_addr().unwrap();
    let _visitor = TcpStream::connect(trap).unwrap();
    udp().send_to(&[0], trap).unwrap();
    assert_eq!(traps.caught(), 2, "the traps catch who comes");
    println!("{attempts} requests and a call that name listeners of ours: 0 connections, 0 datagrams there");
}

#[test]
fn a_scan_of_the_relays_port_gets_no_octet_and_a_call_goes_on_meanwhile() {
    let traps = Traps::set();
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let relay: SocketAddr = running.ready["relay"][0].as_str().unwrap().parse().unwrap();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| signed_in(&gateway, &running, name, &traps));
    let call = Call::place(&mut alice, &mut bob, &traps.sdp());
    let (caller, callee) = (udp(), udp());
    admit(&caller, &call.caller, relay);
    admit(&callee, &call.callee, relay);
    let strangers: Vec<UdpSocket> = (0..20).map(|_| udp()).collect();
    let probe = check(&call.caller.0, "a password that is wrong", 5);
    let mut octets = 0;
    for (n, stranger) in strangers.iter().enumerate() {
        for first in 0..=u8::MAX {
            let mut datagram = vec![0x42; 10 + n * 60];
            datagram[0] = first;
            octets += stranger.send_to(&datagram, relay).unwrap();
        }
        octets += stranger.send_to(&probe, relay).unwrap();
        caller.send_to(&[0x80, n as u8], relay).unwrap();
        assert_eq!(received(&callee), Some(vec![0x80, n as u8]), "and nothing else before it");
    }
    std::thread::sleep(NOTHING_COMES);
    assert!(strangers.iter().all(|stranger| received_now(stranger).is_none()));
    assert!(received_now(&callee).is_none() && received_now(&caller).is_none());
    println!("{octets} octets by 20 strangers on real sockets: 0 octets back, 0 to the phones, amplification 0");
}

#[test]
fn traffic_after_the_hang_up_stops_within_a_second() {
    let traps = Traps::set();
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let relay: SocketAddr = running.ready["relay"][0].as_str().unwrap().parse().unwrap();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| signed_in(&gateway, &running, name, &traps));
    let call = Call::place(&mut alice, &mut bob, &traps.sdp());
    let (caller, callee) = (udp(), udp());
    admit(&caller, &call.caller, relay);
    admit(&callee, &call.callee, relay);
    caller.send_to(&[0x80, 1], relay).unwrap();
    assert_eq!(received(&callee), Some(vec![0x80, 1]));
    let (credentials, hung_up) = (call.caller.clone(), Instant::now());
    call.hang_up(&mut alice, &mut bob);
    let (mut last, mut sent, mut passed) = (Duration::ZERO, 0, 0);
    while hung_up.elapsed() < Duration::from_secs(2) {
        caller.send_to(&[0x80, 2], relay).unwrap();
        caller.send_to(&check(&credentials.0, &credentials.1, 1_000 + sent), relay).unwrap();
        sent += 1;
        std::thread::sleep(Duration::from_millis(5));
        for socket in [&callee, &caller] {
            if received_now(socket).is_some() {
                (last, passed) = (hung_up.elapsed(), passed + 1);
            }
        }
    }
    assert!(last <= Duration::from_secs(1), "{last:?}");
    println!("{} datagrams in the 2 s after BYE: {passed} passed, the last one {last:?} after it", 2 * sent);
}

#[test]
fn a_header_of_16_kib_and_a_body_of_64_kib_are_read_and_one_octet_more_is_not() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let bare = "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKlong\r\nMax-Forwards: 70\r\n\
                From: <sip:x@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: long\r\nCSeq: 1 OPTIONS\r\n\
                Subject: \r\nContent-Length: 00000\r\n\r\n";
    for (header, body, expected) in [
        (MAX_HEADER_LEN, 0, "SIP/2.0 200 "),
        (MAX_HEADER_LEN + 1, 0, ""),
        (bare.len(), MAX_BODY_LEN, "SIP/2.0 200 "),
        (bare.len(), MAX_BODY_LEN + 1, ""),
        (MAX_HEADER_LEN, MAX_BODY_LEN, "SIP/2.0 200 "),
    ] {
        let mut phone = running.connect();
        let subject = format!("Subject: {}", "s".repeat(header - bare.len()));
        let text = bare.replace("Subject: ", &subject).replace("00000", &format!("{body:05}"));
        assert_eq!(text.len(), header);
        phone.send(&(text + &"b".repeat(body)));
        let said = if expected.is_empty() { phone.read_to_end() } else { phone.response() };
        let answered = said.starts_with("SIP/2.0 200 ");
        assert_eq!(answered, !expected.is_empty(), "{header} and {body}: {said}");
    }
    println!("header {MAX_HEADER_LEN} and body {MAX_BODY_LEN} octets: read; one more of either: refused");
    assert_eq!((MAX_HEADER_LEN, MAX_BODY_LEN), (16 * 1_024, 64 * 1_024));
}

/// Listeners of ours that nobody may ever talk to.
struct Traps {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
}

impl Traps {
    fn set() -> Self {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"];
        let tcp: Vec<_> = addresses.iter().map(|address| TcpListener::bind(address).unwrap()).collect();
        let udp = tcp.iter().map(|listener| UdpSocket::bind(listener.local_addr().unwrap()).unwrap()).collect();
        let traps = Self { tcp, udp };
        traps.tcp.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        traps
    }

    /// Each trap by its address, and by a name that leads to it.
    fn hosts(&self) -> Vec<(String, String)> {
        let addresses = self.tcp.iter().map(|listener| listener.local_addr().unwrap());
        addresses.map(|address| (address.to_string(), format!("localhost:{}", address.port()))).collect()
    }

    /// A description that asks for sound at the first trap.
    fn sdp(&self) -> String {
        let trap = self.udp[0].local_addr().unwrap();
        let candidate = format!("a=candidate:1 1 UDP 2130706431 {} {} typ host\r\n", trap.ip(), trap.port());
        let text =
            String::from_utf8(world::offer(0)).unwrap().replace("m=audio 9 ", &format!("m=audio {} ", trap.port()));
        text.replace("c=IN IP4 0.0.0.0", &format!("c=IN IP4 {}", trap.ip())) + &candidate
    }

    fn caught(&self) -> usize {
        let connections = self.tcp.iter().filter(|listener| listener.accept().is_ok()).count();
        connections + self.udp.iter().filter(|socket| received_now(socket).is_some()).count()
    }
}

/// A call between two phones that are only text: the ICE user name and password of each leg.
struct Call {
    caller: (String, String),
    callee: (String, String),
    bye: String,
}

impl Call {
    fn place(alice: &mut Phone, bob: &mut Phone, sdp: &str) -> Self {
        let head = "INVITE sip:bob@localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKcall\r\n\
                    Max-Forwards: 70\r\nFrom: <sip:alice@localhost>;tag=a\r\nTo: <sip:bob@localhost>\r\nCall-ID: call\r\n\
                    CSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1>\r\nContent-Type: application/sdp\r\n";
        alice.send(&format!("{head}Content-Length: {}\r\n\r\n{sdp}", sdp.len()));
        let invite = message(bob);
        let Message::Request(request) = &invite else { panic!("an INVITE comes") };
        let offered = Description::parse(&request.body).unwrap();
        let answer = String::from_utf8(world::answer(1, &offered)).unwrap();
        let lines = ["Via", "From", "Call-ID", "CSeq"].map(|name| {
            let (_, value) = request.headers.iter().find(|(known, _)| known.as_str() == name).unwrap();
            format!("{name}: {value}\r\n")
        });
        bob.send(&format!(
            "SIP/2.0 200 OK\r\n{}To: <sip:bob@localhost>;tag=b\r\nContact: <sip:b@127.0.0.1>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{answer}",
            lines.concat(),
            answer.len()
        ));
        assert!(matches!(message(bob), Message::Request(ack) if ack.method.as_str() == "ACK"));
        let response = loop {
            match message(alice) {
                Message::Response(response) if response.status == 200 => break response,
                Message::Response(response) => assert!(response.status < 200, "{}", response.status),
                Message::Request(request) => panic!("nobody asks the caller anything: {}", request.method.as_str()),
            }
        };
        let to = response.headers.to().unwrap().to_string();
        let in_dialog = |method: &str, number: u8| {
            format!(
                "{method} sip:localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
                 From: <sip:alice@localhost>;tag=a\r\nTo: {to}\r\nCall-ID: call\r\nCSeq: {number} {method}\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        alice.send(&in_dialog("ACK", 1));
        let ice = |description: Description| description.ice.map(|ice| (ice.ufrag, ice.pwd)).unwrap();
        let caller = ice(Description::parse(&response.body).unwrap());
        Self { caller, callee: ice(offered), bye: in_dialog("BYE", 2) }
    }

    fn hang_up(self, alice: &mut Phone, bob: &mut Phone) {
        alice.send(&self.bye);
        assert!(alice.response().starts_with("SIP/2.0 200 "));
        assert!(matches!(message(bob), Message::Request(bye) if bye.method.as_str() == "BYE"));
    }
}

/// The next message on this connection, with its body.
fn message(phone: &mut Phone) -> Message {
    let head = phone.response();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    parse((head + &phone.read(length)).as_bytes()).unwrap()
}

/// A phone of a new account, with a Contact that names the first trap.
fn signed_in(gateway: &Gateway, running: &Running, name: &str, traps: &Traps) -> Phone {
    let password = gateway.add(name)["password"].as_str().unwrap().to_owned();
    let host = traps.hosts()[0].0.clone();
    let mut phone = running.connect();
    let own = |cseq: &str, proof: Option<&str>| {
        register(cseq, proof).replace("alice", name).replace("x.invalid;transport", &format!("{host};transport"))
    };
    // A gateway looks for new accounts ten times a second.
    let until = Instant::now() + Duration::from_secs(5);
    for n in (1..).step_by(2) {
        phone.send(&own(&n.to_string(), None));
        let proof = authorization(&phone.response(), name, &password);
        phone.send(&own(&(n + 1).to_string(), Some(&proof)));
        if phone.response().starts_with("SIP/2.0 200 ") {
            break;
        }
        assert!(Instant::now() < until, "the account is known by now");
        std::thread::sleep(Duration::from_millis(250));
    }
    phone
}

fn register_naming(host: &str, scheme: &str) -> String {
    register("77", None)
        .replace(
            "sip:alice@x.invalid;transport=tls",
            &format!("{scheme}:alice@{host};transport=tcp;maddr={}", ip_of(host)),
        )
        .replace("Via: SIP/2.0/TLS x.invalid;", &format!("Via: SIP/2.0/TLS {host};received={};", ip_of(host)))
        .replace("Supported:", &format!("Path: <sip:{host};lr>\r\nRoute: <sip:{host};lr>\r\nSupported:"))
        .replace("z9hG4bK77", &format!("z9hG4bK{}{scheme}", host.replace([':', '[', ']'], "")))
}

fn options_naming(host: &str) -> String {
    format!(
        "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/TLS {host};branch=z9hG4bKo{};rport\r\nRoute: <sip:{host};lr>\r\n\
         Record-Route: <sip:{host};lr>\r\nMax-Forwards: 70\r\nFrom: <sip:x@{host}>;tag=1\r\nTo: <sip:x@{host}>\r\n\
         Call-ID: {host}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:x@{host}>\r\nCall-Info: <http://{host}/>;purpose=icon\r\n\
         Content-Length: 0\r\n\r\n",
        host.replace([':', '[', ']'], "")
    )
}

fn ip_of(host: &str) -> &str {
    host.rsplit_once(':').unwrap().0
}

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn admit(socket: &UdpSocket, (ufrag, password): &(String, String), relay: SocketAddr) {
    // The order to the relay was given before the phones were told: the first check is enough.
    socket.send_to(&check(ufrag, password, 1), relay).unwrap();
    assert!(received(socket).is_some(), "admitted and answered");
}

/// The next datagram within some seconds.
fn received(socket: &UdpSocket) -> Option<Vec<u8>> {
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = [0; 2_048];
    socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())
}

/// A datagram that has arrived by now.
fn received_now(socket: &UdpSocket) -> Option<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2_048];
    match socket.recv(&mut buffer) {
        Ok(len) => Some(buffer[..len].to_vec()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    }
}
