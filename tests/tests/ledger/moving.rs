//! In and out: endpoints that come with their secrets, everything written out page by page, everything erased and told.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::id::MessageId;
use postern_domain::problem::Code;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::call::{Call, Caller, EndpointSecret, MessageGet, SetUp, TenantSettings};
use postern_domain::wire::moving::{
    EndpointImport, EndpointsImport, Erase, ExportFrom, ExportPage, Exported, ExportedPage, ImportAction,
    ImportOutcome,
};
use postern_domain::wire::{VERSION, frame};
use postern_ledger::Settings;
use postern_ledger::sql::Sql;
use postern_tests::tenant::{Answer, Tenant, code, endpoint_config};
use serde_json::json;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

// ---- import

fn brought(settings: serde_json::Value, secret: &str) -> EndpointImport {
    EndpointImport {
        config: endpoint_config(settings),
        secret: secret.to_owned(),
    }
}

fn import(tenant: &mut Tenant, endpoints: &[EndpointImport], dry_run: bool) -> Vec<ImportOutcome> {
    let call = EndpointsImport {
        endpoints: endpoints.to_vec(),
        dry_run,
    };
    tenant.call(call).unwrap().outcomes
}

fn actions(outcomes: &[ImportOutcome]) -> Vec<ImportAction> {
    outcomes.iter().map(|outcome| outcome.action).collect()
}

#[test]
fn an_endpoint_is_taken_with_the_secret_that_its_receiver_knows_and_only_once() {
    let mut tenant = Tenant::new();
    let endpoints = [brought(json!({"uid": "main"}), KEY)];
    let made = import(&mut tenant, &endpoints, false);
    assert_eq!(actions(&made), [ImportAction::Create]);
    let endpoint = made[0].endpoint.unwrap();
    let secret = tenant
        .call(EndpointSecret {
            endpoint: endpoint.to_string(),
        })
        .unwrap();
    assert_eq!(secret.key, KEY);

    let again = import(&mut tenant, &endpoints, false);
    assert_eq!(
        (again[0].action, again[0].endpoint),
        (ImportAction::Exists, Some(endpoint))
    );
    assert_eq!(tenant.count("endpoint"), 1);
}

#[test]
fn a_dry_run_says_what_the_run_does_and_writes_nothing() {
    let mut tenant = Tenant::new();
    tenant.make_endpoint(json!({"uid": "there"})).unwrap();
    let endpoints = [
        brought(json!({"uid": "there"}), KEY),
        brought(json!({"uid": "new", "url": "https://new.example/"}), KEY),
        brought(json!({"uid": "new", "url": "https://new.example/"}), KEY),
        brought(json!({"uid": "new", "url": "https://new.example/"}), OTHER),
        brought(json!({"url": "https://new.example/"}), KEY),
    ];
    let before = tenant.count("endpoint");
    let planned = import(&mut tenant, &endpoints, true);
    assert_eq!(tenant.count("endpoint"), before);
    let done = import(&mut tenant, &endpoints, false);
    assert_eq!(actions(&planned), actions(&done));
    assert_eq!(
        actions(&done),
        [
            ImportAction::Conflict,
            ImportAction::Create,
            ImportAction::Exists,
            ImportAction::Conflict,
            ImportAction::Exists,
        ]
    );
    assert_eq!(tenant.count("endpoint"), before + 1);
}

#[test]
fn what_refuses_one_endpoint_keeps_no_other_from_being_taken() {
    let mut tenant = Tenant::new();
    let endpoints = [
        brought(json!({"uid": "bad"}), "whsec_short"),
        brought(json!({"uid": "good"}), KEY),
    ];
    let done = import(&mut tenant, &endpoints, false);
    assert_eq!(actions(&done), [ImportAction::Invalid, ImportAction::Create]);
    let why = done[0].why.as_deref().unwrap();
    assert!(!why.contains("short"), "{why}");
}

