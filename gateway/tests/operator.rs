//! The operator's commands for joining, from outside: invites, devices, the operator's key and the next key.

#![allow(clippy::unwrap_used)]

mod program;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use program::{Gateway, INIT, assert_refused, command, register};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use undertone_config::{ContactLink, JoinLink, Link, LinkToken, OperatorKey};
use undertone_gateway::core::{Announcement, DeviceHash};

#[test]
fn an_invite_is_a_link_with_everything_a_phone_needs() {
    let gateway = Gateway::new();
    let said = gateway.json(&["invite", "dave", "--gateway", "127.0.0.1:5062"]);
    assert_eq!((&said["event"], &said["new_account"]), (&"invite".into(), &true.into()));
    let link = join_link(said["link"].as_str().unwrap());
    assert_eq!(link.address.to_string(), "dave@localhost");
    assert_eq!(link.gateway.to_string(), "127.0.0.1:5062");
    assert_eq!(link.pin.to_string(), gateway.pin());
    assert!(link.contact.is_none() && link.identity.is_none());
    let in_a_week = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 7 * 86_400;
    assert!((in_a_week..=in_a_week + 86_400).contains(&link.expires_s), "rounded up to a day");
    assert_eq!((link.expires_s % 86_400, said["expires"].as_u64()), (0, Some(link.expires_s)));
    assert_eq!(
        join_link(gateway.json(&["invite", "dave"])["link"].as_str().unwrap()).gateway.to_string(),
        "localhost:5061"
    );
    let accounts = gateway.json(&["user", "list"]);
    let dave = serde_json::json!({ "name": "dave", "devices": 0, "password": false, "open_invites": 2 });
    assert_eq!(accounts["accounts"], serde_json::json!([dave]));
}

#[test]
fn one_link_joins_and_adds_a_contact() {
    let gateway = Gateway::new();
    let contact =
        ContactLink { address: "bob@gw.example".parse().unwrap(), key: [7; 32], token: Some(LinkToken::new([9; 32])) };
    let said = gateway.json(&["invite", "dave", "--contact", &contact.to_text()]);
    let added = join_link(said["link"].as_str().unwrap()).contact.unwrap();
    assert_eq!((added.address, added.key), (contact.address, contact.key));
    gateway
        .refused(&["invite", "dave", "--contact", said["link"].as_str().unwrap()], "--contact: this is a link to join");
    gateway.refused(&["invite", "dave", "--contact", "bob@gw.example"], "--contact: this is not an Undertone link");
}

#[test]
fn an_invite_for_people_has_a_link_and_a_code_that_can_be_left_out() {
    let gateway = Gateway::new();
    let said = gateway.say(&["invite", "dave", "--days", "1"]);
    let link = said.lines().find_map(|line| line.strip_prefix("  undertone:").map(|_| line.trim())).unwrap();
    assert_eq!(join_link(link).address.to_string(), "dave@localhost");
    assert!(
        said.contains("Account dave@localhost is made.") && said.contains("by `undertone join`, which asks"),
        "{said}"
    );
    assert!(said.lines().take_while(|line| !line.is_empty()).count() > 20, "a code");
    let bare = gateway.say(&["invite", "dave", "--no-qr"]);
    assert!(bare.starts_with("Account dave@localhost was there already: this link lets one more phone into it."));
    let key = gateway.folder.path().join("operator.key");
    assert!(bare.contains(&format!("The operator's key still lies in {}.", key.display())));
    std::fs::remove_file(key).unwrap();
    assert!(!gateway.say(&["invite", "dave", "--no-qr"]).contains("operator's key"));
}

