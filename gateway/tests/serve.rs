//! The program from outside: `init`, `user add`, `serve`, a TLS client, and every way it refuses to start.

#![allow(clippy::unwrap_used)]

mod program;

use program::{Gateway, INIT, assert_refused, authorization, command, register};
use rustls::NamedGroup;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_gateway_is_set_up_in_two_commands_and_a_phone_signs_in() {
    let gateway = Gateway::new();
    let account = gateway.add("alice");
    assert_eq!(account["address"], "alice@localhost");
    assert_eq!(account["pin"], gateway.pin());
    let running = gateway.serve(&[]);
    assert_eq!(running.ready["pin"], gateway.pin());
    let mut phone = running.connect();
    phone.send(&register("1", None));
    let challenged = phone.response();
    assert!(challenged.starts_with("SIP/2.0 401 "), "{challenged}");
    let password = account["password"].as_str().unwrap();
    phone.send(&register("2", Some(&authorization(&challenged, "alice", password))));
    let welcome = phone.response();
    assert!(welcome.starts_with("SIP/2.0 200 "), "{welcome}");
    for secret in ["127.0.0.1", "undertone", "Server:", "User-Agent:", "Date:"] {
        assert!(!welcome.contains(secret), "{secret}: {welcome}");
    }
}

#[test]
fn a_configuration_without_a_folder_is_in_the_current_one() {
    let folder = tempfile::tempdir().unwrap();
    let made = command(Path::new("gateway.toml"), &INIT).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(folder.path().join("gateway.toml").is_file() && folder.path().join("state").is_dir());
    assert!(folder.path().join("operator.key").is_file());
}

#[test]
fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let gateway = Gateway::new();
    gateway.add("alice");
    let running = gateway.serve(&[]);
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        let mut phone = running.connect();
        phone.send(&register("1", None).replace("alice", name));
        let challenged = phone.response();
        let authorization = authorization(&challenged, name, "wrong-password");
        phone.send(&register("2", Some(&authorization)).replace("sip:alice", &format!("sip:{name}")));
        answers.push(phone.response().lines().next().unwrap().to_owned());
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].contains(" 200 "), "{answers:?}");
}

#[test]
fn the_connection_is_tls_1_3_post_quantum_and_speaks_sip_only() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let mut phone = running.connect();
    phone.send("\r\n\r\n");
    let connection = &phone.stream.conn;
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(connection.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(connection.alpn_protocol(), Some(&b"sip/2"[..]));
    assert!(running.handshake(&[&rustls::version::TLS12], b"sip/2").is_err());
    assert!(running.handshake(&[&rustls::version::TLS13], b"h2").is_err());
}

#[test]
fn a_keep_alive_is_answered_and_what_is_no_sip_closes_only_its_own_connection() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let mut phone = running.connect();
    phone.send("\r\n\r\n");
    assert_eq!(phone.read(2), "\r\n");
    let mut other = running.connect();
    other.send(&"x".repeat(20_000));
    assert_eq!(other.read_to_end(), "", "closed without a word");
    let mut third = running.connect();
    third.send("INVITE sip:a SIP/2.0\r\nContent-Length: nonsense\r\n\r\n");
    third.read_to_end();
    phone.send("\r\n\r\n");
    assert_eq!(phone.read(2), "\r\n");
}

#[test]
fn accounts_added_while_it_runs_can_sign_in_and_removed_ones_are_cut_off() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let account = gateway.add("alice");
    let mut phone = running.connect();
    phone.send(&register("1", None));
    let challenged = phone.response();
    let password = account["password"].as_str().unwrap();
    phone.send(&register("2", Some(&authorization(&challenged, "alice", password))));
    assert!(phone.response().starts_with("SIP/2.0 200 "));
    assert!(gateway.run(&["user", "remove", "alice"]).status.success());
    let removed = Instant::now();
    phone.read_to_end();
    assert!(removed.elapsed() < Duration::from_secs(3));
}

#[test]
fn the_relays_port_says_nothing_to_a_stranger() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for first in 0..=u8::MAX {
        stranger.send_to(&[first; 100], running.ready["relay"][0].as_str().unwrap()).unwrap();
    }
    assert!(stranger.recv(&mut [0; 100]).is_err());
}

#[test]
fn a_stop_closes_connections_and_ends_with_code_0() {
    let gateway = Gateway::new();
    for signal in ["TERM", "INT"] {
        let mut running = gateway.serve(&[]);
        let mut phone = running.connect();
        phone.send("\r\n\r\n");
        phone.read(2);
        let pid = running.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(phone.read_to_end(), "");
        assert_eq!(running.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn unencrypted_signalling_is_for_loopback_only() {
    let gateway = Gateway::new();
    let refused = gateway.run(&["serve", "--insecure-loopback-signalling", "0.0.0.0:0"]);
    assert_refused(&refused, "loopback");
    let running = gateway.serve(&["--insecure-loopback-signalling", "127.0.0.1:0"]);
    let mut phone = TcpStream::connect(running.ready["insecure_signalling"].as_str().unwrap()).unwrap();
    phone.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    phone.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[test]
fn init_overwrites_nothing_and_leaves_nothing_behind_when_it_fails() {
    let gateway = Gateway::new();
    let before = std::fs::read(gateway.config()).unwrap();
    assert_refused(&gateway.init(), "there already");
    assert_eq!(std::fs::read(gateway.config()).unwrap(), before);

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    std::fs::write(folder.path().join("state"), b"a file where a folder should be").unwrap();
    let failed = command(&config, &INIT).output().unwrap();
    assert_refused(&failed, "cannot write");
    assert!(!config.exists() && !folder.path().join("tls/key.pem").exists());
}

#[test]
fn each_reason_not_to_start_is_one_sentence_and_code_2() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let (signalling, relay) = (running.ready["signalling"][0].as_str(), running.ready["relay"][0].as_str());
    gateway.edited("127.0.0.1:0\"]\n# PEM", &format!("{}\"]\n# PEM", signalling.unwrap()), "in use by another program");
    gateway.edited(
        "[\"127.0.0.1:0\"]\n# The",
        &format!("[\"{}\"]\n# The", relay.unwrap()),
        "in use by another program",
    );
    gateway.edited("127.0.0.1:0\"]\n# PEM", "192.0.2.1:5061\"]\n# PEM", "not an address of this machine");
    gateway.edited("domain = \"localhost\"", "domain = \"other.example\"", "were made for localhost");
    gateway.edited("domain", "domian", "domian");
    gateway.edited("certificate.pem", "key.pem", "holds no certificate");
    gateway.edited("/state\"", "/elsewhere\"", "no account store");
    assert_refused(&command(Path::new("/nonexistent/gateway.toml"), &["serve"]).output().unwrap(), "init");
    for name in ["", "Alice", "a b", "anonymous", "a@b"] {
        assert_refused(&gateway.run(&["user", "add", name]), "name");
    }
    assert_refused(&gateway.run(&["user", "remove", "nobody"]), "no account nobody");
    gateway.add("alice");
    assert_refused(&gateway.run(&["user", "add", "alice"]), "already");
    assert_eq!(gateway.run(&["serve", "--nonsense"]).status.code(), Some(2));
}
