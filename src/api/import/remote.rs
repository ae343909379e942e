//! A server that speaks Svix's API, asked from here. Every request goes by the one way out, to an address that the rule
//! has judged as it is sent; redirects are not followed, so that the token stays with the server that it is for.

use postern_domain::address::Policy;
use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_platform::fetch::{self, Outgoing, USER_AGENT};
use serde::Deserialize;
use serde_json::Value;
use worker::Method;

use super::asked::Server;
use super::bounds::Bounds;

/// For one answer.
const DEADLINE_MS: u64 = 10_000;

/// Of one answer.
const MOST_BYTES: usize = 4 << 20;

/// The other server.
pub(super) struct Remote<'a> {
    server: Server,
    policy: &'a Policy,
    bounds: &'a Bounds,
}

/// Why it did not give what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// 401 or 403.
    Token,
    /// 404.
    NothingThere,
    /// Another status.
    Status(u16),
    /// No whole answer.
    Silent(Cause),
    /// More than is read.
    TooLarge,
    /// Something else than Svix's API answers.
    Form,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct RemotePage {
    pub(super) data: Vec<Value>,
    #[serde(default)]
    iterator: Option<String>,
    #[serde(default)]
    done: bool,
}

impl RemotePage {
    /// Where the next page begins; none: this is the last.
    pub(super) fn next(&self) -> Option<String> {
        self.iterator
            .clone()
            .filter(|_| !self.done && !self.data.is_empty())
    }
}

impl Failed {
    /// A sentence for whoever imports.
    pub(super) fn sentence(self) -> String {
        match self {
            Self::Token => "The source refuses the token".to_owned(),
            Self::NothingThere => "The source has no such thing".to_owned(),
            Self::Status(429) => "The source asks to come slower; go on after a while".to_owned(),
            Self::Status(status) => format!("The source answers {status}"),
            Self::Silent(cause) => format!("The source gives no answer: {}", cause.sentence()),
            Self::TooLarge => format!("The source's answer is larger than {MOST_BYTES} bytes"),
            Self::Form => "What the source answers is not what Svix's API answers".to_owned(),
        }
    }

    /// As the answer to the whole request.
    pub(super) fn problem(self) -> Problem {
        let place = if self == Self::Token { "token" } else { "url" };
        Problem::fault(&["body", place], self.sentence())
    }
}

impl<'a> Remote<'a> {
    pub(super) fn new(server: Server, policy: &'a Policy, bounds: &'a Bounds) -> Self {
        Self {
            server,
            policy,
            bounds,
        }
    }

    /// A page of what stands at a path.
    pub(super) async fn page(
        &self,
        path: &[&str],
        limit: u8,
        iterator: Option<&str>,
        more: &str,
    ) -> Result<RemotePage, Failed> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        if let Some(iterator) = iterator {
            query.append_pair("iterator", iterator);
        }
        let query = query.finish();
        let value = self.get(path, &format!("?{query}{more}")).await?;
        serde_json::from_value(value).map_err(|_| Failed::Form)
    }

    /// What stands at a path, below `/api/v1`.
    pub(super) async fn get(&self, path: &[&str], query: &str) -> Result<Value, Failed> {
        if !path.iter().all(|part| is_plain(part)) {
            return Err(Failed::NothingThere);
        }
        let url = format!("{}/api/v1/{}{query}", self.server.url, path.join("/"));
        let target = self.policy.judge(&url).map_err(|_| Failed::Form)?;
        let headers = [
            ("authorization", format!("Bearer {}", self.server.token)),
            ("accept", "application/json".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value));
        let outgoing = Outgoing {
            through: None,
            target: &target,
            method: Method::Get,
            headers: &headers,
            body: &[],
            deadline_ms: DEADLINE_MS,
        };
        self.bounds.spend(1);
        let ended = fetch::send_keeping(outgoing, MOST_BYTES).await;
        match (ended.status, ended.cause) {
            (Some(401 | 403), _) => Err(Failed::Token),
            (Some(404), _) => Err(Failed::NothingThere),
            (Some(status), Some(_)) if status >= 300 => Err(Failed::Status(status)),
            (_, Some(cause)) => Err(Failed::Silent(cause)),
            (_, None) if ended.body.len() >= MOST_BYTES => Err(Failed::TooLarge),
            (_, None) => serde_json::from_slice(&ended.body).map_err(|_| Failed::Form),
        }
    }
}

/// An id or a `uid`, and no way to another path.
fn is_plain(part: &str) -> bool {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=256).contains(&part.len()) && part.bytes().all(form) && part != "." && part != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_server_is_no_way_to_another_path() {
        for part in ["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "ä"] {
            assert!(!is_plain(part), "{part}");
        }
        assert!(is_plain("app_2a.b-c"));
    }

    #[test]
    fn a_page_without_a_next_is_the_last() {
        let page = |done, data: &str| {
            let text =
                format!(r#"{{"data": {data}, "iterator": "x", "prevIterator": null, "done": {done}}}"#);
            serde_json::from_str::<RemotePage>(&text).map(|page| page.next())
        };
        assert!(matches!(page(true, "[1]"), Ok(None)));
        assert!(matches!(page(false, "[]"), Ok(None)));
        assert!(matches!(page(false, "[1]"), Ok(Some(_))));
    }
}
