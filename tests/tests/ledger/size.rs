//! What a ledger does when it fills.

use postern_domain::problem::Code;
use postern_domain::wire::call::{Accept, Caller, TenantSettings};
use postern_ledger::Settings;
use postern_tests::tenant::{Tenant, code};

const CAPACITY: u64 = 10_000_000;

fn small() -> Tenant {
    let settings = Settings {
        capacity_bytes: CAPACITY,
        segment_bytes: CAPACITY / 8,
        ..Settings::default()
    };
    Tenant::with(settings, TenantSettings::default())
}

fn filled(tenant: &Tenant, percent: u64) {
    tenant
        .storage
        .native()
        .pretended_size
        .set(Some(CAPACITY / 100 * percent));
}

fn fullness(tenant: &mut Tenant) -> String {
    tenant.inspect()["fullness"].as_str().unwrap().to_owned()
}

#[test]
fn a_filling_ledger_warns_then_shortens_then_refuses_publishes_and_webhooks_last() {
    let mut tenant = small();
    let source = tenant.source();
    let webhook = |tenant: &mut Tenant| {
        let call = Accept {
            source: Some(source),
            ..tenant.publish_call("charge.succeeded")
        };
        tenant.call_as(Caller::Ingest, call, &[b"1".to_vec()]).map(|_| ())
    };
    let publish = |tenant: &mut Tenant| {
        let call = tenant.publish_call("invoice.paid");
        tenant.accept(call, b"1").map(|_| ())
    };
    for (percent, word, publishes, webhooks) in [
        (69, "ample", true, true),
        (70, "filling", true, true),
        (85, "shortening", true, true),
        (94, "shortening", true, true),
        (95, "refusing", false, true),
        (98, "refusing", false, false),
    ] {
        filled(&tenant, percent);
        let (published, hooked) = (publish(&mut tenant), webhook(&mut tenant));
        assert_eq!(
            (published.is_ok(), hooked.is_ok()),
            (publishes, webhooks),
            "{percent} %"
        );
        assert_eq!(fullness(&mut tenant), word);
        for refused in [published, hooked].into_iter().filter(Result::is_err) {
            assert_eq!(code(refused), Code::LedgerFull);
        }
    }
    let events: Vec<_> = tenant
        .ledger
        .take_notices()
        .into_iter()
        .map(|notice| notice.event)
        .collect();
    assert_eq!(events, ["ledger_filling"; 3], "said once a level");
}

#[test]
fn a_full_ledger_drops_its_oldest_segments_by_itself_and_takes_messages_again() {
    let mut tenant = small();
    let mut messages = Vec::new();
    let body = vec![b'x'; 30_000];
    loop {
        let call = tenant.publish_call("invoice.paid");
        match tenant.accept(call, &body) {
            Ok(accepted) => messages.push(accepted.message.id),
            Err(problem) => {
                assert_eq!(problem.code, Code::LedgerFull);
                break;
            }
        }
        assert!(messages.len() < 1000, "it never fills");
    }
    tenant.pass(130_000);
    let call = tenant.publish_call("invoice.paid");
    tenant.accept(call, &body).unwrap();
    assert_eq!(
        code(tenant.message(messages[0])),
        Code::NotFound,
        "the oldest went"
    );
    assert!(
        tenant.message(*messages.last().unwrap()).is_ok(),
        "the newest stayed"
    );
    let events: Vec<_> = tenant
        .ledger
        .take_notices()
        .into_iter()
        .map(|notice| notice.event)
        .collect();
    assert!(events.contains(&"retention_shortened"));
}

#[test]
fn a_ledger_drops_no_more_than_it_must() {
    let mut tenant = small();
    let mut messages = Vec::new();
    let body = vec![b'x'; 30_000];
    while fullness(&mut tenant) != "shortening" {
        let call = tenant.publish_call("invoice.paid");
        messages.push(tenant.accept(call, &body).unwrap().message.id);
    }
    tenant.endpoint();
    let segments = tenant.count("segment");
    for _ in 0..20 {
        tenant.publish();
        tenant.lanes(); // the queue loses them: the alarm has work
        tenant.pass(61_000);
    }
    assert!(tenant.storage.native().connection().is_autocommit());
    assert!(
        tenant.count("segment") >= segments - 2,
        "{} of {segments}",
        tenant.count("segment")
    );
    tenant.pass(600_000);
    assert!(
        tenant.count("segment") >= segments - 2,
        "{} of {segments}",
        tenant.count("segment")
    );
    let there = messages
        .iter()
        .filter(|id| tenant.stand(**id, 1).0 != postern_tests::tenant::Stand::Gone)
        .count();
    assert!(
        there * 100 >= messages.len() * 65,
        "{there} of {}",
        messages.len()
    );
}

#[test]
fn a_duplicate_is_answered_by_a_full_ledger() {
    let mut tenant = small();
    let source = tenant.source();
    let call = Accept {
        source: Some(source),
        event_id: Some("evt_1".to_owned()),
        ..tenant.publish_call("charge")
    };
    let first = tenant.accept(call.clone(), b"1").unwrap();
    filled(&tenant, 99);
    let again = tenant
        .accept(
            Accept {
                nonce: 1_000_000,
                ..call
            },
            b"1",
        )
        .unwrap();
    assert_eq!((again.message.id, again.duplicate), (first.message.id, true));
}
