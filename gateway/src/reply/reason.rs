//! Which of several causes a refusal has whose code stands for them all: a word for the log line and the metrics.
//!
//! The words are fixed and say nothing of what was sent. The client is told the code and its sentence, and no more.

use super::{Ambiguity, Rejection};
use crate::path::BadPath;

/// Makes an enum of causes, each with the word that logs and metrics have for it.
macro_rules! causes {
    ($(#[$about:meta])* $name:ident { $($(#[doc = $doc:literal])+ $cause:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $cause,)+
        }

        impl $name {
            /// What logs and metrics call it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$cause => $word,)+
                }
            }

            /// All that there are.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$cause),+];
        }
    };
}

causes! {
    /// Why a token is not believed.
    BadToken {
        /// There is more than one, or what stands there can be read in two ways.
        Several = "several_tokens",
        /// It is longer than any is.
        TooLong = "too_long",
        /// It has no three parts of base64url.
        NoJws = "no_jws",
        /// It has characters that no token may have.
        NoToken = "no_token",
        /// Its header is none of a token, or asks for an extension.
        BadHeader = "bad_header",
        /// It is signed with another algorithm.
        OtherAlgorithm = "other_algorithm",
        /// It names a key that the issuer does not publish.
        UnknownKey = "unknown_key",
        /// It names no key, and there are several that it may be of.
        NoKeyNamed = "no_key_named",
        /// Its signature is not the issuer's.
        BadSignature = "bad_signature",
        /// A claim is missing or of the wrong type.
        BadClaims = "bad_claims",
        /// It is of another issuer.
        OtherIssuer = "other_issuer",
        /// It is for another audience.
        OtherAudience = "other_audience",
        /// A claim has not the value that it must have.
        OtherClaim = "other_claim",
        /// Its time has not come.
        NotYetValid = "not_yet_valid",
        /// Its time is over.
        Expired = "expired",
        /// A claim cannot be a header.
        NoHeader = "claim_is_no_header",
        /// Its issuer says that it counts no more, or never has.
        Inactive = "inactive",
    }
}

causes! {
    /// Why a key or a password is not taken.
    BadCredential {
        /// There is more than one, or what stands there can be read in two ways.
        Several = "several_credentials",
        /// It is not what such a credential looks like.
        Malformed = "no_credential",
        /// Nobody has this key, or is called so.
        Unknown = "unknown",
        /// The password is not the one of that name.
        Wrong = "wrong_password",
    }
}

causes! {
    /// Why a client's certificate counts no more.
    BadCertificate {
        /// Its time is over, or has not come.
        OutOfDate = "out_of_date",
        /// It was revoked, or its authority is not trusted any more.
        NotTrusted = "not_trusted",
        /// What it says cannot be a header.
        NoHeader = "name_is_no_header",
    }
}

causes! {
    /// Why a request is not HTTP.
    Malformation {
        /// The request line: method, target or version.
        RequestLine = "request_line",
        /// The name of a header, or what stands around it.
        HeaderName = "header_name",
        /// The value of a header.
        HeaderValue = "header_value",
        /// A line that does not end with a carriage return and a line feed.
        LineEnd = "line_end",
        /// Something else in the head.
        Head = "head",
        /// A known method but for its case.
        MethodCase = "method_case",
        /// A target in none of the forms that there are.
        Target = "target",
        /// A character that no query may have.
        Query = "query",
        /// The chunks of the body.
        Chunks = "chunks",
        /// A request of HTTP/2 that has not the headers that it must have, or others.
        Http2Request = "http2_request",
        /// The frames of HTTP/2.
        Http2Frames = "http2_frames",
        /// Something that Pingora could not read.
        Unreadable = "unreadable",
    }
}

impl Rejection {
    /// Which of the causes it is that its code stands for; none where the code says it all, or another field does.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::TokenInvalid(bad) => bad.word(),
            Self::TokenRevoked => "revoked",
            Self::ApiKeyInvalid(bad) | Self::PasswordInvalid(_, bad) => bad.word(),
            Self::CertificateInvalid(bad) => bad.word(),
            Self::Malformed(bad) => bad.word(),
            Self::Ambiguous(Ambiguity::Length) => "content_length",
            Self::Ambiguous(Ambiguity::LengthAndEncoding) => "content_length_and_transfer_encoding",
            Self::Ambiguous(Ambiguity::TransferEncoding) => "transfer_encoding",
            Self::Ambiguous(Ambiguity::OldTransferEncoding) => "old_transfer_encoding",
            Self::BadPath(bad) => match bad {
                BadPath::NotAbsolute => "not_absolute",
                BadPath::BrokenEncoding => "broken_encoding",
                BadPath::EncodedSlash => "encoded_slash",
                BadPath::Backslash => "backslash",
                BadPath::HiddenDots => "hidden_dots",
                BadPath::LeadsElsewhere => "leads_elsewhere",
                BadPath::ForbiddenByte => "forbidden_byte",
                BadPath::DotParameters => "dot_parameters",
                BadPath::Overlong => "overlong_encoding",
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_code_does_not_tell_is_told_in_a_word_that_labels_may_have() {
        let tokens = BadToken::ALL.iter().map(|bad| Rejection::TokenInvalid(*bad));
        let malformed = Malformation::ALL.iter().map(|bad| Rejection::Malformed(*bad));
        let certificates = BadCertificate::ALL.iter().map(|bad| Rejection::CertificateInvalid(*bad));
        let keys = BadCredential::ALL.iter().map(|bad| Rejection::ApiKeyInvalid(*bad));
        for rejections in [tokens.collect(), malformed.collect(), certificates.collect(), keys.collect::<Vec<_>>()] {
            let words: Vec<_> = rejections.iter().map(|rejection| rejection.reason().expect("a reason")).collect();
            for (number, word) in words.iter().enumerate() {
                assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'2'), "{word}");
                assert!(!words[..number].contains(word), "{word} stands for two");
            }
        }
        assert_eq!(Rejection::TokenRevoked.reason(), Some("revoked"));
        assert_eq!(Rejection::NoRoute.reason(), None, "its code says it");
    }
}
