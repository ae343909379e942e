//! The object's randomness: the platform's generator.

use postern_ledger::Random;

/// The platform's generator.
pub(crate) struct PlatformRandom;

impl Random for PlatformRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place in the objects that asks for randomness"
    )]
    fn fill(&mut self, bytes: &mut [u8]) {
        // The platform's generator has no way to fail; were there one, no id may come of it.
        getrandom::fill(bytes).expect("the platform gives randomness");
    }
}
