//! The Physical Presence Interface as a guest sees it: a method of the TPM's device (TCG PC Client Physical
//! Presence Interface 1.30, chapter 2), which does no more than carry numbers between its caller and
//! registers of the TPM's process. The same method has the interface by which a guest asks that its memory be
//! overwritten before the next start (TCG Platform Reset Attack Mitigation 1.0, chapter 6).

use acpi_tables::{
    Aml,
    aml::{
        Arg, BufferData, DeRefOf, Equal, Field, FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule,
        If, Index, LessThan, Local, Method, MethodCall, OpRegion, OpRegionSpace, Package, Path, Return,
        SizeOf, Store, Uuid, While,
    },
};
use alloc::{vec, vec::Vec};

use super::{Raw, tpm2};

/// The registers, of 32 bits each, from [`tpm2::PRESENCE_OFFSET`] on.
pub mod register {
    /// The operation that is asked for, or about.
    pub const OPERATION: u64 = 0x00;
    /// Its parameter.
    pub const PARAMETER: u64 = 0x04;
    /// Written: the request is submitted. Read: what became of it, or [`BUSY`].
    pub const SUBMIT: u64 = 0x08;
    /// What function 8 returns for OPERATION.
    pub const CONFIRMATION: u64 = 0x0c;
    /// The operation that the next start carries out.
    pub const PENDING: u64 = 0x10;
    /// Its parameter.
    pub const PENDING_PARAMETER: u64 = 0x14;
    /// The operation that was carried out last.
    pub const LAST: u64 = 0x18;
    /// What became of it.
    pub const RESPONSE: u64 = 0x1c;
    /// Bytes of all.
    pub const BYTES: u8 = 0x20;
    /// SUBMIT: the request is not kept yet.
    pub const BUSY: u32 = 0x8000_0000;
}

/// The interface's UUID.
const UUID: &str = "3dddfaa6-361b-4eb4-a424-8d10089d1653";
/// Functions 0 to 8 are there.
const FUNCTIONS: [u8; 2] = [0xff, 0x01];
/// The version, which decides in what form others ask.
const VERSION: &str = "1.3";
/// Function 4: a request is carried out when the machine is started again.
const REBOOT: u8 = 2;
/// Function 6: the user's language is not asked for, as there is nobody to be asked.
const NOT_IMPLEMENTED: u8 = 3;
/// Sleep (10): until a request is kept, which takes as long as the command that is being executed.
const SLEEP: Raw<'static> = Raw(&[0x5b, 0x22, 0x0a, 10]);
/// The UUID of the Memory Clear Interface.
const CLEAR_UUID: &str = "376054ed-cc13-4675-901c-4756d7f2d45d";
/// Its functions 0 and 1.
const CLEAR_FUNCTIONS: u8 = 0x03;
/// Function 1: what the guest asked for will be done.
const SUCCESS: u8 = 0;
/// No target.
const NOWHERE: u8 = 0;

/// Registers and methods, inside the TPM's device.
pub fn methods() -> Vec<u8> {
    let mut aml = Vec::new();
    let gpa = (tpm2::REGISTERS_GPA + tpm2::PRESENCE_OFFSET) as u32;
    OpRegion::new("PPIR".into(), OpRegionSpace::SystemMemory, &gpa, &register::BYTES).to_aml_bytes(&mut aml);
    // In the order of their places.
    let names = [b"OPER", b"PARM", b"SUBM", b"CONF", b"PEND", b"PPAR", b"LAST", b"RESP"];
    let fields = names.map(|name| FieldEntry::Named(*name, 32)).to_vec();
    let (lock, update) = (FieldLockRule::NoLock, FieldUpdateRule::Preserve);
    Field::new("PPIR".into(), FieldAccessType::DWord, lock, update, fields).to_aml_bytes(&mut aml);
    submit(&mut aml);
    dsm(&mut aml);
    aml
}

fn path(name: &str) -> Path {
    Path::new(name)
}

/// PSUB (REQUEST): submits a package of an operation and, in newer revisions, a parameter.
fn submit(aml: &mut Vec<u8>) {
    let (operation, parameter, submit) = (path("OPER"), path("PARM"), path("SUBM"));
    let (zero, one) = (Index::new(&NOWHERE, &Arg(0), &0u8), Index::new(&NOWHERE, &Arg(0), &1u8));
    let (first, second) = (DeRefOf::new(&zero), DeRefOf::new(&one));
    let size = SizeOf::new(&Arg(0));
    let has_second = LessThan::new(&1u8, &size);
    let store_second = Store::new(&parameter, &second);
    let is_busy = Equal::new(&submit, &register::BUSY);
    Method::new(
        "PSUB".into(),
        1,
        true,
        vec![
            &Store::new(&operation, &first),
            &Store::new(&parameter, &0u8),
            &If::new(&has_second, vec![&store_second]),
            &Store::new(&submit, &1u8),
            &While::new(&is_busy, vec![&SLEEP]),
            &Return::new(&submit),
        ],
    )
    .to_aml_bytes(aml);
}

/// One function of the interface: what is done if it is asked for.
fn function(number: u8, body: Vec<&dyn Aml>, aml: &mut Vec<u8>) {
    If::new(&Equal::new(&Arg(2), &number), body).to_aml_bytes(aml);
}

