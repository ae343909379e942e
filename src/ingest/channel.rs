//! `/in/channel/{connection_id}`: where a calendar's channels post to. No body and no signature: what proves the sender is
//! the channel's token, which the connection's object compares. It writes down that there is something to look at, and then
//! the channel gets its answer; nothing is fetched before that.

use postern_domain::id::ConnectionId;
use postern_domain::oauth::Secret;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::Headers;
use postern_domain::wire::connection::Caller;
use postern_domain::wire::watch::WatchPushed;
use postern_platform::connection::ConnectionObject;
use worker::{Env, Method, Request, Response};

use super::answer;

/// Google names no deadline; what takes longer is sent again.
const DEADLINE_MS: u64 = 5_000;

/// Bytes of a header at the most: ids have 64 characters, our tokens too.
const MAX_HEADER: usize = 256;

/// Takes a notification.
pub(super) async fn take(req: &Request, env: &Env, connection: &str) -> Result<Response, Problem> {
    if req.method() != Method::Post {
        return Ok(answer::method_not_allowed(&["POST"]));
    }
    let connection: ConnectionId = connection.parse().map_err(|_| Problem::not_found())?;
    let headers = Headers::new(req.headers().entries());
    let pushed = read(&headers)?;
    let object = ConnectionObject::new(env, connection, Caller::System);
    object.call_within(DEADLINE_MS, pushed).await?;
    Ok(answer::taken())
}

/// Each header once, and none longer than it can be.
fn read(headers: &Headers) -> Result<WatchPushed, Problem> {
    let of = |name: &str| {
        let unproven = || Problem::new(Code::SignatureInvalid, "This is no notification of a channel");
        let mut values = headers.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) if (1..=MAX_HEADER).contains(&value.len()) => Ok(value.to_owned()),
            _ => Err(unproven()),
        }
    };
    Ok(WatchPushed::Channel {
        id: of("X-Goog-Channel-ID")?,
        token: Secret(of("X-Goog-Channel-Token")?),
        resource: of("X-Goog-Resource-ID").ok(),
        state: of("X-Goog-Resource-State")?,
        number: of("X-Goog-Message-Number")
            .ok()
            .and_then(|number| number.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(more: &[(&str, &str)]) -> Headers {
        let all = [
            ("X-Goog-Channel-ID", "c"),
            ("X-Goog-Channel-Token", "t"),
            ("X-Goog-Resource-ID", "r"),
            ("X-Goog-Resource-State", "exists"),
            ("X-Goog-Message-Number", "7"),
        ];
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Headers::new(all.iter().chain(more).map(own))
    }

    #[test]
    fn a_notification_is_its_headers() {
        let read = read(&headers(&[])).unwrap_or_else(|problem| panic!("{problem}"));
        let WatchPushed::Channel {
            id, number, state, ..
        } = read
        else {
            panic!("a channel's");
        };
        assert_eq!((id.as_str(), number, state.as_str()), ("c", Some(7), "exists"));
    }

    #[test]
    fn two_tokens_are_none() {
        assert!(read(&headers(&[("x-goog-channel-token", "u")])).is_err());
        assert!(read(&Headers::new(Vec::new())).is_err());
    }
}
