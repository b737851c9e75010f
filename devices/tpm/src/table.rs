//! The table of commands: code, handles with what they must stand for and how they are authorized,
//! attributes, and the function that executes it (part 3).

use crate::commands::{
    asymmetric, attestation, capability, clock, commit, context, creation, duplication, external, hierarchy,
    lockout, nv, nv_access, nv_define, pcr, policy, policy_checks, policy_proofs, random, sequence, session,
    startup, symmetric,
};
use crate::constants::handle;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::Result;

pub(crate) const STARTUP: u32 = 0x144;
pub(crate) const PP_COMMANDS: u32 = 0x12d;
pub(crate) const POLICY_SECRET: u32 = 0x151;
pub(crate) const GET_COMMAND_AUDIT_DIGEST: u32 = 0x133;

/// Commands that a TPM that has failed still executes: TPM2_GetCapability and TPM2_GetTestResult.
pub(crate) const WORKS_AFTER_FAILURE: [u32; 2] = [0x17a, 0x17c];

/// How a handle is authorized (part 1, 19.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    None,
    User,
    Admin,
    Duplicate,
}

/// What a handle must stand for (part 2, 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TPMI_DH_OBJECT.
    Object,
    /// TPMI_DH_OBJECT+.
    ObjectOrNull,
    /// TPMI_DH_PARENT.
    Parent,
    /// TPMI_DH_ENTITY.
    Entity,
    /// TPMI_DH_ENTITY+.
    EntityOrNull,
    /// TPMI_DH_PCR.
    Pcr,
    /// TPMI_DH_PCR+.
    PcrOrNull,
    /// TPMI_SH_HMAC.
    HmacSession,
    /// TPMI_SH_POLICY.
    Policy,
    /// TPMI_DH_CONTEXT.
    Context,
    /// TPMI_RH_HIERARCHY: owner, endorsement, platform, null.
    Hierarchy,
    /// TPMI_RH_BASE_HIERARCHY.
    BaseHierarchy,
    /// TPMI_RH_HIERARCHY_AUTH: owner, endorsement, platform, lockout.
    HierarchyAuth,
    /// TPMI_RH_PLATFORM.
    Platform,
    /// TPMI_RH_ENDORSEMENT.
    Endorsement,
    /// TPMI_RH_PROVISION: owner, platform.
    Provision,
    /// TPMI_RH_CLEAR: lockout, platform.
    Clear,
    /// TPMI_RH_LOCKOUT.
    Lockout,
    /// TPMI_RH_NV_AUTH: owner, platform, an index.
    NvAuth,
    /// TPMI_RH_NV_INDEX.
    NvIndex,
}

impl Kind {
    /// Whether a handle is of this kind, loaded or not.
    pub(crate) fn allows(self, value: u32) -> bool {
        use handle::{ENDORSEMENT, LOCKOUT, NULL, OWNER, PLATFORM};
        let kind = handle::kind(value);
        let is_object = handle::is_object(value);
        // PCRs are the handles of kind zero.
        let is_pcr = value < crate::pcr::COUNT as u32;
        let is_index = kind == handle::NV;
        let is_hierarchy = matches!(value, OWNER | ENDORSEMENT | PLATFORM | NULL);
        let is_session = handle::is_session(value);
        match self {
            Kind::Object => is_object,
            Kind::ObjectOrNull => is_object || value == NULL,
            Kind::Parent => is_object || is_hierarchy,
            Kind::Entity => {
                is_object || is_pcr || is_index || matches!(value, OWNER | ENDORSEMENT | PLATFORM | LOCKOUT)
            }
            Kind::EntityOrNull => value == NULL || Kind::Entity.allows(value),
            Kind::Pcr => is_pcr,
            Kind::PcrOrNull => is_pcr || value == NULL,
            Kind::HmacSession => is_session && kind == handle::HMAC_SESSION,
            Kind::Policy => is_session && kind == handle::POLICY_SESSION,
            Kind::Context => handle::is_transient(value) || is_session,
            Kind::Hierarchy => is_hierarchy,
            Kind::BaseHierarchy => is_hierarchy && value != NULL,
            Kind::HierarchyAuth => matches!(value, OWNER | ENDORSEMENT | PLATFORM | LOCKOUT),
            Kind::Platform => value == PLATFORM,
            Kind::Endorsement => value == ENDORSEMENT,
            Kind::Provision => matches!(value, OWNER | PLATFORM),
            Kind::Clear => matches!(value, LOCKOUT | PLATFORM),
            Kind::Lockout => value == LOCKOUT,
            Kind::NvAuth => is_index || matches!(value, OWNER | PLATFORM),
            Kind::NvIndex => is_index,
        }
    }
}

