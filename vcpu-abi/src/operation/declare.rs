//! The macro by which operations are declared, and how their payloads are laid out.
//!
//! [`operations!`] is given all declarations at once, for what it makes of all of them together. So each of
//! the modules beside has its declarations in a macro of its own, which puts them behind those it is given
//! and calls the next.

/// How a payload is laid out, for the C header and for tests.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// Its size.
    pub bytes: usize,
    /// Name and Rust type of each field, in order.
    pub fields: &'static [(&'static str, &'static str)],
}

impl Payload {
    /// The bytes of the reserved field, if there is one.
    pub fn reserved(&self) -> Option<core::ops::Range<usize>> {
        // There is no padding: a payload can be seen as bytes.
        let mut start = 0;
        for (name, field_type) in self.fields {
            let end = start + if *field_type == "u64" { 8 } else { 4 };
            if is_reserved(name) {
                return Some(start..end);
            }
            start = end;
        }
        None
    }
}

/// Whether a field has no meaning yet.
pub(super) const fn is_reserved(field: &str) -> bool {
    // As bytes, since strings can't be compared while constants are made.
    matches!(field.as_bytes(), b"reserved")
}

/// Declares operations: `Name(Object, number, RIGHTS) { field: type, ... }`, each with its documents. `$d` is
/// a dollar sign, for the macro that is declared within.
macro_rules! operations {
    ([] $d:tt $($(#[$meta:meta])* $name:ident($object:ident, $number:literal, $($right:ident)|+) {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl Call for $name {
                type Object<O: Objects> = O::$object;
                const OBJECT: ObjectKind = ObjectKind::$object;
                const CODE: u32 = (ObjectKind::$object as u32) << 16 | $number;
                const RIGHTS: Rights = Rights::empty()$(.union(Rights::$right))+;
                const NAME: &'static str = stringify!($name);

                #[inline]
                fn reserved_is_zero(&self) -> bool {
                    // By the name while this is compiled: what is left is one comparison for each reserved
                    // field.
                    true $(&& (const { !is_reserved(stringify!($field)) } || self.$field == 0))*
                }
            }
        )*

        /// Code and name of every operation.
        pub const OPERATIONS: &[(u32, &str)] = &[$(($name::CODE, $name::NAME)),*];

        /// The payload of every operation, in the order of [`OPERATIONS`].
        pub const PAYLOADS: &[Payload] = &[$(Payload {
            bytes: size_of::<$name>(),
            fields: &[$((stringify!($field), stringify!($type))),*],
        }),*];

        /// An expression for the operation of a code, with a name for its type: `with_operation!(code, C =>
        /// f::<C>(), else g())`. It must hold for every operation, so that none can be forgotten; `else` is
        /// for codes that are none's.
        #[macro_export]
        macro_rules! with_operation {
            ($d code:expr, $d call:ident => $d then:expr, else $d otherwise:expr) => {
                match $d code {
                    $(<$crate::operation::$name as $crate::operation::Call>::CODE => {
                        type $d call = $crate::operation::$name;
                        $d then
                    })*
                    _ => $d otherwise,
                }
            };
        }
    };
}
