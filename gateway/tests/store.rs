//! The account store from outside: damage is found, backups are whole, and a disk that fails leaves calls alone.
#![allow(clippy::unwrap_used)]

mod program;
mod world;

use program::{Gateway, Phone, Running, assert_refused, authorization, command, register};
use rcgen::KeyPair;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use undertone_gateway::core::accounts::AccountName;
use undertone_gateway::store::{STORE_FILE, Store};

/// What SQLite stores pages in.
const PAGE: usize = 4096;

#[test]
fn each_damaged_page_is_found_at_start_and_reported_in_one_sentence() {
    let gateway = Gateway::new();
    let mut store = Store::open(&state(&gateway), &"localhost".parse().unwrap()).unwrap();
    for n in 0..150 {
        store.add(&AccountName::parse(&format!("name{n}")).unwrap(), &[n; 32]).unwrap();
    }
    drop(store);
    let whole = std::fs::read(file(&gateway)).unwrap();
    assert!(whole.len() >= 9 * PAGE);
    for page in 0..whole.len() / PAGE {
        let mut damaged = whole.clone();
        damaged[page * PAGE..][..PAGE].iter_mut().for_each(|byte| *byte = !*byte);
        std::fs::write(file(&gateway), &damaged).unwrap();
        let words = format!("the account store {} is damaged; put a backup back with", file(&gateway).display());
        gateway.refused(&["serve"], &words);
        gateway.refused(&["user", "list"], &words);
        assert_eq!(std::fs::read(file(&gateway)).unwrap(), damaged, "nothing is written to it");
    }
    std::fs::write(file(&gateway), &whole).unwrap();
    gateway.say(&["user", "list"]);
}

#[test]
fn no_flipped_byte_changes_what_is_believed() {
    let gateway = Gateway::new();
    let (domain, alice) = ("localhost".parse().unwrap(), AccountName::parse("alice").unwrap());
    Store::open(&state(&gateway), &domain).unwrap().add(&alice, &[0x5a; 32]).unwrap();
    gateway.say(&["invite", "bob", "--no-qr"]);
    let content = |folder: &Path| {
        Store::open(folder, &domain).map_err(|error| error.to_string())?;
        Ok::<_, String>(all_rows(&folder.join(STORE_FILE)))
    };
    let (whole, expected) = (std::fs::read(file(&gateway)).unwrap(), content(&state(&gateway)).unwrap());
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut found = 0;
    // All that says anything, and some of the empty room between.
    for at in (0..whole.len()).filter(|at| whole[*at] != 0 || at % 64 == 0) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x11;
        std::fs::write(scratch.path().join(STORE_FILE), damaged).unwrap();
        match content(scratch.path()) {
            Ok(content) => assert_eq!(content, expected, "byte {at}"),
            Err(sentence) => {
                assert!(sentence.contains(STORE_FILE) && sentence.contains("; "), "{sentence}");
                found += 1;
            }
        }
        std::fs::remove_file(scratch.path().join(STORE_FILE)).unwrap();
    }
    assert!(found > 1_000, "{found}");
    let verifier = whole.windows(32).position(|bytes| bytes == [0x5a; 32]).unwrap();
    let mut damaged = whole.clone();
    damaged[verifier] ^= 1;
    std::fs::write(file(&gateway), damaged).unwrap();
    gateway.refused(&["user", "password", "bob"], "is damaged");
}

