//! How tokens are signed here: the variables that issuer and verifiers must agree on.

use std::time::Duration;

use super::{Algorithm, SigningSecret, TokenIssuer, TokenVerifier};
use crate::config::Reader;

/// Secret, algorithm, names and lifetime of tokens.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// What signs them.
    pub secret: SigningSecret,
    /// How they are signed.
    pub algorithm: Algorithm,
    /// Who issues them.
    pub issuer: String,
    /// Whom they are for.
    pub audience: String,
    /// How long they count.
    pub lifetime: Duration,
}

impl TokenSettings {
    const ISSUER_AND_AUDIENCE: &str = "order-processor";

    /// Reads `JWT_SECRET_KEY` (required), `JWT_ALGORITHM`, `JWT_ISSUER`, `JWT_AUDIENCE` and `JWT_EXPIRATION_MINUTES`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let algorithm = reader.parsed("JWT_ALGORITHM", Algorithm::Hs256);
        let lifetime = reader.minutes("JWT_EXPIRATION_MINUTES", Duration::from_secs(3600));
        let issuer = reader.text("JWT_ISSUER", Self::ISSUER_AND_AUDIENCE);
        let audience = reader.text("JWT_AUDIENCE", Self::ISSUER_AND_AUDIENCE);
        let secret = reader.required_secret("JWT_SECRET_KEY", "make one with: openssl rand -hex 32")?;
        match SigningSecret::new(secret) {
            Ok(secret) => Some(Self { secret, algorithm, issuer, audience, lifetime }),
            Err(weak) => {
                reader.problem("JWT_SECRET_KEY", format_args!("is too weak: {weak}"));
                None
            }
        }
    }

    /// An issuer of such tokens.
    #[must_use]
    pub fn issuer(&self) -> TokenIssuer {
        let (issuer, audience) = (self.issuer.clone(), self.audience.clone());
        TokenIssuer::new(&self.secret, self.algorithm, issuer, audience, self.lifetime)
    }

    /// A verifier of such tokens.
    #[must_use]
    pub fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new(&self.secret, self.algorithm, &self.issuer, &self.audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    #[test]
    fn a_weak_secret_and_an_unknown_algorithm_are_both_reported_and_the_secret_is_not_shown() {
        let env = Env::default().with("JWT_SECRET_KEY", "your-secret-key").with("JWT_ALGORITHM", "none");
        let mut reader = Reader::new(&env);
        let settings = TokenSettings::read(&mut reader);
        let error = reader.finish(settings).expect_err("two problems").to_string();
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(error.contains("JWT_ALGORITHM") && error.contains("JWT_SECRET_KEY is too weak"), "{error}");
        assert!(!error.contains("your-secret-key"), "{error}");
    }
}
