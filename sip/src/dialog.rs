//! Dialogs: the lasting relation of two user agents (RFC 3261 §12).
//!
//! ```text
//!  caller: INVITE ─▶   ◀─ 101–299 with To tag  ⇒ Dialog::of_caller
//!  callee: ─▶ INVITE   our To tag              ⇒ Dialog::of_callee
//!  then: next_cseq() for every request of ours, accept_cseq() for every one of theirs,
//!        refresh_target() from INVITE, UPDATE and their 2xx (§12.2)
//! ```
//! The route set is kept and obeyed, loose and strict (§12.2.1.1), although everything leaves on the
//! dialog's flow: a proxy between two phones in direct mode may be on that path.

use crate::wire::{Headers, NameAddr, Request, Response, Uri, uri::uri_param};

/// Route set entries a dialog keeps: no real path has more, and the list is echoed in each request.
pub(crate) const MAX_ROUTES: usize = 16;

/// One side's view of a dialog.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// Our address with our tag.
    pub(crate) local: NameAddr,
    /// Their address with their tag, if it has one (RFC 2543 peers send none).
    pub(crate) remote: NameAddr,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    target: Uri,
    routes: Vec<NameAddr>,
}

/// Whether a request of the other side is in sequence (§12.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    InOrder,
    /// Older than what was already answered: 500.
    OutOfOrder,
}

impl Dialog {
    /// The dialog a response to our INVITE makes (§12.1.2). `None`: no tag or no usable Contact.
    pub(crate) fn of_caller(invite: &Request, response: &Response) -> Option<Self> {
        let remote = response.headers.to().ok()?;
        remote.tag()?;
        let mut routes = response.headers.record_routes().ok()?;
        routes.reverse();
        Some(Self {
            call_id: invite.headers.call_id().ok()?.to_owned(),
            local: invite.headers.from().ok()?,
            remote,
            local_cseq: invite.headers.cseq().ok()?.number,
            remote_cseq: None,
            target: sip_contact(&response.headers)?,
            routes: bounded(routes)?,
        })
    }

    /// The dialog we make by answering an INVITE under `tag` (§12.1.1). `None`: no usable Contact.
    /// `cseq` is where our own requests start.
    pub(crate) fn of_callee(invite: &Request, tag: &str, cseq: u32) -> Option<Self> {
        Some(Self {
            call_id: invite.headers.call_id().ok()?.to_owned(),
            local: invite.headers.to().ok()?.with_tag(tag),
            remote: invite.headers.from().ok()?,
            local_cseq: cseq,
            remote_cseq: Some(invite.headers.cseq().ok()?.number),
            target: sip_contact(&invite.headers)?,
            routes: bounded(invite.headers.record_routes().ok()?)?,
        })
    }

    pub(crate) fn remote_tag(&self) -> Option<&str> {
        self.remote.tag()
    }

    /// Whether these headers name this dialog, read as a request of the other side.
    pub(crate) fn is_named_by(&self, headers: &Headers) -> bool {
        headers.call_id().is_ok_and(|call_id| call_id == self.call_id)
            && headers.to().is_ok_and(|to| to.tag() == self.local.tag())
            && headers.from().is_ok_and(|from| from.tag() == self.remote.tag())
    }

    /// The number of our next request.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Notes the number of a request of the other side.
    pub(crate) fn accept_cseq(&mut self, headers: &Headers) -> Sequence {
        let Ok(cseq) = headers.cseq() else { return Sequence::OutOfOrder };
        if self.remote_cseq.is_some_and(|last| cseq.number <= last) {
            return Sequence::OutOfOrder;
        }
        self.remote_cseq = Some(cseq.number);
        Sequence::InOrder
    }

    /// Takes the remote target from a target refresh request or its 2xx.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = sip_contact(headers) {
            self.target = target;
        }
    }

    /// Takes target and route set from the 2xx that confirms an early dialog (§13.2.2.4).
    pub(crate) fn confirm(&mut self, response: &Response) {
        self.refresh_target(&response.headers);
        if let Some(mut routes) = response.headers.record_routes().ok().and_then(bounded) {
            routes.reverse();
            self.routes = routes;
        }
    }

    /// Request-URI and Route headers of our next request (§12.2.1.1).
    pub(crate) fn path(&self) -> (Uri, Vec<String>) {
        let routes = self.routes.iter().map(NameAddr::to_string);
        match self.routes.first() {
            Some(first) if uri_param(&first.uri, "lr").is_none() => {
                // A strict router wants to be the Request-URI; the target goes to the end.
                let target = NameAddr::new(self.target.clone()).to_string();
                (first.uri.clone(), routes.skip(1).chain([target]).collect())
            }
            _ => (self.target.clone(), routes.collect()),
        }
    }
}

