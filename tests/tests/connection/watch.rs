//! Watches of a mailbox: registered, renewed, looked at, told, ended.

use postern_domain::id::SourceId;
use postern_domain::oauth::provider::Rotation;
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::watch::{Terms, WatchSource};
use postern_domain::wire::connection::{Caller, Disconnect, Reset, TokenLease};
use postern_domain::wire::watch::{WatchDelete, WatchList, WatchPushed, WatchPut, WatchState, WatchView};
use postern_tests::connection::{Desk, entry};
use postern_tests::google::Google;
use postern_tests::peer::Fate;
use postern_tests::tenant::code;
use serde_json::json;

const HOUR: u64 = 3_600_000;

/// A connection to Google.
pub(crate) fn desk() -> Desk {
    let mut provider = entry(Rotation::None, &json!({}));
    provider.api = serde_json::from_value(json!({
        "base": "https://www.googleapis.com",
        "bases": { "gmail": "https://gmail.googleapis.com", "calendar": "https://www.googleapis.com" },
    }))
    .unwrap();
    let mut desk = Desk::of(Rotation::None, provider);
    desk.connect();
    desk.peer.google = Some(Google::new());
    desk
}

pub(crate) fn google(desk: &mut Desk) -> &mut Google {
    desk.peer.google.as_mut().unwrap()
}

fn source() -> WatchSource {
    WatchSource {
        ledger: postern_domain::id::TenantId([2; 20]),
        id: SourceId(postern_domain::id::Address {
            time: 1,
            shard: 0,
            sequence: 4,
            random: [9; 7],
        }),
    }
}

fn mailbox() -> Terms {
    Terms::Gmail {
        topic: Some("projects/acme/topics/mail".to_owned()),
        labels: Vec::new(),
        source: Some(source()),
    }
}

pub(crate) fn put(desk: &mut Desk, terms: Terms) -> WatchView {
    desk.call(WatchPut { terms }).unwrap()
}

/// With a mailbox that is watched.
fn watching() -> Desk {
    let mut desk = desk();
    let view = put(&mut desk, mailbox());
    assert_eq!((view.state, view.detail), (WatchState::Active, None));
    desk
}

pub(crate) fn view(desk: &mut Desk) -> WatchView {
    desk.call(WatchList {}).unwrap().remove(0)
}

pub(crate) fn push(desk: &mut Desk, push: WatchPushed) {
    desk.call_as(Caller::System, push).unwrap();
}

fn notify(desk: &mut Desk, history: u64) {
    push(
        desk,
        WatchPushed::Mailbox {
            mailbox: "ann@example.com".to_owned(),
            history: Some(history),
        },
    );
}

/// What the tenant was told by watches: type, and which message or event.
pub(crate) fn told(desk: &Desk) -> Vec<(&str, &str)> {
    let of = |(_, event, payload): &'_ (String, String, serde_json::Value)| {
        let data = &payload["data"];
        let what = data["messageId"].as_str().or_else(|| data["eventId"].as_str());
        (event.clone(), what.unwrap_or_default().to_owned())
    };
    let all: Vec<(String, String)> = desk.told.iter().map(of).collect();
    all.into_iter()
        .filter(|(event, _)| !event.starts_with("connection."))
        .map(|(event, what)| -> (&str, &str) { (event.leak(), what.leak()) })
        .collect()
}

#[test]
fn a_watch_learns_the_mailbox_wires_its_source_and_registers() {
    let mut desk = desk();
    let view = put(&mut desk, mailbox());
    assert_eq!(view.mailbox.as_deref(), Some("ann@example.com"));
    assert_eq!(view.expires_at, Some(desk.now.plus(7 * Millis::DAY)));
    assert_eq!(google(&mut desk).watched, ["projects/acme/topics/mail"]);
    assert_eq!(desk.wired.len(), 1);
    assert!(desk.wired[0].on);
    assert_eq!(
        (desk.wired[0].key.as_str(), desk.wired[0].source.as_str()),
        ("ann@example.com", source().id.to_string().as_str())
    );
    assert_eq!(desk.view().watches.len(), 1);
    assert_eq!(desk.view().watches[0]["state"], "active");
}

