//! Randomness. Nothing else at the edge asks the runtime for it.

/// Random bytes.
///
/// # Panics
/// When the runtime has none to give, which it never says of so few: a secret that is not random must not be made, and
/// no caller has anything better to do.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for randomness"
)]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the runtime has randomness");
    bytes
}

/// A random number below 2^53: what every JSON reader and SQL's double keep exactly.
pub(crate) fn nonce() -> u64 {
    u64::from_le_bytes(bytes()) >> 11
}
