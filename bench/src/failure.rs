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
            LiveError::Silent { name, expected, seconds, said } => Self::NotShown(match last_sentence(&said) {
                Some(sentence) => format!("{name} could not go on: {sentence}"),
                None => format!("{name} did not say “{expected}” within {seconds} s"),
            }),
            LiveError::Failed { name, said } => Self::NotShown(format!("{name} failed: {}", said.trim())),
            LiveError::NotBuilt(_) | LiveError::Io { .. } | LiveError::Sound(_) => Self::Unusable(error.to_string()),
        }
    }
}

/// The last sentence among JSON lines.
fn last_sentence(lines: &str) -> Option<String> {
    let sentence = |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["sentence"].as_str()?.to_owned());
    lines.lines().rev().find_map(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_gave_up_is_quoted_in_its_own_words() {
        let said = "{\"event\":\"not_connected\",\"sentence\":\"Not connected.\"}\n\
            {\"event\":\"failed\",\"sentence\":\"the gateway does not answer\"}\n";
        let silent = |said: &str| LiveError::Silent {
            name: "alice".into(),
            expected: "ready".into(),
            seconds: 20,
            said: said.into(),
        };
        let failure = Failure::from(silent(said));
        assert_eq!(failure.to_string(), "alice could not go on: the gateway does not answer");
        assert_eq!(failure.exit_code(), 1);
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