#[test]
fn a_push_leads_to_messages_that_say_what_changed_in_their_order() {
    let mut desk = watching();
    google(&mut desk).mail("m1");
    google(&mut desk).mail("m2");
    let history = google(&mut desk).star("m1");
    notify(&mut desk, history);
    assert_eq!(
        told(&desk),
        [
            ("gmail.message_added", "m1"),
            ("gmail.message_added", "m2"),
            ("gmail.labels_added", "m1")
        ]
    );
    let (id, _, payload) = &desk.told[1];
    assert!(id.contains("_gmail_1003-m1-message_added"), "{id}");
    assert_eq!(payload["data"]["mailbox"], "ann@example.com");
    assert_eq!(payload["data"]["labelIds"], json!(["INBOX"]));
    let view = view(&mut desk);
    assert_eq!(view.last_push_at, Some(desk.now));
    assert_eq!(view.last_event_at, Some(desk.now));
    assert_eq!(view.untold, 0);
}

#[test]
fn the_same_notification_again_asks_and_tells_nothing() {
    let mut desk = watching();
    let history = google(&mut desk).mail("m1");
    notify(&mut desk, history);
    let asked = google(&mut desk).count("/history");
    notify(&mut desk, history);
    notify(&mut desk, history - 1);
    assert_eq!(google(&mut desk).count("/history"), asked);
    assert_eq!(told(&desk).len(), 1);
}

#[test]
fn a_push_for_another_mailbox_changes_nothing() {
    let mut desk = watching();
    google(&mut desk).mail("m1");
    push(
        &mut desk,
        WatchPushed::Mailbox {
            mailbox: "bob@example.com".to_owned(),
            history: Some(99_999),
        },
    );
    assert!(told(&desk).is_empty());
}

#[test]
fn a_tenant_cannot_push_to_another_ones_connection() {
    let mut desk = watching();
    let stranger = Caller::Tenant {
        organisation: postern_domain::id::OrganisationId([1; 20]),
        tenant: postern_domain::id::TenantId([8; 20]),
    };
    assert_eq!(code(desk.call_as(stranger, WatchList {})), Code::NotFound);
    assert_eq!(
        code(desk.call_as(Caller::Browser, WatchDelete { number: 1 })),
        Code::NotFound
    );
}

#[test]
fn a_long_history_is_read_page_by_page_and_told_once() {
    let mut desk = watching();
    google(&mut desk).page = 3;
    let mut history = 0;
    for number in 0..10 {
        history = google(&mut desk).mail(&format!("m{number}"));
    }
    notify(&mut desk, history);
    assert_eq!(told(&desk).len(), 10);
    assert_eq!(told(&desk)[9].1, "m9");
    assert_eq!(google(&mut desk).count("pageToken"), 3);
}

#[test]
fn an_object_that_dies_between_two_pages_goes_on_and_tells_nothing_twice() {
    let mut desk = watching();
    google(&mut desk).page = 2;
    let mut history = 0;
    for number in 0..6 {
        history = google(&mut desk).mail(&format!("m{number}"));
    }
    desk.slow = true;
    notify(&mut desk, history);
    desk.step();
    desk.die();
    desk.slow = false;
    desk.pass(10 * 60_000);
    let told = told(&desk);
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(told.last().unwrap().1, "m5");
}

#[test]
fn a_push_that_was_answered_survives_the_object() {
    let mut desk = watching();
    let history = google(&mut desk).mail("m1");
    desk.slow = true;
    notify(&mut desk, history);
    desk.die();
    desk.slow = false;
    desk.pass(60_000);
    assert_eq!(told(&desk), [("gmail.message_added", "m1")]);
}

#[test]
fn a_push_while_a_look_is_in_the_air_is_looked_at_after_it() {
    let mut desk = watching();
    let first = google(&mut desk).mail("m1");
    desk.slow = true;
    notify(&mut desk, first);
    let look = desk.take();
    let done: Vec<_> = look.iter().map(|errand| desk.deliver(errand)).collect();
    let second = google(&mut desk).mail("m2");
    notify(&mut desk, second);
    for (errand, done) in look.iter().zip(done) {
        desk.finish(errand, done);
    }
    desk.slow = false;
    desk.work();
    assert_eq!(
        told(&desk),
        [("gmail.message_added", "m1"), ("gmail.message_added", "m2")]
    );
}

