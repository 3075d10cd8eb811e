//! What a phone is told once, when it is made.

use std::time::SystemTime;

use undertone_config::Secret;

/// Everything a phone needs to know before it starts.
#[derive(Debug)]
pub struct Settings {
    /// Through a gateway, or phone to phone.
    pub mode: Mode,
    /// Take every call at once, without asking anybody.
    pub auto_answer: bool,
    /// The date, for the certificates of calls; renewed with `Phone::handle_date`.
    pub today: SystemTime,
}

/// How the phone reaches others.
#[derive(Debug)]
pub enum Mode {
    /// Through the gateway of an account.
    Gateway(Account),
    /// Phone to phone, for measurements and for tests with foreign phones: who calls whom is not protected.
    Direct(Direct),
}

/// An account on a gateway.
#[derive(Debug)]
pub struct Account {
    /// The part before the `@`.
    pub name: String,
    /// The part after the `@`: the gateway's domain.
    pub domain: String,
    /// How it proves itself.
    pub proof: Proof,
    /// Names this phone among the phones of the account: a random `urn:uuid:…`, new for every account (RFC 5626 §4.1).
    pub instance: String,
}

/// How an account proves itself to its gateway.
#[derive(Debug)]
pub enum Proof {
    /// By its generated password.
    Password(Secret),
    /// By the key of this device, which the shell shows when it connects; nothing is said about it on the flow.
    DeviceKey,
}

/// Phone to phone without a gateway.
#[derive(Debug)]
pub struct Direct {
    /// The name this phone gives itself: `sip:NAME@address:port`.
    pub name: String,
    /// The UDP port on which the shell listens for media, on the address each flow has.
    pub media_port: u16,
    /// What to tell the person as this phone's address once it is ready, such as `sip:alice@192.0.2.7:5060`.
    pub shown_address: String,
}
