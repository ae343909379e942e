//! Telling a tenant's object what became of its deliveries.

use postern_domain::problem::Problem;
use postern_domain::wire::call::{Caller, Report};
use postern_platform::deadline::pause;
use postern_platform::log;
use postern_platform::tenant::TenantObject;
use serde_json::json;
use worker::Env;

use super::results::Due;
use super::schedules;

/// Waits before each further try.
const WAITS_MS: [u64; 3] = [250, 1_000, 4_000];

/// For one try.
const DEADLINE_MS: u64 = 5_000;

/// Reports, a few times if need be, and gives back the lanes that came with the answer, as frames. A report that stays
/// unheard is given up: the leases cover its deliveries, and they are sent again.
pub(super) async fn report(env: &Env, due: Due) -> Vec<Vec<u8>> {
    let Due {
        tenant,
        mut report,
        bodies,
        types,
    } = due;
    schedules::add(env, tenant, &mut report, types).await;
    let object = TenantObject::new(env, tenant, Caller::System);
    let mut waits = WAITS_MS.iter();
    loop {
        let call: Report = report.clone();
        let problem = match object.call_within(DEADLINE_MS, call, &bodies).await {
            Ok((_, lanes)) => return lanes,
            Err(problem) => problem,
        };
        let wait = waits.next().filter(|_| may_be_heard_later(&problem));
        let Some(wait) = wait else {
            let results: usize = report.lanes.iter().map(|lane| lane.results.len()).sum();
            let fields = json!({ "tenant": tenant, "results": results, "cause": problem.to_string() });
            log::error("report_given_up", fields);
            return Vec::new();
        };
        pause(*wait).await;
    }
}

/// A refusal (the tenant is gone) stays one.
fn may_be_heard_later(problem: &Problem) -> bool {
    problem.code.status() >= 500
}

#[cfg(test)]
mod tests {
    use postern_domain::problem::Code;

    use super::*;

    #[test]
    fn a_report_is_tried_again_after_a_failure_and_not_after_a_refusal() {
        assert!(may_be_heard_later(&Problem::internal("x")));
        assert!(may_be_heard_later(&Problem::new(Code::Overloaded, "x")));
        assert!(!may_be_heard_later(&Problem::not_found()));
    }
}
