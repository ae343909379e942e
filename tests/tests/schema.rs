//! The schema of a tenant's object: it grows from every version that ever was, and every statement finds its way by a key.
#![expect(clippy::unwrap_used, reason = "a test may")]

use postern_domain::entitlement::{Config, Plan, Provider};
use postern_domain::id::TaskId;
use postern_domain::seal::MasterKeys;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::call::{
    Accept, AttemptFilter, AttemptsOfEndpoint, Caller, EndpointChange, EndpointDelete, EndpointList,
    MessageFilter, MessageList, PageOf, SourceList, TenantSettings,
};
use postern_domain::wire::entitlement::{
    EntitlementBackfill, EntitlementConfigPut, EntitlementDifferences, EntitlementFetched, EntitlementGet,
    EntitlementList, EntitlementObjects, FetchAsk,
};
use postern_domain::wire::moving::{ExportFrom, ExportPage};
use postern_domain::wire::poll::{ConsumerPoll, ConsumerSeek, Poll, PollerTokenRotate};
use postern_domain::wire::reads::{
    AttemptCount, AttemptExpunge, AttemptGet, AttemptStats, DeliveryFilter, EndpointStats,
    EndpointsOfMessage, FailedList, MessageExpunge, MessagesOfEndpoint, RateLimitStatus,
};
use postern_domain::wire::replay::{
    CancelMessages, Missed, Resend, TaskCancel, TaskCount, TaskGet, TaskKind, TaskPlan, TaskStart,
};
use postern_domain::wire::reseal::Reseal;
use postern_domain::wire::signing::AttemptHeaders;
use postern_ledger::sql::{Sql, Value};
use postern_ledger::{Ledger, SCHEMA_VERSION, STEPS, Settings};
use postern_tests::storage::Storage;
use postern_tests::tenant::{Answer, MASTER_KEYS, START, Stand, Tenant, idempotency};
use rusqlite::params_from_iter;
use serde_json::json;

/// An object as a release with the first `version` steps left it: set up, and nothing more.
fn object_of(version: usize) -> Storage {
    let storage = Storage::empty();
    let connection = storage.native().connection();
    for step in &STEPS[..version] {
        connection.execute_batch(step.object).unwrap();
    }
    let fresh = Tenant::new();
    let copy = |table: &str, columns: usize| {
        let mut statement = fresh
            .storage
            .native()
            .connection()
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<rusqlite::types::Value> = (0..columns).map(|at| row.get(at).unwrap()).collect();
            let places = vec!["?"; columns].join(", ");
            connection
                .execute(
                    &format!("INSERT INTO {table} VALUES ({places})"),
                    params_from_iter(values),
                )
                .unwrap();
        }
    };
    copy("meta", 2);
    copy("segment", 5);
    copy("key_generation", 2);
    let version = i64::try_from(version).unwrap();
    storage
        .run(
            "UPDATE meta SET value = ? WHERE name = 'schema'",
            &[Value::Int(version)],
        )
        .unwrap();
    let segments = STEPS[..usize::try_from(version).unwrap()]
        .iter()
        .map(|step| step.segment);
    for template in segments.chain([include_str!("../../durable/schema/key.sql")]) {
        connection
            .execute_batch(&template.replace("{s}", "1").replace("{g}", "1"))
            .unwrap();
    }
    storage
}

#[test]
fn an_object_of_every_earlier_version_is_upgraded_and_works() {
    for version in 1..=STEPS.len() {
        let mut tenant = Tenant::over(object_of(version), Settings::default());
        let endpoint = tenant.endpoint();
        let message = tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Ok);
        assert_eq!(
            tenant.stand(message, endpoint).0,
            Stand::Delivered,
            "from version {version}"
        );
        let row = tenant
            .storage
            .row("SELECT value FROM meta WHERE name = 'schema'", &[])
            .unwrap()
            .unwrap();
        assert_eq!(row.small::<u32>(0).unwrap(), SCHEMA_VERSION);
    }
}

#[test]
fn an_object_of_a_newer_release_is_left_as_it_is() {
    let storage = object_of(STEPS.len());
    let newer = i64::from(SCHEMA_VERSION) + 1;
    storage
        .run(
            "UPDATE meta SET value = ? WHERE name = 'schema'",
            &[Value::Int(newer)],
        )
        .unwrap();
    let mut tenant = Tenant::over(storage, Settings::default());
    tenant.publish();
    let row = tenant
        .storage
        .row("SELECT value FROM meta WHERE name = 'schema'", &[])
        .unwrap()
        .unwrap();
    assert_eq!(row.int(0).unwrap(), newer);
}

