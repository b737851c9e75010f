//! Page walks over tables made by an independent builder.

mod errors;
mod modes;
mod reserved;
mod rights;
