//! Images that fit a machine, and images that do not.

use igvm_defs::{
    IGVM_VHS_PAGE_DATA, IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SUPPORTED_PLATFORM, IGVM_VHS_VP_CONTEXT,
    IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType, RequiredMemoryFlags,
};
use pvh_loader::crc32;
use std::vec::Vec;

use super::*;

/// Stands for the place of the data until it is known.
const PLACEHOLDER: u32 = 0x5a5a_5a5a;

/// Headers of a file for SEV-SNP, of format version 1, with one page of data behind them.
#[derive(Default)]
struct Builder {
    headers: Vec<u8>,
    data: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        let mut file = Self::default();
        let platform = IGVM_VHS_SUPPORTED_PLATFORM {
            compatibility_mask: 1,
            highest_vtl: 0,
            platform_type: IgvmPlatformType::SEV_SNP,
            platform_version: 1,
            shared_gpa_boundary: 0,
        };
        file.header(1, platform.as_bytes());
        file
    }

    fn header(&mut self, kind: u32, content: &[u8]) {
        self.headers.extend(kind.to_le_bytes());
        self.headers.extend((content.len() as u32).to_le_bytes());
        self.headers.extend(content);
        self.headers.resize(self.headers.len().next_multiple_of(8), 0);
    }

    fn page(mut self, gpa: u64) -> Self {
        let page = IGVM_VHS_PAGE_DATA {
            gpa,
            compatibility_mask: 1,
            file_offset: 0,
            flags: IgvmPageDataFlags::new(),
            data_type: IgvmPageDataType::NORMAL,
            reserved: 0,
        };
        self.header(0x302, page.as_bytes());
        self
    }

    fn required(mut self, gpa: u64, bytes: u32) -> Self {
        let required = IGVM_VHS_REQUIRED_MEMORY {
            gpa,
            compatibility_mask: 1,
            number_of_bytes: bytes,
            flags: RequiredMemoryFlags::new(),
            reserved: 0,
        };
        self.header(0x305, required.as_bytes());
        self
    }

    /// A context, whose page is the file's one page of data: its place is known only when all headers are.
    fn context(mut self, vcpu: u16, gpa: u64, vmsa: &Vmsa) -> Self {
        let context = IGVM_VHS_VP_CONTEXT {
            gpa: gpa.into(),
            compatibility_mask: 1,
            file_offset: PLACEHOLDER,
            vp_index: vcpu,
            reserved: 0,
        };
        self.header(0x304, context.as_bytes());
        self.data = vmsa.to_page().to_vec();
        self
    }

    fn build(self) -> Vec<u8> {
        const FIXED: usize = 24;
        let headers = self.headers.len();
        let words = [0x4d56_4749, 1, FIXED, headers, FIXED + headers + self.data.len(), 0];
        let mut file: Vec<u8> = words.iter().flat_map(|word| (*word as u32).to_le_bytes()).collect();
        file.extend(&self.headers);
        let place = ((FIXED + headers) as u32).to_le_bytes();
        while let Some(at) = file.windows(4).position(|word| word == PLACEHOLDER.to_le_bytes()) {
            file[at..at + 4].copy_from_slice(&place);
        }
        let checksum = crc32::checksum(&[&file]);
        file[20..24].copy_from_slice(&checksum.to_le_bytes());
        file.extend(&self.data);
        file
    }
}

fn parts_of(builder: Builder, ram: u64) -> Result<Vec<Extent>, LaunchError> {
    let bytes = builder.build();
    parts(&SnpFile::parse(&bytes).unwrap(), ram)
}

const RAM_BYTES: u64 = 16 << 20;

#[test]
fn what_is_outside_of_ram_is_memory_too() {
    let image = Builder::new().page(0x1000).page(0xffff_e000).page(0xffff_f000).required(0x2000, 0x1000);
    let ram = Extent { start: 0, end: RAM_BYTES };
    let rom = Extent { start: 0xffff_e000, end: 0x1_0000_0000 };
    assert_eq!(parts_of(image, RAM_BYTES), Ok(vec![ram, rom]));
}

#[test]
fn images_that_no_machine_has_room_for() {
    let outside = Err(LaunchError::Outside(RAM_BYTES));
    assert_eq!(parts_of(Builder::new().page(1 << 47), RAM_BYTES), outside);
    let scattered =
        (0..=RUNS_MAX as u64).fold(Builder::new(), |image, run| image.page((1 << 32) + run * 0x2000));
    assert_eq!(parts_of(scattered, RAM_BYTES), outside);
    let missing = LaunchError::Required { start: RAM_BYTES, bytes: 0x1000 };
    assert_eq!(parts_of(Builder::new().required(RAM_BYTES, 0x1000), RAM_BYTES), Err(missing));
    let half = LaunchError::Required { start: RAM_BYTES - 0x1000, bytes: 0x2000 };
    assert_eq!(parts_of(Builder::new().required(RAM_BYTES - 0x1000, 0x2000), RAM_BYTES), Err(half));
}

#[test]
fn states_of_vcpus() {
    let snp = Vmsa::reset(0xffff_fff0).for_vmpl(0, SevFeatures::SNP_ACTIVE);
    let of = |vcpu, gpa, vmsa: &Vmsa| {
        let bytes = Builder::new().context(vcpu, gpa, vmsa).build();
        contexts(&SnpFile::parse(&bytes).unwrap(), 1)
    };
    let started = of(0, KVM_VMSA_GPA, &Vmsa { efer: 0, cr4: 0, ..snp }).unwrap();
    assert_eq!(started, [as_started(&snp)]);
    assert_eq!(of(1, KVM_VMSA_GPA, &snp), Err(LaunchError::Context(1)));
    assert_eq!(of(0, 0x1000, &snp), Err(LaunchError::Context(0)));
    let features = SevFeatures::SNP_ACTIVE | SevFeatures::REFLECT_VC;
    let paravisor = snp.for_vmpl(0, features);
    assert_eq!(of(0, KVM_VMSA_GPA, &paravisor), Err(LaunchError::Features(features.bits())));
    let empty = Builder::new().build();
    assert_eq!(contexts(&SnpFile::parse(&empty).unwrap(), 1), Err(LaunchError::NoContext));
}

#[test]
fn parameter_areas_have_what_the_host_knows() {
    use pvh_loader::file::ParameterKind;

    let facts = facts(RAM_BYTES, 3).unwrap();
    let place = Extent { start: 0x4000, end: 0x6000 };
    let parameter = |kind, offset| Parameter { kind, area: 0, offset };
    let both = [parameter(ParameterKind::VpCount, 0x1000), parameter(ParameterKind::MemoryMap, 0)];
    let bytes = area(place, &both, &facts).unwrap();
    assert_eq!(bytes.len(), 0x2000);
    assert_eq!(bytes[..16], [0u64, RAM_BYTES / PAGE].map(u64::to_le_bytes).concat());
    assert_eq!(bytes[0x1000..0x1004], 3u32.to_le_bytes());
    assert!(area(place, &[parameter(ParameterKind::VpCount, 0x1ffe)], &facts).is_err());
}
