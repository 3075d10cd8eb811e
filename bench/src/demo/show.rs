//! The call itself: dial, wait for keys and proofs, listen, hang up; each event is told as it comes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use undertone_tests::correlation;
use undertone_tests::live::{Speech, read_wav};

use super::connections;
use super::narration::Narration;
use super::party::{Party, PartyPlan};
use super::view::View;
use crate::failure::Failure;

/// Sampling rate of all recordings.
pub(super) const RATE_HZ: u32 = 48_000;

/// From dialling to both verified; generous, for a loaded machine.
const SET_UP: Duration = Duration::from_secs(12);
/// From hanging up to both phones having said so.
const CLEAN_END: Duration = Duration::from_secs(5);
/// How often the phones' events are looked at: often, so that they are told in their order.
const LOOK: Duration = Duration::from_millis(5);
/// Sound is judged by its loudest stretch of this length.
const LEVEL_WINDOW: usize = RATE_HZ as usize / 10;

/// Both parties and the narrator.
pub(super) struct Show<'a> {
    narration: &'a Narration,
    parties: [Party; 2],
}

/// How one direction's sound arrived.
pub(super) struct Heard {
    /// Who spoke and who listened.
    pub(super) direction: &'static str,
    /// Where the recording is; none for a loudspeaker.
    pub(super) file: Option<String>,
    /// What was found.
    pub(super) finding: Finding,
}

/// What a recording shows.
pub(super) enum Finding {
    /// How alike it is to what was said, and how much of it was there to compare.
    Alike(Option<correlation::Likeness>),
    /// The loudest tenth of a second, in decibels below full scale.
    Loud(f32),
    /// Sound went to a loudspeaker; only its packets can be counted.
    Played,
}

impl<'a> Show<'a> {
    pub(super) fn new(narration: &'a Narration, parties: [Party; 2]) -> Self {
        Self { narration, parties }
    }

    /// Alice calls her contact; returns when both have proven who they are, and so sound flows.
    pub(super) fn place_call(&mut self, contact: &str) -> Result<(), Failure> {
        self.parties[0].phone.process.say(&format!("dial {contact}"))?;
        let over = |view: &View| view.ended.is_some() || view.trouble.is_some();
        self.follow(SET_UP, |views| {
            views.iter().all(|view| view.is_verified()) || views.iter().any(|view| over(view))
        })?;
        let views = self.parties.each_ref().map(|party| &party.view);
        if views.iter().all(|view| view.is_verified()) {
            return Ok(());
        }
        let words = views.iter().find_map(|view| view.doubt.clone().or(view.ended.clone()).or(view.trouble.clone()));
        let words = words.unwrap_or_else(|| format!("it was not verified on both sides within {} s", SET_UP.as_secs()));
        Err(Failure::NotShown(format!("the call did not come about: {words}")))
    }

    /// Lets both speak for a while.
    pub(super) fn listen(&mut self, duration: Duration) -> Result<(), Failure> {
        let over = |views: [&View; 2]| views.iter().any(|view| view.ended.is_some());
        self.follow(duration / 2, over)?;
        for party in &mut self.parties {
            let peers = connections::peers_of(party.id());
            party.view.connections = peers.map(|peers| peers.iter().map(ToString::to_string).collect());
        }
        self.follow(duration / 2, over)
    }

    /// Alice hangs up, both phones stop; returns what each side saw.
    pub(super) fn hang_up(mut self) -> Result<[View; 2], Failure> {
        self.parties[0].phone.process.say("hangup")?;
        self.follow(CLEAN_END, |views| views.iter().all(|view| view.ended.is_some()))?;
        for party in &mut self.parties {
            // Recordings are complete when their phone has ended.
            party.phone.process.say("quit")?;
            let code = party.phone.process.finish(CLEAN_END);
            party.catch_up();
            if code != Some(0) {
                let how = code.map_or("had to be stopped".to_owned(), |code| format!("ended with exit code {code}"));
                return Err(Failure::NotShown(format!("{}'s phone {how} after the call", party.name)));
            }
        }
        Ok(self.parties.map(|party| party.view))
    }

    /// Tells events until `done` or the time is over.
    fn follow(&mut self, within: Duration, done: impl Fn([&View; 2]) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        loop {
            for party in &mut self.parties {
                let name = party.name;
                for event in party.catch_up() {
                    if let Some(sentence) = worth_telling(&event) {
                        self.narration.say(&format!("{name:>5}: {sentence}"))?;
                    }
                }
            }
            if done(self.parties.each_ref().map(|party| &party.view)) || Instant::now() >= deadline {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn worth_telling(event: &Value) -> Option<&str> {
    let sentence = event["sentence"].as_str().filter(|sentence| !sentence.is_empty())?;
    (event["event"] != "ready").then_some(sentence)
}

impl Heard {
    /// Compares both recordings with what was said.
    pub(super) fn by_correlation(plans: &[PartyPlan; 2], said: &[Speech; 2]) -> Result<[Self; 2], Failure> {
        let [alice, bob] = plans;
        let [by_alice, by_bob] = said;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| Self::compare("alice → bob", bob, by_alice));
            let second = Self::compare("bob → alice", alice, by_bob);
            let first = first.join().map_err(|_| Failure::NotShown("comparing the recordings failed".into()))?;
            Ok([first?, second?])
        })
    }

    fn compare(direction: &'static str, listener: &PartyPlan, said: &Speech) -> Result<Self, Failure> {
        let Some(file) = &listener.speaker else {
            return Ok(Self { direction, file: None, finding: Finding::Played });
        };
        let likeness = correlation::compare(&said.samples, &read_wav(file)?, RATE_HZ as usize);
        Ok(Self { direction, file: Some(file.display().to_string()), finding: Finding::Alike(likeness) })
    }

    /// With a person at the microphone nothing is known of what was said: only whether anything was heard.
    pub(super) fn by_level(keep: &Path, plans: &[PartyPlan; 2]) -> Result<[Self; 2], Failure> {
        let file = plans[1].speaker.clone().unwrap_or_else(|| keep.join("bob-heard.wav"));
        let loudest = loudest_db(&read_wav(&file)?);
        Ok([
            Self {
                direction: "alice → bob", file: Some(file.display().to_string()), finding: Finding::Loud(loudest)
            },
            Self { direction: "bob → alice", file: None, finding: Finding::Played },
        ])
    }
}

/// The loudest tenth of a second, in decibels below full scale; silence is −120.
fn loudest_db(samples: &[f32]) -> f32 {
    let power = |block: &[f32]| block.iter().map(|x| x * x).sum::<f32>() / block.len() as f32;
    let loudest = samples.chunks(LEVEL_WINDOW).map(power).fold(0.0, f32::max);
    10.0 * loudest.max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_the_loudest_moment() {
        let mut samples = vec![0.0; 48_000];
        assert!((loudest_db(&samples) + 120.0).abs() < 0.1);
        samples[9_600..14_400].fill(0.1);
        assert!((loudest_db(&samples) + 20.0).abs() < 0.1);
    }

    #[test]
    fn being_ready_is_told_once_by_the_narrator_and_not_by_each_phone() {
        let event = |name: &str| serde_json::json!({"event": name, "sentence": "Words."});
        assert_eq!(worth_telling(&event("ready")), None);
        assert_eq!(worth_telling(&event("encrypted")), Some("Words."));
        assert_eq!(worth_telling(&serde_json::json!({"event": "odd"})), None);
    }
}
