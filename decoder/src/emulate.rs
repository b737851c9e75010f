//! Carries out an [`Instruction`] over a [`Machine`].
//!
//! Every check that can fault is made, and every page translated, before a register or memory changes; only a
//! repeated string instruction may stop between two iterations, as it may on the processor. Debug registers
//! are not looked at: breakpoints on emulated accesses don't fire.

mod address;
mod alu;
mod arithmetic;
mod bit;
mod bmi;
mod branch;
mod conditional;
mod count;
mod descriptor;
mod event;
mod exchange;
mod far;
mod frame;
mod iret;
mod memory;
mod mmx;
mod moves;
mod multiply;
mod operand;
mod plain;
mod segment;
mod shift;
mod stack;
mod string;
mod tables;
mod vector;

pub use event::{Combined, Event, combine, deliver};
pub use plain::Plain;

use crate::walk::WalkError;
use crate::{Exception, Instruction, Machine, Operand, Operation, Segment};

/// How an emulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, RIP advanced. The interrupt shadow is over.
    Done {
        /// RFLAGS.TF was set: #DB with DR6.BS is due before the next instruction.
        single_step: bool,
    },
    /// A repeated string instruction has iterations left: registers and memory are between two of them, RIP
    /// is where it was. Interrupts may be taken now; emulating the instruction again goes on with it.
    Repeat {
        /// As for [`Outcome::Done`]: with TF set, each iteration is a step.
        single_step: bool,
    },
    /// A fault to inject. Nothing has changed but iterations that were complete.
    Exception(Exception),
    /// An instruction that is the VMM's to carry out, by [`Instruction::operation`]; then
    /// [`Instruction::advance`](crate::Instruction::advance). Nothing has changed.
    Intercepted {
        /// The value of the source operand: of OUT, LMSW and moves to control and debug registers; else 0.
        value: u64,
    },
    /// Nothing has changed: run the guest again. Other vCPUs changed memory under the emulation again and
    /// again, or it came to a port that the processor has not checked ([`Machine::may_access_port`]).
    Retry,
    /// The emulation can't be had; nothing has changed but iterations that were complete.
    Stop(Stop),
}

/// Why an instruction was not emulated although it could be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// [`Machine::xmm`] or [`Machine::set_xmm`] gave `None`.
    FpuState,
    /// A locked operand crosses a page: it can't be made atomic.
    SplitLock,
    /// A far transfer or an event leads to another task.
    TaskSwitch,
}

/// Why a step of an emulation could not be done.
enum Abort {
    Exception(Exception),
    Retry,
    Stop(Stop),
}

type Result<T> = core::result::Result<T, Abort>;

impl From<Exception> for Abort {
    fn from(exception: Exception) -> Self {
        Abort::Exception(exception)
    }
}

impl From<Abort> for Outcome {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Exception(exception) => Outcome::Exception(exception),
            Abort::Retry => Outcome::Retry,
            Abort::Stop(stop) => Outcome::Stop(stop),
        }
    }
}

impl Abort {
    /// What a failed walk means for an access through `segment`.
    fn from_walk(error: WalkError, segment: Segment) -> Abort {
        match error {
            WalkError::Fault { error_code, address } => Exception::page_fault(error_code, address).into(),
            WalkError::NonCanonical => Exception::of_segment(segment).into(),
            WalkError::Contended => Abort::Retry,
        }
    }
}

/// Emulates `instruction`, which was decoded from the bytes at CS:RIP. A repeated string instruction does at
/// most `max_iterations` (at least one).
#[inline(always)]
pub fn emulate(instruction: &Instruction, machine: &mut impl Machine, max_iterations: u32) -> Outcome {
    // What nearly every access is; nothing has changed where this returns nothing.
    if let Some(plain) = instruction.plain()
        && let Some(single_step) = plain.emulate(machine)
    {
        return Outcome::Done { single_step };
    }
    let mut emulation = Emulation { instruction, machine, pages: [None; 2] };
    emulation.run(max_iterations).unwrap_or_else(Outcome::from)
}

/// One emulation. Each family of instructions adds its part in a module of its own.
struct Emulation<'a, M> {
    instruction: &'a Instruction,
    machine: &'a mut M,
    /// The pages a string instruction went to last, through rSI and through rDI: linear, and guest physical.
    pages: [Option<(u64, u64)>; 2],
}

