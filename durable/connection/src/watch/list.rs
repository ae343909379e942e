//! How watches show themselves. No secret.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::{Terms, Watch, plan};
use postern_domain::wire::watch::{WatchState, WatchView};
use serde_json::{Value as Json, json};

use super::is_watched;
use crate::Connection;
use crate::record::Record;
use crate::sql::Sql;

impl<S: Sql> Connection<S> {
    pub(crate) fn watch_list(&mut self, now: Millis) -> Result<Vec<WatchView>, Problem> {
        self.standing()?;
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let of = |watch| view_of(&memory.record, watch, self.watches.owed, now);
        Ok(self.watches.all.iter().map(of).collect())
    }

    /// One of them; 404.
    pub(super) fn watch_view(&mut self, number: u64, now: Millis) -> Result<WatchView, Problem> {
        let views = self.watch_list(now)?;
        views
            .into_iter()
            .find(|view| view.number == number)
            .ok_or_else(Problem::not_found)
    }
}

fn view_of(record: &Record, watch: &Watch, untold: u64, now: Millis) -> WatchView {
    let (state, detail) = state_of(record, watch, now);
    WatchView {
        number: watch.number,
        terms: watch.terms.clone(),
        state,
        detail,
        mailbox: watch.mailbox.clone(),
        made_at: watch.made_at,
        last_push_at: watch.last_push_at,
        last_event_at: watch.last_event_at,
        last_sync_at: watch.last_sync_at,
        expires_at: watch.notifies_until(),
        next_renewal_at: watch
            .renew_at
            .map(|at| at.max(watch.renewal.retry_at.unwrap_or_default())),
        next_at: if state == WatchState::Waiting {
            None
        } else {
            plan::next_at(watch, now)
        },
        untold,
    }
}

fn state_of(record: &Record, watch: &Watch, now: Millis) -> (WatchState, Option<String>) {
    if watch.stopping {
        return (WatchState::Stopping, watch.renewal.why.clone());
    }
    if !is_watched(record) {
        let why = match record.reason {
            _ if !record.enabled => "Switched off by its owner",
            Some(reason) => reason.sentence(),
            None => "The connection cannot be spent now",
        };
        return (WatchState::Waiting, Some(why.to_owned()));
    }
    let fails = [&watch.renewal, &watch.sync]
        .into_iter()
        .find(|trouble| trouble.failures > 0);
    if let Some(trouble) = fails {
        return (WatchState::Failing, trouble.why.clone());
    }
    let read = watch.cursor.as_ref().is_some_and(|cursor| cursor.at.is_some());
    let notified = watch.notifies_until().is_some_and(|end| end > now);
    let reaches_us = match &watch.terms {
        Terms::Gmail { topic, source, .. } => {
            (topic.is_none() || notified) && (source.is_none() || watch.wired)
        }
        Terms::Calendar { .. } => notified,
    };
    if !read || !reaches_us {
        return (WatchState::Starting, None);
    }
    let polled = matches!(
        watch.terms,
        Terms::Gmail { topic: None, .. } | Terms::Gmail { source: None, .. }
    );
    let detail = "No source of this deployment gets its notifications: it is looked at every hour";
    (WatchState::Active, polled.then(|| detail.to_owned()))
}

/// What the connection itself shows of a watch.
pub(crate) fn summary(view: &WatchView) -> Json {
    let time = |at: Option<Millis>| at.map(Millis::to_rfc3339);
    json!({
        "id": view.number.to_string(),
        "kind": view.terms.kind(),
        "state": view.state.as_str(),
        "detail": view.detail,
        "lastEventAt": time(view.last_event_at),
        "nextRenewalAt": time(view.next_renewal_at),
    })
}
