//! A watch is asked for: with the connection, or later.

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::watch::{MOST, Terms, Watch};
use postern_domain::wire::watch::{WatchPut, WatchState, WatchView};

use crate::Connection;
use crate::call::{Answer, Turn};
use crate::history::line;
use crate::record::Record;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    /// Answers when it stands, or is known to fail. Asked again for the same, it is the same.
    pub(crate) fn watch_put(
        &mut self,
        call: WatchPut,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<WatchView>, Problem> {
        let now = turn.now;
        let record = &self.standing()?.record;
        if record.state == postern_domain::oauth::standing::State::Revoked || record.ending.is_some() {
            return Err(Problem::new(
                Code::Conflict,
                "The connection was disconnected: nothing of it can be watched",
            ));
        }
        let known = self
            .watches
            .all
            .iter()
            .find(|watch| watch.terms == call.terms && !watch.stopping);
        let number = match known {
            Some(watch) => watch.number,
            None => self.begin_watch(call.terms, now)?,
        };
        self.go_on_watching(now, random)?;
        let view = self.watch_view(number, now)?;
        Ok(if view.state == WatchState::Starting {
            Answer::Late(Ok(view))
        } else {
            Answer::Now(view)
        })
    }

    /// Begins what was asked for with the connection itself.
    pub(crate) fn begin_watches(&mut self, wanted: Vec<Terms>, now: Millis) -> Result<(), Problem> {
        for terms in wanted {
            let known = self
                .watches
                .all
                .iter()
                .any(|watch| watch.terms.looks_at_the_same(&terms));
            if !known {
                self.begin_watch(terms, now)?;
            }
        }
        Ok(())
    }

    fn begin_watch(&mut self, terms: Terms, now: Millis) -> Result<u64, Problem> {
        let mut change = self.change()?;
        can_watch(&change.record, &terms)?;
        if let Some(known) = self
            .watches
            .all
            .iter()
            .find(|watch| watch.terms.looks_at_the_same(&terms))
        {
            let detail = if known.stopping {
                "The watch that was there is still being ended; try again in some seconds"
            } else {
                "It is watched already; take that watch away to make another one"
            };
            return Err(Problem::new(Code::Conflict, detail));
        }
        if self.watches.all.len() >= MOST {
            return Err(Problem::new(
                Code::Conflict,
                format!("A connection has at most {MOST} watches"),
            ));
        }
        // Numbers of watches that are gone may come again: nothing outlives them under it.
        let number = self
            .watches
            .all
            .iter()
            .map(|watch| watch.number)
            .max()
            .unwrap_or(0)
            + 1;
        change.line(line(
            "watch",
            format!("A {} watch was asked for", terms.kind()),
            now,
        ));
        self.keep_watch(Watch::new(number, terms, now), &[], change, now)?;
        Ok(number)
    }
}

/// Whether the provider has what is to be watched.
fn can_watch(record: &Record, terms: &Terms) -> Result<(), Problem> {
    if terms.is_offered_by(&record.provider) {
        return Ok(());
    }
    let msg = format!("is nothing that can be watched at {}", record.provider.name);
    Err(Problem::fault(&["body", "kind"], msg))
}
