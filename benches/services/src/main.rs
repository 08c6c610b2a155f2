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
mod stats;
mod storm;
mod system;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
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
    },
    /// Prints criterion's last results as a table
    Micro {
        /// Where criterion keeps them
        #[arg(long, default_value = "target/criterion")]
        directory: PathBuf,
    },
    /// Serves the bare endpoint (the comparison starts this itself)
    #[command(hide = true)]
    Floor { listen: SocketAddr, body: PathBuf },
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
        Command::Run { programs, rounds, seconds, only } => {
            runtime.block_on(run(&programs, rounds, Duration::from_secs(seconds), &only))
        }
        Command::Micro { directory } => {
            print!("{}", micro::table(&directory).with_context(|| format!("{}", directory.display()))?);
            Ok(())
        }
        // On the services' kind of runtime.
        Command::Floor { listen, body } => Runtime::new()?.block_on(floor::serve(listen, &body)),
        Command::HashCost { times } => {
            println!("{}", passwords::cost_here(&runtime, times)?);
            Ok(())
        }
    }
}

async fn run(programs: &Programs, rounds: usize, length: Duration, only: &[Part]) -> Result<()> {
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
    println!("{text}");
    Ok(())
}
