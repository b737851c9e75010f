//! The work that `decoder-cost` counts, by time: decoding, page walks, fetching and emulating `mov` and `rep
//! movs`, anew and cached.

use criterion::Criterion;
use decoder_oracle::cost::{Vcpu, WORK};
use std::hint::black_box;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decoder");
    for work in WORK {
        for (suffix, work_once) in [("", Some(work.anew)), (", cached", work.cached)] {
            let Some(work_once) = work_once else { continue };
            let mut vcpu = Vcpu::new();
            let name = format!("{}{suffix}", work.name);
            group.bench_function(name, |bencher| bencher.iter(|| black_box(work_once)(&mut vcpu)));
        }
    }
    group.finish();
    criterion.final_summary();
}
