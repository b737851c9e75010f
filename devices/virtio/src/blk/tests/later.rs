//! A back end that takes its time: requests are done in any order, and a reset comes in between.

use alloc::vec;

use super::*;

/// Keeps jobs until they are to be done. Those that have begun can't be taken back.
struct Slow {
    disk: Memory,
    begun: Vec<Job>,
    done: Vec<Job>,
    cancelled: u32,
}

impl Backend for Slow {
    const JOBS: usize = 3;

    fn bytes(&self) -> u64 {
        self.disk.bytes()
    }

    fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn start(&mut self, job: Job) {
        assert!(self.begun.len() + self.done.len() < Self::JOBS);
        assert_eq!(job.result, Err(DiskError));
        self.begun.push(job);
    }

    fn take_done(&mut self) -> Option<Job> {
        self.done.pop()
    }

    fn cancel(&mut self) {
        self.cancelled += 1;
    }
}

type Device = Machine<Block<Slow>>;

fn slow(format: crate::queue::Format) -> Device {
    let backend = Slow { disk: Memory::new(1024), begun: vec![], done: vec![], cancelled: 0 };
    Machine::ready(Block::new(backend, BlockConfig { serial: vec![], queues: 2 }), format, 16)
}

impl Device {
    fn slow(&mut self) -> &mut Slow {
        &mut self.function.device_mut().backend
    }

    /// Does the job at that place of those that have begun; the device has not heard of it yet.
    fn carry_out(&mut self, at: usize) {
        let slow = self.slow();
        let mut job = slow.begun.remove(at % slow.begun.len());
        job.carry_out(&mut slow.disk);
        slow.done.push(job);
    }

    fn input(&mut self) {
        self.function.input(&mut self.bench);
    }

    /// Makes a request available. Returns where its data and its status are.
    fn submit(&mut self, queue: usize, kind: u32, sector: u64, data: &[u8]) -> (u64, u64) {
        let header = self.buffer(&header(kind, sector));
        let (gpa, status) = (self.buffer(data), self.buffer(&[0xee]));
        let is_written = kind == spec::kind::IN;
        self.add(queue, &[(header, 16, false), (gpa, data.len() as u32, is_written), (status, 1, true)]);
        self.notify(queue);
        (gpa, status)
    }
}

/// Without indirect descriptors: the table of the tests' driver is one for each queue.
fn direct() -> impl Iterator<Item = crate::queue::Format> {
    formats().filter(|format| !format.indirect)
}

#[test]
fn requests_are_done_in_any_order() {
    for (format, seed) in direct().zip(1..) {
        let mut next = random(seed);
        let mut machine = slow(format);
        let before = machine.slow().disk.bytes.clone();
        // More than there are buffers, and one of several parts.
        let sizes = [512, 70 << 10, 1024, 130 << 10, 512];
        let reads: Vec<_> = (0..5)
            .map(|i| (i, machine.submit(i % 2, kind::IN, 3 * i as u64, &vec![0xee; sizes[i]])))
            .collect();
        assert_eq!(machine.slow().begun.len(), Slow::JOBS);
        let mut steps = 0;
        while !machine.slow().begun.is_empty() {
            machine.carry_out(next() as usize);
            // Several may be done before the device looks.
            if next().is_multiple_of(2) || machine.slow().begun.is_empty() {
                machine.input();
            }
            steps += 1;
        }
        assert_eq!(steps, 1 + 2 + 1 + 3 + 1, "{format:?}");
        for (i, (data, status)) in reads {
            assert_eq!(machine.ram.copy(status, 1), [status::OK]);
            assert_eq!(machine.ram.copy(data, sizes[i]), before[3 * 512 * i..][..sizes[i]], "{i}");
        }
        for queue in [0, 0, 0, 1, 1] {
            assert!(machine.used(queue, 3).is_some());
        }
        assert_eq!((machine.used(0, 3), machine.used(1, 3)), (None, None));
    }
}

#[test]
fn a_write_is_of_the_bytes_at_its_notification() {
    let mut machine = slow(Default::default());
    let (data, status) = machine.submit(0, kind::OUT, 8, &[7; 1024]);
    machine.ram.put(data, &[9; 1024]);
    machine.carry_out(0);
    machine.input();
    assert_eq!(machine.ram.copy(status, 1), [status::OK]);
    assert_eq!(machine.slow().disk.bytes[8 * 512..][..1024], [7; 1024]);
}

