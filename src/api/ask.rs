//! A request, as handlers see it.

use postern_domain::address::Policy;
use postern_domain::digest;
use postern_domain::id::{MessageId, OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::Idempotency;
use postern_platform::config::Config;
use postern_platform::http;
use url::Url;
use worker::{Env, Request};

use super::form::Form;
use super::operations::Operation;
use super::query::Query;

/// How far the clocks of the edge and of an object may stand apart.
const SKEW_MS: u64 = 1_000;

/// What was asked: parts of the path, query, body, and the few headers that matter.
pub(crate) struct Ask {
    env: Env,
    url: Url,
    operation: &'static Operation,
    params: Vec<String>,
    body: Vec<u8>,
    idempotency_key: Option<String>,
    last_event_id: Option<String>,
    wants_socket: bool,
    protocols: Option<String>,
    /// How many gateways of this kind the request came through.
    pub(crate) hop: u8,
    /// The time that the whole request goes by.
    pub(crate) now: Millis,
}

impl Ask {
    /// Without its body, which is read only once the token has held.
    pub(crate) fn new(
        request: &Request,
        env: Env,
        url: Url,
        operation: &'static Operation,
        params: Vec<String>,
        now: Millis,
    ) -> Self {
        Self {
            env,
            url,
            operation,
            params,
            body: Vec::new(),
            idempotency_key: http::header(request, "idempotency-key"),
            last_event_id: http::header(request, "last-event-id"),
            wants_socket: http::wants_socket(request),
            protocols: http::header(request, http::PROTOCOLS),
            // A counter that cannot be read was not written by one of us, or was tampered with: it counts as high.
            hop: http::header(request, "postern-hop").map_or(0, |hop| hop.trim().parse().unwrap_or(u8::MAX)),
            now,
        }
    }

    /// With its body.
    pub(crate) fn with_body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    /// As if the path named this tenant first: for paths that mean one without naming it.
    pub(crate) fn of_tenant(mut self, tenant: TenantId) -> Self {
        self.params.insert(0, tenant.to_string());
        self
    }

    /// A part of the path; empty if the path has fewer.
    pub(crate) fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The query.
    pub(crate) fn query(&self) -> Query {
        Query::new(&self.url)
    }

    /// The body as a JSON object.
    pub(crate) fn form(&self) -> Result<Form<'_>, Problem> {
        Form::read(&self.body)
    }

    /// The same where no body means that nothing is chosen.
    pub(crate) fn form_or_empty(&self) -> Result<Form<'_>, Problem> {
        Form::read(if self.body.is_empty() { b"{}" } else { &self.body })
    }

    /// The rule for endpoints' URLs.
    pub(crate) fn address_policy(&self) -> Result<Policy, Problem> {
        Config::from_env(&self.env)?.policy_beside(&self.url)
    }

    /// Where this deployment is reached.
    pub(crate) fn base_url(&self) -> Result<String, Problem> {
        Ok(Config::from_env(&self.env)?.base_url(&self.url))
    }

    /// Whether the answer is to be a WebSocket.
    pub(crate) fn wants_socket(&self) -> bool {
        self.wants_socket
    }

    /// The protocol of our streams, if the client offers it: a browser wants one of its own chosen.
    pub(crate) fn offers_protocol(&self) -> Option<&'static str> {
        let offered = self.protocols.as_deref().unwrap_or_default();
        offered
            .split(',')
            .any(|protocol| protocol.trim() == http::STREAM_PROTOCOL)
            .then_some(http::STREAM_PROTOCOL)
    }

    /// The message behind which an event stream goes on.
    pub(crate) fn last_event_id(&self) -> Result<Option<MessageId>, Problem> {
        let id = self.last_event_id.as_deref().filter(|id| !id.is_empty());
        id.map(|id| {
            id.parse()
                .map_err(|_| Problem::fault(&["header", "last-event-id"], "must be the id of a message"))
        })
        .transpose()
    }

    /// How long a stream stays open.
    pub(crate) fn stream_ms(&self) -> Result<u64, Problem> {
        Ok(Config::from_env(&self.env)?.stream_ms)
    }

    /// The deployment's bindings, for operations about the deployment itself.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// Whether a thing that this request should have made was made by an earlier one with the same key: the object gives
    /// the earlier answer and does not say so.
    pub(crate) fn is_replay(&self, made: Millis) -> bool {
        self.idempotency_key.is_some() && made.plus(SKEW_MS) < self.now
    }

    /// The `Idempotency-Key`, bound to organisation, route and `scope` (the tenant's id, where there is one: its `uid` in
    /// the path must not make another key).
    pub(crate) fn idempotency(
        &self,
        organisation: OrganisationId,
        scope: &str,
    ) -> Result<Option<Idempotency>, Problem> {
        let Some(key) = &self.idempotency_key else {
            return Ok(None);
        };
        if key.is_empty() || key.len() > 256 {
            return Err(Problem::fault(
                &["header", "idempotency-key"],
                "must be 1 to 256 characters",
            ));
        }
        let mut parts = vec![organisation.to_string(), scope.to_owned()];
        parts.push(format!("{} {}", self.operation.method, self.operation.path));
        parts.extend(self.params.iter().skip(1).cloned());
        parts.push(self.url.query().unwrap_or_default().to_owned());
        parts.push(key.clone());
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        Ok(Some(Idempotency {
            key: digest::of_parts(&parts),
            fingerprint: digest::of(&self.body),
        }))
    }
}
