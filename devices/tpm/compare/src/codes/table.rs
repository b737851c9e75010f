//! The commands as a generator knows them: what their handles and parameters are (part 3).

/// What a handle should stand for. Now and then it stands for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Owner, platform.
    Provision,
    /// Owner, endorsement, platform, null.
    Hierarchy,
    /// Owner, endorsement, platform, lockout.
    HierarchyAuth,
    /// Lockout, platform.
    Clear,
    /// The platform.
    Platform,
    /// The endorsement hierarchy.
    Endorsement,
    /// Lockout.
    Lockout,
    /// Any object.
    Object,
    /// A storage key.
    Storage,
    /// A storage key, or null.
    StorageOrNull,
    /// A storage key or a hierarchy.
    Parent,
    /// A signing key.
    Signer,
    /// A signing key, or null.
    SignerOrNull,
    /// A key for ECDH or RSA decryption.
    Decrypter,
    /// A key for HMAC.
    Keyed,
    /// A symmetric key.
    Cipher,
    /// Sealed data.
    Sealed,
    /// A hash or HMAC sequence.
    Sequence,
    /// A PCR.
    Pcr,
    /// An index, owner, platform: the one behind it is an index, mostly the same.
    NvAuth,
    /// An index.
    Nv,
    /// A policy session.
    Policy,
    /// Any session.
    Session,
    /// Whatever is loaded.
    Context,
    /// Whatever has an authorization value.
    Entity,
}

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Bytes as they stand here.
    Raw(&'static [u8]),
    /// TPMI_YES_NO.
    YesNo,
    /// One byte of any value.
    Byte,
    /// A small number of two bytes: an offset or a size.
    Short,
    /// A number of four bytes, of seconds: none that pass while commands are sent.
    Number,
    /// How often a value may be wrong.
    Tries,
    /// Eight bytes.
    Long,
    /// A new authorization value.
    Auth,
    /// TPM2B_DATA, TPM2B_NONCE.
    Data,
    /// TPM2B_MAX_BUFFER, TPM2B_EVENT.
    Buffer,
    /// TPM2B_DIGEST, as long as SHA-256's, or empty.
    Digest,
    /// A list of policies' digests.
    Digests,
    /// The digest of a policy that is known, with its algorithm.
    Policy,
    /// nonceTPM of the policy session, or none.
    SessionNonce,
    /// TPMI_ALG_HASH+.
    Hash,
    /// TPM2B_SENSITIVE_CREATE.
    Sensitive,
    /// TPM2B_PUBLIC of a new object.
    Template,
    /// The private and the public part of an object that was created.
    Blob,
    /// TPM2B_PRIVATE and TPM2B_PUBLIC of an object to be imported, with seed and algorithm.
    Import,
    /// TPM2B_SENSITIVE, TPM2B_PUBLIC and the hierarchy of an object from elsewhere.
    External,
    /// TPM2B_NV_PUBLIC.
    NvPublic,
    /// TPM2B_NAME of an object.
    Name,
    /// TPMT_SIG_SCHEME.
    SignScheme,
    /// TPMT_RSA_DECRYPT.
    RsaScheme,
    /// TPMT_SIGNATURE.
    Signature,
    /// TPMT_TK_*, of this tag.
    Ticket(u16),
    /// TPML_PCR_SELECTION.
    Pcrs,
    /// TPML_DIGEST_VALUES.
    DigestValues,
    /// TPML_CC.
    Commands,
    /// TPM_CC.
    Command,
    /// TPML_ALG.
    Algorithms,
    /// TPMI_RH_HIERARCHY, TPMI_RH_ENABLES.
    Hierarchy,
    /// A handle of a persistent object.
    Persistent,
    /// A handle of what is loaded.
    Loaded,
    /// TPM_EO.
    Operation,
    /// TPM_EO of an order, so that a few milliseconds more or less matter nothing.
    Order,
    /// TPMS_CONTEXT.
    Context,
    /// TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
    Credential,
    /// TPM2B_PRIVATE, TPM2B_NAME and TPM2B_ENCRYPTED_SECRET of a duplicate.
    Duplicate,
    /// TPMT_SYM_DEF_OBJECT+.
    Symmetric,
    /// TPMI_ALG_CIPHER_MODE+.
    Mode,
    /// TPM2B_IV.
    Iv,
    /// TPM2B_ECC_POINT.
    Point,
    /// TPMI_ECC_CURVE.
    Curve,
    /// TPM_CAP, property, count.
    Capability,
    /// TPMT_PUBLIC_PARMS.
    PublicParameters,
    /// TPM2B_TIMEOUT.
    Timeout,
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its code.
    pub code: u32,
    /// How often it comes, compared with others.
    pub weight: usize,
    /// Its handles, and whether they are authorized.
    pub handles: &'static [(Wanted, bool)],
    /// Its parameters.
    pub parameters: &'static [Parameter],
}

