//! Watches of a calendar: channels beside each other, proofs, sync tokens.

use postern_domain::oauth::Secret;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::watch::Terms;
use postern_domain::wire::connection::{Caller, Disconnect};
use postern_domain::wire::watch::{WatchList, WatchPushed, WatchState};
use postern_tests::connection::Desk;
use postern_tests::google::Opened;
use postern_tests::peer::Fate;
use postern_tests::tenant::code;
use serde_json::json;

use crate::watch::{desk, google, push, put, told, view};

const HOUR: u64 = 3_600_000;

fn calendar() -> Terms {
    Terms::Calendar {
        calendar: "primary".to_owned(),
        address: "https://postern.example".to_owned(),
    }
}

fn watching() -> Desk {
    let mut desk = desk();
    let now = desk.now;
    google(&mut desk).event("old", "confirmed", now);
    desk.now = now.plus(1000);
    let view = put(&mut desk, calendar());
    assert_eq!((view.state, view.detail), (WatchState::Active, None));
    desk
}

fn of(channel: &Opened, state: &str, number: u64) -> WatchPushed {
    WatchPushed::Channel {
        id: channel.id.clone(),
        token: Secret(channel.token.clone()),
        resource: Some(channel.resource.clone()),
        state: state.to_owned(),
        number: Some(number),
    }
}

fn newest(desk: &mut Desk) -> Opened {
    google(desk).channels.last().cloned().unwrap()
}

/// Something happens in the calendar; nobody is told.
fn happens(desk: &mut Desk, id: &str, status: &str) {
    desk.now = desk.now.plus(1000);
    let now = desk.now;
    google(desk).event(id, status, now);
}

#[test]
fn a_channel_posts_to_the_connections_own_address_with_a_token_that_is_stored_nowhere() {
    let mut desk = watching();
    let address = google(&mut desk).addresses[0].clone();
    assert!(
        address.starts_with("https://postern.example/in/channel/conn_"),
        "{address}"
    );
    let channel = newest(&mut desk);
    assert_eq!(channel.token.len(), 64);
    assert!(!desk.dump().contains(&channel.token));
}

#[test]
fn events_that_were_there_are_not_told_and_what_happens_since_is() {
    let mut desk = watching();
    assert!(told(&desk).is_empty());
    let channel = newest(&mut desk);
    push(&mut desk, of(&channel, "sync", 1));
    happens(&mut desk, "new", "confirmed");
    push(&mut desk, of(&channel, "exists", 2));
    happens(&mut desk, "new", "confirmed");
    happens(&mut desk, "old", "tentative");
    push(&mut desk, of(&channel, "exists", 3));
    happens(&mut desk, "old", "cancelled");
    push(&mut desk, of(&channel, "exists", 4));
    assert_eq!(
        told(&desk),
        [
            ("calendar.event_created", "new"),
            ("calendar.event_updated", "new"),
            ("calendar.event_updated", "old"),
            ("calendar.event_deleted", "old"),
        ]
    );
    assert_eq!(desk.told.last().unwrap().2["data"]["calendarId"], "primary");
}

#[test]
fn what_is_not_proven_is_refused_and_looked_at_by_nobody() {
    let mut desk = watching();
    let channel = newest(&mut desk);
    let asked = google(&mut desk).requests.len();
    let mut wrong = [
        of(&channel, "exists", 9),
        of(&channel, "exists", 9),
        of(&channel, "exists", 9),
    ];
    if let WatchPushed::Channel { token, .. } = &mut wrong[0] {
        *token = Secret("0".repeat(64));
    }
    if let WatchPushed::Channel { id, .. } = &mut wrong[1] {
        "other".clone_into(id);
    }
    if let WatchPushed::Channel { resource, .. } = &mut wrong[2] {
        *resource = Some("res-2".to_owned());
    }
    for pushed in wrong {
        assert_eq!(code(desk.call_as(Caller::System, pushed)), Code::SignatureInvalid);
    }
    assert_eq!(google(&mut desk).requests.len(), asked);
    assert_eq!(view(&mut desk).last_push_at, None);
}

#[test]
fn a_message_number_counts_once() {
    let mut desk = watching();
    let channel = newest(&mut desk);
    happens(&mut desk, "new", "confirmed");
    push(&mut desk, of(&channel, "exists", 5));
    let asked = google(&mut desk).requests.len();
    push(&mut desk, of(&channel, "exists", 5));
    push(&mut desk, of(&channel, "exists", 4));
    assert_eq!(google(&mut desk).requests.len(), asked);
}

#[test]
fn channels_overlap_for_an_hour_and_two_tell_what_one_would() {
    let mut desk = watching();
    let first = newest(&mut desk);
    while google(&mut desk).channels.len() < 2 {
        desk.pass(10 * 60_000);
    }
    let second = newest(&mut desk);
    assert_ne!(first.id, second.id);
    assert_ne!(first.token, second.token);
    happens(&mut desk, "new", "confirmed");
    push(&mut desk, of(&first, "exists", 2));
    push(&mut desk, of(&second, "exists", 2));
    assert_eq!(told(&desk), [("calendar.event_created", "new")]);
    desk.pass(HOUR + 60_000);
    assert_eq!(google(&mut desk).channels.len(), 1);
    assert_eq!(newest(&mut desk).id, second.id);
    assert_eq!(
        code(desk.call_as(Caller::System, of(&first, "exists", 3))),
        Code::SignatureInvalid
    );
}

