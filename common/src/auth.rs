//! Who is asking: access tokens, the secret they are signed with, and passwords.

mod secret;
mod token;

pub use secret::{SigningSecret, WeakSecret};
pub use token::{Algorithm, Claims, IssuedToken, TokenError, TokenIssuer, TokenVerifier, UnknownAlgorithm};
