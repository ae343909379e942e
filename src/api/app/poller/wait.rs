//! A poll that waits. It ends here at the edge: no object holds it open, a socket says when to look again.

use postern_domain::problem::Problem;
use postern_domain::wire::call::TenantCall;
use postern_domain::wire::follow::{Wanted, Watch};
use postern_domain::wire::poll::Polled;
use postern_platform::clock;
use postern_platform::deadline::within;

use crate::api::access::PollerAccess;

/// Polls; when there is nothing, waits for what is wanted so many milliseconds at the most, and polls again.
pub(super) async fn until_something<T>(
    access: &PollerAccess,
    sink: &str,
    wanted: Wanted,
    call: T,
    patience: u64,
) -> Result<(Polled, Vec<Vec<u8>>), Problem>
where
    T: TenantCall<Answer = Polled> + Clone,
{
    let object = access.object();
    let mut answer = object.call(call.clone(), &[]).await?;
    if patience == 0 || !answer.0.page.is_quiet() {
        return Ok(answer);
    }
    let end = clock::now().plus(patience);
    let sink = Some(sink.to_owned());
    let news = object.watch(Watch { sink, wanted }).await?;
    while answer.0.page.is_quiet() {
        let left = end.since(clock::now());
        if within(left, news.behind(answer.0.page.through)).await.is_none() || news.has_ended() {
            break;
        }
        answer = object.call(call.clone(), &[]).await?;
    }
    Ok(answer)
}
