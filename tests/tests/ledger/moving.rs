//! In and out: endpoints that come with their secrets, everything written out page by page, everything erased and told.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::id::MessageId;
use postern_domain::problem::Code;
use postern_domain::wire::call::{Call, Caller, EndpointSecret, MessageGet, SetUp, TenantSettings};
use postern_domain::wire::moving::{
    EndpointImport, EndpointsImport, Erase, ExportFrom, ExportPage, ExportedPage, ImportAction, ImportOutcome,
};
use postern_domain::wire::{VERSION, frame};
use postern_ledger::Settings;
use postern_ledger::sql::Sql;
use postern_tests::tenant::{Answer, Tenant, code, endpoint_config};
use serde_json::{Value, json};

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

/// Of each line what it is, the place behind it, and what stands in it.
type Rows = Vec<(String, Option<ExportFrom>, Value)>;

fn page(tenant: &mut Tenant, from: ExportFrom, through: Option<u64>, secrets: bool) -> (ExportedPage, Rows) {
    let call = ExportPage {
        from,
        through,
        secrets,
        entitlements: true,
    };
    let caller = Caller::Organisation(tenant.organisation);
    let (page, lines) = tenant.call_as(caller, call, &[]).unwrap();
    assert_eq!(page.lines.len(), lines.len());
    let rows = page.lines.iter().zip(lines).map(|(told, line)| {
        assert!(!line.contains(&b'\n'), "a line is one");
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["kind"], told.kind);
        (told.kind.clone(), told.behind.clone(), line[&told.kind].clone())
    });
    let rows = rows.collect();
    (page, rows)
}

fn of_kind<'a>(rows: &'a Rows, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    rows.iter()
        .filter(move |(found, ..)| found == kind)
        .map(|(_, _, row)| row)
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
    let message = |row: &Value| {
        let id: MessageId = row["id"].as_str().unwrap().parse().unwrap();
        (id, row["body"].as_str().unwrap().as_bytes().to_vec())
    };
    of_kind(rows, "message").map(message).collect()
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
    let mut deliveries = BTreeSet::new();
    for row in of_kind(&rows, "delivery") {
        assert!(deliveries.insert((row["messageId"].to_string(), row["endpointId"].to_string())));
        assert_eq!(
            row["nextAttempt"].is_string(),
            row["status"] == "waiting",
            "{row}"
        );
    }
    assert_eq!(deliveries.len(), 180);
    let mut attempts = BTreeMap::<String, BTreeSet<String>>::new();
    for row in of_kind(&rows, "attempt") {
        let own = attempts
            .entry(row["messageId"].as_str().unwrap().to_owned())
            .or_default();
        assert!(own.insert(row["id"].as_str().unwrap().to_owned()));
        let broken = row["responseBase64"] == "/yBicm9rZW4=";
        assert!(broken || row["response"].is_string(), "{row}");
    }
    for (id, _) in found {
        let listed: BTreeSet<_> = tenant
            .attempts(id)
            .into_iter()
            .map(|attempt| attempt.id.to_string())
            .collect();
        assert_eq!(attempts.remove(&id.to_string()).unwrap_or_default(), listed);
    }
}

#[test]
fn an_export_goes_on_behind_every_place_that_it_named_without_a_gap_or_a_double() {
    let mut tenant = lived(20);
    let (told, _) = page(&mut tenant, ExportFrom::START, None, false);
    let whole = export(&mut tenant);
    for (at, (_, behind, _)) in whole.iter().enumerate() {
        let Some(behind) = behind else { continue };
        let rest = export_from(&mut tenant, behind.clone(), Some(told.through));
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

    let mut text = |secrets| {
        let (_, rows) = page(&mut tenant, ExportFrom::START, None, secrets);
        let rows: Vec<String> = rows.iter().map(|(_, _, row)| row.to_string()).collect();
        rows.join("\n")
    };
    let without = text(false);
    assert!(
        secrets.iter().all(|secret| !without.contains(secret)),
        "{without}"
    );
    assert!(
        !without.contains("token") && !without.contains("headers"),
        "{without}"
    );
    let with = text(true);
    assert!(secrets.iter().all(|secret| with.contains(secret)), "{with}");
    assert!(with.contains("token"), "{with}");
}

#[test]
fn deleted_endpoints_that_messages_still_name_are_in_an_export() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    tenant.publish();
    tenant.delete(endpoint);
    let rows = export(&mut tenant);
    assert!(
        of_kind(&rows, "endpoint").all(|row| row["deletedAt"].is_string()),
        "{rows:?}"
    );
    assert!(
        of_kind(&rows, "delivery").all(|row| row["status"] == "cancelled"),
        "{rows:?}"
    );
    assert_eq!(rows.len(), 3, "{rows:?}");
}

// ---- erase

#[test]
fn an_erasure_tells_what_there_was_and_leaves_one_row_that_refuses_everything() {
    let mut tenant = lived(30);
    let waiting = tenant.outs();
    let rows = export(&mut tenant);
    let of = |kind| of_kind(&rows, kind).count() as u64;
    let erased = tenant.call(Erase {}).unwrap();
    assert_eq!(erased.messages, of("message"));
    assert_eq!(erased.attempts, of("attempt"));
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
            secrets: false,
            entitlements: true,
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
