//! Session descriptions: what our phones, baresip and linphone offer is read and answered; what would
//! not be an encrypted call is refused with its reason; what is written comes from one template.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use undertone_sip::sdp::{
    Candidate, Capabilities, Codec, Description, Direction, DtlsRole, Fingerprint, Ice, MAX_ATTRIBUTES, MAX_MEDIA,
    MAX_SDP_LEN, OPUS, Origin, Payloads, RED, SdpRefusal, Setup, TELEPHONE_EVENT, Transport, answer, conclude,
};

const BARESIP: &str = "v=0\r\no=- 3141592653 2718281828 IN IP4 127.0.1.1\r\ns=-\r\nc=IN IP4 127.0.1.1\r\nt=0 0\r\n\
    a=tool:baresip 1.0.0\r\nm=audio 24310 UDP/TLS/RTP/SAVPF 96 101\r\nb=AS:125\r\n\
    a=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=rtcp:24311\r\na=sendrecv\r\na=label:1\r\na=rtcp-mux\r\n\
    a=fingerprint:SHA-256 FP\r\na=setup:actpass\r\na=ssrc:1 cname:sip:alice@127.0.1.1\r\na=ptime:20\r\n";

const LINPHONE: &str = "v=0\r\no=alice 2305 1487 IN IP4 127.0.1.2\r\ns=Talk\r\nc=IN IP4 127.0.1.2\r\nt=0 0\r\n\
    a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\na=record:off\r\n\
    m=audio 7078 UDP/TLS/RTP/SAVP 96 97 98 0\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
    a=rtpmap:97 telephone-event/48000\r\na=rtpmap:98 speex/16000\r\na=fmtp:98 vbr=on\r\na=rtcp-mux\r\n\
    a=setup:actpass\r\na=fingerprint:sha-1 00:11\r\na=fingerprint:sha-256 FP\r\n\
    m=video 9078 UDP/TLS/RTP/SAVP 96\r\na=rtpmap:96 VP8/90000\r\n";

#[test]
fn a_baresip_offer_is_read_and_answered_with_its_transport_and_numbers() {
    let offer = parse(BARESIP).unwrap();
    assert_eq!(offer.transport, Transport::UdpTlsRtpSavpf);
    assert_eq!((offer.address, offer.port), (Some(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1))), 24310));
    assert_eq!(offer.setup, Setup::ActPass);
    let answer = answer(&offer, &own()).unwrap();
    let text = text(&answer);
    assert!(text.contains("m=audio 4000 UDP/TLS/RTP/SAVPF 96 101\r\n"), "{text}");
    assert!(text.contains("a=rtpmap:101 telephone-event/8000\r\n") && text.contains("a=setup:active\r\n"));
    assert!(!text.contains("vfy") && !text.contains("ice") && !text.contains("tls-id"));
    let agreed = conclude(&offer, &answer, false).unwrap();
    assert_eq!(agreed.role, DtlsRole::Client);
    assert_eq!(agreed.payloads, Payloads { opus: 96, red: None, telephone_event: Some((101, 8000)) });
    assert_eq!(agreed.peer_fingerprint, offer.fingerprint);
    assert!(!agreed.vfy);
}

#[test]
fn a_linphone_offer_is_answered_with_savp_and_its_video_line_refused() {
    let offer = parse(LINPHONE).unwrap();
    let answer = answer(&offer, &own()).unwrap();
    let text = text(&answer);
    assert!(text.contains("m=audio 4000 UDP/TLS/RTP/SAVP 96 97\r\n"), "{text}");
    assert!(text.ends_with("m=video 0 UDP/TLS/RTP/SAVP 96\r\n"), "{text}");
    let agreed = conclude(&offer, &parse(&text).unwrap(), true).unwrap();
    assert_eq!(agreed.role, DtlsRole::Server);
    assert_eq!(agreed.payloads.telephone_event, Some((97, 48_000)));
}

#[test]
fn an_answer_without_telephone_events_is_still_a_call() {
    let offer = phone_offer();
    let mut answer = answer(&offer, &own()).unwrap();
    answer.codecs.retain(|codec| codec.name == OPUS);
    let agreed = conclude(&offer, &answer, true).unwrap();
    assert_eq!(agreed.payloads, Payloads { opus: 111, red: None, telephone_event: None });
}

