//! What each side saw, printed, and whether the call deserves the word encrypted call.

use super::narration::Narration;
use super::show::{Finding, Heard};
use super::view::View;
use crate::failure::Failure;

/// Received speech must be at least so much alike to the sent one.
const MIN_CORRELATION: f32 = 0.9;
/// At least so much of the sent speech must be there to be compared.
const MIN_COMPARED: f32 = 0.8;
/// A person who speaks near a microphone is louder than this; a quiet room is not.
const MIN_LOUD_DB: f32 = -50.0;

/// Prints everything and judges it.
///
/// # Errors
/// When anything that makes an encrypted call is missing: one sentence that names all of it.
pub(super) fn tell(views: &[View; 2], heard: &[Heard; 2], narration: &Narration) -> Result<(), Failure> {
    let [alice, bob] = views;
    for (own, other) in [(alice, bob), (bob, alice)] {
        for line in side(own, other) {
            narration.plain(&line)?;
        }
    }
    narration.plain("\nSound")?;
    for heard in heard {
        narration.plain(&format!("  {}   {}", heard.direction, finding(heard)))?;
        if let Some(file) = &heard.file {
            narration.plain(&format!("                received sound: {file}"))?;
        }
    }
    let faults = faults(views, heard);
    if faults.is_empty() {
        let how = match heard.iter().any(|heard| matches!(heard.finding, Finding::Played)) {
            true => {
                "sound arrived; with a live microphone there is nothing to compare it with, only its level was checked"
            }
            false => "the speech that was sent is the speech that arrived, both ways",
        };
        narration.plain(&format!("\nThe call worked: encrypted from phone to phone, {how}."))?;
        return Ok(());
    }
    Err(Failure::NotShown(format!("the call is not as it must be: {}", faults.join("; "))))
}

/// The lines about one side.
fn side(own: &View, other: &View) -> Vec<String> {
    let mut lines = vec![format!("\n{} saw", own.name)];
    let mut add = |what: &str, value: String| lines.push(format!("  {what:<14}{value}"));
    add("states", own.states.join(", "));
    let protection = own.protection.as_ref().map_or("none".to_owned(), |text| format!("encrypted: {text}"));
    add("protection", protection);
    add("safety words", safety_words(own, other));
    if let Some(figures) = &own.figures {
        let round_trip = figures.round_trip_ms.map_or("not measured".to_owned(), |ms| format!("{ms:.1} ms"));
        let ear = own.mouth_to_ear_ms(other).map_or("not known".to_owned(), |ms| format!("about {ms:.0} ms"));
        add(
            "latency",
            format!("{round_trip} to the relay and back, {:.0} ms in the playout buffer;", figures.playout_delay_ms),
        );
        add("", format!("{} from {}'s mouth to this ear (estimated, without sound devices)", ear, other.name));
        let of = other.figures.as_ref().map_or(0, |figures| figures.packets_sent);
        let arrived = format!("{} packets arrived of {of} that {} sent", figures.packets_received, other.name);
        add("loss", format!("{:.1} %; {arrived}", figures.loss_percent));
        let addresses = figures.addresses.iter().cloned().collect::<Vec<_>>().join(", ");
        let only = if own.only_the_relay() { " and nobody else: the gateway's relay" } else { "" };
        add("sound with", format!("{addresses}{only}"));
    }
    if let Some(connections) = &own.connections {
        let list = connections.iter().cloned().collect::<Vec<_>>().join(", ");
        add("connections", format!("{list} (as the system lists them; the gateway is {})", own.gateway));
    }
    lines
}

fn safety_words(own: &View, other: &View) -> String {
    match (&own.safety_words, &other.safety_words) {
        (Some(mine), Some(theirs)) => {
            let same = if mine == theirs { "the same on both sides" } else { "NOT the same on both sides" };
            format!("{} ({}): {same}", mine.0.join(" "), mine.1)
        }
        (Some(mine), None) => format!("{} ({}): the other side shows none", mine.0.join(" "), mine.1),
        (None, _) => "none shown".to_owned(),
    }
}

fn finding(heard: &Heard) -> String {
    match &heard.finding {
        Finding::Alike(Some(likeness)) => format!(
            "correlation {:.3} with what was sent, {:.0} % of it compared",
            likeness.correlation,
            likeness.compared * 100.0
        ),
        Finding::Alike(None) => "nothing of what was sent was found in what was received".to_owned(),
        Finding::Loud(level) => format!("loudest moment at {level:.0} dB of full scale"),
        Finding::Played => "played on this machine's speaker".to_owned(),
    }
}

