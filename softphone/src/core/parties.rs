//! The two ends of a call as the verification knows them: what is known of the other person before the call, and so
//! what their phone must prove in it.

use undertone_config::AccountAddress;
use undertone_media::verify::{AddressHash, IdentityPublic, Role};

use super::contacts::{Checked, Contact, Key, LinkId};

/// The two ends of a call.
#[derive(Debug)]
pub(super) struct Parties {
    /// Who sent the first INVITE.
    pub(super) role: Role,
    /// The address that the other phone must prove; `None` where an address proves nothing or none is known.
    pub(super) peer: Option<AddressHash>,
    /// The other person's address, where it is known.
    pub(super) account: Option<AccountAddress>,
    /// The key that the other phone must prove.
    pub(super) pinned: Option<IdentityPublic>,
    /// Without a proof of any key there is no call.
    pub(super) must_prove: bool,
    /// What the key means once it is proven.
    pub(super) standing: Standing,
    /// Responder: the links whose tokens the verification was given, in that order.
    pub(super) links: Vec<LinkId>,
}

/// What is known of the other person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Their key is not known.
    Stranger,
    /// A contact whose key is verified.
    Verified(Checked),
    /// A contact whose key stood in their link, called for the first time.
    ByTheirLink,
    /// They hold a link of ours that is good for them.
    ByOurLink(LinkId),
    /// They hold a link of ours that somebody else's phone used before.
    ByUsedLink(LinkId),
    /// They know our public link.
    ByPublicLink,
}

impl Parties {
    /// Somebody of whom nothing is known but perhaps an address.
    pub(super) fn stranger(role: Role, account: Option<AccountAddress>, peer: Option<AddressHash>) -> Self {
        let (pinned, must_prove, standing) = (None, false, Standing::Stranger);
        Self { role, peer, account, pinned, must_prove, standing, links: Vec::new() }
    }

    /// A contact, called at or calling from its address.
    pub(super) fn contact(role: Role, contact: &Contact) -> Self {
        let peer = AddressHash::of(&contact.address.to_string());
        let standing = match contact.key {
            Key::Verified { checked, .. } => Standing::Verified(checked),
            Key::FromLink(_) => Standing::ByTheirLink,
            Key::Unknown | Key::CheckAnew { .. } => Standing::Stranger,
        };
        let pinned = contact.key.pinned().copied();
        Self {
            must_prove: pinned.is_some() || contact.proves,
            pinned,
            standing,
            ..Self::stranger(role, Some(contact.address.clone()), Some(peer))
        }
    }

    /// Who came with a ring ticket must be in the call who the ticket says; where a contact's key is known, that one.
    pub(super) fn with_ticket_of(mut self, caller: IdentityPublic) -> Self {
        self.pinned.get_or_insert(caller);
        self.must_prove = true;
        self
    }
}
