//! What makes a TPM [ready](super::ready), and commands that succeed on it: lines as `ready` says.

/// Handles and templates.
pub const NAMES: &str = "
owner: 40000001
null: 40000007
lockout: 4000000a
endorsement: 4000000b
platform: 4000000c
pcr16: 00000010
storage: 81000001
rsa: 81000002
bn: 81000003
cipher: 81000004
plain: 01500001
counter: 01500002
bits: 01500003
extend: 01500004
pin: 01500005
special: 01500006
policynv: 01500007
orderly: 01500008
none: ( 0000 0000 )
signer: 0010 0010 0003 0010 0000 0000
zero32: 0000000000000000000000000000000000000000000000000000000000000000
ecdsa: 0018 000b
pcrs: 00000001 000b 03 010001
storage-t: ( 0023 000b 00030472 0000 0006 0080 0043 0010 0003 0010 0000 0000 )
ecc-t: ( 0023 000b 00060472 0000 0010 0010 0003 0010 0000 0000 )
bn-t: ( 0023 000b 00040472 0000 0010 001a 000b 0000 0010 0010 0000 0000 )
rsa-t: ( 0001 000b 00060472 0000 0010 0010 0400 00000000 0000 )
keyed-t: ( 0008 000b 00040472 0000 0005 000b 0000 )
sealed-t: ( 0008 000b 00000452 0000 0010 0000 )
cipher-t: ( 0025 000b 00060472 0000 0006 0080 0010 0000 )
";

/// How the TPM comes to have one of everything.
pub const READY: &str = "
    144 | 0000
    storage-key: 131 owner! | none storage-t 0000 pcrs
    120 owner! storage-key | storage
    165 | storage-key
    rsa-key: 131 owner! | none rsa-t 0000 00000000
    120 owner! rsa-key | rsa
    165 | rsa-key
    bn-key: 131 owner! | none bn-t 0000 00000000
    120 owner! bn-key | bn
    165 | bn-key
    cipher-key: 131 owner! | none cipher-t 0000 00000000
    120 owner! cipher-key | cipher
    165 | cipher-key
    ecc: 131 owner! | none ecc-t 0000 00000000
    ecc-public: 173 ecc |
    storage-public: 173 storage |
    keyed: 131 null! | none keyed-t 0000 00000000
    sealed-blob: 153 storage! | ( 0000 b16 ) sealed-t 0000 00000000
    sealed: 157 storage! | sealed-blob.0 sealed-blob.1
    trial: 176 null null | b16 0000 03 0010 000b
    16c trial | 0000014b
    dup-policy: 189 trial |
    180 trial |
    16c trial | 0000013b
    adm-policy: 189 trial |
    180 trial |
    16c trial | 0000011f
    del-policy: 189 trial |
    180 trial |
    pol: 176 null null | b16 0000 01 0010 000b
    dup: 176 null null | b16 0000 01 0010 000b
    16c dup | 0000014b
    adm: 176 null null | b16 0000 01 0010 000b
    16c adm | 0000013b
    del: 176 null null | b16 0000 01 0010 000b
    16c del | 0000011f
    hmac: 176 null null | b16 0000 00 0006 0080 0043 000b
    parked: 176 null null | b16 0000 00 000a 0004 0004
    session-context: 162 parked |
    loose-blob: 153 storage! | none ( 0023 000b 00040460 dup-policy.0 signer ) 0000 00000000
    loose: 157 storage! | loose-blob.0 loose-blob.1
    duplicate: 14b loose!dup storage | 0000 0010
    16c dup | 0000014b
    12a owner! | 0000 ( plain 000b 8207c006 adm-policy.0 0008 )
    12a owner! | 0000 ( counter 000b 02070016 0000 0008 )
    12a owner! | 0000 ( bits 000b 02070026 0000 0008 )
    12a owner! | 0000 ( extend 000b 02070046 0000 0020 )
    12a owner! | 0000 ( pin 000b 02070082 0000 0008 )
    12a platform! | 0000 ( special 000b 42010401 del-policy.0 0008 )
    12a owner! | 0000 ( policynv 000b 02070006 0000 0022 )
    12a owner! | 0000 ( orderly 000b 06070016 0000 0008 )
    137 owner! plain | b8 0000
    134 owner! counter |
    135 owner! bits | 0000000000000003
    136 owner! extend | b4
    137 owner! pin | ( 00000000 00000003 ) 0000
    137 owner! policynv | ( 000b zero32 ) 0000
    134 owner! orderly |
    sequence: 186 | 0000 000b
    15c sequence! | b8
    event: 186 | 0000 0010
    17b +hmac | 0004
    salt: 174 rsa | b32 0017 000b ( 53454352455400 )
    ecc-context: 162 ecc |
    sequence-context: 162 sequence |
    credential: 168 storage | b16 ecc-public.1
    ephemeral: 18e | 0003
    cipher-text: 174 rsa | b16 0015 0000
    zero-hash: 17d | ( zero32 ) 000b owner
    zero-signature: 15d ecc! | zero-hash.0 ecdsa zero-hash.rest
    verified: 177 ecc | zero-hash.0 zero-signature.all
    signed-hash: 17d | ( 00000000 ) 000b owner
    signature: 15d ecc! | signed-hash.0 ecdsa signed-hash.rest
    secret-ticket: 151 owner! pol | 0000 0000 0000 ffff0000
    180 pol |
    unique: 17d | b56 000b null
    commitment: 18b bn! | ( 0000 0000 ) 0000 0000
