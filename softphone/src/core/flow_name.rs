//! The random name that stands for this phone on one flow: it leads nowhere else and tells nothing.

use rand_core::RngCore;
use undertone_sip::wire::Uri;

use super::{address, ice};

/// Characters of a random name (120 bits).
const NAME_LEN: usize = 20;

/// A host that exists nowhere, new for every flow.
#[derive(Debug)]
pub(super) struct FlowName {
    host: String,
}

impl FlowName {
    /// Draws one (RFC 2606 §2).
    pub(super) fn draw(rng: &mut impl RngCore) -> Self {
        let name: String = (0..NAME_LEN).map(|_| char::from(b'a' + (rng.next_u32() % 16) as u8)).collect();
        Self { host: format!("{name}.invalid") }
    }

    /// What the phone calls itself in `Via`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A fresh name at this host, where the phone is reached in one dialog.
    pub(super) fn contact(&self, rng: &mut impl RngCore) -> Uri {
        let name = ice::draw_text(rng, NAME_LEN).replace(['+', '/'], "x");
        address::account_uri(&name, &format!("{};transport=tls", self.host))
    }
}