#[test]
fn it_never_lapses_in_sixty_days() {
    let mut desk = watching();
    for _ in 0..60 * 24 {
        desk.pass(HOUR);
        let now = desk.now;
        assert!(view(&mut desk).expires_at > Some(now.plus(Millis::DAY)));
    }
    let opened = google(&mut desk).addresses.len();
    assert!((17..=22).contains(&opened), "{opened}");
    assert_eq!(google(&mut desk).most_channels, 2);
}

#[test]
fn a_channel_whose_opening_was_never_answered_tells_of_itself() {
    let mut desk = desk();
    google(&mut desk).fates.push_back(Fate::AnswerLost);
    let then = put(&mut desk, calendar());
    assert_eq!(then.state, WatchState::Failing);
    let channel = newest(&mut desk);
    push(&mut desk, of(&channel, "sync", 1));
    assert_eq!(view(&mut desk).state, WatchState::Active);
    assert_eq!(google(&mut desk).channels.len(), 1);
    desk.call(Disconnect {}).unwrap();
    assert!(google(&mut desk).channels.is_empty());
}

#[test]
fn one_that_tells_of_itself_after_another_took_its_place_is_stopped() {
    let mut desk = desk();
    google(&mut desk).fates.push_back(Fate::AnswerLost);
    put(&mut desk, calendar());
    let lost = newest(&mut desk);
    desk.pass(60_000);
    assert_eq!(google(&mut desk).channels.len(), 2);
    happens(&mut desk, "new", "confirmed");
    push(&mut desk, of(&lost, "exists", 2));
    desk.pass(60_000);
    assert_eq!(told(&desk), [("calendar.event_created", "new")]);
    assert_eq!(google(&mut desk).channels.len(), 1);
    assert_ne!(newest(&mut desk).id, lost.id);
}

#[test]
fn a_channel_that_was_about_to_open_when_the_object_died_is_believed() {
    let mut desk = desk();
    desk.slow = true;
    let asked = desk.ask(
        postern_tests::connection::owner(),
        postern_domain::wire::watch::WatchPut { terms: calendar() },
        None,
    );
    assert!(asked.waits);
    let errands = desk.take();
    for errand in &errands {
        desk.deliver(errand);
    }
    desk.die();
    desk.slow = false;
    let channel = newest(&mut desk);
    push(&mut desk, of(&channel, "sync", 1));
    assert_eq!(desk.call(WatchList {}).unwrap()[0].state, WatchState::Active);
}

#[test]
fn a_sync_token_that_is_forgotten_is_told_and_what_changed_since_is_found() {
    let mut desk = watching();
    let channel = newest(&mut desk);
    happens(&mut desk, "before", "confirmed");
    push(&mut desk, of(&channel, "exists", 2));
    happens(&mut desk, "while", "confirmed");
    google(&mut desk).forget();
    push(&mut desk, of(&channel, "exists", 3));
    assert_eq!(
        told(&desk),
        [
            ("calendar.event_created", "before"),
            ("calendar.sync_lost", ""),
            ("calendar.event_created", "while"),
        ]
    );
    assert_eq!(view(&mut desk).state, WatchState::Active);
}

#[test]
fn a_long_sync_is_read_page_by_page_and_an_object_that_dies_goes_on() {
    let mut desk = watching();
    let channel = newest(&mut desk);
    google(&mut desk).page = 2;
    for number in 0..5 {
        happens(&mut desk, &format!("e{number}"), "confirmed");
    }
    desk.slow = true;
    push(&mut desk, of(&channel, "exists", 2));
    desk.step();
    desk.die();
    desk.slow = false;
    desk.pass(5 * 60_000);
    let told = told(&desk);
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn a_calendar_that_is_not_there_says_so() {
    let mut desk = desk();
    let terms = Terms::Calendar {
        calendar: "nobody@example.com".to_owned(),
        address: "https://postern.example".to_owned(),
    };
    let view = put(&mut desk, terms);
    assert_eq!(view.state, WatchState::Failing);
    assert!(view.detail.unwrap().starts_with("404"));
}

#[test]
fn a_silent_calendar_is_looked_at_after_an_hour() {
    let mut desk = watching();
    happens(&mut desk, "new", "confirmed");
    desk.pass(HOUR + 60_000);
    assert_eq!(told(&desk), [("calendar.event_created", "new")]);
}

#[test]
fn a_stop_that_is_refused_leaves_the_new_channel_alone() {
    let mut desk = watching();
    while google(&mut desk).channels.len() < 2 {
        desk.pass(10 * 60_000);
    }
    // The hourly look comes in between: whatever comes next fails a few times.
    google(&mut desk)
        .fates
        .extend(vec![Fate::Refused(500, json!({})); 4]);
    desk.pass(3 * HOUR);
    assert_eq!(view(&mut desk).state, WatchState::Active);
    assert!(google(&mut desk).channels.len() <= 2);
}