";

/// Commands that succeed: one of each code at least, or what is read by it would be reached by luck alone.
pub const COMMANDS: &str = "
    11f special!del platform! |
    120 owner! ecc | 81000005
    120 owner! rsa | rsa
    121 platform! | owner 00
    121 owner! | owner 00
    122 owner! counter |
    124 platform! |
    125 platform! |
    126 lockout! |
    127 lockout! | 01
    128 owner! | 0000010000000000
    129 owner! | b4
    129 lockout! | b4
    12a owner! | b4 ( 01500010 000b 02070006 0000 0010 )
    12a platform! | b4 ( 01500011 0004 40010011 0000 0008 )
    12b platform! | 00000001 000b 03 ffff00
    12d platform! | 00000001 00000126 00000001 00000124
    12e owner! | dup-policy.0 000b
    130 owner! | 00
    131 null! | none ecc-t 0000 00000000
    131 endorsement! | ( b4 0000 ) keyed-t b8 pcrs
    131 platform! | none rsa-t 0000 00000000
    132 owner! |
    133 endorsement! ecc! | b4 ecdsa
    133 endorsement! null! | 0000 0010
    134 counter! counter |
    134 orderly! orderly |
    135 bits! bits | 0000000000000010
    136 extend! extend | b8
    137 owner! plain | b4 0002
    137 plain! plain | b8 0000
    137 owner! pin | ( 00000001 00000002 ) 0000
    138 plain! plain |
    139 lockout! |
    13a lockout! | 00000003 000003e8 000003e8
    13b plain!adm | b4
    13c pcr16! | b9
    13d pcr16! |
    13e sequence! | b8 owner
    140 owner! | 0010 00000001 0000017b 00000000
    140 owner! | 000c 00000000 00000000
    142 | 00000001 000b
    143 | 00
    143 | 01
    145 | 0001
    145 | 0000
    146 | b16
    147 ecc! storage! | credential.0 credential.1
    148 ecc! ecc! | b8 ecdsa
    149 owner! plain pol | b2 0000 0000
    14a ecc! loose | b8 loose-blob.3 ecdsa loose-blob.rest
    14b loose!dup storage | 0000 0010
    14b loose!dup null | 0000 0006 0080 0043
    14c endorsement! ecc! | b8 ecdsa
    14d endorsement! ecc! hmac | b8 ecdsa
    14e owner! plain | 0008 0000
    14e pin! pin | 0008 0000
    14f plain! plain |
    150 loose! storage | b4
    151 owner! pol | 0000 0000 b4 00000000
    151 pin! pol | 0000 0000 0000 ffffff00
    152 storage! null | duplicate.1 loose.0 duplicate.2
    153 storage! | none ecc-t 0000 pcrs
    153 storage! | ( b4 b16 ) sealed-t 0000 00000000
    154 ecc! | ephemeral.0
    155 keyed! | b16 000b
    156 storage! | 0000 loose-blob.1 duplicate.1 duplicate.2 0010
    157 storage! | sealed-blob.0 sealed-blob.1
    158 ecc! | b8 ecdsa pcrs
    159 rsa! | cipher-text.0 0015 0000
    15b keyed! | b4 000b
    15c sequence! | b16
    15c event! | b16
    15d ecc! | zero-hash.0 ecdsa 8024 null 0000
    15d rsa! | zero-hash.0 0016 000b 8024 null 0000
    15d keyed! | zero-hash.0 0005 000b 8024 null 0000
    15d bn! | zero-hash.0 001a 000b commitment.rest 8024 null 0000
    15e sealed! |
    160 ecc pol | 0000 0000 0000 00000000 signature.all
    161 | session-context.all
    161 | ecc-context.all
    161 | sequence-context.all
    162 ecc |
    162 hmac |
    162 sequence |
    163 ecc |
    164 cipher! | 00 0043 b16 b16
    165 | keyed
    165 | hmac
    167 | 0000 ecc-public.0 owner
    167 | ( 0008 0000 b32 b24 ) ( 0008 000b 00040440 0000 0005 000b unique.0 ) null
    168 storage | b16 ecc-public.1
    169 plain |
    16a pol | ( zero32 ) 0000 ecc-public.1 verified.all
    16b pol |
    16c pol | 00000137
    16d pol | b4 0000 0008
    16e pol | b32
    16f pol | 01
    170 pol | b32
    171 pol | 00000002 ( zero32 ) b32
    172 pol | secret-ticket.0 0000 0000 ( owner ) secret-ticket.rest
    173 ecc |
    174 rsa | b16 0017 000b 0000
    176 null null | b16 0000 00 0010 000b
    176 null null | b16 0000 01 0006 0080 0043 000c
    176 storage ecc | b16 ephemeral.0 00 000a 000b 000b
    176 rsa plain | b16 salt.0 01 0010 0004
    177 ecc | zero-hash.0 zero-signature.all
    178 | 0003
    178 | 0010
    17a | 00000000 00000000 00000020
    17a | 00000001 81000000 00000010
    17a | 00000002 0000011f 00000080
    17a | 00000005 00000000 00000010
    17a | 00000006 00000100 00000080
    17b | 0020
    17c |
    17d | b56 000b owner
    17e | pcrs
    17f pol | 0000 pcrs
    180 pol |
    181 |
    182 pcr16! | 00000001 000b zero32
    182 pcr16! | 00000002 0004 0000000000000000000000000000000000000000 000b zero32
    184 ecc! owner! plain | b8 ecdsa 0008 0000
    185 pcr16! event! | b8
    186 | b4 000c
    186 | 0000 0010
    187 pol |
    188 pol | loose.0 storage-public.1 01
    189 pol |
    18a | 0001 0010 0010 0400 00000000
    18a | 0023 0010 0010 0003 0010
    18b bn! | ( 0000 0000 ) 0000 0000
    18c pol |
    18d ecc! | ephemeral.0 ephemeral.0 0019 ephemeral.1
    18e | 0004
    18f pol | 01
    190 pol | b32
    191 storage! | none ecc-t
    191 null! | none keyed-t
    192 owner! policynv pol |
    193 cipher! | b16 00 0043 b16
";
