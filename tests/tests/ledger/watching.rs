//! Events that a connection watches: whom the edge is told to hand them to.

use postern_domain::id::ConnectionId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Accept, Accepted, Caller, PageOf, SourceDelete, SourceList};
use postern_domain::wire::inbound::Received;
use postern_domain::wire::watch::WatchWire;
use postern_tests::tenant::{Tenant, code};

const ONE: ConnectionId = ConnectionId([1; 20]);
const TWO: ConnectionId = ConnectionId([2; 20]);

fn id(tenant: &mut Tenant) -> String {
    let page = PageOf {
        limit: 1,
        iterator: None,
        ascending: true,
    };
    tenant.call(SourceList { page }).unwrap().data[0].id.to_string()
}

fn watching() -> (Tenant, String) {
    let mut tenant = Tenant::new();
    tenant.source();
    let source = id(&mut tenant);
    (tenant, source)
}

fn wire(tenant: &mut Tenant, source: &str, connection: ConnectionId, on: bool) -> Result<(), Problem> {
    let call = WatchWire {
        source: source.to_owned(),
        key: "ann@example.com".to_owned(),
        connection,
        on,
    };
    tenant.call_as(Caller::System, call, &[]).map(|_| ())
}

fn pushed(tenant: &mut Tenant, mailbox: &str, event_id: &str) -> Accepted {
    let call = Accept {
        source: Some(1),
        event_id: Some(event_id.to_owned()),
        received: Some(Received {
            watched: Some(mailbox.to_owned()),
            ..Received::default()
        }),
        ..tenant.publish_call("gmail.history")
    };
    let answer = tenant.call_as(Caller::Ingest, call, &[b"{}".to_vec()]);
    answer.unwrap().0
}

#[test]
fn an_event_names_who_watches_what_it_is_about_and_so_does_its_repeat() {
    let (mut tenant, source) = watching();
    assert_eq!(pushed(&mut tenant, "ann@example.com", "1").watchers, []);
    wire(&mut tenant, &source, ONE, true).unwrap();
    wire(&mut tenant, &source, ONE, true).unwrap();
    wire(&mut tenant, &source, TWO, true).unwrap();
    assert_eq!(pushed(&mut tenant, "ann@example.com", "2").watchers, [ONE, TWO]);
    assert_eq!(pushed(&mut tenant, "bob@example.com", "3").watchers, []);
    tenant.evict();
    let again = pushed(&mut tenant, "ann@example.com", "2");
    assert!(again.duplicate);
    assert_eq!(again.watchers, [ONE, TWO]);
    wire(&mut tenant, &source, ONE, false).unwrap();
    assert_eq!(pushed(&mut tenant, "ann@example.com", "4").watchers, [TWO]);
}

#[test]
fn a_source_that_is_not_there_is_wired_to_nobody_and_is_no_obstacle_to_an_end() {
    let (mut tenant, source) = watching();
    tenant
        .call(SourceDelete {
            source: source.clone(),
        })
        .unwrap();
    assert_eq!(code(wire(&mut tenant, &source, ONE, true)), Code::NotFound);
    wire(&mut tenant, &source, ONE, false).unwrap();
}

#[test]
fn one_mailbox_has_eight_watchers_at_the_most() {
    let (mut tenant, source) = watching();
    for number in 0..8 {
        wire(&mut tenant, &source, ConnectionId([number; 20]), true).unwrap();
    }
    wire(&mut tenant, &source, ConnectionId([7; 20]), true).unwrap();
    assert_eq!(
        code(wire(&mut tenant, &source, ConnectionId([8; 20]), true)),
        Code::Conflict
    );
}

#[test]
fn what_comes_by_a_source_cannot_wire_one() {
    let (mut tenant, source) = watching();
    let call = WatchWire {
        source,
        key: "ann@example.com".to_owned(),
        connection: ONE,
        on: true,
    };
    assert_eq!(code(tenant.call_as(Caller::Ingest, call, &[])), Code::NotFound);
}
