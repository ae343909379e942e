//! What signs an endpoint's requests and what they carry: keys of both kinds that rotate with an overlap, a signature of an
//! older kind, own headers, and the headers of an attempt that are kept.

use std::collections::BTreeMap;

use postern_domain::legacy_signature::{Algorithm, Encoding, Scheme, Secret as LegacySecret};
use postern_domain::outcome::Cause;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::{self, MasterKeys, Place};
use postern_domain::signature::{SigningKey, Version};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Caller, EndpointChange, EndpointCreate, EndpointGet, EndpointPatch, EndpointSecret, EndpointUpdate,
    Report, Secret,
};
use postern_domain::wire::lane::{Lane, SealedPart};
use postern_domain::wire::report::{LaneReport, SendResult};
use postern_domain::wire::signing::{
    AttemptHeaders, EndpointHeadersGet, EndpointHeadersPatch, EndpointHeadersPut, EndpointSecretRotate,
    LegacyChange, PublicKeys, SigningChange,
};
use postern_domain::wire::{DeliveryStatus, EndpointView, Trigger};
use postern_ledger::sql::Sql;
use postern_tests::tenant::{
    Answer, MASTER_KEYS, Out, Tenant, code, endpoint_config, idempotency, number_of,
};
use serde_json::json;

const PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const HMAC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HOUR: u64 = 3_600_000;

fn signatures(kinds: &[Version]) -> SigningChange {
    SigningChange {
        signatures: Some(kinds.to_vec()),
        legacy: None,
    }
}

fn make(tenant: &mut Tenant, secret: Option<&str>, signing: SigningChange) -> Result<EndpointView, Problem> {
    tenant.call(EndpointCreate {
        config: endpoint_config(json!({})),
        secret: secret.map(str::to_owned),
        signing,
        idempotency: None,
    })
}

fn secret(tenant: &mut Tenant, endpoint: &EndpointView) -> Secret {
    let endpoint = endpoint.id.to_string();
    tenant.call(EndpointSecret { endpoint }).unwrap()
}

fn rotate(
    tenant: &mut Tenant,
    endpoint: &EndpointView,
    key: Option<&str>,
    grace: u32,
) -> Result<(), Problem> {
    tenant.call(EndpointSecretRotate {
        endpoint: endpoint.id.to_string(),
        key: key.map(str::to_owned),
        grace_seconds: grace,
        idempotency: None,
    })
}

fn patch(
    tenant: &mut Tenant,
    endpoint: &EndpointView,
    signing: SigningChange,
) -> Result<EndpointView, Problem> {
    tenant.call(EndpointPatch {
        endpoint: endpoint.id.to_string(),
        change: EndpointChange {
            signing,
            ..EndpointChange::default()
        },
    })
}

/// The lane of one message that is published now.
fn lane(tenant: &mut Tenant) -> Lane {
    let _ = tenant.lanes(); // what was handed out again meanwhile
    tenant.publish();
    let lanes = tenant.lanes();
    assert_eq!(lanes.len(), 1);
    lanes.into_iter().next().unwrap().0
}

fn open(lane: &Lane, column: &str, part: &SealedPart) -> Vec<u8> {
    let place = Place {
        tenant: lane.tenant,
        table: "endpoint",
        column,
        row: lane.endpoint.0.sequence,
        generation: part.generation,
    };
    let keys = MasterKeys::parse(MASTER_KEYS).unwrap();
    keys.open(&place, &seal::from_text(&part.sealed).unwrap())
        .unwrap()
}

/// The keys that sign a message that is published now, as their owner writes them.
fn signing_keys(tenant: &mut Tenant) -> Vec<String> {
    let lane = lane(tenant);
    let symmetric = lane.keys.iter().map(|part| {
        let plain = open(&lane, "secret", part);
        SigningKey::from_bytes(&plain).unwrap().to_text()
    });
    let asymmetric = lane.asymmetric_keys.iter().map(|part| {
        let plain = open(&lane, "asymmetric", part);
        SigningKey::asymmetric_from_bytes(&plain).unwrap().to_text()
    });
    symmetric.chain(asymmetric).collect()
}

