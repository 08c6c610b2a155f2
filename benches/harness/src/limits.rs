//! The proof of the rate limits: what they let through, what they cost, and what becomes of them without Redis.

mod accuracy;
mod border;
mod fixed_window;
mod gateway;
mod keys;
mod latency;
mod outage;
mod passes;
mod redis;
mod target;
mod throughput;
mod together;

use std::fs;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::bench::Bench;
use crate::flags::Place;
use crate::sections::section;
use target::Target;

/// What of it, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Extent {
    /// Only these parts, with commas between them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How long limits are kept under load to count what they let through; everything else is long or short in
    /// proportion.
    #[arg(long, default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u32).range(6..=3600))]
    seconds: u32,
}

const DEFAULT_SECONDS: u32 = 60;

/// One measurement, and one section on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How many requests pass around the border of a window, here and with other proxies.
    Border,
    /// How many pass through four gateways that share a limit.
    Accuracy,
    /// What clients see while Redis is away.
    Outage,
    /// What limits cost of the requests per second.
    Throughput,
    /// What a limit in Redis adds to the times of answers.
    Latency,
    /// Memory and errors with very many keys.
    Keys,
}

/// What a part has shown.
struct Shown {
    text: String,
    targets: Vec<Target>,
    picture: Option<String>,
}

impl Default for Extent {
    fn default() -> Self {
        Self { only: Vec::new(), seconds: DEFAULT_SECONDS }
    }
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Border => "limits-border",
            Self::Accuracy => "limits-accuracy",
            Self::Outage => "limits-outage",
            Self::Throughput => "limits-throughput",
            Self::Latency => "limits-latency",
            Self::Keys => "limits-keys",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Border => "Limits: what passes around the border of a window",
            Self::Accuracy => "Limits: what passes through four gateways",
            Self::Outage => "Limits: Redis killed and started anew",
            Self::Throughput => "Limits: what they cost under full load",
            Self::Latency => "Limits: what Redis adds to the times of answers",
            Self::Keys => "Limits: very many keys in bounded memory",
        }
    }

    fn measure(self, bench: &Bench, seconds: u32) -> Result<Shown> {
        match self {
            Self::Border => border::measure(bench, seconds),
            Self::Accuracy => accuracy::measure(bench, seconds),
            Self::Outage => outage::measure(bench, seconds),
            Self::Throughput => throughput::measure(bench, seconds),
            Self::Latency => latency::measure(bench, seconds),
            Self::Keys => keys::measure(bench, seconds),
        }
    }
}

/// Measures the chosen parts, each into its section; one that cannot be measured does not keep the others from it.
///
/// # Errors
/// When one of them could not be measured, or a section cannot be written.
pub(crate) fn run(bench: &Bench, place: &Place, extent: &Extent) -> Result<()> {
    let parts = if extent.only.is_empty() { Part::value_variants() } else { &extent.only };
    let mut failed = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        eprintln!("[{}/{}] {}", number + 1, parts.len(), part.title());
        match part.measure(bench, extent.seconds) {
            Ok(shown) => write(bench, place, *part, shown)?,
            Err(error) => {
                eprintln!("    it cannot be measured: {error:#}");
                failed.push(format!("{}: {error:#}", part.title()));
            }
        }
    }
    if !failed.is_empty() {
        bail!(failed.join("; "));
    }
    Ok(())
}

fn write(bench: &Bench, place: &Place, part: Part, shown: Shown) -> Result<()> {
    let mut text = format!("{}\n\n{}", shown.text.trim_end(), target::table_of(&shown.targets));
    if let Some(picture) = &shown.picture {
        let file = format!("{}.svg", part.name());
        text += &format!("\n![{}]({file})\n", part.title());
        fs::write(bench.directory.join(&file), picture)?;
        if place.write {
            fs::write(bench.results().join(&file), picture)?;
        }
    }
    section(place, part.name(), part.title(), &text)
}
