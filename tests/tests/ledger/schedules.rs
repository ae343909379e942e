//! Which plan a failed delivery goes by: its endpoint's, its event type's, its tenant's, the default.

use postern_domain::schedule::Schedule;
use postern_domain::wire::call::{Caller, Report, TenantSettings};
use postern_domain::wire::report::LaneReport;
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, Out, Stand, Tenant, result_of};
use serde_json::{Value, json};

fn plan(steps: &[u32]) -> Schedule {
    Schedule::new(steps.to_vec()).unwrap()
}

/// The consumer's word on a failed send, with what the directory says of its event type.
fn report(tenant: &mut Tenant, out: &Out, schedule: Option<Schedule>) {
    let mut result = result_of(out, Answer::Broken, tenant.now);
    result.schedule = schedule;
    let lanes = vec![LaneReport {
        endpoint: out.endpoint,
        results: vec![result],
        last: true,
    }];
    tenant
        .call_as(Caller::System, Report { lanes }, &[Vec::new()])
        .unwrap();
}

/// The wait after a first failure, in whole steps of ten seconds; `None`: there is no second try.
fn first_wait(endpoint: Value, own: Option<Schedule>, of_type: Option<Schedule>) -> Option<u64> {
    let own = TenantSettings {
        retry_schedule: own,
        ..TenantSettings::default()
    };
    let mut tenant = Tenant::with(Settings::default(), own);
    let endpoint = tenant.endpoint_with(endpoint);
    let message = tenant.publish();
    let out = tenant.out();
    report(&mut tenant, &out, of_type);
    if tenant.stand(message, endpoint).0 == Stand::Failed {
        return None;
    }
    let next = tenant.attempts(message)[0].next_attempt.unwrap();
    Some((next.since(tenant.now) + 5_000) / 10_000 * 10)
}

#[test]
fn the_endpoints_plan_goes_before_the_types_and_that_before_the_tenants() {
    let of_endpoint = json!({"retrySchedule": [10]});
    let (of_type, of_tenant) = (Some(plan(&[20])), Some(plan(&[40])));
    assert_eq!(
        first_wait(of_endpoint, of_tenant.clone(), of_type.clone()),
        Some(10)
    );
    assert_eq!(first_wait(json!({}), of_tenant.clone(), of_type), Some(20));
    assert_eq!(first_wait(json!({}), of_tenant, None), Some(40));
}

#[test]
fn a_type_without_a_retry_has_one_try() {
    assert_eq!(first_wait(json!({}), Some(plan(&[40])), Some(plan(&[]))), None);
}

#[test]
fn a_later_failure_goes_by_the_types_plan_like_the_first() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let two = Some(plan(&[10, 10]));
    let out = tenant.out();
    report(&mut tenant, &out, two.clone());
    for attempts in 2..=3 {
        let outs = tenant.pass_until_out(30_000);
        report(&mut tenant, &outs[0], two.clone());
        assert_eq!(tenant.stand(message, endpoint).1, attempts);
    }
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Failed);
}

#[test]
fn a_lane_says_whose_it_is_and_each_delivery_its_type_at_first_and_again() {
    let mut tenant = Tenant::new();
    tenant.endpoint_with(json!({"retrySchedule": [10]}));
    tenant.publish();
    let (lane, ..) = tenant.lanes().remove(0);
    assert_eq!(lane.organisation, Some(tenant.organisation));
    assert_eq!(lane.deliveries[0].event_type.as_deref(), Some("invoice.paid"));
    tenant.pass(70_000);
    let again = tenant.out();
    assert_eq!(again.handout.event_type.as_deref(), Some("invoice.paid"));
}
