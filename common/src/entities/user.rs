//! An account and the values it is made of.

use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

use super::InvalidValue;
use crate::ids::UserId;

/// One account.
#[derive(Clone, Debug)]
pub struct User {
    /// Its identity; never changes.
    pub id: UserId,
    /// Unique among all accounts.
    pub username: Username,
    /// Unique among all accounts.
    pub email: Email,
    /// Given name.
    pub first_name: PersonName,
    /// Family name.
    pub last_name: PersonName,
    /// The password's Argon2id hash in PHC form.
    pub password_hash: PasswordHash,
    /// When the account was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1; a write names the version it read, so that no change is lost.
    pub version: u64,
}

/// A login name: 3 to 32 of `a-z 0-9 . _ -`, beginning with a letter or digit.
///
/// Width and case are folded (NFKC, then lower case) before the check, so that `ＡＬＩＣＥ` and `Alice` are `alice`,
/// and letters of other scripts that only look like these are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

impl Username {
    const LENGTH: std::ops::RangeInclusive<usize> = 3..=32;

    /// Folds and checks `text`.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let folded = fold(text, *Self::LENGTH.end())?;
        if !Self::LENGTH.contains(&folded.len()) {
            return Err(InvalidValue::new("must have 3 to 32 characters"));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if !folded.chars().all(allowed) {
            return Err(InvalidValue::new("may only have the letters a-z, digits, '.', '_' and '-'"));
        }
        if !folded.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(InvalidValue::new("must begin with a letter or a digit"));
        }
        Ok(Self(folded))
    }

    /// The folded name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address, folded like a [`Username`], at most 254 characters (RFC 5321, section 4.5.3.1.3).
///
/// `Debug` hides the address, for it must not reach a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    const MAX_LENGTH: usize = 254;
    const MAX_LOCAL_LENGTH: usize = 64;

    /// Folds and checks `text`: one `@`, a dot-atom before it, a host name with a dot behind it.
    ///
    /// # Errors
    /// Says that `text` is no address.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue::new("must be an e-mail address like name@example.com");
        let folded = fold(text, Self::MAX_LENGTH)?;
        let (local, host) = folded.split_once('@').ok_or_else(invalid)?;
        let atom = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
        let dots_inside = |s: &str| !s.is_empty() && s.split('.').all(|part| !part.is_empty());
        let label = |s: &str| {
            (1..=63).contains(&s.len())
                && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !s.starts_with('-')
                && !s.ends_with('-')
        };
        let valid = local.len() <= Self::MAX_LOCAL_LENGTH
            && local.chars().all(atom)
            && dots_inside(local)
            && host.contains('.')
            && host.split('.').all(label);
        if valid { Ok(Self(folded)) } else { Err(invalid()) }
    }

    /// The folded address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(hidden)")
    }
}

/// A given or family name in NFC: 1 to 100 characters, none of them a control or bidirectional one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    const MAX_LENGTH: usize = 100;

    /// Trims, composes (NFC) and checks `text`.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let name: String = text.trim().nfc().take(Self::MAX_LENGTH + 1).collect();
        match name.chars().count() {
            0 => Err(InvalidValue::new("must not be empty")),
            n if n > Self::MAX_LENGTH => Err(InvalidValue::new("must have at most 100 characters")),
            _ if name.chars().any(is_invisible) => {
                Err(InvalidValue::new("must not have control or invisible characters"))
            }
            _ => Ok(Self(name)),
        }
    }

    /// The composed name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password as it was typed, composed (NFKC, as NIST SP 800-63B-4, section 3.1.1.2 advises): 12 to 128 characters of any kind.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    const LENGTH: std::ops::RangeInclusive<usize> = 12..=128;

    /// Composes and checks `text` as the password of a new account.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let password = Self::typed(text);
        if Self::LENGTH.contains(&password.expose().chars().count()) {
            Ok(password)
        } else {
            Err(InvalidValue::new("must have 12 to 128 characters"))
        }
    }

    /// Composes `text` as somebody typed it to log in. Only its size is bounded: a password that an older rule allowed
    /// still opens its account.
    #[must_use]
    pub fn typed(text: &str) -> Self {
        Self(SecretString::from(text.nfkc().take(Self::LENGTH.end() + 1).collect::<String>()))
    }

    /// What is hashed.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// An Argon2id hash in PHC string form. `Debug` hides it.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes over a hash that [`crate::auth`] made or the store kept.
    #[must_use]
    pub fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// NFKC and lower case, so that width, ligatures and case make no difference. Bounded: a longer text is refused before
/// it is folded whole.
fn fold(text: &str, max_length: usize) -> Result<String, InvalidValue> {
    let folded: String = text.trim().nfkc().flat_map(char::to_lowercase).take(max_length + 1).collect();
    if folded.chars().count() > max_length {
        return Err(InvalidValue::new(format!("must have at most {max_length} characters")));
    }
    Ok(folded)
}

/// Control characters, and those that change how their neighbours are shown without being seen themselves.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_width_make_no_other_username() {
        let plain = Username::parse("alice").expect("valid");
        for look_alike in ["Alice", "ALICE", " alice ", "ａｌｉｃｅ", "ＡＬＩＣＥ"] {
            assert_eq!(Username::parse(look_alike).expect(look_alike), plain);
        }
    }

    #[test]
    fn usernames_outside_the_alphabet_are_refused() {
        for bad in
            ["", "al", "аlice" /* Cyrillic а */, "al ice", "al\u{200B}ice", ".alice", "a\0bc", "ali\u{202E}ce"]
        {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Username::parse(&"a".repeat(33)).is_err());
        assert!(Username::parse(&"a".repeat(32)).is_ok());
    }

    #[test]
    fn email_is_folded_and_checked() {
        assert_eq!(Email::parse(" Ann.B+x@Example.COM ").expect("valid").as_str(), "ann.b+x@example.com");
        for bad in ["", "a", "a@b", "@b.com", "a@.com", "a..b@c.com", "a@b@c.com", "a b@c.com", "a@-b.com", "a\n@b.com"]
        {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn person_names_keep_their_script_but_hide_nothing() {
        assert_eq!(PersonName::parse(" Zoe\u{308} ").expect("valid").as_str(), "Zoë");
        assert!(PersonName::parse("李小龙").is_ok());
        for bad in ["", "   ", "a\u{202E}b", "a\u{61C}b", "a\u{2028}b", "a\u{E0041}b", "a\tb", "a\u{200B}"] {
            assert!(PersonName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let password = Password::parse("correct horse battery").expect("valid");
        let hash = PasswordHash::from_phc("$argon2id$v=19$secret".into());
        let email = Email::parse("ann@example.com").expect("valid");
        let shown = format!("{password:?} {hash:?} {email:?}");
        assert!(!shown.contains("horse") && !shown.contains("argon2id") && !shown.contains("ann@"), "{shown}");
    }
}
