//! A new master key: what the old one sealed is sealed anew, so that the old one can go.

use postern_domain::entitlement::Config;
use postern_domain::legacy_signature::{Algorithm, Encoding, Scheme, Secret as LegacySecret};
use postern_domain::problem::Code;
use postern_domain::seal::{self, MasterKeys, Place};
use postern_domain::signature::Version;
use postern_domain::wire::call::{
    Caller, EndpointCreate, EndpointDelete, EndpointSecret, PageOf, SourceByToken, SourceCreate, SourceGet,
    SourceList,
};
use postern_domain::wire::entitlement::EntitlementConfigPut;
use postern_domain::wire::inbound::{HandshakeEffect, SourceCaptured, SourceHandshake, SourceOptions};
use postern_domain::wire::lane::SealedPart;
use postern_domain::wire::moving::{ExportFrom, ExportPage};
use postern_domain::wire::poll::{PollerTokenGet, PollerTokenRotate};
use postern_domain::wire::reseal::{Reseal, Resealed};
use postern_domain::wire::signing::{EndpointSecretRotate, LegacyChange, SigningChange};
use postern_ledger::{Ledger, Settings};
use postern_tests::tenant::{MASTER_KEYS, Tenant, code, endpoint_config};
use serde_json::{Value, json};

const OTHER: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// Both keys, the new one first.
fn both() -> String {
    format!("{OTHER},{MASTER_KEYS}")
}

/// The object wakes up in a deployment with these master keys.
fn deploy(tenant: &mut Tenant, keys: &str) {
    let keys = MasterKeys::parse(keys).unwrap();
    tenant.ledger = Ledger::new(tenant.storage.clone(), Some(keys), Settings::default());
    tenant.ledger.alarm_is(tenant.storage.native().alarm());
}

fn reseal(tenant: &mut Tenant) -> Resealed {
    tenant.call_as(Caller::System, Reseal {}, &[]).unwrap().0
}

/// What a turn answers that leaves nothing under another key than the second.
const DONE: Resealed = Resealed {
    active: 2,
    more: false,
    other: None,
};

