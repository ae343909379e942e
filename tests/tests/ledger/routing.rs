//! App-level sources: stored once by the organisation, pushed to each tenant that claims the key, and lost by nobody.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::app_level::{self, ROUTE, UNSIGNED_ROUTE};
use postern_domain::id::{TaskId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::MessageView;
use postern_domain::wire::call::{
    Accept, Caller, MessageFilter, MessageList, PageOf, SetUp, SourceDelete, SourceGet, SourceList,
    SourceUpdate, TenantSettings, Wipe,
};
use postern_domain::wire::inbound::{
    BodyAt, ForwardMode, Intake, MAX_BODY, Receive, Received, ReceivedEvent, SourceOptions, body_key,
    body_prefix,
};
use postern_domain::wire::reads::MessageExpunge;
use postern_domain::wire::replay::{TaskGet, TaskState, TaskView};
use postern_domain::wire::route::{
    RouteChanged, RouteLarge, RouteReplay, RouteTrust, RoutedEvent, Unrouted, UnroutedEvent, UnroutedEvents,
    UnroutedKey, UnroutedKeys,
};
use postern_ledger::{Garbage, PushOut, RoutingOut, Settings};
use postern_tests::tenant::{Answer, Tenant, code};

/// An organisation's ledger with one source, its tenants, and its directory.
struct World {
    ledger: Tenant,
    source: u16,
    source_id: String,
    tenants: BTreeMap<TenantId, Tenant>,
    /// Key, and who claims it.
    claims: Vec<(String, TenantId)>,
    /// Keys of bodies that are there.
    bucket: BTreeSet<String>,
    /// Tenants whose answers are lost.
    lost: Vec<TenantId>,
    /// The directory does not answer.
    dark: bool,
    /// Questions to the directory.
    looks: u32,
    /// Objects that cannot be reached.
    deaf: Vec<TenantId>,
}

const A: TenantId = TenantId([0xa; 20]);
const B: TenantId = TenantId([0xb; 20]);

fn tenant(id: TenantId) -> Tenant {
    let mut tenant = Tenant::never_set_up(Settings::default());
    tenant.id = id;
    let set_up = SetUp {
        organisation: tenant.organisation,
        settings: TenantSettings::default(),
    };
    tenant.call(set_up).unwrap();
    tenant
}

impl World {
    fn new() -> Self {
        let organisation = Tenant::never_set_up(Settings::default()).organisation;
        let mut ledger = tenant(app_level::ledger_of(organisation));
        let source = ledger.source();
        let list = SourceList { page: page(None) };
        let source_id = ledger.call(list).unwrap().data[0].id.to_string();
        Self {
            source,
            source_id,
            ledger,
            tenants: [A, B].map(|id| (id, tenant(id))).into(),
            claims: Vec::new(),
            dark: false,
            bucket: BTreeSet::new(),
            lost: Vec::new(),
            looks: 0,
            deaf: Vec::new(),
        }
    }

    fn claim(&mut self, key: &str, tenant: TenantId) {
        self.claims.push((key.to_owned(), tenant));
        let source = self.source_id();
        let key = key.to_owned();
        self.ledger
            .call(RouteChanged {
                source,
                key,
                all: false,
            })
            .unwrap();
    }

    fn source_id(&self) -> String {
        self.source_id.clone()
    }

    /// What a provider posts, verified: one event of an account.
    fn event(&mut self, id: &str, key: Option<&str>) -> Accept {
        let key = key.map(|key| (ROUTE.to_owned(), key.to_owned()));
        Accept {
            source: Some(self.source),
            event_id: Some(id.to_owned()),
            headers: key.into_iter().collect(),
            ..self.ledger.publish_call("team.changed")
        }
    }

    fn take(&mut self, id: &str, key: &str) {
        let call = self.event(id, Some(key));
        self.ledger.accept(call, id.as_bytes()).unwrap();
    }

    fn next(&mut self) -> Option<RoutingOut> {
        self.ledger.ledger.take_routing(self.ledger.now).unwrap()
    }

    /// What a tenant's object answers to a push.
    fn push(&mut self, push: &PushOut) -> Option<Vec<u8>> {
        if self.deaf.contains(&push.to) {
            return None;
        }
        for (from, to) in &push.copies {
            if !self.bucket.contains(from) {
                return None;
            }
            self.bucket.insert(to.clone());
        }
        let now = self.ledger.now;
        let tenant = self.tenants.get_mut(&push.to).unwrap();
        tenant.now = now;
        let _ = tenant.ledger.take_garbage(); // of a wipe
        let answer = tenant.ledger.call(&push.frame, now, &mut tenant.random).frame;
        for garbage in tenant.ledger.take_garbage() {
            let Garbage::One(key) = garbage else {
                panic!("{garbage:?}")
            };
            assert!(key.starts_with(&body_prefix(push.to)), "{key} is another's");
            assert!(self.bucket.remove(&key));
        }
        (!self.lost.contains(&push.to)).then_some(answer)
    }

    /// The same with a body that has no room in the ledger.
    fn take_large(&mut self, id: &str, key: &str) -> BodyAt {
        let at = BodyAt {
            key: body_key(self.ledger.id, self.ledger.now, id.as_bytes()),
            size: 5 << 20,
            digest: "ab".repeat(32),
        };
        self.bucket.insert(at.key.clone());
        let mut call = self.event(id, Some(key));
        call.received = Some(Received {
            body_at: Some(at.clone()),
            ..Received::default()
        });
        self.ledger.accept(call, b"").unwrap();
        at
    }

    /// Where bodies of a tenant's messages stand, oldest first; none: in its ledger.
    fn bodies(&mut self, tenant: TenantId) -> Vec<Option<BodyAt>> {
        let views = messages(self.tenants.get_mut(&tenant).unwrap());
        views.into_iter().map(|view| view.body_at).collect()
    }

    /// The shell's work, until nothing is left for now.
    fn drive(&mut self) {
        for _ in 0..200 {
            let Some(out) = self.next() else { return };
            let now = self.ledger.now;
            match out {
                RoutingOut::Look(look) => {
                    self.looks += 1;
                    let found = self.claims.iter().filter(|(key, _)| look.keys.contains(key));
                    let found = (!self.dark).then(|| found.cloned().collect());
                    self.ledger.ledger.routes_found(&look, found, now).unwrap();
                }
                RoutingOut::Slice(slice) => {
                    let answers: Vec<_> = slice.pushes.iter().map(|push| self.push(push)).collect();
                    self.ledger.ledger.slice_pushed(&slice, &answers, now).unwrap();
                }
                RoutingOut::Behind(push) => {
                    let answer = self.push(&push);
                    let done = self.ledger.ledger.behind_pushed(&push, answer.as_deref(), now);
                    done.unwrap();
                }
            }
        }
        panic!("the routing spins");
    }

    /// Time passes: the alarm rings, and the shell does what it offers.
    fn pass(&mut self, ms: u64) {
        let end = self.ledger.now.plus(ms);
        while let Some(at) = self.ledger.storage.native().alarm().filter(|at| *at <= end) {
            self.ledger.now = self.ledger.now.max(at);
            self.ledger.ring();
            self.drive();
        }
        self.ledger.now = end;
    }

    /// Provider's ids of what a tenant has, oldest first.
    fn has(&mut self, tenant: TenantId) -> Vec<String> {
        let views = messages(self.tenants.get_mut(&tenant).unwrap());
        views.into_iter().map(|view| view.event_id.unwrap()).collect()
    }

    fn keys(&mut self) -> Vec<UnroutedKey> {
        let call = UnroutedKeys {
            source: self.source_id(),
            page: page(None),
        };
        self.ledger.call(call).unwrap().data
    }

    fn unrouted(&mut self, key: &str) -> Vec<UnroutedEvent> {
        let call = UnroutedEvents {
            source: self.source_id(),
            key: key.to_owned(),
            page: page(None),
        };
        self.ledger.call(call).unwrap().data
    }

    fn replay(&mut self, key: &str, to: &[TenantId], dry_run: bool) -> TaskView {
        let call = RouteReplay {
            id: TaskId([u8::from(dry_run); 20]),
            source: self.source_id(),
            key: key.to_owned(),
            to: to.to_vec(),
            unsigned: false,
            dry_run,
        };
        self.ledger.call(call).unwrap()
    }

    fn rows(&self, table: &str) -> i64 {
        let connection = self.ledger.storage.native().connection();
        let statement = format!("SELECT count(*) FROM {table}");
        connection.query_row(&statement, [], |row| row.get(0)).unwrap()
    }
}

fn page(iterator: Option<String>) -> PageOf {
    PageOf {
        limit: 50,
        iterator,
        ascending: true,
    }
}

fn messages(tenant: &mut Tenant) -> Vec<MessageView> {
    let call = MessageList {
        page: PageOf {
            limit: 250,
            iterator: None,
            ascending: false,
        },
        filter: MessageFilter::default(),
        with_content: false,
    };
    let mut data = tenant.call(call).unwrap().data;
    data.reverse();
    data
}

#[test]
fn an_event_goes_to_the_tenant_that_claims_its_key_and_to_nobody_else() {
    let mut world = World::new();
    world.claim("T1", A);
    world.claim("T2", B);
    world.take("e1", "T1");
    world.take("e2", "T2");
    world.drive();
    assert_eq!(world.has(A), ["e1"]);
    assert_eq!(world.has(B), ["e2"]);
    assert!(world.keys().is_empty());
}

#[test]
fn the_tenants_message_says_which_app_level_source_it_came_through() {
    let mut world = World::new();
    world.claim("T1", A);
    world.take("e1", "T1");
    world.drive();
    let source = world.source_id();
    let source = world.ledger.call(SourceGet { source }).unwrap();
    let view = messages(world.tenants.get_mut(&A).unwrap()).remove(0);
    let routed = view.app_level.unwrap();
    assert_eq!((view.source, routed.source), (Some(source.id), source.id));
    assert_eq!(
        (routed.name, routed.provider),
        ("shop".to_owned(), "stripe".to_owned())
    );
    assert_eq!(
        (view.event_type.as_str(), routed.key.as_deref()),
        ("team.changed", Some("T1"))
    );
}

#[test]
fn it_is_delivered_to_the_endpoints_of_the_tenant_that_want_it() {
    let mut world = World::new();
    world.claim("T1", A);
    let wants = world.tenants.get_mut(&A).unwrap().endpoint();
    world.take("e1", "T1");
    world.drive();
    let outs = world.tenants.get_mut(&A).unwrap().outs();
    assert_eq!(outs.len(), 1);
    assert_eq!(
        (outs[0].endpoint, outs[0].body.as_deref()),
        (wants, Some(b"e1".as_slice()))
    );
}

#[test]
fn two_tenants_that_claim_one_key_get_a_message_each() {
    let mut world = World::new();
    world.claim("T1", A);
    world.claim("T1", B);
    world.take("e1", "T1");
    world.drive();
    assert_eq!(
        (world.has(A), world.has(B)),
        (vec!["e1".to_owned()], vec!["e1".to_owned()])
    );
}

#[test]
fn what_the_provider_sends_twice_is_stored_and_routed_once() {
    let mut world = World::new();
    world.claim("T1", A);
    world.take("e1", "T1");
    world.drive();
    world.take("e1", "T1");
    world.drive();
    assert_eq!(world.has(A), ["e1"]);
    assert_eq!(messages(&mut world.ledger).len(), 1);
}

#[test]
fn a_crash_between_push_and_answer_pushes_again_and_makes_nothing_twice() {
    let mut world = World::new();
    world.claim("T1", A);
    world.take("e1", "T1");
    // The directory is asked, the push arrives, and its answer is lost with the object.
    let Some(RoutingOut::Look(look)) = world.next() else {
        panic!()
    };
    let now = world.ledger.now;
    let found = Some(world.claims.clone());
    world.ledger.ledger.routes_found(&look, found, now).unwrap();
    let Some(RoutingOut::Slice(slice)) = world.next() else {
        panic!()
    };
    for push in &slice.pushes {
        world.push(push).unwrap();
    }
    world.ledger.evict();
    assert_eq!(world.has(A), ["e1"]);
    world.pass(120_000);
    assert_eq!(world.has(A), ["e1"]);
    assert_eq!((world.rows("routing"), world.rows("unrouted")), (0, 0));
    // And what comes next is routed by itself.
    world.take("e2", "T1");
    world.drive();
    assert_eq!(world.has(A), ["e1", "e2"]);
}

#[test]
fn an_evicted_object_routes_what_it_accepted_with_its_alarm() {
    let mut world = World::new();
    world.claim("T1", A);
    world.take("e1", "T1");
    world.ledger.evict();
    world.pass(60_000);
    assert_eq!(world.has(A), ["e1"]);
}

#[test]
fn a_tenant_that_cannot_be_reached_keeps_no_other_waiting_and_gets_everything_later_in_order() {
    let mut world = World::new();
    world.claim("T1", A);
    world.claim("T2", B);
    world.deaf = vec![A];
    world.take("e1", "T1");
    world.take("e2", "T2");
    world.drive();
    world.take("e3", "T1");
    world.take("e4", "T2");
    world.drive();
    assert_eq!((world.has(A).len(), world.has(B).len()), (0, 2));
    world.pass(600_000);
    world.ledger.evict();
    world.pass(600_000);
    assert_eq!(world.rows("routing"), 2);
    world.deaf.clear();
    world.pass(3_600_000);
    assert_eq!(world.has(A), ["e1", "e3"]);
    assert_eq!((world.rows("routing"), world.rows("routing_behind")), (0, 0));
}

#[test]
fn on_the_way_of_what_is_routed_at_once_no_table_of_the_routing_is_written() {
    let mut world = World::new();
    world.claim("T1", A);
    for id in 0..100 {
        world.take(&format!("e{id}"), "T1");
    }
    world.drive();
    assert_eq!(world.has(A).len(), 100);
    for table in ["routing", "routing_behind", "unrouted", "unrouted_key"] {
        assert_eq!(world.rows(table), 0, "{table}");
    }
}

#[test]
fn the_directory_is_asked_once_a_minute_for_a_key_that_is_busy() {
    let mut world = World::new();
    world.claim("T1", A);
    for id in 0..10 {
        world.take(&format!("e{id}"), "T1");
        world.drive();
        world.ledger.now = world.ledger.now.plus(5_000);
    }
    assert_eq!(world.looks, 1);
    world.ledger.now = world.ledger.now.plus(20_000);
    world.take("later", "T1");
    world.drive();
    assert_eq!(world.looks, 2);
}

#[test]
fn another_feed_of_a_source_is_believed_from_the_next_event_on() {
    let mut world = World::new();
    for (id, key) in [("e1", "T1"), ("e2", "T2")] {
        world.take(id, key);
    }
    world.drive();
    // Claims that no call of their own is made for.
    world.claims.extend([("T1".to_owned(), A), ("T2".to_owned(), B)]);
    let changed = RouteChanged {
        source: world.source_id(),
        key: String::new(),
        all: true,
    };
    world.ledger.call(changed).unwrap();
    for (id, key) in [("e3", "T1"), ("e4", "T2")] {
        world.take(id, key);
    }
    world.drive();
    assert_eq!(
        (world.has(A), world.has(B)),
        (vec!["e3".to_owned()], vec!["e4".to_owned()])
    );
}

#[test]
fn a_directory_that_does_not_answer_loses_nothing() {
    let mut world = World::new();
    world.claim("T1", A);
    world.dark = true;
    world.take("e1", "T1");
    world.drive();
    world.pass(600_000);
    assert!(world.has(A).is_empty());
    assert!((2..30).contains(&world.looks), "{} questions", world.looks);
    world.dark = false;
    world.pass(600_000);
    assert_eq!(world.has(A), ["e1"]);
}

#[test]
fn what_nobody_claims_is_kept_counted_and_shown() {
    let mut world = World::new();
    world.take("e1", "T9");
    world.take("e2", "T9");
    let call = world.event("e3", None);
    world.ledger.accept(call, b"{}").unwrap();
    world.drive();
    let keys = world.keys();
    let counts: Vec<(&str, u64)> = keys.iter().map(|key| (key.key.as_str(), key.count)).collect();
    assert_eq!(counts, [("", 1), ("T9", 2)]);
    assert_eq!(keys[1].event_type, "team.changed");
    let events = world.unrouted("T9");
    let ids: Vec<_> = events.iter().map(|event| event.event_id.as_deref()).collect();
    assert_eq!(ids, [Some("e2"), Some("e1")]);
    assert_eq!(events[0].why, Unrouted::Unclaimed);
    assert_eq!(world.unrouted("")[0].why, Unrouted::NoKey);
}

#[test]
fn pages_of_keys_and_events_go_both_ways() {
    let mut world = World::new();
    for key in ["a", "b", "c", "d"] {
        world.take(key, key);
    }
    for id in ["e1", "e2", "e3"] {
        world.take(id, "d");
    }
    world.drive();
    let source = world.source_id();
    let keys = |world: &mut World, iterator: Option<String>| {
        let page = PageOf {
            limit: 2,
            iterator,
            ascending: true,
        };
        let source = source.clone();
        world.ledger.call(UnroutedKeys { source, page }).unwrap()
    };
    let first = keys(&mut world, None);
    let names = |page: &[UnroutedKey]| page.iter().map(|key| key.key.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&first.data), first.done),
        (vec!["a".into(), "b".into()], false)
    );
    let next = keys(&mut world, first.iterator);
    assert_eq!(
        (names(&next.data), next.done),
        (vec!["c".into(), "d".into()], true)
    );
    let back = keys(&mut world, next.prev_iterator);
    assert_eq!(names(&back.data), ["a", "b"]);
    let refused = UnroutedKeys {
        source: source.clone(),
        page: page(Some("zz".to_owned())),
    };
    assert_eq!(code(world.ledger.call(refused)), Code::InvalidIterator);

    let events = |world: &mut World, iterator: Option<String>| {
        let call = UnroutedEvents {
            source: source.clone(),
            key: "d".to_owned(),
            page: PageOf {
                limit: 3,
                iterator,
                ascending: false,
            },
        };
        world.ledger.call(call).unwrap()
    };
    let ids = |page: &[UnroutedEvent]| {
        page.iter()
            .map(|event| event.event_id.clone().unwrap())
            .collect::<Vec<_>>()
    };
    let first = events(&mut world, None);
    assert_eq!(
        (ids(&first.data), first.done),
        (vec!["e3".into(), "e2".into(), "e1".into()], false)
    );
    let next = events(&mut world, first.iterator);
    assert_eq!((ids(&next.data), next.done), (vec!["d".into()], true));
    assert_eq!(
        ids(&events(&mut world, next.prev_iterator).data),
        ["e3", "e2", "e1"]
    );
}

