//! The TPM that is served: what it does with an order.

use alloc::vec::Vec;

use tpm2_engine::Tpm;
use tpm2_engine::presence::{Presence, Submitted, operation};

use crate::exchange::{Exchange, Order};
use crate::kept::Kept;

/// The code of TPM2_Startup.
const STARTUP: [u8; 4] = [0, 0, 1, 0x44];
/// The response of a TPM that has failed: no sessions, ten bytes, TPM_RC_FAILURE.
const FAILURE: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1];
/// TPM_RC_SUCCESS.
const SUCCESS: [u8; 4] = [0; 4];

/// A TPM, and what is with it.
pub struct Running {
    /// The TPM.
    pub tpm: Tpm,
    /// What outlives this process.
    pub kept: Kept<'static>,
    /// What is kept of physical presence.
    pub presence: Presence,
}

impl Running {
    /// A TPM that was opened.
    pub fn new(tpm: Tpm, kept: Kept<'static>) -> Self {
        let presence = Presence::of(&tpm);
        Self { tpm, kept, presence }
    }

    fn carry_out(&mut self, order: Order, is_allowed: bool, response: &mut Vec<u8>) {
        match order {
            Order::Presence(request) => {
                response.push(self.presence.submit(&mut self.tpm, request, is_allowed) as u8);
            }
            Order::Command { locality, bytes } => {
                self.tpm.execute(locality, &bytes, response);
                // It succeeds once, when the machine starts: nothing of the guest's has run since then.
                if bytes.get(6..10) == Some(&STARTUP) && response.get(6..10) == Some(&SUCCESS) {
                    self.start(is_allowed, response);
                }
            }
        }
    }

    /// The machine starts: what was asked for before is carried out.
    fn start(&mut self, is_allowed: bool, response: &mut Vec<u8>) {
        let asked = self.presence.pending.operation;
        match self.presence.carry_out(&mut self.tpm, is_allowed) {
            Ok(()) if asked == operation::NONE => {}
            Ok(()) => {
                log::info!("physical presence: operation {asked}: response {:#x}", self.presence.response)
            }
            Err(_) => {
                log::error!(
                    "physical presence: operation {asked}: its result is lost, or a hierarchy stays on"
                );
                // Then the machine that measures its guest does not start.
                *response = FAILURE.to_vec();
            }
        }
    }
}

/// Does what was ordered, or says that there is no TPM to do it.
pub fn carry_out<E>(
    running: &mut Result<Running, E>,
    exchange: &Exchange,
    is_allowed: bool,
    order: Order,
    response: &mut Vec<u8>,
) {
    match (running, order) {
        (Ok(running), order) => {
            running.carry_out(order, is_allowed, response);
            // Before the guest hears of it.
            running.kept.record(running.tpm.snapshot());
            exchange.show(&running.presence);
        }
        (Err(_), Order::Command { .. }) => response.extend(FAILURE),
        (Err(_), Order::Presence(_)) => response.push(Submitted::Failure as u8),
    }
}
