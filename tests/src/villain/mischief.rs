//! What a dishonest gateway may do.

use std::time::Duration;

/// One thing it does. Several together are one attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// Ends the encryption of both phones with certificates of its own, listens, and passes the sound on.
    EndsEncryption,
    /// Where it ends the encryption: gives each phone's verification messages to the other phone.
    PassesProofsOn,
    /// Where it ends the encryption: proves to each phone a key of its own, under the other person's address.
    ProvesOwnKey,
    /// Where it ends the encryption: gives each phone its own verification messages back.
    ReflectsProofs,
    /// Where it ends the encryption: answers with what the other person's phone said in earlier calls.
    ReplaysEarlierProofs,
    /// Where it ends the encryption: lets no verification message through, and sends none.
    SwallowsProofs,
    /// What it does besides to every verification message that it sends.
    DistortsProofs(Distortion),
    /// What it does to every datagram between phones whose encryption it does not end.
    DistortsDatagrams(Distortion),
    /// Tells these phones that the other one cannot verify.
    HidesVerification(Whom),
    /// Tells these phones that the other one cannot protect against quantum computers.
    HidesPostQuantum(Whom),
    /// Where it ends the encryption: speaks the older handshake, DTLS 1.2, even to phones that expect the newer.
    SpeaksOldHandshake,
    /// Rewrites the first message of the handshake so that it asks for the weakest protection of packets.
    WeakensProfile,
    /// Rewrites the first message of the handshake so that it asks for the older version.
    WeakensVersion,
    /// Describes calls without any protection.
    DescribesPlainSound,
    /// Describes calls with keys that the gateway can read (SDES).
    DescribesReadableKeys,
    /// Leads calls for the first account to the second.
    LeadsTo(&'static str, &'static str),
    /// Shows the first account as the second wherever it calls.
    ShowsAs(&'static str, &'static str),
    /// What it does to ring tickets.
    Tickets(TicketTrick),
}

/// Which of the two people a lie is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The first.
    First,
    /// The second.
    Second,
    /// Both.
    Both,
}

/// What happens to one message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distortion {
    /// The last octet is missing.
    CutsShort,
    /// One random bit is turned.
    TurnsABit,
    /// It comes twice.
    Doubles,
    /// Every second one overtakes the one before it.
    Reorders,
    /// It comes this much later.
    Delays(Duration),
    /// An earlier one comes again behind it.
    RepeatsEarlier,
}

/// What it does to the ring ticket of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketTrick {
    /// Takes it out.
    Strips,
    /// Puts one from an earlier call to the same person in its place.
    Replays,
    /// The same, together with everything of that call's description that the ticket was made for.
    ReplaysWithItsCall,
    /// Turns one bit.
    Alters,
    /// Puts random octets of the same size in its place.
    Forges,
}

impl Whom {
    /// Whether the lie is told to this one of the two.
    pub(super) fn includes(self, index: usize) -> bool {
        match self {
            Self::First => index == 0,
            Self::Second => index == 1,
            Self::Both => true,
        }
    }
}
