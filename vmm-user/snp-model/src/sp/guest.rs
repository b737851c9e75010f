//! SNP_GUEST_REQUEST: messages between a running guest and the firmware, which the host carries and can
//! neither read, change, repeat nor swap (SNP ABI, 8.26).

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use alloc::vec::Vec;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::id_block::{GuestPolicy, IdBlock};
use plinth_snp_abi::report::{
    AES_256_GCM, AUTHENTICATED, HEADER_VERSION, MAX_PAYLOAD, MESSAGE_VERSION, MessageHeader, message_type,
};
use plinth_snp_abi::rmp::VMPLS;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{Platform, Status};

const HEADER_BYTES: usize = size_of::<MessageHeader>();
const TAG_BYTES: usize = 16;

/// A guest that runs, as the firmware knows it.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(super) platform: Platform,
    pub(super) policy: GuestPolicy,
    pub(super) number: u64,
    pub(super) measurement: [u8; 48],
    pub(super) host_data: [u8; 32],
    pub(super) id_block: IdBlock,
    pub(super) id_key_digest: [u8; 48],
    pub(super) author_key_digest: [u8; 48],
    pub(super) has_author: bool,
    pub(super) vmpck: [[u8; 32]; VMPLS],
    /// The last sequence number, by VMPCK.
    pub(super) message_count: [u64; VMPLS],
}

/// The header without its tag, and the rest of the page.
fn split(page: &[u8; PAGE_BYTES]) -> Option<(MessageHeader, &[u8])> {
    MessageHeader::read_from_prefix(page).ok()
}

/// Seals a payload: a page with header, tag and ciphertext. A guest does the same with its requests.
///
/// None if the payload is too long.
#[must_use]
pub fn seal(key: &[u8; 32], header: &MessageHeader, payload: &[u8]) -> Option<[u8; PAGE_BYTES]> {
    let mut header = *header;
    header.message_size =
        u16::try_from(payload.len()).ok().filter(|size| usize::from(*size) <= MAX_PAYLOAD)?;
    header.tag = [0; 0x20];
    let mut sealed = Vec::from(payload);
    let authenticated = Vec::from(header.as_bytes().get(AUTHENTICATED)?);
    let vector = header.initialization_vector().into();
    let cipher = Aes256Gcm::new(&(*key).into());
    let tag = cipher.encrypt_inout_detached(&vector, &authenticated, InOutBuf::from(&mut *sealed)).ok()?;
    header.tag.get_mut(..TAG_BYTES)?.copy_from_slice(&tag);
    let mut page = [0; PAGE_BYTES];
    page.get_mut(..HEADER_BYTES)?.copy_from_slice(header.as_bytes());
    page.get_mut(HEADER_BYTES..HEADER_BYTES + sealed.len())?.copy_from_slice(&sealed);
    Some(page)
}

/// Opens such a page; None if it is not authentic, or longer than a page.
#[must_use]
pub fn open(key: &[u8; 32], page: &[u8; PAGE_BYTES]) -> Option<(MessageHeader, Vec<u8>)> {
    let (header, rest) = split(page)?;
    let mut payload = Vec::from(rest.get(..usize::from(header.message_size))?);
    let vector = header.initialization_vector().into();
    let tag: [u8; TAG_BYTES] = *header.tag.first_chunk()?;
    let authenticated = header.as_bytes().get(AUTHENTICATED)?;
    let cipher = Aes256Gcm::new(&(*key).into());
    let buffer = InOutBuf::from(&mut *payload);
    cipher.decrypt_inout_detached(&vector, authenticated, buffer, &tag.into()).ok()?;
    Some((header, payload))
}

impl Guest {
    /// The launch digest.
    #[must_use]
    pub const fn measurement(&self) -> [u8; 48] {
        self.measurement
    }

    /// Handles a request and returns the response's page.
    ///
    /// # Errors
    /// What the host is told; there is no response then, and sequence numbers are as they were.
    pub fn request(&mut self, page: &[u8; PAGE_BYTES]) -> Result<[u8; PAGE_BYTES], Status> {
        let (header, _) = split(page).ok_or(Status::InvalidParam)?;
        let is_known = header.algorithm == AES_256_GCM
            && header.header_version == HEADER_VERSION
            && usize::from(header.header_size) == HEADER_BYTES
            && header.message_version == MESSAGE_VERSION
            && usize::from(header.message_size) <= MAX_PAYLOAD;
        let slot = usize::from(header.vmpck);
        let (Some(key), Some(count)) = (self.vmpck.get(slot), self.message_count.get(slot)) else {
            return Err(Status::InvalidParam);
        };
        if !is_known {
            return Err(Status::InvalidParam);
        }
        let response_number = count.checked_add(2).ok_or(Status::AeadOverflow)?;
        if header.sequence_number != count + 1 {
            return Err(Status::InvalidParam);
        }
        let key = *key;
        let (header, payload) = open(&key, page).ok_or(Status::BadMeasurement)?;
        let response = self.respond(header.message_type, header.vmpck, &payload)?;
        let answer = MessageHeader {
            sequence_number: response_number,
            algorithm: AES_256_GCM,
            header_version: HEADER_VERSION,
            header_size: HEADER_BYTES as u16,
            message_type: header.message_type + 1,
            message_version: header.message_version,
            vmpck: header.vmpck,
            ..MessageHeader::new_zeroed()
        };
        let sealed = seal(&key, &answer, &response).ok_or(Status::InvalidParam)?;
        if let Some(count) = self.message_count.get_mut(slot) {
            *count = response_number;
        }
        Ok(sealed)
    }

    fn respond(&self, kind: u8, vmpl: u8, payload: &[u8]) -> Result<Vec<u8>, Status> {
        match kind {
            message_type::REPORT_REQUEST => self.report(vmpl, payload),
            message_type::KEY_REQUEST => self.derived_key(vmpl, payload),
            message_type::TSC_INFO_REQUEST => self.tsc_info(payload),
            _ => Err(Status::InvalidParam),
        }
    }
}

#[cfg(test)]
impl Guest {
    pub(crate) const fn keys_for_tests(&self) -> [[u8; 32]; VMPLS] {
        self.vmpck
    }

    pub(crate) fn count_for_tests(&self, vmpck: u8) -> u64 {
        self.message_count[usize::from(vmpck)]
    }

    pub(crate) const fn set_count_for_tests(&mut self, count: u64) {
        self.message_count = [count; VMPLS];
    }
}