fn stored(tenant: &Tenant) -> String {
    let rows = tenant.storage.rows("SELECT * FROM endpoint", &[]).unwrap();
    format!("{rows:?}")
}

#[test]
fn an_endpoint_has_one_symmetric_key_if_nothing_is_said() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, None, SigningChange::default()).unwrap();
    assert_eq!(endpoint.signatures, [Version::V1]);
    let secret = secret(&mut tenant, &endpoint);
    assert!(secret.key.starts_with("whsec_") && secret.public_key.is_none());
    assert_eq!(signing_keys(&mut tenant), [secret.key]);
}

#[test]
fn an_endpoint_that_asks_for_both_kinds_has_a_key_of_each_and_both_sign() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, None, signatures(&[Version::V1a, Version::V1])).unwrap();
    assert_eq!(endpoint.signatures, [Version::V1, Version::V1a]);
    let secret = secret(&mut tenant, &endpoint);
    let keys = signing_keys(&mut tenant);
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], secret.key);
    let public = SigningKey::parse(&keys[1]).unwrap().public().unwrap().to_text();
    assert_eq!(secret.public_key, Some(public));
}

#[test]
fn an_asymmetric_secret_is_taken_and_only_its_public_half_is_shown() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(PAIR), SigningChange::default()).unwrap();
    assert_eq!(endpoint.signatures, [Version::V1a]);
    let secret = secret(&mut tenant, &endpoint);
    assert_eq!(
        (secret.key.as_str(), secret.public_key.as_deref()),
        (PUBLIC, Some(PUBLIC))
    );
    assert_eq!(signing_keys(&mut tenant), [PAIR]);
    tenant.evict();
    assert_eq!(signing_keys(&mut tenant), [PAIR]);
}

#[test]
fn a_secret_of_a_kind_that_is_not_wanted_is_refused_and_nothing_is_made() {
    let mut tenant = Tenant::new();
    for (secret, kinds) in [
        (PAIR, vec![Version::V1]),
        (HMAC, vec![Version::V1a]),
        (HMAC, vec![]),
    ] {
        let refused = make(&mut tenant, Some(secret), signatures(&kinds));
        assert_eq!(code(refused), Code::Validation);
    }
    assert_eq!(tenant.count("endpoint"), 0);
}

#[test]
fn a_kind_that_is_added_gets_a_key_and_one_that_is_taken_away_ends_at_once() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    let both = patch(&mut tenant, &endpoint, signatures(&[Version::V1, Version::V1a])).unwrap();
    assert_eq!(both.signatures, [Version::V1, Version::V1a]);
    assert_eq!(signing_keys(&mut tenant)[0], HMAC);
    let asymmetric = signing_keys(&mut tenant)[1].clone();
    patch(&mut tenant, &endpoint, signatures(&[Version::V1, Version::V1a])).unwrap();
    assert_eq!(
        signing_keys(&mut tenant),
        [HMAC.to_owned(), asymmetric.clone()],
        "as it was"
    );
    patch(&mut tenant, &endpoint, signatures(&[Version::V1a])).unwrap();
    assert_eq!(signing_keys(&mut tenant), [asymmetric]);
    assert_eq!(
        code(patch(&mut tenant, &endpoint, signatures(&[]))),
        Code::Validation
    );
}

#[test]
fn after_a_rotation_both_keys_sign_until_the_old_one_ends() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    rotate(&mut tenant, &endpoint, None, 24 * 3600).unwrap();
    let new = secret(&mut tenant, &endpoint).key;
    assert_ne!(new, HMAC);
    assert_eq!(
        signing_keys(&mut tenant),
        [new.clone(), HMAC.to_owned()],
        "the newest first"
    );
    tenant.evict();
    // Without an alarm in between: what no report came for would be handed out again in every minute of the day.
    tenant.now = tenant.now.plus(24 * HOUR - 1000);
    assert_eq!(signing_keys(&mut tenant).len(), 2);
    tenant.pass(1000);
    assert_eq!(signing_keys(&mut tenant), [new]);
}

#[test]
fn without_a_grace_period_the_new_key_alone_signs() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    rotate(&mut tenant, &endpoint, None, 3600).unwrap();
    rotate(&mut tenant, &endpoint, None, 0).unwrap();
    let new = secret(&mut tenant, &endpoint).key;
    assert_eq!(signing_keys(&mut tenant), [new]);
}

