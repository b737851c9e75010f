//! The local APIC's part of an exit: register accesses, self-IPI, and interrupts from elsewhere.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up can only stop")]

use criterion::Criterion;
use devices::apic::{ApicBus, Apics, InterruptMessage, Kick, LocalApic, LocalApicConfig, VcpuSet, spec};
use devices::capability::Width;
use std::hint::black_box;
use std::sync::Arc;

/// Surroundings that cost nothing.
#[derive(Default)]
struct Bus {
    kicks: VcpuSet,
}

impl Kick for Bus {
    fn kick(&mut self, vcpu: usize) {
        self.kicks.kick(vcpu);
    }
}

impl ApicBus for Bus {
    fn now_ns(&self) -> u64 {
        1_000_000
    }

    fn host_tsc(&self) -> u64 {
        1_000_000
    }

    fn end_of_interrupt(&mut self, _: u8) {}
}

/// Local APICs enabled by software, in x2APIC mode if wanted.
fn machine(count: u32, x2apic: bool) -> (Vec<LocalApic>, Bus) {
    let ids: Vec<u32> = (0..count).collect();
    let apics = Arc::new(Apics::new(&ids).expect("few vCPUs"));
    let config = LocalApicConfig { physical_address_bits: 40, tsc_deadline_hz: None };
    let mut bus = Bus::default();
    let local = (0..ids.len()).map(|vcpu| {
        let mut apic = LocalApic::new(apics.clone(), vcpu, config).expect("a vCPU there is");
        apic.mmio_write(u64::from(spec::SVR) * 16, Width::Dword, 0x1ff, &mut bus);
        if x2apic {
            apic.set_base(apic.base() | spec::BASE_EXTD).expect("a legal step");
        }
        apic
    });
    (local.collect(), bus)
}

const fn msr(register: u32) -> u32 {
    spec::X2APIC_MSR_BASE + register
}

fn registers(criterion: &mut Criterion) {
    let (mut local, mut bus) = machine(1, true);
    let apic = &mut local[0];
    let mut group = criterion.benchmark_group("apic/register");
    group.bench_function("rdmsr TPR", |bencher| {
        bencher.iter(|| black_box(&mut *apic).read_msr(black_box(msr(spec::TPR)), &bus));
    });
    group.bench_function("wrmsr TPR", |bencher| {
        bencher
            .iter(|| black_box(&mut *apic).write_msr(black_box(msr(spec::TPR)), black_box(0x10), &mut bus));
    });
    group.bench_function("rdmsr timer current count", |bencher| {
        bencher.iter(|| black_box(&mut *apic).read_msr(black_box(msr(spec::TIMER_CURRENT)), &bus));
    });
    group.bench_function("wrmsr timer initial count", |bencher| {
        let register = msr(spec::TIMER_INITIAL);
        bencher.iter(|| black_box(&mut *apic).write_msr(black_box(register), black_box(100_000), &mut bus));
    });
    let (mut local, mut bus) = machine(1, false);
    let apic = &mut local[0];
    group.bench_function("xAPIC store TPR", |bencher| {
        bencher.iter(|| {
            black_box(&mut *apic).mmio_write(black_box(0x80), Width::Dword, black_box(0x10), &mut bus);
        });
    });
    group.finish();
}

fn interrupts(criterion: &mut Criterion) {
    let (mut local, mut bus) = machine(64, true);
    let apics = local[0].apics().clone();
    let mut group = criterion.benchmark_group("apic/interrupt");
    let apic = &mut local[0];
    group.bench_function("nothing pending", |bencher| {
        bencher.iter(|| black_box(&mut *apic).pending_interrupt());
    });
    group.bench_function("self-IPI, taken, EOI", |bencher| {
        bencher.iter(|| {
            let apic = black_box(&mut *apic);
            let sent = apic.write_msr(msr(spec::SELF_IPI), black_box(0xf1), &mut bus);
            if let Some(vector) = apic.pending_interrupt() {
                apic.acknowledge(vector);
            }
            (sent, apic.write_msr(msr(spec::EOI), 0, &mut bus))
        });
    });
    for (name, data, address) in [
        ("MSI to one of 64, taken, EOI", 0x51, 0xfee0_0000),
        ("MSI of lowest priority to one of 64, taken, EOI", 0x151, 0xfee0_0000),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let message = InterruptMessage::from_msi(black_box(address), black_box(data));
                let taken = message.is_some_and(|message| apics.deliver(&message, &mut bus));
                if let Some(vector) = apic.pending_interrupt() {
                    apic.acknowledge(vector);
                }
                (taken, apic.write_msr(msr(spec::EOI), 0, &mut bus))
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    registers(&mut criterion);
    interrupts(&mut criterion);
    criterion.final_summary();
}