/// A handle of a command.
pub(crate) struct Handle {
    pub(crate) kind: Kind,
    pub(crate) role: Role,
}

const fn user(kind: Kind) -> Handle {
    Handle { kind, role: Role::User }
}

const fn admin(kind: Kind) -> Handle {
    Handle { kind, role: Role::Admin }
}

const fn plain(kind: Kind) -> Handle {
    Handle { kind, role: Role::None }
}

/// The first parameter can be encrypted.
const DECRYPT: u8 = 1;
/// The first parameter of the response can be encrypted.
const ENCRYPT: u8 = 2;
const BOTH: u8 = DECRYPT | ENCRYPT;
/// It may write to the storage (TPMA_CC.nv).
const NV: u8 = 4;
/// It may flush any number of objects (TPMA_CC.extensive).
const EXTENSIVE: u8 = 8;
/// It flushes the object or sequence that it is about (TPMA_CC.flushed).
const FLUSHED: u8 = 16;
/// It returns a handle (TPMA_CC.rHandle).
const HANDLE: u8 = 32;
/// It takes no sessions.
const BARE: u8 = 64;

pub(crate) struct Command {
    pub(crate) code: u32,
    pub(crate) handles: &'static [Handle],
    attributes: u8,
    pub(crate) run: fn(&mut Tpm, &mut Call) -> Result<()>,
}

impl Command {
    pub(crate) const fn decrypts(&self) -> bool {
        self.attributes & DECRYPT != 0
    }

    pub(crate) const fn encrypts(&self) -> bool {
        self.attributes & ENCRYPT != 0
    }

    pub(crate) const fn allows_sessions(&self) -> bool {
        self.attributes & BARE == 0
    }

    /// TPMA_CC (part 2, 8.9).
    pub(crate) const fn tpma(&self) -> u32 {
        const PLACES: [(u8, u32); 4] = [(NV, 22), (EXTENSIVE, 23), (FLUSHED, 24), (HANDLE, 28)];
        let mut all = self.code | ((self.handles.len() as u32) << 25);
        let mut at = 0;
        // A loop by hand, as a constant function has no iterators.
        while at < PLACES.len() {
            let (attribute, bit) = PLACES[at];
            if self.attributes & attribute != 0 {
                all |= 1 << bit;
            }
            at += 1;
        }
        all
    }
}

macro_rules! commands {
    ($($code:literal [$($role:ident $kind:ident),*] $attributes:expr, $module:ident::$run:ident;)*) => {
        &[$(Command {
            code: $code,
            handles: &[$($role(Kind::$kind)),*],
            attributes: $attributes,
            run: $module::$run,
        }),*]
    };
}

const fn duplicate(kind: Kind) -> Handle {
    Handle { kind, role: Role::Duplicate }
}

