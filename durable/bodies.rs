//! Bodies in the bucket that nobody needs any more. What cannot be taken away now goes with its day.

use postern_domain::wire::inbound::{body_is_before, body_prefix};
use postern_ledger::Garbage;
use worker::{Bucket, Env, Result};

/// The binding of the bucket.
const BINDING: &str = "BODIES";

/// Keys that are listed and deleted at a time: the platform takes 1,000.
const PAGE: u32 = 1000;

/// Takes them away.
pub(crate) async fn clean(env: &Env, garbage: &[Garbage]) -> Result<()> {
    let bucket = env.bucket(BINDING)?;
    for one in garbage {
        match one {
            Garbage::One(key) => bucket.delete(key.clone()).await?,
            Garbage::Before(tenant, time) => {
                let old = |key: &str| body_is_before(key, *time);
                while delete_page(&bucket, &body_prefix(*tenant), &old).await? {}
            }
        }
    }
    Ok(())
}

/// Deletes of the first keys those that are old: they stand by their day, so that the oldest come first. Answers whether
/// there may be more.
async fn delete_page(bucket: &Bucket, prefix: &str, old: &impl Fn(&str) -> bool) -> Result<bool> {
    let page = bucket.list().prefix(prefix).limit(PAGE).execute().await?;
    let keys: Vec<String> = page.objects().iter().map(worker::Object::key).collect();
    let listed = keys.len();
    let gone: Vec<String> = keys.into_iter().filter(|key| old(key)).collect();
    let all = gone.len() == listed && listed > 0;
    if !gone.is_empty() {
        bucket.delete_multiple(gone).await?;
    }
    Ok(all && page.truncated())
}
