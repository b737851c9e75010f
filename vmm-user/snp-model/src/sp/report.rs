//! What guest messages ask for: attestation reports, derived keys, the TSC.

use alloc::vec::Vec;

use plinth_snp_abi::report::{
    AttestationReport, KeyFields, KeyRequest, KeyResponse, ReportRequest, ReportResponse, TcbVersion,
    TscInfoRequest, TscInfoResponse, report_flags, status,
};
use plinth_snp_abi::rmp::VMPLS;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{Guest, Status, keys};

/// The version of reports that this firmware makes: the first with the processor's family.
const REPORT_VERSION: u32 = 3;

/// A request of exactly this size.
fn parse<T: FromBytes>(payload: &[u8]) -> Result<T, Status> {
    T::read_from_bytes(payload).map_err(|_| Status::InvalidParam)
}

/// Whether a caller with this VMPCK may speak for a VMPL: its own, or a lower one.
fn is_own_or_lower(vmpck: u8, vmpl: u32) -> bool {
    vmpl >= u32::from(vmpck) && usize::try_from(vmpl).is_ok_and(|vmpl| vmpl < VMPLS)
}

impl Guest {
    /// MSG_REPORT_REQ. What it refuses has a status and no report.
    pub(super) fn report(&self, vmpck: u8, payload: &[u8]) -> Result<Vec<u8>, Status> {
        const VLEK: u32 = 2;
        let request: ReportRequest = parse(payload)?;
        let mut response = ReportResponse::new_zeroed();
        response.status = match request.key_select {
            _ if !is_own_or_lower(vmpck, request.vmpl) => status::INVALID_PARAMETER,
            0 | 1 => status::SUCCESS,
            // None has been loaded.
            VLEK => status::INVALID_KEY,
            _ => status::INVALID_PARAMETER,
        };
        if response.status == status::SUCCESS {
            response.report_size = size_of::<AttestationReport>() as u32;
            response.report = self.signed_report(&request);
        }
        Ok(response.as_bytes().to_vec())
    }

    fn signed_report(&self, request: &ReportRequest) -> AttestationReport {
        let platform = &self.platform;
        let [cpuid_family, cpuid_model, cpuid_stepping] = platform.cpuid;
        let author = if self.has_author { report_flags::AUTHOR_KEY } else { 0 };
        let mut report = AttestationReport {
            version: REPORT_VERSION,
            guest_svn: self.id_block.guest_svn,
            policy: self.policy.bits(),
            family_id: self.id_block.family_id,
            image_id: self.id_block.image_id,
            vmpl: request.vmpl,
            signature_algorithm: 1,
            current_tcb: platform.tcb,
            platform_info: platform.platform_info,
            flags: report_flags::SIGNED_BY_VCEK | author,
            report_data: request.report_data,
            measurement: self.measurement,
            host_data: self.host_data,
            id_key_digest: self.id_key_digest,
            author_key_digest: self.author_key_digest,
            report_id: platform.secret(&[b"report", &self.number.to_le_bytes()]),
            report_id_ma: [0xff; 32],
            reported_tcb: platform.tcb,
            cpuid_family,
            cpuid_model,
            cpuid_stepping,
            chip_id: platform.chip_id,
            committed_tcb: platform.tcb,
            current_version: platform.version,
            committed_version: platform.version,
            launch_tcb: platform.tcb,
            ..AttestationReport::new_zeroed()
        };
        report.signature = keys::sign(&platform.signing_key(), report.signed_bytes());
        report
    }

    /// MSG_KEY_REQ.
    pub(super) fn derived_key(&self, vmpck: u8, payload: &[u8]) -> Result<Vec<u8>, Status> {
        let request: KeyRequest = parse(payload)?;
        let mut response = KeyResponse { status: status::INVALID_PARAMETER, ..KeyResponse::default() };
        let fields = KeyFields::from_bits(request.field_select);
        let is_allowed = is_own_or_lower(vmpck, request.vmpl)
            && request.guest_svn <= self.id_block.guest_svn
            && is_at_most(request.tcb_version, self.platform.tcb);
        match (fields, request.root_key_select) {
            (Some(fields), root @ 0..=3) if is_allowed => {
                response.status = status::SUCCESS;
                response.key = self.key(&request, fields, root & 1);
            }
            // Bits 2:1 ask for the VLEK.
            (Some(_), 4 | 5) if is_allowed => response.status = status::INVALID_KEY,
            _ => {}
        }
        Ok(response.as_bytes().to_vec())
    }

    fn key(&self, request: &KeyRequest, fields: KeyFields, root: u32) -> [u8; 32] {
        let id = &self.id_block;
        let number = self.number.to_le_bytes();
        // The VMRK is this guest's, the VCEK the chip's.
        let root: &[u8] = if root == 1 { &number } else { b"vcek" };
        let policy = self.policy.bits().to_le_bytes();
        let (vmpl, svn) = (request.vmpl.to_le_bytes(), request.guest_svn.to_le_bytes());
        let (tcb, selected) = (request.tcb_version.to_le_bytes(), fields.bits().to_le_bytes());
        let table: [(KeyFields, &[u8]); 6] = [
            (KeyFields::POLICY, &policy),
            (KeyFields::IMAGE_ID, &id.image_id),
            (KeyFields::FAMILY_ID, &id.family_id),
            (KeyFields::MEASUREMENT, &self.measurement),
            (KeyFields::GUEST_SVN, &svn),
            (KeyFields::TCB_VERSION, &tcb),
        ];
        let chosen = table.iter().filter(|(field, _)| fields.contains(*field)).map(|(_, bytes)| *bytes);
        let parts: Vec<&[u8]> = [&b"key"[..], root, &vmpl, &selected].into_iter().chain(chosen).collect();
        self.platform.secret(&parts)
    }

    /// MSG_TSC_INFO_REQ: this platform has no Secure TSC, and says factors that change nothing.
    pub(super) fn tsc_info(&self, payload: &[u8]) -> Result<Vec<u8>, Status> {
        /// 1.0 of a TSC ratio (APM 2, 15.30.5).
        const RATIO_ONE: u64 = 1 << 32;
        let _: TscInfoRequest = parse(payload)?;
        let response = TscInfoResponse { tsc_scale: RATIO_ONE, ..TscInfoResponse::new_zeroed() };
        Ok(response.as_bytes().to_vec())
    }
}

/// Whether no part of a TCB is newer than the committed one's.
fn is_at_most(requested: u64, committed: TcbVersion) -> bool {
    requested.to_le_bytes().into_iter().zip(committed.as_bytes().iter()).all(|(one, other)| one <= *other)
}
