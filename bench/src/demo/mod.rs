//! One encrypted call between two phones through a gateway, all on loopback, shown to a person.
//!
//! Ladder: speech → gateway → accounts and phones → call → encrypted → speech both ways → hang-up → verdict.
//! Every process is the real program; nothing but its printed events and its recordings is looked at, and the
//! operating system's own list of its connections.

mod connections;
mod narration;
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
use party::PartyPlan;
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
/// When speech did not arrive both ways, protected, or something needed is missing.
pub(crate) fn run(options: &Demo) -> Result<(), Failure> {
    let mut narration = Narration::start();
    let keep = folder_to_keep(options.keep.as_deref())?;
    let state = tempfile::tempdir()
        .map_err(|why| Failure::Unusable(format!("no temporary folder can be made ({why}): check TMPDIR")))?;
    if options.microphone {
        party::check_devices()?;
        narration.say("Microphone and speaker found: you are alice; speak when the call is encrypted")?;
    }
    let limit = TimeLimit::start();
    let voices = render(&keep, &mut narration)?;
    let result = perform(options, &keep, state.path(), &voices, &mut narration, &limit);
    // Whatever went wrong after the time was over went wrong because the programs were stopped.
    match result {
        Err(_) if limit.is_over() => Err(TimeLimit::failure()),
        other => other,
    }
}

fn perform(
    options: &Demo,
    keep: &Path,
    state: &Path,
    voices: &[Speech; 2],
    narration: &mut Narration,
    limit: &TimeLimit,
) -> Result<(), Failure> {
    let gateway = Gateway::start(state)?;
    limit.watch(gateway.process.id());
    narration.say(&format!(
        "Gateway started: phones connect to {}, sound goes through {}; its state is in a temporary folder",
        gateway.signalling, gateway.relay
    ))?;
    let plans = ["alice", "bob"].map(|name| PartyPlan {
        name,
        microphone: Some(keep.join(format!("{name}-said.wav"))),
        speaker: Some(keep.join(format!("{name}-heard.wav"))),
    });
    let plans = if options.microphone { with_devices(plans) } else { plans };
    let parties = party::join_both(&gateway, state, &plans)?;
    for party in &parties {
        limit.watch(party.id());
    }
    narration.say("Accounts made, phones set up with the gateway's pin; both phones are ready")?;
    let mut show = Show::new(narration, parties);
    show.place_call()?;
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
        Heard::by_correlation(&plans, voices)?
    };
    verdict::tell(&views, &heard, narration)
}

/// Alice takes the machine's devices instead of files.
fn with_devices([alice, bob]: [PartyPlan; 2]) -> [PartyPlan; 2] {
    [PartyPlan { microphone: None, speaker: None, ..alice }, bob]
}

fn render(keep: &Path, narration: &mut Narration) -> Result<[Speech; 2], Failure> {
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
