//! Decoding: against a full decoder, and what is rejected.

mod documentation;
mod full_decoder;
mod rejections;
