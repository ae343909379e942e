//! What happened, readable.

use postern_domain::oauth::provider::Rotation;
use postern_domain::wire::call::PageOf;
use postern_domain::wire::connection::{ConnectionPatch, HistoryList};
use postern_tests::connection::Desk;

#[test]
fn good_refreshes_in_a_row_are_one_line_that_stays_when_another_follows() {
    let mut desk = Desk::connected(Rotation::Strict);
    for _ in 0..5 {
        desk.pass(3_600_000);
        desk.token();
    }
    let shown = desk.history().pop().unwrap();
    assert!(shown.decision.starts_with("Refreshed"), "{shown:?}");
    desk.call(ConnectionPatch {
        enabled: Some(false),
        ..ConnectionPatch::default()
    })
    .unwrap();
    let lines = desk.history();
    let kept = &lines[lines.len() - 2];
    assert_eq!((kept.number, &kept.decision), (shown.number, &shown.decision));
}

#[test]
fn the_history_pages_newest_first_and_keeps_256_lines() {
    let mut desk = Desk::connected(Rotation::Strict);
    for n in 0..300 {
        desk.call(ConnectionPatch {
            enabled: Some(n % 2 == 0),
            ..ConnectionPatch::default()
        })
        .unwrap();
    }
    let mut page = PageOf {
        limit: 100,
        iterator: None,
        ascending: false,
    };
    let mut numbers = Vec::new();
    loop {
        let answer = desk.call(HistoryList { page: page.clone() }).unwrap();
        numbers.extend(answer.data.iter().map(|line| line.number));
        if answer.done {
            break;
        }
        page.iterator = answer.iterator;
    }
    assert_eq!(numbers.len(), 256);
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1));
}