impl<M: Machine> Emulation<'_, M> {
    #[inline(never)]
    fn run(&mut self, max_iterations: u32) -> Result<Outcome> {
        use Operation::*;
        match self.instruction.operation {
            Mov | Movzx | Movsx | Movbe => self.mov()?,
            Add | Or | Adc | Sbb | And | Sub | Xor | Cmp | Test => self.binary()?,
            Not | Neg | Inc | Dec => self.unary()?,
            Xchg => self.xchg()?,
            Xadd => self.xadd()?,
            Cmpxchg => self.cmpxchg()?,
            CmpxchgPair => self.cmpxchg_pair()?,
            Bt | Bts | Btr | Btc => self.bit()?,
            Push => self.push()?,
            Pop => self.pop()?,
            MovVector => self.mov_vector()?,
            Movs | Cmps | Stos | Lods | Scas | Ins | Outs => return self.string(max_iterations),
            // An exit for LMSW has been checked by the processor, but what is there now may be another one,
            // put there by another vCPU: then nobody has looked at CPL.
            Lmsw if self.machine.cpl() != 0 => return Err(Exception::GENERAL_PROTECTION.into()),
            Cpuid | Rdmsr | Wrmsr | Rdtsc | Rdtscp | Hlt | Vmmcall | Xsetbv | Invd | Wbinvd | Clts | Lmsw
            | MovControl | MovDebug | In | Out => {
                // The source may be in memory, and so may fault: only the emulator can tell.
                return Ok(Outcome::Intercepted { value: self.source()? });
            }
            // Apart from the rest, so that the common families stay in one short function.
            _ => return self.run_rare(),
        }
        Ok(self.done())
    }

    /// What the short tables do not decode.
    #[cold]
    #[inline(never)]
    fn run_rare(&mut self) -> Result<Outcome> {
        use Operation::*;
        match self.instruction.operation {
            Cmov => self.cmov()?,
            Set => self.set_by_condition()?,
            Bsf | Bsr | Tzcnt | Lzcnt | Popcnt => self.count()?,
            Crc32 => self.crc32()?,
            Mul | ImulWide => self.multiply_wide()?,
            Imul | ImulImmediate => self.multiply()?,
            Div | Idiv => self.divide()?,
            Rol | Ror | Rcl | Rcr | Shl | Shr | Sar => self.shift()?,
            Shld | ShldCl | Shrd | ShrdCl => self.shift_double()?,
            Adcx | Adox => self.add_with_flag()?,
            Andn | Bextr | Blsi | Blsmsk | Blsr | Bzhi => self.bmi()?,
            Pdep | Pext | Rorx | Shlx | Shrx | Sarx => self.bmi_plain()?,
            Mulx => self.mulx()?,
            Xlat => self.xlat()?,
            Bound => self.bound()?,
            // Checked like a load, which it is to page tables (APM 3, CLFLUSH); a device has no cache to be
            // flushed.
            CacheLine => drop(self.operand_place(crate::walk::Kind::Read)?),
            MovMmx => self.mov_mmx()?,
            MovVectorHalf => self.mov_vector_half()?,
            _ => return self.run_system(),
        }
        Ok(self.done())
    }

    /// Segments, descriptor tables, the stack, and branches.
    fn run_system(&mut self) -> Result<Outcome> {
        use Operation::*;
        match self.instruction.operation {
            Arpl => self.arpl()?,
            LoadFar => self.load_far()?,
            // What comes behind is executed before a step is reported (APM 2, 13.1.4).
            MovSegment | PopRegister
                if self.instruction.destination == Operand::Segment(Segment::Ss as u8) =>
            {
                self.load_stack_segment()?;
                let _ = self.done();
                return Ok(Outcome::Done { single_step: false });
            }
            MovSegment => self.mov_segment()?,
            Smsw | Sldt | Str => self.store_system()?,
            Sgdt | Sidt => self.store_table()?,
            Lgdt | Lidt => self.load_table()?,
            Lldt => self.load_ldt()?,
            Ltr => self.load_task_register()?,
            Lar | Lsl | Verr | Verw => self.look_at_selector()?,
            PushRegister => self.push_register()?,
            PopRegister => self.pop_register()?,
            Pusha => self.push_all_registers()?,
            Popa => self.pop_all_registers()?,
            Pushf => self.push_flags()?,
            Popf => return self.pop_flags(),
            Enter => self.enter()?,
            Leave => self.leave()?,
            Jmp => return self.jump(),
            Call | CallRelative => return self.call(),
            Ret => return self.ret(),
            JmpFar => return self.jump_far(),
            CallFar => return self.call_far(),
            RetFar => return self.return_far(),
            Iret => return self.iret(),
            // All others have been dealt with before.
            _ => return Err(Abort::Retry),
        }
        Ok(self.done())
    }

    #[inline]
    fn done(&mut self) -> Outcome {
        Outcome::Done { single_step: self.instruction.advance(self.machine) }
    }
}
