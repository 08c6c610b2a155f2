//! Measures the services on the embedded store, beside the same on FastAPI and beside a bare endpoint.
//!
//! Linux only: it pins processes to cores and reads `/proc`.

mod client;
mod compare;
mod counting;
mod floor;
mod load;
mod micro;
mod passwords;
mod process;
mod report;
mod requests;
// The same as the gateway's harness has; nothing else of it is in them.
#[path = "../../harness/src/results.rs"]
mod results;
#[path = "../../harness/src/stats.rs"]
mod stats;
mod storm;
mod system;
#[path = "../../harness/src/table.rs"]
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use poem::http::StatusCode;
use tokio::runtime::{Builder, Runtime};

use crate::system::Programs;

/// That of the services, for the bare endpoint and for the hashes measured here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the services beside what they replaced.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures everything and prints a section of Markdown
    Run {
        #[command(flatten)]
        programs: Programs,
        /// Rounds; each visits every system in turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of each measurement
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Only these parts
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["passwords", "compare", "storm"])]
        only: Vec<Part>,
        /// Writes the section to this file too; it has all parts or is not written
        #[arg(long, conflicts_with = "only", num_args = 0..=1, default_missing_value = "benches/RESULTS.md")]
        write: Option<PathBuf>,
    },
    /// Prints criterion's last results as a table
    Micro {
        /// Where criterion keeps them
        #[arg(long, default_value = "target/criterion")]
        directory: PathBuf,
    },
    /// Serves the bare endpoint (the comparison starts this itself)
    #[command(hide = true)]
    Floor { listen: SocketAddr, status: StatusCode, body: PathBuf },
    /// Says how many milliseconds of CPU a hash takes (the comparison starts this itself)
    #[command(hide = true)]
    HashCost { times: u32 },
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Argon2 against its C reference
    Passwords,
    /// Endpoint by endpoint
    Compare,
    /// Others while many log in
    Storm,
}

fn main() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match Args::parse().command {
        Command::Run { programs, rounds, seconds, only, write } => {
            let text = runtime.block_on(run(&programs, rounds, Duration::from_secs(seconds), &only))?;
            println!("{text}");
            write.map_or(Ok(()), |file| results::put(&file, "services", &text))
        }
        Command::Micro { directory } => {
            print!("{}", micro::table(&directory).with_context(|| format!("{}", directory.display()))?);
            Ok(())
        }
        // On the services' kind of runtime.
        Command::Floor { listen, status, body } => Runtime::new()?.block_on(floor::serve(listen, status, &body)),
        Command::HashCost { times } => {
            println!("{}", passwords::cost_here(&runtime, times)?);
            Ok(())
        }
    }
}

async fn run(programs: &Programs, rounds: usize, length: Duration, only: &[Part]) -> Result<String> {
    let mut text = report::heading(programs)?;
    if only.contains(&Part::Passwords) {
        text += &passwords::compare(programs, rounds)?;
    }
    if only.contains(&Part::Compare) {
        text += &compare::compare(programs, rounds, length).await?;
    }
    if only.contains(&Part::Storm) {
        text += &storm::storm(programs, rounds, length).await?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_part_alone_is_not_written_over_the_whole() {
        let write = |flags: &[&str]| match Args::try_parse_from([&["bench", "run"], flags].concat())?.command {
            Command::Run { write, .. } => Ok(write),
            _ => unreachable!("run was asked for"),
        };
        let usual = Some(PathBuf::from("benches/RESULTS.md"));
        assert_eq!(write(&["--write", "--rounds", "1"]).map_err(|error: clap::Error| error.kind()), Ok(usual));
        assert_eq!(write(&[]).map_err(|error| error.kind()), Ok(None));
        let refused = write(&["--write", "--only", "storm"]).map_err(|error| error.kind());
        assert_eq!(refused, Err(clap::error::ErrorKind::ArgumentConflict));
    }
}
