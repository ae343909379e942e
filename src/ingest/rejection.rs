//! Why a request was refused, told to the tenant and not to whoever sent it.
//!
//! Sampled, so that a stranger who knows an address cannot buy writes; after the answer, so that a refusal is as quick as
//! it can be and no store can make it slow.

use std::cell::RefCell;
use std::collections::HashMap;

use postern_domain::id::{IngestToken, TenantId};
use postern_domain::problem::Code;
use postern_domain::provider::Rejection;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Caller, SourceRejected};
use worker::Env;

use crate::platform::later::later;
use crate::platform::log;
use crate::platform::tenant::TenantObject;

/// Rejections of one source that an isolate writes down in a minute.
const A_MINUTE: u8 = 10;

thread_local! {
    static SAMPLE: RefCell<Sample> = RefCell::default();
}

/// Writes the reason down, if this minute has not seen enough of them.
pub(super) fn note(env: &Env, token: &IngestToken, rejection: &Rejection, now: Millis) {
    let (tenant, source) = (token.tenant, token.source);
    if !SAMPLE.with_borrow_mut(|sample| sample.takes(tenant, source, now)) {
        return;
    }
    let object = TenantObject::new(env, tenant, Caller::Ingest);
    let call = SourceRejected {
        source,
        reason: rejection.reason.as_str().to_owned(),
        detail: rejection.detail.clone(),
    };
    later(async move {
        if let Err(problem) = object.call(call, &[]).await {
            let fields =
                serde_json::json!({ "tenant": tenant, "source": source, "cause": problem.to_string() });
            log::warn("rejection_not_noted", fields);
        }
    });
}

/// What the sender hears: the same for every reason behind one code, and nothing computed.
pub(super) fn public_sentence(code: Code) -> &'static str {
    if code == Code::SignatureMissing {
        "The request carries no signature or credential of the kind that this source expects"
    } else {
        "The signature or credential does not hold for this source"
    }
}

/// How many were written down in the current minute.
#[derive(Default)]
struct Sample {
    minute: u64,
    taken: HashMap<(TenantId, u16), u8>,
}

impl Sample {
    fn takes(&mut self, tenant: TenantId, source: u16, now: Millis) -> bool {
        let minute = now.seconds() / 60;
        if minute != self.minute {
            self.minute = minute;
            self.taken.clear();
        }
        let taken = self.taken.entry((tenant, source)).or_default();
        if *taken >= A_MINUTE {
            return false;
        }
        *taken += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_040_000);

    #[test]
    fn ten_rejections_of_a_source_are_noted_in_a_minute_and_no_more() {
        let mut sample = Sample::default();
        let noted = (0..25)
            .filter(|_| sample.takes(TenantId([1; 20]), 1, NOW))
            .count();
        assert_eq!(noted, 10);
    }

    #[test]
    fn one_sources_flood_hides_no_other_sources_rejection() {
        let mut sample = Sample::default();
        for _ in 0..25 {
            sample.takes(TenantId([1; 20]), 1, NOW);
        }
        assert!(sample.takes(TenantId([1; 20]), 2, NOW));
        assert!(sample.takes(TenantId([2; 20]), 1, NOW));
    }

    #[test]
    fn the_next_minute_begins_anew() {
        let mut sample = Sample::default();
        for _ in 0..25 {
            sample.takes(TenantId([1; 20]), 1, NOW);
        }
        assert!(sample.takes(TenantId([1; 20]), 1, NOW.plus(60_000)));
    }
}
