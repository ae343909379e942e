//! Tokens that the provider's API refused: a newer one if there is, else one refresh, and no storm of them.

use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::{Token, TokenRefused};

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::credential::Kind;
use crate::history::line;
use crate::lease::{not_connected, not_spendable};
use crate::sql::{Random, Sql};

/// A token that a refresh brought is fresh for so long.
const FRESH_MS: u64 = 600_000;

/// Refusals of fresh tokens in a row after which somebody must connect again.
const MOST_REFUSED: u32 = 2;

impl<S: Sql> Connection<S> {
    /// A token of this generation was answered with 401.
    pub(crate) fn token_refused(
        &mut self,
        call: TokenRefused,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<Token>, Problem> {
        let now = turn.now;
        self.settle(now, random)?;
        let memory = self.standing()?;
        let state = memory.record.state;
        let credential = memory.credential.as_ref().ok_or_else(not_connected)?;
        // There is a newer one, or this is a repeat that waited for it.
        if credential.generation != call.generation || turn.since.is_some() {
            return self.token(false, now, random);
        }
        if !matches!(state, State::Active | State::Degraded) {
            return self.token(false, now, random);
        }
        let refreshable = credential.kind != Kind::Key && credential.refreshable();
        let fresh = credential.generation > 1 && now.since(credential.obtained_at) < FRESH_MS;
        if refreshable && !fresh {
            if !credential.access_refused {
                let mut change = self.change()?;
                change.credential()?.access_refused = true;
                self.commit(change, now, |_| Ok(()))?;
            }
            return self.token(true, now, random);
        }
        let reason = match credential.kind {
            Kind::Key => Reason::KeyRefused,
            Kind::Tokens if !refreshable => Reason::NoRefreshToken,
            Kind::Tokens | Kind::ServiceAccount => Reason::ApiRefuses,
        };
        let mut change = self.change()?;
        let credential = change.credential()?;
        credential.refused += 1;
        if credential.refused < MOST_REFUSED {
            self.commit(change, now, |_| Ok(()))?;
            return Err(Problem::new(
                Code::Conflict,
                "The provider's API refuses the token, and there is no newer one",
            ));
        }
        change.line(line("check", reason.sentence(), now));
        change.go(State::NeedsReauth, Some(reason), now)?;
        self.commit(change, now, |_| Ok(()))?;
        Err(not_spendable(reason))
    }
}
