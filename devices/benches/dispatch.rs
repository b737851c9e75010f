//! Finding the owner of an exit: ports, MMIO, CPUID leaves and MSRs, with few and with a thousand regions.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up can only stop")]

use criterion::{BenchmarkId, Criterion};
use devices::{
    bus::{DeviceId, MmioClaim, MmioMap, PortClaim, PortMap},
    capability::Width,
    cpuid::{CpuidPolicy, CpuidTable, Leaf, Live},
    msr::MsrFile,
    pci, pm, rtc, uart,
};
use std::hint::black_box;

/// The chipset's MMIO ranges, and as many more as it takes.
fn mmio(regions: u16) -> MmioMap {
    let fixed = [(0xfec0_0000, 0x1000), (0xfed0_0000, 0x400), (pci::spec::ECAM_GPA, pci::spec::ECAM_BYTES)];
    let more = (0..u64::from(regions)).map(|i| (0xf000_0000 + i * 0x2000, 0x1000));
    let claims: Vec<MmioClaim> = fixed
        .into_iter()
        .chain(more)
        .enumerate()
        .map(|(id, (gpa, bytes))| MmioClaim { device: DeviceId(id as u16), gpa, bytes })
        .collect();
    MmioMap::new(&claims).expect("claims that do not overlap")
}

fn ports() -> PortMap {
    let com1 = uart::spec::COM[0].ports();
    let devices = [&com1[..], rtc::spec::PORTS, pm::spec::PORTS, pci::spec::PORTS];
    let claims: Vec<PortClaim> = devices
        .into_iter()
        .enumerate()
        .flat_map(|(id, ports)| PortClaim::each(DeviceId(id as u16), ports))
        .collect();
    PortMap::new(&claims).expect("claims that do not overlap")
}

fn bus(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch/bus");
    let map = ports();
    for (name, port, width) in [("byte", 0x3f8, Width::Byte), ("dword", 0xcf8, Width::Dword)] {
        group.bench_function(BenchmarkId::new("port", name), |bencher| {
            bencher.iter(|| map.sole_owner(black_box(port), black_box(width)));
        });
    }
    for regions in [0, 1000] {
        let map = mmio(regions);
        let gpas = [("small", 0xfec0_0010), ("ecam", 0xe000_8000), ("absent", 0xfed4_0000u64)];
        for (name, gpa) in gpas {
            group.bench_function(BenchmarkId::new(name, regions + 3), |bencher| {
                bencher.iter(|| map.find(black_box(gpa)));
            });
        }
    }
    group.finish();
}

fn policy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch/policy");
    let mut host = |_, _| Leaf { eax: u32::MAX, ebx: 0x400, ecx: u32::MAX, edx: u32::MAX };
    let table = CpuidTable::new(&mut host, &CpuidPolicy::new(0, 2, 2_000_000_000));
    let live = Live { cr4: 1 << 18, xcr0: 7, ..Live::default() };
    for (name, leaf) in [("0", 0), ("1", 1), ("0Dh", 0x0d), ("4000_0000h", 0x4000_0000)] {
        group.bench_function(BenchmarkId::new("CPUID", name), |bencher| {
            bencher.iter(|| table.lookup(black_box(leaf), black_box(0), &live));
        });
    }
    let mut file = MsrFile::new();
    for (name, msr) in [("x2APIC TPR", 0x808), ("MTRR", 0x250), ("unknown", 0x1234)] {
        group.bench_function(BenchmarkId::new("RDMSR", name), |bencher| {
            bencher.iter(|| file.read(black_box(msr)));
        });
    }
    group.bench_function("WRMSR/MTRR", |bencher| {
        bencher.iter(|| file.write(black_box(0x250), black_box(0x0606_0606_0606_0606)));
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    bus(&mut criterion);
    policy(&mut criterion);
    criterion.final_summary();
}