#[test]
fn refused_lines_keep_their_place_before_and_after_ours() {
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 99\r\n";
    let sdp = BARESIP.replacen("m=audio", &format!("{video}m=audio"), 1) + "m=application 9 DTLS/SCTP 5000\r\n";
    let offer = parse(&sdp).unwrap();
    let text = text(&answer(&offer, &own()).unwrap());
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    let expected =
        ["m=video 0 UDP/TLS/RTP/SAVPF 99", "m=audio 4000 UDP/TLS/RTP/SAVPF 96 101", "m=application 0 DTLS/SCTP 5000"];
    assert_eq!(lines, expected);
}

#[test]
fn a_phones_own_offer_names_no_address_at_all() {
    let expected = "v=0\r\no=- 77 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 112 111 110\r\nc=IN IP4 0.0.0.0\r\na=fingerprint:sha-256 FP\r\n\
        a=setup:actpass\r\na=tls-id:0123456789abcdefghij\r\na=ice-ufrag:abcdefgh\r\n\
        a=ice-pwd:0123456789abcdefghijklmn\r\na=sendrecv\r\na=rtcp-mux\r\n\
        a=rtpmap:112 red/48000/2\r\na=fmtp:112 111/111\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 usedtx=0;cbr=1;useinbandfec=1\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\na=ptime:20\r\na=vfy:1\r\na=vfy-pq:1\r\n\
        a=vfy-ring:dGlja2V0\r\n";
    assert_eq!(text(&phone_offer()), expected.replace("FP", &fingerprint(1).to_string()));
}

#[test]
fn the_gateway_carries_end_to_end_values_and_replaces_the_rest() {
    let offer = phone_offer();
    let relay = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
    let candidates = vec![SocketAddr::new(v6, 5000), SocketAddr::new(relay, 5000)];
    let ice = Ice {
        ufrag: "relayufr".into(),
        pwd: "relaypwdrelaypwdrelaypwd".into(),
        lite: true,
        candidates: candidates.into_iter().map(Candidate::host).collect(),
    };
    let relayed = offer.relayed(Origin { id: 5, version: 9 }, relay, 5000, Some(ice.clone()));
    let text = text(&relayed);
    assert!(text.contains("a=ice-lite\r\nm=audio 5000 "), "{text}");
    assert!(text.contains("c=IN IP4 198.51.100.7\r\n"));
    assert!(text.contains("a=candidate:1 1 UDP 2130706431 2001:db8::7 5000 typ host\r\n"), "{text}");
    assert!(text.contains("a=candidate:2 1 UDP 2130706175 198.51.100.7 5000 typ host\r\n"), "{text}");
    assert!(!text.contains("abcdefgh\r\n") && !text.contains("o=- 77"));
    let read = parse(&text).unwrap();
    assert_eq!((read.fingerprint, &read.tls_id), (offer.fingerprint, &offer.tls_id));
    assert_eq!((&read.ring_ticket, read.vfy, read.pq), (&offer.ring_ticket, true, true));
    assert_eq!((&read.codecs, read.setup, read.direction), (&offer.codecs, offer.setup, offer.direction));
    assert_eq!(read.ice, Some(ice));
}

#[test]
fn nothing_a_phone_writes_elsewhere_passes_the_gateway() {
    let noisy = BARESIP.replace("stereo=1;", "x-secret=10.0.0.9;stereo=1;maxplaybackrate=evil;");
    let offer = parse(&noisy).unwrap();
    let relay = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    let text = text(&offer.relayed(Origin { id: 5, version: 9 }, relay, 5000, None));
    for secret in ["10.0.0.9", "127.0.1.1", "baresip", "24310", "24311", "3141592653", "ssrc", "label", "evil"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("a=fmtp:96 stereo=1;sprop-stereo=1\r\n"));
}

