//! The numbers that both sides have built in, each written down once more.

extern crate std;

use std::collections::BTreeSet;
use std::string::ToString;

use crate::boot::{BOOT_FLAG_DEBUG, BOOT_FLAG_MITIGATIONS, BOOT_FLAG_NO_SHORTCUTS};
use crate::exit::{INTERCEPTABLE, NOTABLE, PortAccess};
use crate::message::RECEIVE_REPLY;
use crate::operation::{BATCH_MAX, Call, FLAG_CONTINUE, LogWrite};
use crate::run_page::{XSAVE_BYTES, window, work, xsave};
use crate::status::Status;

#[test]
fn flags_and_sizes() {
    assert_eq!([BOOT_FLAG_DEBUG, BOOT_FLAG_MITIGATIONS, BOOT_FLAG_NO_SHORTCUTS], [1, 2, 4]);
    assert_eq!([FLAG_CONTINUE, work::KICK, NOTABLE], [1, 1, 0x8000_0000]);
    assert_eq!([window::OPEN, window::PRIORITY, window::ALL], [1, 2, 3]);
    assert_eq!([PortAccess::IN, PortAccess::STRING, PortAccess::REP], [1, 4, 8]);
    assert_eq!([xsave::X87, xsave::SSE, xsave::AVX, RECEIVE_REPLY], [1, 2, 4, 1]);
    assert_eq!([XSAVE_BYTES, BATCH_MAX], [3072, 64]);
    // #DE, #DB, #BR, #UD, #NM, #TS, #NP, #SS, #GP, #PF, #MF, #AC, #XF, #CP.
    let faults = [0, 1, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19, 21];
    assert_eq!(INTERCEPTABLE, faults.into_iter().map(|vector| 1 << vector).sum());
}

/// Qualifications as a processor makes them (APM volume 2, 15.10.2), with bits that mean nothing here.
#[test]
fn port_accesses() {
    for (raw, port, width, flags, [is_in, is_string, is_repeated]) in [
        (0x03f8_0010, 0x3f8, 1, 0, [false; 3]),
        (0x0cfc_0041, 0xcfc, 4, 1, [true, false, false]),
        (0xffff_0024, 0xffff, 2, 4, [false, true, false]),
        (0x0001_0018, 1, 1, 8, [false, false, true]),
        (0x8000_002d, 0x8000, 2, 13, [true; 3]),
    ] {
        assert_eq!(PortAccess::new(port, width, flags).0, raw);
        for noise in [0, 0x1f82, 1 << 40] {
            let access = PortAccess(raw | noise);
            assert_eq!((access.port(), access.width()), (port, width), "{raw:#x}");
            let seen = [access.is_in(), access.is_string(), access.is_repeated()];
            assert_eq!(seen, [is_in, is_string, is_repeated], "{raw:#x}");
        }
    }
}

#[test]
fn statuses() {
    const ALL: [(i32, Status); 19] = [
        (0, Status::Ok),
        (-1, Status::BadOperation),
        (-2, Status::BadHandle),
        (-3, Status::NoRight),
        (-4, Status::BadArgument),
        (-5, Status::BadPointer),
        (-6, Status::Overlap),
        (-7, Status::NotFound),
        (64, Status::Exhausted),
        (65, Status::WrongState),
        (66, Status::TimedOut),
        (67, Status::Disconnected),
        (68, Status::OutOfMemory),
        (69, Status::OutOfHandles),
        (70, Status::OutOfThreads),
        (71, Status::OutOfEvents),
        (72, Status::OutOfProcesses),
        (73, Status::OutOfObjects),
        (96, Status::HostFault),
    ];
    let mut texts = BTreeSet::new();
    for code in -200..200 {
        let expected = ALL.iter().find(|(number, _)| *number == code).map(|(_, status)| *status);
        assert_eq!(Status::from_code(code), expected, "{code}");
        let Some(status) = expected else { continue };
        assert_eq!(status as i32, code);
        assert_eq!(status.into_result(), if code == 0 { Ok(()) } else { Err(status) });
        assert!(texts.insert(status.to_string()), "another one's text: {status}");
    }
    assert!(!texts.contains(""));
}

#[test]
fn payloads_there_and_back() {
    let operation = LogWrite { address: 1, bytes: 2, level: 3, reserved: 4 }.on(5);
    assert_eq!(
        (operation.code, operation.flags, operation.handle, operation.status),
        (LogWrite::CODE, 0, 5, 0)
    );
    let LogWrite { address, bytes, level, reserved } = LogWrite::from_operation(&operation);
    assert_eq!((address, bytes, level, reserved), (1, 2, 3, 4));
    assert!(operation.payload[24..].iter().all(|byte| *byte == 0));
}
