//! Who is asking: access tokens, the secret they are signed with, and passwords.

#[cfg(feature = "password")]
mod password;
mod secret;
mod settings;
mod token;

#[cfg(feature = "password")]
pub use password::{HashingLimits, PasswordError, PasswordHasher, StartHasherError};
pub use secret::{SigningSecret, WeakSecret};
pub use settings::TokenSettings;
pub use token::{Algorithm, Claims, IssuedToken, TokenError, TokenIssuer, TokenVerifier, UnknownAlgorithm};
