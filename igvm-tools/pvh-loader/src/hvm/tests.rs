//! Start information as QEMU writes it, and as it does not.

use zerocopy::IntoBytes;

use super::*;
use crate::testing::TestMemory;

fn info() -> StartInfo {
    StartInfo {
        magic: START_MAGIC,
        version: 1,
        flags: 0,
        module_count: 1,
        modules: 0x1100,
        command_line: 0,
        rsdp: 0xf_5000,
        memory_map: 0x1200,
        memory_map_entries: 2,
        reserved: 0,
    }
}

fn memory(info: &StartInfo) -> TestMemory {
    let mut memory = TestMemory::new(0x1000, 0x1000);
    memory.put(0x1000, info.as_bytes());
    memory.put(0x1100, Module { address: 5, bytes: 6, command_line: 0, reserved: 0 }.as_bytes());
    for (at, address) in [(0x1200, 1), (0x1218, 2)] {
        memory.put(at, MemoryEntry { address, bytes: 3, kind: 4, reserved: 0 }.as_bytes());
    }
    memory
}

#[test]
fn sound() {
    let memory = memory(&info());
    let read = StartInfo::read(&memory, 0x1000).unwrap();
    assert_eq!(read.rsdp, 0xf_5000);
    let module = read.first_module(&memory).unwrap();
    assert_eq!((module.address, module.bytes), (5, 6));
    let addresses: std::vec::Vec<_> = read.memory_map(&memory).map(|entry| entry.unwrap().address).collect();
    assert_eq!(addresses, [1, 2]);
}

#[test]
fn wrong() {
    type Change = fn(&mut StartInfo);
    let cases: [(Change, StartError); 6] = [
        (|info| info.magic = 0, StartError::Magic(0x1000)),
        (|info| info.version = 0, StartError::Version(0)),
        (|info| info.module_count = 0, StartError::NoModule),
        (|info| info.modules = 0, StartError::Outside { what: "module list", gpa: 0 }),
        (|info| info.memory_map = 0x1ff0, StartError::Outside { what: "memory map", gpa: 0x1ff0 }),
        (|info| info.memory_map = u64::MAX, StartError::Outside { what: "memory map", gpa: u64::MAX }),
    ];
    for (change, error) in cases {
        let mut info = info();
        change(&mut info);
        let memory = memory(&info);
        let result = StartInfo::read(&memory, 0x1000).and_then(|info| {
            info.first_module(&memory)?;
            info.memory_map(&memory).try_for_each(|entry| entry.map(|_| ()))
        });
        assert_eq!(result, Err(error));
    }
    assert_eq!(StartInfo::read(&memory(&info()), 0x1ff0).map(|_| ()), Err(StartError::Magic(0x1ff0)));
}
