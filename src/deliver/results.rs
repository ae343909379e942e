//! Results on their way to their tenants' objects: a tenant's go as soon as its part is done, or a little after the first
//! of them, and never wait for a neighbour that hangs.

use std::collections::BTreeMap;

use postern_domain::id::TenantId;
use postern_domain::wire::call::Report;
use postern_domain::wire::report::{LaneReport, SendResult};

/// Results of one tenant that were not reported yet.
#[derive(Debug, Default)]
struct Unreported {
    results: Vec<(u32, SendResult, Vec<u8>)>,
    /// Deliveries that have no result yet.
    outstanding: usize,
    /// A timer runs for those that are here.
    timed: bool,
}

/// What is to be done after a result came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The tenant's part is done.
    Report,
    /// The first of several: report when a little time has passed.
    StartTimer,
    /// A timer runs already.
    Wait,
}

/// Results of all tenants of an invocation.
#[derive(Debug, Default)]
pub(super) struct Results {
    tenants: BTreeMap<TenantId, Unreported>,
}

impl Results {
    /// So many deliveries of this tenant will have a result, or be given up.
    pub(super) fn expect(&mut self, tenant: TenantId, deliveries: usize) {
        self.tenants.entry(tenant).or_default().outstanding += deliveries;
    }

    /// So many will have none. Says whether what is there is the tenant's whole part now.
    pub(super) fn give_up(&mut self, tenant: TenantId, deliveries: usize) -> bool {
        let unreported = self.tenants.entry(tenant).or_default();
        unreported.outstanding = unreported.outstanding.saturating_sub(deliveries);
        unreported.outstanding == 0 && !unreported.results.is_empty()
    }

    /// A result came in.
    pub(super) fn add(&mut self, tenant: TenantId, endpoint: u32, result: SendResult, body: Vec<u8>) -> Next {
        let unreported = self.tenants.entry(tenant).or_default();
        unreported.outstanding = unreported.outstanding.saturating_sub(1);
        unreported.results.push((endpoint, result, body));
        if unreported.outstanding == 0 {
            Next::Report
        } else if std::mem::replace(&mut unreported.timed, true) {
            Next::Wait
        } else {
            Next::StartTimer
        }
    }

    /// What is to be reported of a tenant now: one entry an endpoint, and the bodies in the same order.
    pub(super) fn take(&mut self, tenant: TenantId) -> Option<(Report, Vec<Vec<u8>>)> {
        let unreported = self.tenants.get_mut(&tenant)?;
        unreported.timed = false;
        if unreported.results.is_empty() {
            return None;
        }
        let last = unreported.outstanding == 0;
        let mut endpoints: BTreeMap<u32, Vec<(SendResult, Vec<u8>)>> = BTreeMap::new();
        for (endpoint, result, body) in std::mem::take(&mut unreported.results) {
            endpoints.entry(endpoint).or_default().push((result, body));
        }
        let mut bodies = Vec::new();
        let lanes = endpoints
            .into_iter()
            .map(|(endpoint, entries)| {
                let (results, of_lane): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
                bodies.extend(of_lane);
                LaneReport {
                    endpoint,
                    results,
                    last,
                }
            })
            .collect();
        Some((Report { lanes }, bodies))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use postern_domain::id::{Address, MessageId};
    use postern_domain::time::Millis;
    use postern_domain::wire::Trigger;

    use super::*;

    const A: TenantId = TenantId([1; 20]);
    const B: TenantId = TenantId([2; 20]);

    fn result(number: u64) -> SendResult {
        SendResult {
            message: MessageId(Address {
                time: 1,
                shard: 0,
                sequence: number,
                random: [0; 7],
            }),
            number,
            until: Millis(9),
            trigger: Trigger::Scheduled,
            started_at: Millis(1),
            duration_ms: 1,
            waited_ms: 0,
            url: String::new(),
            status: Some(200),
            cause: None,
            retry_after_ms: None,
        }
    }

    #[test]
    fn a_tenants_part_is_reported_when_it_is_done_whatever_its_neighbours_do() {
        let mut results = Results::default();
        results.expect(A, 1);
        results.expect(B, 1);
        assert_eq!(results.add(A, 1, result(1), vec![1]), Next::Report);
        assert!(results.take(A).unwrap().0.lanes.first().unwrap().last);
        assert!(results.take(B).is_none());
    }

    #[test]
    fn the_first_of_several_starts_one_timer_and_a_partial_report_ends_no_lane() {
        let mut results = Results::default();
        results.expect(A, 3);
        assert_eq!(results.add(A, 1, result(1), Vec::new()), Next::StartTimer);
        assert_eq!(results.add(A, 1, result(2), Vec::new()), Next::Wait);
        assert!(!results.take(A).unwrap().0.lanes.first().unwrap().last);
        assert_eq!(results.add(A, 1, result(3), Vec::new()), Next::Report);
    }

    #[test]
    fn bodies_stand_in_the_order_of_the_results() {
        let mut results = Results::default();
        results.expect(A, 3);
        results.add(A, 2, result(1), vec![1]);
        results.add(A, 1, result(2), vec![2]);
        results.add(A, 2, result(3), vec![3]);
        let (report, bodies) = results.take(A).unwrap();
        let numbers: Vec<_> = report
            .lanes
            .iter()
            .flat_map(|lane| &lane.results)
            .map(|r| r.number)
            .collect();
        assert_eq!(
            (numbers, bodies),
            (vec![2, 1, 3], vec![vec![2], vec![1], vec![3]])
        );
    }

    #[test]
    fn what_was_given_up_is_not_waited_for() {
        let mut results = Results::default();
        results.expect(A, 2);
        results.add(A, 1, result(1), Vec::new());
        assert!(results.give_up(A, 1));
    }
}
