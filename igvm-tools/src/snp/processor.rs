//! What a vCPU's state at reset says of its processor: RDX has family, model and stepping, as CPUID leaf 1
//! has them in EAX (APM volume 2, 14.1.3; CPUID specification 25481).

/// Family, model and stepping as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub u32);

/// QEMU's models of AMD processors that have SEV, by the part of the name in front of a version
/// (`target/i386/cpu.c`, `builtin_x86_defs`), with family, model and stepping.
const MODELS: [(&str, [u32; 3]); 6] = [
    ("EPYC", [23, 1, 2]),
    ("EPYC-IBPB", [23, 1, 2]),
    ("EPYC-Rome", [23, 49, 0]),
    ("EPYC-Milan", [25, 1, 1]),
    ("EPYC-Genoa", [25, 17, 0]),
    ("EPYC-Turin", [26, 0, 0]),
];

impl Signature {
    /// From family (extended one added), model and stepping.
    pub const fn new(family: u32, model: u32, stepping: u32) -> Self {
        // What a family is above 15 is in a field of its own.
        let (low, extended) = if family > 0xf { (0xf, (family - 0xf) & 0xff) } else { (family, 0) };
        Self(extended << 20 | (model >> 4 & 0xf) << 16 | low << 8 | (model & 0xf) << 4 | stepping & 0xf)
    }

    /// Of one of QEMU's models, with or without a version (`EPYC-Milan`, `EPYC-Milan-v2`); `None` for any
    /// other name. No version of a model has another signature.
    pub fn of_model(name: &str) -> Option<Self> {
        let is_version = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        let base = match name.rsplit_once("-v") {
            Some((base, version)) if is_version(version) => base,
            _ => name,
        };
        let (_, [family, model, stepping]) = MODELS.iter().find(|(model, _)| *model == base)?;
        Some(Self::new(*family, *model, *stepping))
    }

    /// The names that [`Self::of_model`] knows, for a message.
    pub fn models() -> String {
        MODELS.map(|(name, _)| name).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        for (name, expected) in [
            ("EPYC", Some(0x0080_0f12)),
            ("EPYC-v4", Some(0x0080_0f12)),
            ("EPYC-IBPB", Some(0x0080_0f12)),
            ("EPYC-Rome-v3", Some(0x0083_0f10)),
            ("EPYC-Milan", Some(0x00a0_0f11)),
            ("EPYC-Genoa-v1", Some(0x00a1_0f10)),
            ("EPYC-Turin", Some(0x00b0_0f00)),
            ("EPYC-v", None),
            ("EPYC-vx", None),
            ("-v1", None),
            ("Opteron_G5", None),
        ] {
            assert_eq!(Signature::of_model(name).map(|signature| signature.0), expected, "{name}");
        }
        assert_eq!(Signature::new(6, 0x2d, 7).0, 0x0002_06d7);
    }
}
