//! Session timers (RFC 4028): a call whose other side is gone ends by itself.
//!
//! ```text
//!  caller: Session-Expires: 1800 ─▶      ◀─ 422 Min-SE: 3600 (asks again) / 2xx Session-Expires: N;refresher=…
//!  refresher: at N/2 UPDATE (or re-INVITE) ─▶ ◀─ 2xx: N starts anew
//!  both: at N − min(32 s, N/3) without refresh: BYE
//! ```
//! If the other side knows nothing of timers we refresh alone.

use std::time::Duration;

use crate::wire::{HeaderName, Headers};

/// The smallest interval the RFC allows (§4); ours too.
pub(crate) const MIN_SE_S: u32 = 90;

/// The longest interval we agree to: a dead call frees its relay within a day whatever is asked.
pub(crate) const MAX_SE_S: u32 = 86_400;

/// Who refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresher {
    Us,
    Them,
}

/// An agreed interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) seconds: u32,
    pub(crate) refresher: Refresher,
}

impl Agreement {
    /// When the refresher refreshes (§7.2).
    pub(crate) fn refresh_after(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds)) / 2
    }

    /// When a side that saw no refresh hangs up (§10).
    pub(crate) fn expire_after(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds - (self.seconds / 3).min(32)))
    }
}

/// One call's wishes and what became of them.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    wanted_s: u32,
    min_se_s: u32,
    agreed: Option<Agreement>,
}

impl SessionTimer {
    pub(crate) fn new(wanted_s: u32) -> Self {
        let wanted_s = wanted_s.clamp(MIN_SE_S, MAX_SE_S);
        Self { wanted_s, min_se_s: MIN_SE_S, agreed: None }
    }

    pub(crate) fn agreed(&self) -> Option<Agreement> {
        self.agreed
    }

    /// Headers of our INVITE or UPDATE (§7.1, §7.4).
    pub(crate) fn ask(&self) -> [(HeaderName, String); 2] {
        let refresher = match self.agreed {
            None => "",
            Some(Agreement { refresher: Refresher::Us, .. }) => ";refresher=uac",
            Some(Agreement { refresher: Refresher::Them, .. }) => ";refresher=uas",
        };
        [
            (HeaderName::SessionExpires, format!("{}{refresher}", self.wanted_s)),
            (HeaderName::MinSe, self.min_se_s.to_string()),
        ]
    }

    /// A 422 to our request (§7.3): whether asking again with a longer interval makes sense.
    pub(crate) fn handle_too_small(&mut self, response: &Headers) -> bool {
        let Some(min_se_s) = response.min_se() else { return false };
        if min_se_s <= self.wanted_s || min_se_s > MAX_SE_S {
            return false;
        }
        self.min_se_s = min_se_s;
        self.wanted_s = min_se_s;
        true
    }

    /// A 2xx to our request (§7.2).
    pub(crate) fn handle_accepted(&mut self, response: &Headers) -> Agreement {
        let agreement = match response.session_expires() {
            Some((seconds, refresher)) => Agreement {
                seconds: seconds.clamp(MIN_SE_S, MAX_SE_S),
                refresher: match refresher {
                    Some(uas) if uas.eq_ignore_ascii_case("uas") => Refresher::Them,
                    _ => Refresher::Us,
                },
            },
            None => Agreement { seconds: self.wanted_s, refresher: Refresher::Us },
        };
        self.agreed = Some(agreement);
        agreement
    }

    /// Whether a request's interval must be refused with 422 (§9).
    pub(crate) fn is_too_small(request: &Headers) -> bool {
        request.session_expires().is_some_and(|(seconds, _)| seconds < MIN_SE_S)
    }

