//! Why a demonstration or a measurement did not succeed, and with which exit code it ends.

use std::io;

use serde_json::Value;
use thiserror::Error;
use undertone_tests::live::LiveError;

/// Why it did not succeed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// It ran, and showed that something does not work.
    #[error("{0}")]
    NotShown(String),
    /// Something it needs is missing or cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// Its output cannot be written.
    #[error("writing failed ({0})")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The program's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotShown(_) => 1,
            Self::Unusable(_) | Self::Output(_) => 2,
        }
    }
}

impl From<LiveError> for Failure {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Io { what, reason } if what.contains("espeak-ng") => Self::Unusable(format!(
                "espeak-ng cannot be started ({reason}): install it with `apt-get install espeak-ng`, or run `make demo`"
            )),
            LiveError::Silent { name, expected, seconds, said } => match last_words(&said) {
                // What a person has to change at a device, certificate or configuration: exit code 2 of that program.
                Some((event, sentence)) if event == "failed" => Self::Unusable(format!("{name}: {sentence}")),
                Some((_, sentence)) => Self::NotShown(format!("{name} could not go on: {sentence}")),
                None => Self::NotShown(format!("{name} did not say “{expected}” within {seconds} s")),
            },
            LiveError::Failed { name, said } => Self::NotShown(format!("{name} failed: {}", said.trim())),
            LiveError::NotBuilt(_) | LiveError::Io { .. } | LiveError::Sound(_) => Self::Unusable(error.to_string()),
        }
    }
}

/// Name and sentence of the last event among JSON lines.
fn last_words(lines: &str) -> Option<(String, String)> {
    lines.lines().rev().find_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        Some((event["event"].as_str()?.to_owned(), event["sentence"].as_str()?.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_gave_up_is_quoted_in_its_own_words() {
        let not_connected = "{\"event\":\"not_connected\",\"sentence\":\"Not connected.\"}\n";
        let failed = "{\"event\":\"failed\",\"sentence\":\"no microphone was found\"}\n";
        let silent = |said: &str| LiveError::Silent {
            name: "alice".into(),
            expected: "ready".into(),
            seconds: 20,
            said: said.into(),
        };
        let failure = Failure::from(silent(not_connected));
        assert_eq!((failure.to_string().as_str(), failure.exit_code()), ("alice could not go on: Not connected.", 1));
        let failure = Failure::from(silent(&format!("{not_connected}{failed}")));
        assert_eq!((failure.to_string().as_str(), failure.exit_code()), ("alice: no microphone was found", 2));
        assert_eq!(Failure::from(silent("")).to_string(), "alice did not say “ready” within 20 s");
    }

    #[test]
    fn what_is_missing_is_no_verdict_on_the_call() {
        let missing = LiveError::Io { what: "starting espeak-ng".into(), reason: io::ErrorKind::NotFound.into() };
        let failure = Failure::from(missing);
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("apt-get install espeak-ng"), "{failure}");
        assert_eq!(Failure::from(LiveError::NotBuilt("undertone".into())).exit_code(), 2);
    }
}
