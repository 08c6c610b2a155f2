//! How long each part takes that requests pass, alone: `cargo bench --bench micro [-- NAME]`.
//!
//! What whole processes take, with sockets and the kernel between them, is measured elsewhere.

mod admission;
mod configuration;
mod cursors;
mod expressions;
mod limits;
mod passwords;
mod router;
mod signing;
mod tokens;

use criterion::Criterion;

/// That of the shipped programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    router::bench(&mut criterion)?;
    tokens::bench(&mut criterion)?;
    signing::bench(&mut criterion)?;
    limits::bench(&mut criterion)?;
    admission::bench(&mut criterion)?;
    expressions::bench(&mut criterion)?;
    configuration::bench(&mut criterion)?;
    passwords::bench(&mut criterion)?;
    cursors::bench(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
