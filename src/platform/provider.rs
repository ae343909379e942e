//! Requests to providers of connections, for objects and the edge alike: by the one way out, to addresses where tokens may
//! go, redirects not followed.

use postern_domain::oauth::{Ended, Request};
use postern_domain::outcome::Cause;
use worker::Method;

use crate::config::Config;
use crate::fetch::{self, Outgoing, USER_AGENT};

/// One request. Never fails in another way than by its cause; at most `cap` bytes of the body are kept.
pub async fn ask(config: &Config, request: &Request, deadline_ms: u64, cap: usize) -> Ended {
    let Ok(target) = config.provider_policy.judge(&request.url) else {
        return refused(Cause::AddressRefused);
    };
    let mut headers = vec![("user-agent".to_owned(), USER_AGENT.to_owned())];
    headers.extend(request.headers.iter().cloned());
    let outgoing = Outgoing {
        target: &target,
        method: method_of(request.method),
        headers: &headers,
        body: &request.body,
        deadline_ms,
        through: None, // the forwarder is for deliveries
    };
    let ended = fetch::send_keeping(outgoing, cap).await;
    Ended {
        status: ended.status,
        cause: ended.cause.filter(|cause| is_transport(*cause)),
        content_type: ended.content_type,
        retry_after_ms: ended.retry_after_ms,
        headers: ended.headers,
        body: ended.body,
        cut: ended.cut,
    }
}

/// A request that never left.
#[must_use]
pub fn refused(cause: Cause) -> Ended {
    Ended {
        status: None,
        cause: Some(cause),
        content_type: String::new(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: Vec::new(),
        cut: false,
    }
}

fn method_of(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "HEAD" => Method::Head,
        _ => Method::Post,
    }
}

/// Whether it says that no whole answer came. What a status means is not judged here.
const fn is_transport(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AddressRefused
            | Cause::Timeout
            | Cause::BodyTimeout
            | Cause::ConnectionLost
            | Cause::NameOrTls
            | Cause::NameNotFound
            | Cause::Tls
            | Cause::NoAnswer
            | Cause::Egress
            | Cause::Unknown
    )
}
