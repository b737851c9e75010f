//! Events by their fields: what goes in, what is asked, what comes back.

use plinth_snp_abi::ghcb::Field::{self, Cpl, ExitCode, ExitInfo1, ExitInfo2, Rax, Rbx, Rcx, Rdx, Xcr0, Xss};

use super::{Flow, GuestRequestResult, call, machine};

/// One event: fields, whether the host agrees; what it was asked, SW_EXITINFO1 and 2, and registers.
type Row<'a> = (&'a [(Field, u64)], bool, &'a str, [u64; 2], &'a [(Field, u64)]);

fn check(rows: &[Row]) {
    for (fields, agrees, asked, info, outputs) in rows {
        let (mut vcpu, mut host) = machine();
        host.agrees = *agrees;
        let (flow, ghcb) = call(&mut vcpu, &mut host, fields);
        assert_eq!(flow, Flow::Resume, "{fields:x?}");
        assert_eq!(host.asked.join(", "), *asked, "{fields:x?}");
        let found = [ExitInfo1, ExitInfo2].map(|field| ghcb.get(field));
        assert_eq!(found, info.map(Some), "{fields:x?}");
        for field in [Rax, Rbx, Rcx, Rdx] {
            let value = outputs.iter().find(|(other, _)| *other == field).map(|(_, value)| *value);
            assert_eq!(ghcb.get(field), value, "{fields:x?} {field:?}");
        }
    }
}

const GP: [u64; 2] = [1, 0x8000_0b0d];
const MISSING: [u64; 2] = [2, 4];
const INVALID: [u64; 2] = [2, 5];
const UNKNOWN: [u64; 2] = [2, 6];
const DONE: [u64; 2] = [0, 0];

#[test]
fn instructions() {
    let code = |code| (ExitCode, code);
    let cpuid = [(Rax, 10), (Rbx, 11), (Rcx, 12), (Rdx, 13)];
    check(&[
        (&[code(0x72), (Rax, 1), (Rcx, 0)], true, "cpuid 1 0 1 0", DONE, &cpuid),
        (&[code(0x72), (Rax, 0xd), (Rcx, 1), (Xcr0, 7), (Xss, 8)], true, "cpuid d 1 7 8", DONE, &cpuid),
        (&[code(0x72), (Rax, 0xd), (Rcx, 1)], true, "", MISSING, &[]),
        (&[code(0x72), (Rax, 1)], true, "", MISSING, &[]),
        (&[code(0x6e)], true, "", DONE, &[(Rax, 6), (Rdx, 5)]),
        (&[code(0x87)], true, "", DONE, &[(Rax, 6), (Rdx, 5), (Rcx, 7)]),
        (&[code(0x6f), (Rcx, 0)], true, "", GP, &[]),
        (&[code(0x6f)], true, "", MISSING, &[]),
        (&[code(0x7c), (Rcx, 0x10)], true, "", DONE, &[(Rax, 0x10), (Rdx, 0x1234)]),
        (&[code(0x7c), (Rcx, 0x10)], false, "", GP, &[]),
        (
            &[code(0x7c), (ExitInfo1, 1), (Rcx, 0x1b), (Rax, 1 << 32 | 2), (Rdx, 1)],
            true,
            "wrmsr 1b 100000002",
            DONE,
            &[],
        ),
        (
            &[code(0x7c), (ExitInfo1, 1), (Rcx, 0x1b), (Rax, 2), (Rdx, 1)],
            false,
            "wrmsr 1b 100000002",
            GP,
            &[],
        ),
        (&[code(0x7c), (ExitInfo1, 1), (Rcx, 0x1b), (Rax, 2)], true, "", MISSING, &[]),
        (&[code(0x81), (Rax, 5), (Cpl, 3)], true, "", DONE, &[(Rax, 108)]),
        (&[code(0x81), (Rax, 5)], true, "", MISSING, &[]),
        (&[code(0x89)], true, "", DONE, &[]),
        (&[code(0x8a)], true, "", DONE, &[]),
        (&[code(0x8b)], true, "", DONE, &[]),
        (&[code(0x27)], true, "", DONE, &[(Rax, 0x400)]),
        (&[code(0x37)], true, "", MISSING, &[]),
        // Nothing that is automatic, and nothing that is not known.
        (&[code(0x78)], true, "", UNKNOWN, &[]),
        (&[code(0x400)], true, "", UNKNOWN, &[]),
        (&[code(0x8000_0099)], true, "", UNKNOWN, &[]),
        (&[code(0x8000_0003)], true, "nmi complete", DONE, &[]),
        (&[code(0x8000_fffd)], true, "", [0, 0x27f], &[]),
        (&[code(0x8000_ffff), (ExitInfo1, 0x99)], true, "", DONE, &[]),
    ]);
}

