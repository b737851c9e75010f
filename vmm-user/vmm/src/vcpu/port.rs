//! IN and OUT.

use devices::capability::Width;
use runtime::abi::exit::PortAccess;

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
        let rax = self.page.gpr(0);
        if what.is_in() {
            let value = u64::from(self.port_in(what.port(), width));
            let merged = match width {
                // A 32-bit result clears the upper half (APM volume 1, 3.1.2).
                Width::Dword => value,
                _ => rax & !width.mask() | value & width.mask(),
            };
            self.page.set_gpr(0, merged);
        } else {
            self.port_out(what.port(), width, (rax & width.mask()) as u32);
        }
        let next = self.page.next_rip();
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
        self.fetch_and_emulate();
    }
}
