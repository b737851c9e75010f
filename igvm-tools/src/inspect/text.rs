//! An inspection for people.

use std::fmt::{Display, Formatter, Result};

use pvh_loader::PAGE_BYTES;

use super::{Inspection, Plinth};

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (version, file, headers) = (self.format_version, self.file_bytes, self.header_bytes);
        writeln!(f, "IGVM version {version}, {file} bytes, {headers} of them headers")?;
        for platform in &self.platforms {
            writeln!(f, "platform   {} (mask {:#x})", platform.name, platform.compatibility_mask)?;
        }
        for memory in &self.required_memory {
            writeln!(f, "required   {:#012x} {:>10} bytes of RAM", memory.gpa, memory.bytes)?;
        }
        for area in &self.parameters {
            let contents = area.contents.join(", ");
            writeln!(f, "parameter  {:#012x} {:>10} bytes: {contents}", area.gpa, area.bytes)?;
        }
        for run in &self.pages {
            let zeros = run.pages - run.data_pages;
            let (bytes, data) = (run.pages * PAGE_BYTES, run.data_pages);
            writeln!(
                f,
                "pages      {:#012x} {bytes:>10} bytes: {data} pages of data, {zeros} of zeros",
                run.gpa
            )?;
        }
        let context = &self.context;
        writeln!(f, "context    rip {:#x} rsp {:#x} rax {:#x}", context.rip, context.rsp, context.rax)?;
        writeln!(
            f,
            "           rdi {:#x} rflags {:#x} efer {:#x}",
            context.rdi, context.rflags, context.efer
        )?;
        writeln!(f, "           cr0 {:#x} cr3 {:#x} cr4 {:#x}", context.cr0, context.cr3, context.cr4)?;
        match &self.plinth {
            Some(plinth) => plinth.fmt(f),
            None => writeln!(f, "no boot page of Plinth's"),
        }
    }
}

impl Display for Plinth {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        // Both numbers are the file's.
        let used = self.image_end_gpa.saturating_sub(self.window_gpa);
        let debug = if self.debug { ", debug" } else { "" };
        let shortcuts = if self.shortcuts { "" } else { ", no shortcuts" };
        let mitigations = if self.mitigations { ", mitigations" } else { "" };
        writeln!(
            f,
            "window     {:#012x} {:>10} bytes, {used} used{debug}{mitigations}{shortcuts}",
            self.window_gpa, self.window_bytes
        )?;
        for file in &self.files {
            let digest = file.sha256.as_deref().unwrap_or("not all in the image");
            let place = format!("{:#012x} {:>10} bytes", file.gpa, file.bytes);
            writeln!(f, "{:<10} {place}: {} ({digest})", file.kind, file.name)?;
        }
        Ok(())
    }
}
