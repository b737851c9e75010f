//! Emulation, one file per family of instructions as in the source, and one each for what they share.

mod address;
mod arithmetic;
mod bit;
mod branch;
mod descriptors;
mod event;
mod exchange;
mod far;
mod flags;
mod frame;
mod gates;
mod handlers;
mod intercepted;
mod memory;
mod moves;
mod plain;
mod rare;
mod returns;
mod segment;
mod stack;
mod string;
mod tables;
mod vector;
mod vendor;
