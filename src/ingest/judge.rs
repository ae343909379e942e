//! Whether a request is believed: the domain's verdict, with what it cannot do itself (RSA, P-256, fetching keys).

use std::rc::Rc;

use postern_domain::problem::Problem;
use postern_domain::provider::{self, KeySet, Reason, Request, Standing, Verdict};
use postern_platform::config::Config;
use postern_platform::{clock, key_set, signature};

use super::source::{Opened, Source};
use super::{Incoming, unavailable};

/// What was said of a request, and by which secrets.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) secrets: Opened,
}

/// Judges a request. A key that is not in the known set makes that be fetched once more.
///
/// # Errors
/// A failure of ours: secrets that do not open, keys that could not be fetched at all. The provider is to come again.
pub(super) async fn judge(
    config: &Config,
    source: &Source,
    incoming: &Incoming,
    url: &str,
) -> Result<Judged, Problem> {
    let secrets = source.secrets(&config.master_keys, clock::now())?;
    let address = source.config.key_set_url();
    let keys = match address {
        Some(address) => key_set::get(config, address).await,
        None => None,
    };
    let mut verdict = look(source, &secrets, incoming, url, keys.as_ref()).await;
    if let (Some(address), Verdict::Reject(rejection)) = (address, &verdict)
        && rejection.reason == Reason::StaleKeys
    {
        if let Some(newer) = key_set::get_again(config, address).await {
            verdict = look(source, &secrets, incoming, url, Some(&newer)).await;
        } else if keys.is_none() {
            // Nothing is known of the sender's keys: that is not the sender's fault.
            return Err(unavailable("key_set_missing", source.config.provider()));
        }
    }
    Ok(Judged { verdict, secrets })
}

async fn look(
    source: &Source,
    secrets: &Opened,
    incoming: &Incoming,
    url: &str,
    keys: Option<&Rc<KeySet>>,
) -> Verdict {
    let request = Request {
        method: &incoming.method,
        url: Some(url),
        headers: &incoming.headers,
        body: &incoming.body,
    };
    let standing = Standing {
        state: source.standing(),
        key_set: keys.map(Rc::as_ref),
        channels: &[],
    };
    let now = clock::now();
    match provider::verify(&source.config, &secrets.secrets, &standing, &request, now) {
        Verdict::NeedsSignature(checks) => {
            let held = signature::hold(&checks).await;
            provider::conclude(&source.config, &secrets.secrets, &standing, &request, now, &held)
        }
        verdict => verdict,
    }
}
