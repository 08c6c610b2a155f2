//! Makes the hash of a password, as `basic_auth` has it.

use std::io::{self, BufRead, ErrorKind, IsTerminal as _, Read, Stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};

use super::values::PasswordHash;

/// With a name before it, a longer one is not read in a request.
const MOST_BYTES: u64 = 512;

/// The hash of the password that somebody types twice, unseen, or that standard input holds where it is no terminal.
///
/// # Errors
/// When there is none, it is none that a client could send, or what was typed is not the same twice.
pub fn hash_typed_password() -> io::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return hash_password(stdin.lock());
    }
    let (typed, again) = {
        let _unseen = Unseen::begin(&stdin)?;
        (ask(&stdin, "Password: ")?, ask(&stdin, "The same again: ")?)
    };
    if typed.expose_secret() != again.expose_secret() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "these were two passwords"));
    }
    hash_password(typed.expose_secret().as_bytes())
}

/// The hash of the password that `input` holds; a line end behind it is no part of it.
///
/// # Errors
/// When it cannot be read, or is none that a client could send (RFC 7617, section 2).
pub fn hash_password(input: impl Read) -> io::Result<String> {
    let mut text = String::new();
    input.take(MOST_BYTES + 3).read_to_string(&mut text)?;
    let text = SecretString::from(text);
    let password = without_line_end(text.expose_secret());
    if password.is_empty() || password.len() as u64 > MOST_BYTES || password.contains(char::is_control) {
        let wanted = "a password of 1 to 512 bytes is wanted on standard input, without control characters";
        return Err(io::Error::new(ErrorKind::InvalidInput, wanted));
    }
    PasswordHash::text_of(password.as_bytes()).map_err(io::Error::other)
}

fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

fn ask(stdin: &Stdin, question: &str) -> io::Result<SecretString> {
    eprint!("{question}");
    let mut line = String::new();
    stdin.lock().take(MOST_BYTES + 3).read_line(&mut line)?;
    eprintln!();
    Ok(SecretString::from(line))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen<'t> {
    terminal: &'t Stdin,
    before: Termios,
}

impl<'t> Unseen<'t> {
    fn begin(terminal: &'t Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut unseen = before.clone();
        unseen.local_modes -= LocalModes::ECHO;
        // What was typed before was seen, and is no password.
        tcsetattr(terminal, OptionalActions::Flush, &unseen)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_and_is_made_anew_each_time() {
        let hash = hash_password(&b"open sesame\n"[..]).expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let read = PasswordHash::new(&hash).expect("the gateway takes it");
        assert!(read.verifies(b"open sesame") && !read.verifies(b"open sesame\n"));
        assert_ne!(hash_password(&b"open sesame\r\n"[..]).expect("a hash"), hash, "with a salt of its own");
    }

    #[test]
    fn what_no_client_could_send_is_no_password() {
        for bad in ["", "\n", "two\nlines", "\u{1b}[A", &"x".repeat(513)] {
            assert!(hash_password(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(hash_password(&b"\xff\xfe"[..]).is_err(), "no text");
        assert!(hash_password(format!("{}\r\n", "x".repeat(512)).as_bytes()).is_ok());
    }
}
