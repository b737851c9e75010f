//! What is in an IGVM file, as data: platforms, pages, parameters, context and, in an image of ours, its
//! files.

mod contents;
mod report;
pub mod snp;
mod text;

use igvm_defs::{IgvmNativeVpContextX64, IgvmPlatformType};
use pvh_loader::PAGE_BYTES;
use pvh_loader::file::{Directive, FileError, IgvmFile, ParameterAreas, ParameterKind};
use serde::Serialize;
use zerocopy::FromBytes;

pub use contents::{Contents, ImageFile, Plinth};
pub use report::{FileInfo, Report};

/// Everything worth knowing of a file. Addresses and sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// IGVM format version.
    pub format_version: u32,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of its variable headers.
    pub header_bytes: u64,
    /// What it runs on.
    pub platforms: Vec<PlatformInfo>,
    /// What must be RAM.
    pub required_memory: Vec<Range>,
    /// The pages loaded, runs of adjacent ones together, in the order of the file.
    pub pages: Vec<Run>,
    /// The parameter areas.
    pub parameters: Vec<AreaInfo>,
    /// The state of the first processor.
    pub context: ContextInfo,
    /// What the boot page says, if it is an image of ours.
    pub plinth: Option<Plinth>,
}

/// A platform of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlatformInfo {
    /// Its name, in lower case.
    pub name: String,
    /// The bit that its directives have in their masks.
    pub compatibility_mask: u32,
}

/// A range of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// First byte.
    pub gpa: u64,
    /// Length.
    pub bytes: u64,
}

/// Adjacent pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// First byte.
    pub gpa: u64,
    /// Number of pages.
    pub pages: u64,
    /// How many of them have contents in the file; the others are zeros.
    pub data_pages: u64,
}

/// A parameter area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AreaInfo {
    /// Its number in the file.
    pub index: u32,
    /// Where it is put.
    pub gpa: u64,
    /// Its size.
    pub bytes: u64,
    /// What the host writes into it.
    pub contents: Vec<&'static str>,
}

/// The registers that matter of the first processor's context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "registers, by their names")]
pub struct ContextInfo {
    pub rip: u64,
    pub rsp: u64,
    pub rax: u64,
    pub rdi: u64,
    pub rflags: u64,
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
}

impl Inspection {
    /// Looks through a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn new(file: &IgvmFile<'_>) -> Result<Self, FileError> {
        let mut inspection = Self {
            format_version: file.version(),
            file_bytes: file.bytes().len() as u64,
            header_bytes: file.header_bytes() as u64,
            platforms: platforms(file.platforms()),
            required_memory: Vec::new(),
            pages: Vec::new(),
            parameters: Vec::new(),
            context: ContextInfo::default(),
            plinth: None,
        };
        // Directives refer to areas that came before, so they are followed in the file's order.
        let mut areas = ParameterAreas::default();
        for directive in file.directives() {
            inspection.add(&directive?, &mut areas)?;
        }
        // When the context is known: its CR3 and RDI lead to the boot page.
        let contents = Contents::new(file)?;
        inspection.plinth = contents.plinth(&inspection.context);
        Ok(inspection)
    }

    fn add(&mut self, directive: &Directive<'_>, areas: &mut ParameterAreas) -> Result<(), FileError> {
        // When it is inserted: before, its place and the rest of its parameters are not known.
        if let Some((area, place)) = areas.follow(directive)? {
            let contents = areas.parameters(area.index).map(|parameter| kind_name(parameter.kind)).collect();
            self.parameters.push(AreaInfo {
                index: area.index,
                gpa: place.start,
                bytes: area.bytes,
                contents,
            });
        }
        match *directive {
            Directive::Page { gpa, data, .. } => self.page(gpa, data.is_some()),
            Directive::RequiredMemory { extent } => {
                self.required_memory.push(Range { gpa: extent.start, bytes: extent.bytes() });
            }
            Directive::VpContext { registers } => self.context = context(registers),
            _ => {}
        }
        Ok(())
    }

    fn page(&mut self, gpa: u64, data: bool) {
        match self.pages.last_mut() {
            // Only neighbours in the file's order, so that a file which is out of order shows.
            Some(run) if run.gpa.checked_add(run.pages * PAGE_BYTES) == Some(gpa) => {
                run.pages += 1;
                run.data_pages += u64::from(data);
            }
            _ => self.pages.push(Run { gpa, pages: 1, data_pages: u64::from(data) }),
        }
    }
}

fn platforms(list: impl Iterator<Item = igvm_defs::IGVM_VHS_SUPPORTED_PLATFORM>) -> Vec<PlatformInfo> {
    let info = |platform: igvm_defs::IGVM_VHS_SUPPORTED_PLATFORM| {
        let name = match platform.platform_type {
            IgvmPlatformType::NATIVE => "native".to_owned(),
            IgvmPlatformType::SEV_SNP => "sev-snp".to_owned(),
            IgvmPlatformType::TDX => "tdx".to_owned(),
            IgvmPlatformType::SEV => "sev".to_owned(),
            IgvmPlatformType::SEV_ES => "sev-es".to_owned(),
            IgvmPlatformType::VSM_ISOLATION => "vsm".to_owned(),
            // Platforms that came later are listed too: only NATIVE's directives are read.
            other => format!("type {}", other.0),
        };
        PlatformInfo { name, compatibility_mask: platform.compatibility_mask }
    };
    list.map(info).collect()
}

fn kind_name(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::MemoryMap => "memory map",
        ParameterKind::VpCount => "VP count",
        ParameterKind::EnvironmentInfo => "environment info",
    }
}

fn context(registers: &[u8]) -> ContextInfo {
    // The parser has checked the length.
    let Ok(context) = IgvmNativeVpContextX64::read_from_bytes(registers) else {
        return ContextInfo::default();
    };
    let IgvmNativeVpContextX64 { rip, rsp, rax, rdi, rflags, cr0, cr3, cr4, efer, .. } = context;
    ContextInfo { rip, rsp, rax, rdi, rflags, cr0, cr3, cr4, efer }
}
