//! The ledger's randomness is the platform's.

use postern_ledger::Random;
use postern_platform::random;

/// The platform's generator, as the ledger takes it.
pub(crate) struct PlatformRandom;

impl Random for PlatformRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        random::fill(bytes);
    }
}