#[test]
fn an_object_reads_what_it_sealed_and_refuses_to_seal_without_keys() {
    assert!(MasterKeys::parse(MASTER_KEYS).is_ok());
    let mut tenant = Tenant::new();
    tenant.ledger = postern_ledger::Ledger::new(tenant.storage.clone(), None, Settings::default());
    let refused = tenant.make_endpoint(json!({}));
    assert_eq!(
        postern_tests::tenant::code(refused),
        postern_domain::problem::Code::SealingUnavailable
    );
}

fn export_all(tenant: &mut Tenant) {
    let mut from = Some(ExportFrom::START);
    while let Some(place) = from {
        let call = ExportPage {
            from: place,
            through: None,
            secrets: true,
            entitlements: true,
        };
        from = tenant.call(call).unwrap().next;
    }
}

/// A life that runs every statement which stands on anybody's way.
fn busy_life() -> Tenant {
    let settings = Settings {
        retention_ms: 8 * 300_000,
        capacity_bytes: 1 << 30,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let source = tenant.source();
    entitled(&mut tenant, source);
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5, 30, 60]}));
    let slow = tenant.endpoint_with(json!({"throttleRate": 1}));
    let gone = tenant.endpoint();
    for round in 0..60_usize {
        let call = tenant.publish_call("invoice.paid");
        let call = match round % 4 {
            0 => Accept {
                event_id: Some(format!("e{round}")),
                ..call
            },
            1 => Accept {
                source: Some(source),
                event_id: Some(format!("e{round}")),
                ..call
            },
            2 => Accept {
                repeat: true,
                payload_hours: Some(1),
                ..call
            },
            _ => Accept {
                idempotency: Some(idempotency(&format!("k{round}"), "b")),
                ..call
            },
        };
        tenant.accept(call, b"{}").unwrap();
        for (at, out) in tenant.outs().iter().enumerate() {
            match (round + at) % 4 {
                0 => tenant.report(out, Answer::Ok),
                1 => {}
                2 => {
                    tenant.report(out, Answer::Silence);
                    tenant.report(out, Answer::Ok);
                }
                _ => tenant.report(out, Answer::Broken),
            }
        }
        if round % 10 == 9 {
            tenant.evict();
        }
        tenant.pass(45_000);
    }
    by_hand(&mut tenant, endpoint, slow);
    tenant.delete(gone);
    tenant.patch(
        slow,
        EndpointChange {
            disabled: Some(true),
            ..EndpointChange::default()
        },
    );
    let page = |iterator: Option<String>| PageOf {
        limit: 5,
        iterator,
        ascending: false,
    };
    let endpoint = tenant.endpoint_id(endpoint);
    read_lists(&mut tenant, &endpoint, &page);
    read_everything(&mut tenant, &endpoint, &page);
    export_all(&mut tenant);
    tenant.call(EndpointList { page: page(None) }).unwrap();
    tenant.call(SourceList { page: page(None) }).unwrap();
    poll(&mut tenant);
    tenant.pass(600_000);
    tenant
}

/// Every page of messages and attempts, in both directions.
fn read_lists(tenant: &mut Tenant, endpoint: &str, page: &dyn Fn(Option<String>) -> PageOf) {
    let filter = MessageFilter {
        before: Some(tenant.now),
        after: Some(START),
        ..MessageFilter::default()
    };
    for with_content in [true, false] {
        let call = MessageList {
            page: page(None),
            filter: filter.clone(),
            with_content,
        };
        let list = tenant.call(call.clone()).unwrap();
        let back = MessageList {
            page: page(list.prev_iterator),
            ..call
        };
        tenant.call(back).unwrap();
        let message = list.data[0].id;
        tenant.message(message).unwrap();
        for attempt in tenant.attempts(message) {
            let attempt = attempt.id.to_string();
            let message = message.to_string();
            tenant.call(AttemptHeaders { message, attempt }).unwrap();
        }
    }
    let call = AttemptsOfEndpoint {
        endpoint: endpoint.to_owned(),
        page: page(None),
        filter: AttemptFilter::default(),
    };
    let list = tenant.call(call.clone()).unwrap();
    tenant
        .call(AttemptsOfEndpoint {
            page: page(list.prev_iterator),
            ..call
        })
        .unwrap();
}