#[test]
fn more_than_a_call_may_bring_is_refused_whole() {
    let mut tenant = Tenant::new();
    let call = EndpointsImport {
        endpoints: vec![brought(json!({}), KEY); 501],
        dry_run: false,
    };
    let refused = tenant.call(call);
    assert_eq!(code(refused), Code::PayloadTooLarge);
    assert_eq!(tenant.count("endpoint"), 0);
}

// ---- export

type Rows = Vec<(Exported, Option<ExportFrom>, Option<Vec<u8>>)>;

fn page(tenant: &mut Tenant, from: ExportFrom, through: Option<u64>, secrets: bool) -> (ExportedPage, Rows) {
    let call = ExportPage {
        from,
        through,
        secrets,
    };
    let caller = Caller::Organisation(tenant.organisation);
    let (page, bodies) = tenant.call_as(caller, call, &[]).unwrap();
    let mut bodies = bodies.into_iter();
    let rows = page
        .rows
        .iter()
        .map(|row| {
            let body = matches!(row.row, Exported::Message(_) | Exported::Attempt(_))
                .then(|| bodies.next().unwrap());
            (row.row.clone(), row.behind, body)
        })
        .collect();
    assert_eq!(bodies.next(), None, "as many bodies as rows that have one");
    (page, rows)
}

fn export_from(tenant: &mut Tenant, from: ExportFrom, through: Option<u64>) -> Rows {
    let (mut all, mut next, mut through) = (Vec::new(), Some(from), through);
    while let Some(from) = next {
        let (told, rows) = page(tenant, from, through, false);
        assert!(rows.len() <= 1100, "{} rows in a page", rows.len());
        through = Some(told.through);
        all.extend(rows);
        next = told.next;
    }
    all
}

fn export(tenant: &mut Tenant) -> Rows {
    export_from(tenant, ExportFrom::START, None)
}

fn messages(rows: &Rows) -> Vec<(MessageId, Vec<u8>)> {
    let message = |(row, _, body): &(Exported, _, Option<Vec<u8>>)| match row {
        Exported::Message(message) => Some((message.view.id, body.clone().unwrap())),
        _ => None,
    };
    rows.iter().filter_map(message).collect()
}