#[test]
fn dr7_is_remembered() {
    let (mut vcpu, mut host) = machine();
    call(&mut vcpu, &mut host, &[(ExitCode, 0x37), (Rax, 0x455)]);
    let (_, ghcb) = call(&mut vcpu, &mut host, &[(ExitCode, 0x27)]);
    assert_eq!(ghcb.get(Rax), Some(0x455));
}

#[test]
fn processors() {
    let create = |info, gpa| [(ExitCode, 0x8000_0013), (ExitInfo1, info), (ExitInfo2, gpa), (Rax, 0x15)];
    let list = |pages, gpa| [(ExitCode, 0x8000_0017), (Rax, pages), (ExitInfo1, gpa)];
    let jump = |operation| [(ExitCode, 0x8000_0005), (ExitInfo1, operation), (ExitInfo2, 0x1000)];
    check(&[
        (&create(0x5_0001_0001, 0x7000), true, "Create 1 5 7000 15", DONE, &[]),
        (&create(0, 0x7000), true, "CreateOnInit 0 0 7000 15", DONE, &[]),
        (&create(0x5_0001_0002, 0x7001), true, "Destroy 1 5 7001 0", DONE, &[]),
        (&create(1, 0x7000), false, "Create 0 0 7000 15", INVALID, &[]),
        (&create(3, 0x7000), true, "", INVALID, &[]),
        (&create(1, 0x7001), true, "", INVALID, &[]),
        (&create(1, 0x20_0000), true, "", INVALID, &[]),
        (&create(0x4_0001, 0x7000), true, "", INVALID, &[]),
        (&create(1, 0x7000)[..3], true, "", MISSING, &[]),
        (&list(0, 0), true, "", DONE, &[(Rax, 1)]),
        (&list(1, 0x1000), true, "", DONE, &[(Rax, 1)]),
        (&list(1, 0x1001), true, "", INVALID, &[]),
        (&list(1, 0x8000), true, "", INVALID, &[]),
        (&jump(0), true, "", DONE, &[]),
        (&jump(2), true, "", INVALID, &[]),
        (&[(ExitCode, 0x8000_0015), (ExitInfo1, 0xfd)], true, "ipi fd", DONE, &[]),
    ]);
    let (mut vcpu, mut host) = machine();
    call(&mut vcpu, &mut host, &list(1, 0x1000));
    let ids = [3, 0, 2, 5].map(u32::to_le_bytes).concat();
    assert_eq!(host.memory[0x1000..0x1010], ids);
    call(&mut vcpu, &mut host, &jump(0));
    let (_, ghcb) = call(&mut vcpu, &mut host, &jump(1));
    assert_eq!(ghcb.get(ExitInfo2), Some(0x1000));
}

