//! What can be wrong with a configuration, each as one sentence that names file, key, value and remedy.

use std::path::PathBuf;

/// A configuration that cannot be used. Programs print it and exit with code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not exist.
    #[error("there is no configuration file {}; {remedy}", file.display())]
    Missing {
        /// The file that was looked for.
        file: PathBuf,
        /// What to run or write.
        remedy: &'static str,
    },
    /// The file exists but cannot be read.
    #[error("cannot read {}: {reason}; check its owner and permissions", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The file or its folder cannot be written.
    #[error("cannot write {}: {reason}; check the owner and free space of its folder", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The file is not TOML, or has an unknown, missing or doubled key.
    #[error("{}, line {line}: {problem}; correct that line", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// The problem, naming the key.
        problem: String,
    },
    /// A key has a value that cannot be used.
    #[error("{}, key “{key}”: {problem}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The key with its section, such as `relay.listen`.
        key: &'static str,
        /// What is wrong with the value and what to write instead.
        problem: String,
    },
    /// Neither `XDG_CONFIG_HOME` nor `HOME` is set.
    #[error("no home folder is known (HOME is not set); name a folder with --profile DIR")]
    NoHome,
}
