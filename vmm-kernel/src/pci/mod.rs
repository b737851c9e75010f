//! Functions of the host's PCI bus: each is claimed for one driver, which reaches its registers, binds its
//! messages to events, and shares memory with it. Everything that the host says of a function is hostile.
//!
//! A process never writes configuration space or the table of messages. It names a function, and where its
//! BARs are to be; the kernel checks that against its own window and the other claims, and writes it. When
//! the last reference goes, the function is stopped, and its vectors and its memory are free again: so the
//! next driver, of the same process that was started again for example, begins with a claim of its own.

use vcpu_abi::status::Status;

use self::bars::{Placed, Places};
use self::config::{Address, COMMAND, Config, command};
use self::dma::Piece;
use self::message::Table;
use crate::event::Event;
use crate::event::messages::Message;
use crate::layout::{FUNCTIONS_MAX, PAGE};
use crate::memory::space::{Protection, Space};
use crate::object::budget::{Account, Charge, Kind};
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;

pub mod bars;
pub mod config;
mod dma;
pub mod message;

static FUNCTIONS: Pool<Function, FUNCTIONS_MAX> = Pool::new();
/// The most messages that a function has bound.
const MESSAGES_MAX: usize = 16;
/// The most pieces of memory that a function has.
const PIECES_MAX: usize = 32;
/// The most of a BAR that one call maps: nothing preempts the kernel meanwhile.
const MAP_BYTES_MAX: u64 = 64 * PAGE;

/// A function that is claimed, and what lies where its BARs are.
struct Claim {
    address: Address,
    places: Places,
}

/// Those that are claimed. A claim outlives its object by as long as it takes to stop the function.
static CLAIMS: SpinLock<[Option<Claim>; FUNCTIONS_MAX]> = SpinLock::new([const { None }; FUNCTIONS_MAX]);

/// A claimed function.
pub struct Function {
    address: Address,
    places: Places,
    table: Option<Table>,
    /// Which of [`STATES`] is its own.
    state: usize,
    /// Who claimed it has it counted.
    _charge: Charge,
}

/// What its driver has bound and shares with it.
struct State {
    /// By entries of the table. What is bound and shared counts for whom it was done.
    messages: [Option<(u16, Message, Charge)>; MESSAGES_MAX],
    memory: [Option<(Piece, Charge)>; PIECES_MAX],
}

impl State {
    /// Of a function that has just been claimed.
    const EMPTY: Self =
        Self { messages: [const { None }; MESSAGES_MAX], memory: [const { None }; PIECES_MAX] };
}

/// A state for each place of [`FUNCTIONS`]. They are too large to be moved there with the functions: the move
/// would take kilobytes of a kernel stack.
static STATES: [SpinLock<State>; FUNCTIONS_MAX] = [const { SpinLock::new(State::EMPTY) }; FUNCTIONS_MAX];

/// How large the BARs of a function are that nobody has claimed.
///
/// # Errors
/// As [`config::check`]; WrongState: it is claimed.
pub fn sizes(address: Address) -> Result<[u32; bars::COUNT], Status> {
    // Held while the BARs have all ones in them: nobody claims the function in that state.
    let claims = CLAIMS.lock();
    check_unclaimed(&claims[..], address)?;
    config::check(&address)?;
    Ok(bars::sizes(&address).map(|size| size.bytes))
}

fn check_unclaimed(claims: &[Option<Claim>], address: Address) -> Result<(), Status> {
    let is_claimed = claims.iter().flatten().any(|claim| claim.address == address);
    if is_claimed { Err(Status::WrongState) } else { Ok(()) }
}

impl Function {
    /// Claims a function and places its BARs. It decodes memory from now on, and accesses none. It is counted
    /// as an object of the account's.
    ///
    /// # Errors
    /// As [`config::check`], [`bars::check`] and [`bars::write`]. WrongState: it is claimed. Exhausted.
    /// OutOfObjects.
    pub fn try_claim(
        address: Address,
        addresses: [u32; bars::COUNT],
        account: &Ref<Account>,
    ) -> Result<Ref<Self>, Status> {
        let mut claims = CLAIMS.lock();
        check_unclaimed(&claims[..], address)?;
        config::check(&address)?;
        let place = claims.iter().position(Option::is_none).ok_or(Status::Exhausted)?;
        // Before anything is written: who may have no more of them moves no BAR either.
        let charge = Charge::one(account, Kind::Objects)?;
        let sizes = bars::sizes(&address);
        let taken = claims.iter().flatten().map(|claim| &claim.places);
        let places = bars::check(&sizes, addresses, taken)?;
        // Firmware may have left it decoding, and with access to memory: it has neither while it is moved.
        address.set_command(command::NO_LINE);
        bars::write(&address, &sizes, &places)?;
        let table = Table::find(&address, &places);
        let make = |state| Ok(Self { address, places, table, state, _charge: charge });
        let function = FUNCTIONS.try_insert(make)?;
        if let Some(place) = claims.get_mut(place) {
            *place = Some(Claim { address, places });
        }
        drop(claims);
        address.set_command(command::NO_LINE | command::MEMORY);
        // Messages are sent once one is bound, not because firmware or the last driver left them on.
        if let Some(table) = &table {
            table.enable(&address, false);
            table.mask_all(&places);
        }
        Ok(function)
    }

