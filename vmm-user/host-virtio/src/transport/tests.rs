use alloc::boxed::Box;

use runtime::host_function::DeviceMemory;

use super::*;

/// A device that is memory: what is written is read again.
pub(crate) fn device(feature_word: u32) -> Transport {
    let window = || Window::of(Box::leak(Box::new([0; 512])));
    let common = window();
    common.write_u32(register::DEVICE_FEATURE, feature_word);
    let (function, notify) = (HostFunction(0), window());
    Transport { function, common, notify, multiplier: 4, device: Some(window()) }
}

impl Transport {
    /// What the device was notified of last.
    pub(crate) fn notified(&self) -> u16 {
        self.notify.read_u16(0)
    }
}

#[test]
fn features_are_those_wanted_and_offered() {
    // Bits 0 and 5, and 32 and 37.
    let transport = device(0x21);
    assert_eq!(transport.negotiate(1 << 5 | 1 << 6), Ok(1 << 5 | VERSION_1));
    assert_eq!(transport.common.read_u8(register::STATUS), 0b1011);
    assert_eq!(device(0x2).negotiate(2), Err(DriverError::Lacks("version 1 of virtio")));
    assert_eq!(device(0x3).negotiate(0), Ok(VERSION_1 | ACCESS_PLATFORM));
}

#[test]
fn a_device_that_does_not_agree() {
    // Its status cannot be written: it is not there.
    let transport = device(1);
    let common = transport.common.part(0, register::STATUS).unwrap();
    let transport = Transport { common, ..transport };
    assert_eq!(transport.reset(0), Err(DriverError::Silent));
    let small = transport.negotiate(0);
    assert_eq!(small, Ok(VERSION_1), "what is not there reads all-ones");
}

#[test]
fn queues_and_their_notifications() {
    let transport = device(1);
    let memory = DeviceMemory { window: Window::of(Box::leak(Box::new([0; 512]))), physical: 0x1_2345_6000 };
    let queue = Queue::new(memory, 64).unwrap();
    assert_eq!(transport.start_queue(0, &queue, 1), Ok(()));
    let common = transport.common;
    assert_eq!([common.read_u32(0x20), common.read_u32(0x24)], [0x2345_6000, 1]);
    assert_eq!(common.read_u16(register::QUEUE_ENABLE), 1);
    common.write_u16(register::QUEUE_NOTIFY, 3);
    transport.notify(7);
    assert_eq!(transport.notify.read_u16(12), 7);
    // Beyond the registers nothing is written.
    common.write_u16(register::QUEUE_NOTIFY, u16::MAX);
    Transport { multiplier: u32::MAX, ..transport }.notify(7);
}

#[test]
fn numbers_of_the_configuration() {
    let transport = device(1);
    transport.device.unwrap().write_u64(8, 0x1122_3344_5566_7788);
    assert_eq!(transport.read_u64(8), Ok(0x1122_3344_5566_7788));
    assert_eq!(transport.read_u64(1 << 20), Ok(u64::MAX));
    let none = Transport { device: None, ..transport };
    assert_eq!(none.read_u64(0), Err(DriverError::Lacks("a configuration")));
}
