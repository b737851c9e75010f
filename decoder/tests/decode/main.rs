//! Decoding: against a full decoder, and what is rejected.

mod documentation;
mod features;
mod full_decoder;
mod rare;
mod rejections;

use decoder::{Instruction, Mode, Processor, Rejection};

/// Decodes 64-bit code.
fn decode_for(code: &[u8], processor: Processor) -> Result<Instruction, Rejection> {
    decoder::decode(code, Mode::Bits64, processor)
}
