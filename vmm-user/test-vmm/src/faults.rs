//! A device's process that goes wrong on purpose, at random moments.
//!
//! | line | what |
//! |---|---|
//! | `set dies N` | the process ends, once in N requests |
//! | `set hangs N` | a request is never answered, once in N |
//! | `set lies N` | a request is answered with nonsense, once in N |
//! | `set from PORT VALUE` | nothing of that in this process before the guest has written that byte |
//! | `set until PORT VALUE` | nor after it has written that one |
//!
//! Port and value are in hexadecimal. The moments are another's with every start: the seed is the time.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use device_link::request::{Ask, Request};
use device_link::serve::Server;
use device_link::{WORDS, Words};
use devices::capability::Device;
use runtime::event::Event;
use runtime::{Start, exit, syscall};
use spin::Mutex;
use vmm::device_host::Serve;

/// Once in how many requests; 0 for never.
struct Rates {
    dies: AtomicU64,
    hangs: AtomicU64,
    lies: AtomicU64,
    /// Whether the faults have begun and not ended.
    on: AtomicBool,
    /// The writes that begin and end them: the port, and 16 bits above it the value. [`NO_WRITE`] for none.
    from: AtomicU64,
    until: AtomicU64,
    random: AtomicU64,
}

/// What no port and value are.
const NO_WRITE: u64 = u64::MAX;

static RATES: Rates = Rates {
    dies: AtomicU64::new(0),
    hangs: AtomicU64::new(0),
    lies: AtomicU64::new(0),
    on: AtomicBool::new(false),
    from: AtomicU64::new(NO_WRITE),
    until: AtomicU64::new(NO_WRITE),
    random: AtomicU64::new(0),
};

/// The exit code of a process that ends on purpose.
const ON_PURPOSE: u32 = 77;

/// Reads what is to go wrong. Returns whether there is anything.
pub fn read(start: &Start) -> bool {
    // Not zero, which xorshift never leaves.
    RATES.random.store(syscall::tsc() | 1, Ordering::Relaxed);
    let mut any = false;
    for (name, rate) in [("dies", &RATES.dies), ("hangs", &RATES.hangs), ("lies", &RATES.lies)] {
        let once_in = start.setting(name).and_then(|number| number.parse().ok()).unwrap_or(0);
        rate.store(once_in, Ordering::Relaxed);
        any |= once_in != 0;
    }
    let write = |name| {
        let (port, value) = start.setting(name)?.split_once(' ')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(number(port)? | number(value)? << 16)
    };
    let from = write("from");
    RATES.on.store(from.is_none(), Ordering::Relaxed);
    RATES.from.store(from.unwrap_or(NO_WRITE), Ordering::Relaxed);
    RATES.until.store(write("until").unwrap_or(NO_WRITE), Ordering::Relaxed);
    any
}

/// Begins or ends the faults if this request is the write that does. The device carries it out as any other:
/// the guest reads the register to see whether it has arrived.
fn switch_by(words: &Words) {
    let Some(Request { ask: Ask::PortWrite { port, value, .. }, .. }) = Request::read(words) else { return };
    let write = u64::from(port) | u64::from(value) << 16;
    if write == RATES.from.load(Ordering::Relaxed) {
        RATES.on.store(true, Ordering::Relaxed);
    } else if write == RATES.until.load(Ordering::Relaxed) {
        RATES.on.store(false, Ordering::Relaxed);
    }
}

/// A number by chance; xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
pub fn random() -> u64 {
    let mut state = RATES.random.load(Ordering::Relaxed);
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    // Two threads may draw the same number, which is as good as any.
    RATES.random.store(state, Ordering::Relaxed);
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn strikes(rate: &AtomicU64) -> bool {
    // There is no rest by zero, which stands for never.
    RATES.on.load(Ordering::Relaxed)
        && random().checked_rem(rate.load(Ordering::Relaxed)).is_some_and(|rest| rest == 0)
}

/// Serves, and goes wrong as it was told to.
#[derive(Clone, Copy, Debug)]
pub struct Faulty;

impl Serve for Faulty {
    fn serve<D: Device>(self, device: &Mutex<Server<D>>, words: Words) -> Words {
        switch_by(&words);
        // Before the device is touched: the request is lost, and the guest's access finds nobody.
        if strikes(&RATES.dies) {
            exit(ON_PURPOSE);
        }
        if strikes(&RATES.hangs) {
            hang();
        }
        let mut answer = device.lock().serve(words);
        // The second place to end at: the device has done its work, but nobody was told of it.
        if strikes(&RATES.dies) {
            exit(ON_PURPOSE);
        }
        if strikes(&RATES.lies) {
            lie(&mut answer);
        }
        answer
    }
}

/// Waits for what never comes; or works for ever, which is another way to hang.
fn hang() {
    if random() & 1 != 0
        && let Ok(event) = Event::try_new()
    {
        // It is never signalled: comes back only when it could not wait.
        let _ = event.wait();
    }
    loop {
        core::hint::spin_loop();
    }
}

/// One to all words are random, of all bits or of a few.
fn lie(words: &mut Words) {
    for _ in 0..=random() % 3 {
        let index = (random() % WORDS as u64) as usize;
        if let Some(word) = words.get_mut(index) {
            // A single bit as well: what is nearly right gets past more checks than noise.
            *word = if random() & 1 != 0 { random() } else { *word ^ 1 << (random() % 64) };
        }
    }
}
