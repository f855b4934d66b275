//! A number for what a daemon of another build must find again.
//!
//! FNV-1a: nobody chooses rules or a runtime to deceive himself, and it is the same everywhere and for ever, which the
//! hasher of the standard library does not promise.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn of(self, bytes: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }

    /// With their length, so that it is known where they end.
    pub(crate) fn of_sized(self, bytes: &[u8]) -> Self {
        self.of(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes()).of(bytes)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published values of FNV-1a.
    #[test]
    fn it_is_the_same_for_ever() {
        let known =
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)];
        for (text, number) in known {
            assert_eq!(Digest::new().of(text.as_bytes()).number(), number, "{text}");
        }
    }

    #[test]
    fn what_has_a_length_cannot_be_taken_apart_differently() {
        let ends =
            |one: &str, two: &str| Digest::new().of_sized(one.as_bytes()).of_sized(two.as_bytes()).number();
        assert_ne!(ends("ab", "c"), ends("a", "bc"));
    }
}
