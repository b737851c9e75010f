//! Guest messages, reports, derived keys.

use std::vec::Vec;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::id_block::EcdsaPublicKey;
use plinth_snp_abi::report::{
    KeyRequest, KeyResponse, MessageHeader, ReportRequest, ReportResponse, TscInfoResponse, message_type,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{guest, platform};
use crate::sp::{Guest, Status, open, seal, verify};

/// A guest's side: its keys, and its count.
struct Client {
    keys: [[u8; 32]; 4],
    count: u64,
}

impl Client {
    fn new(guest: &Guest) -> Self {
        Self { keys: guest.keys_for_tests(), count: 0 }
    }

    fn header(&self, kind: u8, vmpck: u8) -> MessageHeader {
        MessageHeader {
            sequence_number: self.count + 1,
            algorithm: 1,
            header_version: 1,
            header_size: 0x60,
            message_type: kind,
            message_version: 1,
            vmpck,
            ..MessageHeader::new_zeroed()
        }
    }

    fn seal(&self, header: &MessageHeader, payload: &[u8]) -> [u8; PAGE_BYTES] {
        seal(&self.keys[usize::from(header.vmpck % 4)], header, payload).unwrap()
    }

    /// A request and what the response has.
    fn ask(&mut self, guest: &mut Guest, kind: u8, vmpck: u8, payload: &[u8]) -> Result<Vec<u8>, Status> {
        let page = guest.request(&self.seal(&self.header(kind, vmpck), payload))?;
        let (header, payload) = open(&self.keys[usize::from(vmpck)], &page).unwrap();
        self.count += 2;
        assert_eq!((header.sequence_number, header.message_type), (self.count, kind + 1));
        Ok(payload)
    }
}

/// A message as it was computed by another implementation: GHASH in Python, AES by OpenSSL.
#[test]
fn a_message_as_others_seal_it() {
    let key = core::array::from_fn(|at| at as u8);
    let header = MessageHeader {
        sequence_number: 0x0102_0304_0506_0708,
        algorithm: 1,
        header_version: 1,
        header_size: 0x60,
        message_type: 5,
        message_version: 1,
        vmpck: 2,
        ..MessageHeader::new_zeroed()
    };
    let page = seal(&key, &header, b"twenty bytes of text").unwrap();
    let hex =
        |bytes: &[u8]| bytes.iter().map(|byte| std::format!("{byte:02x}")).collect::<std::string::String>();
    assert_eq!(hex(&page[..16]), TAG);
    assert_eq!(hex(&page[0x60..0x74]), CIPHERTEXT);
    assert_eq!(page[0x74..], [0; PAGE_BYTES - 0x74]);
    assert_eq!(open(&key, &page).unwrap().1, b"twenty bytes of text");
    assert_eq!(seal(&key, &header, &[0; 0xfa1]), None);
}

const TAG: &str = "18bfcde7f8404c28f27313da8a21960f";
const CIPHERTEXT: &str = "c3c8140be63f42086cef8e58fefafaea4d21e1ba";

fn report_request(vmpl: u32, key_select: u32) -> ReportRequest {
    ReportRequest { report_data: [0x44; 64], vmpl, key_select, reserved: [0; 0x18] }
}

#[test]
fn reports() {
    let mut guest = guest();
    let mut client = Client::new(&guest);
    let request = report_request(1, 0);
    let payload = client.ask(&mut guest, message_type::REPORT_REQUEST, 0, request.as_bytes()).unwrap();
    let response = ReportResponse::read_from_bytes(&payload).unwrap();
    assert_eq!((response.status, response.report_size), (0, 0x4a0));
    let report = response.report;
    assert_eq!((report.version, report.vmpl, report.policy, report.flags), (3, 1, 0x3_0000, 0));
    assert_eq!((report.report_data, report.host_data), ([0x44; 64], [9; 32]));
    assert_eq!((report.measurement, report.chip_id), (guest.measurement(), platform().chip_id));
    let (x, y) = platform().vcek();
    let key = EcdsaPublicKey::p384(&x, &y);
    assert!(verify(&key, report.signed_bytes(), &report.signature));
    let mut changed = report;
    changed.vmpl = 0;
    assert!(!verify(&key, changed.signed_bytes(), &changed.signature));
    let (x, y) = crate::sp::Platform::new([6; 32]).vcek();
    assert!(!verify(&EcdsaPublicKey::p384(&x, &y), report.signed_bytes(), &report.signature));
}

#[test]
fn reports_that_are_refused() {
    for (vmpck, vmpl, key_select, status) in [
        (0, 0, 0, 0),
        (0, 3, 1, 0),
        (2, 2, 0, 0),
        (2, 3, 0, 0),
        (2, 1, 0, 0x16),
        (0, 4, 0, 0x16),
        (0, u32::MAX, 0, 0x16),
        (0, 0, 2, 0x27),
        (0, 0, 3, 0x16),
    ] {
        let mut guest = guest();
        let request = report_request(vmpl, key_select);
        let mut client = Client::new(&guest);
        let payload =
            client.ask(&mut guest, message_type::REPORT_REQUEST, vmpck, request.as_bytes()).unwrap();
        let response = ReportResponse::read_from_bytes(&payload).unwrap();
        assert_eq!(response.status, status, "{vmpck} {vmpl} {key_select}");
        assert_eq!(response.report.version == 0, status != 0);
    }
}

#[test]
fn messages_that_are_not_believed() {
    type Break = fn(&mut MessageHeader);
    let headers: [(Break, Status); 9] = [
        (|header| header.sequence_number = 2, Status::InvalidParam),
        (|header| header.sequence_number = 0, Status::InvalidParam),
        (|header| header.algorithm = 0, Status::InvalidParam),
        (|header| header.header_version = 2, Status::InvalidParam),
        (|header| header.header_size = 0x40, Status::InvalidParam),
        (|header| header.message_version = 2, Status::InvalidParam),
        (|header| header.vmpck = 4, Status::InvalidParam),
        (|header| header.message_type = 99, Status::InvalidParam),
        (|header| header.message_type = 6, Status::InvalidParam),
    ];
    let mut guest = guest();
    let mut client = Client::new(&guest);
    let request = report_request(0, 0);
    for (number, (damage, status)) in headers.into_iter().enumerate() {
        let mut header = client.header(message_type::REPORT_REQUEST, 0);
        damage(&mut header);
        assert_eq!(guest.request(&client.seal(&header, request.as_bytes())), Err(status), "{number}");
    }
    let good = client.seal(&client.header(message_type::REPORT_REQUEST, 0), request.as_bytes());
    // The tag, what is authenticated and not encrypted, the payload, another key, and a size beyond the page.
    for at in [0, 0x3d, 0x5f, 0x60, 0x60 + 0x5f] {
        let mut page = good;
        page[at] ^= 1;
        assert_eq!(guest.request(&page), Err(Status::BadMeasurement), "{at:#x}");
    }
    let mut page = good;
    page[0x3c] = 1;
    assert_eq!(guest.request(&page), Err(Status::BadMeasurement));
    page = good;
    (page[0x36], page[0x37]) = (0xa1, 0x0f);
    assert_eq!(guest.request(&page), Err(Status::InvalidParam));
    // A payload of another size.
    let short = client.seal(&client.header(message_type::REPORT_REQUEST, 0), &[0; 0x5f]);
    assert_eq!(guest.request(&short), Err(Status::InvalidParam));
    // None of these counted; and one that did is not taken again.
    assert!(guest.request(&good).is_ok());
    assert_eq!(guest.request(&good), Err(Status::InvalidParam));
    client.count = 2;
    assert!(client.ask(&mut guest, message_type::REPORT_REQUEST, 0, request.as_bytes()).is_ok());
    // Each key has a count of its own.
    client.count = 0;
    let lower = report_request(1, 0);
    assert!(client.ask(&mut guest, message_type::REPORT_REQUEST, 1, lower.as_bytes()).is_ok());
}

#[test]
fn sequence_numbers_end() {
    let mut guest = guest();
    let mut client = Client::new(&guest);
    guest.set_count_for_tests(u64::MAX - 1);
    client.count = u64::MAX - 1;
    let page = client.seal(&client.header(message_type::REPORT_REQUEST, 0), report_request(0, 0).as_bytes());
    assert_eq!(guest.request(&page), Err(Status::AeadOverflow));
}

fn key(guest: &mut Guest, vmpck: u8, request: &KeyRequest) -> KeyResponse {
    let mut client = Client::new(guest);
    client.count = guest.count_for_tests(vmpck);
    let payload = client.ask(guest, message_type::KEY_REQUEST, vmpck, request.as_bytes()).unwrap();
    KeyResponse::read_from_bytes(&payload).unwrap()
}

#[test]
fn derived_keys() {
    let mut guest = guest();
    let plain = KeyRequest::default();
    let reference = key(&mut guest, 0, &plain);
    assert_eq!((reference.status, key(&mut guest, 0, &plain)), (0, reference));
    // Each of these is another key.
    let mut seen = std::vec![reference.key];
    let others = [
        KeyRequest { root_key_select: 1, ..plain },
        KeyRequest { vmpl: 1, ..plain },
        KeyRequest { field_select: 1, ..plain },
        KeyRequest { field_select: 1 << 3, ..plain },
        KeyRequest { field_select: 1 << 5, ..plain },
        KeyRequest { field_select: 1 << 5, tcb_version: 1, ..plain },
    ];
    for request in others {
        let response = key(&mut guest, 0, &request);
        assert_eq!(response.status, 0, "{request:?}");
        assert!(!seen.contains(&response.key), "{request:?}");
        seen.push(response.key);
    }
    // What is not selected does not go in.
    assert_eq!(key(&mut guest, 0, &KeyRequest { tcb_version: 1, ..plain }).key, reference.key);
    for (vmpck, request, status) in [
        (1, plain, 0x16),
        (0, KeyRequest { vmpl: 4, ..plain }, 0x16),
        (0, KeyRequest { guest_svn: 1, ..plain }, 0x16),
        (0, KeyRequest { tcb_version: 5, ..plain }, 0x16),
        (0, KeyRequest { tcb_version: 1 << 16, ..plain }, 0x16),
        (0, KeyRequest { field_select: 1 << 7, ..plain }, 0x16),
        (0, KeyRequest { root_key_select: 4, ..plain }, 0x27),
        (0, KeyRequest { root_key_select: 6, ..plain }, 0x16),
    ] {
        let response = key(&mut guest, vmpck, &request);
        assert_eq!((response.status, response.key), (status, [0; 32]), "{request:?}");
    }
}

#[test]
fn tsc_factors() {
    let mut guest = guest();
    let mut client = Client::new(&guest);
    let payload = client.ask(&mut guest, message_type::TSC_INFO_REQUEST, 0, &[0; 0x80]).unwrap();
    let response = TscInfoResponse::read_from_bytes(&payload).unwrap();
    assert_eq!((response.status, response.tsc_scale, response.tsc_factor), (0, 1 << 32, 0));
}
