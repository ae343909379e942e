//! How a step of a watch ended.

use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::plan::{self, FAILURES_THAT_DEGRADE};
use postern_domain::watch::{Cursor, Found, Step, Terms, Trouble, Watch, answer, calendar, gmail};
use postern_domain::wire::connection::TokenRefused;
use serde_json::{Value as Json, json};

use super::{Flight, fails};
use crate::Connection;
use crate::air::unexpected;
use crate::call::Turn;
use crate::change::Change;
use crate::errand::Done;
use crate::history::line;
use crate::sql::{Random, Sql};

impl<S: Sql> Connection<S> {
    pub(crate) fn watch_ended(
        &mut self,
        flight: &Flight,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        self.has_moved();
        let found = match done {
            Done::Http(ended) => answer::read(&flight.unauthorised, &ended),
            Done::Written(Ok(())) => Found::Done(Json::Null),
            Done::Written(Err(problem)) => Found::Failed {
                why: format!("The source does not hand over what it gets: {}", problem.detail),
                retry_after_ms: None,
                refused: false,
            },
            other => return Err(unexpected(&other)),
        };
        let Some(watch) = self.watches.get(flight.number).cloned() else {
            return Ok(());
        };
        match found {
            Found::Done(answer) => self.step_done(watch, flight, &answer, now, random),
            Found::Gone { status, why } => self.step_gone(watch, flight, status, why, now, random),
            Found::Unauthorised => self.step_unauthorised(watch, flight, now, random),
            Found::Failed {
                why,
                retry_after_ms,
                refused,
            } => {
                let watch = if refused {
                    from_first_page(watch, flight)
                } else {
                    watch
                };
                self.step_failed(watch, flight, why, retry_after_ms, now, random)
            }
        }
    }

    fn step_done(
        &mut self,
        mut watch: Watch,
        flight: &Flight,
        answer: &Json,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let spread = random.number();
        let mut changes = Vec::new();
        let missing = match flight.step {
            Step::Profile => gmail::read_profile(answer).map_or(Some("mailbox"), |(mailbox, history)| {
                watch.mailbox = Some(mailbox);
                if watch.cursor.is_none() {
                    watch.cursor = Some(Cursor::behind(history));
                    watch.last_sync_at = Some(now);
                    watch.lost = false;
                }
                watch.sync = Trouble::default();
                None
            }),
            Step::Wire(on) => {
                watch.wired = on;
                watch.renewal = Trouble::default();
                None
            }
            Step::Register => gmail::read_watch(answer).map_or(Some("expiration"), |expires_at| {
                look_if_silent(&mut watch, now);
                watch.expires_at = Some(expires_at);
                watch.renew_at = Some(plan::renew_at(&watch.terms, expires_at, now, spread));
                watch.renewal = Trouble::default();
                None
            }),
            Step::Open => {
                calendar::read_channel(answer).map_or(Some("resourceId"), |(resource, expires_at)| {
                    opened(
                        &mut watch,
                        flight.channel.as_deref(),
                        &resource,
                        expires_at,
                        now,
                        spread,
                    );
                    None
                })
            }
            Step::Close(_) => {
                watch
                    .channels
                    .retain(|channel| Some(&channel.id) != flight.channel.as_ref());
                watch.renewal.retry_at = None;
                None
            }
            Step::Stop => {
                watch.expires_at = None;
                watch.renewal.retry_at = None;
                None
            }
            Step::Look => read(&mut watch, flight, answer, now, &mut changes),
            Step::Forget => None,
        };
        if let Some(missing) = missing {
            let Found::Failed { why, .. } = answer::lacks(missing) else {
                return Ok(());
            };
            return self.step_failed(watch, flight, why, None, now, random);
        }
        if !changes.is_empty() {
            watch.last_event_at = Some(now);
        }
        let mut change = self.change()?;
        self.heal(&mut change, &watch, now)?;
        self.keep_watch(watch, &changes, change, now)
    }

    /// What was asked for is not there: of a cursor, the provider has forgotten what was behind it; of what is ended, it
    /// has ended.
    fn step_gone(
        &mut self,
        mut watch: Watch,
        flight: &Flight,
        status: u16,
        why: String,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        if flight.step.ends() {
            return self.step_done(watch, flight, &Json::Null, now, random);
        }
        let gmail = matches!(watch.terms, Terms::Gmail { .. });
        let Some(at) = flight
            .cursor
            .at
            .clone()
            .filter(|_| flight.looks() && (gmail || status == 410))
        else {
            return self.step_failed(watch, flight, why, None, now, random);
        };
        // Whatever was behind the cursor cannot be told any more, and that is said; it begins anew from now.
        let (event_type, data) = if gmail {
            ("gmail.history_lost", json!({ "historyId": at }))
        } else {
            ("calendar.sync_lost", json!({}))
        };
        let lost = postern_domain::watch::Change {
            event_type,
            key: format!("lost-{}", postern_domain::digest::of(at.as_bytes())),
            data,
        };
        watch.cursor = None;
        watch.lost = true;
        watch.last_event_at = Some(now);
        let mut change = self.change()?;
        let decision = "The provider has forgotten the changes since the last look: a full start, and the tenant is told";
        let mut entry = line("watch", decision, now);
        entry.words = Some(why);
        change.line(entry);
        self.keep_watch(watch, &[lost], change, now)
    }

    /// A newer token, if there is one or can be one; the step is taken again with it.
    fn step_unauthorised(
        &mut self,
        watch: Watch,
        flight: &Flight,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let why = "The provider refuses the token".to_owned();
        if self.standing()?.record.ending.is_some() {
            return self.step_failed(watch, flight, why, None, now, random);
        }
        let refused = TokenRefused {
            generation: flight.generation,
        };
        match self.token_refused(refused, Turn { since: None, now }, random) {
            Ok(_) => Ok(()),
            Err(problem) if problem.cause.is_some() => Err(problem),
            Err(_) => self.step_failed(watch, flight, why, None, now, random),
        }
    }

