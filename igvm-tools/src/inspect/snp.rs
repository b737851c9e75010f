//! What a file has for SEV-SNP, as data and for people.

use std::fmt::{Display, Formatter, Result};

use plinth_snp_abi::id_block::GuestPolicy;
use pvh_loader::PAGE_BYTES;
use pvh_loader::file::{Directive, ParameterAreas};
use serde::Serialize;

use super::{AreaInfo, Range, kind_name};
use crate::measure::hex;
use crate::snp::id_block;
use crate::snp::reader::{Context, PageKind, SnpDirective, SnpFile};

/// Everything worth knowing of a file's part for SEV-SNP. Addresses and sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnpInspection {
    /// The guest policy.
    pub policy: Option<u64>,
    /// What must be RAM.
    pub required_memory: Vec<Range>,
    /// The pages loaded, runs of adjacent ones of one kind together, in the order of the file.
    pub pages: Vec<SnpRun>,
    /// The parameter areas.
    pub parameters: Vec<AreaInfo>,
    /// The states in which vCPUs start.
    pub contexts: Vec<SnpContext>,
    /// The ID block.
    pub id_block: Option<IdBlockInfo>,
}

/// Adjacent pages of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SnpRun {
    /// First byte.
    pub gpa: u64,
    /// Number of pages.
    pub pages: u64,
    /// How many of them have contents in the file.
    pub data_pages: u64,
    /// `measured`, `unmeasured`, `shared`, `secrets` or `cpuid`.
    pub kind: &'static str,
}

/// The registers that matter of a vCPU's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "registers, by their names")]
pub struct SnpContext {
    /// The vCPU's number.
    pub vcpu: u16,
    /// Where the VMSA is.
    pub gpa: u64,
    pub vmpl: u8,
    pub sev_features: u64,
    pub cs_base: u64,
    pub rip: u64,
    pub rsp: u64,
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
}

/// What the ID block says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdBlockInfo {
    /// The launch digest that it wants.
    pub launch_digest: String,
    /// The family.
    pub family_id: String,
    /// The image.
    pub image_id: String,
    /// The guest's security version.
    pub guest_svn: u32,
    /// The digest of the ID key, as reports have it.
    pub id_key_digest: String,
    /// The digest of the author's key, if there is one.
    pub author_key_digest: Option<String>,
    /// `valid`, or what is wrong with the signatures.
    pub signatures: String,
}

impl SnpInspection {
    /// Looks through a file.
    pub fn new(file: &SnpFile<'_>) -> Self {
        let mut inspection = Self {
            policy: file.policy().map(|policy| policy.bits()),
            contexts: file.contexts().map(context).collect(),
            id_block: id_block_info(file),
            ..Self::default()
        };
        let mut areas = ParameterAreas::default();
        for placed in file.directives() {
            match &placed.directive {
                SnpDirective::Page { gpa, kind, data, .. } => {
                    inspection.page(*gpa, name(*kind), data.is_some());
                }
                SnpDirective::Common(common) => inspection.common(common, &mut areas),
                SnpDirective::Context(_) | SnpDirective::IdBlock(_) => {}
            }
        }
        inspection
    }

    fn page(&mut self, gpa: u64, kind: &'static str, data: bool) {
        match self.pages.last_mut() {
            Some(run) if run.kind == kind && run.gpa.checked_add(run.pages * PAGE_BYTES) == Some(gpa) => {
                run.pages += 1;
                run.data_pages += u64::from(data);
            }
            _ => self.pages.push(SnpRun { gpa, pages: 1, data_pages: data.into(), kind }),
        }
    }

    fn common(&mut self, directive: &Directive<'_>, areas: &mut ParameterAreas) {
        // The reader has followed them without an error.
        if let Ok(Some((area, place))) = areas.follow(directive) {
            let contents = areas.parameters(area.index).map(|parameter| kind_name(parameter.kind)).collect();
            let (index, gpa, bytes) = (area.index, place.start, area.bytes);
            self.parameters.push(AreaInfo { index, gpa, bytes, contents });
        }
        if let Directive::RequiredMemory { extent } = directive {
            self.required_memory.push(Range { gpa: extent.start, bytes: extent.bytes() });
        }
    }
}

