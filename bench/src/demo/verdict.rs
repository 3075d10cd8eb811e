//! What each side saw, printed, and whether the call deserves to be called encrypted and verified.

use std::collections::BTreeSet;

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
/// When anything that makes an encrypted, verified call is missing: one sentence that names all of it.
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
        narration
            .plain(&format!("\nThe call worked: encrypted from phone to phone, verified on both sides, {how}."))?;
        return Ok(());
    }
    Err(Failure::NotShown(format!("the call is not as it must be: {}", faults.join("; "))))
}

/// The lines about one side.
fn side(own: &View, other: &View) -> Vec<String> {
    let mut lines = vec![format!("\n{} saw", own.name)];
    let mut add = |what: &str, value: String| lines.push(format!("  {what:<14}{value}"));
    add("states", own.states.join(", "));
    add("verified", verified(own));
    let protection = own.protection.as_ref();
    let safe = protection.is_some_and(|protection| protection.post_quantum);
    add("quantum-safe", format!("{}: {}", yes_or_no(safe), quantum(safe)));
    let none = || "none: the call was not encrypted".to_owned();
    add("cipher", protection.map_or_else(none, |found| format!("{}, keys by {}", found.cipher, found.key_agreement)));
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
        let only = if own.only_the_relay() { " and nobody else: the gateway's relay" } else { "" };
        add("sound with", format!("{}{only}", list(&figures.addresses)));
    }
    let connections = match &own.connections {
        Some(found) => format!("{} (as the system lists them; the gateway is {})", list(found), own.gateway),
        None => "not checked: this system has no list of them".to_owned(),
    };
    add("connections", connections);
    lines
}

fn verified(view: &View) -> String {
    match (&view.doubt, &view.verified) {
        (Some(doubt), _) => format!("no: {doubt}"),
        (None, None) => "no".to_owned(),
        (None, Some(found)) => {
            format!("yes: {}, {}", found.name, found.how.strip_prefix("verified ").unwrap_or(&found.how))
        }
    }
}

fn quantum(safe: bool) -> &'static str {
    match safe {
        true => "protected against future quantum computers",
        false => "not protected against future quantum computers",
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn list(addresses: &BTreeSet<String>) -> String {
    addresses.iter().cloned().collect::<Vec<_>>().join(", ")
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
        match &view.protection {
            None => faults.push(format!("{name} was not encrypted")),
            Some(protection) if !protection.post_quantum => {
                faults.push(format!("{name} was {}", quantum(false)));
            }
            Some(_) => {}
        }
        if !view.is_verified() {
            faults.push(format!("{name} did not see the other side verified"));
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
        for (change, named) in [
            (&(|view: &mut View| view.protection = None) as &dyn Fn(&mut View), "was not encrypted"),
            (&|view| view.relay = "127.0.0.1:9".into(), "did not go to the gateway's relay alone"),
            (&|view| view.connections = Some(["192.0.2.9:80".to_owned()].into()), "connected to more than the gateway"),
            (&|view| view.ended = None, "did not see the call end"),
        ] {
            for side in [0, 1] {
                let found = faults_after(side, change);
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].starts_with(["alice", "bob"][side]) && found[0].contains(named), "{found:?}");
            }
        }
        assert_eq!(faults_after(0, &|view| view.figures = None).len(), 2);
    }

    #[test]
    fn a_call_with_one_side_not_verified_is_refused() {
        for side in [0, 1] {
            let name = ["alice", "bob"][side];
            let expected = [format!("{name} did not see the other side verified")];
            assert_eq!(faults_after(side, &|view| view.verified = None), expected);
            assert_eq!(
                faults_after(side, &|view| view.note(&json!({"event": "link_used", "sentence": "W."}))),
                expected
            );
        }
    }

    #[test]
    fn a_call_open_to_future_quantum_computers_is_refused() {
        let event = json!({"event": "encrypted", "cipher": "AES-256-GCM", "key_agreement": "DTLS 1.3",
            "post_quantum": false});
        for side in [0, 1] {
            let name = ["alice", "bob"][side];
            let expected = [format!("{name} was not protected against future quantum computers")];
            assert_eq!(faults_after(side, &|view| view.note(&event)), expected);
        }
    }

    #[test]
    fn the_summary_says_who_is_verified_by_what_and_whether_quantum_computers_matter() {
        let both = [view("alice"), view("bob")];
        let told = side(&both[0], &both[1]).join("\n");
        for words in [
            "yes: Bob, by link on 2026-11-25",
            "yes: protected against future quantum computers",
            "AES-256-GCM, keys by DTLS 1.3",
            "127.0.0.1:4000 and nobody else",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let told = side(&View::new("alice", "", ""), &both[1]).join("\n");
        for words in ["verified      no", "no: not protected against", "the call was not encrypted", "not checked"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn speech_must_arrive_both_ways_and_whole() {
        let both = [view("alice"), view("bob")];
        for bad in [alike(0.89, 1.0), alike(0.99, 0.79), heard(Finding::Alike(None)), heard(Finding::Loud(-60.0))] {
            assert_eq!(faults(&both, &[alike(0.95, 1.0), bad]).len(), 1);
        }
        assert!(faults(&both, &[heard(Finding::Loud(-20.0)), heard(Finding::Played)]).is_empty());
    }

    /// The faults of a good call after one side's view was changed.
    fn faults_after(side: usize, change: &dyn Fn(&mut View)) -> Vec<String> {
        let mut both = [view("alice"), view("bob")];
        change(&mut both[side]);
        faults(&both, &[alike(0.95, 1.0), alike(0.95, 1.0)])
    }

    fn view(name: &'static str) -> View {
        let mut view = View::new(name, "127.0.0.1:5061", "127.0.0.1:4000");
        for event in [
            json!({"event": "encrypted", "cipher": "AES-256-GCM", "key_agreement": "DTLS 1.3", "post_quantum": true}),
            json!({"event": "verified", "name": "Bob", "how": "verified by link on 2026-11-25", "kept": true}),
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