#[test]
fn a_key_that_is_claimed_late_is_replayed_to_its_claimant_after_a_count() {
    let mut world = World::new();
    for id in 0..300 {
        world.take(&format!("e{id}"), "T9");
    }
    world.take("other", "T8");
    world.drive();
    world.claim("T9", A);
    world.take("fresh", "T9");
    world.drive();
    assert_eq!(world.has(A), ["fresh"]);

    let counted = world.replay("T9", &[A], true);
    assert_eq!(
        (counted.state, counted.progress.total),
        (TaskState::Finished, 300)
    );
    assert_eq!(world.has(A), ["fresh"]);

    let task = world.replay("T9", &[A], false);
    assert_eq!((task.state, task.progress.total), (TaskState::Running, 300));
    world.pass(60_000);
    let ids = vec![task.id];
    let task = world.ledger.call(TaskGet { ids }).unwrap().remove(0);
    assert_eq!((task.state, task.progress.done), (TaskState::Finished, 300));
    let has = world.tenants.get_mut(&A).unwrap();
    let rows: i64 = has
        .storage
        .native()
        .connection()
        .query_row("SELECT count(*) FROM message_1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 301);
    let keys: Vec<_> = world.keys().into_iter().map(|key| (key.key, key.count)).collect();
    assert_eq!(keys, [("T8".to_owned(), 1)]);
}

#[test]
fn a_replay_survives_an_eviction_and_a_tenant_that_cannot_be_reached() {
    let mut world = World::new();
    for id in 0..3 {
        world.take(&format!("e{id}"), "T9");
    }
    world.drive();
    world.deaf = vec![A];
    world.replay("T9", &[A, B], false);
    world.pass(10_000);
    world.ledger.evict();
    assert_eq!((world.has(A).len(), world.has(B).len()), (0, 3));
    world.deaf.clear();
    world.pass(3_600_000);
    assert_eq!((world.has(A).len(), world.has(B).len()), (3, 3));
}

#[test]
fn a_replay_that_nobody_claims_is_refused() {
    let mut world = World::new();
    let call = RouteReplay {
        id: TaskId([1; 20]),
        source: world.source_id(),
        key: "T9".to_owned(),
        to: Vec::new(),
        unsigned: false,
        dry_run: false,
    };
    assert_eq!(code(world.ledger.call(call)), Code::Conflict);
}

#[test]
fn a_key_that_is_not_signed_routes_nothing_unless_the_source_trusts_such_keys() {
    let mut world = World::new();
    world.claim("shop", A);
    let unsigned = |world: &mut World, id: &str| {
        let call = world.event(id, None);
        let headers = [(UNSIGNED_ROUTE.to_owned(), "shop".to_owned())].into();
        world.ledger.accept(Accept { headers, ..call }, b"{}").unwrap();
        world.drive();
    };
    unsigned(&mut world, "e1");
    assert!(world.has(A).is_empty());
    assert_eq!(world.unrouted("shop")[0].why, Unrouted::UnsignedKey);
    // Nor does a replay, unless it is asked in words.
    let task = world.replay("shop", &[A], true);
    assert_eq!(task.progress.total, 0);

    let source = world.source_id();
    let trust = |world: &mut World, unsigned| {
        let source = source.clone();
        world
            .ledger
            .call(RouteTrust { source, unsigned })
            .unwrap()
            .unsigned
    };
    assert!(!trust(&mut world, None));
    assert!(trust(&mut world, Some(true)));
    world.ledger.evict();
    unsigned(&mut world, "e2");
    assert_eq!(world.has(A), ["e2"]);
    assert!(!trust(&mut world, Some(false)));
    unsigned(&mut world, "e3");
    assert_eq!(world.has(A), ["e2"]);
}

#[test]
fn what_only_a_deleted_tenant_claimed_is_unclaimed_again() {
    let mut world = World::new();
    world.claim("T1", A);
    world.claim("T2", A);
    world.claim("T2", B);
    world.tenants.get_mut(&A).unwrap().call(Wipe {}).unwrap();
    world.take("e1", "T1");
    world.take("e2", "T2");
    world.drive();
    assert_eq!(world.unrouted("T1")[0].why, Unrouted::ClaimantGone);
    assert!(world.unrouted("T2").is_empty());
    assert_eq!(world.has(B), ["e2"]);
}

#[test]
fn what_waited_for_a_tenant_that_was_deleted_meanwhile_is_unclaimed_again() {
    let mut world = World::new();
    world.claim("T1", A);
    world.deaf = vec![A];
    world.take("e1", "T1");
    world.drive();
    assert_eq!(world.rows("routing"), 1);
    world.tenants.get_mut(&A).unwrap().call(Wipe {}).unwrap();
    world.deaf.clear();
    world.pass(60_000);
    assert_eq!((world.rows("routing"), world.rows("routing_behind")), (0, 0));
    assert_eq!(world.unrouted("T1")[0].why, Unrouted::ClaimantGone);
}

#[test]
fn unrouted_events_go_with_the_retention() {
    let mut world = World::new();
    world.take("e1", "T9");
    world.drive();
    world.pass(40 * Millis::DAY);
    assert!(world.keys().is_empty());
    assert_eq!((world.rows("unrouted"), world.rows("unrouted_key")), (0, 0));
}

#[test]
fn an_ordinary_tenant_routes_nothing_and_a_hidden_ledger_takes_nothing_that_was_routed() {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    let call = Accept {
        source: Some(source),
        headers: [(ROUTE.to_owned(), "T1".to_owned())].into(),
        ..tenant.publish_call("a")
    };
    tenant.accept(call, b"{}").unwrap();
    assert!(!tenant.ledger.has_routing(tenant.now));
    assert_eq!(tenant.ledger.take_routing(tenant.now).unwrap(), None);

    let mut world = World::new();
    let call = postern_domain::wire::route::RouteIn { events: Vec::new() };
    let caller = Caller::Organisation(world.ledger.organisation);
    assert_eq!(
        code(world.ledger.call_as(caller, call.clone(), &[])),
        Code::NotFound
    );
    let other = Caller::Organisation(postern_domain::id::OrganisationId([9; 20]));
    let tenant = world.tenants.get_mut(&A).unwrap();
    assert_eq!(code(tenant.call_as(other, call.clone(), &[])), Code::NotFound);
    assert_eq!(code(tenant.call_as(Caller::Ingest, call, &[])), Code::NotFound);
}

#[test]
fn a_source_that_is_gone_has_no_list() {
    let mut world = World::new();
    let source = world.source_id();
    world
        .ledger
        .call(SourceDelete {
            source: source.clone(),
        })
        .unwrap();
    let call = UnroutedKeys {
        source,
        page: page(None),
    };
    assert_eq!(code(world.ledger.call(call)), Code::NotFound);
}

#[test]
fn a_request_of_several_accounts_is_stored_once_and_each_tenant_gets_its_own_part() {
    let mut world = World::new();
    world.claim("T1", A);
    world.claim("T2", B);
    let events = [("e1", "T1"), ("e2", "T2"), ("e3", "T1"), ("e4", "T9")];
    let call = Receive {
        accept: world.event("ignored", None),
        events: events
            .iter()
            .map(|(id, key)| ReceivedEvent {
                event_type: "contact.changed".to_owned(),
                event_id: Some((*id).to_owned()),
                headers: [(ROUTE.to_owned(), (*key).to_owned())].into(),
                body_at: None,
            })
            .collect(),
    };
    let mut bodies = vec![b"[]".to_vec()];
    bodies.extend(events.iter().map(|(id, _)| id.as_bytes().to_vec()));
    let done = world
        .ledger
        .call_as(Caller::Ingest, call.clone(), &bodies)
        .unwrap()
        .0;
    assert_eq!((done.stored, done.duplicates), (4, 0));
    // The provider comes again with the same request: nothing is new, and nobody gets anything twice.
    let repeat = Receive {
        accept: Accept {
            nonce: 77,
            ..call.accept.clone()
        },
        ..call
    };
    let done = world.ledger.call_as(Caller::Ingest, repeat, &bodies).unwrap().0;
    assert_eq!((done.stored, done.duplicates), (0, 4));
    world.drive();
    assert_eq!(world.has(A), ["e1", "e3"]);
    assert_eq!(world.has(B), ["e2"]);
    assert_eq!(world.unrouted("T9").len(), 1);
}

fn choose(world: &mut World, options: SourceOptions) -> Result<(), Problem> {
    let call = SourceUpdate {
        source: world.source_id(),
        name: None,
        uid: None,
        config: None,
        provider: None,
        options: Some(options),
    };
    world.ledger.call(call).map(drop)
}

#[test]
fn what_a_paused_source_holds_is_routed_once_when_it_is_opened_again() {
    let mut world = World::new();
    world.claim("T1", A);
    let intake = |world: &mut World, intake| {
        let options = SourceOptions {
            intake,
            ..SourceOptions::default()
        };
        choose(world, options).unwrap();
    };
    intake(&mut world, Intake::Held);
    world.take("e1", "T1");
    world.drive();
    world.pass(120_000);
    assert!(world.has(A).is_empty());
    assert!(world.keys().is_empty());
    intake(&mut world, Intake::Open);
    world.pass(120_000);
    assert_eq!(world.has(A), ["e1"]);
}

#[test]
fn what_is_routed_is_forwarded_as_its_source_says() {
    for (forward, named) in [
        (ForwardMode::Passthrough, "as it came"),
        (ForwardMode::Envelope, "in an envelope"),
    ] {
        let mut world = World::new();
        world.claim("T1", A);
        let options = SourceOptions {
            forward,
            ..SourceOptions::default()
        };
        choose(&mut world, options).unwrap();
        world.tenants.get_mut(&A).unwrap().endpoint();
        let mut call = world.event("e1", Some("T1"));
        call.headers.insert("x-topic".to_owned(), "teams".to_owned());
        world.ledger.accept(call, b"{}").unwrap();
        world.drive();
        let tenant = world.tenants.get_mut(&A).unwrap();
        let first = tenant.outs().remove(0);
        tenant.report(&first, Answer::Broken);
        let again = tenant.pass_until_out(Millis::DAY).remove(0);
        for out in [first, again] {
            let forwarded = out.handout.forwarded.unwrap();
            assert_eq!(forwarded.mode, forward, "{named}");
            assert_eq!(forwarded.source.unwrap().to_string(), world.source_id);
            assert_eq!(
                (forwarded.provider.as_str(), forwarded.event_id.as_deref()),
                ("stripe", Some("e1"))
            );
            assert_eq!(forwarded.headers.into_keys().collect::<Vec<_>>(), ["x-topic"]);
        }
    }
}

#[test]
fn each_tenant_gets_a_copy_of_a_body_that_has_no_room_in_a_ledger() {
    let mut world = World::new();
    let options = SourceOptions {
        max_body: Some(MAX_BODY),
        ..SourceOptions::default()
    };
    choose(&mut world, options).unwrap();
    for tenant in [A, B] {
        world.claim("T1", tenant);
    }
    let at = world.take_large("e1", "T1");
    world.drive();
    for tenant in [A, B] {
        let found = world.bodies(tenant).remove(0).unwrap();
        assert!(found.key.starts_with(&body_prefix(tenant)), "{found:?}");
        assert_eq!((found.size, &found.digest), (at.size, &at.digest));
        assert!(world.bucket.contains(&found.key));
    }
    assert_eq!(world.bucket.len(), 3, "the organisation's own and two copies");
    for table in ["routing", "routing_behind", "unrouted"] {
        assert_eq!(world.rows(table), 0, "{table}");
    }
    // One takes its content away: the other's stands.
    let id = messages(world.tenants.get_mut(&A).unwrap()).remove(0).id;
    let tenant = world.tenants.get_mut(&A).unwrap();
    let messages = vec![id.to_string()];
    tenant.call(MessageExpunge { messages }).unwrap();
    let garbage = tenant.ledger.take_garbage();
    assert!(
        matches!(&garbage[..], [Garbage::One(key)] if key.starts_with(&body_prefix(A))),
        "{garbage:?}"
    );
}

#[test]
fn large_bodies_keep_their_place_among_others() {
    let mut world = World::new();
    world.claim("T1", A);
    world.claim("T2", B);
    world.take("e1", "T1");
    world.take_large("e2", "T1");
    world.take("e3", "T1");
    world.take("other", "T2");
    world.take_large("e4", "T1");
    world.take("e5", "T1");
    world.drive();
    assert_eq!(world.has(A), ["e1", "e2", "e3", "e4", "e5"]);
    let large: Vec<bool> = world.bodies(A).iter().map(Option::is_some).collect();
    assert_eq!(large, [false, true, false, true, false]);
    assert_eq!(world.has(B), ["other"]);
}

#[test]
fn a_copy_whose_answer_is_lost_is_made_once_a_day_and_the_rest_is_taken_away() {
    let mut world = World::new();
    world.claim("T1", A);
    world.lost = vec![A];
    world.take_large("e1", "T1");
    world.drive();
    world.pass(600_000);
    assert_eq!(world.has(A), ["e1"]);
    assert_eq!(world.bucket.len(), 2, "the same copy");
    // Another day, another name: nothing names that copy.
    world.pass(2 * Millis::DAY);
    world.lost.clear();
    world.pass(Millis::DAY);
    assert_eq!(world.has(A), ["e1"]);
    let found = world.bodies(A).remove(0).unwrap();
    assert!(world.bucket.contains(&found.key), "what is named stays");
    assert_eq!(world.bucket.len(), 2);
    assert_eq!(world.rows("routing"), 0);
}

#[test]
fn a_body_that_cannot_be_copied_is_not_said_to_be_there() {
    let mut world = World::new();
    world.claim("T1", A);
    let at = world.take_large("e1", "T1");
    world.bucket.clear();
    world.drive();
    world.pass(60_000);
    assert!(world.has(A).is_empty());
    world.bucket.insert(at.key);
    world.pass(3_600_000);
    assert_eq!(world.has(A), ["e1"]);
}

#[test]
fn a_large_body_that_nobody_claims_waits_and_is_routed_later() {
    let mut world = World::new();
    world.take_large("e1", "T9");
    world.drive();
    assert_eq!(world.unrouted("T9").len(), 1);
    assert_eq!(world.bucket.len(), 1);
    world.replay("T9", &[A], false);
    world.pass(60_000);
    assert_eq!(world.has(A), ["e1"]);
    assert!(world.bodies(A)[0].is_some());
}

#[test]
fn a_tenant_takes_no_body_that_stands_below_anothers_name() {
    let mut world = World::new();
    let event = RoutedEvent {
        message: world.ledger.publish(),
        source: world.source_id.parse().unwrap(),
        source_name: String::new(),
        provider: String::new(),
        forward: ForwardMode::default(),
        event_type: "a".to_owned(),
        event_id: None,
        content_type: "application/json".to_owned(),
        headers: BTreeMap::new(),
        hop: 0,
        body_at: Some(BodyAt {
            key: body_key(B, world.ledger.now, b"x"),
            size: 5 << 20,
            digest: String::new(),
        }),
    };
    let caller = Caller::Organisation(world.ledger.organisation);
    let tenant = world.tenants.get_mut(&A).unwrap();
    let call = RouteLarge { events: vec![event] };
    assert_eq!(code(tenant.call_as(caller, call, &[Vec::new()])), Code::Internal);
    assert!(world.has(A).is_empty());
}

#[test]
fn no_statement_of_the_routing_reads_a_table_that_grows_from_end_to_end() {
    let mut world = World::new();
    world.claim("T1", A);
    world.deaf = vec![A];
    for id in ["e1", "e2"] {
        world.take(id, "T1");
        world.take(&format!("{id}-of-nobody"), "T9");
    }
    world.drive();
    world.unrouted("T9");
    world.keys();
    world.replay("T9", &[B], false);
    world.deaf.clear();
    world.pass(3_600_000);
    world.take("e3", "T8");
    world.pass(40 * Millis::DAY);
    let native = world.ledger.storage.native();
    let statements: Vec<String> = native.statements.borrow().iter().cloned().collect();
    let mut looked = 0;
    for statement in statements
        .iter()
        .filter(|text| text.contains("routing") || text.contains("unrouted"))
    {
        // Those that count a thousand at the most, and what is read when the object wakes: tenants that are behind.
        let bounded = statement.contains("(SELECT 1 FROM routing LIMIT ?)")
            || statement.ends_with("FROM routing_behind")
            || statement.ends_with("FROM routing_trust");
        let Ok(mut plan) = native
            .connection()
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        else {
            continue;
        };
        let nothing = vec![rusqlite::types::Value::Null; plan.parameter_count()];
        let mut rows = plan.query(rusqlite::params_from_iter(nothing)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            looked += 1;
            let scans = step.starts_with("SCAN ") && !step.contains("CONSTANT");
            assert!(
                bounded || !(scans || step.contains("TEMP B-TREE")),
                "{step}: {statement}"
            );
        }
    }
    assert!(looked > 8, "{looked} steps were looked at");
}
