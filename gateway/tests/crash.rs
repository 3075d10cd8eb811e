//! Whatever the account store is being told when the gateway's program dies: the old or the new state is found, whole.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod prefixes;
mod program;

use prefixes::Files;
use program::{Gateway, INIT, command};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use undertone_config::{Domain, LinkToken};
use undertone_gateway::core::accounts::AccountName;
use undertone_gateway::core::{Day, DeviceHash, TokenHash};
use undertone_gateway::store::{STORE_FILE, Store};

/// Where `a_phones_change` finds what to do, when this program runs itself.
const CHANGE: &str = "UNDERTONE_TEST_CHANGE";

#[test]
fn a_killed_change_of_accounts_and_invites_leaves_the_old_or_the_new_state() {
    let gateway = furnished();
    let revoked = DeviceHash::of_key(&[1]).to_hex();
    for change in [
        &["user", "add", "bob"][..],
        &["user", "password", "alice"],
        &["user", "remove", "alice"],
        &["invite", "carol", "--no-qr"],
        &["invite", "alice", "--no-qr"],
        &["invite", "alice", "--withdraw"],
        &["device", "revoke", "alice", &revoked],
    ] {
        old_or_new(&gateway, &command(&gateway.config(), change));
    }
}

#[test]
fn a_killed_change_of_the_gateways_keys_leaves_the_old_or_the_new_state() {
    let gateway = furnished();
    let (operator, other) = (gateway.folder.path().join("operator.key"), gateway.folder.path().join("other.key"));
    let made = gateway.json(&["next-key", "new"]);
    let (operator, pin) = (operator.to_str().unwrap(), made["pin"].as_str().unwrap());
    let sign = ["next-key", "sign", "--operator-key", operator, "--domain", "localhost", "--pin", pin, "--serial", "1"];
    let announcement = gateway.json(&sign);
    let announce = ["next-key", "announce", announcement["announcement"].as_str().unwrap()];
    old_or_new(&gateway, &command(&gateway.config(), &announce));
    gateway.say(&announce);
    old_or_new(&gateway, &command(&gateway.config(), &["next-key", "use"]));
    let another = ["operator-key", "new", "--replace", "--out", other.to_str().unwrap()];
    old_or_new(&gateway, &command(&gateway.config(), &another));
}