#[test]
fn unencrypted_and_server_readable_calls_are_refused_with_their_reason() {
    let avp = BARESIP.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
    let without_fingerprint = BARESIP.replace("a=fingerprint:SHA-256 FP\r\n", "");
    let plain = without_fingerprint.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
    let sdes = without_fingerprint.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVP") + "a=crypto:1 AES_CM_128 inline:x\r\n";
    let zrtp = plain.clone() + "a=zrtp-hash:1.10 abc\r\n";
    let cases = [
        (avp, SdpRefusal::PlainRtp),
        (plain, SdpRefusal::PlainRtp),
        (sdes, SdpRefusal::Sdes),
        (zrtp, SdpRefusal::ZrtpOnly),
        (without_fingerprint, SdpRefusal::NoFingerprint),
        (BARESIP.replace("SHA-256 FP", "sha-1 AA:BB"), SdpRefusal::WeakFingerprint),
        (BARESIP.replace("SHA-256 FP", "sha-256 AA:BB"), SdpRefusal::Malformed),
        (BARESIP.to_owned() + &format!("a=fingerprint:sha-256 {}\r\n", fingerprint(9)), SdpRefusal::WeakFingerprint),
        (BARESIP.replace("a=setup:actpass\r\n", ""), SdpRefusal::BadSetup),
        (BARESIP.replace("setup:actpass", "setup:holdconn"), SdpRefusal::BadSetup),
        (BARESIP.replace("m=audio", "m=video"), SdpRefusal::NoAudio),
        (BARESIP.replace("m=audio 24310", "m=audio 0"), SdpRefusal::NoAudio),
        (BARESIP.replace("UDP/TLS/RTP/SAVPF", "TCP/MSRP"), SdpRefusal::UnknownTransport),
        (BARESIP.replacen("c=IN IP4 127.0.1.1", "c=IN IP4 look.me.up.example", 1), SdpRefusal::Malformed),
        ("hello".to_owned(), SdpRefusal::Malformed),
    ];
    for (sdp, refusal) in cases {
        assert_eq!(parse(&sdp), Err(refusal), "{sdp}");
    }
    assert_eq!((SdpRefusal::PlainRtp.status(), SdpRefusal::Malformed.status()), (488, 400));
    assert!(SdpRefusal::Sdes.reason().contains("SDES"));
}

#[test]
fn no_common_codec_and_no_rtcp_mux_end_the_negotiation_with_their_reason() {
    let offer = parse(&BARESIP.replace("opus/48000/2", "PCMU/8000")).unwrap();
    assert_eq!(answer(&offer, &own()), Err(SdpRefusal::NoCommonCodec));
    let offer = parse(&BARESIP.replace("a=rtcp-mux\r\n", "")).unwrap();
    assert_eq!(answer(&offer, &own()), Err(SdpRefusal::NoRtcpMux));
    let good = phone_offer();
    let mut bad = answer(&good, &own()).unwrap();
    bad.rtcp_mux = false;
    assert_eq!(conclude(&good, &bad, true), Err(SdpRefusal::NoRtcpMux));
}

#[test]
fn an_answer_must_fit_its_offer() {
    let offer = phone_offer();
    let good = answer(&offer, &own()).unwrap();
    assert!(conclude(&offer, &good, true).is_ok());
    let other_transport = Description { transport: Transport::UdpTlsRtpSavp, ..good.clone() };
    assert_eq!(conclude(&offer, &other_transport, true), Err(SdpRefusal::BadAnswer));
    let undecided = Description { setup: Setup::ActPass, ..good.clone() };
    assert_eq!(conclude(&offer, &undecided, true), Err(SdpRefusal::BadSetup));
    let mut renumbered = good;
    renumbered.codecs[1].pt = 99;
    assert_eq!(conclude(&offer, &renumbered, true), Err(SdpRefusal::BadAnswer));
}

#[test]
fn both_sides_agree_on_everything_and_take_opposite_roles() {
    for (setup, start, answerer) in [
        (Setup::ActPass, true, DtlsRole::Client),
        (Setup::ActPass, false, DtlsRole::Server),
        (Setup::Active, true, DtlsRole::Server),
        (Setup::Passive, false, DtlsRole::Client),
    ] {
        let offer = Description { setup, ..phone_offer() };
        let reply = answer(&offer, &Capabilities { start_dtls: start, ..own() }).unwrap();
        let (one, other) = (conclude(&offer, &reply, true).unwrap(), conclude(&offer, &reply, false).unwrap());
        assert_eq!(other.role, answerer);
        assert_ne!(one.role, other.role);
        assert_eq!(one.payloads, other.payloads);
        assert_eq!(one.payloads, Payloads { opus: 111, red: Some(112), telephone_event: Some((110, 48_000)) });
        assert!(one.vfy && other.vfy && one.pq && other.pq);
        assert_eq!((one.peer_fingerprint, other.peer_fingerprint), (fingerprint(2), fingerprint(1)));
    }
}

