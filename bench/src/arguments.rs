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
    /// Join a gateway on this machine, place one encrypted, verified call, and show what each side sees
    Demo(Demo),
    /// Measure calls in virtual time over a network that loses and delays; same seed, same result
    Simulate(Simulate),
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

/// Options of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Percentage of datagrams lost [default: a table of 0, 5, 10, 20 and 30]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) loss: Option<f32>,
    /// Datagrams come up to so much earlier or later
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1000))]
    pub(crate) jitter: u64,
    /// One way through the network; at least the jitter
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=1000))]
    pub(crate) latency: u64,
    /// How long is spoken
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=3600))]
    pub(crate) seconds: u32,
    /// Which datagrams are lost and delayed
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

fn percent(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=100.0).contains(&value) { Ok(value) } else { Err("give a percentage from 0 to 100".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_option_is_explained() {
        Arguments::command().debug_assert();
        for task in Arguments::command().get_subcommands() {
            assert!(task.get_about().is_some(), "{}", task.get_name());
            assert!(task.get_arguments().all(|option| option.get_help().is_some()), "{}", task.get_name());
        }
        assert!(percent("101").is_err() && percent("x").is_err() && percent("2.5") == Ok(2.5));
    }
}