#[test]
fn a_reset_drops_what_is_under_way() {
    for format in direct() {
        for done_before in 0..3 {
            let mut machine = slow(format);
            let reads: Vec<_> = (0..5).map(|_| machine.submit(0, kind::IN, 0, &[0xee; 512])).collect();
            (0..done_before).for_each(|_| machine.carry_out(0));
            let cancelled = machine.slow().cancelled;
            machine.start(16);
            assert_eq!(machine.slow().cancelled, cancelled + 1);
            let memory = machine.ram.copy(0, crate::testing::RAM_BYTES);
            (done_before..3).for_each(|_| machine.carry_out(0));
            machine.input();
            assert!(machine.ram.copy(0, crate::testing::RAM_BYTES) == memory, "{format:?}");
            for (data, status) in reads {
                assert_eq!(
                    (machine.ram.copy(data, 512), machine.ram.copy(status, 1)),
                    (vec![0xee; 512], vec![0xee])
                );
            }
            assert_eq!((machine.isr(), machine.used(0, 3)), (0, None));
            // It works, with all of its buffers.
            let again: Vec<_> = (0..3).map(|_| machine.submit(1, kind::IN, 0, &[0xee; 512])).collect();
            assert_eq!(machine.slow().begun.len(), 3);
            (0..3).for_each(|_| machine.carry_out(0));
            machine.input();
            assert!(again.iter().all(|(_, status)| machine.ram.copy(*status, 1) == [status::OK]));
        }
    }
}

/// Jobs of before the reset have all buffers: the first request behind it waits, and is not forgotten.
#[test]
fn a_request_behind_a_reset_waits_for_a_buffer() {
    let mut machine = slow(Default::default());
    for _ in 0..3 {
        machine.submit(0, kind::IN, 0, &[0xee; 512]);
    }
    machine.start(16);
    let (_, status) = machine.submit(1, kind::IN, 0, &[0xee; 512]);
    assert_eq!(machine.ram.copy(status, 1), [0xee]);
    machine.carry_out(0);
    machine.input();
    machine.carry_out(2);
    machine.input();
    assert_eq!(machine.ram.copy(status, 1), [status::OK]);
}

#[test]
fn an_error_ends_a_request_of_several_parts() {
    let mut machine = slow(Default::default());
    let (_, status) = machine.submit(0, kind::OUT, 0, &vec![1; 200 << 10]);
    machine.carry_out(0);
    machine.input();
    machine.slow().disk.is_broken = true;
    machine.carry_out(0);
    machine.input();
    assert_eq!(machine.ram.copy(status, 1), [status::IO_ERROR]);
    assert!(machine.slow().begun.is_empty());
    assert_eq!(machine.used(0, 3), Some(1));
}

/// A driver that breaks a ring while requests run gets nothing more until it resets the device.
#[test]
fn nothing_is_given_back_to_a_device_that_has_given_up() {
    let mut machine = slow(Default::default());
    let (data, status) = machine.submit(0, kind::IN, 0, &[0xee; 512]);
    machine.add(1, &[(1 << 40, 16, false), (data, 1, true)]);
    machine.notify(1);
    assert_eq!(machine.status() & pci::status::NEEDS_RESET, pci::status::NEEDS_RESET);
    machine.carry_out(0);
    machine.input();
    assert_eq!((machine.ram.copy(status, 1), machine.used(0, 3)), (vec![0xee], None));
    machine.start(16);
    let (_, status) = machine.submit(0, kind::IN, 0, &[0xee; 512]);
    machine.carry_out(0);
    machine.input();
    assert_eq!(machine.ram.copy(status, 1), [status::OK]);
}

#[test]
fn zeroes_are_written_by_pieces() {
    let disk = Memory { bytes: vec![1; 3 << 20], ..Memory::new(0) };
    let backend = Slow { disk, begun: vec![], done: vec![], cancelled: 0 };
    let device = Block::new(backend, BlockConfig { serial: vec![], queues: 1 });
    let mut machine = Machine::ready(device, Default::default(), 16);
    let (_, status) = machine.submit(0, kind::WRITE_ZEROES, 0, &range(1, 5000, 0));
    for _ in 0..3 {
        assert_eq!(machine.ram.copy(status, 1), [0xee]);
        machine.carry_out(0);
        machine.input();
    }
    assert_eq!(machine.ram.copy(status, 1), [status::OK]);
    let bytes = &machine.slow().disk.bytes;
    assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), 5000 * 512);
    assert_eq!((bytes[511], bytes[512], bytes[5001 * 512]), (1, 0, 1));
}
