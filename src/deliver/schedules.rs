//! Waits between tries that an event type has of its own. The directory knows them and no object does, so the consumer
//! looks them up, on the way of a failed delivery only, and sends them along with its result.
//!
//! All that an organisation has is read at once and remembered in the isolate for 30 s; for 10 min more when the
//! directory cannot be read, which is logged. With nothing to go by, the tenant's schedule counts, or the default: that is
//! logged too, with the deliveries it was so for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::schedule::Schedule;
use postern_domain::time::Millis;
use postern_domain::wire::call::Report;
use postern_domain::wire::report::SendResult;
use postern_platform::deadline::within;
use postern_platform::{clock, log};
use serde_json::json;
use worker::Env;

use super::results::EventType;
use crate::store::{Directory, event_type};

/// How long what was read counts.
const FRESH_MS: u64 = 30 * Millis::SECOND;

/// How long it serves when the directory cannot be read.
const STALE_MS: u64 = 600 * Millis::SECOND;

/// A directory that could not be read is left alone for this long.
const LEFT_ALONE_MS: u64 = 5 * Millis::SECOND;

/// A report does not wait longer for the directory.
const DEADLINE_MS: u64 = 2_000;

/// More than this and everything is forgotten: an isolate's memory is for requests.
const MOST: usize = 1_000;

type Schedules = Rc<HashMap<String, Schedule>>;

/// What is known of one organisation.
#[derive(Debug, Clone)]
struct Known {
    /// As it was read; none: it never could be.
    schedules: Option<Schedules>,
    read_at: Millis,
    /// The directory is asked again from then on.
    ask_at: Millis,
}

/// What to go by.
#[derive(Debug, Clone, PartialEq)]
enum Word {
    /// This.
    Known(Schedules),
    /// This, although it is old.
    Stale(Schedules),
    /// Ask the directory.
    Ask,
    /// There is nothing, and the directory was asked a moment ago.
    Nothing,
}

thread_local! {
    static KNOWN: RefCell<HashMap<OrganisationId, Known>> = RefCell::default();
}

/// Adds the event types' own schedules to the failures among these results.
pub(super) async fn add(env: &Env, tenant: TenantId, report: &mut Report, types: Vec<Option<EventType>>) {
    let results = report.lanes.iter_mut().flat_map(|lane| lane.results.iter_mut());
    let failures: Vec<(&mut SendResult, EventType)> = results
        .zip(types)
        .filter_map(|(result, of)| Some((result, of?)))
        .filter(|(result, _)| result.cause.is_some())
        .collect();
    let Some(organisation) = failures.first().map(|(_, (organisation, _))| *organisation) else {
        return;
    };
    let Some(schedules) = of_organisation(env, organisation).await else {
        let of = |(result, _): &(&mut SendResult, EventType)| result.message.to_string();
        let messages: Vec<String> = failures.iter().map(of).collect();
        let fields = json!({ "tenant": tenant, "organisation": organisation, "messages": messages });
        log::error("event_type_schedules_unknown", fields);
        return;
    };
    // Lanes of one tenant are of one organisation; what says otherwise gets nothing of this one's.
    for (result, (of, name)) in failures {
        if of == organisation {
            result.schedule = schedules.get(&name).cloned();
        }
    }
}

async fn of_organisation(env: &Env, organisation: OrganisationId) -> Option<Schedules> {
    let now = clock::now();
    let known = KNOWN.with_borrow(|known| known.get(&organisation).cloned());
    match word(known.as_ref(), now) {
        Word::Known(schedules) | Word::Stale(schedules) => return Some(schedules),
        Word::Nothing => return None,
        Word::Ask => {}
    }
    let read = within(DEADLINE_MS, read(env, organisation)).await;
    let read = read.unwrap_or_else(|| Err(Problem::internal("D1: no answer in time")));
    let after = match read {
        Ok(schedules) => Known {
            schedules: Some(Rc::new(schedules)),
            read_at: now,
            ask_at: now.plus(FRESH_MS),
        },
        Err(problem) => {
            let fields = json!({ "organisation": organisation, "cause": problem.to_string() });
            log::warn("event_type_schedules_not_read", fields);
            let (schedules, read_at) =
                known.map_or((None, Millis(0)), |known| (known.schedules, known.read_at));
            Known {
                schedules,
                read_at,
                ask_at: now.plus(LEFT_ALONE_MS),
            }
        }
    };
    let word = word(Some(&after), now);
    KNOWN.with_borrow_mut(|all| {
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(organisation, after);
    });
    match word {
        Word::Known(schedules) | Word::Stale(schedules) => Some(schedules),
        Word::Ask | Word::Nothing => None,
    }
}

async fn read(env: &Env, organisation: OrganisationId) -> Result<HashMap<String, Schedule>, Problem> {
    event_type::schedules(&Directory::new(env)?, organisation).await
}

fn word(known: Option<&Known>, now: Millis) -> Word {
    let Some(known) = known else { return Word::Ask };
    if now >= known.ask_at {
        return Word::Ask;
    }
    let age = now.since(known.read_at);
    match &known.schedules {
        Some(schedules) if age < FRESH_MS => Word::Known(Rc::clone(schedules)),
        Some(schedules) if age < FRESH_MS + STALE_MS => Word::Stale(Rc::clone(schedules)),
        _ => Word::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn schedules() -> Schedules {
        let schedule = Schedule::new(vec![5]).unwrap_or_default();
        Rc::new(HashMap::from([("a.b".to_owned(), schedule)]))
    }

    fn known(schedules: Option<Schedules>, read_at: Millis, ask_at: Millis) -> Known {
        Known {
            schedules,
            read_at,
            ask_at,
        }
    }

    #[test]
    fn what_was_read_counts_for_thirty_seconds_and_then_the_directory_is_asked() {
        let fresh = known(Some(schedules()), NOW, NOW.plus(FRESH_MS));
        assert_eq!(word(None, NOW), Word::Ask);
        assert_eq!(word(Some(&fresh), NOW.plus(29_999)), Word::Known(schedules()));
        assert_eq!(word(Some(&fresh), NOW.plus(30_000)), Word::Ask);
    }

    #[test]
    fn what_is_old_serves_for_ten_minutes_while_the_directory_cannot_be_read_and_no_longer() {
        let later = NOW.plus(FRESH_MS + 1000);
        let old = known(Some(schedules()), NOW, later.plus(LEFT_ALONE_MS));
        assert_eq!(word(Some(&old), later), Word::Stale(schedules()));
        let too_late = NOW.plus(FRESH_MS + STALE_MS);
        let too_old = known(Some(schedules()), NOW, too_late.plus(LEFT_ALONE_MS));
        assert_eq!(word(Some(&too_old), too_late), Word::Nothing);
    }

    #[test]
    fn a_directory_that_could_not_be_read_is_left_alone_for_a_moment() {
        let failed = known(None, Millis(0), NOW.plus(LEFT_ALONE_MS));
        assert_eq!(word(Some(&failed), NOW.plus(4_999)), Word::Nothing);
        assert_eq!(word(Some(&failed), NOW.plus(5_000)), Word::Ask);
    }
}
