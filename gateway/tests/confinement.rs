//! The running gateway's confinement, as the system tells it from outside, and what `doctor --confinement` finds.
//!
//! Whatever needs root (other users, capabilities to lose) says so and is skipped without it.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod program;

use caps::CapSet;
use nix::libc;
use nix::unistd::Uid;
use program::{Gateway, Running, assert_refused, authorization, command, register};
use rcgen::KeyPair;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use undertone_gateway::confinement::attempt::Attempt;
use undertone_gateway::confinement::memory_limit;

/// A user with no rights; it exists by number on every system.
const PLAIN: u32 = 65_534;

/// Calls of the configuration that `init` writes.
const MAX_CALLS: u32 = 500;

#[test]
fn every_thread_of_the_running_gateway_is_confined() {
    let gateway = Gateway::new();
    let running = gateway.serve(&[]);
    assert_confined(&running);
    if !Uid::effective().is_root() {
        return skipped("that the bounding set is empty");
    }
    for thread in threads(&running) {
        assert_eq!(field(&thread, "CapBnd"), "0000000000000000");
    }
}

#[test]
fn started_by_root_it_becomes_the_owner_of_its_state_folder_and_still_keeps_its_store() {
    if !Uid::effective().is_root() {
        return skipped("that root's rights are dropped");
    }
    let gateway = Gateway::new();
    open_to_all(gateway.folder.path());
    let folder = gateway.folder.path().join("state");
    chown(&folder, Some(PLAIN), Some(PLAIN)).unwrap();
    let store = folder.join("accounts.sqlite");
    assert_eq!(std::fs::metadata(&store).unwrap().uid(), 0);
    let running = gateway.serve(&[]);
    assert_confined(&running);
    for thread in threads(&running) {
        for who in ["Uid", "Gid"] {
            assert_eq!(field(&thread, who), ["65534"; 4].join("\t"), "real, effective, saved and file system");
        }
        assert_eq!(field(&thread, "Groups").trim(), "");
    }
    let process = PathBuf::from(format!("/proc/{}", running.child.id()));
    let environment = std::fs::metadata(process.join("environ")).unwrap();
    assert_eq!(environment.uid(), 0, "not dumpable: not even its own user may look into it");
    assert_eq!(std::fs::metadata(&store).unwrap().uid(), PLAIN, "the store is handed over");
    signs_in(&gateway, &running);
    joins(&gateway, &running);
    assert_eq!(std::fs::metadata(&store).unwrap().uid(), PLAIN);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no journal is left");
}

#[test]
fn a_state_folder_that_its_owner_cannot_reach_is_one_sentence() {
    if !Uid::effective().is_root() {
        return skipped("that an unreachable state folder is refused");
    }
    let gateway = Gateway::new();
    std::fs::set_permissions(gateway.folder.path(), Permissions::from_mode(0o700)).unwrap();
    chown(gateway.folder.path().join("state"), Some(PLAIN), Some(PLAIN)).unwrap();
    gateway.refused(&["serve"], "cannot use this state folder");
}

#[test]
fn a_file_with_a_second_name_is_not_handed_over() {
    if !Uid::effective().is_root() {
        return skipped("that links are not handed over");
    }
    let gateway = Gateway::new();
    open_to_all(gateway.folder.path());
    let folder = gateway.folder.path().join("state");
    chown(&folder, Some(PLAIN), Some(PLAIN)).unwrap();
    let secret = gateway.folder.path().join("secret");
    std::fs::write(&secret, b"of root").unwrap();
    std::fs::hard_link(&secret, folder.join("accounts.sqlite-journal")).unwrap();
    let running = gateway.serve(&[]);
    assert_eq!(std::fs::metadata(&secret).unwrap().uid(), 0);
    drop(running);
}