#[test]
fn a_phone_joins_over_tls_and_is_out_within_a_second_of_its_revocation() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let link = gateway.json(&["invite", "alice"]);
    let token = link["link"].as_str().unwrap().split("&j=").nth(1).unwrap();
    let (device, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut phone = running.connect_with(&device);
    phone.send(&register("1", Some(&format!("Undertone-Token token=\"{token}\""))));
    let joined = phone.response();
    assert!(joined.starts_with("SIP/2.0 200 "), "{joined}");
    let mut late = running.connect_with(&thief);
    late.send(&register("1", Some(&format!("Undertone-Token token=\"{token}\""))));
    assert!(late.response().starts_with("SIP/2.0 403 This invite has been used\r\n"));
    let mut again = running.connect_with(&device);
    again.send(&register("1", None));
    assert!(again.response().starts_with("SIP/2.0 200 "));

    let hash = DeviceHash::of_key(&device.subject_public_key_info()).to_hex();
    let listed = gateway.json(&["device", "list", "alice"]);
    assert_eq!(listed["devices"][0]["device"], hash.as_str());
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1);
    // The command itself waits until a running gateway has seen it.
    let revoked = Instant::now();
    assert_eq!(gateway.json(&["device", "revoke", "alice", &hash[..8]])["device"], hash.as_str());
    again.read_to_end();
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    let mut back = running.connect_with(&device);
    back.send(&register("1", None));
    assert!(back.response().starts_with("SIP/2.0 403 This device is not known for this account\r\n"));
    assert!(gateway.say(&["device", "list", "alice"]).contains("undertone-gateway --config"));
}

#[test]
fn no_token_stays_in_the_gateways_memory() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let link = gateway.json(&["invite", "alice"]);
    let token = link["link"].as_str().unwrap().split("&j=").nth(1).unwrap();
    let mut phone = running.connect_with(&KeyPair::generate().unwrap());
    phone.send(&register("1", Some(&format!("Undertone-Token token=\"{token}\""))));
    assert!(phone.response().starts_with("SIP/2.0 200 "));
    phone.send(&device_command("add"));
    let head = phone.response();
    assert!(head.starts_with("SIP/2.0 200 "), "{head}");
    let told = phone.read("token ".len() + 43);
    let made = told.strip_prefix("token ").unwrap();
    let found = |octets: &[u8]| running.memory_holds(octets);
    assert!(found(b"alice"), "what is looked for is found");
    drop(phone);
    let given_up = Instant::now();
    let kept = || [token, made].iter().any(|text| found(text.as_bytes()) || found(&decoded(text)));
    while kept() {
        assert!(given_up.elapsed() < Duration::from_secs(5), "a token is kept");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_link_that_was_withdrawn_opens_nothing() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    let link = gateway.json(&["invite", "alice"]);
    let token = link["link"].as_str().unwrap().split("&j=").nth(1).unwrap();
    assert_eq!(gateway.json(&["invite", "alice", "--withdraw"])["invites"], 1);
    assert!(gateway.say(&["invite", "alice", "--withdraw"]).contains("No invite to alice was open."));
    let mut phone = running.connect_with(&KeyPair::generate().unwrap());
    phone.send(&register("1", Some(&format!("Undertone-Token token=\"{token}\""))));
    assert!(phone.response().starts_with("SIP/2.0 403 This invite is not known here\r\n"));
}

#[test]
fn a_password_for_another_makers_phone_is_shown_once_and_replaces_the_last_one() {
    let gateway = Gateway::new();
    gateway.json(&["invite", "alice"]);
    let first = gateway.json(&["user", "password", "alice"]);
    let second = gateway.json(&["user", "password", "alice"]);
    assert_ne!(first["password"], second["password"]);
    assert!(second["password"].as_str().unwrap().len() >= 26, "128 bits in characters of 5 bits");
    assert_eq!(gateway.json(&["user", "list"])["accounts"][0]["password"], true);
    assert!(gateway.say(&["user", "list"]).contains("alice@localhost: 0 devices, a password, 1 open invite"));
    gateway.refused(&["user", "password", "nobody"], "no account nobody");
}

