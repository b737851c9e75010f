//! What the engine needs: random numbers of the processor's, and time by its time-stamp counter.

use runtime::channel::Channel;
use runtime::event::Event;
use runtime::process;
use runtime::syscall::tsc;
use tpm2_engine::{Platform, PlatformError};
use vmm::random::RandomNumbers;
use vmm::random::mixed::Stream;

/// How many seconds the host's numbers are waited for.
const HOST_SECONDS: u64 = 2;
/// How many milliseconds lie between two attempts.
const PAUSE_MS: u64 = 10;

/// The machine that the TPM is in.
#[derive(Debug)]
pub struct Machine {
    numbers: RandomNumbers,
    /// The host's, beside them.
    stream: Stream,
    ticks_ms: u64,
}

impl Machine {
    /// The machine, if its processor has random numbers.
    pub fn detect(tsc_hz: u64) -> Option<Self> {
        let numbers = RandomNumbers::detect()?;
        Some(Self { numbers, stream: Stream::default(), ticks_ms: (tsc_hz / 1000).max(1) })
    }

    /// Takes numbers of the host's, if they can be had in time. The processor's are as good without them.
    pub fn ask_host(&mut self, channel: Channel) {
        let deadline = tsc().saturating_add(self.ticks_ms.saturating_mul(1000 * HOST_SECONDS));
        loop {
            match entropy_link::ask(channel, deadline) {
                Ok(numbers) => {
                    self.stream.absorb(&numbers);
                    return log::info!("the host's entropy is mixed in");
                }
                Err(status) if tsc() >= deadline => {
                    return log::warn!("without the host's entropy: {status}");
                }
                // Its driver has not begun to serve. Nobody signals that.
                Err(_) => {
                    let Ok(pause) = Event::try_new() else { return };
                    let _ = pause.wait_until(tsc().saturating_add(self.ticks_ms.saturating_mul(PAUSE_MS)));
                    let _ = process::close(pause.0);
                }
            }
        }
    }
}

impl Platform for Machine {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        // Seeds, and not numbers of a generator that is seeded by them: the engine has a generator of its
        // own.
        if !self.numbers.fill_seed(out) {
            return Err(PlatformError);
        }
        self.stream.apply(out);
        Ok(())
    }

    fn milliseconds(&mut self) -> u64 {
        tsc() / self.ticks_ms
    }
}
