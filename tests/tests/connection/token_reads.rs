//! Who was shown a token is on record before it is shown.

use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::call::PageOf;
use postern_domain::wire::connection::{
    ConnectionErase, Disconnect, TokenLease, TokenReadList, TokenReadView,
};
use postern_tests::connection::{Desk, owner};

const MINUTE: u64 = 60_000;

fn lease(reader: &str) -> TokenLease {
    TokenLease {
        reader: Some(reader.to_owned()),
        ..TokenLease::default()
    }
}

fn read(desk: &mut Desk, reader: &str) -> Result<(), Code> {
    desk.call(lease(reader)).map(drop).map_err(|problem| problem.code)
}

fn page(
    desk: &mut Desk,
    limit: u16,
    iterator: Option<&str>,
) -> postern_domain::wire::call::Page<TokenReadView> {
    let page = PageOf {
        limit,
        iterator: iterator.map(str::to_owned),
        ascending: false,
    };
    desk.call(TokenReadList { page }).unwrap()
}

/// Newest first.
fn reads(desk: &mut Desk) -> Vec<(String, u64)> {
    let data = page(desk, 250, None).data;
    data.into_iter().map(|read| (read.reader, read.reads)).collect()
}

/// At the beginning of a minute, its token good for long.
fn desk() -> Desk {
    let mut desk = Desk::connected(Rotation::None);
    let into = desk.now.0 % MINUTE;
    desk.pass(MINUTE - into);
    desk
}

#[test]
fn each_reader_has_a_line_a_minute_with_its_count() {
    let mut desk = desk();
    for reader in ["application:a", "scoped:b", "application:a"] {
        read(&mut desk, reader).unwrap();
    }
    desk.pass(MINUTE);
    read(&mut desk, "scoped:b").unwrap();
    let line = |reader: &str, count| (reader.to_owned(), count);
    assert_eq!(
        reads(&mut desk),
        [line("scoped:b", 1), line("scoped:b", 1), line("application:a", 2)]
    );
}

#[test]
fn that_somebody_read_outlives_the_object_and_of_the_count_more_than_half() {
    let mut desk = desk();
    for _ in 0..7 {
        read(&mut desk, "application:a").unwrap();
    }
    read(&mut desk, "scoped:b").unwrap();
    desk.die();
    assert_eq!(
        reads(&mut desk),
        [("scoped:b".to_owned(), 1), ("application:a".to_owned(), 4)]
    );
    read(&mut desk, "application:a").unwrap();
    assert_eq!(reads(&mut desk)[1].1, 5, "it counts on from what is stored");
}

#[test]
fn a_count_is_whole_once_its_minute_is_over() {
    let mut desk = desk();
    for _ in 0..7 {
        read(&mut desk, "application:a").unwrap();
    }
    desk.pass(MINUTE);
    read(&mut desk, "scoped:b").unwrap();
    desk.die();
    assert_eq!(reads(&mut desk)[1], ("application:a".to_owned(), 7));
}

#[test]
fn a_busy_reader_costs_some_rows_a_minute_and_not_one_a_read() {
    let mut desk = desk();
    read(&mut desk, "application:a").unwrap();
    let before = desk.storage.writes();
    for _ in 1..2000 {
        read(&mut desk, "application:a").unwrap();
    }
    assert_eq!(desk.storage.writes() - before, 10, "2, 4, 8 … 1024");
}

#[test]
fn more_than_3000_reads_in_a_minute_are_refused_also_when_the_object_died_between() {
    let mut desk = desk();
    for _ in 0..3000 {
        read(&mut desk, "application:a").unwrap();
    }
    assert_eq!(read(&mut desk, "application:a"), Err(Code::RateLimited));
    assert_eq!(read(&mut desk, "scoped:b"), Ok(()), "each reader has its own");
    assert_eq!(reads(&mut desk)[1].1, 3000, "what was refused showed nothing");
    desk.die();
    assert_eq!(read(&mut desk, "application:a"), Err(Code::RateLimited));
    desk.pass(MINUTE);
    assert_eq!(read(&mut desk, "application:a"), Ok(()));
}

#[test]
fn a_read_that_gets_no_token_is_on_record_too() {
    let mut desk = desk();
    desk.call(Disconnect {}).unwrap();
    assert_eq!(read(&mut desk, "application:a"), Err(Code::Conflict));
    assert_eq!(reads(&mut desk), [("application:a".to_owned(), 1)]);
}

#[test]
fn a_read_that_waits_for_a_refresh_counts_once() {
    let mut desk = desk();
    desk.now = desk.token().expires_at.unwrap();
    assert_eq!(read(&mut desk, "application:a"), Ok(()));
    assert_eq!(desk.peer.refreshes(), 1);
    assert_eq!(reads(&mut desk), [("application:a".to_owned(), 1)]);
}

#[test]
fn the_lines_page_both_ways_and_a_strange_iterator_is_refused() {
    let mut desk = desk();
    for _ in 0..3 {
        for reader in ["application:a", "scoped:b"] {
            read(&mut desk, reader).unwrap();
        }
        desk.pass(MINUTE);
    }
    let whole = page(&mut desk, 250, None);
    assert_eq!((whole.data.len(), whole.done), (6, true));
    let first = page(&mut desk, 4, None);
    assert_eq!((first.data.as_slice(), first.done), (&whole.data[..4], false));
    let second = page(&mut desk, 4, first.iterator.as_deref());
    assert_eq!((second.data.as_slice(), second.done), (&whole.data[4..], true));
    let back = page(&mut desk, 4, second.prev_iterator.as_deref());
    assert_eq!(back.data, first.data);
    let end = page(&mut desk, 4, second.iterator.as_deref());
    assert_eq!(
        (end.data.len(), end.iterator),
        (0, second.iterator),
        "it can be asked again"
    );
    for strange in ["", "x", "12", "x:application:a", "-"] {
        let page = PageOf {
            limit: 5,
            iterator: Some(strange.to_owned()),
            ascending: false,
        };
        let refused = desk.call(TokenReadList { page }).unwrap_err();
        assert_eq!(refused.code, Code::InvalidIterator, "{strange}");
    }
}

#[test]
fn lines_are_kept_for_90_days() {
    let mut desk = desk();
    read(&mut desk, "application:a").unwrap();
    desk.pass(90 * Millis::DAY);
    assert_eq!(reads(&mut desk).len(), 1);
    desk.pass(MINUTE);
    assert_eq!(reads(&mut desk), []);
    read(&mut desk, "scoped:b").unwrap();
    assert!(!desk.dump().contains("application:a"), "not stored either");
}

#[test]
fn who_read_is_still_known_after_a_disconnect_and_goes_with_the_tenant() {
    let mut desk = desk();
    read(&mut desk, "application:a").unwrap();
    desk.call(Disconnect {}).unwrap();
    assert_eq!(reads(&mut desk).len(), 1);
    desk.call(ConnectionErase {}).unwrap();
    assert!(!desk.dump().contains("application:a"));
}

#[test]
fn what_cannot_be_written_down_shows_no_token() {
    let mut desk = desk();
    desk.storage.fail_in_writes(Some(0));
    let asked = desk.ask(owner(), lease("application:a"), None);
    assert_eq!(asked.answer.unwrap_err().code, Code::Internal);
    desk.storage.fail_in_writes(None);
    assert_eq!(read(&mut desk, "application:a"), Ok(()));
    assert_eq!(reads(&mut desk), [("application:a".to_owned(), 1)]);
}