#[test]
fn the_operators_key_is_its_owners_alone_outside_the_state_folder_and_signs_what_links_promise() {
    let gateway = Gateway::new();
    let file = gateway.folder.path().join("operator.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let invited = gateway.json(&["invite", "dave"]);
    let public = join_link(invited["link"].as_str().unwrap()).operator;
    let said = sign(&gateway, &file, "localhost", &gateway.pin(), "1");
    let announcement: Announcement = said.parse().unwrap();
    let operator = OperatorKey::from_bytes(public);
    assert!(announcement.is_by(&operator, &"localhost".parse().unwrap()));
    // RFC 8410 §7: the 32 octets of the private half follow the 16 of its frame.
    let private = PrivatePkcs8KeyDer::from_pem_file(&file).unwrap().secret_pkcs8_der()[16..48].to_vec();
    let store = std::fs::read(gateway.folder.path().join("state/accounts.sqlite")).unwrap();
    let holds = |octets: &[u8]| store.windows(32).any(|window| window == octets);
    assert!(holds(&public) && !holds(&private));
}

#[test]
fn an_operators_key_is_written_where_it_is_wanted_and_never_over_anything() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let at = |file: &Path| command(&config, &INIT).arg("--operator-key").arg(file).output().unwrap();
    assert_refused(&at(&folder.path().join("state/operator.key")), "inside the gateway's state folder");
    assert_refused(&at(&folder.path().join("stick/operator.key")), "is the disk it is on connected");
    let taken = folder.path().join("taken");
    std::fs::write(&taken, b"mine").unwrap();
    assert_refused(&at(&taken), "is there already and is not overwritten");
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    assert!(!config.exists() && !folder.path().join("state").exists() && !folder.path().join("tls").exists());
    std::fs::create_dir(folder.path().join("stick")).unwrap();
    assert!(at(&folder.path().join("stick/operator.key")).status.success());
    assert!(!folder.path().join("operator.key").exists());
    std::os::unix::fs::symlink(folder.path().join("state"), folder.path().join("link")).unwrap();
    for roundabout in ["link/operator.key", "stick/../state/operator.key"] {
        let out = folder.path().join(roundabout);
        let refused = command(&config, &["operator-key", "new", "--replace", "--out"]).arg(out).output().unwrap();
        assert_refused(&refused, "inside the gateway's state folder");
    }
}

#[test]
fn a_gateway_set_up_before_gets_an_operators_key_once() {
    let gateway = Gateway::new();
    gateway.refused(&["operator-key", "new"], "--replace");
    // As the second version left it, which had no seal.
    let forget = "UPDATE gateway SET operator = NULL; DROP TABLE seal; PRAGMA user_version = 2;";
    let store = rusqlite::Connection::open(gateway.folder.path().join("state/accounts.sqlite")).unwrap();
    store.execute_batch(forget).unwrap();
    drop(store);
    gateway.refused(&["invite", "dave"], "operator-key new` first");
    assert_eq!(gateway.json(&["user", "list"])["accounts"], serde_json::json!([]), "no account was made");
    gateway.refused(&["operator-key", "new"], "is there already and is not overwritten");
    let elsewhere = gateway.folder.path().join("second.key");
    let made = gateway.json(&["operator-key", "new", "--out", elsewhere.to_str().unwrap()]);
    assert_eq!(made["operator_key"], elsewhere.to_str().unwrap());
    gateway.json(&["invite", "dave"]);
}

