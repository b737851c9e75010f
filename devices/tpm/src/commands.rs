//! What each command does: a file a group, in the order of part 3's chapters.

pub(crate) mod asymmetric;
pub(crate) mod attestation;
pub(crate) mod capability;
pub(crate) mod clock;
pub(crate) mod commit;
pub(crate) mod context;
pub(crate) mod creation;
pub(crate) mod duplication;
pub(crate) mod external;
pub(crate) mod hierarchy;
pub(crate) mod lockout;
pub(crate) mod nv;
pub(crate) mod nv_access;
pub(crate) mod nv_define;
pub(crate) mod pcr;
pub(crate) mod policy;
pub(crate) mod policy_checks;
pub(crate) mod policy_proofs;
mod properties;
pub(crate) mod random;
pub(crate) mod sequence;
pub(crate) mod session;
pub(crate) mod startup;
pub(crate) mod symmetric;