/// Three endpoints, two of them failing now and then, over several segments.
fn lived(count: usize) -> Tenant {
    let settings = Settings {
        retention_ms: 8 * 40_000,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    tenant.source();
    for _ in 0..3 {
        tenant.endpoint_with(json!({"retrySchedule": [1, 1]}));
    }
    for at in 0..count {
        let call = tenant.publish_call("invoice.paid");
        tenant.accept(call, format!("body {at}").as_bytes()).unwrap();
        for (nth, out) in tenant.outs().iter().enumerate() {
            match (at + nth) % 3 {
                0 => tenant.report(out, Answer::Ok),
                1 => tenant.report_with(out, Answer::Broken, b"\xff broken"),
                _ => {}
            }
        }
        tenant.pass(1_000);
    }
    tenant
}

#[test]
fn an_export_holds_every_message_with_its_body_each_delivery_and_each_attempt_once() {
    let mut tenant = lived(60);
    let rows = export(&mut tenant);
    let found = messages(&rows);
    assert_eq!(found.len(), 60);
    assert!(found.is_sorted_by_key(|(id, _)| id.0.sequence));
    for (at, (id, body)) in found.iter().enumerate() {
        assert_eq!(*body, format!("body {at}").into_bytes());
        assert_eq!(
            tenant
                .call(MessageGet {
                    message: id.to_string()
                })
                .unwrap()
                .id,
            *id
        );
    }
    let (mut deliveries, mut attempts) = (BTreeSet::new(), BTreeMap::<MessageId, BTreeSet<_>>::new());
    for (row, _, body) in &rows {
        match row {
            Exported::Delivery(delivery) => {
                assert!(deliveries.insert((delivery.message, delivery.endpoint)));
                let sound = (delivery.next_attempt.is_some()) == (delivery.status == DeliveryStatus::Waiting);
                assert!(sound, "{delivery:?}");
            }
            Exported::Attempt(attempt) => {
                assert!(attempts.entry(attempt.message).or_default().insert(attempt.id));
                assert!(body.is_some());
            }
            _ => {}
        }
    }
    assert_eq!(deliveries.len(), 180);
    for (id, _) in found {
        let listed: BTreeSet<_> = tenant
            .attempts(id)
            .into_iter()
            .map(|attempt| attempt.id)
            .collect();
        assert_eq!(attempts.remove(&id).unwrap_or_default(), listed);
    }
}

#[test]
fn an_export_goes_on_behind_every_place_that_it_named_without_a_gap_or_a_double() {
    let mut tenant = lived(20);
    let (told, _) = page(&mut tenant, ExportFrom::START, None, false);
    let whole = export(&mut tenant);
    for (at, (_, behind, _)) in whole.iter().enumerate() {
        let Some(behind) = behind else { continue };
        let rest = export_from(&mut tenant, *behind, Some(told.through));
        assert_eq!(rest, whole[at + 1..], "behind row {at}");
    }
}

#[test]
fn an_export_ends_with_the_newest_message_of_its_beginning() {
    let mut tenant = lived(5);
    let (first, _) = page(&mut tenant, ExportFrom::START, None, false);
    tenant.publish();
    let rows = export_from(&mut tenant, ExportFrom::START, Some(first.through));
    assert_eq!(messages(&rows).len(), 5);
    assert_eq!(messages(&export(&mut tenant)).len(), 6);
    // A place that was never there is no way beyond the newest.
    let rows = export_from(&mut tenant, ExportFrom::Message(1 << 40), Some(u64::MAX));
    assert_eq!(rows, []);
}

#[test]
fn a_page_is_bounded_by_rows_and_by_bytes() {
    let mut tenant = Tenant::new();
    for _ in 0..40 {
        tenant.endpoint();
    }
    for _ in 0..40 {
        tenant.publish();
    }
    let (told, rows) = page(&mut tenant, ExportFrom::Message(0), None, false);
    assert!((1000..1100).contains(&rows.len()), "{}", rows.len());
    assert!(
        matches!(told.next, Some(ExportFrom::Delivery { .. })),
        "in the middle of a message"
    );
    assert_eq!(messages(&export(&mut tenant)).len(), 40);

    let mut tenant = Tenant::new();
    for _ in 0..10 {
        let call = tenant.publish_call("large");
        tenant.accept(call, &vec![b'x'; 1 << 20]).unwrap();
    }
    let (told, rows) = page(&mut tenant, ExportFrom::START, None, false);
    assert_eq!(messages(&rows).len(), 4);
    assert!(told.next.is_some());
    assert_eq!(messages(&export(&mut tenant)).len(), 10);
}

#[test]
fn messages_that_retention_drops_in_the_middle_are_passed_over() {
    let mut tenant = lived(60);
    let (told, _) = page(&mut tenant, ExportFrom::START, None, false);
    let oldest = messages(&export(&mut tenant))[0].0;
    tenant.pass(370_000);
    assert_eq!(
        code(tenant.call(MessageGet {
            message: oldest.to_string()
        })),
        Code::NotFound
    );
    let place = ExportFrom::Delivery {
        sequence: oldest.0.sequence,
        endpoint: 1,
    };
    let rest = messages(&export_from(&mut tenant, place, Some(told.through)));
    let kept = messages(&export(&mut tenant));
    assert!(!kept.is_empty() && kept.len() < 60, "{}", kept.len());
    assert_eq!(rest, kept);
}

#[test]
fn secrets_are_in_an_export_only_where_they_were_asked_for() {
    let mut tenant = Tenant::new();
    tenant.source();
    import(
        &mut tenant,
        &[brought(
            json!({"headers": {"authorization": "Bearer of a receiver"}}),
            KEY,
        )],
        false,
    );
    let secrets = [KEY, "Bearer of a receiver", "whsec_a_secret_of_the_shop"];

    let (told, _) = page(&mut tenant, ExportFrom::START, None, false);
    let text = serde_json::to_string(&told).unwrap();
    assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    assert!(text.contains("\"token\":\"\""), "{text}");

    let (told, _) = page(&mut tenant, ExportFrom::START, None, true);
    let text = serde_json::to_string(&told).unwrap();
    assert!(secrets.iter().all(|secret| text.contains(secret)), "{text}");
    assert!(!text.contains("\"token\":\"\""), "{text}");
    assert!(!format!("{told:?}").contains(KEY), "and never in a log");
}

#[test]
fn deleted_endpoints_that_messages_still_name_are_in_an_export() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    tenant.publish();
    tenant.delete(endpoint);
    let rows = export(&mut tenant);
    let deleted = rows
        .iter()
        .any(|(row, ..)| matches!(row, Exported::Endpoint(e) if e.deleted_at.is_some()));
    assert!(deleted, "{rows:?}");
    let cancelled =
        |row: &Exported| matches!(row, Exported::Delivery(d) if d.status == DeliveryStatus::Cancelled);
    assert!(rows.iter().any(|(row, ..)| cancelled(row)), "{rows:?}");
}