#[test]
fn phones_are_told_of_the_next_key_and_know_the_gateway_under_it() {
    let gateway = Gateway::new();
    let key = gateway.folder.path().join("operator.key");
    let made = gateway.json(&["next-key", "new"]);
    let (pin, serial) = (made["pin"].as_str().unwrap(), made["serial"].to_string());
    assert_ne!(pin, gateway.pin());
    let announcement = sign(&gateway, &key, "localhost", pin, &serial);
    {
        let running = gateway.serve(&[]);
        let link = gateway.json(&["invite", "alice"]);
        let token = link["link"].as_str().unwrap().split("&j=").nth(1).unwrap();
        let mut phone = running.connect_with(&KeyPair::generate().unwrap());
        phone.send(&register("1", Some(&format!("Undertone-Token token=\"{token}\""))));
        assert!(!phone.response().contains("Undertone-Next-Pin"));
        gateway.say(&["next-key", "announce", &announcement]);
        phone.send(&register("2", None));
        let told = phone.response();
        assert!(told.contains(&format!("\r\nUndertone-Next-Pin: {announcement}\r\n")), "{told}");
    }
    assert_eq!(gateway.json(&["next-key", "use"])["pin"], pin);
    assert_eq!(gateway.pin(), pin);
    assert_eq!(gateway.serve(&[]).ready["pin"], pin, "it runs with the next key");
    gateway.refused(&["next-key", "use"], "there is no next key");
    gateway.refused(&["next-key", "announce", &announcement], "there is no next key");
    assert_eq!(gateway.json(&["next-key", "new"])["serial"], 2);
}

#[test]
fn each_wrong_step_from_key_to_key_is_one_sentence_and_changes_nothing() {
    let gateway = Gateway::new();
    let (key, before) = (gateway.folder.path().join("operator.key"), gateway.pin());
    let file = key.to_str().unwrap();
    gateway.refused(&["next-key", "use"], "there is no next key");
    let made = gateway.json(&["next-key", "new"]);
    let pin = made["pin"].as_str().unwrap();
    gateway.refused(&["next-key", "new"], "is not overwritten");
    gateway.refused(&["next-key", "use"], "has not been announced");
    let stranger = gateway.folder.path().join("stranger.key");
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(&stranger, ed25519.serialize_pem()).unwrap();
    for (text, words) in [
        (sign(&gateway, &stranger, "localhost", pin, "1"), "not signed with this gateway's operator key"),
        (sign(&gateway, &key, "other.example", pin, "1"), "not signed with this gateway's operator key"),
        (sign(&gateway, &key, "localhost", &before, "1"), "for another key"),
        (sign(&gateway, &key, "localhost", pin, "1").replace("serial=1", "serial=2"), "not signed"),
        ("sha256:nonsense".to_owned(), "no announcement"),
    ] {
        gateway.refused(&["next-key", "announce", &text], words);
    }
    gateway.say(&["next-key", "announce", &sign(&gateway, &key, "localhost", pin, "5")]);
    for serial in ["5", "4"] {
        gateway
            .refused(&["next-key", "announce", &sign(&gateway, &key, "localhost", pin, serial)], "--serial 6 or more");
    }
    let signing = |file: &str, serial: &str, words: &str| {
        let arguments = ["--operator-key", file, "--domain", "localhost", "--pin", pin, "--serial", serial];
        gateway.refused(&[&["next-key", "sign"][..], &arguments].concat(), words);
    };
    signing("/nonexistent", "1", "cannot read the operator's key /nonexistent");
    signing(gateway.folder.path().join("tls/key.pem").to_str().unwrap(), "1", "cannot read the operator's key");
    signing(file, "0", "--serial");
    assert_eq!(gateway.pin(), before);
}