/// The master keys of everything that is sealed in the storage, wherever it stands, with how many values each has.
fn versions(tenant: &Tenant) -> Vec<(u8, usize)> {
    let dump = tenant.storage.dump();
    let tokens = tenant.count("poller_token");
    let mut sealed: Vec<String> = dump
        .split("\"sealed\":\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let mut statement = tenant
        .storage
        .native()
        .connection()
        .prepare("SELECT sealed FROM poller_token")
        .unwrap();
    let of_tokens = statement.query_map([], |row| row.get(0)).unwrap();
    sealed.extend(of_tokens.map(|text| text.unwrap()));
    assert!(sealed.len() >= usize::try_from(tokens).unwrap());
    let mut counts = std::collections::BTreeMap::new();
    for text in sealed {
        let version = seal::version_of(&seal::from_text(&text).unwrap()).unwrap();
        *counts.entry(version).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn id_of_source(tenant: &mut Tenant, at: usize) -> String {
    let page = PageOf {
        limit: 50,
        iterator: None,
        ascending: true,
    };
    tenant.call(SourceList { page }).unwrap().data[at].id.to_string()
}

/// Every kind of secret that there is.
struct Everything {
    endpoint: String,
    poller: String,
    source: String,
    captured: String,
}

/// Makes them: 13 values.
fn everything(tenant: &mut Tenant) -> Everything {
    let scheme = Scheme {
        header: "X-Webhook-Signature".to_owned(),
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        prefix: String::new(),
        template: None,
        value: None,
    };
    let secret = LegacySecret::parse("the secret of the old days").unwrap();
    let signing = SigningChange {
        signatures: Some(vec![Version::V1, Version::V1a]),
        legacy: Some(Some(LegacyChange {
            scheme,
            secret: Some(secret),
        })),
    };
    let mut config = endpoint_config(json!({}));
    config.headers = [("authorization".to_owned(), "Bearer of the endpoint".to_owned())].into();
    let create = EndpointCreate {
        config,
        secret: None,
        signing,
        idempotency: None,
    };
    let endpoint = tenant.call(create).unwrap().id.to_string();
    // A second key of each kind beside the first.
    tenant
        .call(EndpointSecretRotate {
            endpoint: endpoint.clone(),
            key: None,
            grace_seconds: 3600,
            idempotency: None,
        })
        .unwrap();
    let poller = json!({"url": "postern:poller", "kind": "polling"});
    let poller = tenant.make_endpoint(poller).unwrap().id.to_string();
    tenant
        .call(PollerTokenRotate {
            endpoint: poller.clone(),
            expiry_seconds: None,
            old_expiry_seconds: 60,
        })
        .unwrap();
    tenant.source();
    let waiting = SourceCreate {
        name: "asana".to_owned(),
        provider: "asana".to_owned(),
        uid: None,
        config: json!({}),
        secrets: Vec::new(),
        terms: Vec::new(),
        options: SourceOptions::default(),
        idempotency: None,
    };
    tenant.call(waiting).unwrap();
    let handshake = SourceHandshake {
        source: 2,
        effect: HandshakeEffect::Capture("what the handshake brought".to_owned()),
    };
    tenant.call_as(Caller::Ingest, handshake, &[]).unwrap();
    tenant
        .call(EntitlementConfigPut {
            config: Config::default(),
            stripe_api_key: Some(Some("rk_live_0123456789abcdef".to_owned())),
            revenuecat_api_key: Some(Some("sk_of_revenuecat_1".to_owned())),
            revenuecat_v2_api_key: Some(Some("sk_of_revenuecat_2".to_owned())),
            ..EntitlementConfigPut::default()
        })
        .unwrap();
    Everything {
        endpoint,
        poller,
        source: id_of_source(tenant, 0),
        captured: id_of_source(tenant, 1),
    }
}

/// All of it in clear, as its owner and the consumer would see it.
fn opened(tenant: &mut Tenant, all: &Everything) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut from = Some(ExportFrom::START);
    while let Some(place) = from {
        let call = ExportPage {
            from: place,
            through: None,
            secrets: true,
            entitlements: true,
        };
        let caller = Caller::Organisation(tenant.organisation);
        let (page, bodies) = tenant.call_as(caller, call, &[]).unwrap();
        lines.extend(bodies.iter().map(|line| serde_json::from_slice(line).unwrap()));
        from = page.next;
    }
    let secret = EndpointSecret {
        endpoint: all.endpoint.clone(),
    };
    lines.push(json!(tenant.call(secret).unwrap().key));
    let token = PollerTokenGet {
        endpoint: all.poller.clone(),
    };
    lines.push(json!(tenant.call(token).unwrap().token));
    for source in [&all.source, &all.captured] {
        let source = source.clone();
        lines.push(json!(tenant.call(SourceGet { source }).unwrap().token));
    }
    let captured = SourceCaptured {
        source: all.captured.clone(),
    };
    lines.push(json!(tenant.call(captured).unwrap().key));
    lines
}

#[test]
fn every_kind_of_secret_is_sealed_anew_and_opens_without_the_old_key() {
    let mut tenant = Tenant::new();
    let all = everything(&mut tenant);
    let clear = opened(&mut tenant, &all);
    let text = serde_json::to_string(&clear).unwrap();
    for secret in [
        "Bearer of the endpoint",
        "whsec_a_secret_of_the_shop",
        "what the handshake brought",
        "rk_live_0123456789abcdef",
        "sk_of_revenuecat_1",
        "sk_of_revenuecat_2",
    ] {
        assert!(text.contains(secret), "{secret} is looked at");
    }
    let values = versions(&tenant);
    assert_eq!(
        values.iter().map(|(version, _)| *version).collect::<Vec<_>>(),
        [1]
    );
    assert!(values[0].1 >= 15, "{values:?}");

    deploy(&mut tenant, &both());
    assert_eq!(reseal(&mut tenant), DONE);
    assert_eq!(versions(&tenant), [(2, values[0].1)]);
    assert_eq!(opened(&mut tenant, &all), clear, "from memory");

    deploy(&mut tenant, OTHER);
    assert_eq!(
        opened(&mut tenant, &all),
        clear,
        "from storage, without the old key"
    );
    assert_eq!(tenant.ledger.take_notices(), []);
}

#[test]
fn what_leaves_afterwards_is_sealed_with_the_new_key() {
    let mut tenant = Tenant::new();
    everything(&mut tenant);
    deploy(&mut tenant, &both());
    reseal(&mut tenant);
    tenant.publish();
    let (lane, ..) = tenant.lanes().remove(0);
    let keys = MasterKeys::parse(OTHER).unwrap();
    let open = |column: &str, part: &SealedPart| {
        let place = Place {
            tenant: lane.tenant,
            table: "endpoint",
            column,
            row: lane.endpoint.0.sequence,
            generation: part.generation,
        };
        let blob = seal::from_text(&part.sealed).unwrap();
        keys.open(&place, &blob).unwrap()
    };
    for (column, parts) in [("secret", &lane.keys), ("asymmetric", &lane.asymmetric_keys)] {
        assert_eq!(parts.len(), 2);
        for part in parts {
            assert!(open(column, part).len() >= 24);
        }
    }
    let legacy = lane.legacy.as_ref().unwrap();
    assert_eq!(open("legacy", &legacy.secret), b"the secret of the old days");
    let headers = open("headers", lane.headers.as_ref().unwrap());
    assert!(
        String::from_utf8(headers)
            .unwrap()
            .contains("Bearer of the endpoint")
    );
}

#[test]
fn without_a_new_key_nothing_is_written() {
    let mut tenant = Tenant::new();
    everything(&mut tenant);
    let (stored, writes) = (tenant.storage.dump(), tenant.storage.writes());
    let nothing = Resealed { active: 1, ..DONE };
    assert_eq!(reseal(&mut tenant), nothing);
    // An old key that is there still, and that nothing needs.
    deploy(&mut tenant, &format!("{MASTER_KEYS},{OTHER}"));
    assert_eq!(reseal(&mut tenant), nothing);
    assert_eq!(tenant.storage.writes(), writes);
    assert_eq!(tenant.storage.dump(), stored);
}

#[test]
fn asked_again_it_writes_nothing_more() {
    let mut tenant = Tenant::new();
    everything(&mut tenant);
    deploy(&mut tenant, &both());
    reseal(&mut tenant);
    let writes = tenant.storage.writes();
    assert_eq!(reseal(&mut tenant), DONE);
    assert_eq!(tenant.storage.writes(), writes);
}

#[test]
fn a_turn_writes_a_hundred_rows_and_an_eviction_between_two_loses_nothing() {
    let mut tenant = Tenant::new();
    for _ in 0..140 {
        tenant.endpoint();
    }
    for _ in 0..90 {
        tenant.source();
    }
    deploy(&mut tenant, &both());
    let left = |tenant: &Tenant| {
        let counts = versions(tenant);
        counts
            .iter()
            .find(|(version, _)| *version == 1)
            .map_or(0, |(_, count)| *count)
    };
    assert_eq!(left(&tenant), 140 + 2 * 90);
    let more = Resealed { more: true, ..DONE };
    assert_eq!(reseal(&mut tenant), more);
    assert_eq!(left(&tenant), 40 + 2 * 90);
    deploy(&mut tenant, &both());
    assert_eq!(reseal(&mut tenant), more);
    assert_eq!(left(&tenant), 2 * 30);
    deploy(&mut tenant, &both());
    assert_eq!(reseal(&mut tenant), DONE);
    assert_eq!(left(&tenant), 0);
}

#[test]
fn a_turn_that_cannot_be_written_leaves_all_as_it_was() {
    let mut tenant = Tenant::new();
    let all = everything(&mut tenant);
    let clear = opened(&mut tenant, &all);
    let stored = tenant.storage.dump();
    deploy(&mut tenant, &both());
    for writes in 0..3 {
        tenant.storage.fail_in_writes(Some(writes));
        let failed = tenant.call_as(Caller::System, Reseal {}, &[]);
        assert_eq!(code(failed), Code::Internal);
        assert_eq!(tenant.storage.dump(), stored);
        assert_eq!(opened(&mut tenant, &all), clear);
    }
    assert_eq!(reseal(&mut tenant), DONE);
}

#[test]
fn a_value_that_does_not_open_stays_and_is_told_and_keeps_no_other_waiting() {
    let mut tenant = Tenant::new();
    for _ in 0..3 {
        tenant.endpoint();
    }
    // One key stands where another's should.
    let sql = tenant.storage.native().connection();
    sql.execute(
        "UPDATE endpoint SET keys = (SELECT keys FROM endpoint WHERE number = 1) WHERE number = 2",
        [],
    )
    .unwrap();
    let keys = |tenant: &Tenant| -> String {
        let sql = tenant.storage.native().connection();
        sql.query_row("SELECT keys FROM endpoint WHERE number = 2", [], |row| row.get(0))
            .unwrap()
    };
    let broken = keys(&tenant);
    deploy(&mut tenant, &both());
    for _ in 0..2 {
        let other = Some(1);
        assert_eq!(reseal(&mut tenant), Resealed { other, ..DONE });
        let notices = tenant.ledger.take_notices();
        let [notice] = notices.as_slice() else {
            panic!("{notices:?}")
        };
        assert_eq!(notice.event, "not_sealed_anew");
        assert!(
            notice.detail.contains("endpoint 2, secret, master key 1"),
            "{notice:?}"
        );
    }
    assert_eq!(keys(&tenant), broken);
    assert_eq!(versions(&tenant), [(1, 1), (2, 2)]);
    // Once it is deleted, nothing needs the old key.
    let endpoint = tenant.endpoint_id(2);
    tenant.call(EndpointDelete { endpoint }).unwrap();
    assert_eq!(reseal(&mut tenant), DONE);
}

#[test]
fn a_key_that_was_taken_away_too_early_is_told_and_nothing_is_lost() {
    let mut tenant = Tenant::new();
    let all = everything(&mut tenant);
    let clear = opened(&mut tenant, &all);
    let stored = tenant.storage.dump();
    deploy(&mut tenant, OTHER);
    let other = Some(1);
    assert_eq!(reseal(&mut tenant), Resealed { other, ..DONE });
    let notices = tenant.ledger.take_notices();
    assert!(notices[0].detail.contains("not configured"), "{notices:?}");
    assert_eq!(tenant.storage.dump(), stored);
    deploy(&mut tenant, &both());
    assert_eq!(reseal(&mut tenant), DONE);
    deploy(&mut tenant, OTHER);
    assert_eq!(opened(&mut tenant, &all), clear);
}

#[test]
fn webhooks_are_let_in_by_the_same_address_while_it_goes_on() {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    let id = id_of_source(&mut tenant, 0);
    let token = tenant.call(SourceGet { source: id }).unwrap().token;
    let token: postern_domain::id::IngestToken = token.parse().unwrap();
    let token_hash = postern_domain::digest::of(&token.random);
    deploy(&mut tenant, &both());
    reseal(&mut tenant);
    let call = SourceByToken { source, token_hash };
    let (found, _) = tenant.call_as(Caller::Ingest, call, &[]).unwrap();
    let blob = seal::from_text(&found.secrets[0].sealed).unwrap();
    assert_eq!(seal::version_of(&blob), Some(2));
}

#[test]
fn nobody_may_ask_for_it_by_an_ingest_token_or_in_the_name_of_another() {
    let mut tenant = Tenant::new();
    let other = Caller::Organisation(postern_domain::id::OrganisationId([9; 20]));
    for caller in [Caller::Ingest, other] {
        let asked = tenant.call_as(caller, Reseal {}, &[]);
        assert_eq!(code(asked), Code::NotFound);
    }
}

#[test]
fn an_object_without_master_keys_refuses() {
    let mut tenant = Tenant::new();
    tenant.ledger = Ledger::new(tenant.storage.clone(), None, Settings::default());
    let asked = tenant.call_as(Caller::System, Reseal {}, &[]);
    assert_eq!(code(asked), Code::SealingUnavailable);
}
