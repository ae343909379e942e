//! Randomness. Nothing else asks the runtime for it.

/// Random bytes.
///
/// # Panics
/// As [`fill`].
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// A random number below 2^53: what every JSON reader and SQL's double keep exactly.
#[must_use]
pub fn nonce() -> u64 {
    u64::from_le_bytes(bytes()) >> 11
}

/// Fills this with random bytes.
///
/// # Panics
/// When the runtime has none to give, which it never says of so few: a secret or an id that is not random must not be
/// made, and no caller has anything better to do.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for randomness"
)]
pub fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the runtime has randomness");
}
