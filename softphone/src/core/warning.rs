//! The sentences of what must not be overlooked: what has been seen, what it may mean, and what to do.

use super::event::Side;

pub(super) fn key_changed(name: &str, heard: bool) -> String {
    let sent =
        if heard { "What you said in this call may have been heard by them" } else { "Nothing you said was sent" };
    let anew = check_anew(name);
    format!(
        "STOP: this phone knows {name} by another key than the one that was shown. Either {name} has a new phone or has \
         reset it, or somebody is posing as {name}. {sent}. Ask {name} in another way, face to face if you can. Only if \
         they have a new key: {anew}, then call again."
    )
}

pub(super) fn wrong_pick(name: &str, still_verified: bool) -> String {
    let kept = if still_verified {
        let anew = check_anew(name);
        format!("what this phone keeps of {name} is as it was: if you do not trust it any more, {anew}")
    } else {
        "nothing has been kept".to_owned()
    };
    format!(
        "STOP: what you heard does not fit what this phone shows. Somebody may sit between you and {name} and listen. \
         Your sound is off from here on, and {kept}. Hang up, do not say anything private, and meet or ask {name} in \
         another way before you try again."
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
             not {name}: somebody else may have got hold of the link. Nothing of this caller has been kept, but whoever \
             came first counts as verified. Ask {name} in another way whether that was them; if not, remove that \
             contact. Withdraw the link and make a new one."
        ),
    }
}

pub(super) fn proof_missing(other: &str) -> String {
    format!(
        "Ended for your safety: {other} is known by a key, and this call came without any proof of it. Somebody may have \
         removed it on the way, or it is another phone. Nothing was said. Ask {other} in another way before you call again."
    )
}

fn check_anew(name: &str) -> String {
    format!("`undertone contact verify {} --anew`", as_argument(name))
}

/// A name as a shell takes it for one word.
fn as_argument(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@._-".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_advised_can_be_typed_as_it_stands() {
        for (name, argument) in [
            ("bob@gw.example", "bob@gw.example"),
            ("Zoë", "Zoë"),
            ("Bob B", "'Bob B'"),
            ("Bob's $(phone)", r"'Bob'\''s $(phone)'"),
        ] {
            let command = format!("`undertone contact verify {argument} --anew`");
            assert!(key_changed(name, false).contains(&command) && wrong_pick(name, true).contains(&command), "{name}");
        }
    }

    #[test]
    fn a_warning_says_that_nothing_was_heard_or_kept_only_where_it_is_so() {
        assert!(key_changed("Bob", false).contains("Nothing you said was sent"));
        assert!(
            key_changed("Bob", true).contains("may have been heard") && !key_changed("Bob", true).contains("Nothing")
        );
        assert!(wrong_pick("Bob", false).contains("nothing has been kept"));
        assert!(!wrong_pick("Bob", true).contains("nothing has been kept"));
    }
}
