//! What a watch does next, and when: renewed long before it ends, looked at when it was notified, and looked at all the same
//! when nobody notifies.

use super::{Terms, Watch};
use crate::time::Millis;

const HOUR: u64 = 3_600_000;

/// Gmail's advice: `users.watch` once a day ("Push notifications in Gmail", "Renewing mailbox watch").
const DAILY: u64 = Millis::DAY;

/// Two channels of a calendar stand beside each other for so long.
pub const OVERLAP_MS: u64 = HOUR;

/// A calendar's channel lives so long unless its answer says otherwise ("Push notifications", `params.ttl`).
pub const CHANNEL_MS: u64 = 7 * Millis::DAY;

/// A watch that was notified, or had something to tell, within this is looked at by the hour when it gets silent.
const USED_MS: u64 = Millis::DAY;

/// Tries of ending what stands at the provider: it ends by itself in some days.
pub const MOST_STOPS: u32 = 3;

/// Failures in a row after which it is said.
pub const FAILURES_THAT_DEGRADE: u32 = 2;

/// Between tries of what fails, the last one from then on.
const BACKOFF: [u64; 6] = [5_000, 30_000, 120_000, 600_000, 1_800_000, HOUR];

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Gmail: whose mailbox it is, and where its history is now.
    Profile,
    /// Tells the source to hand the mailbox's notifications to the connection (`true`), or not any more.
    Wire(bool),
    /// Gmail: `users.watch`. Asked again it replaces the one before.
    Register,
    /// Calendar: a new channel.
    Open,
    /// Calendar: the channel of this index is stopped.
    Close(usize),
    /// What is behind the cursor.
    Look,
    /// Gmail: `users.stop`.
    Stop,
    /// Nothing stands at the provider any more: the watch goes.
    Forget,
}

impl Step {
    /// Whether it keeps notifications coming; else it reads changes.
    #[must_use]
    pub const fn renews(self) -> bool {
        matches!(self, Self::Wire(_) | Self::Register | Self::Open)
    }

    /// Whether it ends something.
    #[must_use]
    pub const fn ends(self) -> bool {
        matches!(self, Self::Wire(false) | Self::Close(_) | Self::Stop)
    }
}

/// What is to be done now; none: nothing before [`next_at`].
#[must_use]
pub fn next(watch: &Watch, now: Millis) -> Option<Step> {
    let may = |at: Option<Millis>| at.is_none_or(|at| at <= now);
    if watch.stopping {
        return may(watch.renewal.retry_at).then(|| end(watch));
    }
    let renew = may(watch.renewal.retry_at);
    let look = may(watch.sync.retry_at);
    match &watch.terms {
        Terms::Gmail { topic, source, .. } => {
            if watch.mailbox.is_none() || watch.cursor.is_none() {
                return look.then_some(Step::Profile);
            }
            if renew && source.is_some() && !watch.wired {
                return Some(Step::Wire(true));
            }
            if renew && topic.is_some() && may(watch.renew_at) {
                return Some(Step::Register);
            }
        }
        Terms::Calendar { .. } => {
            if renew && (watch.channel().is_none() || may(watch.renew_at)) {
                return Some(Step::Open);
            }
            let over = |channel: &super::Channel| {
                channel.resource.is_some() && channel.stop_at.is_some_and(|at| at <= now)
            };
            if let Some(at) = watch.channels.iter().position(over) {
                return Some(Step::Close(at));
            }
        }
    }
    (look && look_at(watch).is_none_or(|at| at <= now)).then_some(Step::Look)
}