#[test]
fn a_look_whose_answer_was_lost_is_made_again() {
    let mut desk = watching();
    let history = google(&mut desk).mail("m1");
    google(&mut desk).fates.push_back(Fate::AnswerLost);
    notify(&mut desk, history);
    assert!(told(&desk).is_empty());
    assert_eq!(view(&mut desk).state, WatchState::Failing);
    desk.pass(30_000);
    assert_eq!(told(&desk), [("gmail.message_added", "m1")]);
    assert_eq!(view(&mut desk).state, WatchState::Active);
}

#[test]
fn a_silent_mailbox_is_looked_at_after_an_hour() {
    let mut desk = watching();
    google(&mut desk).mail("m1");
    desk.pass(HOUR - 60_000);
    assert!(told(&desk).is_empty());
    desk.pass(2 * 60_000);
    assert_eq!(told(&desk), [("gmail.message_added", "m1")]);
}

#[test]
fn one_that_nobody_writes_to_is_looked_at_once_a_day() {
    let mut desk = watching();
    desk.pass(2 * Millis::DAY);
    let before = google(&mut desk).count("/history");
    desk.pass(4 * Millis::DAY);
    let looks = google(&mut desk).count("/history") - before;
    assert!((3..=5).contains(&looks), "{looks}");
}

#[test]
fn it_is_renewed_every_day_and_never_lapses() {
    let mut desk = watching();
    for _ in 0..60 * 24 {
        desk.pass(HOUR);
        let now = desk.now;
        let view = view(&mut desk);
        assert!(view.expires_at > Some(now.plus(5 * Millis::DAY)), "{view:?}");
    }
    let registered = google(&mut desk).watched.len();
    assert!((60..=70).contains(&registered), "{registered}");
}

#[test]
fn a_renewal_whose_answer_was_lost_is_repeated_and_harms_nothing() {
    let mut desk = watching();
    let at = view(&mut desk).next_renewal_at.unwrap();
    let wait = at.since(desk.now);
    desk.pass(wait - 1);
    google(&mut desk).fates.push_back(Fate::AnswerLost);
    desk.pass(1000);
    assert_eq!(google(&mut desk).watched.len(), 2);
    assert_eq!(view(&mut desk).state, WatchState::Failing);
    desk.pass(10_000);
    assert_eq!(google(&mut desk).watched.len(), 3);
    assert_eq!(view(&mut desk).state, WatchState::Active);
    assert_eq!(desk.state(), State::Active);
}

#[test]
fn two_renewals_that_fail_degrade_the_connection_and_a_good_one_heals_it() {
    let mut desk = desk();
    let refused = Fate::Refused(
        403,
        json!({ "error": { "code": 403, "message": "User not authorized to perform this action." } }),
    );
    google(&mut desk)
        .fates
        .extend([Fate::Answered, refused.clone(), refused]);
    let view_then = put(&mut desk, mailbox());
    assert_eq!(view_then.state, WatchState::Failing);
    assert!(view_then.detail.unwrap().contains("not authorized"));
    desk.pass(10_000);
    assert_eq!(desk.state(), State::Degraded);
    desk.pass(60_000);
    assert_eq!(desk.state(), State::Active);
    assert_eq!(view(&mut desk).state, WatchState::Active);
    assert_eq!(
        desk.told_types(),
        [
            "connection.created",
            "connection.degraded",
            "connection.recovered"
        ]
    );
}

#[test]
fn a_refresh_does_not_heal_what_a_watch_degraded() {
    let mut desk = watching();
    let down = || Fate::Refused(503, json!({ "error": { "code": 503, "message": "try later" } }));
    let at = view(&mut desk).next_renewal_at.unwrap();
    desk.pass(at.since(desk.now) - 1);
    google(&mut desk).fates.extend([down(), down(), down(), down()]);
    desk.pass(20_000);
    assert_eq!(desk.view().reason, Some(Reason::WatchFailed));
    let fresh = |desk: &mut Desk| {
        let generation = desk.view().generation;
        desk.call(TokenLease {
            refresh: true,
            ..TokenLease::default()
        })
        .unwrap();
        assert!(desk.view().generation > generation);
    };
    fresh(&mut desk);
    assert_eq!(desk.view().reason, Some(Reason::WatchFailed));
    desk.pass(3 * HOUR);
    assert_eq!(desk.state(), State::Active);
    assert_eq!(view(&mut desk).state, WatchState::Active);
    assert_eq!(
        desk.told_types()
            .into_iter()
            .filter(|told| told.starts_with("connection."))
            .collect::<Vec<_>>(),
        [
            "connection.created",
            "connection.degraded",
            "connection.recovered"
        ]
    );
}

