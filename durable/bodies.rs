//! Bodies in the bucket that nobody needs any more. What cannot be taken away now goes with its day.

use postern_domain::wire::inbound::{body_is_before, body_prefix};
use postern_ledger::Garbage;
use worker::{Bucket, Data, Env, Error, ResponseBody, Result};

/// The binding of the bucket.
const BINDING: &str = "BODIES";

/// Keys that are listed and deleted at a time: the platform takes 1,000.
const PAGE: u32 = 1000;

/// Copies a body, without bringing it here.
///
/// # Errors
/// What the bucket says; also when there is no such body.
pub(crate) async fn copy(env: &Env, from: &str, to: &str) -> Result<()> {
    let bucket = env.bucket(BINDING)?;
    let found = bucket.get(from).execute().await?;
    let body = found.as_ref().and_then(worker::Object::body);
    let Some(body) = body else {
        return Err(Error::RustError(format!("{from} is not in the bucket")));
    };
    let ResponseBody::Stream(stream) = body.response_body()? else {
        return Err(Error::RustError("a body that is no stream".to_owned()));
    };
    bucket.put(to, Data::ReadableStream(stream)).execute().await?;
    Ok(())
}

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