/// Puts the value of a register into the package that is returned.
fn element(index: u8, register: &str, aml: &mut Vec<u8>) {
    Store::new(&Index::new(&NOWHERE, &Local(0), &index), &path(register)).to_aml_bytes(aml);
}

/// A package whose first element says that the others count, and these registers.
fn package(registers: &[&str]) -> Vec<u8> {
    let zeroes: Vec<&dyn Aml> = core::iter::repeat_n(&0u8 as &dyn Aml, 1 + registers.len()).collect();
    let mut aml = Vec::new();
    Store::new(&Local(0), &Package::new(zeroes)).to_aml_bytes(&mut aml);
    for (index, register) in (1..).zip(registers) {
        element(index, register, &mut aml);
    }
    Return::new(&Local(0)).to_aml_bytes(&mut aml);
    aml
}

/// _DSM (UUID, REVISION, FUNCTION, ARGUMENTS).
fn dsm(aml: &mut Vec<u8>) {
    let mut body = Vec::new();
    function(0, vec![&Return::new(&BufferData::new(FUNCTIONS.to_vec()))], &mut body);
    function(1, vec![&Return::new(&VERSION)], &mut body);
    let submit = MethodCall::new("PSUB".into(), vec![&Arg(3)]);
    // The former way to submit, and the present one.
    for number in [2, 7] {
        function(number, vec![&Return::new(&submit)], &mut body);
    }
    // Revision 1 knows no parameters.
    let short = package(&["PEND"]);
    let is_former = Equal::new(&Arg(1), &1u8);
    let (short, long) = (Raw(&short), package(&["PEND", "PPAR"]));
    function(3, vec![&If::new(&is_former, vec![&short]), &Raw(&long)], &mut body);
    function(4, vec![&Return::new(&REBOOT)], &mut body);
    function(5, vec![&Raw(&package(&["LAST", "RESP"]))], &mut body);
    function(6, vec![&Return::new(&NOT_IMPLEMENTED)], &mut body);
    let (operation, confirmation) = (path("OPER"), path("CONF"));
    let first = Index::new(&NOWHERE, &Arg(3), &0u8);
    let ask = Store::new(&operation, &DeRefOf::new(&first)).to_bytes();
    function(8, vec![&Raw(&ask), &Return::new(&confirmation)], &mut body);
    let mut interfaces = Vec::new();
    interface(UUID, &body, &mut interfaces);
    interface(CLEAR_UUID, &memory_clear(), &mut interfaces);
    // No other interface: no functions.
    let nothing = BufferData::new(vec![0]);
    Method::new("_DSM".into(), 4, true, vec![&Raw(&interfaces), &Return::new(&nothing)]).to_aml_bytes(aml);
}

/// The functions of the interface by which memory is overwritten. There is nothing to keep of what is asked
/// for: a guest that resets its machine finds all of its memory overwritten, whether it has asked or not, and
/// when the machine ends the memory is the host's again.
fn memory_clear() -> Vec<u8> {
    let mut aml = Vec::new();
    function(0, vec![&Return::new(&BufferData::new(vec![CLEAR_FUNCTIONS]))], &mut aml);
    function(1, vec![&Return::new(&SUCCESS)], &mut aml);
    aml
}

/// What is done if the caller asks for the interface of that UUID.
fn interface(uuid: &str, functions: &[u8], aml: &mut Vec<u8>) {
    let uuid = Uuid::new(uuid);
    let is_asked_for = Equal::new(&Arg(0), &uuid);
    If::new(&is_asked_for, vec![&Raw(functions)]).to_aml_bytes(aml);
}

/// An object's bytes.
trait ToBytes {
    fn to_bytes(&self) -> Vec<u8>;
}

impl<A: Aml> ToBytes for A {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.to_aml_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{CLEAR_UUID, memory_clear, methods};

    /// A UUID as it is in a buffer: its first three parts are little-endian (ACPI 6.5, 19.6.142).
    fn bytes_of(uuid: &str) -> Vec<u8> {
        let digits: Vec<u8> = uuid.bytes().filter(|digit| *digit != b'-').collect();
        let text = |at: usize| str::from_utf8(&digits[2 * at..2 * at + 2]).unwrap();
        let byte = |at| u8::from_str_radix(text(at), 16).unwrap();
        [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte).into()
    }

    #[test]
    fn memory_is_overwritten_by_an_interface_of_its_own() {
        let (all, uuid, functions) = (methods(), bytes_of(CLEAR_UUID), memory_clear());
        let at = all.windows(16).position(|bytes| bytes == uuid).unwrap();
        assert!(all[at + 16..].starts_with(&functions));
        // If Arg2 is 0: a buffer of one byte, functions 0 and 1. If it is 1: success.
        let query = [0xa0, 0x09, 0x93, 0x6a, 0x00, 0xa4, 0x11, 0x03, 0x01, 0x03];
        assert_eq!(functions, [&query[..], &[0xa0, 0x06, 0x93, 0x6a, 0x01, 0xa4, 0x00]].concat());
        assert_eq!(all.windows(4).filter(|bytes| *bytes == b"_DSM").count(), 1);
    }
}
