//! Which headers only the gateway may say to an upstream.
//!
//! A client's own copies are removed, also under the names that servers with CGI habits take for the same (`X_User_Id`).

use http::HeaderName;

use crate::config::values::{ABOUT_THE_CLIENT, is_forwarded, same_but_for_underscores};

/// Header names that a client may not use.
pub(crate) struct AssertedHeaders {
    names: Box<[HeaderName]>,
    /// Bit `n`: whether one of them has `n` bytes. Nearly every header of a client is told apart by this alone.
    lengths: u128,
}

impl AssertedHeaders {
    /// What the gateway says of the client, and `identity`, what it says of who is asking.
    pub(crate) fn new(identity: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: Box<[HeaderName]> = ABOUT_THE_CLIENT.into_iter().chain(identity).collect();
        let lengths = names.iter().fold(0, |lengths, name| lengths | length_bit(name.as_str()));
        Self { names, lengths }
    }

    /// Whether `name` is one of them, or of the family `X-Forwarded-*`, in any spelling: upstreams believe of it what they
    /// like (`X-Forwarded-User`, `X-Forwarded-Client-Cert`), and only a step of the file may say it.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let is_named = || self.names.iter().any(|own| same_but_for_underscores(name, own.as_str()));
        is_forwarded(name) || self.lengths & length_bit(name) != 0 && is_named()
    }
}

/// Names of 127 bytes and more share a bit.
const fn length_bit(name: &str) -> u128 {
    let length = name.len();
    1 << if length < 127 { length } else { 127 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_covered_in_every_spelling_and_no_other_name_is() {
        let long = HeaderName::try_from("x".repeat(200)).expect("a name");
        let asserted = AssertedHeaders::new([HeaderName::from_static("x-user-id"), long.clone()]);
        for name in ["x-forwarded-client-cert", "x_forwarded_user", "x-forwarded_groups", "x-forwarded-"] {
            assert!(asserted.covers(name), "{name}");
        }
        for name in ["x-user-id", "x_user-id", "x_user_id", "x_real_ip", "forwarded", "x-request-id", long.as_str()] {
            assert!(asserted.covers(name), "{name}");
        }
        for name in [
            "x-forwarded",
            "x-forwardedx",
            "y-forwarded-user",
            "x-user-ids",
            "x-usor-id",
            "x.user.id",
            "host",
            "x_other",
            "",
            &"y".repeat(200),
        ] {
            assert!(!asserted.covers(name), "{name}");
        }
    }
}