#[test]
fn a_rotation_ends_no_key_earlier_than_was_promised() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    rotate(&mut tenant, &endpoint, None, 7200).unwrap();
    rotate(&mut tenant, &endpoint, None, 60).unwrap();
    tenant.pass(HOUR);
    let keys = signing_keys(&mut tenant);
    assert_eq!((keys.len(), keys[1].as_str()), (2, HMAC));
}

#[test]
fn an_eleventh_old_key_is_refused_until_one_has_ended() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, None, SigningChange::default()).unwrap();
    for _ in 0..10 {
        rotate(&mut tenant, &endpoint, None, 3600).unwrap();
    }
    let before = secret(&mut tenant, &endpoint);
    assert_eq!(code(rotate(&mut tenant, &endpoint, None, 3600)), Code::BadRequest);
    assert_eq!(secret(&mut tenant, &endpoint), before);
    assert_eq!(signing_keys(&mut tenant).len(), 11);
    tenant.pass(HOUR);
    rotate(&mut tenant, &endpoint, None, 3600).unwrap();
    assert_eq!(signing_keys(&mut tenant).len(), 2);
    assert_eq!(
        stored(&tenant).matches("sealed").count(),
        2,
        "what has ended is forgotten"
    );
}

#[test]
fn a_key_of_the_other_kind_takes_the_place_of_the_one_that_stands_alone() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    rotate(&mut tenant, &endpoint, Some(PAIR), 3600).unwrap();
    assert_eq!(secret(&mut tenant, &endpoint).key, PUBLIC);
    assert_eq!(signing_keys(&mut tenant), [HMAC, PAIR]);
    tenant.pass(HOUR);
    assert_eq!(signing_keys(&mut tenant), [PAIR]);
}

#[test]
fn of_an_endpoint_with_both_kinds_both_rotate_or_the_one_that_a_key_is_given_for() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), signatures(&[Version::V1, Version::V1a])).unwrap();
    rotate(&mut tenant, &endpoint, Some(PAIR), 0).unwrap();
    assert_eq!(signing_keys(&mut tenant), [HMAC, PAIR]);
    rotate(&mut tenant, &endpoint, None, 3600).unwrap();
    let keys = signing_keys(&mut tenant);
    assert_eq!((keys.len(), keys[1].as_str(), keys[3].as_str()), (4, HMAC, PAIR));
}

#[test]
fn a_rotation_with_the_same_idempotency_key_is_done_once() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, None, SigningChange::default()).unwrap();
    let call = EndpointSecretRotate {
        endpoint: endpoint.id.to_string(),
        key: None,
        grace_seconds: 3600,
        idempotency: Some(idempotency("rotate", "{}")),
    };
    tenant.call(call.clone()).unwrap();
    let after = secret(&mut tenant, &endpoint);
    tenant.call(call).unwrap();
    assert_eq!(secret(&mut tenant, &endpoint), after);
}

#[test]
fn a_key_that_cannot_be_one_is_refused_and_the_old_one_stays() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    assert_eq!(
        code(rotate(&mut tenant, &endpoint, Some("whsk_AAAA"), 0)),
        Code::Validation
    );
    assert_eq!(secret(&mut tenant, &endpoint).key, HMAC);
}

#[test]
fn public_keys_are_told_to_anybody_with_those_that_are_ending_and_nothing_secret() {
    let mut tenant = Tenant::new();
    make(&mut tenant, None, SigningChange::default()).unwrap();
    let endpoint = make(&mut tenant, Some(PAIR), SigningChange::default()).unwrap();
    let ask = |tenant: &mut Tenant| {
        let (set, _) = tenant.call_as(Caller::System, PublicKeys {}, &[]).unwrap();
        set.keys
    };
    let first = ask(&mut tenant);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].x, "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4");
    assert!(first[0].kid.starts_with(&format!("{}.", endpoint.id)));
    rotate(&mut tenant, &endpoint, None, 3600).unwrap();
    let both = ask(&mut tenant);
    assert_eq!((both.len(), &both[1]), (2, &first[0]));
    assert_ne!(both[0].kid, both[1].kid);
    tenant.pass(HOUR);
    assert_eq!(ask(&mut tenant), both[..1]);
    tenant.delete(number_of(&endpoint));
    assert_eq!(ask(&mut tenant), []);
}