    fn step_failed(
        &mut self,
        mut watch: Watch,
        flight: &Flight,
        why: String,
        retry_after_ms: Option<u64>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let spread = random.number();
        let later = |failures| plan::retry_at(failures, retry_after_ms, now, spread);
        let mut change = self.change()?;
        if let (Step::Close(_), false) = (flight.step, watch.stopping) {
            // An old channel ends by itself; what it posts meanwhile is harmless.
            let tries = plan::MOST_STOPS;
            for channel in &mut watch.channels {
                if Some(&channel.id) == flight.channel.as_ref() {
                    channel.stops_failed += 1;
                    channel.stop_at = Some(later(channel.stops_failed));
                }
            }
            watch.channels.retain(|channel| channel.stops_failed < tries);
            return self.keep_watch(watch, &[], change, now);
        }
        if flight.step.ends() {
            watch.stops_failed += 1;
            watch.renewal.retry_at = Some(later(watch.stops_failed));
            watch.renewal.why = Some(why);
            return self.keep_watch(watch, &[], change, now);
        }
        let trouble = if flight.step.renews() {
            &mut watch.renewal
        } else {
            &mut watch.sync
        };
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.retry_at = Some(later(trouble.failures));
        let (failures, retry_at) = (trouble.failures, trouble.retry_at);
        trouble.why = Some(why.clone());
        if failures <= FAILURES_THAT_DEGRADE {
            let what = if flight.step.renews() {
                "renewed"
            } else {
                "looked at"
            };
            let decision = format!(
                "The {} watch could not be {what}; it is tried again",
                watch.terms.kind()
            );
            let mut entry = line("watch", decision, now);
            entry.words = Some(why);
            entry.next_at = retry_at;
            change.line(entry);
        }
        if failures >= FAILURES_THAT_DEGRADE && change.record.state == State::Active {
            change.go(State::Degraded, Some(Reason::WatchFailed), now)?;
        }
        self.keep_watch(watch, &[], change, now)
    }

    /// What a watch had degraded is well again, when none fails any more.
    pub(super) fn heal(&self, change: &mut Change, watch: &Watch, now: Millis) -> Result<(), Problem> {
        let others = self
            .watches
            .all
            .iter()
            .filter(|other| other.number != watch.number);
        let all_well = !fails(watch) && !others.into_iter().any(fails);
        let by_watch =
            change.record.state == State::Degraded && change.record.reason == Some(Reason::WatchFailed);
        if all_well && by_watch {
            change.line(line("watch", "All watches work again", now));
            change.go(State::Active, None, now)?;
        }
        Ok(())
    }
}

/// A page that is refused: its pages are read from the first one again. What they told has its ids.
fn from_first_page(mut watch: Watch, flight: &Flight) -> Watch {
    if let Some(cursor) = watch.cursor.as_mut().filter(|_| flight.looks()) {
        cursor.page = None;
    }
    watch
}

/// Between the end of a watch and a new one nobody notified: that is looked at.
fn look_if_silent(watch: &mut Watch, now: Millis) {
    if watch.notifies_until().is_none_or(|end| end <= now) {
        watch.pushes += 1;
    }
}

/// A channel stands; the one that it replaces is stopped when both have stood beside each other for a while.
fn opened(
    watch: &mut Watch,
    id: Option<&str>,
    resource: &str,
    expires_at: Option<Millis>,
    now: Millis,
    spread: u64,
) {
    look_if_silent(watch, now);
    for channel in &mut watch.channels {
        if Some(channel.id.as_str()) == id {
            channel.resource = Some(resource.to_owned());
            channel.expires_at = expires_at.unwrap_or(channel.expires_at);
            watch.renew_at = Some(plan::renew_at(&watch.terms, channel.expires_at, now, spread));
        } else if channel.resource.is_some() && channel.stop_at.is_none() {
            channel.stop_at = Some(now.plus(plan::OVERLAP_MS));
        }
    }
    watch.renewal = Trouble::default();
}

/// A page of changes; answers what it lacks.
fn read(
    watch: &mut Watch,
    flight: &Flight,
    answer: &Json,
    now: Millis,
    changes: &mut Vec<postern_domain::watch::Change>,
) -> Option<&'static str> {
    let cursor = &flight.cursor;
    let (next, newest, end) = match &watch.terms {
        Terms::Gmail { labels, .. } => {
            let Some(page) = gmail::read_history(answer, labels) else {
                return Some("history");
            };
            changes.extend(page.changes);
            (page.next, None, page.history)
        }
        Terms::Calendar { .. } => {
            let full = cursor.at.is_none();
            let Some(page) = calendar::read_changes(answer, full, watch.told_until) else {
                return Some("sync token");
            };
            // The first sync only finds where the changes begin.
            if !full || watch.lost {
                changes.extend(page.changes);
            }
            (
                page.next,
                page.newest.max(cursor.newest),
                page.sync.unwrap_or_default(),
            )
        }
    };
    watch.sync = Trouble::default();
    if next.is_some() {
        watch.cursor = Some(Cursor {
            page: next,
            newest,
            ..cursor.clone()
        });
        return None;
    }
    if matches!(watch.terms, Terms::Calendar { .. }) {
        // Of an empty calendar that says nothing of itself: from now on.
        let known = newest.or(watch.told_until).unwrap_or(now);
        watch.told_until = watch.told_until.max(Some(known));
    }
    watch.cursor = Some(Cursor::behind(end));
    watch.lost = false;
    watch.last_sync_at = Some(now);
    watch.served = flight.pushes();
    None
}
