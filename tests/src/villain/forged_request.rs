//! A request in the gateway's name inside a call that the honest part of the gateway set up, and the answer to it.

use undertone_sip::wire::{HeaderName, Message, Method, Request, Uri};

/// In the branch of every forged request, so that its answers are told from the honest ones.
const MARK: &str = "z9hG4bK-nobody-asked-for-this";

/// One phone's half of a call, as its signalling shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Dialog {
    call_id: String,
    /// The gateway's end, as it stands in requests to the phone.
    from: String,
    /// The phone's end.
    to: String,
    /// Where the phone takes requests.
    contact: Option<Uri>,
    sequence: u32,
    forged: u32,
}

impl Dialog {
    /// Learns from what passes. `from_phone` says who sent it.
    pub(super) fn learn(&mut self, message: &Message, from_phone: bool) {
        let headers = message.headers();
        let (Ok(call_id), Ok(cseq)) = (headers.call_id(), headers.cseq()) else { return };
        let is_request = matches!(message, Message::Request(_));
        if cseq.method != Method::Invite {
            return;
        }
        let get = |name: &HeaderName| headers.get(name).unwrap_or_default().to_owned();
        let contact = headers.contact().ok().map(|contact| contact.uri);
        // `From` names who sent the INVITE: the phone, if it calls.
        let phone_calls = from_phone == is_request;
        let (phone, gateway) =
            if phone_calls { (HeaderName::From, HeaderName::To) } else { (HeaderName::To, HeaderName::From) };
        self.call_id = call_id.to_owned();
        (self.to, self.from) = (get(&phone), get(&gateway));
        if from_phone && contact.is_some() {
            self.contact = contact;
        }
        if !phone_calls {
            self.sequence = self.sequence.max(cseq.number);
        }
    }

    /// An INVITE in the running call with this description.
    pub(super) fn reinvite(&mut self, body: Vec<u8>) -> Option<Message> {
        self.sequence += 1;
        self.forged += 1;
        let mut request = self.request(Method::Invite)?;
        request.headers.push(HeaderName::Contact, "<sip:nobody@gw.example;transport=tls>");
        request.headers.push(HeaderName::ContentType, "application/sdp");
        request.body = body;
        Some(Message::Request(request))
    }

    /// The acknowledgement of its answer.
    pub(super) fn ack(&self) -> Option<Message> {
        self.request(Method::Ack).map(Message::Request)
    }

    fn request(&self, method: Method) -> Option<Request> {
        let mut request = Request::new(method.clone(), self.contact.clone()?);
        let headers = &mut request.headers;
        headers.push(HeaderName::Via, format!("SIP/2.0/TLS gw.example;branch={MARK}{}", self.forged));
        headers.push(HeaderName::MaxForwards, "70");
        headers.push(HeaderName::From, self.from.clone());
        headers.push(HeaderName::To, self.to.clone());
        headers.push(HeaderName::CallId, self.call_id.clone());
        headers.push(HeaderName::CSeq, format!("{} {}", self.sequence, method.as_str()));
        Some(request)
    }
}

/// Whether this is one of the forged requests, or the answer to one.
pub(super) fn is_forged(message: &Message) -> bool {
    message.headers().via_top().is_ok_and(|via| via.branch().is_some_and(|branch| branch.starts_with(MARK)))
}