#[test]
fn a_backup_made_while_the_gateway_runs_restores_the_accounts_of_its_moment() {
    let gateway = Gateway::new();
    let account = gateway.add("alice");
    let running = gateway.serve(&[]);
    let backup = gateway.folder.path().join("backup");
    let backup = backup.to_str().unwrap();
    assert_eq!(gateway.json(&["backup", backup])["event"], "backup");
    assert_eq!(std::fs::metadata(backup).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.refused(&["backup", backup], "is there already and is not overwritten");
    gateway.say(&["user", "remove", "alice"]);
    gateway.add("mallory");
    assert_eq!(gateway.json(&["restore", backup])["accounts"], 1);
    // The gateway that runs has taken them over, and writes to the file in place.
    signed_in(&running, "alice", &account);
    let mut joining = running.connect_with(&KeyPair::generate().unwrap());
    joining.send(&with_token(&gateway.json(&["invite", "alice"])));
    assert!(joining.response().starts_with("SIP/2.0 200 "));
    let listed = gateway.json(&["user", "list"]);
    assert_eq!((&listed["accounts"][0]["devices"], listed["accounts"].as_array().unwrap().len()), (&1.into(), 1));
    let left: Vec<_> = std::fs::read_dir(state(&gateway)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [STORE_FILE]);
    assert_eq!(std::fs::metadata(file(&gateway)).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(file(&gateway)).unwrap();
    gateway.say(&["restore", backup]);
}

#[test]
fn what_is_no_whole_backup_of_this_gateway_is_not_restored() {
    let gateway = Gateway::new();
    gateway.add("alice");
    let backup = gateway.folder.path().join("backup");
    gateway.say(&["backup", backup.to_str().unwrap()]);
    let (whole, before) = (std::fs::read(&backup).unwrap(), std::fs::read(file(&gateway)).unwrap());
    let refused = |given: &Path, words: &str| {
        gateway
            .refused(&["restore", given.to_str().unwrap()], &format!("{} is not restored: {words}", given.display()));
        assert_eq!(std::fs::read(file(&gateway)).unwrap(), before);
        assert_eq!(std::fs::read_dir(state(&gateway)).unwrap().count(), 1);
    };
    let with_sql = |sql: &str| {
        std::fs::write(&backup, &whole).unwrap();
        rusqlite::Connection::open(&backup).unwrap().execute_batch(sql).unwrap();
    };
    with_sql("UPDATE account SET flags = 1");
    refused(&backup, "it is damaged");
    std::fs::write(&backup, &whole[..whole.len() - PAGE]).unwrap();
    refused(&backup, "it is damaged");
    std::fs::write(&backup, b"").unwrap();
    refused(&backup, "it is no account store");
    with_sql("PRAGMA user_version = 9");
    refused(&backup, "it has version 9");
    with_sql("UPDATE gateway SET domain = 'other.example'; DROP TABLE seal; PRAGMA user_version = 2");
    refused(&backup, "its accounts were made for other.example, but gateway.toml says localhost");
    refused(&file(&gateway), "it is the account store itself");
    refused(gateway.folder.path(), "it is not a file");
    refused(Path::new("/nonexistent"), "it cannot be read");
    gateway.refused(&["backup", "/nonexistent/backup"], "cannot write the backup /nonexistent/backup");
    gateway.refused(&["backup", "/dev/null"], "is not overwritten");
}

#[test]
fn a_store_that_is_locked_refuses_the_change_and_calls_go_on() {
    let gateway = Gateway::new();
    let (alice, bob) = (gateway.add("alice"), gateway.add("bob"));
    let invite = gateway.json(&["invite", "alice"]);
    let running = gateway.serve(&[]);
    let backup = gateway.folder.path().join("backup");
    gateway.say(&["backup", backup.to_str().unwrap()]);
    let holder = rusqlite::Connection::open(file(&gateway)).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_calls_go_on(&running, &alice, &bob);
    gateway.refused(&["user", "add", "carol"], "is in use by another command; wait until it has finished");
    gateway.refused(&["restore", backup.to_str().unwrap()], "is in use by another command; wait until it has finished");
    let mut joining = running.connect_with(&KeyPair::generate().unwrap());
    joining.send(&with_token(&invite));
    assert!(joining.response().starts_with("SIP/2.0 5"));
    assert_calls_go_on(&running, &alice, &bob);
    holder.execute_batch("ROLLBACK").unwrap();
    joining.send(&with_token(&invite).replace("z9hG4bK1", "z9hG4bK7").replace("CSeq: 1", "CSeq: 2"));
    assert!(joining.response().starts_with("SIP/2.0 200 "), "the invite was not spent");
    gateway.add("carol");
}

#[test]
fn a_full_disk_refuses_the_change_in_words_and_calls_go_on() {
    refuses_the_change_and_runs_on("head -c 1m /dev/zero > \"$STATE/filler\" 2> /dev/null", "is full; make room");
}

#[test]
fn a_read_only_disk_refuses_the_change_in_words_and_calls_go_on() {
    refuses_the_change_and_runs_on("mount -o remount,ro \"$STATE\"", "is read-only here");
}

#[test]
fn a_limit_on_file_sizes_refuses_the_change_in_words_and_leaves_the_store() {
    let gateway = Gateway::new();
    gateway.add("alice");
    let before = std::fs::read(file(&gateway)).unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\""]);
    with_program(&mut limited, &gateway, &["user", "add", "bob"]);
    assert_refused(&limited.output().unwrap(), "could not be written");
    gateway.say(&["user", "list"]);
    assert_eq!(std::fs::read(file(&gateway)).unwrap(), before);
}