/// All commands, in the order of their codes.
pub(crate) const COMMANDS: &[Command] = commands! {
    0x11f [admin NvIndex, user Platform] NV, nv_define::undefine_space_special;
    0x120 [user Provision, plain Object] NV, context::evict_control;
    0x121 [user BaseHierarchy] NV | EXTENSIVE, hierarchy::control;
    0x122 [user Provision, plain NvIndex] NV, nv_define::undefine_space;
    0x124 [user Platform] NV | EXTENSIVE, hierarchy::change_eps;
    0x125 [user Platform] NV | EXTENSIVE, hierarchy::change_pps;
    0x126 [user Clear] NV | EXTENSIVE, hierarchy::clear;
    0x127 [user Clear] NV, hierarchy::clear_control;
    0x128 [user Provision] NV, clock::set;
    0x129 [user HierarchyAuth] NV | DECRYPT, hierarchy::change_auth;
    0x12a [user Provision] NV | DECRYPT, nv_define::define_space;
    0x12b [user Platform] NV, pcr::allocate;
    0x12d [user Platform] NV, hierarchy::pp_commands;
    0x12e [user HierarchyAuth] NV | DECRYPT, hierarchy::set_primary_policy;
    0x130 [user Provision] 0, clock::rate_adjust;
    0x131 [user Hierarchy] HANDLE | BOTH, creation::create_primary;
    0x132 [user Provision] NV, nv_access::global_write_lock;
    0x133 [user Endorsement, user ObjectOrNull] NV | BOTH, attestation::get_command_audit_digest;
    0x134 [user NvAuth, plain NvIndex] NV, nv_access::increment;
    0x135 [user NvAuth, plain NvIndex] NV, nv_access::set_bits;
    0x136 [user NvAuth, plain NvIndex] NV | DECRYPT, nv_access::extend;
    0x137 [user NvAuth, plain NvIndex] NV | DECRYPT, nv_access::write;
    0x138 [user NvAuth, plain NvIndex] NV, nv_access::write_lock;
    0x139 [user Lockout] NV, lockout::reset;
    0x13a [user Lockout] NV, lockout::parameters;
    0x13b [admin NvIndex] NV | DECRYPT, nv_define::change_auth;
    0x13c [user PcrOrNull] NV | DECRYPT, pcr::event;
    0x13d [user Pcr] NV, pcr::reset;
    0x13e [user Object] FLUSHED | BOTH, sequence::complete;
    0x140 [user Provision] NV, capability::set_command_code_audit_status;
    0x142 [] 0, startup::incremental_self_test;
    0x143 [] 0, startup::self_test;
    0x144 [] BARE, startup::startup;
    0x145 [] NV, startup::shutdown;
    0x146 [] DECRYPT, random::stir;
    0x147 [admin Object, user Object] BOTH, external::activate_credential;
    0x148 [admin Object, user ObjectOrNull] BOTH, attestation::certify;
    0x149 [user NvAuth, plain NvIndex, plain Policy] DECRYPT, policy_proofs::nv;
    0x14a [user ObjectOrNull, plain Object] BOTH, attestation::certify_creation;
    0x14b [duplicate Object, plain ObjectOrNull] BOTH, duplication::duplicate;
    0x14c [user Endorsement, user ObjectOrNull] BOTH, attestation::get_time;
    0x14d [user Endorsement, user ObjectOrNull, plain HmacSession] BOTH,
        attestation::get_session_audit_digest;
    0x14e [user NvAuth, plain NvIndex] ENCRYPT, nv_access::read;
    0x14f [user NvAuth, plain NvIndex] NV, nv_access::read_lock;
    0x150 [admin Object, plain Object] BOTH, creation::object_change_auth;
    0x151 [user Entity, plain Policy] BOTH, policy_proofs::secret;
    0x152 [user ObjectOrNull, plain ObjectOrNull] BOTH, duplication::rewrap;
    0x153 [user Object] BOTH, creation::create;
    0x154 [user Object] BOTH, asymmetric::ecdh_z_gen;
    0x155 [user Object] BOTH, symmetric::hmac;
    0x156 [user Object] BOTH, duplication::import;
    0x157 [user Object] HANDLE | BOTH, creation::load;
    0x158 [user ObjectOrNull] BOTH, attestation::quote;
    0x159 [user Object] BOTH, asymmetric::rsa_decrypt;
    0x15b [user Object] HANDLE | DECRYPT, sequence::hmac_start;
    0x15c [user Object] DECRYPT, sequence::update;
    0x15d [user Object] DECRYPT, asymmetric::sign;
    0x15e [user Object] ENCRYPT, creation::unseal;
    0x160 [plain Object, plain Policy] BOTH, policy_proofs::signed;
    0x161 [] HANDLE | BARE, context::load;
    0x162 [plain Context] BARE, context::save;
    0x163 [plain Object] ENCRYPT, asymmetric::ecdh_key_gen;
    0x164 [user Object] ENCRYPT, symmetric::encrypt_decrypt;
    0x165 [] BARE, context::flush;
    0x167 [] HANDLE | BOTH, external::load_external;
    0x168 [plain Object] BOTH, external::make_credential;
    0x169 [plain NvIndex] ENCRYPT, nv::read_public;
    0x16a [plain Policy] DECRYPT, policy_proofs::authorize;
    0x16b [plain Policy] 0, policy::auth_value;
    0x16c [plain Policy] 0, policy::command_code;
    0x16d [plain Policy] DECRYPT, policy_checks::counter_timer;
    0x16e [plain Policy] DECRYPT, policy::cp_hash;
    0x16f [plain Policy] 0, policy::locality;
    0x170 [plain Policy] DECRYPT, policy::name_hash;
    0x171 [plain Policy] 0, policy::or;
    0x172 [plain Policy] DECRYPT, policy_proofs::ticket;
    0x173 [plain Object] ENCRYPT, external::read_public;
    0x174 [plain Object] BOTH, asymmetric::rsa_encrypt;
    0x176 [plain ObjectOrNull, plain EntityOrNull] HANDLE | BOTH, session::start;
    0x177 [plain Object] DECRYPT, asymmetric::verify_signature;
    0x178 [] 0, asymmetric::ecc_parameters;
    0x17a [] 0, capability::get;
    0x17b [] ENCRYPT, random::get;
    0x17c [] ENCRYPT, startup::get_test_result;
    0x17d [] BOTH, symmetric::hash;
    0x17e [] 0, pcr::read;
    0x17f [plain Policy] DECRYPT, policy_checks::pcr;
    0x180 [plain Policy] 0, policy::restart;
    0x181 [] 0, clock::read;
    0x182 [user PcrOrNull] NV, pcr::extend;
    0x184 [user ObjectOrNull, user NvAuth, plain NvIndex] BOTH, attestation::nv_certify;
    0x185 [user PcrOrNull, user Object] NV | FLUSHED | DECRYPT, sequence::event_complete;
    0x186 [] HANDLE | DECRYPT, sequence::hash_start;
    0x187 [plain Policy] 0, policy::physical_presence;
    0x188 [plain Policy] DECRYPT, policy::duplication_select;
    0x189 [plain Policy] ENCRYPT, policy::get_digest;
    0x18a [] 0, capability::test_parms;
    0x18b [user Object] BOTH, commit::commit;
    0x18c [plain Policy] 0, policy::password;
    0x18d [user Object] BOTH, commit::z_gen_2_phase;
    0x18e [] ENCRYPT, commit::ec_ephemeral;
    0x18f [plain Policy] 0, policy::nv_written;
    0x190 [plain Policy] DECRYPT, policy::template;
    0x191 [user Parent] HANDLE | BOTH, creation::create_loaded;
    0x192 [user NvAuth, plain NvIndex, plain Policy] 0, policy_proofs::authorize_nv;
    0x193 [user Object] BOTH, symmetric::encrypt_decrypt_2;
};

/// The command with a code.
pub(crate) fn find(code: u32) -> Option<&'static Command> {
    // By halves, which the order of the codes allows.
    let at = COMMANDS.binary_search_by_key(&code, |command| command.code).ok()?;
    COMMANDS.get(at)
}