    fn state(&self) -> &'static SpinLock<State> {
        // The pool's places are as many.
        &STATES[self.state % FUNCTIONS_MAX]
    }

    /// A double word of its configuration space.
    pub fn read(&self, offset: u8) -> u32 {
        self.address.read(offset)
    }

    /// Maps pages of a BAR in a process, none of which has something of the table of messages.
    ///
    /// # Errors
    /// NotFound: not all of it may be mapped. BadArgument: misaligned, or too much. Overlap, Exhausted.
    pub fn map(&self, bar: u32, offset: u64, bytes: u64, space: &Space, address: u64) -> Result<(), Status> {
        let placed: &Placed = self.places.get(bar as usize).ok_or(Status::NotFound)?;
        if bytes > MAP_BYTES_MAX {
            return Err(Status::BadArgument);
        }
        let physical = placed.part(offset, bytes)?;
        let of_table = self.table.as_ref().filter(|table| table.bar == bar as usize).map(Table::pages);
        // Who writes the table can send any vector to any processor.
        if of_table.is_some_and(|pages| offset < pages.end && pages.start < offset + bytes) {
            return Err(Status::NotFound);
        }
        space.check_free(address, bytes)?;
        Ok(space.map_foreign(address, physical, bytes, Protection::Device)?)
    }

    /// Makes the message of an entry signal an event, instead of another that it signalled before. One
    /// that is bound counts as an object of the account's.
    ///
    /// # Errors
    /// NotFound: it has no such entry. Exhausted. OutOfObjects.
    pub fn bind(&self, entry: u32, event: Ref<Event>, account: &Ref<Account>) -> Result<(), Status> {
        let table = self.table.as_ref().ok_or(Status::NotFound)?;
        let entry = table.check(entry)?;
        let mut state = self.state().lock();
        if let Some((_, message, _)) = state.messages.iter().flatten().find(|(bound, ..)| *bound == entry) {
            message.rebind(event);
            return Ok(());
        }
        // The room first: an entry that was written and could not be remembered would not be masked at the
        // function's end.
        let place = state.messages.iter_mut().find(|place| place.is_none()).ok_or(Status::Exhausted)?;
        let charge = Charge::one(account, Kind::Objects)?;
        let message = Message::try_new(event)?;
        let (address, data) = message.words()?;
        table.set(&self.places, entry, address, data);
        table.enable(&self.address, true);
        *place = Some((entry, message, charge));
        Ok(())
    }

    /// Lets it access memory and send messages, or stops it.
    pub fn enable(&self, enable: bool) {
        let master = if enable { command::MASTER } else { 0 };
        self.address.set_command(command::NO_LINE | command::MEMORY | master);
        // What was on its way before is there when an access to the function has come back.
        let _ = self.address.read(COMMAND);
    }

    /// Gives it memory that it shares with a process, for which an account pays. Returns the address by which
    /// it reaches that.
    ///
    /// # Errors
    /// BadArgument: misaligned, none, or too much. Overlap, Exhausted, OutOfMemory.
    pub fn allocate(
        &self,
        space: &Space,
        address: u64,
        bytes: u64,
        account: &Ref<Account>,
    ) -> Result<u64, Status> {
        let pages = u16::try_from(bytes / PAGE).map_err(|_| Status::BadArgument)?;
        if pages > dma::PIECE_PAGES_MAX {
            return Err(Status::BadArgument);
        }
        space.check_free(address, bytes)?;
        let mut state = self.state().lock();
        let place = state.memory.iter_mut().find(|place| place.is_none()).ok_or(Status::Exhausted)?;
        let charge = Charge::try_new(account, Kind::Memory, pages.into())?;
        let (piece, physical) = Piece::try_new(pages)?;
        // It is the function's from now on: what was mapped before a failure stays.
        *place = Some((piece, charge));
        space.map_foreign(address, physical, bytes, Protection::Shared)?;
        Ok(physical)
    }
}

impl Function {
    /// Gives back vectors and memory, one by one: what is dropped may take other locks.
    fn give_back(&self) {
        for index in 0..MESSAGES_MAX {
            let message = self.state().lock().messages.get_mut(index).and_then(Option::take);
            drop(message);
        }
        for index in 0..PIECES_MAX {
            let piece = self.state().lock().memory.get_mut(index).and_then(Option::take);
            drop(piece);
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            table.enable(&self.address, false);
            let bound = self.state().lock();
            let entries = bound.messages.iter().flatten();
            entries.for_each(|(entry, ..)| table.mask(&self.places, *entry));
        }
        // No access to memory from here on. When the read has come back, nothing of the function's is on its
        // way, and its vectors and memory may be given to others.
        self.address.set_command(command::NO_LINE);
        let _ = self.address.read(COMMAND);
        self.give_back();
        let mut claims = CLAIMS.lock();
        for claim in claims.iter_mut() {
            if claim.as_ref().is_some_and(|claim| claim.address == self.address) {
                *claim = None;
            }
        }
    }
}

#[cfg(test)]
mod fake;