/// The state folder is a small disk of its own, in a namespace of its own, that `spoil` makes unfit for writing.
fn refuses_the_change_and_runs_on(spoil: &str, words: &str) {
    let gateway = Gateway::new();
    let (alice, bob) = (gateway.add("alice"), gateway.add("bob"));
    let invite = gateway.json(&["invite", "alice"]);
    let before = gateway.json(&["user", "list"]);
    assert_refused(&on_small_disk(&gateway, spoil, &["user", "add", "carol"]).output().unwrap(), words);
    let listed: Output = on_small_disk(&gateway, spoil, &["user", "list", "--json"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&listed.stdout).unwrap(), before, "it is read as ever");
    let mut serving = on_small_disk(&gateway, spoil, &["serve", "--json"]);
    let mut child = serving.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let running = Running { child, ready: serde_json::from_str(&line).unwrap() };
    assert_calls_go_on(&running, &alice, &bob);
    let mut joining = running.connect_with(&KeyPair::generate().unwrap());
    joining.send(&with_token(&invite));
    assert!(joining.response().starts_with("SIP/2.0 5"));
    assert_calls_go_on(&running, &alice, &bob);
}

fn on_small_disk(gateway: &Gateway, spoil: &str, arguments: &[&str]) -> Command {
    let script = format!(
        "cp \"$STATE/{STORE_FILE}\" \"$STATE.copy\" && mount -t tmpfs -o size=96k,mode=700 none \"$STATE\" &&
         cp \"$STATE.copy\" \"$STATE/{STORE_FILE}\" && {{ {spoil}; true; }} && exec \"$0\" \"$@\""
    );
    // A mount of one's own needs a namespace of one's own; everything else stays.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).env("STATE", state(gateway));
    with_program(&mut command, gateway, arguments);
    command
}

fn with_program(command: &mut Command, gateway: &Gateway, arguments: &[&str]) {
    let program = self::command(&gateway.config(), arguments);
    command.arg(program.get_program()).args(program.get_args());
}

/// Everything the tables say.
fn all_rows(file: &Path) -> String {
    let connection = rusqlite::Connection::open(file).unwrap();
    let query = "SELECT group_concat(row, ';') FROM (
        SELECT quote(domain)||quote(operator)||quote(serial)||quote(next_pin)||quote(next_signature) AS row FROM gateway
        UNION SELECT 'a'||quote(name)||quote(verifier)||quote(flags) FROM account
        UNION SELECT 'd'||quote(account)||quote(hash)||quote(added_day) FROM device
        UNION SELECT 'i'||quote(token_hash)||quote(account)||quote(expires_day)||quote(used_by) FROM invite)";
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Alice calls bob, and his phone is asked to ring.
fn assert_calls_go_on(running: &Running, alice: &serde_json::Value, bob: &serde_json::Value) {
    let (mut caller, mut callee) = (signed_in(running, "alice", alice), signed_in(running, "bob", bob));
    let sdp = String::from_utf8(world::offer(0)).unwrap();
    caller.send(&format!(
        "INVITE sip:bob@localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bKinvite;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@localhost>;tag=1\r\nTo: <sip:bob@localhost>\r\n\
         Call-ID: fedcba9876543210\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@x.invalid;transport=tls>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    ));
    let asked = callee.response();
    assert!(asked.starts_with("INVITE sip:bob@"), "{asked}");
}

/// A phone that has signed in with its password.
fn signed_in(running: &Running, name: &str, account: &serde_json::Value) -> Phone {
    let mut phone = running.connect();
    let own = |text: String| text.replace("sip:alice@", &format!("sip:{name}@"));
    phone.send(&own(register("1", None)));
    let challenged = phone.response();
    let answer = authorization(&challenged, name, account["password"].as_str().unwrap());
    phone.send(&own(register("2", Some(&answer))));
    let welcome = phone.response();
    assert!(welcome.starts_with("SIP/2.0 200 "), "{welcome}");
    phone
}

fn with_token(invite: &serde_json::Value) -> String {
    let token = invite["link"].as_str().unwrap().split("&j=").nth(1).unwrap();
    register("1", Some(&format!("Undertone-Token token=\"{token}\"")))
}

fn state(gateway: &Gateway) -> PathBuf {
    gateway.folder.path().join("state")
}

fn file(gateway: &Gateway) -> PathBuf {
    state(gateway).join(STORE_FILE)
}
