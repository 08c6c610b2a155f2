//! What a process tells of itself: log lines on standard output, and metrics.

mod json;
pub mod metrics;

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::JsonFields;

use crate::config::{ConfigError, Env, Reader};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err(UnknownLogFormat),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("must be json, pretty or auto")]
struct UnknownLogFormat;

/// Starts the log of this process, which names itself `service` in each line, as `LOG_FORMAT` (`json`, `pretty`, `auto`)
/// and `LOG_LEVEL` (`info`, or a list like `info,common=debug`) say. A second call changes nothing.
///
/// # Errors
/// When one of the variables is wrong.
pub fn init(service: &'static str, env: &Env) -> Result<(), ConfigError> {
    let mut reader = Reader::new(env);
    let format = reader.parsed("LOG_FORMAT", LogFormat::Auto);
    // The servers below announce each start, stop and retry themselves, less well than we do; what Pingora says of a client
    // quotes the request that it could not read, with its tokens, as often as any client likes; and to the embedded store
    // each condition that does not hold is a warning.
    // Who wants them names them.
    let quiet = "pingora=error,pingora_proxy=off,pingora_core::apps=off,poem=warn,dynoxide=error";
    let levels = reader.text("LOG_LEVEL", "info");
    for word in levels.split(',').map(str::trim).filter(|word| !word.contains('=')) {
        // Taken for a module's name, it would silence all others.
        if word.parse::<LevelFilter>().is_err() {
            reader.problem(
                "LOG_LEVEL",
                format_args!("is {levels:?}: {word:?} is none of error, warn, info, debug, trace, off"),
            );
        }
    }
    let filter = EnvFilter::try_new(format!("{quiet},{levels}"))
        .map_err(|error| reader.problem("LOG_LEVEL", format_args!("is {levels:?}: {error}")))
        .ok();
    let filter = reader.finish(filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    let pretty = match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let started = if pretty {
        log.with_target(false).compact().try_init()
    } else {
        log.fmt_fields(JsonFields::new()).event_format(json::JsonLines::new(service)).try_init()
    };
    if started.is_err() {
        tracing::debug!(service, "the log was started before");
    }
    Ok(())
}

/// An error with its causes in one line, for the log: `Display` of an error leaves its source out.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        f.write_str(&told)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries' errors have their cause in their own text.
            if !told.contains(&text) {
                write!(f, ": {text}")?;
                told = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_is_harmless_and_wrong_settings_are_all_named() {
        let quiet = Env::default().with("LOG_LEVEL", "error").with("LOG_FORMAT", "json");
        assert_eq!(init("test", &quiet), Ok(()));
        assert_eq!(init("test", &quiet), Ok(()));
        let wrong = Env::default().with("LOG_LEVEL", "=,=").with("LOG_FORMAT", "xml");
        let error = init("test", &wrong).expect_err("wrong").to_string();
        assert!(error.contains("LOG_FORMAT is \"xml\": must be json") && error.contains("LOG_LEVEL"), "{error}");
        let loud = Env::default().with("LOG_LEVEL", "info,loud");
        let error = init("test", &loud).expect_err("no level").to_string();
        assert!(error.contains("\"loud\" is none of error"), "{error}");
    }

    #[test]
    fn a_chain_shows_every_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("not written")]
        struct NotWritten(#[source] std::io::Error);

        let error = NotWritten(std::io::Error::other("disk full"));
        assert_eq!(Chain(&error).to_string(), "not written: disk full");
        let error = std::io::Error::other(NotWritten(std::io::Error::other("disk full")));
        assert_eq!(Chain(&error).to_string(), "not written: disk full", "and none twice");
    }
}
