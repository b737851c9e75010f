//! What the constants' assertions beside the structures can't show: values that are put together and taken
//! apart, each written down once more.

mod ghcb;
mod launch;
mod messages;
mod vmsa;
