//! A driver and a controller, from registers to completions.

mod admin;
mod hostile;
mod io;
mod later;
mod rings;
