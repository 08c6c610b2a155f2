//! How long it takes to write and to read the cursor of a page.

use std::hint::black_box;

use criterion::Criterion;
use inventory_service::cursor::Scope;

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let scope = Scope::new("assets", &[("category", "stablecoin".to_owned()), ("sort", "name".to_owned())]);
    let position = ("tether".to_owned(), "tether-gold".to_owned());
    let cursor = scope.seal(&position);
    anyhow::ensure!(scope.open::<(String, String)>(&cursor)? == position, "a cursor opens to what it was sealed with");
    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("seal", |bencher| bencher.iter(|| scope.seal(black_box(&position))));
    group.bench_function("open", |bencher| bencher.iter(|| scope.open::<(String, String)>(black_box(&cursor))));
    group.finish();
    Ok(())
}
