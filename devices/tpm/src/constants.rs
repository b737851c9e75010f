//! Numbers of part 2: algorithms, handles, tags, attributes, capabilities.

/// TPM_ALG_ID (6.3), hashes aside.
pub(crate) mod alg {
    pub(crate) const RSA: u16 = 0x0001;
    pub(crate) const HMAC: u16 = 0x0005;
    pub(crate) const AES: u16 = 0x0006;
    pub(crate) const MGF1: u16 = 0x0007;
    pub(crate) const KEYEDHASH: u16 = 0x0008;
    pub(crate) const XOR: u16 = 0x000a;
    pub(crate) const NULL: u16 = 0x0010;
    pub(crate) const RSASSA: u16 = 0x0014;
    pub(crate) const RSAES: u16 = 0x0015;
    pub(crate) const RSAPSS: u16 = 0x0016;
    pub(crate) const OAEP: u16 = 0x0017;
    pub(crate) const ECDSA: u16 = 0x0018;
    pub(crate) const ECDH: u16 = 0x0019;
    pub(crate) const ECDAA: u16 = 0x001a;
    pub(crate) const ECSCHNORR: u16 = 0x001c;
    pub(crate) const KDF1_SP800_56A: u16 = 0x0020;
    pub(crate) const KDF1_SP800_108: u16 = 0x0022;
    pub(crate) const ECC: u16 = 0x0023;
    pub(crate) const SYMCIPHER: u16 = 0x0025;
    pub(crate) const CTR: u16 = 0x0040;
    pub(crate) const OFB: u16 = 0x0041;
    pub(crate) const CBC: u16 = 0x0042;
    pub(crate) const CFB: u16 = 0x0043;
    pub(crate) const ECB: u16 = 0x0044;
}

/// TPM_RH and ranges of handles (7.4, 7.5).
pub(crate) mod handle {
    pub(crate) const OWNER: u32 = 0x4000_0001;
    pub(crate) const NULL: u32 = 0x4000_0007;
    pub(crate) const PASSWORD: u32 = 0x4000_0009;
    pub(crate) const LOCKOUT: u32 = 0x4000_000a;
    pub(crate) const ENDORSEMENT: u32 = 0x4000_000b;
    pub(crate) const PLATFORM: u32 = 0x4000_000c;
    pub(crate) const PLATFORM_NV: u32 = 0x4000_000d;
    pub(crate) const NV: u8 = 0x01;
    pub(crate) const HMAC_SESSION: u8 = 0x02;
    pub(crate) const POLICY_SESSION: u8 = 0x03;
    pub(crate) const PERMANENT: u8 = 0x40;
    pub(crate) const TRANSIENT: u8 = 0x80;
    pub(crate) const PERSISTENT: u8 = 0x81;
    /// From here on persistent objects are the platform's.
    pub(crate) const PLATFORM_PERSISTENT: u32 = 0x8180_0000;

    /// The kind of a handle: its highest byte.
    pub(crate) const fn kind(handle: u32) -> u8 {
        (handle >> 24) as u8
    }

    /// Whether a handle is one of an object's (TPM_HC, part 2, 7.4): transient ones end at the limit.
    pub(crate) const fn is_object(handle: u32) -> bool {
        is_transient(handle) || kind(handle) == PERSISTENT
    }

    /// Whether a handle is in the range of transient objects.
    pub(crate) const fn is_transient(handle: u32) -> bool {
        kind(handle) == TRANSIENT && handle - first(TRANSIENT) < super::limit::TRANSIENT as u32
    }

    /// Whether a handle is in one of the ranges of sessions.
    pub(crate) const fn is_session(handle: u32) -> bool {
        matches!(kind(handle), HMAC_SESSION | POLICY_SESSION)
            && handle & 0x00ff_ffff < super::limit::ACTIVE_SESSIONS as u32
    }

    /// The first handle of a kind.
    pub(crate) const fn first(kind: u8) -> u32 {
        (kind as u32) << 24
    }
}

/// TPM_ST (6.9).
pub(crate) mod st {
    pub(crate) const NO_SESSIONS: u16 = 0x8001;
    pub(crate) const SESSIONS: u16 = 0x8002;
    pub(crate) const ATTEST_NV: u16 = 0x8014;
    pub(crate) const ATTEST_COMMAND_AUDIT: u16 = 0x8015;
    pub(crate) const ATTEST_SESSION_AUDIT: u16 = 0x8016;
    pub(crate) const ATTEST_CERTIFY: u16 = 0x8017;
    pub(crate) const ATTEST_QUOTE: u16 = 0x8018;
    pub(crate) const ATTEST_TIME: u16 = 0x8019;
    pub(crate) const ATTEST_CREATION: u16 = 0x801a;
    pub(crate) const ATTEST_NV_DIGEST: u16 = 0x801c;
    pub(crate) const CREATION: u16 = 0x8021;
    pub(crate) const VERIFIED: u16 = 0x8022;
    pub(crate) const AUTH_SECRET: u16 = 0x8023;
    pub(crate) const HASHCHECK: u16 = 0x8024;
    pub(crate) const AUTH_SIGNED: u16 = 0x8025;
}

