//! Emulation, one file per family of instructions as in the source, and one each for what they share.

mod address;
mod arithmetic;
mod bit;
mod branch;
mod event;
mod exchange;
mod far;
mod frame;
mod intercepted;
mod memory;
mod moves;
mod rare;
mod segment;
mod stack;
mod string;
mod vector;
mod vendor;
