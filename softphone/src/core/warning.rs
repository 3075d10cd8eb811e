//! The sentences of what must not be overlooked: what has been seen, what it may mean, and what to do.

use super::event::Side;

pub(super) fn key_changed(name: &str) -> String {
    format!(
        "STOP: this phone knows {name} by another key than the one that was shown. Either {name} has a new phone or has \
         reset it, or somebody is posing as {name}. Nothing you said was sent. Ask {name} in another way, face to face \
         if you can. Only if they have a new key: `undertone contact verify {name} --anew`, then call again."
    )
}

pub(super) fn wrong_pick(name: &str) -> String {
    format!(
        "STOP: what you heard does not fit what this phone shows. Somebody may sit between you and {name} and listen. \
         Your sound is off from here on and nothing has been kept. Hang up, do not say anything private, and meet or ask \
         {name} in another way before you try again."
    )
}

pub(super) fn link_used(name: &str, by: Side) -> String {
    match by {
        Side::Here => format!(
            "STOP: {name} says that this link was used before by another phone: somebody else may have got hold of it. \
             Ask {name} for a new one, in a way that only the two of you see."
        ),
        Side::There => format!(
            "STOP: this caller uses the link you made for {name}, and another phone used it before. One of the two is \
             not {name}: somebody else may have got hold of the link. Nothing has been kept. Ask {name} in another way, \
             withdraw the link and make a new one."
        ),
    }
}

pub(super) fn proof_missing(other: &str) -> String {
    format!(
        "Ended for your safety: {other} is known by a key, and this call came without any proof of it. Somebody may have \
         removed it on the way, or it is another phone. Nothing was said. Ask {other} in another way before you call again."
    )
}
