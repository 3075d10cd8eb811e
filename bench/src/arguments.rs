//! Commands and options, as `--help` shows them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Shows and measures Undertone calls on this machine.
#[derive(Debug, Parser)]
#[command(name = "undertone-bench", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Place one encrypted call through a gateway on this machine, and show what each side sees
    Demo(Demo),
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Speak yourself: alice uses this machine's default microphone and speaker
    #[arg(long)]
    pub(crate) microphone: bool,
    /// Keep what was said and heard in this folder [default: `demo` in the build folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}
