//! Reads typed settings out of an [`Env`], and reports everything that is wrong with them at once.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use super::Env;

/// Reads settings one by one and keeps every problem until [`Reader::finish`].
///
/// ```
/// use common::config::{Env, Reader};
///
/// let env = Env::default().with("WORKERS", "many").with("DEBUG", "perhaps");
/// let mut reader = Reader::new(&env);
/// let workers = reader.parsed("WORKERS", 4_u16);
/// let debug = reader.flag("DEBUG", false);
/// let error = reader.finish(Some((workers, debug))).unwrap_err();
/// assert_eq!(error.to_string().lines().count(), 2);
/// ```
pub struct Reader<'a> {
    env: &'a Env,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of `env` that has found no problem yet.
    #[must_use]
    pub const fn new(env: &'a Env) -> Self {
        Self { env, problems: Vec::new() }
    }

    /// The variable as it stands, if it is set.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        self.env.get(name).map(str::to_owned)
    }

    /// The variable as it stands, or `default`.
    #[must_use]
    pub fn text(&self, name: &str, default: &str) -> String {
        self.env.get(name).unwrap_or(default).to_owned()
    }

    /// The variable, which nobody may see, if it is set.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.env.get(name).map(SecretString::from)
    }

    /// The variable, which nobody may see. That it is missing is a problem; `what_to_do` tells the reader how to set it.
    pub fn required_secret(&mut self, name: &str, what_to_do: &str) -> Option<SecretString> {
        let secret = self.secret(name);
        if secret.is_none() {
            self.problem(name, format_args!("is not set; {what_to_do}"));
        }
        secret
    }

    /// The variable as a `T`, or `default`. After a problem the result is `default` and [`Reader::finish`] fails.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T) -> T {
        let Some(value) = self.env.get(name) else { return default };
        match value.parse() {
            Ok(parsed) => parsed,
            Err(error) => {
                self.problem(name, format_args!("is {value:?}: {error}"));
                default
            }
        }
    }

    /// The variable as the address of a listener, or `default`.
    pub fn addr(&mut self, name: &str, default: SocketAddr) -> SocketAddr {
        let Some(value) = self.env.get(name) else { return default };
        value.parse().unwrap_or_else(|_| {
            self.problem(name, format_args!("is {value:?}: must be an IP address and a port, like {default}"));
            default
        })
    }

    /// The variable as yes (`true`, `1`, `yes`, `on`) or no (`false`, `0`, `no`, `off`), or `default`.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        let Some(value) = self.env.get(name) else { return default };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.problem(name, format_args!("is {value:?}: must be true or false"));
                default
            }
        }
    }

    /// The variable as a whole number of minutes, at least one, or `default`.
    pub fn minutes(&mut self, name: &str, default: Duration) -> Duration {
        let Some(value) = self.env.get(name) else { return default };
        match value.parse::<u32>() {
            Ok(minutes @ 1..) => Duration::from_secs(u64::from(minutes) * 60),
            _ => {
                self.problem(name, format_args!("is {value:?}: must be a whole number of minutes, at least 1"));
                default
            }
        }
    }

    /// The variable as a whole number of seconds, which may be 0, or `default`.
    pub fn seconds(&mut self, name: &str, default: Duration) -> Duration {
        let Some(value) = self.env.get(name) else { return default };
        value.parse::<u32>().map_or_else(
            |_| {
                self.problem(name, format_args!("is {value:?}: must be a whole number of seconds"));
                default
            },
            |seconds| Duration::from_secs(u64::from(seconds)),
        )
    }

    /// Adds a problem with `name`; `what` follows the name in a sentence and holds no secret.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("{name} {what}"));
    }

    /// The configuration that was put together, which is there if nothing required was missing.
    ///
    /// # Errors
    /// Every problem found since [`Reader::new`].
    pub fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(self.problems)),
        }
    }
}

/// Everything that is wrong with the environment; one line for each problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once() {
        let env = Env::default()
            .with("ADDR", "localhost")
            .with("COUNT", "-1")
            .with("FLAG", "maybe")
            .with("LIFETIME", "0")
            .with("PAUSE", "1.5");
        let mut reader = Reader::new(&env);
        reader.addr("ADDR", ([0, 0, 0, 0], 80).into());
        reader.parsed("COUNT", 1_u8);
        reader.flag("FLAG", true);
        reader.minutes("LIFETIME", Duration::ZERO);
        reader.seconds("PAUSE", Duration::ZERO);
        let secret = reader.required_secret("SECRET", "make one with: openssl rand -hex 32");
        let error = reader.finish(secret.map(drop)).expect_err("six problems").to_string();
        let names: Vec<_> = error.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["ADDR", "COUNT", "FLAG", "LIFETIME", "PAUSE", "SECRET"]);
        assert!(error.contains("like 0.0.0.0:80") && error.ends_with("make one with: openssl rand -hex 32"), "{error}");
    }

    #[test]
    fn values_are_read_and_defaults_fill_the_gaps() {
        let env = Env::default().with("LIFETIME", "5").with("FLAG", "Yes").with("EMPTY", "");
        let mut reader = Reader::new(&env);
        assert_eq!(reader.minutes("LIFETIME", Duration::ZERO), Duration::from_secs(300));
        assert!(reader.flag("FLAG", false));
        assert_eq!(reader.text("EMPTY", "default"), "default");
        assert_eq!(reader.parsed("ABSENT", 7_u8), 7);
        assert_eq!(reader.finish(Some(())), Ok(()));
    }
}
