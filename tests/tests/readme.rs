//! Every security sentence of the README names a test; those tests must exist.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Rows of the table that are claims: fewer means that the table was not found.
const FEWEST_CLAIMS: usize = 10;

#[test]
fn every_test_that_the_readme_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let rows: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("| ") && line.contains("`") && line.ends_with("` |")).collect();
    assert!(rows.len() >= FEWEST_CLAIMS, "{rows:#?}");
    let sources: String = rust_files(root).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let sources = sources.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in rows {
        let names: Vec<&str> = row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(sources.contains(&format!("#[test] fn {name}(")), "no test is called {name}");
        }
    }
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> =
        ["config", "sip", "media", "gateway", "softphone", "tests"].iter().map(|room| root.join(room)).collect();
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