#[test]
fn started_by_a_plain_user_it_is_confined_the_same() {
    if !Uid::effective().is_root() {
        return skipped("a start by another user; the other tests start it by this one");
    }
    let gateway = Gateway::new();
    open_to_all(gateway.folder.path());
    let program = gateway.folder.path().join("undertone-gateway");
    std::fs::copy(env!("CARGO_BIN_EXE_undertone-gateway"), &program).unwrap();
    for file in ["gateway.toml", "state", "state/accounts.sqlite", "tls", "tls/key.pem", "tls/certificate.pem"] {
        chown(gateway.folder.path().join(file), Some(PLAIN), Some(PLAIN)).unwrap();
    }
    let plainly = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--config").arg(gateway.config()).args(arguments).uid(PLAIN).gid(PLAIN);
        command
    };
    let running = Running::start(&mut plainly(&["serve", "--json"]));
    assert_confined(&running);
    assert_eq!(field(&threads(&running)[0], "Uid"), ["65534"; 4].join("\t"));
    signs_in(&gateway, &running);
    let doctor = plainly(&["doctor", "--confinement", "--json"]).output().unwrap();
    assert_every_attempt_is_denied(&doctor);
}

#[test]
fn a_containers_root_without_capabilities_is_confined_the_same() {
    if !Uid::effective().is_root() {
        return skipped("a start by a root without capabilities");
    }
    let gateway = Gateway::new();
    let running = apart(|| {
        caps::clear(None, CapSet::Bounding).unwrap();
        caps::clear(None, CapSet::Inheritable).unwrap();
        gateway.serve(&[])
    });
    assert_confined(&running);
    signs_in(&gateway, &running);
    joins(&gateway, &running);
}

#[test]
fn what_the_kernel_refuses_stops_the_start_or_is_said() {
    let gateway = Gateway::new();
    for (call, words, loss, still) in [
        (libc::SYS_landlock_create_ruleset, "(Landlock)", "read and change other files", ("Seccomp", "2")),
        (libc::SYS_seccomp, "(seccomp)", "start programs", ("NoNewPrivs", "1")),
        (libc::SYS_capset, "privileges away", "the rights of the user who started it", ("Seccomp", "2")),
    ] {
        let refused = on_kernel_without(call, || gateway.run(&["serve"]));
        assert_refused_for(&refused, &[words, loss, "--allow-unconfined"]);
        let mut running = on_kernel_without(call, || {
            let mut command = command(&gateway.config(), &["serve", "--json", "--allow-unconfined"]);
            Running::start(command.stderr(Stdio::piped()))
        });
        signs_in(&gateway, &running);
        assert!(gateway.run(&["user", "remove", "alice"]).status.success());
        for thread in threads(&running) {
            assert_eq!(field(&thread, still.0), still.1, "the other parts hold");
        }
        running.child.kill().unwrap();
        let said = std::io::read_to_string(running.child.stderr.take().unwrap()).unwrap();
        let warnings: Vec<&str> = said.lines().filter(|line| line.contains("NOT CONFINED")).collect();
        assert_eq!(warnings.len(), 1, "{said}");
        assert!(warnings[0].contains(loss), "{said}");
    }
}

#[test]
fn confined_it_warns_of_nothing_lost_whatever_is_allowed() {
    let gateway = Gateway::new();
    let mut command = command(&gateway.config(), &["serve", "--json", "--allow-unconfined"]);
    let mut running = Running::start(command.stderr(Stdio::piped()));
    assert_confined(&running);
    running.child.kill().unwrap();
    let said = std::io::read_to_string(running.child.stderr.take().unwrap()).unwrap();
    assert!(!said.contains("NOT CONFINED"), "{said}");
}

#[test]
fn the_doctor_finds_every_attempt_to_break_out_denied() {
    let gateway = Gateway::new();
    let before = std::fs::metadata(gateway.folder.path().join("state/accounts.sqlite")).unwrap();
    assert_every_attempt_is_denied(&gateway.run(&["doctor", "--confinement", "--json"]));
    let said = gateway.say(&["doctor", "--confinement"]);
    assert_eq!(said.lines().count(), Attempt::all().len());
    for (line, attempt) in said.lines().zip(Attempt::all()) {
        assert!(line.starts_with(&format!("denied: {} (", attempt.words())), "{line}");
    }
    let after = std::fs::metadata(gateway.folder.path().join("state/accounts.sqlite")).unwrap();
    assert_eq!((before.uid(), before.mtime_nsec()), (after.uid(), after.mtime_nsec()), "looking changes nothing");
}

