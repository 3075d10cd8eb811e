//! Header field names (RFC 3261 §7.3.1, §20): case-insensitive, compact forms read but never written.

use std::fmt;

macro_rules! header_names {
    ($($variant:ident $name:literal $($compact:literal)?;)*) => {
        /// The name of a header field.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A name this library has no variant for, spelled as it was read.
            Other(String),
        }

        impl HeaderName {
            /// The full name as it is written on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            /// Reads a full or compact name. The caller has checked that it is a token.
            pub fn parse(name: &str) -> Self {
                if let [letter] = name.as_bytes() {
                    return match letter.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other(name.to_owned()),
                    };
                }
                match Self::by_length(name) {
                    Some(known) => known,
                    None => Self::Other(name.to_owned()),
                }
            }

            /// Comparing lengths first leaves one or two text comparisons per name.
            fn by_length(name: &str) -> Option<Self> {
                $(
                    if name.len() == $name.len() && name.eq_ignore_ascii_case($name) {
                        return Some(Self::$variant);
                    }
                )*
                None
            }
        }
    };
}

header_names! {
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq";
    Contact "Contact" b'm';
    MaxForwards "Max-Forwards";
    ContentType "Content-Type" b'c';
    ContentLength "Content-Length" b'l';
    Expires "Expires";
    Supported "Supported" b'k';
    Require "Require";
    ProxyRequire "Proxy-Require";
    Unsupported "Unsupported";
    Allow "Allow";
    RecordRoute "Record-Route";
    Route "Route";
    Authorization "Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyAuthenticate "Proxy-Authenticate";
    AuthenticationInfo "Authentication-Info";
    SessionExpires "Session-Expires" b'x';
    MinSe "Min-SE";
    MinExpires "Min-Expires";
    Reason "Reason";
    RetryAfter "Retry-After";
    Path "Path";
    ServiceRoute "Service-Route";
    UserAgent "User-Agent";
    Server "Server";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    ContentEncoding "Content-Encoding" b'e';
    ContentDisposition "Content-Disposition";
    ContentLanguage "Content-Language";
    MimeVersion "MIME-Version";
    Date "Date";
    Subject "Subject" b's';
    Warning "Warning";
    Timestamp "Timestamp";
    Organization "Organization";
    Event "Event" b'o';
    SubscriptionState "Subscription-State";
    AllowEvents "Allow-Events" b'u';
    ReferTo "Refer-To" b'r';
    ReferredBy "Referred-By" b'b';
    Replaces "Replaces";
    InReplyTo "In-Reply-To";
    ReplyTo "Reply-To";
    RSeq "RSeq";
    RAck "RAck";
    FlowTimer "Flow-Timer";
    UndertoneNextPin "Undertone-Next-Pin";
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_odd_case_names_are_the_same_header() {
        assert_eq!(HeaderName::parse("v"), HeaderName::Via);
        assert_eq!(HeaderName::parse("V"), HeaderName::Via);
        assert_eq!(HeaderName::parse("ViA"), HeaderName::Via);
        assert_eq!(HeaderName::parse("MaX-fOrWaRdS"), HeaderName::MaxForwards);
        assert_eq!(HeaderName::parse("l"), HeaderName::ContentLength);
        assert_eq!(HeaderName::parse("x"), HeaderName::SessionExpires);
        assert_eq!(HeaderName::parse("z"), HeaderName::Other("z".into()));
    }
}
