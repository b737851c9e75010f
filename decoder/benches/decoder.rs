//! The work that `decoder-cost` counts, by time: decoding, page walks, fetching and emulating `mov` and `rep movs`, with
//! caches and without.

use criterion::Criterion;
use decoder_oracle::cost::{Vcpu, WORK};
use std::hint::black_box;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decoder");
    for (name, work) in WORK {
        let mut vcpu = Vcpu::new();
        group.bench_function(name, |bencher| bencher.iter(|| black_box(work)(&mut vcpu)));
    }
    group.finish();
    criterion.final_summary();
}