/// Everything that an endpoint which is polled is asked.
fn poll(tenant: &mut Tenant) {
    let settings = json!({"url": "postern:poller", "kind": "polling"});
    let sink = tenant.make_endpoint(settings).unwrap().id.to_string();
    tenant.publish();
    let call = Poll {
        sink: sink.clone(),
        limit: 5,
        iterator: None,
        event_type: None,
        channel: None,
        after: Some(START),
    };
    tenant.call(call).unwrap();
    let call = ConsumerPoll {
        sink: sink.clone(),
        consumer: "a".to_owned(),
        limit: 5,
        iterator: None,
    };
    let iterator = Some(tenant.call(call.clone()).unwrap().iterator);
    tenant.call(ConsumerPoll { iterator, ..call }).unwrap();
    tenant
        .call(ConsumerSeek {
            sink: sink.clone(),
            consumer: "a".to_owned(),
            after: START,
        })
        .unwrap();
    for old_expiry_seconds in [60, 0] {
        let call = PollerTokenRotate {
            endpoint: sink.clone(),
            expiry_seconds: None,
            old_expiry_seconds,
        };
        tenant.call(call).unwrap();
    }
    // With another master key, so that something is to be sealed anew.
    let keys = format!("2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=,{MASTER_KEYS}");
    let keys = MasterKeys::parse(&keys).unwrap();
    tenant.ledger = Ledger::new(tenant.storage.clone(), Some(keys), tenant.settings.clone());
    tenant.ledger.alarm_is(tenant.storage.native().alarm());
    let (resealed, _) = tenant.call_as(Caller::System, Reseal {}, &[]).unwrap();
    assert_eq!((resealed.active, resealed.other), (2, None));
    tenant.call(EndpointDelete { endpoint: sink }).unwrap();
}

/// Lists of deliveries, both ways, statistics, and taking contents away.
fn read_everything(tenant: &mut Tenant, endpoint: &str, page: &dyn Fn(Option<String>) -> PageOf) {
    let endpoint = endpoint.to_owned();
    let newest = MessageList {
        page: page(None),
        filter: MessageFilter::default(),
        with_content: false,
    };
    let message = tenant.call(newest).unwrap().data[0].id.to_string();
    let messages = MessagesOfEndpoint {
        endpoint: endpoint.clone(),
        page: page(None),
        filter: DeliveryFilter::default(),
        with_content: true,
    };
    let list = tenant.call(messages.clone()).unwrap();
    let back = MessagesOfEndpoint {
        page: page(list.prev_iterator),
        ..messages
    };
    tenant.call(back).unwrap();
    let endpoints = EndpointsOfMessage {
        message: message.clone(),
        page: page(None),
    };
    tenant.call(endpoints).unwrap();
    let dead = tenant.endpoint_with(json!({"retrySchedule": []}));
    tenant.publish();
    for out in tenant.outs() {
        tenant.report(&out, Answer::Broken);
    }
    let dead = tenant.endpoint_id(dead);
    for of in [None, Some(dead)] {
        let failed = FailedList {
            endpoint: of,
            page: page(None),
            filter: MessageFilter::default(),
            with_content: false,
        };
        let list = tenant.call(failed.clone()).unwrap();
        assert!(!list.data.is_empty(), "something failed for good");
        let back = FailedList {
            page: page(list.prev_iterator),
            ..failed
        };
        tenant.call(back).unwrap();
    }
    let (since, until) = (START, tenant.now);
    tenant
        .call(EndpointStats {
            endpoint: endpoint.clone(),
            since: Some(since),
            until: Some(until),
        })
        .unwrap();
    tenant
        .call(AttemptStats {
            since,
            until,
            event_types: None,
        })
        .unwrap();
    tenant
        .call(RateLimitStatus {
            endpoint: endpoint.clone(),
        })
        .unwrap();
    let attempts = AttemptCount {
        endpoint,
        filter: AttemptFilter::default(),
    };
    tenant.call(attempts).unwrap();
    // As if all were counted already, so that what is counted of a change is written, too.
    let counted = [Value::from(1_000_u64)];
    tenant
        .storage
        .run("INSERT OR REPLACE INTO meta VALUES ('counted', ?)", &counted)
        .unwrap();
    tenant.evict();
    let late = tenant.endpoint_with(json!({"retrySchedule": [5]}));
    let id = tenant.publish();
    for out in tenant.outs() {
        tenant.report(&out, Answer::Broken);
    }
    for attempt in tenant.attempts(id) {
        let get = AttemptGet {
            message: id.to_string(),
            attempt: attempt.id.to_string(),
        };
        tenant.call(get).unwrap();
        let expunge = AttemptExpunge {
            message: id.to_string(),
            attempt: attempt.id.to_string(),
        };
        tenant.call(expunge).unwrap();
    }
    let messages = vec![id.to_string(), message];
    tenant.call(MessageExpunge { messages }).unwrap();
    tenant.disable(late, true);
    assert!(tenant.count("stat") > 0);
}

