use super::*;

#[test]
fn an_exit_code_of_a_process_is_no_fault() {
    let fault = |vector| EndCause::Fault { vector, rip: 0, address: 0, error_code: 0 };
    for (cause, expected) in [
        (EndCause::Exit(0), 0),
        (EndCause::Exit(7), 7),
        (EndCause::Exit(u32::MAX), 0x7fff_ffff),
        (EndCause::BadCall(99), exit_code::BAD_CALL),
        (fault(14), exit_code::FAULT | 14),
        (fault(0), exit_code::FAULT),
    ] {
        assert_eq!(cause.code(), expected, "{cause:?}");
    }
    assert_eq!(EndCause::Exit(exit_code::FAULT | 14).code() & exit_code::FAULT, 0);
}
