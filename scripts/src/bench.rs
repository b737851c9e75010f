//! The exit benchmark: what an exit costs, in executed instructions.
//!
//! [`Bench`] builds its programs and runs a [`Side`], whose lines go to `SIDE.raw` in the benchmark's folder.
//! [`rows`] makes rows of them, [`report`] JSON, tables and a picture of the rows, and [`expected`] holds the
//! rows against what is accepted.
//!
//! With `-icount shift=0` a tick of the time-stamp counter is an executed instruction; with a fixed clock and
//! seed two runs agree.

pub mod expected;
mod programs;
pub mod report;
pub mod rows;
mod sides;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use plinth_qemu::{Boot, Machine, Qemu, read_text};

pub use programs::guest;
pub use rows::{Column, Row};
pub use sides::Side;

use crate::command::last_lines;
use crate::image::{Image, Payload};
use crate::project::{Project, make_folder, write};
use crate::testing::seconds;

/// Iterations of a row's loop in a quick run.
pub const QUICK_ITERATIONS: u64 = 500;
/// The machine that all sides run on. It is a processor's model, not `max`, so that a newer QEMU gives the
/// same.
pub const CPU: &str = "EPYC";
/// How long one side may run.
const LIMIT_SECONDS: u64 = 1200;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Iterations of each row's loop.
    pub iterations: u64,
    /// How often each row is run; the median counts.
    pub rounds: u32,
}

/// A run that is over soon.
pub const QUICK: Amount = Amount { iterations: QUICK_ITERATIONS, rounds: 1 };

/// A benchmark to run.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The project.
    pub project: Project,
    /// The QEMU.
    pub qemu: Qemu,
    /// Where programs, images, consoles and results go.
    pub folder: PathBuf,
    /// Whether QEMU's own loader loads Plinth's image. After that it does not matter.
    pub igvm: bool,
}

impl Bench {
    /// A benchmark in this folder, which is made.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(project: &Project, qemu: &Qemu, folder: &Path) -> Result<Self> {
        make_folder(folder)?;
        let (project, qemu, folder) = (project.clone(), qemu.clone(), folder.to_path_buf());
        Ok(Self { project, qemu, folder, igvm: false })
    }

    /// A machine that boots an image.
    pub fn machine(&self, image: PathBuf) -> Machine {
        let loader = self.project.programs().join("pvh-loader");
        Machine::new(if self.igvm { Boot::Igvm { image } } else { Boot::Pvh { loader, image } })
    }

    /// The machine as it counts: with the benchmark's processor, and instructions for time.
    pub fn counted(&self, machine: Machine, memory_mib: u32) -> Machine {
        // Time by the number of instructions: what else the host does changes no count.
        Machine { memory_mib, cpu: Some(CPU.to_owned()), ..machine.deterministic() }
    }

    /// An image of the benchmark's guest with this command line, "ITERATIONS ROUNDS GROUPS ROW".
    ///
    /// # Errors
    /// When the recipe is not there.
    pub fn image(&self, append: String) -> Result<Image> {
        let payload = Payload { kernel: self.folder.join("guest.bin"), initrd: None, append };
        Ok(Image::new(&self.project, "bench")?.payload(&payload))
    }

    /// Boots an image, or else, and takes down the rows that it prints as those of `name`.
    ///
    /// # Errors
    /// When there are none; the end of the console is in the error.
    pub fn measure(&self, name: &str, machine: Machine, memory_mib: u32) -> Result<()> {
        let machine = self.counted(machine, memory_mib);
        let console = self.folder.join(format!("{name}.console"));
        let limit = seconds("PLINTH_BENCH_LIMIT", LIMIT_SECONDS)?;
        let ended = machine.run(&self.qemu, &console, limit)?;
        let said = read_text(&console);
        let raw = rows::raw(name, &said);
        // A machine that was late or broke has no rows, and old ones stay as they are.
        if !raw.contains(" ROW ") {
            let end = last_lines(&said, 25);
            bail!("the benchmark of {name} gave no rows, and ended with {}:\n{end}", ended.outcome);
        }
        write(&self.folder.join(format!("{name}.raw")), raw)
    }

    /// The rows of all sides that were run, now or before.
    ///
    /// # Errors
    /// When one of their files is not as this program writes it.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let raw = Column::ALL.iter().map(|side| read_text(&self.folder.join(format!("{}.raw", side.name()))));
        rows::of(&raw.collect::<String>())
    }

    /// Whether a side was run, now or before.
    pub fn has(&self, column: Column) -> bool {
        self.folder.join(format!("{}.raw", column.name())).exists()
    }
}