// ---- erase

#[test]
fn an_erasure_tells_what_there_was_and_leaves_one_row_that_refuses_everything() {
    let mut tenant = lived(30);
    let waiting = tenant.outs();
    let rows = export(&mut tenant);
    let of = |wanted: fn(&Exported) -> bool| rows.iter().filter(|(row, ..)| wanted(row)).count() as u64;
    let erased = tenant.call(Erase {}).unwrap();
    assert_eq!(erased.messages, of(|row| matches!(row, Exported::Message(_))));
    assert_eq!(erased.attempts, of(|row| matches!(row, Exported::Attempt(_))));
    assert_eq!((erased.endpoints, erased.sources, erased.exact), (3, 1, true));
    assert!(erased.deliveries > 0 && erased.deliveries <= 90);
    assert!(erased.bytes > 0);

    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let names: Vec<String> = tenant
        .storage
        .rows(tables, &[])
        .unwrap()
        .iter()
        .map(|row| row.text(0).unwrap())
        .collect();
    assert_eq!(names, ["meta"]);
    assert_eq!(tenant.count("meta"), 1);

    assert_eq!(code(tenant.call(Erase {})), Code::NotFound);
    assert_eq!(
        code(tenant.call(ExportPage {
            from: ExportFrom::START,
            through: None,
            secrets: false
        })),
        Code::NotFound
    );
    let call = tenant.publish_call("late");
    assert_eq!(code(tenant.accept(call, b"{}")), Code::NotFound);
    for out in &waiting {
        assert_eq!(code(tenant.try_report(&[(out, Answer::Ok)])), Code::NotFound);
    }
    let set_up = SetUp {
        organisation: tenant.organisation,
        settings: TenantSettings::default(),
    };
    assert_eq!(code(tenant.call(set_up)), Code::Conflict);
}

// ---- releases side by side

#[test]
fn a_call_of_a_later_release_is_told_that_it_is_not_known() {
    let mut tenant = Tenant::new();
    let envelope = json!({
        "v": VERSION, "tenant": tenant.id, "caller": {"organisation": tenant.organisation}, "call": {"fly": {"to": "the moon"}},
    });
    let request = frame::encode(&envelope, &[] as &[&[u8]]).unwrap();
    let replied = tenant.ledger.call(&request, tenant.now, &mut tenant.random);
    let (reply, _) = frame::decode::<Result<(), postern_domain::problem::Problem>>(&replied.frame).unwrap();
    assert_eq!(reply.unwrap_err().code, Code::NotImplemented);
    assert_eq!(replied.cause, None, "nothing to be alarmed about");

    let nothing = frame::encode(&json!({}), &[] as &[&[u8]]).unwrap();
    assert!(
        tenant
            .ledger
            .call(&nothing, tenant.now, &mut tenant.random)
            .cause
            .is_some()
    );
}

#[test]
fn a_call_says_its_name() {
    assert_eq!(Call::from(Erase {}).name(), "Erase");
    assert!(!postern_domain::wire::call::FIRST.contains(&"Erase"));
}