/// What a structure that the TPM made begins with.
pub(crate) const GENERATED: u32 = 0xff54_4347;

/// TPMA_OBJECT (8.3).
pub(crate) mod object {
    pub(crate) const FIXED_TPM: u32 = 1 << 1;
    pub(crate) const ST_CLEAR: u32 = 1 << 2;
    pub(crate) const FIXED_PARENT: u32 = 1 << 4;
    pub(crate) const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    pub(crate) const USER_WITH_AUTH: u32 = 1 << 6;
    pub(crate) const ADMIN_WITH_POLICY: u32 = 1 << 7;
    pub(crate) const NO_DA: u32 = 1 << 10;
    pub(crate) const ENCRYPTED_DUPLICATION: u32 = 1 << 11;
    pub(crate) const RESTRICTED: u32 = 1 << 16;
    pub(crate) const DECRYPT: u32 = 1 << 17;
    /// For a symmetric key this bit means that it encrypts.
    pub(crate) const SIGN: u32 = 1 << 18;
    pub(crate) const X509_SIGN: u32 = 1 << 19;
    pub(crate) const ALL: u32 = 0x000f_0cf6;
}

/// TPMA_NV (13.4).
pub(crate) mod nv {
    pub(crate) const PPWRITE: u32 = 1 << 0;
    pub(crate) const OWNERWRITE: u32 = 1 << 1;
    pub(crate) const AUTHWRITE: u32 = 1 << 2;
    pub(crate) const POLICYWRITE: u32 = 1 << 3;
    pub(crate) const TYPE: u32 = 0xf0;
    pub(crate) const ORDINARY: u32 = 0;
    pub(crate) const COUNTER: u32 = 1 << 4;
    pub(crate) const BITS: u32 = 2 << 4;
    pub(crate) const EXTEND: u32 = 4 << 4;
    pub(crate) const PIN_FAIL: u32 = 8 << 4;
    pub(crate) const PIN_PASS: u32 = 9 << 4;
    pub(crate) const POLICY_DELETE: u32 = 1 << 10;
    pub(crate) const WRITELOCKED: u32 = 1 << 11;
    pub(crate) const WRITEALL: u32 = 1 << 12;
    pub(crate) const WRITEDEFINE: u32 = 1 << 13;
    pub(crate) const WRITE_STCLEAR: u32 = 1 << 14;
    pub(crate) const GLOBALLOCK: u32 = 1 << 15;
    pub(crate) const PPREAD: u32 = 1 << 16;
    pub(crate) const OWNERREAD: u32 = 1 << 17;
    pub(crate) const AUTHREAD: u32 = 1 << 18;
    pub(crate) const POLICYREAD: u32 = 1 << 19;
    pub(crate) const NO_DA: u32 = 1 << 25;
    pub(crate) const ORDERLY: u32 = 1 << 26;
    pub(crate) const CLEAR_STCLEAR: u32 = 1 << 27;
    pub(crate) const READLOCKED: u32 = 1 << 28;
    pub(crate) const WRITTEN: u32 = 1 << 29;
    pub(crate) const PLATFORMCREATE: u32 = 1 << 30;
    pub(crate) const READ_STCLEAR: u32 = 1 << 31;
    pub(crate) const RESERVED: u32 = 0x01f0_0300;
}

/// TPMA_SESSION (8.4).
pub(crate) mod session {
    pub(crate) const CONTINUE: u8 = 1 << 0;
    pub(crate) const AUDIT_EXCLUSIVE: u8 = 1 << 1;
    pub(crate) const AUDIT_RESET: u8 = 1 << 2;
    pub(crate) const DECRYPT: u8 = 1 << 5;
    pub(crate) const ENCRYPT: u8 = 1 << 6;
    pub(crate) const AUDIT: u8 = 1 << 7;
    pub(crate) const RESERVED: u8 = 0x18;
}

/// Limits of this TPM.
pub(crate) mod limit {
    pub(crate) const COMMAND: usize = 4096;
    pub(crate) const TRANSIENT: usize = 8;
    pub(crate) const LOADED_SESSIONS: usize = 8;
    pub(crate) const ACTIVE_SESSIONS: usize = 64;
    pub(crate) const PERSISTENT: usize = 32;
    pub(crate) const NV_INDICES: usize = 64;
    pub(crate) const NV_INDEX_SIZE: usize = 2048;
    pub(crate) const NV_BUFFER: usize = 1024;
    pub(crate) const BUFFER: usize = 1024;
    pub(crate) const DIGEST: usize = 64;
    pub(crate) const NONCE: usize = 64;
    pub(crate) const LABEL: usize = 64;
    pub(crate) const PLATFORM_DATA: usize = 64;
    pub(crate) const SENSITIVE_DATA: usize = 128;
    pub(crate) const RSA_BYTES: usize = 512;
    pub(crate) const CONTEXT_GAP: u64 = 0xffff_ffff;
    /// Bytes of data and names in all NV indices together.
    pub(crate) const NV_TOTAL: usize = 64 * 1024;
}