#[test]
fn a_killed_change_that_a_phone_asked_for_leaves_the_old_or_the_new_state() {
    let gateway = furnished();
    for change in ["redeem", "forget"] {
        let mut itself = Command::new(std::env::current_exe().unwrap());
        itself.args(["--exact", "a_phones_change", "--ignored"]);
        itself.env(CHANGE, format!("{change} {}", state(&gateway).display()));
        old_or_new(&gateway, &itself);
    }
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn a_phones_change() {
    let told = std::env::var(CHANGE).expect("run by another test");
    let (change, folder) = told.split_once(' ').unwrap();
    let mut store = Store::open(Path::new(folder), &domain()).unwrap();
    match change {
        "redeem" => assert!(store.redeem(&alice(), &token(2), &DeviceHash::of_key(&[2]), today()).unwrap().is_ok()),
        _ => store.forget_old_invites(today().plus(100)).unwrap(),
    }
}

#[test]
fn a_killed_restore_leaves_the_old_or_the_new_state_and_the_next_one_tidies_up() {
    let gateway = furnished();
    let backup = gateway.folder.path().join("backup");
    gateway.say(&["backup", backup.to_str().unwrap()]);
    gateway.add("zoe");
    let removal = prefixes::states(&state(&gateway), &command(&gateway.config(), &["user", "remove", "alice"]));
    let restore = ["restore", backup.to_str().unwrap()];
    let before = prefixes::read(&state(&gateway));
    let states = prefixes::states(&state(&gateway), &command(&gateway.config(), &restore));
    let names: Vec<_> = states.last().unwrap().keys().collect();
    assert_eq!(names, [STORE_FILE], "neither the old store nor a copy stays");
    assert_old_or_new(&states, "restore");
    // Over the leftovers of each of them.
    let mut leftovers: Vec<_> = states.iter().filter(|state| state.len() > 1).collect();
    leftovers.dedup_by_key(|state| state.keys().cloned().collect::<Vec<_>>());
    assert!(leftovers.len() >= 3);
    for leftover in leftovers {
        prefixes::write(&state(&gateway), leftover);
        gateway.say(&restore);
        assert_eq!(content(&prefixes::read(&state(&gateway))), content(states.last().unwrap()));
        assert_eq!(prefixes::read(&state(&gateway)).len(), 1);
    }
    // A store too damaged to open gives way as well, and the journal beside it is not played into the new one.
    let mut damaged = before;
    damaged.insert(STORE_FILE.to_owned(), vec![0x5a; 8192]);
    damaged.insert(format!("{STORE_FILE}-journal"), journal(&removal));
    prefixes::write(&state(&gateway), &damaged);
    gateway.refused(&["user", "list"], "is damaged; put a backup back with `undertone-gateway restore FILE`");
    let states_of_damaged = prefixes::states(&state(&gateway), &command(&gateway.config(), &restore));
    assert_old_or_new(&states_of_damaged, "restore over a damaged store");
    assert_eq!(content(states_of_damaged.last().unwrap()), content(states.last().unwrap()));
    // Nor is the journal of a store that is lost.
    prefixes::write(&state(&gateway), &Files::from([(format!("{STORE_FILE}-journal"), journal(&removal))]));
    gateway.say(&restore);
    assert_eq!(content(&prefixes::read(&state(&gateway))), content(states.last().unwrap()));
    assert_eq!(prefixes::read(&state(&gateway)).len(), 1);
}

#[test]
fn a_killed_backup_leaves_no_file_of_its_name_or_a_whole_one() {
    let gateway = furnished();
    let place = gateway.folder.path().join("backups");
    std::fs::create_dir(&place).unwrap();
    let backup = ["backup", place.join("today").to_str().unwrap()].map(str::to_owned);
    let backup = backup.each_ref().map(String::as_str);
    let states = prefixes::states(&place, &command(&gateway.config(), &backup));
    let expected = content(&prefixes::read(&state(&gateway))).unwrap();
    let mut seen = (0, 0);
    for files in &states {
        match files.get("today") {
            None => seen.0 += 1,
            Some(file) => {
                assert_eq!(content(&Files::from([(STORE_FILE.to_owned(), file.clone())])).unwrap(), expected);
                seen.1 += 1;
            }
        }
    }
    eprintln!("backup: {} states", states.len());
    assert!(seen.0 > 10 && seen.1 > 0, "{seen:?}");
    assert_eq!(states.last().unwrap().len(), 1);
}

#[test]
fn a_killed_upgrade_or_set_up_is_finished_by_the_next_command() {
    let gateway = Gateway::new();
    let old = "DROP TABLE seal; PRAGMA user_version = 2; INSERT INTO account (name) VALUES ('alice');";
    rusqlite::Connection::open(state(&gateway).join(STORE_FILE)).unwrap().execute_batch(old).unwrap();
    let states = prefixes::states(&state(&gateway), &command(&gateway.config(), &["user", "list"]));
    let expected = content(states.last().unwrap()).unwrap();
    assert!(expected.contains("'alice'") && states.len() > 20, "{} states", states.len());
    for state in &states {
        assert_eq!(content(state).unwrap(), expected);
    }

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let states = prefixes::states(&folder.path().join("state"), &command(&config, &INIT));
    assert!(states.len() > 20, "{} states", states.len());
    for state in &states {
        let folder = scratch();
        prefixes::write(folder.path(), state);
        assert!(Store::create(folder.path(), &domain()).unwrap().names().unwrap().is_empty());
    }
}

/// Kills a change at each step, and puts the store back as it was.
fn old_or_new(gateway: &Gateway, change: &Command) {
    let before = prefixes::read(&state(gateway));
    let states = prefixes::states(&state(gateway), change);
    assert_old_or_new(&states, &format!("{:?}", change.get_args().skip(2).collect::<Vec<_>>()));
    prefixes::write(&state(gateway), &before);
}

fn assert_old_or_new(states: &[Files], change: &str) {
    let (old, new) = (content(&states[0]), content(states.last().unwrap()));
    assert_ne!(old, new, "{change}");
    let mut seen = (0, 0);
    for files in states {
        let found = content(files);
        assert!(found == old || found == new, "{change}: {found:?}");
        if found == old { seen.0 += 1 } else { seen.1 += 1 }
    }
    eprintln!("{change}: {} states, old {}, new {}", states.len(), seen.0, seen.1);
    assert!(seen.0 > 10 && seen.1 > 0, "{change}: {seen:?}");
}

/// Everything that a gateway started on these files finds, or the sentence with which it refuses.
fn content(files: &Files) -> Result<String, String> {
    let folder = scratch();
    prefixes::write(folder.path(), files);
    let place = folder.path().to_str().unwrap();
    Store::open(folder.path(), &domain()).map_err(|error| error.to_string().replace(place, ""))?;
    let connection = rusqlite::Connection::open(folder.path().join(STORE_FILE)).unwrap();
    let mut content = String::new();
    for (table, columns) in [
        ("gateway", "quote(domain)||quote(operator)||quote(serial)||quote(next_pin)||quote(next_signature)"),
        ("account", "quote(name)||quote(verifier)||quote(flags)"),
        ("device", "quote(account)||quote(hash)||quote(added_day)"),
        ("invite", "quote(token_hash)||quote(account)||quote(expires_day)||quote(used_by)"),
    ] {
        let mut query = connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY 1")).unwrap();
        for row in query.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            content += &format!("{table} {}\n", row.unwrap());
        }
    }
    Ok(content)
}

/// The journal that undoes the whole change: the last there is before it is done.
fn journal(states: &[Files]) -> Vec<u8> {
    states.iter().rev().find_map(|files| files.get(&format!("{STORE_FILE}-journal"))).unwrap().clone()
}

/// A gateway whose alice has a password, a device, and two open invites.
fn furnished() -> Gateway {
    let gateway = Gateway::new();
    gateway.add("alice");
    let mut store = Store::open(&state(&gateway), &domain()).unwrap();
    for n in [1, 2, 3] {
        store.invite(&alice(), &token(n), 7, today()).unwrap().unwrap();
    }
    store.redeem(&alice(), &token(1), &DeviceHash::of_key(&[1]), today()).unwrap().unwrap();
    gateway
}

fn state(gateway: &Gateway) -> PathBuf {
    gateway.folder.path().join("state")
}

/// In memory where there is such a place: some thousand states are opened.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn domain() -> Domain {
    "localhost".parse().unwrap()
}

fn today() -> Day {
    Day::of_unix_s(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn alice() -> AccountName {
    AccountName::parse("alice").unwrap()
}

fn token(n: u8) -> TokenHash {
    TokenHash::of(&LinkToken::new([n; 32]))
}
