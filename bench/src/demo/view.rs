//! What one side saw of the call, gathered from the events its phone printed.

use std::collections::BTreeSet;

use serde_json::Value;

/// Speech is cut into packets of this length before it can be sent.
const PACKET_MS: f64 = undertone_media::session::DEFAULT_PTIME_MS as f64;
/// The voice encoder looks so far ahead at 48 kHz (RFC 6716 §2.1.7: 2.5 ms, and 4 ms for its resampling to wideband).
const LOOK_AHEAD_MS: f64 = 6.5;

/// One side's view.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Whose.
    pub(super) name: &'static str,
    /// Where the gateway takes connections.
    pub(super) gateway: String,
    /// Where the gateway takes sound.
    pub(super) relay: String,
    /// Names of events in their order; figures and warnings are no states.
    pub(super) states: Vec<String>,
    /// How sound is protected, once encrypted.
    pub(super) protection: Option<Protection>,
    /// Who has proven to be at the other end, and by what it is known.
    pub(super) verified: Option<Verified>,
    /// What spoke against it, in its phone's words.
    pub(super) doubt: Option<String>,
    /// The newest figures.
    pub(super) figures: Option<Figures>,
    /// Remote addresses of its connected sockets, as the kernel listed them during the call.
    pub(super) connections: Option<BTreeSet<String>>,
    /// Why the call ended, in its phone's words.
    pub(super) ended: Option<String>,
    /// What its phone could not do.
    pub(super) trouble: Option<String>,
}

/// The `encrypted` event.
#[derive(Debug, Clone)]
pub(super) struct Protection {
    /// Such as `AES-256-GCM`.
    pub(super) cipher: String,
    /// Such as `DTLS 1.3`.
    pub(super) key_agreement: String,
    /// Whether a recording is of no use to a future quantum computer.
    pub(super) post_quantum: bool,
}

/// The `verified` event.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    /// The other person, as called on this phone.
    pub(super) name: String,
    /// Such as `verified by link on 2026-11-25`.
    pub(super) how: String,
}

/// The figures of the `statistics` event.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) round_trip_ms: Option<f64>,
    pub(super) packets_received: u64,
    pub(super) packets_sent: u64,
    pub(super) loss_percent: f64,
    pub(super) playout_delay_ms: f64,
    /// Every address with which sound was exchanged.
    pub(super) addresses: BTreeSet<String>,
}

impl View {
    /// Nothing seen yet.
    pub(super) fn new(name: &'static str, gateway: &str, relay: &str) -> Self {
        Self { name, gateway: gateway.to_owned(), relay: relay.to_owned(), ..Self::default() }
    }

    /// Takes an event into account.
    pub(super) fn note(&mut self, event: &Value) {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let name = text("event");
        match name.as_str() {
            "encrypted" => {
                self.protection = Some(Protection {
                    cipher: text("cipher"),
                    key_agreement: text("key_agreement"),
                    post_quantum: event["post_quantum"] == true,
                });
            }
            "verified" => self.verified = Some(Verified { name: text("name"), how: text("how") }),
            "not_verified" | "wrong_pick" | "key_changed" | "link_used" => self.doubt = Some(text("sentence")),
            "statistics" => self.figures = Some(Figures::read(event)),
            "ended" => self.ended = Some(text("sentence")),
            "not_connected" | "not_done" | "failed" => self.trouble = Some(text("sentence")),
            _ => {}
        }
        if !matches!(name.as_str(), "statistics" | "warning") {
            self.states.push(name.replace('_', " "));
        }
    }

    /// Estimated milliseconds from the other's mouth to this side's ear, without sound devices.
    pub(super) fn mouth_to_ear_ms(&self, other: &Self) -> Option<f64> {
        let (own, other) = (self.figures.as_ref()?, other.figures.as_ref()?);
        let network = (own.round_trip_ms? + other.round_trip_ms?) / 2.0;
        Some(PACKET_MS + LOOK_AHEAD_MS + network + own.playout_delay_ms)
    }

    /// Whether the other phone proved to be that of a known person, and nothing spoke against it before or after.
    pub(super) fn is_verified(&self) -> bool {
        self.verified.is_some() && self.doubt.is_none()
    }

    /// Whether this side's sound went to the gateway's relay and nowhere else.
    pub(super) fn only_the_relay(&self) -> bool {
        self.figures.as_ref().is_some_and(|figures| figures.addresses.iter().eq([&self.relay]))
    }

