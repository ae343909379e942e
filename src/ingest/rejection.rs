//! Why a request was refused, and what of it is kept, told to the tenant and not to whoever sent it.
//!
//! Sampled, so that a stranger who knows an address cannot buy writes; the rest is counted, and told with the next one.
//! After the answer, so that a refusal is as quick as it can be and no store can make it slow.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use postern_domain::id::{IngestToken, TenantId};
use postern_domain::problem::Code;
use postern_domain::provider::Rejection;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Caller, SourceRejected};
use postern_domain::wire::inbound::RefusedRequest;
use postern_platform::later::later;
use postern_platform::log;
use postern_platform::tenant::TenantObject;
use worker::Env;

use super::Incoming;
use super::source::Source;

/// Rejections of one source that an isolate writes down in a minute.
const A_MINUTE: u8 = 10;

/// Bytes that are kept of a body.
const MAX_BODY: usize = 4096;

/// Sources whose refusals are counted at the same time.
const MAX_COUNTED: usize = 1024;

thread_local! {
    static SAMPLE: RefCell<Sample> = RefCell::default();
}

/// Writes the reason and the request down, if this minute has not seen enough of them; counts it else.
pub(super) fn note(
    env: &Env,
    token: &IngestToken,
    source: &Source,
    incoming: &Incoming,
    rejection: &Rejection,
    now: Millis,
) {
    let (tenant, number) = (token.tenant, token.source);
    let reason = rejection.reason.as_str();
    let Some(others) = SAMPLE.with_borrow_mut(|sample| sample.takes((tenant, number), reason, now)) else {
        return;
    };
    let object = TenantObject::new(env, tenant, Caller::Ingest);
    let call = SourceRejected {
        source: number,
        reason: reason.to_owned(),
        detail: rejection.detail.clone(),
        request: shown(source, incoming),
        others,
    };
    let body = incoming.body.get(..MAX_BODY).unwrap_or(&incoming.body).to_vec();
    later(async move {
        if let Err(problem) = object.call(call, &[body]).await {
            let fields =
                serde_json::json!({ "tenant": tenant, "source": number, "cause": problem.to_string() });
            log::warn("rejection_not_noted", fields);
        }
    });
}

/// Counts what is not written down.
pub(super) fn count(token: &IngestToken, reason: &str, now: Millis) {
    SAMPLE.with_borrow_mut(|sample| {
        sample.turn(now);
        sample.count((token.tenant, token.source), reason);
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

/// The request without credentials. Signatures stay: they say nothing without the secret, and what is wrong with them is
/// why this is kept.
fn shown(source: &Source, incoming: &Incoming) -> RefusedRequest {
    let credentials = source.config.credential_headers();
    let headers = incoming.headers.iter().map(|(name, value)| {
        let masked = credentials.iter().any(|own| own == name)
            || matches!(name, "authorization" | "cookie" | "proxy-authorization");
        let value = if masked {
            format!("(hidden, {} characters)", value.chars().count())
        } else {
            value.to_owned()
        };
        (name.to_owned(), value)
    });
    RefusedRequest {
        method: incoming.method.clone(),
        query: incoming.query.clone().unwrap_or_default(),
        headers: headers.collect(),
        size: u32::try_from(incoming.body.len()).unwrap_or(u32::MAX),
    }
}

type Of = (TenantId, u16);

/// How many were written down in the current minute, and how many were not since the last one that was.
#[derive(Default)]
struct Sample {
    minute: u64,
    taken: HashMap<Of, u8>,
    others: HashMap<Of, BTreeMap<String, u32>>,
}

impl Sample {
    /// Those that were only counted since the last time; none: this one is only counted, too.
    fn takes(&mut self, of: Of, reason: &str, now: Millis) -> Option<BTreeMap<String, u32>> {
        self.turn(now);
        let taken = self.taken.entry(of).or_default();
        if *taken >= A_MINUTE {
            self.count(of, reason);
            return None;
        }
        *taken += 1;
        Some(self.others.remove(&of).unwrap_or_default())
    }

    fn turn(&mut self, now: Millis) {
        let minute = now.seconds() / 60;
        if minute != self.minute {
            self.minute = minute;
            self.taken.clear();
        }
    }

    fn count(&mut self, of: Of, reason: &str) {
        if self.others.len() < MAX_COUNTED || self.others.contains_key(&of) {
            *self
                .others
                .entry(of)
                .or_default()
                .entry(reason.to_owned())
                .or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_040_000);
    const ONE: Of = (TenantId([1; 20]), 1);

    fn takes(sample: &mut Sample, of: Of, now: Millis) -> bool {
        sample.takes(of, "mismatch", now).is_some()
    }

    #[test]
    fn ten_rejections_of_a_source_are_noted_in_a_minute_and_no_more() {
        let mut sample = Sample::default();
        let noted = (0..25).filter(|_| takes(&mut sample, ONE, NOW)).count();
        assert_eq!(noted, 10);
    }

    #[test]
    fn those_that_are_not_noted_are_counted_and_told_once_with_the_next_one() {
        let mut sample = Sample::default();
        for _ in 0..25 {
            takes(&mut sample, ONE, NOW);
        }
        let later = NOW.plus(60_000);
        let told = sample.takes(ONE, "stale", later).unwrap_or_default();
        assert_eq!(told, BTreeMap::from([("mismatch".to_owned(), 15)]));
        assert_eq!(sample.takes(ONE, "stale", later), Some(BTreeMap::new()));
    }

    #[test]
    fn one_sources_flood_hides_no_other_sources_rejection() {
        let mut sample = Sample::default();
        for _ in 0..25 {
            takes(&mut sample, ONE, NOW);
        }
        assert!(takes(&mut sample, (TenantId([1; 20]), 2), NOW));
        assert!(takes(&mut sample, (TenantId([2; 20]), 1), NOW));
    }
}