fn name(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Measured => "measured",
        PageKind::Unmeasured => "unmeasured",
        PageKind::Shared => "shared",
        PageKind::Secrets => "secrets",
        PageKind::Cpuid => "cpuid",
    }
}

fn context(context: Context<'_>) -> SnpContext {
    let vmsa = context.vmsa();
    SnpContext {
        vcpu: context.vcpu,
        gpa: context.gpa,
        vmpl: vmsa.vmpl,
        sev_features: vmsa.sev_features,
        cs_base: vmsa.cs.base,
        rip: vmsa.rip,
        rsp: vmsa.rsp,
        cr0: vmsa.cr0,
        cr3: vmsa.cr3,
        cr4: vmsa.cr4,
        efer: vmsa.efer,
    }
}

fn id_block_info(file: &SnpFile<'_>) -> Option<IdBlockInfo> {
    let block = file.id_block()?.fields()?;
    // The policy is part of what is signed, and QEMU takes it from the file.
    let policy = file.policy().unwrap_or(GuestPolicy::empty());
    let signatures = id_block::verify(&block, policy);
    let author = (block.author_key_enabled != 0).then_some(&block.author_public_key);
    Some(IdBlockInfo {
        launch_digest: hex(&block.ld),
        family_id: hex(&block.family_id),
        image_id: hex(&block.image_id),
        guest_svn: block.guest_svn,
        id_key_digest: hex(&id_block::key_digest(&block.id_public_key)),
        author_key_digest: author.map(|key| hex(&id_block::key_digest(key))),
        signatures: signatures.map_or_else(|error| error.to_string(), |()| "valid".to_owned()),
    })
}

impl Display for SnpInspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.policy {
            Some(policy) => writeln!(f, "SEV-SNP    policy {policy:#x}")?,
            None => writeln!(f, "SEV-SNP    no policy")?,
        }
        for memory in &self.required_memory {
            writeln!(f, "required   {:#012x} {:>10} bytes of RAM", memory.gpa, memory.bytes)?;
        }
        for area in &self.parameters {
            let contents = area.contents.join(", ");
            writeln!(f, "parameter  {:#012x} {:>10} bytes: {contents}", area.gpa, area.bytes)?;
        }
        for SnpRun { gpa, pages, data_pages, kind } in &self.pages {
            let bytes = pages * PAGE_BYTES;
            writeln!(f, "{kind:<10} {gpa:#012x} {bytes:>10} bytes: {data_pages} pages of data")?;
        }
        self.contexts.iter().try_for_each(|context| context.fmt(f))?;
        self.id_block.iter().try_for_each(|block| block.fmt(f))
    }
}

impl Display for SnpContext {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { vcpu, gpa, vmpl, sev_features, cs_base, rip, rsp, cr0, cr3, cr4, efer } = self;
        writeln!(f, "vCPU {vcpu:<5} at {gpa:#x}, VMPL {vmpl}, features {sev_features:#x}")?;
        writeln!(f, "           cs base {cs_base:#x} rip {rip:#x} rsp {rsp:#x} efer {efer:#x}")?;
        writeln!(f, "           cr0 {cr0:#x} cr3 {cr3:#x} cr4 {cr4:#x}")
    }
}

impl Display for IdBlockInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "ID block   digest {}", self.launch_digest)?;
        let (family, image) = (&self.family_id, &self.image_id);
        writeln!(f, "           family {family} image {image} version {}", self.guest_svn)?;
        writeln!(f, "           ID key {}", self.id_key_digest)?;
        if let Some(digest) = &self.author_key_digest {
            writeln!(f, "           author {digest}")?;
        }
        writeln!(f, "           signatures: {}", self.signatures)
    }
}
