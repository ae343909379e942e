//! Tokens that somebody else got: nobody has to connect again because a product moves in.

use postern_domain::oauth::standing::State;
use postern_domain::oauth::{Secret, TokenSet};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionView, Import};

use crate::Connection;
use crate::brought;
use crate::call::{Answer, Maker, Turn};
use crate::credential::{Kind, NewTokens, store_tokens};
use crate::history::line;
use crate::probe::FAILURES_THAT_DEGRADE;
use crate::record::Fresh;
use crate::refresh::plan;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    /// Stores them, then refreshes at once where there is something to refresh with: by the one way that refreshes go, so
    /// that a token that is spent by it is never lost without a trace. An access token alone is shown to the provider's
    /// check. Then the provider is asked whose account it is. What came of it is how the connection stands.
    pub(crate) fn import(
        &mut self,
        mut call: Import,
        maker: Maker,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        let now = turn.now;
        if turn.since.is_none() {
            if self.memory.is_some() {
                return Err(Problem::new(Code::Conflict, "The connection exists already"));
            }
            let watches = std::mem::take(&mut call.watches);
            self.store_imported(call, maker, now, random)?;
            self.begin_watches(watches, now)?;
            self.begin_refresh(now, random)?;
            if !self.refresh_flies() {
                self.begin_probe(now)?;
            }
            self.go_on_watching(now, random)?;
        }
        let view = self.view(now)?;
        Ok(
            if self.refresh_flies() || self.probe_flies() || self.learning_flies() {
                Answer::Late(Ok(view))
            } else {
                Answer::Now(view)
            },
        )
    }

    fn store_imported(
        &mut self,
        call: Import,
        maker: Maker,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let client = call.app.client.as_ref().ok_or_else(|| {
            Problem::new(
                Code::Conflict,
                "The OAuth app has no client: its tokens cannot be refreshed",
            )
        })?;
        if call.access_token.is_none() && call.refresh_token.is_none() {
            return Err(Problem::fault(
                &["body", "refreshToken"],
                "is missing, and so is the access token: one of them must be there",
            ));
        }
        // Without an access token there is one that is over: nobody is given it, and the refresh brings another.
        let expires_at = match &call.access_token {
            Some(_) => call.expires_at,
            None => Some(now),
        };
        let tokens = TokenSet {
            access_token: call.access_token.unwrap_or_else(|| Secret(String::new())),
            refresh_token: call.refresh_token,
            expires_in: expires_at.map(|at| at.since(now) / 1000),
            refresh_expires_in: None,
            scopes: Some(call.scopes.clone()),
            id_token: None,
            learned: call.variables.clone(),
        };
        let new = NewTokens {
            kind: Kind::Tokens,
            tokens,
            client_id: Some(client.id.clone()),
            app_generation: call.app.generation,
            granted: true,
        };
        let fresh = || Fresh {
            label: call.label,
            uid: call.uid,
            variables: call.variables,
            ..maker.makes(&call.app)
        };
        let mut change = self.change_or_make(fresh, now)?;
        change.record.scopes = call.scopes;
        change.record.account = call.account;
        let opener = self.opener(&change.record);
        store_tokens(&opener, &mut change, new, now, random)?;
        let refreshable = change.credential()?.refreshable();
        let learning = brought::to_learn(&change.record, refreshable, now);
        let credential = change.credential()?;
        credential.learning = learning;
        if !refreshable {
            // It was never seen to be good: one refusal is enough.
            credential.check_failures = FAILURES_THAT_DEGRADE - 1;
        }
        plan(&mut change, now, random);
        change.go(State::Active, None, now)?;
        change.line(line("connect", "Imported: its tokens were brought", now));
        self.commit(change, now, |_| Ok(()))
    }
}