#[test]
fn a_mailbox_that_cannot_be_registered_is_looked_at_all_the_same() {
    let mut desk = desk();
    put(
        &mut desk,
        Terms::Gmail {
            topic: None,
            labels: Vec::new(),
            source: None,
        },
    );
    assert_eq!(view(&mut desk).state, WatchState::Active);
    assert!(view(&mut desk).detail.unwrap().contains("every hour"));
    google(&mut desk).mail("m1");
    desk.pass(3 * Millis::DAY + HOUR);
    assert_eq!(told(&desk).len(), 1);
    google(&mut desk).mail("m2");
    desk.pass(HOUR + 60_000);
    assert_eq!(told(&desk).len(), 2);
    assert!(google(&mut desk).watched.is_empty());
}

#[test]
fn a_history_that_is_forgotten_is_told_and_begins_anew() {
    let mut desk = watching();
    google(&mut desk).mail("m1");
    google(&mut desk).forget();
    let history = google(&mut desk).history_id();
    notify(&mut desk, history);
    assert_eq!(told(&desk), [("gmail.history_lost", "")]);
    let history = google(&mut desk).mail("m2");
    notify(&mut desk, history);
    assert_eq!(
        told(&desk),
        [("gmail.history_lost", ""), ("gmail.message_added", "m2")]
    );
    assert_eq!(view(&mut desk).state, WatchState::Active);
}

#[test]
fn what_cannot_be_told_yet_waits_in_its_order_and_outlives_the_object() {
    let mut desk = watching();
    desk.arrives = false;
    google(&mut desk).mail("m1");
    let history = google(&mut desk).mail("m2");
    notify(&mut desk, history);
    assert!(told(&desk).is_empty());
    assert_eq!(view(&mut desk).untold, 2);
    desk.die();
    desk.arrives = true;
    desk.pass(11 * 60_000);
    assert_eq!(
        told(&desk),
        [("gmail.message_added", "m1"), ("gmail.message_added", "m2")]
    );
    assert_eq!(view(&mut desk).untold, 0);
}

#[test]
fn an_expired_token_is_refreshed_before_the_look() {
    let mut desk = watching();
    desk.now = desk.now.plus(2 * HOUR);
    let history = google(&mut desk).mail("m1");
    notify(&mut desk, history);
    assert_eq!(told(&desk), [("gmail.message_added", "m1")]);
    assert_eq!(desk.peer.refreshes(), 1);
}

#[test]
fn a_refused_token_is_refreshed_once_and_the_look_made_again() {
    let mut desk = watching();
    desk.peer.refuse_access();
    let history = google(&mut desk).mail("m1");
    notify(&mut desk, history);
    assert_eq!(told(&desk), [("gmail.message_added", "m1")]);
    assert_eq!(desk.peer.refreshes(), 1);
}

#[test]
fn a_watch_that_is_taken_away_is_stopped_at_the_provider_and_unwired() {
    let mut desk = watching();
    desk.call(WatchDelete { number: 1 }).unwrap();
    assert_eq!(desk.call(WatchList {}).unwrap(), []);
    assert_eq!(google(&mut desk).stopped, 1);
    assert!(!desk.wired[1].on);
    let history = google(&mut desk).mail("m1");
    notify(&mut desk, history);
    assert!(told(&desk).is_empty());
    assert_eq!(code(desk.call(WatchDelete { number: 1 })), Code::NotFound);
}

#[test]
fn a_stop_that_fails_is_tried_thrice_and_then_given_up() {
    let mut desk = watching();
    google(&mut desk)
        .fates
        .extend(vec![Fate::Refused(500, json!({})); 5]);
    desk.call(WatchDelete { number: 1 }).unwrap();
    assert_eq!(view(&mut desk).state, WatchState::Stopping);
    desk.pass(HOUR);
    assert_eq!(desk.call(WatchList {}).unwrap(), []);
    assert_eq!(google(&mut desk).count("/stop"), 3);
}

#[test]
fn a_disconnect_stops_the_watch_before_it_revokes() {
    let mut desk = watching();
    desk.call(Disconnect {}).unwrap();
    let at = |part: &str| {
        desk.peer
            .requests
            .iter()
            .position(|line| line.contains(part))
            .unwrap()
    };
    assert!(at("/stop") < at("/revoke"));
    assert!(!desk.wired[1].on);
    assert!(!desk.dump().contains("projects/acme"), "{}", desk.dump());
}