    /// Answers a request's wish; returns the headers of our 2xx (§9).
    pub(crate) fn accept(&mut self, request: &Headers) -> Vec<(HeaderName, String)> {
        let they_know = request.lists(&HeaderName::Supported, "timer");
        let floor = request.min_se().unwrap_or(MIN_SE_S).clamp(MIN_SE_S, MAX_SE_S);
        let asked = request.session_expires();
        let seconds = match asked {
            Some((seconds, _)) => seconds.min(self.wanted_s).max(floor),
            None => self.wanted_s.max(floor),
        };
        let they_decline =
            asked.and_then(|(_, refresher)| refresher).is_some_and(|refresher| refresher.eq_ignore_ascii_case("uas"));
        let refresher = if they_know && !they_decline { Refresher::Them } else { Refresher::Us };
        self.agreed = Some(Agreement { seconds, refresher });
        let name = match refresher {
            Refresher::Them => "uac",
            Refresher::Us => "uas",
        };
        let mut headers = vec![(HeaderName::SessionExpires, format!("{seconds};refresher={name}"))];
        if they_know {
            headers.push((HeaderName::Require, "timer".to_owned()));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &str)]) -> Headers {
        fields.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_caller_refreshes_unless_the_callee_says_otherwise() {
        let mut timer = SessionTimer::new(1800);
        let agreement = timer.handle_accepted(&headers(&[(HeaderName::SessionExpires, "600;refresher=uas")]));
        assert_eq!(agreement, Agreement { seconds: 600, refresher: Refresher::Them });
        assert_eq!(timer.ask()[0].1, "1800;refresher=uas");
        let agreement = timer.handle_accepted(&headers(&[(HeaderName::SessionExpires, "600")]));
        assert_eq!(agreement.refresher, Refresher::Us);
    }

    #[test]
    fn a_side_without_timers_is_refreshed_by_us() {
        let mut timer = SessionTimer::new(1800);
        let expected = Agreement { seconds: 1800, refresher: Refresher::Us };
        assert_eq!(timer.handle_accepted(&Headers::new()), expected);
        let answer = timer.accept(&Headers::new());
        assert_eq!(answer, [(HeaderName::SessionExpires, "1800;refresher=uas".to_owned())]);
        assert_eq!(timer.agreed(), Some(expected));
    }

    #[test]
    fn a_wish_is_shortened_to_ours_but_not_below_its_own_floor() {
        let mut timer = SessionTimer::new(600);
        let supported = (HeaderName::Supported, "timer");
        let wish = [supported.clone(), (HeaderName::SessionExpires, "1800")];
        assert_eq!(timer.accept(&headers(&wish))[0].1, "600;refresher=uac");
        let wish = [supported, (HeaderName::SessionExpires, "1800"), (HeaderName::MinSe, "900")];
        let answer = timer.accept(&headers(&wish));
        assert_eq!(answer[0].1, "900;refresher=uac");
        assert_eq!(answer[1], (HeaderName::Require, "timer".to_owned()));
    }

    #[test]
    fn too_short_intervals_are_refused_and_our_own_is_raised_once_asked() {
        assert!(SessionTimer::is_too_small(&headers(&[(HeaderName::SessionExpires, "89")])));
        assert!(!SessionTimer::is_too_small(&headers(&[(HeaderName::SessionExpires, "90")])));
        let mut timer = SessionTimer::new(100);
        let refusal = headers(&[(HeaderName::MinSe, "3600")]);
        assert!(timer.handle_too_small(&refusal));
        assert_eq!(timer.ask()[0].1, "3600");
        assert!(!timer.handle_too_small(&refusal));
        assert!(!timer.handle_too_small(&headers(&[(HeaderName::MinSe, "4000000000")])));
    }

    #[test]
    fn refresh_at_half_and_end_before_the_interval_is_over() {
        let agreement = Agreement { seconds: 90, refresher: Refresher::Us };
        assert_eq!(agreement.refresh_after(), Duration::from_secs(45));
        assert_eq!(agreement.expire_after(), Duration::from_secs(60));
        let agreement = Agreement { seconds: 1800, refresher: Refresher::Us };
        assert_eq!(agreement.expire_after(), Duration::from_secs(1768));
    }
}
