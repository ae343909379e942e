//! Watches end: one that is taken away by itself, all of them before the grant is revoked.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::{Step, plan};
use postern_domain::wire::connection::Token;
use postern_domain::wire::watch::{WatchDelete, WatchView};

use crate::Connection;
use crate::credential::Credential;
use crate::history::line;
use crate::refresh::Begun;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    /// Nothing of it is told from now on. What stands at the provider is ended behind the answer, in some tries.
    pub(crate) fn watch_delete(
        &mut self,
        call: WatchDelete,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<WatchView, Problem> {
        self.standing()?;
        let watch = self.watches.get(call.number).cloned();
        let mut watch = watch.ok_or_else(Problem::not_found)?;
        if !watch.stopping {
            watch.stopping = true;
            watch.renewal.retry_at = None;
            let mut change = self.change()?;
            let decision = format!("The {} watch was taken away", watch.terms.kind());
            change.line(line("watch", decision, now));
            self.heal(&mut change, &watch, now)?;
            self.keep_watch(watch, &[], change, now)?;
        }
        let view = self.watch_view(call.number, now)?;
        self.go_on_watching(now, random)?;
        Ok(view)
    }

    /// Ends all watches before the grant is revoked: each is tried once. Answers whether that is still under way.
    pub(crate) fn end_watches(&mut self, now: Millis, random: &mut dyn Random) -> Result<bool, Problem> {
        let numbers: Vec<u64> = self.watches.all.iter().map(|watch| watch.number).collect();
        let mut waits = false;
        for number in numbers {
            waits |= self.end_watch(number, now, random)?;
        }
        Ok(waits)
    }

    fn end_watch(&mut self, number: u64, now: Millis, random: &mut dyn Random) -> Result<bool, Problem> {
        loop {
            if self.watch_flies(number) {
                return Ok(true);
            }
            let Some(mut watch) = self.watches.get(number).cloned() else {
                return Ok(false);
            };
            if !watch.stopping {
                watch.stopping = true;
                watch.stops_failed = 0;
                let change = self.change()?;
                self.keep_watch(watch.clone(), &[], change, now)?;
            }
            let step = plan::end(&watch);
            if step == Step::Forget || watch.stops_failed > 0 {
                let mut change = self.change()?;
                if watch.stops_failed > 0 {
                    let decision = "A watch could not be ended at the provider; it ends there by itself";
                    let mut entry = line("watch", decision, now);
                    entry.words.clone_from(&watch.renewal.why);
                    change.line(entry);
                }
                self.drop_watch(number, change, now)?;
                return Ok(false);
            }
            if let Step::Wire(on) = step {
                self.wire(&watch, on)?;
                return Ok(true);
            }
            match self.last_token(now)? {
                Some(token) => {
                    self.send_step(watch, step, &token, now, random)?;
                    return Ok(true);
                }
                // The token is over: one more, only for this.
                None if !self.watches.end_asked => {
                    self.watches.end_asked = true;
                    if self.begin_refresh(now, random)? == Begun::Flies {
                        return Ok(true);
                    }
                }
                None if self.refresh_flies() => return Ok(true),
                None => {
                    watch.stops_failed += 1;
                    watch.renewal.why = Some("There was no token to do it with".to_owned());
                    self.watches.put(watch);
                }
            }
        }
    }

    /// The access token as it stands, if it is good: what is being ended is spent for nothing else.
    fn last_token(&mut self, now: Millis) -> Result<Option<Token>, Problem> {
        let credential = self.standing()?.credential.as_ref();
        let good = |credential: &&Credential| {
            credential.expires_at.is_none_or(|end| end > now) && !credential.access_refused
        };
        if credential
            .filter(good)
            .is_none_or(|credential| credential.access.is_none())
        {
            return Ok(None);
        }
        match self.lease_now(now) {
            Ok(crate::call::Answer::Now(token)) => Ok(Some(token)),
            Err(problem) if problem.cause.is_some() => Err(problem),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Whether the end of the connection waits for a token to end its watches with.
    pub(crate) fn ends_watches(&self) -> bool {
        !self.watches.all.is_empty()
    }
}