#[test]
fn doorbells() {
    let (mut vcpu, mut host) = machine();
    for (operation, gpa, info, doorbell) in [
        (0, 0, [0, !0], None),
        (2, 0, DONE, None),
        (1, 0x6000, [0, 0x6000], Some(0x6000)),
        (2, 0, [0, 0x6000], Some(0x6000)),
        (1, 0x6001, INVALID, Some(0x6000)),
        (1, 0, INVALID, Some(0x6000)),
        (4, 0x7000, INVALID, Some(0x6000)),
        (3, 0, DONE, None),
    ] {
        let fields = [(ExitCode, 0x8000_0014), (ExitInfo1, operation), (ExitInfo2, gpa)];
        let (_, ghcb) = call(&mut vcpu, &mut host, &fields);
        let found = [ExitInfo1, ExitInfo2].map(|field| ghcb.get(field));
        assert_eq!((found, vcpu.doorbell()), (info.map(Some), doorbell), "{operation} {gpa:#x}");
    }
}

#[test]
fn ends_and_other_vmpls() {
    for (code, info, flow) in [
        (0x8000_fffe, 0x21, Flow::Terminate { set: 1, reason: 2 }),
        (0x8000_0018, 0, Flow::RunVmpl(0)),
        (0x8000_0018, 3, Flow::RunVmpl(3)),
        // The host of these tests has no VMSA of VMPL1.
        (0x8000_0018, 1, Flow::Resume),
        (0x8000_0018, 4, Flow::Resume),
        (0x8000_0018, 0x100, Flow::Resume),
    ] {
        let (mut vcpu, mut host) = machine();
        let (found, ghcb) = call(&mut vcpu, &mut host, &[(ExitCode, code), (ExitInfo1, info)]);
        assert_eq!(found, flow, "{code:#x} {info:#x}");
        let is_refused = ghcb.get(ExitInfo1) == Some(2);
        assert_eq!(is_refused, flow == Flow::Resume, "{code:#x} {info:#x}");
    }
}

#[test]
fn requests() {
    let request = |code, request, response| {
        [(ExitCode, code), (ExitInfo1, request), (ExitInfo2, response), (Rax, 0x6000), (Rbx, 2)]
    };
    let plain = "GuestRequest { request_gpa: 1000, response_gpa: 2000, certificates: None }";
    let extended = "GuestRequest { request_gpa: 1000, response_gpa: 2000, certificates: Some((6000, 2)) }";
    check(&[
        (&request(0x8000_0011, 0x1000, 0x2000), true, plain, DONE, &[]),
        (&request(0x8000_0012, 0x1000, 0x2000), true, extended, DONE, &[]),
        (&request(0x8000_0011, 0x1000, 0x1000), true, "", INVALID, &[]),
        (&request(0x8000_0011, 0x1001, 0x2000), true, "", INVALID, &[]),
        (&request(0x8000_0011, 0x1000, 0x2001), true, "", INVALID, &[]),
        (&request(0x8000_0012, 0x1000, 0x2000)[..4], true, "", MISSING, &[]),
    ]);
    let (mut vcpu, mut host) = machine();
    host.request_result = GuestRequestResult { firmware_error: 0x16, host_error: 1, pages_needed: Some(4) };
    let (_, ghcb) = call(&mut vcpu, &mut host, &request(0x8000_0012, 0x1000, 0x2000));
    assert_eq!((ghcb.get(ExitInfo2), ghcb.get(Rbx)), (Some(0x1_0000_0016), Some(4)));
}

/// An address that was not registered, another use of the page, and what every event needs.
#[test]
fn pages_that_are_not_believed() {
    let (mut vcpu, mut host) = machine();
    vcpu.set_msr(0x7012);
    vcpu.vmgexit(&mut host);
    assert_eq!(vcpu.registered(), Some(0x7000));
    let (_, ghcb) = call(&mut vcpu, &mut host, &[(ExitCode, 0x89)]);
    assert_eq!((ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)), (Some(2), Some(1)));
    let (mut vcpu, mut host) = machine();
    host.put(super::GHCB + 0xffc, &[1]);
    let (_, ghcb) = call(&mut vcpu, &mut host, &[(ExitCode, 0x89)]);
    assert_eq!((ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)), (Some(2), Some(2)));
    let (mut vcpu, mut host) = machine();
    let (_, ghcb) = call(&mut vcpu, &mut host, &[]);
    assert_eq!((ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)), (Some(2), Some(4)));
}
