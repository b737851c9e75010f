//! Decoding: against a full decoder, and what is rejected.

mod full_decoder;
mod rejections;
