//! Tables of what the rules say, and random operations against a model written a second time.

mod access;
mod deliver;
mod ghcb;
mod naive;
mod random;
mod rmp;
mod sp;
mod vc;
mod vmsa;