    /// Whether the kernel listed the connection to the gateway and no other; `None` where it has no list.
    pub(super) fn only_the_gateway(&self) -> Option<bool> {
        let known = [&self.gateway, &self.relay];
        let is_it = |found: &BTreeSet<String>| {
            found.contains(&self.gateway) && found.iter().all(|address| known.contains(&address))
        };
        self.connections.as_ref().map(is_it)
    }
}

impl Figures {
    fn read(event: &Value) -> Self {
        Self {
            round_trip_ms: event["round_trip_ms"].as_f64(),
            packets_received: event["packets_received"].as_u64().unwrap_or_default(),
            packets_sent: event["packets_sent"].as_u64().unwrap_or_default(),
            loss_percent: event["loss_percent"].as_f64().unwrap_or_default(),
            playout_delay_ms: event["playout_delay_ms"].as_f64().unwrap_or_default(),
            addresses: strings(&event["addresses"]).into_iter().collect(),
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_view_is_gathered_from_the_printed_events() {
        let mut view = View::new("alice", "127.0.0.1:5061", "127.0.0.1:4000");
        for event in [
            json!({"event": "ready", "address": "alice@gw.test"}),
            json!({"event": "encrypted", "cipher": "AES-256-GCM", "key_agreement": "DTLS 1.3", "post_quantum": true}),
            json!({"event": "verified", "name": "Bob", "how": "verified by link on 2026-11-25", "kept": true}),
            json!({"event": "statistics", "round_trip_ms": 1.0, "packets_received": 7, "packets_sent": 8,
                "loss_percent": 0.5, "playout_delay_ms": 20.0, "addresses": ["127.0.0.1:4000"]}),
            json!({"event": "ended", "sentence": "Ended: you hung up."}),
        ] {
            view.note(&event);
        }
        assert_eq!(view.states, ["ready", "encrypted", "verified", "ended"]);
        let Protection { cipher, key_agreement, post_quantum } = view.protection.as_ref().unwrap();
        assert_eq!((cipher.as_str(), key_agreement.as_str(), *post_quantum), ("AES-256-GCM", "DTLS 1.3", true));
        let Verified { name, how } = view.verified.as_ref().unwrap();
        assert_eq!((name.as_str(), how.as_str()), ("Bob", "verified by link on 2026-11-25"));
        assert!(view.only_the_relay());
        assert_eq!(view.mouth_to_ear_ms(&view), Some(20.0 + 6.5 + 1.0 + 20.0));
    }

    #[test]
    fn what_speaks_against_the_other_side_outweighs_its_proof_in_either_order() {
        let verified = json!({"event": "verified", "name": "Bob", "how": "verified by link on 2026-11-25"});
        for name in ["not_verified", "wrong_pick", "key_changed", "link_used"] {
            let doubt = json!({"event": name, "sentence": "Words."});
            for order in [[&verified, &doubt], [&doubt, &verified]] {
                let mut view = View::new("alice", "127.0.0.1:5061", "127.0.0.1:4000");
                assert!(!view.is_verified(), "nothing known is not a proof");
                order.iter().for_each(|event| view.note(event));
                assert!(!view.is_verified(), "{name}");
            }
        }
    }

    #[test]
    fn protection_against_quantum_computers_is_not_taken_for_granted() {
        let mut view = View::new("alice", "127.0.0.1:5061", "127.0.0.1:4000");
        view.note(&json!({"event": "encrypted", "cipher": "AES-256-GCM", "key_agreement": "DTLS 1.3"}));
        assert!(!view.protection.unwrap().post_quantum);
    }

    #[test]
    fn any_other_address_is_noticed() {
        let mut view = View::new("alice", "127.0.0.1:5061", "127.0.0.1:4000");
        assert!(!view.only_the_relay(), "nothing known is not a proof");
        view.note(&json!({"event": "statistics", "addresses": ["127.0.0.1:4000", "127.0.0.1:4001"]}));
        assert!(!view.only_the_relay());
        assert_eq!(view.only_the_gateway(), None);
        view.connections = Some(BTreeSet::new());
        assert_eq!(view.only_the_gateway(), Some(false), "a phone without the gateway's connection was not looked at");
        view.connections = Some(["127.0.0.1:5061".to_owned()].into());
        assert_eq!(view.only_the_gateway(), Some(true));
        view.connections = Some(["127.0.0.1:5061".to_owned(), "127.0.0.1:9".to_owned()].into());
        assert_eq!(view.only_the_gateway(), Some(false));
    }
}
