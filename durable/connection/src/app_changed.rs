//! The app was changed: what it broke may heal, and what it breaks is found soon.

use postern_domain::oauth::rotation::Next;
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Connection;
use crate::credential::Kind;
use crate::sql::{Random, Sql};

/// The connections of an app are probed spread over this.
const SPREAD_MS: u64 = 600_000;

impl<S: Sql> Connection<S> {
    pub(crate) fn app_changed(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        self.settle(now, random)?;
        let mut change = self.change()?;
        let Some(credential) = change.credential.as_mut() else {
            return Ok(());
        };
        if credential.kind != Kind::Tokens || !credential.refreshable() {
            return Ok(());
        }
        let blocked = change.record.state == State::Blocked
            && matches!(
                change.record.reason,
                Some(Reason::App | Reason::AppDisabled | Reason::Config)
            );
        if blocked {
            credential.next = Some(Next::Blocked { at: now });
        } else if credential.next.is_none() {
            // A probe of an app that may be broken now: better in the next minutes than when a token is needed.
            let soon = now.plus(random.number() % SPREAD_MS);
            credential.next_refresh_at = credential.next_refresh_at.into_iter().chain([soon]).min();
        }
        self.commit(change, now, |_| Ok(()))?;
        if blocked {
            self.begin_refresh(now, random)?;
        }
        Ok(())
    }
}
