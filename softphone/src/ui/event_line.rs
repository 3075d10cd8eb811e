//! Events as the lines `undertone headless` prints: the event's name first, then what belongs to it, in one line.

use crate::core::event::{Event, Side, Statistics, Verification};

/// One line, without its end.
#[must_use]
pub fn line(event: &Event) -> String {
    let name = event.name();
    match event {
        Event::NotConnected { .. } | Event::FalseAnnouncement | Event::NotDone { .. } => {
            format!("{name} {}", event.sentence())
        }
        Event::Ready { address } => format!("{name} {address}"),
        Event::Calling { to, .. } => format!("{name} {to}"),
        Event::Ringing { at, other, .. } => format!("{name} {} {other}", side(*at)),
        Event::Encrypted { cipher, key_agreement, post_quantum, verification, .. } => {
            let lasting = if *post_quantum { ", post-quantum" } else { "" };
            format!("{name} {cipher}, {key_agreement}{lasting}, {}", verified(*verification))
        }
        Event::Connecting { .. } | Event::SoundStarted { .. } | Event::Stopped => name.to_owned(),
        Event::SafetyWords { words, digits, .. } => format!("{name} {} {digits}", words.join(" ")),
        Event::Verified { name: who, how, .. } => format!("{name} {who}: {how}"),
        Event::Compare { question, .. } => {
            format!("{name} {} read {} | {}", question.round, question.shown(), question.shown_choices().join(" | "))
        }
        Event::NotVerified { .. }
        | Event::WrongPick { .. }
        | Event::KeyChanged { .. }
        | Event::LinkUsed { .. }
        | Event::NotKept { .. } => format!("{name} {}", event.sentence()),
        Event::Muted { on, .. } => format!("{name} {}", on_off(*on)),
        Event::OnHold { by, on, .. } => format!("{name} {} {}", side(*by), on_off(*on)),
        Event::Digit { digit, .. } => format!("{name} {digit}"),
        Event::Statistics(statistics) => format!("{name} {}", figures(statistics)),
        Event::Missed { from } => format!("{name} {from}"),
        Event::Refused { from, why } => format!("{name} {from}: {why}"),
        Event::Ended { duration_s, .. } => format!("{name} {duration_s} s: {}", event.sentence()),
    }
}

fn figures(statistics: &Statistics) -> String {
    let round_trip = statistics.round_trip_ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1}"));
    format!(
        "sent {} received {} loss_percent {:.2} dropped {} round_trip_ms {round_trip} playout_ms {:.1}",
        statistics.packets_sent,
        statistics.packets_received,
        statistics.loss_percent,
        statistics.datagrams_dropped,
        statistics.playout_delay_ms
    )
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Here => "here",
        Side::There => "there",
    }
}

fn verified(verification: Verification) -> &'static str {
    match verification {
        Verification::Verified => "verified",
        Verification::Checking => "checking",
        Verification::NotVerified => "not verified",
        Verification::CannotBeVerified => "cannot be verified",
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::call::CallId;

    #[test]
    fn a_line_begins_with_the_name_a_script_waits_for() {
        let call = CallId(1);
        for (event, expected) in [
            (Event::Ready { address: "alice@gw.example".into() }, "ready alice@gw.example"),
            (Event::Ringing { call, at: Side::Here, other: "bob@gw.example".into() }, "ringing here bob@gw.example"),
            (Event::OnHold { call, by: Side::There, on: true }, "on_hold there on"),
            (
                Event::Encrypted {
                    call,
                    cipher: "AES-256-GCM",
                    key_agreement: "DTLS 1.3",
                    post_quantum: true,
                    verification: Verification::NotVerified,
                },
                "encrypted AES-256-GCM, DTLS 1.3, post-quantum, not verified",
            ),
            (Event::Stopped, "stopped"),
        ] {
            assert_eq!(line(&event), expected);
        }
    }
}
