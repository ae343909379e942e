//! Endpoints that name a connection: the lane says whose token its requests carry, and a token that is not there is no
//! fault of the endpoint's.

use postern_domain::id::ConnectionId;
use postern_domain::outcome::Cause;
use postern_domain::problem::Code;
use postern_domain::wire::EndpointConfig;
use postern_domain::wire::call::{EndpointChange, EndpointGet, EndpointPatch, EndpointUpdate};
use postern_domain::wire::lane::Lane;
use postern_domain::wire::report::LaneReport;
use postern_tests::tenant::{Answer, Out, Stand, Tenant, code, endpoint_config, result_of};
use serde_json::json;

fn connection(byte: u8) -> ConnectionId {
    serde_json::from_value(json!(format!("conn_{}{byte}", "0".repeat(26)))).unwrap()
}

fn named(tenant: &mut Tenant, endpoint: u32) -> Option<ConnectionId> {
    let endpoint = tenant.endpoint_id(endpoint);
    tenant
        .call(EndpointGet { endpoint })
        .unwrap()
        .config
        .connection_id
}

fn change(tenant: &mut Tenant, endpoint: u32, to: serde_json::Value) {
    let change: EndpointChange = serde_json::from_value(to).unwrap();
    tenant.patch(endpoint, change);
}

/// The connection of the one lane that leaves.
fn of_lane(tenant: &mut Tenant) -> Option<ConnectionId> {
    tenant.publish();
    let lanes = tenant.lanes();
    assert_eq!(lanes.len(), 1);
    lanes[0].0.connection
}

fn failed(tenant: &mut Tenant, out: &Out, cause: Cause) {
    let mut result = result_of(out, Answer::Broken, tenant.now);
    (result.cause, result.status) = (Some(cause), None);
    tenant.report_results(LaneReport {
        endpoint: out.endpoint,
        results: vec![result],
        last: true,
    });
}

#[test]
fn a_lane_says_which_connection_and_a_change_counts_from_the_next_hand_out_on() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"connectionId": connection(1)}));
    assert_eq!(of_lane(&mut tenant), Some(connection(1)));
    tenant.evict();
    assert_eq!(named(&mut tenant, endpoint), Some(connection(1)));

    change(&mut tenant, endpoint, json!({"connectionId": connection(2)}));
    assert_eq!(of_lane(&mut tenant), Some(connection(2)));
    change(&mut tenant, endpoint, json!({"description": "the same"}));
    assert_eq!(of_lane(&mut tenant), Some(connection(2)));
    change(&mut tenant, endpoint, json!({"connectionId": null}));
    assert_eq!(of_lane(&mut tenant), None);
    assert_eq!(named(&mut tenant, endpoint), None);
}

#[test]
fn what_replaces_an_endpoint_without_a_word_of_it_takes_it_away() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"connectionId": connection(1)}));
    let call = EndpointUpdate {
        endpoint: tenant.endpoint_id(endpoint),
        config: endpoint_config(json!({})),
        signing: serde_json::from_value(json!({})).unwrap(),
    };
    tenant.call(call).unwrap();
    assert_eq!(named(&mut tenant, endpoint), None);
}

#[test]
fn an_endpoint_that_is_polled_has_none() {
    let mut tenant = Tenant::new();
    let polled = json!({"url": "postern:poller", "kind": "polling", "connectionId": connection(1)});
    assert_eq!(code(tenant.make_endpoint(polled)), Code::Validation);
    let sink = tenant
        .make_endpoint(json!({"url": "postern:poller", "kind": "polling"}))
        .unwrap();
    let patch = EndpointPatch {
        endpoint: sink.id.to_string(),
        change: serde_json::from_value(json!({"connectionId": connection(1)})).unwrap(),
    };
    assert_eq!(code(tenant.call(patch)), Code::Validation);
}

#[test]
fn what_an_older_release_wrote_names_none_and_an_older_reader_is_not_hindered() {
    let old: EndpointConfig = serde_json::from_value(json!({"url": "https://shop.example/hook"})).unwrap();
    assert_eq!(old.connection_id, None);
    assert!(!serde_json::to_string(&old).unwrap().contains("connection"));
    let mut tenant = Tenant::new();
    tenant.endpoint();
    tenant.publish();
    let (lane, ..) = tenant.lanes().remove(0);
    let mut text = serde_json::to_value(&lane).unwrap();
    assert_eq!(text.get("connection"), None);
    text["later"] = json!("passed over");
    assert_eq!(serde_json::from_value::<Lane>(text).unwrap().connection, None);
}

#[test]
fn a_delivery_without_a_token_waits_by_the_plan_and_neither_breaker_nor_disabling_count_it() {
    let mut tenant = Tenant::new();
    let settings = json!({
        "connectionId": connection(1), "retrySchedule": [5, 60], "disableAfter": {"failed": 1, "days": 1},
    });
    let endpoint = tenant.endpoint_with(settings);
    let mut messages = Vec::new();
    for _ in 0..12 {
        messages.push(tenant.publish());
        let out = tenant.out();
        failed(&mut tenant, &out, Cause::ConnectionUnavailable);
    }
    for message in &messages {
        assert_eq!(tenant.stand(*message, endpoint).0, Stand::Open);
        let attempts = tenant.attempts(*message);
        assert_eq!(attempts[0].cause, Some(Cause::ConnectionUnavailable));
    }
    assert_eq!(tenant.count("health"), 0);

    // There is a token again: everything that waited arrives.
    for _ in 0..messages.len() {
        for out in tenant.pass_until_out(120_000) {
            assert_eq!(out.endpoint, endpoint);
            tenant.report(&out, Answer::Ok);
        }
        if messages
            .iter()
            .all(|message| tenant.stand(*message, endpoint).0 == Stand::Delivered)
        {
            break;
        }
    }
    for message in messages {
        assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
    }
}

#[test]
fn without_a_token_to_the_end_of_the_plan_it_fails_and_the_endpoint_stays_on() {
    let mut tenant = Tenant::new();
    let settings = json!({
        "connectionId": connection(1), "retrySchedule": [], "disableAfter": {"failed": 1, "days": 1},
    });
    let endpoint = tenant.endpoint_with(settings);
    for _ in 0..3 {
        let message = tenant.publish();
        let out = tenant.out();
        failed(&mut tenant, &out, Cause::ConnectionUnavailable);
        assert_eq!(tenant.stand(message, endpoint).0, Stand::Failed);
    }
    let endpoint = tenant.endpoint_id(endpoint);
    let view = tenant.call(EndpointGet { endpoint }).unwrap();
    assert!(!view.config.disabled);
}

#[test]
fn a_refused_token_is_an_attempt_of_the_plan_like_any_other() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"connectionId": connection(1), "retrySchedule": [5]}));
    let message = tenant.publish();
    let out = tenant.out();
    failed(&mut tenant, &out, Cause::TokenRefused);
    assert_eq!(tenant.stand(message, endpoint), (Stand::Open, 1));
    let again = tenant.pass_until_out(10_000).remove(0);
    tenant.report(&again, Answer::Ok);
    assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 2));
    assert_eq!(
        tenant
            .attempts(message)
            .iter()
            .map(|attempt| attempt.cause)
            .collect::<Vec<_>>(),
        [None, Some(Cause::TokenRefused)]
    );
}