fn sip_contact(headers: &Headers) -> Option<Uri> {
    let uri = headers.contact().ok()?.uri;
    crate::wire::uri::is_sip(&uri).then_some(uri)
}

fn bounded(routes: Vec<NameAddr>) -> Option<Vec<NameAddr>> {
    (routes.len() <= MAX_ROUTES).then_some(routes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::{
        HeaderName, Method,
        uri::{parse_uri, uri_to_string},
    };

    fn invite(record_routes: &[&str]) -> Request {
        let mut request = Request::new(Method::Invite, parse_uri("sip:bob@b.example").unwrap());
        let headers = &mut request.headers;
        headers.push(HeaderName::From, "<sip:alice@a.example>;tag=a1");
        headers.push(HeaderName::To, "<sip:bob@b.example>");
        headers.push(HeaderName::CallId, "c1");
        headers.push(HeaderName::CSeq, "7 INVITE");
        headers.push(HeaderName::Contact, "<sip:alice@192.0.2.1>");
        for route in record_routes {
            headers.push(HeaderName::RecordRoute, *route);
        }
        request
    }

    fn headers(cseq: &str) -> Headers {
        [(HeaderName::CSeq, cseq.to_owned())].into_iter().collect()
    }

    #[test]
    fn requests_of_the_other_side_must_count_up() {
        let mut dialog = Dialog::of_callee(&invite(&[]), "b1", 1).unwrap();
        assert_eq!(dialog.accept_cseq(&headers("7 BYE")), Sequence::OutOfOrder);
        assert_eq!(dialog.accept_cseq(&headers("9 UPDATE")), Sequence::InOrder);
        assert_eq!(dialog.accept_cseq(&headers("8 UPDATE")), Sequence::OutOfOrder);
        assert_eq!((dialog.next_cseq(), dialog.next_cseq()), (2, 3));
    }

    #[test]
    fn a_loose_route_goes_into_route_headers_and_a_strict_one_into_the_request_uri() {
        let loose = ["<sip:p1.example;lr>", "<sip:p2.example;lr>"];
        let dialog = Dialog::of_callee(&invite(&loose), "b1", 1).unwrap();
        let (uri, routes) = dialog.path();
        assert_eq!(uri_to_string(&uri), "sip:alice@192.0.2.1");
        assert_eq!(routes, loose);

        let dialog = Dialog::of_callee(&invite(&["<sip:p1.example>", loose[1]]), "b1", 1).unwrap();
        let (uri, routes) = dialog.path();
        assert_eq!(uri_to_string(&uri), "sip:p1.example");
        assert_eq!(routes, [loose[1], "<sip:alice@192.0.2.1>"]);
    }

    #[test]
    fn the_caller_reverses_the_route_set() {
        let mut response = Response::new(200);
        response.headers.push(HeaderName::To, "<sip:bob@b.example>;tag=b1");
        response.headers.push(HeaderName::Contact, "<sip:bob@192.0.2.2>");
        response.headers.push(HeaderName::RecordRoute, "<sip:p2.example;lr>, <sip:p1.example;lr>");
        let dialog = Dialog::of_caller(&invite(&[]), &response).unwrap();
        assert_eq!(dialog.path().1, ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
        assert_eq!(dialog.remote_tag(), Some("b1"));
    }

    #[test]
    fn an_endless_route_set_makes_no_dialog() {
        let routes = vec!["<sip:p.example;lr>"; MAX_ROUTES + 1];
        assert!(Dialog::of_callee(&invite(&routes), "b1", 1).is_none());
        assert!(Dialog::of_callee(&invite(&routes[1..]), "b1", 1).is_some());
    }

    #[test]
    fn a_contact_that_is_no_sip_address_makes_no_dialog_and_moves_no_target() {
        let mut request = invite(&[]);
        request.headers.set(HeaderName::Contact, "<tel:+15550100>");
        assert!(Dialog::of_callee(&request, "b1", 1).is_none());
        let mut dialog = Dialog::of_callee(&invite(&[]), "b1", 1).unwrap();
        dialog.refresh_target(&request.headers);
        assert_eq!(uri_to_string(&dialog.path().0), "sip:alice@192.0.2.1");
    }
}
