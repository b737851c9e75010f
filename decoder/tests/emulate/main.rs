//! Emulation, one file per family of instructions as in the source, and one each for what they share.

mod address;
mod arithmetic;
mod bit;
mod exchange;
mod intercepted;
mod memory;
mod moves;
mod stack;
mod string;
mod vector;
mod vendor;
