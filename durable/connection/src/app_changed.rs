//! The app, as its connections find it: what a change of it broke may heal, what it breaks is found soon, and what one
//! connection learns of it the directory is told, for all.

use postern_domain::oauth::rotation::Next;
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Connection;
use crate::air::{Purpose, unexpected};
use crate::credential::Kind;
use crate::errand::{AppFinding, Done, Task};
use crate::sql::{Random, Sql};

/// The connections of an app are probed spread over this.
const SPREAD_MS: u64 = 600_000;

impl<S: Sql> Connection<S> {
    /// Tells the directory what a refresh learned of the app's id and secret. What is lost on the way the next refresh
    /// learns again.
    pub(crate) fn judge_app(&mut self, generation: u64, finding: AppFinding) -> Result<(), Problem> {
        let task = Task::AppJudged {
            app: self.standing()?.record.app,
            generation,
            finding,
        };
        self.send(task, Purpose::App);
        Ok(())
    }

    pub(crate) fn app_judged(&mut self, done: &Done) -> Result<(), Problem> {
        match done {
            Done::Written(Ok(())) => Ok(()),
            Done::Written(Err(problem)) => {
                self.notice("app_not_judged", problem);
                Ok(())
            }
            other => Err(unexpected(other)),
        }
    }

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