impl Spec {
    /// Whether the first parameter can be encrypted.
    pub const fn decrypts(&self) -> bool {
        !matches!(
            self.parameters.first(),
            None | Some(
                Parameter::Raw(_)
                    | Parameter::YesNo
                    | Parameter::Byte
                    | Parameter::Short
                    | Parameter::Number
                    | Parameter::Long
                    | Parameter::Command
                    | Parameter::Commands
                    | Parameter::Pcrs
            )
        )
    }

    /// Whether a success returns a handle.
    pub const fn returns_handle(&self) -> bool {
        matches!(self.code, 0x131 | 0x157 | 0x15b | 0x161 | 0x167 | 0x176 | 0x186 | 0x191)
    }
}

macro_rules! commands {
    ($($code:literal $weight:literal [$($wanted:ident $auth:literal),*] [$($parameter:expr),*];)*) => {
        &[$(Spec {
            code: $code,
            weight: $weight,
            handles: &[$((Wanted::$wanted, $auth == 1)),*],
            parameters: &[$($parameter),*],
        }),*]
    };
}

use Parameter as P;

/// Code, weight, handles (1: authorized), parameters. Sessions are started by a code of their own.
pub const COMMANDS: &[Spec] = commands! {
    0x11f 2 [Nv 1, Platform 1] [];
    0x120 6 [Provision 1, Object 0] [P::Persistent];
    0x121 1 [HierarchyAuth 1] [P::Hierarchy, P::YesNo];
    0x122 4 [Provision 1, Nv 0] [];
    0x126 1 [Clear 1] [];
    0x127 2 [Clear 1] [P::YesNo];
    0x128 2 [Provision 1] [P::Long];
    0x129 4 [HierarchyAuth 1] [P::Auth];
    0x12a 20 [Provision 1] [P::Auth, P::NvPublic];
    0x12b 1 [Platform 1] [P::Pcrs];
    0x12d 2 [Platform 1] [P::Commands, P::Commands];
    0x12e 4 [HierarchyAuth 1] [P::Policy];
    0x130 2 [Provision 1] [P::Byte];
    0x131 20 [Hierarchy 1] [P::Sensitive, P::Template, P::Data, P::Pcrs];
    0x132 1 [Provision 1] [];
    0x133 3 [Endorsement 1, SignerOrNull 1] [P::Data, P::SignScheme];
    0x134 6 [NvAuth 1, Nv 0] [];
    0x135 6 [NvAuth 1, Nv 0] [P::Long];
    0x136 6 [NvAuth 1, Nv 0] [P::Data];
    0x137 14 [NvAuth 1, Nv 0] [P::Data, P::Short];
    0x138 3 [NvAuth 1, Nv 0] [];
    0x139 6 [Lockout 1] [];
    0x13a 2 [Lockout 1] [P::Tries, P::Number, P::Number];
    0x13b 4 [Nv 1] [P::Auth];
    0x13c 6 [Pcr 1] [P::Buffer];
    0x13d 4 [Pcr 1] [];
    0x13e 8 [Sequence 1] [P::Buffer, P::Hierarchy];
    0x140 2 [Provision 1] [P::Hash, P::Commands, P::Commands];
    0x142 2 [] [P::Algorithms];
    0x145 2 [] [P::Short];
    0x146 4 [] [P::Data];
    0x147 6 [Object 1, Storage 1] [P::Credential];
    0x148 10 [Object 1, SignerOrNull 1] [P::Data, P::SignScheme];
    0x149 8 [NvAuth 1, Nv 0, Policy 0] [P::Data, P::Short, P::Operation];
    0x14a 5 [SignerOrNull 1, Object 0] [P::Data, P::Digest, P::SignScheme, P::Ticket(0x8021)];
    0x14b 10 [Object 1, StorageOrNull 0] [P::Data, P::Symmetric];
    0x14c 4 [Endorsement 1, SignerOrNull 1] [P::Data, P::SignScheme];
    0x14d 4 [Endorsement 1, SignerOrNull 1, Session 0] [P::Data, P::SignScheme];
    0x14e 10 [NvAuth 1, Nv 0] [P::Short, P::Short];
    0x14f 3 [NvAuth 1, Nv 0] [];
    0x150 6 [Object 1, Storage 0] [P::Auth];
    0x151 10 [Entity 1, Policy 0] [P::SessionNonce, P::Digest, P::Data, P::Number];
    0x152 5 [StorageOrNull 1, StorageOrNull 0] [P::Duplicate];
    0x153 30 [Storage 1] [P::Sensitive, P::Template, P::Data, P::Pcrs];
    0x154 4 [Decrypter 1] [P::Point];
    0x155 6 [Keyed 1] [P::Buffer, P::Hash];
    0x156 8 [Storage 1] [P::Import];
    0x157 40 [Storage 1] [P::Blob];
    0x158 10 [SignerOrNull 1] [P::Data, P::SignScheme, P::Pcrs];
    0x159 4 [Decrypter 1] [P::Data, P::RsaScheme, P::Data];
    0x15b 6 [Keyed 1] [P::Auth, P::Hash];
    0x15c 6 [Sequence 1] [P::Buffer];
    0x15d 12 [Signer 1] [P::Digest, P::SignScheme, P::Ticket(0x8024)];
    0x15e 8 [Sealed 1] [];
    0x160 5 [Signer 0, Policy 0] [P::SessionNonce, P::Digest, P::Data, P::Number, P::Signature];
    0x161 8 [] [P::Context];
    0x162 8 [Context 0] [];
    0x163 4 [Decrypter 0] [];
    0x164 6 [Cipher 1] [P::YesNo, P::Mode, P::Iv, P::Buffer];
    0x165 30 [] [P::Loaded];
    0x167 12 [] [P::External];
    0x168 6 [Storage 0] [P::Digest, P::Name];
    0x169 4 [Nv 0] [];
    0x16a 4 [Policy 0] [P::Digest, P::Data, P::Name, P::Ticket(0x8022)];
    0x16b 4 [Policy 0] [];
    0x16c 4 [Policy 0] [P::Command];
    0x16d 4 [Policy 0] [P::Data, P::Short, P::Order];
    0x16e 4 [Policy 0] [P::Digest];
    0x16f 4 [Policy 0] [P::Byte];
    0x170 4 [Policy 0] [P::Digest];
    0x171 4 [Policy 0] [P::Digests];
    0x172 3 [Policy 0] [P::Timeout, P::Digest, P::Data, P::Name, P::Ticket(0x8025)];
    0x173 4 [Object 0] [];
    0x174 4 [Decrypter 0] [P::Data, P::RsaScheme, P::Data];
    0x177 8 [Signer 0] [P::Digest, P::Signature];
    0x178 2 [] [P::Curve];
    0x17a 6 [] [P::Capability];
    0x17b 4 [] [P::Short];
    0x17c 2 [] [];
    0x17d 6 [] [P::Buffer, P::Hash, P::Hierarchy];
    0x17e 6 [] [P::Pcrs];
    0x17f 6 [Policy 0] [P::Digest, P::Pcrs];
    0x180 4 [Policy 0] [];
    0x181 2 [] [];
    0x182 6 [Pcr 1] [P::DigestValues];
    0x184 5 [SignerOrNull 1, NvAuth 1, Nv 0] [P::Data, P::SignScheme, P::Short, P::Short];
    0x185 3 [Pcr 1, Sequence 1] [P::Buffer];
    0x186 8 [] [P::Auth, P::Hash];
    0x187 3 [Policy 0] [];
    0x188 4 [Policy 0] [P::Name, P::Name, P::YesNo];
    0x189 6 [Policy 0] [];
    0x18a 6 [] [P::PublicParameters];
    0x18b 4 [Signer 1] [P::Point, P::Data, P::Data];
    0x18c 4 [Policy 0] [];
    0x18d 3 [Decrypter 1] [P::Point, P::Point, P::Raw(&[0, 0x19]), P::Short];
    0x18e 3 [] [P::Curve];
    0x18f 4 [Policy 0] [P::YesNo];
    0x190 4 [Policy 0] [P::Digest];
    0x191 20 [Parent 1] [P::Sensitive, P::Template];
    0x192 5 [NvAuth 1, Nv 0, Policy 0] [];
    0x193 6 [Cipher 1] [P::Buffer, P::YesNo, P::Mode, P::Iv];
};