/// When it is to be looked after again, if nothing comes before. None: it is over.
#[must_use]
pub fn next_at(watch: &Watch, now: Millis) -> Option<Millis> {
    if watch.stopping {
        return Some(watch.renewal.retry_at.unwrap_or(now));
    }
    let tried = |at: Option<Millis>, trouble: &super::Trouble| {
        at.unwrap_or(now).max(trouble.retry_at.unwrap_or_default())
    };
    let look = tried(look_at(watch), &watch.sync);
    let (renews, renew_at) = match &watch.terms {
        Terms::Gmail { .. } if watch.mailbox.is_none() || watch.cursor.is_none() => {
            return Some(tried(None, &watch.sync));
        }
        Terms::Gmail { topic, source, .. } => {
            let unwired = source.is_some() && !watch.wired;
            (topic.is_some() || unwired, watch.renew_at.filter(|_| !unwired))
        }
        Terms::Calendar { .. } => (true, watch.renew_at.filter(|_| watch.channel().is_some())),
    };
    let renew = renews.then(|| tried(renew_at, &watch.renewal));
    let stops = watch
        .channels
        .iter()
        .filter(|channel| channel.resource.is_some())
        .filter_map(|channel| channel.stop_at);
    renew.into_iter().chain([look]).chain(stops).min()
}

/// When it is looked at if nobody notifies; none: at once.
fn look_at(watch: &Watch) -> Option<Millis> {
    let begun = watch
        .cursor
        .as_ref()
        .is_some_and(|cursor| cursor.page.is_none() && cursor.at.is_some());
    if watch.is_pushed() || !begun {
        return None;
    }
    watch.last_sync_at.map(|at| at.plus(silence(watch, at)))
}

/// How long it may be silent before it is looked at: an hour where it is used or where nobody is known to notify, else a
/// day.
fn silence(watch: &Watch, at: Millis) -> u64 {
    let last = [watch.last_push_at, watch.last_event_at]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(watch.made_at);
    let used = at.since(last) < USED_MS;
    let notified = watch.notifies_until().is_some_and(|end| end > at) && watch.renewal.failures == 0;
    let reaches_us = match &watch.terms {
        Terms::Gmail { .. } => watch.wired,
        Terms::Calendar { .. } => true,
    };
    if used || !notified || !reaches_us {
        HOUR
    } else {
        Millis::DAY
    }
}

/// What is left of one that was taken away.
#[must_use]
pub fn end(watch: &Watch) -> Step {
    if watch.stops_failed >= MOST_STOPS {
        return Step::Forget;
    }
    match &watch.terms {
        Terms::Gmail { .. } if watch.wired => Step::Wire(false),
        Terms::Gmail { .. } if watch.expires_at.is_some() => Step::Stop,
        Terms::Gmail { .. } => Step::Forget,
        Terms::Calendar { .. } => watch
            .channels
            .iter()
            .position(|channel| channel.resource.is_some())
            .map_or(Step::Forget, Step::Close),
    }
}

/// When one that ends then is renewed: at half of its life or a day before its end, whatever is sooner, a little earlier by
/// chance. Gmail's: daily.
#[must_use]
pub fn renew_at(terms: &Terms, expires_at: Millis, now: Millis, chance: u64) -> Millis {
    let life = expires_at.since(now);
    let half = life / 2;
    let wait = match terms {
        Terms::Gmail { .. } => half.min(DAILY),
        Terms::Calendar { .. } if life > Millis::DAY => half.min(life - Millis::DAY),
        Terms::Calendar { .. } => half,
    };
    now.plus(wait - chance % (wait / 10).max(1))
}

