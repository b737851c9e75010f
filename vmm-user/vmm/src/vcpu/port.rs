//! IN and OUT.

use decoder::{PortRequest, Size};
use devices::capability::Width;
use runtime::abi::exit::{PortAccess, reason};

use super::Vcpu;

impl Vcpu {
    #[inline(always)]
    pub(super) fn handle_port(&mut self, what: PortAccess) {
        if what.is_string() {
            return self.handle_string();
        }
        let width = match what.width() {
            1 => Width::Byte,
            2 => Width::Word,
            _ => Width::Dword,
        };
        let rax = self.registers.page.gpr(0);
        if what.is_in() {
            let value = u64::from(self.port_in(what.port(), width));
            let merged = match width {
                // A 32-bit result clears the upper half (APM volume 1, 3.1.2).
                Width::Dword => value,
                // A narrower one leaves the rest of RAX alone.
                _ => rax & !width.mask() | value & width.mask(),
            };
            self.registers.page.set_gpr(0, merged);
        } else {
            self.port_out(what.port(), width, (rax & width.mask()) as u32);
        }
        // The exit has it (APM volume 2, 15.10.2): nothing is fetched, so changed code is no matter here.
        let next = self.registers.page.next_rip();
        self.complete_at(next);
    }

    #[inline(always)]
    pub(super) fn port_in(&mut self, port: u16, width: Width) -> u32 {
        let board = &self.shared.board;
        let mut access = board.access();
        let value = board.port_read(port, width, &mut access);
        self.finish(&access);
        value
    }

    #[inline(always)]
    pub(super) fn port_out(&mut self, port: u16, width: Width, value: u32) {
        let board = &self.shared.board;
        let mut access = board.access();
        board.port_write(port, width, value, &mut access);
        self.finish(&access);
    }

    #[cold]
    fn handle_string(&mut self) {
        // The record has neither the segment nor the size of addresses, so the instruction is decoded.
        self.fetch_and_emulate();
    }

    /// The access by INS or OUTS whose right the processor has checked before the exit, if that is what the
    /// exit was for. The guest's bytes may be others by now.
    pub(super) fn checked_port(&self) -> Option<PortRequest> {
        let access = (self.registers.page.reason() == reason::PORT)
            .then(|| PortAccess(self.registers.page.qualification()))?;
        string_request(access)
    }
}

fn string_request(access: PortAccess) -> Option<PortRequest> {
    // A width that is none of these was not checked by the processor: no access is allowed for it.
    let size = match access.width() {
        1 => Size::B1,
        2 => Size::B2,
        4 => Size::B4,
        _ => return None,
    };
    let (port, is_in, is_repeated) = (access.port(), access.is_in(), access.is_repeated());
    access.is_string().then_some(PortRequest { port, size, is_in, is_repeated })
}

#[cfg(test)]
mod tests;
