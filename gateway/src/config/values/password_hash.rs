//! The hash of a password, of a kind that takes long to guess.

use std::fmt;

use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _, phc};
use argon2::{Algorithm, Argon2, Params, Version};

/// The hash of a password: Argon2id (RFC 9106) as PHC string, or bcrypt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    kind: Kind,
    /// About what a check costs, to compare hashes of one kind by.
    cost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bcrypt,
    Argon2id,
}

/// Why a text is no hash that a password may be checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPasswordHash {
    /// SHA-1, MD5, crypt, or no hash at all.
    #[error("this is no Argon2id hash (`$argon2id$...`) and no bcrypt hash (`$2y$...`, as of: htpasswd -B)")]
    OtherKind,
    /// Cut off, or with a typing error.
    #[error("its text is damaged; copy it again, and write it in single quotes")]
    Damaged,
    /// More than a check may take.
    #[error("a check of it would take too much: at most 256 MiB, 16 passes and 16 lanes, or a bcrypt cost of 16")]
    TooCostly,
}

const MOST_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
const MOST_BCRYPT_COST: u32 = 16;
const MOST_BCRYPT_BYTES: usize = 72;

impl PasswordHash {
    /// The hash that is written `text`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, BadPasswordHash> {
        let (kind, cost) = if text.starts_with("$argon2id$") {
            let hash = phc::PasswordHash::new(text).map_err(|_| BadPasswordHash::Damaged)?;
            let params = Params::try_from(&hash).map_err(|_| BadPasswordHash::Damaged)?;
            if hash.hash.is_none() || hash.salt.is_none() {
                return Err(BadPasswordHash::Damaged);
            }
            let (memory, passes) = (params.m_cost(), params.t_cost());
            if memory > MOST_KIB || passes > MOST_PASSES || params.p_cost() > MOST_LANES {
                return Err(BadPasswordHash::TooCostly);
            }
            (Kind::Argon2id, u64::from(memory) * u64::from(passes))
        } else if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            let cost = bcrypt_cost(text).ok_or(BadPasswordHash::Damaged)?;
            if cost > MOST_BCRYPT_COST {
                return Err(BadPasswordHash::TooCostly);
            }
            (Kind::Bcrypt, 1 << cost)
        } else {
            return Err(BadPasswordHash::OtherKind);
        };
        Ok(Self { text: text.to_owned(), kind, cost })
    }

    /// The text of a new hash of `password`: Argon2id, as costly as OWASP advises.
    ///
    /// # Errors
    /// When the system has no random numbers for the salt.
    pub fn text_of(password: &[u8]) -> Result<String, password_hash::Error> {
        let params = Params::new(19 * 1024, 2, 1, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(password).map(|hash| hash.to_string())
    }

    /// Whether `password` is the one. Takes long, and a core.
    #[must_use]
    pub fn verifies(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Argon2id => Argon2::default().verify_password(password, self.text.as_str()).is_ok(),
            Kind::Bcrypt => {
                // Beyond 72 bytes, bcrypt looks at the first 72 alone. They are looked at, so that it takes as long.
                let first = password.get(..MOST_BCRYPT_BYTES).unwrap_or(password);
                bcrypt::verify(first, &self.text).unwrap_or(false) && password.len() <= MOST_BCRYPT_BYTES
            }
        }
    }

    /// By which of two hashes a check takes longer, as far as that can be told.
    #[must_use]
    pub fn by_cost(&self) -> impl Ord + use<> {
        (self.kind, self.cost)
    }
}

/// The cost of a bcrypt hash; none when its text is not whole. The library itself reads it only beside a password.
fn bcrypt_cost(text: &str) -> Option<u32> {
    let (cost, rest) = text.get(4..)?.split_once('$')?;
    let is_whole = cost.len() == 2
        && rest.len() == 53
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    cost.parse().ok().filter(|cost| is_whole && *cost >= 4)
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// "open sesame" with 64 KiB and one pass: quick, for tests.
    pub(crate) const ARGON2ID: &str =
        "$argon2id$v=19$m=64,t=1,p=1$TkInt3AC7NHgHeQWvKTPSw$L3MhvtP8JSn6j0rM+/m61BygYPpAfu27OrF8teLAzmQ";
    /// "open sesame" with the least cost.
    pub(crate) const BCRYPT: &str = "$2b$04$tTE325mFhpFcm16tkiDxPeFE5svh8lPuBaIc8NhLQSV3Ddl8TFqOC";

    #[test]
    fn either_kind_verifies_its_password_and_no_other() {
        for text in [ARGON2ID, BCRYPT] {
            let hash = PasswordHash::new(text).expect("a hash");
            assert!(hash.verifies(b"open sesame"));
            for other in ["", "open sesam", "open sesame ", "Open sesame", text] {
                assert!(!hash.verifies(other.as_bytes()), "{other}");
            }
            assert!(!format!("{hash:?}").contains(text));
        }
    }

    #[test]
    fn what_can_be_guessed_is_damaged_or_takes_too_much_is_refused() {
        let bad = |text: &str| PasswordHash::new(text).expect_err("refused");
        for other in ["", "open sesame", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "$apr1$x$y", "$6$x$y", "$argon2i$v=19$x"]
        {
            assert_eq!(bad(other), BadPasswordHash::OtherKind, "{other}");
        }
        for text in [ARGON2ID, BCRYPT] {
            assert_eq!(bad(&text[..text.len() - 20]), BadPasswordHash::Damaged, "{text}");
        }
        assert_eq!(bad("$argon2id$v=19$m=64,t=1,p=1"), BadPasswordHash::Damaged);
        assert_eq!(bad(&ARGON2ID.replace("m=64", "m=300000")), BadPasswordHash::TooCostly);
        assert_eq!(bad(&ARGON2ID.replace("t=1", "t=17")), BadPasswordHash::TooCostly);
        assert_eq!(bad(&BCRYPT.replace("$04$", "$17$")), BadPasswordHash::TooCostly);
    }
}