/// When something that failed so often is tried again: later each time, never before the provider says, a fifth more or
/// less by chance.
#[must_use]
pub fn retry_at(failures: u32, retry_after_ms: Option<u64>, now: Millis, chance: u64) -> Millis {
    let at = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = BACKOFF[at.min(BACKOFF.len() - 1)];
    let wait = wait * 4 / 5 + chance % (wait * 2 / 5);
    now.plus(wait.max(retry_after_ms.unwrap_or_default().min(Millis::DAY)))
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Cursor};
    use super::*;
    use crate::id::TenantId;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn gmail() -> Watch {
        let terms = Terms::Gmail {
            topic: Some("projects/p/topics/t".to_owned()),
            labels: Vec::new(),
            source: None,
        };
        Watch::new(1, terms, NOW)
    }

    fn calendar() -> Watch {
        let terms = Terms::Calendar {
            calendar: "primary".to_owned(),
            address: String::new(),
        };
        Watch::new(1, terms, NOW)
    }

    fn at(text: &str) -> Cursor {
        Cursor::behind(text.to_owned())
    }

    fn channel(expires_at: Millis) -> Channel {
        Channel {
            id: "c".to_owned(),
            token: String::new(),
            resource: Some("r".to_owned()),
            made_at: NOW,
            expires_at,
            stop_at: None,
            stops_failed: 0,
            number: 0,
        }
    }

    #[test]
    fn a_mailbox_is_known_then_watched_then_looked_at() {
        let mut watch = gmail();
        assert_eq!(next(&watch, NOW), Some(Step::Profile));
        watch.mailbox = Some("a@example.com".to_owned());
        watch.cursor = Some(at("7"));
        assert_eq!(next(&watch, NOW), Some(Step::Register));
        watch.renew_at = Some(NOW.plus(DAILY));
        watch.expires_at = Some(NOW.plus(CHANNEL_MS));
        assert_eq!(next(&watch, NOW), Some(Step::Look));
        watch.last_sync_at = Some(NOW);
        assert_eq!(next(&watch, NOW), None);
        watch.pushes += 1;
        assert_eq!(next(&watch, NOW), Some(Step::Look));
    }

    #[test]
    fn one_that_cannot_be_renewed_is_looked_at_by_the_hour() {
        let mut watch = gmail();
        watch.mailbox = Some("a@example.com".to_owned());
        watch.cursor = Some(at("7"));
        watch.last_sync_at = Some(NOW);
        watch.renewal.failures = 3;
        watch.renewal.retry_at = Some(NOW.plus(HOUR * 5));
        let late = NOW.plus(HOUR);
        assert_eq!(next(&watch, late.minus(1)), None);
        assert_eq!(next(&watch, late), Some(Step::Look));
        assert_eq!(next_at(&watch, NOW), Some(late));
    }

    #[test]
    fn one_that_nobody_uses_is_looked_at_once_a_day() {
        let mut watch = calendar();
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        watch.renew_at = Some(NOW.plus(3 * Millis::DAY));
        watch.cursor = Some(at("s"));
        watch.last_sync_at = Some(NOW.plus(2 * Millis::DAY));
        assert_eq!(next(&watch, NOW.plus(2 * Millis::DAY + HOUR)), None);
        watch.last_event_at = Some(NOW.plus(2 * Millis::DAY - HOUR));
        assert_eq!(next(&watch, NOW.plus(2 * Millis::DAY + HOUR)), Some(Step::Look));
    }

    #[test]
    fn a_channel_is_renewed_at_half_its_life_or_a_day_before_its_end() {
        let terms = calendar().terms;
        let wait = |life: u64| renew_at(&terms, NOW.plus(life), NOW, 0).since(NOW);
        assert_eq!(wait(7 * Millis::DAY), 7 * Millis::DAY / 2);
        assert_eq!(wait(Millis::DAY + 2 * HOUR), 2 * HOUR);
        assert_eq!(wait(HOUR), HOUR / 2);
        assert_eq!(
            renew_at(&gmail().terms, NOW.plus(7 * Millis::DAY), NOW, 0).since(NOW),
            DAILY
        );
    }

    #[test]
    fn an_old_channel_is_closed_when_its_overlap_is_over() {
        let mut watch = calendar();
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        watch.channels[0].stop_at = Some(NOW.plus(OVERLAP_MS));
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        watch.renew_at = Some(NOW.plus(Millis::DAY));
        watch.cursor = Some(at("s"));
        watch.last_sync_at = Some(NOW.plus(OVERLAP_MS));
        assert_eq!(next_at(&watch, NOW), Some(NOW.plus(OVERLAP_MS)));
        assert_eq!(next(&watch, NOW.plus(OVERLAP_MS)), Some(Step::Close(0)));
    }

    #[test]
    fn what_fails_is_tried_later_each_time_and_never_before_the_provider_says() {
        let wait = |failures, after| retry_at(failures, after, NOW, 0).since(NOW);
        assert_eq!(wait(1, None), 4_000);
        assert_eq!(wait(6, None), HOUR * 4 / 5);
        assert_eq!(wait(60, None), HOUR * 4 / 5);
        assert_eq!(wait(1, Some(90_000)), 90_000);
    }

    #[test]
    fn one_that_is_taken_away_ends_what_stands_at_the_provider() {
        let mut watch = gmail();
        watch.stopping = true;
        watch.wired = true;
        watch.expires_at = Some(NOW);
        assert_eq!(next(&watch, NOW), Some(Step::Wire(false)));
        watch.wired = false;
        assert_eq!(next(&watch, NOW), Some(Step::Stop));
        watch.stops_failed = MOST_STOPS;
        assert_eq!(next(&watch, NOW), Some(Step::Forget));
    }

    /// A mailbox that is known, notifies through a source, and was read two days after it was made.
    fn quiet_mailbox() -> Watch {
        let mut watch = gmail();
        if let Terms::Gmail { source, .. } = &mut watch.terms {
            let ledger = TenantId([7; 20]);
            let id = crate::id::SourceId(crate::id::Address {
                time: 1,
                shard: 0,
                sequence: 1,
                random: [1; 7],
            });
            *source = Some(super::super::WatchSource { ledger, id });
        }
        watch.mailbox = Some("a@example.com".to_owned());
        watch.cursor = Some(at("7"));
        watch.wired = true;
        watch.expires_at = Some(NOW.plus(CHANNEL_MS));
        watch.renew_at = Some(NOW.plus(3 * Millis::DAY));
        watch.last_sync_at = Some(NOW.plus(2 * Millis::DAY));
        watch
    }

    #[test]
    fn only_one_that_notifies_us_and_is_quiet_may_be_silent_for_a_day() {
        let silent = |change: &dyn Fn(&mut Watch)| {
            let mut watch = quiet_mailbox();
            change(&mut watch);
            look_at(&watch).map(|at| at.since(NOW.plus(2 * Millis::DAY)))
        };
        let used = |ago: u64| Some(NOW.plus(2 * Millis::DAY - ago));
        assert_eq!(silent(&|_| ()), Some(Millis::DAY));
        assert_eq!(silent(&|watch| watch.wired = false), Some(HOUR));
        assert_eq!(silent(&|watch| watch.renewal.failures = 1), Some(HOUR));
        assert_eq!(silent(&|watch| watch.expires_at = None), Some(HOUR));
        assert_eq!(silent(&|watch| watch.expires_at = used(0)), Some(HOUR), "over");
        assert_eq!(
            silent(&|watch| watch.expires_at = used(0).map(|at| at.plus(1))),
            Some(Millis::DAY)
        );
        assert_eq!(
            silent(&|watch| watch.last_push_at = used(Millis::DAY - 1)),
            Some(HOUR)
        );
        assert_eq!(
            silent(&|watch| watch.last_push_at = used(Millis::DAY)),
            Some(Millis::DAY)
        );
        assert_eq!(silent(&|watch| watch.last_event_at = used(0)), Some(HOUR));
    }

    #[test]
    fn what_was_not_read_to_its_end_or_was_notified_is_looked_at_at_once() {
        let looks = |change: &dyn Fn(&mut Watch)| {
            let mut watch = quiet_mailbox();
            change(&mut watch);
            next(&watch, NOW.plus(2 * Millis::DAY))
        };
        assert_eq!(looks(&|_| ()), None);
        assert_eq!(looks(&|watch| watch.pushes += 1), Some(Step::Look));
        assert_eq!(looks(&|watch| (watch.pushes, watch.served) = (3, 3)), None);
        let in_the_middle = Cursor {
            page: Some("p2".to_owned()),
            ..at("7")
        };
        assert_eq!(
            looks(&|watch| watch.cursor = Some(in_the_middle.clone())),
            Some(Step::Look)
        );
        assert_eq!(
            looks(&|watch| watch.cursor = Some(Cursor::default())),
            Some(Step::Look)
        );
        let failing = |watch: &mut Watch| {
            watch.pushes += 1;
            watch.sync.retry_at = Some(NOW.plus(2 * Millis::DAY + 1));
        };
        assert_eq!(looks(&failing), None, "what fails waits for its next try");
    }

    #[test]
    fn a_mailbox_whose_history_is_not_known_is_asked_for_it_when_it_may_be() {
        for change in [
            |watch: &mut Watch| watch.mailbox = None,
            |watch: &mut Watch| watch.cursor = None,
        ] {
            let mut watch = quiet_mailbox();
            change(&mut watch);
            let now = NOW.plus(2 * Millis::DAY);
            assert_eq!(next(&watch, now), Some(Step::Profile));
            assert_eq!(next_at(&watch, now), Some(now));
            watch.sync.retry_at = Some(now.plus(5));
            assert_eq!(next(&watch, now), None);
            assert_eq!(next_at(&watch, now), Some(now.plus(5)));
        }
    }

    #[test]
    fn a_source_is_told_before_the_mailbox_notifies_it() {
        let mut watch = quiet_mailbox();
        let now = NOW.plus(2 * Millis::DAY);
        watch.wired = false;
        watch.renew_at = Some(now);
        assert_eq!(next(&watch, now), Some(Step::Wire(true)));
        assert_eq!(next_at(&watch, now), Some(now));
        watch.renewal.retry_at = Some(now.plus(5));
        assert_eq!(next(&watch, now), None);
        assert_eq!(next_at(&watch, now), Some(now.plus(5)));
        watch.renewal.retry_at = None;
        watch.wired = true;
        assert_eq!(next(&watch, now), Some(Step::Register));
        watch.renew_at = Some(now.plus(1));
        assert_eq!(next(&watch, now), None);
        assert_eq!(next_at(&watch, now), Some(now.plus(1)));
    }

    #[test]
    fn a_mailbox_without_a_topic_is_only_looked_at() {
        let mut watch = gmail();
        if let Terms::Gmail { topic, .. } = &mut watch.terms {
            *topic = None;
        }
        watch.mailbox = Some("a@example.com".to_owned());
        watch.cursor = Some(at("7"));
        watch.last_sync_at = Some(NOW);
        assert_eq!(next(&watch, NOW), None);
        assert_eq!(next_at(&watch, NOW), Some(NOW.plus(HOUR)));
    }

    #[test]
    fn a_calendar_without_a_channel_that_goes_on_gets_one() {
        let mut watch = calendar();
        watch.cursor = Some(at("s"));
        watch.last_sync_at = Some(NOW);
        watch.renew_at = Some(NOW.plus(Millis::DAY));
        assert_eq!(next(&watch, NOW), Some(Step::Open));
        assert_eq!(next_at(&watch, NOW), Some(NOW));
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        assert_eq!(next(&watch, NOW), None);
        assert_eq!(next(&watch, NOW.plus(Millis::DAY)), Some(Step::Open));
        watch.renewal.retry_at = Some(NOW.plus(Millis::DAY + 5));
        assert_ne!(next(&watch, NOW.plus(Millis::DAY)), Some(Step::Open));
        watch.renewal.retry_at = None;
        // One that the provider never said it had opened does not count, and is not stopped either.
        watch.channels[0].resource = None;
        assert_eq!(next(&watch, NOW), Some(Step::Open));
        watch.channels[0].stop_at = Some(NOW);
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        assert_eq!(next(&watch, NOW), None);
        assert_eq!(next_at(&watch, NOW), look_at(&watch));
    }

    #[test]
    fn an_old_channel_stands_until_its_overlap_is_over() {
        let mut watch = calendar();
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        watch.channels[0].stop_at = Some(NOW.plus(OVERLAP_MS));
        watch.channels.push(channel(NOW.plus(CHANNEL_MS)));
        watch.renew_at = Some(NOW.plus(Millis::DAY));
        watch.cursor = Some(at("s"));
        watch.last_sync_at = Some(NOW);
        assert_eq!(next(&watch, NOW.plus(OVERLAP_MS - 1)), None);
    }

    #[test]
    fn renewals_vary_by_a_tenth_towards_the_earlier() {
        let terms = gmail().terms;
        let wait = |chance: u64| renew_at(&terms, NOW.plus(7 * Millis::DAY), NOW, chance).since(NOW);
        assert_eq!(wait(1), DAILY - 1);
        assert_eq!(wait(DAILY / 10 - 1), DAILY - (DAILY / 10 - 1));
        assert_eq!(wait(DAILY / 10), DAILY);
        assert_eq!(
            renew_at(&terms, NOW, NOW, 7),
            NOW,
            "of what is over nothing is left"
        );
        let terms = calendar().terms;
        assert_eq!(
            renew_at(&terms, NOW.plus(Millis::DAY), NOW, 0).since(NOW),
            Millis::DAY / 2
        );
        assert_eq!(renew_at(&terms, NOW.plus(Millis::DAY + 1), NOW, 0).since(NOW), 1);
    }

    #[test]
    fn tries_vary_by_a_fifth_and_wait_a_day_at_the_most() {
        let wait = |failures, after, chance| retry_at(failures, after, NOW, chance).since(NOW);
        assert_eq!(wait(1, None, 1_999), 5_999);
        assert_eq!(wait(1, None, 2_000), 4_000);
        assert_eq!(wait(2, None, 0), 24_000);
        assert_eq!(wait(3, None, 0), 96_000);
        assert_eq!(wait(1, Some(9 * Millis::DAY), 0), Millis::DAY);
    }

    #[test]
    fn of_a_calendar_that_is_taken_away_every_channel_is_closed() {
        let mut watch = calendar();
        watch.stopping = true;
        assert_eq!(next(&watch, NOW), Some(Step::Forget));
        watch.channels.push(Channel {
            resource: None,
            ..channel(NOW)
        });
        watch.channels.push(channel(NOW));
        assert_eq!(next(&watch, NOW), Some(Step::Close(1)));
        assert_eq!(next_at(&watch, NOW), Some(NOW));
        watch.renewal.retry_at = Some(NOW.plus(5));
        assert_eq!(next(&watch, NOW), None);
        assert_eq!(next_at(&watch, NOW), Some(NOW.plus(5)));
        watch.stops_failed = MOST_STOPS - 1;
        assert_eq!(next(&watch, NOW.plus(5)), Some(Step::Close(1)));
        assert_eq!(
            end(&Watch {
                stopping: true,
                ..gmail()
            }),
            Step::Forget,
            "it never notified"
        );
    }

    #[test]
    fn a_step_renews_or_ends_or_reads() {
        for (step, renews, ends) in [
            (Step::Profile, false, false),
            (Step::Wire(true), true, false),
            (Step::Wire(false), true, true),
            (Step::Register, true, false),
            (Step::Open, true, false),
            (Step::Close(0), false, true),
            (Step::Look, false, false),
            (Step::Stop, false, true),
            (Step::Forget, false, false),
        ] {
            assert_eq!((step.renews(), step.ends()), (renews, ends), "{step:?}");
        }
    }
}