/// Everything that is not as it must be.
fn faults(views: &[View; 2], heard: &[Heard; 2]) -> Vec<String> {
    let mut faults = Vec::new();
    for view in views {
        let name = view.name;
        if view.protection.is_none() {
            faults.push(format!("{name} was not encrypted"));
        }
        if view.figures.as_ref().is_none_or(|figures| figures.packets_received == 0) {
            faults.push(format!("{name} received no packets"));
        }
        if !view.only_the_relay() {
            faults.push(format!("{name}'s sound did not go to the gateway's relay alone"));
        }
        if view.only_the_gateway() == Some(false) {
            faults.push(format!("{name} was connected to more than the gateway"));
        }
        if view.ended.is_none() {
            faults.push(format!("{name} did not see the call end"));
        }
    }
    if views[0].safety_words.is_none() || views[0].safety_words != views[1].safety_words {
        faults.push("the two sides did not show the same safety words".to_owned());
    }
    faults.extend(heard.iter().filter(|heard| !arrived(&heard.finding)).map(|heard| {
        let why = finding(heard);
        format!("{}: {why}", heard.direction)
    }));
    faults
}

fn arrived(finding: &Finding) -> bool {
    match finding {
        Finding::Alike(likeness) => {
            likeness.is_some_and(|found| found.correlation >= MIN_CORRELATION && found.compared >= MIN_COMPARED)
        }
        Finding::Loud(level) => *level >= MIN_LOUD_DB,
        Finding::Played => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use undertone_tests::correlation::Likeness;

    #[test]
    fn a_good_call_has_no_faults() {
        assert_eq!(faults(&[view("alice"), view("bob")], &[alike(0.95, 1.0), alike(0.95, 1.0)]), [""; 0]);
    }

    #[test]
    fn each_missing_thing_is_named() {
        let no_words = ["alice", "bob"].map(|name| View { safety_words: None, ..view(name) });
        assert_eq!(faults(&no_words, &[alike(0.95, 1.0), alike(0.95, 1.0)]).len(), 1);
        let worse = |change: fn(&mut View)| {
            let mut alice = view("alice");
            change(&mut alice);
            faults(&[alice, view("bob")], &[alike(0.95, 1.0), alike(0.95, 1.0)]).len()
        };
        assert_eq!(worse(|view| view.protection = None), 1);
        assert_eq!(worse(|view| view.relay = "127.0.0.1:9".into()), 1);
        assert_eq!(worse(|view| view.connections = Some(["192.0.2.9:80".to_owned()].into())), 1);
        assert_eq!(worse(|view| view.ended = None), 1);
        assert_eq!(worse(|view| view.safety_words = None), 1);
        assert_eq!(worse(|view| view.safety_words = Some((vec!["else".into()], "87654321".into()))), 1);
        assert_eq!(worse(|view| view.figures = None), 2);
    }

    #[test]
    fn speech_must_arrive_both_ways_and_whole() {
        let both = [view("alice"), view("bob")];
        for bad in [alike(0.89, 1.0), alike(0.99, 0.79), heard(Finding::Alike(None)), heard(Finding::Loud(-60.0))] {
            assert_eq!(faults(&both, &[alike(0.95, 1.0), bad]).len(), 1);
        }
        assert!(faults(&both, &[heard(Finding::Loud(-20.0)), heard(Finding::Played)]).is_empty());
    }

    fn view(name: &'static str) -> View {
        let mut view = View::new(name, "127.0.0.1:5061", "127.0.0.1:4000");
        for event in [
            json!({"event": "encrypted", "cipher": "AES-256-GCM", "key_agreement": "DTLS 1.3"}),
            json!({"event": "safety_words", "words": ["ab", "cd"], "digits": "12345678"}),
            json!({"event": "statistics", "packets_received": 7, "addresses": ["127.0.0.1:4000"]}),
            json!({"event": "ended", "sentence": "Ended."}),
        ] {
            view.note(&event);
        }
        view
    }

    fn alike(correlation: f32, compared: f32) -> Heard {
        heard(Finding::Alike(Some(Likeness { correlation, offset_ms: 0, compared })))
    }

    fn heard(finding: Finding) -> Heard {
        Heard { direction: "alice → bob", file: None, finding }
    }
}