#[test]
fn a_switch_of_keys_that_was_interrupted_is_finished_by_the_same_command() {
    let gateway = Gateway::new();
    let (key, tls) = (gateway.folder.path().join("operator.key"), gateway.folder.path().join("tls"));
    let made = gateway.json(&["next-key", "new"]);
    let pin = made["pin"].as_str().unwrap();
    gateway.say(&["next-key", "announce", &sign(&gateway, &key, "localhost", pin, "1")]);
    let (old_key, next) =
        (std::fs::read(tls.join("key.pem")).unwrap(), std::fs::read(tls.join("next-key.pem")).unwrap());
    let announced = std::fs::read(gateway.folder.path().join("state/accounts.sqlite")).unwrap();
    gateway.say(&["next-key", "use"]);
    // As it is after the certificate was written, and before the key was moved.
    std::fs::write(tls.join("key.pem"), old_key).unwrap();
    std::fs::write(tls.join("next-key.pem"), next).unwrap();
    std::fs::set_permissions(tls.join("next-key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(gateway.folder.path().join("state/accounts.sqlite"), &announced).unwrap();
    gateway.say(&["next-key", "use"]);
    assert_eq!(gateway.serve(&[]).ready["pin"], pin);
    // As it is after the key was moved, and before the announcement was ended.
    std::fs::write(gateway.folder.path().join("state/accounts.sqlite"), &announced).unwrap();
    gateway.say(&["next-key", "use"]);
    assert_eq!(gateway.serve(&[]).ready["pin"], pin);
}

#[test]
fn a_renewed_certificate_has_the_same_pin_and_an_issued_one_is_left_alone() {
    let gateway = Gateway::new();
    let file = gateway.folder.path().join("tls/certificate.pem");
    let (before, pin) = (std::fs::read(&file).unwrap(), gateway.pin());
    assert_eq!(gateway.json(&["certificate", "renew"])["pin"], pin.as_str());
    assert_ne!(std::fs::read(&file).unwrap(), before);
    assert_eq!(gateway.pin(), pin);
    assert_eq!(gateway.serve(&[]).ready["pin"], pin.as_str());

    let key = KeyPair::from_pem(&std::fs::read_to_string(gateway.folder.path().join("tls/key.pem")).unwrap()).unwrap();
    let authority = KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(CertificateParams::new(vec!["authority.example".to_owned()]).unwrap(), authority);
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    std::fs::write(&file, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    gateway.refused(&["certificate", "renew"], "issued by a certificate authority");
    assert_eq!(gateway.pin(), pin);
    let made = gateway.json(&["next-key", "new"]);
    let operator = gateway.folder.path().join("operator.key");
    let announcement = sign(&gateway, &operator, "localhost", made["pin"].as_str().unwrap(), "1");
    gateway.say(&["next-key", "announce", &announcement]);
    gateway.refused(&["next-key", "use"], "have one issued for the key");
    assert_eq!(gateway.pin(), pin, "nothing has changed");
}

#[test]
fn each_mistake_with_invites_and_devices_is_one_sentence() {
    let gateway = Gateway::new();
    for (arguments, words) in [
        (&["invite", "A b"][..], "account name"),
        (&["invite", "dave", "--days", "0"], "--days"),
        (&["invite", "dave", "--days", "31"], "--days"),
        (&["invite", "dave", "--gateway", "nowhere:x"], "--gateway"),
        (&["invite", "nobody", "--withdraw"], "no account nobody"),
        (&["device", "list", "nobody"], "no account nobody"),
        (&["device", "revoke", "nobody", "abababab"], "no account nobody"),
    ] {
        gateway.refused(arguments, words);
    }
    for _ in 0..10 {
        gateway.json(&["invite", "dave"]);
    }
    gateway.refused(&["invite", "dave"], "invite dave --withdraw");
    gateway.refused(&["device", "revoke", "dave", "abababab"], "no such device");
    gateway.refused(&["device", "revoke", "dave", "ab"], "first 8 digits");
}

/// The announcement that `next-key sign` prints.
fn sign(gateway: &Gateway, operator_key: &Path, domain: &str, pin: &str, serial: &str) -> String {
    let file = operator_key.to_str().unwrap();
    let arguments = ["--operator-key", file, "--domain", domain, "--pin", pin, "--serial", serial];
    let said = gateway.json(&[&["next-key", "sign"][..], &arguments].concat());
    said["announcement"].as_str().unwrap().to_owned()
}

fn join_link(text: &str) -> JoinLink {
    let Link::Join(link) = text.parse().unwrap() else { panic!("no link to join by") };
    *link
}

fn device_command(line: &str) -> String {
    format!(
        "MESSAGE sip:localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKcommand;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: command\r\nCSeq: 1 MESSAGE\r\n\
         Content-Type: application/undertone-devices\r\nContent-Length: {}\r\n\r\n{line}",
        line.len()
    )
}

fn decoded(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token).unwrap()
}
