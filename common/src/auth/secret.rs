//! The secret that signs tokens, and the refusal of one that anybody could guess.

use secrecy::{ExposeSecret, SecretString};

/// A secret of at least 32 bytes (RFC 7518, section 3.2) that is no example from a document. `Debug` hides it.
#[derive(Clone, Debug)]
pub struct SigningSecret(SecretString);

/// Why a secret is refused; never holds the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Shorter than the hash it keys.
    #[error("it has {0} bytes and needs at least 32; make one with: openssl rand -hex 32")]
    Short(usize),
    /// Stands in documents, or hardly varies.
    #[error("it is an example or a pattern that anybody could guess; make one with: openssl rand -hex 32")]
    Guessable,
}

impl SigningSecret {
    const MIN_BYTES: usize = 32;
    /// Fewer different bytes than this are a pattern, not a random value (a random hex string of 32 has 13 on average).
    const MIN_DISTINCT_BYTES: usize = 8;
    const EXAMPLES: [&str; 10] = [
        "your-secret",
        "your_secret",
        "change-me",
        "change_me",
        "changeme",
        "example",
        "paste-",
        "replace-",
        "placeholder",
        "openssl",
    ];

    /// Checks `secret`.
    ///
    /// # Errors
    /// Says why it is too weak.
    pub fn new(secret: SecretString) -> Result<Self, WeakSecret> {
        let text = secret.expose_secret();
        if text.len() < Self::MIN_BYTES {
            return Err(WeakSecret::Short(text.len()));
        }
        let lower = text.to_ascii_lowercase();
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes.dedup();
        if bytes.len() < Self::MIN_DISTINCT_BYTES || Self::EXAMPLES.iter().any(|example| lower.contains(example)) {
            return Err(WeakSecret::Guessable);
        }
        Ok(Self(secret))
    }

    /// The bytes that key the signature.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), WeakSecret> {
        SigningSecret::new(SecretString::from(text)).map(drop)
    }

    #[test]
    fn short_and_example_secrets_are_refused() {
        assert_eq!(check("your-secret-key"), Err(WeakSecret::Short(15)));
        assert_eq!(check("your-secret-key-change-in-production"), Err(WeakSecret::Guessable));
        assert_eq!(check("paste-here-what-openssl-rand-hex-32-prints"), Err(WeakSecret::Guessable));
        assert_eq!(check("$(openssl rand -hex 32) in single quotes"), Err(WeakSecret::Guessable));
        assert_eq!(check(&"a".repeat(64)), Err(WeakSecret::Guessable));
        assert_eq!(check("6f1d0a94c2b85e7733e09a1bd4c65f28"), Ok(()));
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let text = "6f1d0a94c2b85e7733e09a1bd4c65f28";
        let secret = SigningSecret::new(SecretString::from(text)).expect("strong");
        assert!(!format!("{secret:?}").contains(text));
    }
}