#[test]
fn a_key_of_a_kind_that_comes_back_has_a_name_of_its_own() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, None, signatures(&[Version::V1, Version::V1a])).unwrap();
    let kid = |tenant: &mut Tenant| {
        let (set, _) = tenant.call_as(Caller::System, PublicKeys {}, &[]).unwrap();
        set.keys[0].kid.clone()
    };
    let first = kid(&mut tenant);
    tenant.pass(1);
    patch(&mut tenant, &endpoint, signatures(&[Version::V1])).unwrap();
    patch(&mut tenant, &endpoint, signatures(&[Version::V1, Version::V1a])).unwrap();
    assert_ne!(kid(&mut tenant), first);
}

fn legacy(secret: Option<&str>, prefix: &str) -> LegacyChange {
    LegacyChange {
        scheme: Scheme {
            header: "X-Webhook-Signature".to_owned(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: prefix.to_owned(),
            template: None,
            value: None,
        },
        secret: secret.map(|text| LegacySecret::parse(text).unwrap()),
    }
}

fn with_legacy(change: Option<LegacyChange>) -> SigningChange {
    SigningChange {
        signatures: None,
        legacy: Some(change),
    }
}

#[test]
fn a_signature_of_an_older_kind_travels_sealed_and_is_never_read_back() {
    let mut tenant = Tenant::new();
    let text = "the secret of the old days";
    let endpoint = make(
        &mut tenant,
        None,
        with_legacy(Some(legacy(Some(text), "sha256="))),
    )
    .unwrap();
    assert_eq!(endpoint.legacy.clone().unwrap().hint, "days");
    let shown = serde_json::to_string(&endpoint).unwrap();
    assert!(!shown.contains(text) && !shown.contains("sealed"), "{shown}");
    assert!(!stored(&tenant).contains(text));
    tenant.evict();
    let lane = lane(&mut tenant);
    let part = lane.legacy.clone().unwrap();
    assert_eq!(open(&lane, "legacy", &part.secret), text.as_bytes());
    assert_eq!(part.scheme.prefix, "sha256=");
    assert_eq!(lane.keys.len(), 1, "beside the standard one");
}

#[test]
fn its_secret_stays_when_the_rest_changes_and_null_takes_it_away() {
    let mut tenant = Tenant::new();
    let text = "the secret of the old days";
    let endpoint = make(&mut tenant, None, with_legacy(Some(legacy(Some(text), "a=")))).unwrap();
    let changed = patch(&mut tenant, &endpoint, with_legacy(Some(legacy(None, "b=")))).unwrap();
    assert_eq!(changed.legacy.unwrap().scheme.prefix, "b=");
    let in_lane = lane(&mut tenant);
    let part = in_lane.legacy.clone().unwrap();
    assert_eq!(open(&in_lane, "legacy", &part.secret), text.as_bytes());
    let replaced = tenant.call(EndpointUpdate {
        endpoint: endpoint.id.to_string(),
        config: endpoint_config(json!({"description": "another"})),
        signing: SigningChange::default(),
    });
    assert!(
        replaced.unwrap().value.legacy.is_some(),
        "what is not named stays"
    );
    let gone = patch(&mut tenant, &endpoint, with_legacy(None)).unwrap();
    assert_eq!(gone.legacy, None);
    assert_eq!(lane(&mut tenant).legacy, None);
    let refused = patch(&mut tenant, &endpoint, with_legacy(Some(legacy(None, "c="))));
    assert_eq!(code(refused), Code::Validation);
}

fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn own_headers_are_replaced_changed_and_shown_without_credentials() {
    let mut tenant = Tenant::new();
    let number = tenant.endpoint();
    let endpoint = tenant.endpoint_id(number);
    let show = |tenant: &mut Tenant, endpoint: &str| {
        let endpoint = endpoint.to_owned();
        tenant.call(EndpointHeadersGet { endpoint }).unwrap()
    };
    assert_eq!(show(&mut tenant, &endpoint).headers, headers(&[]));
    let put = EndpointHeadersPut {
        endpoint: endpoint.clone(),
        headers: headers(&[
            ("Authorization", "Bearer hidden"),
            ("X-Shop", "7"),
            ("X-Old", "1"),
        ]),
    };
    tenant.call(put).unwrap();
    let view = show(&mut tenant, &endpoint);
    assert_eq!(view.headers, headers(&[("X-Shop", "7"), ("X-Old", "1")]));
    assert_eq!(view.sensitive, ["Authorization"]);
    assert!(!stored(&tenant).contains("hidden"));

    let change = [("x-shop", Some("8")), ("x-old", None), ("X-New", Some("2"))];
    let change = change.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    let patch = EndpointHeadersPatch {
        endpoint: endpoint.clone(),
        headers: change.into_iter().collect(),
    };
    tenant.call(patch).unwrap();
    tenant.evict();
    let view = show(&mut tenant, &endpoint);
    assert_eq!(view.headers, headers(&[("x-shop", "8"), ("X-New", "2")]));
    let lane = lane(&mut tenant);
    let sent = open(&lane, "headers", lane.headers.as_ref().unwrap());
    assert_eq!(
        serde_json::from_slice::<BTreeMap<String, String>>(&sent).unwrap(),
        headers(&[
            ("Authorization", "Bearer hidden"),
            ("x-shop", "8"),
            ("X-New", "2")
        ])
    );
}

#[test]
fn own_headers_have_a_bound_together() {
    let mut tenant = Tenant::new();
    let number = tenant.endpoint();
    let endpoint = tenant.endpoint_id(number);
    for name in ["X-1", "X-2", "X-3", "X-4", "X-5"] {
        let patch = EndpointHeadersPatch {
            endpoint: endpoint.clone(),
            headers: BTreeMap::from([(name.to_owned(), Some("x".repeat(4000)))]),
        };
        let done = tenant.call(patch);
        assert_eq!(done.is_ok(), name != "X-5", "{name}");
    }
}

fn result(out: &Out, now: Millis, cause: Option<Cause>) -> SendResult {
    SendResult {
        schedule: None,
        message: out.handout.message,
        number: out.handout.number,
        until: out.handout.until,
        trigger: Trigger::Scheduled,
        started_at: now,
        duration_ms: 3,
        waited_ms: 0,
        url: "https://shop.example/hook".to_owned(),
        status: Some(if cause.is_some() { 403 } else { 200 }),
        cause,
        retry_after_ms: None,
        sent_headers: vec![
            ("webhook-id".to_owned(), Some(out.handout.message.to_string())),
            ("Authorization".to_owned(), None),
        ],
        response_headers: vec![("server".to_owned(), "cloudflare".to_owned())],
    }
}

fn report(tenant: &mut Tenant, out: &Out, result: SendResult) {
    let lanes = vec![LaneReport {
        endpoint: out.endpoint,
        results: vec![result],
        last: true,
    }];
    tenant
        .call_as(Caller::System, Report { lanes }, &[b"no".to_vec()])
        .unwrap();
}

#[test]
fn the_headers_of_each_attempt_are_kept_in_its_own_row_and_found_by_its_id() {
    let mut tenant = Tenant::new();
    tenant.endpoint_with(json!({"retrySchedule": [5, 5]}));
    let message = tenant.publish();
    let first = tenant.out();
    let now = tenant.now;
    report(&mut tenant, &first, result(&first, now, Some(Cause::Firewall)));
    let rows = tenant.count("delivery_1") + tenant.count("attempt_1");
    assert_eq!(rows, 1, "no further row");
    let second = tenant.pass_until_out(20_000).remove(0);
    let now = tenant.now;
    report(&mut tenant, &second, result(&second, now, None));
    tenant.evict();

    let attempts = tenant.attempts(message);
    assert_eq!(attempts.len(), 2);
    for attempt in &attempts {
        let call = AttemptHeaders {
            message: message.to_string(),
            attempt: attempt.id.to_string(),
        };
        let found = tenant.call(call).unwrap();
        assert_eq!(
            found.sent[0],
            ("webhook-id".to_owned(), Some(message.to_string()))
        );
        assert_eq!(found.sent[1], ("Authorization".to_owned(), None));
        assert_eq!(
            found.response,
            Some(vec![("server".to_owned(), "cloudflare".to_owned())])
        );
    }
}

#[test]
fn an_attempt_of_another_message_is_not_found() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let one = tenant.publish();
    let other = tenant.publish();
    for out in tenant.outs() {
        tenant.report(&out, Answer::Ok);
    }
    let attempt = tenant.attempts(one)[0].id.to_string();
    let ask = |tenant: &mut Tenant, message: String, attempt: &str| {
        let attempt = attempt.to_owned();
        tenant.call(AttemptHeaders { message, attempt })
    };
    let found = ask(&mut tenant, one.to_string(), &attempt).unwrap();
    assert_eq!(
        (found.sent, found.response),
        (vec![], None),
        "nothing was told of them"
    );
    assert_eq!(
        code(ask(&mut tenant, other.to_string(), &attempt)),
        Code::NotFound
    );
    let (head, last) = attempt.split_at(attempt.len() - 1);
    let altered = format!("{head}{}", if last == "0" { "1" } else { "0" });
    assert_eq!(code(ask(&mut tenant, one.to_string(), &altered)), Code::NotFound);
    assert_eq!(code(ask(&mut tenant, one.to_string(), "atmpt_1")), Code::NotFound);
}