#[test]
fn the_doctor_tells_what_is_possible_where_the_confinement_does_not_hold() {
    let gateway = Gateway::new();
    for (call, open) in [
        (libc::SYS_landlock_create_ruleset, &[("read-file", "possible"), ("write-file", "possible")][..]),
        // Landlock holds most of the rest by itself; only this is left to find its parameters missing.
        (libc::SYS_seccomp, &[("io-uring", "unclear")]),
    ] {
        let output = on_kernel_without(call, || gateway.run(&["doctor", "--confinement", "--json"]));
        assert_eq!(output.status.code(), Some(2));
        let lines = lines(&output);
        assert!(lines.last().unwrap()["sentence"].as_str().unwrap().contains("does not hold"));
        for (attempt, result) in open {
            let line = lines.iter().find(|line| line["attempt"] == *attempt).unwrap();
            assert_eq!(line["result"], *result, "{line}");
        }
        let connecting = lines.iter().find(|line| line["attempt"] == "connect").unwrap();
        assert_eq!(connecting["result"], "denied", "the other part holds");
    }
}

#[test]
fn the_doctor_asks_what_to_look_at() {
    let gateway = Gateway::new();
    gateway.refused(&["doctor"], "--confinement");
}

fn skipped(what: &str) {
    eprintln!("skipped without root: {what}");
}

fn assert_confined(running: &Running) {
    let threads = threads(running);
    assert!(threads.len() >= 4, "workers, relay and store run");
    for thread in &threads {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(thread, set), "0000000000000000", "{set}");
        }
        assert_eq!(field(thread, "NoNewPrivs"), "1");
        assert_eq!((field(thread, "Seccomp"), field(thread, "Seccomp_filters")), ("2", "3"));
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.child.id())).unwrap();
    let memory = memory_limit(MAX_CALLS).to_string();
    for (name, limit) in [("Max core file size", "0"), ("Max data size", memory.as_str())] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [limit; 2], "{name}");
    }
}

/// What the system tells of each thread.
fn threads(running: &Running) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.child.id())).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap()
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

/// An account that is made while it runs.
fn signs_in(gateway: &Gateway, running: &Running) {
    let account = gateway.add("alice");
    let mut phone = running.connect();
    phone.send(&register("1", None));
    let challenged = phone.response();
    let proof = authorization(&challenged, "alice", account["password"].as_str().unwrap());
    phone.send(&register("2", Some(&proof)));
    assert!(phone.response().starts_with("SIP/2.0 200 "));
}

/// The gateway itself writes into its store.
fn joins(gateway: &Gateway, running: &Running) {
    let said = gateway.json(&["invite", "alice"]);
    let token = said["link"].as_str().unwrap().split("&j=").nth(1).unwrap();
    let mut phone = running.connect_with(&KeyPair::generate().unwrap());
    phone.send(&register("1", Some(&format!("Undertone-Token token=\"{token}\""))));
    assert!(phone.response().starts_with("SIP/2.0 200 "));
    let accounts = gateway.json(&["user", "list"]);
    assert_eq!(accounts["accounts"][0]["devices"], 1);
}

/// Runs `work` where this system call does not exist.
fn on_kernel_without<T: Send>(call: i64, work: impl FnOnce() -> T + Send) -> T {
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let rules = [(call, vec![])].into();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, missing, machine).unwrap().try_into().unwrap();
    apart(|| {
        apply_filter(&filter).unwrap();
        work()
    })
}

/// On a thread whose rights only its own children inherit.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn assert_refused_for(output: &Output, words: &[&str]) {
    for words in words {
        assert_refused(output, words);
    }
}

fn assert_every_attempt_is_denied(output: &Output) {
    let lines = lines(output);
    for (line, attempt) in lines.iter().zip(Attempt::all()) {
        assert_eq!((&line["event"], &line["attempt"]), (&"attempt".into(), &attempt.name().into()));
        assert_eq!(line["result"], "denied", "{line}");
    }
    assert_eq!((lines.len(), output.status.code()), (Attempt::all().len(), Some(0)));
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