/// Customers with what they may use, and the provider asked again.
#[expect(
    clippy::too_many_lines,
    reason = "every statement of entitlements, one after the other"
)]
fn entitled(tenant: &mut Tenant, source: u16) {
    let solo = Plan {
        plan: "solo".to_owned(),
        ids: vec!["price_1".to_owned()],
    };
    let config = Config {
        enabled: true,
        plans: vec![solo],
        ..Config::default()
    };
    let rules = |config: &Config| EntitlementConfigPut {
        config: config.clone(),
        stripe_api_key: Some(Some("rk_live_0123456789abcdef".to_owned())),
        ..EntitlementConfigPut::default()
    };
    tenant.call(rules(&config)).unwrap();
    for at in 0..3 {
        let customer = format!("cus_{at}");
        let event = json!({"id": format!("evt_{at}"), "type": "customer.subscription.updated", "created": 1, "data": {
            "object": {"id": "sub_1", "customer": customer, "status": "active", "metadata": {"userId": "user_1"},
            "current_period_end": START.plus(60_000).seconds(), "cancel_at_period_end": true,
            "items": {"data": [{"price": {"id": "price_1"}}]}}}});
        let call = Accept {
            source: Some(source),
            ..tenant.publish_call("customer.subscription.updated")
        };
        tenant.accept(call, event.to_string().as_bytes()).unwrap();
    }
    tenant.pass(5000);
    for (customer, failed) in [("cus_0", None), ("cus_1", Some("no answer".to_owned()))] {
        let fetched = EntitlementFetched {
            provider: Provider::Stripe,
            ask: FetchAsk::Customer(customer.to_owned()),
            begun: tenant.now,
            failed,
        };
        let bodies = [json!({"id": customer}), json!({"data": []})].map(|body| body.to_string().into_bytes());
        tenant.call_as(Caller::System, fetched, &bodies).unwrap();
    }
    tenant.call(rules(&config)).unwrap();
    let backfills = [TaskId([8; 20]), TaskId([9; 20])];
    for (dry_run, id) in [true, false].into_iter().zip(backfills) {
        let expected = vec![("cus_9".to_owned(), Some("solo".to_owned()))];
        tenant
            .call(EntitlementBackfill {
                id,
                provider: Provider::Stripe,
                dry_run,
                expected,
            })
            .unwrap();
        tenant.pass(1000);
        let ask = FetchAsk::Page {
            task: id,
            after: None,
        };
        let fetched = EntitlementFetched {
            provider: Provider::Stripe,
            ask,
            begun: tenant.now,
            failed: None,
        };
        let list =
            json!({"has_more": false, "data": [{"id": "sub_9", "customer": "cus_9", "status": "active"}]});
        tenant
            .call_as(Caller::System, fetched, &[list.to_string().into_bytes()])
            .unwrap();
        let page = PageOf {
            limit: 2,
            iterator: None,
            ascending: true,
        };
        tenant.call(EntitlementDifferences { id, page }).unwrap();
    }
    let customer = "user_1".to_owned();
    tenant
        .call(EntitlementGet {
            customer: customer.clone(),
        })
        .unwrap();
    for (iterator, ascending) in [
        (None, true),
        (None, false),
        (Some("cus_1"), true),
        (Some("cus_1"), false),
    ] {
        let iterator = iterator.map(str::to_owned);
        let page = PageOf {
            limit: 2,
            iterator,
            ascending,
        };
        tenant
            .call(EntitlementList {
                page,
                active: None,
                plan: None,
            })
            .unwrap();
    }
    let page = PageOf {
        limit: 2,
        iterator: None,
        ascending: true,
    };
    tenant.call(EntitlementObjects { customer, page }).unwrap();
}

