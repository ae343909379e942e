//! Tokens to spend. A warm read writes nothing.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{Token, TokenLease};

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::change::Change;
use crate::credential::Credential;
use crate::sql::{Random, Sql};

/// Leases since the last write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) count: u64,
    pub(crate) at: Option<Millis>,
}

impl<S: Sql> Connection<S> {
    pub(crate) fn token_lease(
        &mut self,
        _call: &TokenLease,
        _turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<Token>, Problem> {
        Err(not_known())
    }

    /// Puts the leases since the last write into a change that writes the credential anyway. Whether it did.
    pub(crate) fn write_use(&self, change: &mut Change) -> bool {
        let was = self.memory.as_ref().map(|memory| &memory.credential);
        let (Some(at), Some(credential)) = (self.used.at, &mut change.credential) else {
            return false;
        };
        if was.is_some_and(|was| was.as_ref() == Some(credential)) {
            return false;
        }
        credential.used_at = at.max(credential.used_at);
        count(credential, self.used.count, at);
        true
    }
}

/// Adds uses to the hour's count; what is older than a day goes.
fn count(credential: &mut Credential, used: u64, at: Millis) {
    let hour = at.0 / 3_600_000;
    match credential.usage.last_mut() {
        Some((last, sum)) if *last == hour => *sum += used,
        _ => credential.usage.push((hour, used)),
    }
    credential.usage.retain(|(old, _)| old + 24 >= hour);
}

/// Uses in the last 24 hours, to the hour.
pub(crate) fn used_24h(credential: &Credential, used: &Used, now: Millis) -> u64 {
    let hour = now.0 / 3_600_000;
    let stored = credential.usage.iter().filter(|(old, _)| old + 24 > hour);
    stored.map(|(_, sum)| sum).sum::<u64>() + used.count
}
