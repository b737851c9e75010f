use core::sync::atomic::{AtomicU32, Ordering};

use devices::capability::PowerEvent;

use super::*;

/// The registers reach nothing of the board.
struct Nothing;

impl Platform for Nothing {
    fn now_ns(&self) -> u64 {
        0
    }

    fn set_line(&mut self, _: u8, _: bool) {}

    fn power(&mut self, _: PowerEvent) {}
}

/// A device, and the executing side: its response is the command, backwards.
struct Desk<W> {
    device: TpmDevice<W>,
    exchange: Arc<Exchange>,
}

fn desk(interface: TpmInterface, wakes: &AtomicU32) -> Desk<impl Fn() + Send> {
    let exchange = Arc::new(Exchange::default());
    let wake = move || {
        wakes.fetch_add(1, Ordering::Relaxed);
    };
    Desk { device: TpmDevice::new(interface, true, exchange.clone(), wake), exchange }
}

impl<W: Fn() + Send> Desk<W> {
    fn write(&mut self, offset: u64, value: u64, width: Width) {
        self.device.mmio_write(offset, width, value, &mut Nothing);
    }

    fn read(&mut self, offset: u64, width: Width) -> u64 {
        self.device.mmio_read(offset, width, &mut Nothing)
    }

    fn execute(&self) -> bool {
        self.exchange.execute(|order, response| match order {
            Order::Command { bytes, .. } => response.extend(bytes.iter().rev()),
            Order::Presence(request) => response.push(request.operation as u8),
        })
    }

    /// A command of ten bytes, the last of which is `mark`, by the FIFO.
    fn send(&mut self, mark: u64) {
        // Twice: out of a command it leads to Idle first.
        self.write(0x18, 0x40, Width::Byte);
        self.write(0x18, 0x40, Width::Byte);
        for byte in [0x80, 1, 0, 0, 0, 10, 0, 0, 1, mark] {
            self.write(0x24, byte, Width::Byte);
        }
        self.write(0x18, 0x20, Width::Byte);
    }
}

const START: u64 = 0x4c;

#[test]
fn a_command_by_the_command_response_buffer() {
    let wakes = AtomicU32::new(0);
    let mut desk = desk(TpmInterface::Crb, &wakes);
    assert_eq!(desk.device.acpi(), [AcpiEntry::Tpm(TpmInterface::Crb)]);
    desk.write(0x08, 1, Width::Dword);
    desk.write(0x40, 1, Width::Dword);
    // In one access of eight bytes and one of two.
    desk.write(0x80, 0x0000_0a00_0000_0180, Width::Qword);
    desk.write(0x88, 0x7b01, Width::Word);
    desk.write(START, 1, Width::Dword);
    assert_eq!((desk.read(START, Width::Dword), wakes.load(Ordering::Relaxed)), (1, 1));
    // Cancelling changes nothing: the response still comes.
    desk.write(0x48, 1, Width::Dword);
    assert!(desk.execute());
    assert_eq!(desk.read(START, Width::Dword), 0);
    assert_eq!(desk.read(0x80, Width::Word), 0x017b);
}

#[test]
fn a_command_that_was_given_up_does_not_disturb_the_next() {
    let wakes = AtomicU32::new(0);
    let mut desk = desk(TpmInterface::Fifo, &wakes);
    desk.write(0, 2, Width::Byte);
    desk.send(1);
    // Two more while the first is executed: the second is never executed, the third is.
    desk.send(2);
    desk.send(3);
    assert!(desk.execute());
    assert_eq!(desk.read(0x18, Width::Byte) & 0x10, 0, "the response of the first is not the third's");
    assert_eq!(wakes.load(Ordering::Relaxed), 2);
    assert!(desk.execute());
    assert_eq!(desk.read(0x18, Width::Byte) & 0x10, 0x10);
    assert_eq!(desk.read(0x24, Width::Byte), 3);
    assert!(!desk.execute());
}

#[test]
fn any_access_of_any_register_has_a_value() {
    for interface in [TpmInterface::Crb, TpmInterface::Fifo] {
        let wakes = AtomicU32::new(0);
        let mut desk = desk(interface, &wakes);
        for width in [Width::Byte, Width::Word, Width::Dword, Width::Qword] {
            for offset in (0..DEVICE_BYTES).chain([u64::MAX]) {
                assert_eq!(desk.read(offset, width) & !width.mask(), 0);
                desk.write(offset, width.mask(), width);
                desk.execute();
            }
        }
    }
}

const OPERATION: u64 = PRESENCE_OFFSET;
const SUBMIT: u64 = PRESENCE_OFFSET + 8;
const BUSY: u64 = 0x8000_0000;

#[test]
fn a_request_waits_for_the_command_that_is_executed() {
    let wakes = AtomicU32::new(0);
    let mut desk = desk(TpmInterface::Fifo, &wakes);
    desk.write(0, 2, Width::Byte);
    desk.send(1);
    desk.write(OPERATION, 5, Width::Dword);
    desk.write(SUBMIT, 1, Width::Dword);
    assert_eq!((desk.read(SUBMIT, Width::Dword), wakes.load(Ordering::Relaxed)), (BUSY, 1));
    assert!(desk.execute());
    // The response of the command is the registers', and not the request's.
    assert_eq!((desk.read(SUBMIT, Width::Dword), wakes.load(Ordering::Relaxed)), (BUSY, 2));
    assert_eq!(desk.read(0x24, Width::Byte), 1);
    // Another command waits for the request, and another request for both.
    desk.send(2);
    desk.write(OPERATION, 6, Width::Dword);
    desk.write(SUBMIT, 1, Width::Dword);
    assert!(desk.execute());
    assert_eq!(desk.read(SUBMIT, Width::Dword), BUSY, "that was the first one's");
    assert!(desk.execute());
    assert_eq!(desk.read(0x24, Width::Byte), 2);
    assert!(desk.execute());
    assert_eq!(desk.read(SUBMIT, Width::Dword), 6);
    assert!(!desk.execute());
}

#[test]
fn registers_of_presence_are_accessed_as_a_whole() {
    let wakes = AtomicU32::new(0);
    let mut desk = desk(TpmInterface::Crb, &wakes);
    desk.write(OPERATION, 5, Width::Dword);
    for width in [Width::Byte, Width::Word, Width::Qword] {
        desk.write(OPERATION, 1, width);
        assert_eq!(desk.read(OPERATION, width), width.mask());
        desk.write(SUBMIT, 1, width);
    }
    assert_eq!(desk.read(OPERATION, Width::Dword), 5);
    assert_eq!(desk.read(OPERATION + 2, Width::Dword), 0xffff_ffff);
    // User confirmation: allowed, and of an operation that there is not.
    assert_eq!(desk.read(OPERATION + 0xc, Width::Dword), 4);
    desk.write(OPERATION, 3, Width::Dword);
    assert_eq!(desk.read(OPERATION + 0xc, Width::Dword), 0);
    assert!(!desk.execute(), "nothing was submitted");
}
