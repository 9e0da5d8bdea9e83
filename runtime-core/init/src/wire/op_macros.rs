//! From a list of steps with their fields to what both ends of the wire have: the form that the host plans, the form
//! that init reads, and the way between them.

macro_rules! borrowed {
    ($life:lifetime str) => { &$life CStr };
    ($life:lifetime strs) => { List<$life, &$life CStr> };
    ($life:lifetime nums) => { List<$life, u32> };
    ($life:lifetime bytes) => { &$life [u8] };
    ($life:lifetime slot) => { Slot };
    ($life:lifetime $number:ident) => { $number };
}

#[cfg(not(orlop_freestanding))]
macro_rules! owned {
    (str) => { CString };
    (strs) => { Vec<CString> };
    (nums) => { Vec<u32> };
    (bytes) => { Vec<u8> };
    (slot) => { Slot };
    ($number:ident) => { $number };
}

macro_rules! ops {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident: $kind:ident, )* } )*) => {
        /// A step as init reads it from the plan.
        #[derive(Clone, Copy, Debug)]
        pub enum Op<'a> {
            $( $(#[$doc])* $name { $( $(#[$field_doc])* $field: borrowed!('a $kind), )* }, )*
        }

        /// A step as the host plans it.
        #[cfg(not(orlop_freestanding))]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum OwnedOp {
            $( $(#[$doc])* $name { $( $(#[$field_doc])* $field: owned!($kind), )* }, )*
        }

        #[repr(u32)]
        enum Code { $( $name, )* }

        impl<'a> Decode<'a> for Op<'a> {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
                let code = u32::decode(reader)?;
                $( if code == Code::$name as u32 {
                    return Ok(Self::$name { $( $field: Decode::decode(reader)?, )* });
                } )*
                Err(Malformed)
            }
        }

        #[cfg(not(orlop_freestanding))]
        impl Encode for OwnedOp {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$name { $( $field, )* } => {
                        (Code::$name as u32).encode(out);
                        $( $field.encode(out); )*
                    } )*
                }
            }
        }

        #[cfg(not(orlop_freestanding))]
        impl OwnedOp {
            /// The step's name, as `explain` prints it.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$name { .. } => stringify!($name), )* }
            }
        }

        #[cfg(test)]
        impl Op<'_> {
            fn to_owned_op(self) -> OwnedOp {
                match self {
                    $( Self::$name { $( $field, )* } => OwnedOp::$name { $( $field: tests::Owned::owned($field), )* }, )*
                }
            }
        }

        /// One step of each kind, with contents that depend on the seed.
        #[cfg(test)]
        fn samples(seed: &mut u64) -> Vec<OwnedOp> {
            alloc::vec![$( OwnedOp::$name { $( $field: tests::Sample::sample(seed), )* }, )*]
        }
    };
}
