//! Two people join a gateway, come to know each other by a link and place one encrypted, verified call, all on
//! loopback, shown to a person.
//!
//! Ladder: speech → gateway → invites → both joined → contact link → both on → call → encrypted → verified → speech
//! both ways → hang-up → verdict.
//! Every process is the real program; nothing but its printed events and its recordings is looked at, and the
//! operating system's own list of its connections.

mod connections;
mod narration;
mod newcomer;
mod party;
mod show;
mod time_limit;
mod verdict;
mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use undertone_tests::live::{Gateway, Speech};

use crate::arguments::Demo;
use crate::failure::Failure;
use narration::Narration;
use newcomer::Newcomer;
use party::{Party, PartyPlan};
use show::{Heard, Show};
use time_limit::TimeLimit;

/// Silence before each voice: the two phones have their keys a moment apart, and no word shall fall into it.
const LEAD_IN_MS: usize = 500;
/// How long the call goes on after the last word, for what is still on its way.
const TAIL: Duration = Duration::from_millis(1_200);
/// How long a person at the microphone may speak.
const MICROPHONE_CALL: Duration = Duration::from_secs(12);

/// Runs the demonstration.
///
/// # Errors
/// When speech did not arrive both ways, protected and from verified people, or something needed is missing.
pub(crate) fn run(options: &Demo) -> Result<(), Failure> {
    let narration = Narration::start();
    let keep = folder_to_keep(options.keep.as_deref())?;
    let state = tempfile::tempdir()
        .map_err(|why| Failure::Unusable(format!("no temporary folder can be made ({why}): check TMPDIR")))?;
    let limit = TimeLimit::start(state.path())?;
    let result = perform(options, &keep, state.path(), &narration, &limit);
    // Whatever went wrong after the programs were stopped went wrong because they were.
    result.map_err(|failure| limit.failure().unwrap_or(failure))
}

fn perform(options: &Demo, keep: &Path, state: &Path, narration: &Narration, limit: &TimeLimit) -> Result<(), Failure> {
    if options.microphone {
        party::check_devices()?;
        narration.say("Microphone and speaker found: you are alice; speak when Bob is verified")?;
    }
    let voices = render(keep, narration)?;
    let gateway = Gateway::start(state)?;
    limit.watch(gateway.process.id());
    narration.say(&format!(
        "Gateway started: phones connect to {}, sound goes through {}; its state is in a temporary folder",
        gateway.signalling, gateway.relay
    ))?;
    let people = get_to_know(&gateway, state, narration, limit)?;
    let plans = ["alice", "bob"].map(|name| PartyPlan {
        name,
        microphone: Some(keep.join(format!("{name}-said.wav"))),
        speaker: Some(keep.join(format!("{name}-heard.wav"))),
    });
    let plans = if options.microphone { with_devices(plans) } else { plans };
    let parties = Party::start_both(&gateway, &people, &plans)?;
    narration.say("Both phones are on and ready; alice calls “Bob”")?;
    let mut show = Show::new(narration, parties);
    show.place_call("Bob")?;
    show.listen(match options.microphone {
        true => MICROPHONE_CALL,
        false => voices.iter().map(duration).max().unwrap_or_default() + TAIL,
    })?;
    let views = show.hang_up()?;
    drop(gateway);
    let heard = if options.microphone {
        Heard::by_level(keep, &plans)?
    } else {
        narration.say("Comparing what was heard with what was said")?;
        Heard::by_correlation(&plans, &voices)?
    };
    verdict::tell(&views, &heard, narration)
}

/// Both join by their invites; then alice has bob's link, and nothing needs to be read aloud in the call.
fn get_to_know<'a>(
    gateway: &Gateway,
    state: &Path,
    narration: &Narration,
    limit: &'a TimeLimit,
) -> Result<[Newcomer<'a>; 2], Failure> {
    let invites = [gateway.invite("alice", &["--no-qr"])?, gateway.invite("bob", &["--no-qr"])?];
    narration.say("The gateway's operator made an invite for alice and one for bob: one link each, no password")?;
    let people = [Newcomer::new(state, "alice", limit)?, Newcomer::new(state, "bob", limit)?];
    for (person, invite) in people.iter().zip(&invites) {
        let address = person.join(invite)?;
        narration.say(&format!(
            "{} joined with the link and can be called at {address}; the identity is sealed with a passphrase",
            person.name
        ))?;
    }
    let [alice, bob] = &people;
    let link = bob.link_for("Alice")?;
    narration.say(&format!("bob made a contact link for Alice, good for one phone until {}", link.expires))?;
    let known = alice.add(&link, "Bob")?;
    narration.say(&format!("alice added it as her contact Bob: {known}"))?;
    Ok(people)
}

/// Alice takes the machine's devices instead of files.
fn with_devices([alice, bob]: [PartyPlan; 2]) -> [PartyPlan; 2] {
    [PartyPlan { microphone: None, speaker: None, ..alice }, bob]
}

fn render(keep: &Path, narration: &Narration) -> Result<[Speech; 2], Failure> {
    let voices =
        [Speech::render(keep, "alice-said", "en", LEAD_IN_MS)?, Speech::render(keep, "bob-said", "en+f3", LEAD_IN_MS)?];
    for name in ["alice", "bob"] {
        // The renderer's own file, at the renderer's rate, is of no further use.
        let _ = std::fs::remove_file(keep.join(format!("{name}-said-22k.wav")));
    }
    let [alice, bob] = voices.each_ref().map(|voice| duration(voice).as_secs_f32());
    narration.say(&format!("Speech rendered by espeak-ng: {alice:.1} s for alice, {bob:.1} s for bob"))?;
    Ok(voices)
}

fn duration(voice: &Speech) -> Duration {
    Duration::from_secs_f64(voice.samples.len() as f64 / f64::from(show::RATE_HZ))
}

/// Where recordings outlive the demonstration: as asked, or `demo` in the build folder.
fn folder_to_keep(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = match asked {
        Some(folder) => folder.to_owned(),
        None => {
            let own = std::env::current_exe().map_err(|why| Failure::Unusable(format!("own path: {why}")))?;
            own.ancestors().nth(2).unwrap_or(Path::new(".")).join("demo")
        }
    };
    std::fs::create_dir_all(&folder).map_err(|why| {
        Failure::Unusable(format!("{} cannot be written ({why}): give a folder with --keep", folder.display()))
    })?;
    Ok(folder)
}