/// Tries by hand, and jobs of every kind.
fn by_hand(tenant: &mut Tenant, endpoint: u32, slow: u32) {
    let names = [endpoint, slow].map(|number| tenant.endpoint_id(number));
    let message = tenant.publish();
    for name in &names {
        let call = Resend {
            message: message.to_string(),
            endpoint: name.clone(),
            idempotency: Some(idempotency(name, "b")),
        };
        tenant.call(call).unwrap();
    }
    let plan = TaskPlan {
        kind: TaskKind::Recover,
        endpoints: names.to_vec(),
        since: Some(START),
        until: None,
        states: vec![DeliveryStatus::Failed],
        missing: false,
        event_types: None,
        channel: None,
        status_code_class: None,
        messages: None,
        rate: 10,
    };
    let plans = [
        plan.clone(),
        TaskPlan {
            states: vec![DeliveryStatus::Delivered, DeliveryStatus::Cancelled],
            missing: true,
            status_code_class: Some(200),
            ..plan.clone()
        },
        TaskPlan {
            messages: Some(vec![message.to_string()]),
            ..plan
        },
    ];
    for (at, plan) in (0..).zip(plans) {
        tenant.call(TaskCount { plan: plan.clone() }).unwrap();
        let id = TaskId([at; 20]);
        tenant.call(TaskStart { id, plan }).unwrap();
    }
    for _ in 0..5 {
        for (at, out) in tenant.pass_until_out(5000).iter().enumerate() {
            tenant.report(out, if at % 2 == 0 { Answer::Broken } else { Answer::Ok });
        }
    }
    let id = TaskId([0; 20]);
    tenant.call(TaskGet { ids: vec![id] }).unwrap();
    tenant.call(TaskCancel { id }).unwrap();
    let [endpoint, _] = names;
    let before = tenant.now;
    let call = CancelMessages {
        endpoint: endpoint.clone(),
        before,
    };
    tenant.call(call).unwrap();
    tenant.call(Missed { endpoint }).unwrap();
}

#[test]
fn no_statement_reads_a_growing_table_from_end_to_end() {
    let tenant = busy_life();
    let native = tenant.storage.native();
    let statements: Vec<String> = native.statements.borrow().iter().cloned().collect();
    let (mut looked, mut scans) = (0, Vec::new());
    for statement in &statements {
        let reads = ["SELECT", "UPDATE", "DELETE"]
            .iter()
            .any(|verb| statement.starts_with(verb));
        if !reads {
            continue;
        }
        // Of a segment that is gone there is no plan; another one ran the same.
        let Ok(mut plan) = native
            .connection()
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        else {
            continue;
        };
        looked += 1;
        let nothing = vec![rusqlite::types::Value::Null; plan.parameter_count()];
        let mut rows = plan.query(params_from_iter(nothing)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            let growing = [
                "message",
                "delivery",
                "attempt",
                "ordered",
                "extra_",
                "key_",
                "due",
                "payload_end",
                "stat",
                "consumer",
                "poller_token",
                "entitlement",
            ];
            let scan = step
                .strip_prefix("SCAN ")
                .is_some_and(|table| growing.iter().any(|name| table.starts_with(name)));
            // The first row in the order of the key is no scan, whatever the plan calls it.
            let first_of_key =
                statement.ends_with("ORDER BY sequence DESC LIMIT 1") && !step.contains("TEMP");
            if (scan && !first_of_key) || step.contains("TEMP B-TREE") {
                scans.push(format!("{step}: {statement}"));
            }
        }
    }
    scans.retain(|scan| !scan.contains("FROM rejected") && !scan.contains("key_generation"));
    assert!(looked > 40, "{looked} statements were looked at");
    assert!(scans.is_empty(), "{scans:#?}");
}

#[test]
fn every_table_that_grows_is_named_by_its_segment() {
    let tenant = busy_life();
    let mut statement = tenant
        .storage
        .native()
        .connection()
        .prepare(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )
        .unwrap();
    let names: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let fixed = [
        "backlog",
        "consumer",
        "due",
        "duplicate", // goes with its messages: of the object, because the release before opens segments without it
        "endpoint",
        "entitlement",
        "entitlement_alias",
        "entitlement_end",
        "entitlement_expected",
        "entitlement_found",
        "entitlement_object",
        "entitlement_stale",
        "health",
        "idempotency",
        "key_generation",
        "meta",
        "outbox",
        "payload_end",
        "poller_token",
        "refusal_count",
        "refused",
        "rejected",
        "routing",
        "routing_behind",
        "routing_trust",
        "request", // goes with its messages, as `duplicate` does
        "segment",
        "source",
        "source_more",
        "stat",
        "task",
        "unrouted",
        "unrouted_key",
        "watch_wire",
    ];
    for name in names {
        let (kind, number) = name.split_once('_').unwrap_or((&name, ""));
        let numbered = ["message", "delivery", "attempt", "ordered", "extra", "key"].contains(&kind)
            && number.parse::<u64>().is_ok();
        assert!(numbered || fixed.contains(&name.as_str()), "{name}");
    }
}
