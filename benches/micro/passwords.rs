//! How long one password hash takes, through the hasher of the services.
//!
//! The same in C stands beside it in the comparison of the services, for only there is Python's binding at hand.

use std::num::NonZeroUsize;
use std::sync::Arc;

use common::auth::{HashingLimits, PasswordHasher};
use common::entities::Password;
use criterion::Criterion;
use prometheus::Registry;

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let limits = HashingLimits { workers: NonZeroUsize::MIN, queue: 1 };
    let hasher = Arc::new(PasswordHasher::new(limits, &Registry::new())?);
    let stored = runtime.block_on(hasher.hash(Password::typed("correct horse battery staple")))?;
    let verify =
        || runtime.block_on(hasher.verify(Password::typed("correct horse battery staple"), Some(stored.clone())));
    anyhow::ensure!(verify()?, "the password is the right one");
    let mut group = criterion.benchmark_group("password");
    group.sample_size(50);
    group.bench_function("verify", |bencher| bencher.iter(verify));
    group.finish();
    Ok(())
}
