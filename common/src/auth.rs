//! Who is asking: access tokens, the secret they are signed with, what a gateway says of it, and passwords.

mod identity_token;
#[cfg(feature = "password")]
mod password;
mod secret;
mod settings;
mod token;

pub use identity_token::{BadIdentityToken, IDENTITY_TOKEN_HEADER, IDENTITY_TOKEN_TYPE, IdentityTokens, SignedRequest};
#[cfg(feature = "password")]
pub use password::{HashingLimits, PasswordError, PasswordHasher, StartHasherError};
pub use secret::{SigningSecret, WeakSecret};
pub use settings::TokenSettings;
pub use token::{Algorithm, Claims, IssuedToken, TokenError, TokenIssuer, TokenVerifier, UnknownAlgorithm};