#[test]
fn a_disconnect_gets_one_more_token_to_stop_the_watch_with() {
    let mut desk = watching();
    desk.now = desk.now.plus(2 * HOUR);
    desk.call(Disconnect {}).unwrap();
    assert_eq!(google(&mut desk).stopped, 1);
    assert_eq!(desk.state(), State::Revoked);
}

#[test]
fn a_watch_that_cannot_be_stopped_keeps_nothing_from_being_revoked() {
    let mut desk = watching();
    google(&mut desk).fates.extend(vec![Fate::Unreached; 9]);
    desk.call(Disconnect {}).unwrap();
    assert_eq!(desk.state(), State::Revoked);
    assert_eq!(google(&mut desk).count("/stop"), 1);
    assert!(!desk.peer.has_grant());
}

#[test]
fn an_end_that_dies_half_way_goes_on() {
    let mut desk = watching();
    desk.slow = true;
    let asked = desk.ask(postern_tests::connection::owner(), Disconnect {}, None);
    assert!(asked.waits);
    desk.step();
    desk.die();
    desk.slow = false;
    desk.pass(5 * 60_000);
    assert_eq!(desk.state(), State::Revoked);
    assert!(google(&mut desk).stopped >= 1);
    assert!(!desk.peer.has_grant());
}

#[test]
fn a_reset_leaves_no_watch() {
    let mut desk = watching();
    desk.call(Reset {}).unwrap();
    assert_eq!(desk.state(), State::Pending);
    assert_eq!(desk.call(WatchList {}).unwrap(), []);
    assert_eq!(google(&mut desk).stopped, 1);
}

#[test]
fn the_same_watch_again_is_the_same_and_another_of_the_mailbox_is_a_conflict() {
    let mut desk = watching();
    assert_eq!(put(&mut desk, mailbox()).number, 1);
    let other = Terms::Gmail {
        topic: None,
        labels: vec!["INBOX".to_owned()],
        source: None,
    };
    assert_eq!(code(desk.call(WatchPut { terms: other })), Code::Conflict);
}

#[test]
fn a_provider_without_gmail_has_no_mailbox_to_watch() {
    let mut desk = Desk::connected(Rotation::None);
    assert_eq!(code(desk.call(WatchPut { terms: mailbox() })), Code::Validation);
}

#[test]
fn a_watch_waits_while_nobody_has_connected_and_begins_when_somebody_has() {
    let mut desk = watching();
    desk.call(Reset {}).unwrap();
    let view = put(&mut desk, mailbox());
    assert_eq!(view.state, WatchState::Waiting);
    desk.connect();
    desk.pass(60_000);
    assert_eq!(desk.call(WatchList {}).unwrap()[0].state, WatchState::Active);
}

#[test]
fn no_token_of_the_account_stands_in_what_is_stored_or_told_of_a_watch() {
    let mut desk = watching();
    let history = google(&mut desk).mail("m1");
    notify(&mut desk, history);
    let token = desk.token().token;
    assert!(!desk.dump().contains(token.reveal()));
    assert!(
        desk.told
            .iter()
            .all(|(_, _, payload)| !payload.to_string().contains(token.reveal()))
    );
}

#[test]
fn sixty_days_with_losses_miss_nothing_and_tell_nothing_twice() {
    let mut desk = watching();
    let mut sent = 0;
    for hour in 0..60 * 24_u32 {
        if hour % 7 == 0 {
            sent += 1;
            let history = google(&mut desk).mail(&format!("m{sent}"));
            // Every third notification is lost, and some answers are.
            if hour % 3 != 0 {
                notify(&mut desk, history);
            }
        }
        if hour % 31 == 0 {
            google(&mut desk).fates.push_back(Fate::AnswerLost);
        }
        if hour % 53 == 0 {
            desk.die();
        }
        desk.pass(HOUR);
    }
    desk.pass(2 * HOUR);
    let told = told(&desk);
    assert_eq!(told.len(), sent);
    let expected: Vec<String> = (1..=sent).map(|number| format!("m{number}")).collect();
    assert!(
        told.iter()
            .map(|(_, id)| *id)
            .eq(expected.iter().map(String::as_str))
    );
}