#[test]
fn headers_that_are_too_long_are_cut_at_a_whole_one() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    let mut result = result(&out, tenant.now, None);
    result.response_headers = (0..100).map(|n| (format!("x-{n}"), "\"".repeat(100))).collect();
    report(&mut tenant, &out, result);
    let attempt = tenant.attempts(message)[0].id.to_string();
    let call = AttemptHeaders {
        message: message.to_string(),
        attempt,
    };
    let kept = tenant.call(call).unwrap().response.unwrap();
    assert!((5..20).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[4], ("x-4".to_owned(), "\"".repeat(100)));
}

#[test]
fn an_attempt_says_its_cause_whole_and_where_its_delivery_stands() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5]}));
    let message = tenant.publish();
    let out = tenant.out();
    let now = tenant.now;
    report(&mut tenant, &out, result(&out, now, Some(Cause::Firewall)));
    let attempt = tenant.attempts(message).remove(0);
    assert_eq!(attempt.cause, Some(Cause::Firewall));
    assert_eq!(attempt.delivery, Some(DeliveryStatus::Waiting));
    assert!(attempt.next_attempt.is_some());
    tenant.disable(endpoint, true);
    assert_eq!(
        tenant.attempts(message)[0].delivery,
        Some(DeliveryStatus::Cancelled)
    );

    let other = tenant.endpoint_with(json!({"retrySchedule": []}));
    let message = tenant.publish();
    let out = tenant.out();
    assert_eq!(out.endpoint, other);
    let now = tenant.now;
    report(&mut tenant, &out, result(&out, now, Some(Cause::TooLarge)));
    assert_eq!(tenant.attempts(message)[0].delivery, Some(DeliveryStatus::Failed));
}

#[test]
fn what_the_release_before_stored_is_read_as_it_is() {
    let mut tenant = Tenant::new();
    let endpoint = make(&mut tenant, Some(HMAC), SigningChange::default()).unwrap();
    // As it writes an endpoint: it knows neither column, and writes a configuration and keys without new fields.
    tenant
        .storage
        .run("UPDATE endpoint SET asymmetric = NULL, legacy = NULL", &[])
        .unwrap();
    let keys = tenant
        .storage
        .row("SELECT keys FROM endpoint", &[])
        .unwrap()
        .unwrap();
    let keys: serde_json::Value = serde_json::from_str(&keys.text(0).unwrap()).unwrap();
    let mut fields: Vec<&str> = keys[0].as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["generation", "sealed"], "what it reads is what it wrote");
    tenant.evict();
    let endpoint = endpoint.id.to_string();
    let view = tenant.call(EndpointGet { endpoint }).unwrap();
    assert_eq!((view.signatures, view.legacy), (vec![Version::V1], None));
    assert_eq!(signing_keys(&mut tenant), [HMAC]);
}
