//! The rules of `docs/architecture.md` that a machine can check: doors between rooms, file size,
//! file names, module docs, and that the pure rooms touch no clock, socket, thread or RNG.

#![allow(clippy::unwrap_used)]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines before its tests.
const MAX_FILE_LINES: usize = 600;
/// Longest function, in lines from its `fn` to its closing brace.
const MAX_FUNCTION_LINES: usize = 60;
/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];
/// Rooms that are pure state, and what would make them impure.
const PURE_ROOMS: [&str; 4] = ["media/src", "sip/src", "gateway/src/core", "softphone/src/core"];
const IMPURE: [&str; 9] = [
    "Instant::now(",
    "SystemTime::now(",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::thread",
    "tokio::",
    "OsRng",
    "rand::rng(",
    "std::fs::",
];
/// Crates that can decrypt or decode a call; the gateway must not link any of them.
const DECRYPTING: [&str; 10] = [
    "undertone-media",
    "dimpl",
    "rtc-dtls",
    "rtc-srtp",
    "webrtc-srtp",
    "srtp",
    "opus",
    "opusic-sys",
    "openssl-sys",
    "audiopus_sys",
];

#[test]
fn each_room_has_only_its_doors() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("undertone-config", &[][..]),
        ("undertone-sip", &[][..]),
        ("undertone-media", &[][..]),
        ("undertone-gateway", &["undertone-config", "undertone-sip"][..]),
        ("undertone", &["undertone-config", "undertone-sip", "undertone-media"][..]),
    ]);
    let members: BTreeSet<&str> = metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    for package in metadata.workspace_packages() {
        let Some(doors) = allowed.get(package.name.as_str()) else { continue };
        for dependency in &package.dependencies {
            let sibling = members.contains(dependency.name.as_str());
            assert!(
                !sibling || doors.contains(&dependency.name.as_str()),
                "{} must not depend on {}",
                package.name,
                dependency.name
            );
        }
    }
    assert!(allowed.keys().all(|room| members.contains(room)), "a room is missing: {members:?}");
}

#[test]
fn the_gateway_links_no_code_that_could_decrypt_a_call() {
    let metadata = metadata();
    let linked = linked_by(&metadata, "undertone-gateway");
    assert!(linked.contains("rustls"), "the walk found too little: {linked:?}");
    for forbidden in DECRYPTING {
        assert!(!linked.contains(forbidden), "undertone-gateway links {forbidden}");
    }
    let phone = linked_by(&metadata, "undertone");
    assert!(phone.contains("dimpl") && phone.contains("opusic-sys"), "the same walk must see them in the phone");
}

#[test]
fn every_file_opens_with_its_purpose_and_is_short_and_well_named() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let before_tests = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        if !text.starts_with("//!") {
            faults.push(format!("{name}: does not start with //!"));
        }
        if before_tests > MAX_FILE_LINES {
            faults.push(format!("{name}: {before_tests} lines before its tests, at most {MAX_FILE_LINES}"));
        }
        if EMPTY_NAMES.contains(&file.file_stem().unwrap().to_str().unwrap()) {
            faults.push(format!("{name}: the name says nothing"));
        }
        for (line, function, length) in long_functions(&text) {
            faults.push(format!("{name}:{line}: fn {function} has {length} lines, at most {MAX_FUNCTION_LINES}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_rooms_touch_no_clock_socket_thread_or_random_source() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for file in rust_files() {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if !PURE_ROOMS.iter().any(|room| name.starts_with(room)) || is_test(&name) {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        for (number, line) in code.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in IMPURE.iter().filter(|word| line.contains(*word)) {
                faults.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    assert!(seen > 20, "the rooms have moved: only {seen} files found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_long_function_and_a_short_one_are_told_apart() {
    let body = "    x();\n".repeat(MAX_FUNCTION_LINES);
    let text = format!("fn short() {{\n}}\nimpl A {{\n    pub fn long() {{\n{body}    }}\n}}\n");
    assert_eq!(long_functions(&text), [(4, "long".to_owned(), MAX_FUNCTION_LINES + 2)]);
}

/// Functions longer than allowed, outside test modules: line, name, length. Relies on rustfmt: a
/// function ends at the closing brace with the indentation of its `fn`.
fn long_functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let words: Vec<&str> = trimmed.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern"];
        if !words[..at].iter().all(|word| qualifiers.contains(word)) || trimmed.ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[start..].iter().position(|line| *line == closing) else { continue };
        if length + 1 > MAX_FUNCTION_LINES {
            let name = words[at + 1].split(['(', '<']).next().unwrap().to_owned();
            long.push((start + 1, name, length + 1));
        }
    }
    long
}

/// Names of all packages in the normal and build dependency tree of `name`.
fn linked_by(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let nodes: BTreeMap<&PackageId, _> =
        metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let mut open = vec![&metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == name).unwrap().id];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in &nodes[id].deps {
            if dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

/// Files that hold nothing but tests: suites, and modules that the room includes under `cfg(test)`.
fn is_test(name: &str) -> bool {
    name.contains("/tests") || name.ends_with("_test.rs")
}

fn metadata() -> Metadata {
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .current_dir(root())
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), here])
        .exec()
        .unwrap()
}

fn rust_files() -> Vec<PathBuf> {
    let mut open = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