#[test]
fn directions_mirror_and_a_held_side_neither_sends_nor_claims_to() {
    for (offered, answered) in [
        (Direction::SendRecv, Direction::SendRecv),
        (Direction::SendOnly, Direction::RecvOnly),
        (Direction::RecvOnly, Direction::SendOnly),
        (Direction::Inactive, Direction::Inactive),
    ] {
        let offer = Description { direction: offered, ..phone_offer() };
        let reply = answer(&offer, &own()).unwrap();
        assert_eq!((reply.direction, offered.mirrored()), (answered, answered));
        assert_eq!(parse(&text(&reply)).unwrap().direction, answered);
        assert_eq!(conclude(&offer, &reply, true).unwrap().direction, offered);
    }
}

#[test]
fn red_over_another_codec_is_not_taken() {
    let mut offer = phone_offer();
    let red = offer.codecs.iter_mut().find(|codec| codec.name == RED).unwrap();
    red.fmtp = Some("111/0".to_owned());
    let reply = answer(&offer, &own()).unwrap();
    assert!(reply.codec(RED).is_none() && reply.codec(TELEPHONE_EVENT).is_some());
}

#[test]
fn oversized_descriptions_are_refused_at_each_bound() {
    let media = "m=video 9 RTP/AVP 31\r\n";
    assert!(parse(&(BARESIP.to_owned() + &media.repeat(MAX_MEDIA - 1))).is_ok());
    let lines = BARESIP.to_owned() + &media.repeat(MAX_MEDIA);
    assert_eq!(parse(&lines), Err(SdpRefusal::TooLarge));
    let there = BARESIP.matches("a=").count();
    assert!(parse(&(BARESIP.to_owned() + &"a=x\r\n".repeat(MAX_ATTRIBUTES - there))).is_ok());
    let attributes = BARESIP.to_owned() + &"a=x\r\n".repeat(MAX_ATTRIBUTES - there + 1);
    assert_eq!(parse(&attributes), Err(SdpRefusal::TooLarge));
    let long = format!("{BARESIP}a=x:{}\r\n", "y".repeat(MAX_SDP_LEN));
    assert_eq!(parse(&long), Err(SdpRefusal::TooLarge));
    let ticket = format!("{BARESIP}a=vfy-ring:{}\r\n", "y".repeat(257));
    assert_eq!(parse(&ticket).unwrap().ring_ticket, None);
}

#[test]
fn values_set_by_code_cannot_break_out_of_their_line() {
    let mut offer = phone_offer();
    offer.tls_id = Some("0123456789abcdefghij\r\na=evil".to_owned());
    offer.ring_ticket = Some("x\r\na=evil".to_owned());
    offer.codecs[0].fmtp = Some("1\r\na=evil".to_owned());
    offer.codecs[1].name = "opus\r\na=evil".to_owned();
    offer.ice.as_mut().unwrap().pwd.push_str("\r\na=evil");
    assert!(!text(&offer).contains("evil"));
}

fn fingerprint(seed: u8) -> Fingerprint {
    Fingerprint { sha256: std::array::from_fn(|index| seed.wrapping_mul(31).wrapping_add(index as u8)) }
}

fn parse(sdp: &str) -> Result<Description, SdpRefusal> {
    Description::parse(sdp.replace("FP", &fingerprint(1).to_string()).as_bytes())
}

fn text(description: &Description) -> String {
    String::from_utf8(description.to_bytes()).unwrap()
}

fn phone_offer() -> Description {
    let codecs = vec![Codec::red(112, 111), Codec::opus(111), Codec::telephone_event(110, 48_000)];
    let mut offer = Description::new(Origin { id: 77, version: 1 }, fingerprint(1), codecs);
    offer.tls_id = Some("0123456789abcdefghij".to_owned());
    offer.ice = Some(Ice {
        ufrag: "abcdefgh".to_owned(),
        pwd: "0123456789abcdefghijklmn".to_owned(),
        lite: false,
        candidates: Vec::new(),
    });
    offer.vfy = true;
    offer.pq = true;
    offer.ring_ticket = Some("dGlja2V0".to_owned());
    offer
}

fn own() -> Capabilities {
    Capabilities {
        origin: Origin { id: 88, version: 1 },
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: 4000,
        fingerprint: fingerprint(2),
        tls_id: Some("jihgfedcba9876543210".to_owned()),
        ice: None,
        codecs: vec![
            Codec::red(112, 111),
            Codec::opus(111),
            Codec::telephone_event(110, 48_000),
            Codec::telephone_event(101, 8_000),
        ],
        start_dtls: true,
        direction: Direction::SendRecv,
        vfy: true,
        pq: true,
        ptime_ms: 20,
    }
}
