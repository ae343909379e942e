//! `POST …/source/{source_id}/gmail-push`: makes the path on which Gmail's notifications come to a source, or says what of it
//! is there and how to make the rest by hand. The steps are [`postern_domain::gmail_push`]'s.
//!
//! Nothing of it is kept here: Google is asked each time, so what is said is what stands.

use std::rc::Rc;

use postern_domain::app_level::ledger_of;
use postern_domain::gmail_push::{self, Ask as Asked, Found, Outcome, Path, STEPS, Step, Verb};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::Token;
use postern_platform::config::Config;
use postern_platform::fetch::{self, Outgoing, USER_AGENT};
use postern_platform::token::Spender;
use serde::Serialize;
use serde_json::Value;
use worker::Method;

use super::shape;
use crate::api::access::TenantAccess;
use crate::api::app::connection;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::api::source::route;

/// For a token, which may have to be refreshed first.
const LEASE_MS: u64 = 30_000;

/// For each request to Google.
const DEADLINE_MS: u64 = 10_000;

/// Bytes of an answer that are read: a topic's policy may be long.
const MOST_BYTES: usize = 64 * 1024;

/// How often a step is looked at and made when somebody else changes it at the same time.
const TRIES: u8 = 3;

/// The path, and how it stands.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct GmailPushOut {
    topic: String,
    subscription: String,
    /// The source's address, to which the subscription pushes.
    push_endpoint: String,
    audience: String,
    service_account: String,
    /// Every step is there. False where Google was not asked.
    ready: bool,
    steps: Vec<StepOut>,
    /// The same by hand, in order: commands of Google's `gcloud`.
    commands: Vec<String>,
}

/// One step.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepOut {
    /// `topic`, `publisher` (Gmail's right to publish there) or `subscription`.
    name: &'static str,
    /// `exists`, `made` or `changed` just now, `missing`, `differs`, `failed`, or `unknown` without a connection.
    state: &'static str,
    /// How it stands, and what somebody has to do.
    message: String,
}

/// 200. With `connectionId` missing steps are made, unless `dryRun` is set; without one the commands are told.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let topic = form.required("topic", field::text);
    let named = form.optional("subscription", field::text);
    let spender = form.optional("connectionId", field::text);
    let owner = form.optional("appId", field::text);
    let dry_run = form.optional("dryRun", field::flag).unwrap_or_default();
    for (field, kind, name) in [
        ("topic", "topics", &topic),
        ("subscription", "subscriptions", &named),
    ] {
        if name.as_ref().is_some_and(|name| !gmail_push::is_name(name, kind)) {
            let msg = format!("must be a name such as projects/acme/{kind}/gmail");
            form.say(&[field], &msg, "value_error");
        }
    }
    let is_app_level = access.tenant == ledger_of(access.organisation);
    if is_app_level && spender.is_some() != owner.is_some() {
        let msg = "goes with connectionId: the application whose connection it is";
        form.say(&["appId"], msg, "value_error");
    } else if !is_app_level && owner.is_some() {
        form.say(&["appId"], "is for app-level sources only", "value_error");
    }
    let topic = form.finish(topic)?;

    let (source, _) = access.object().call(shape::named(ask.param(1)), &[]).await?;
    let wanted = |name: &str| source.config[name].as_str().map(str::to_owned);
    let (Some(audience), Some(service_account), "pubsub") =
        (wanted("audience"), wanted("email"), source.provider.as_str())
    else {
        let detail = "Only a source of the provider `pubsub` takes Gmail's notifications";
        return Err(Problem::new(Code::Conflict, detail));
    };
    let path = Path {
        subscription: named.unwrap_or_else(|| gmail_push::subscription_of(&topic, &source.id.to_string())),
        topic,
        endpoint: shape::url(&source, &ask.base_url()?),
        audience,
        service_account,
    };
    let steps = match spender {
        Some(spender) => {
            let access = match owner {
                Some(owner) => {
                    let tenant = route::of_body(&access.directory()?, &access, &owner).await?;
                    access.of(tenant)
                }
                None => access,
            };
            let pubsub = PubSub::of(&access, &spender, ask.now).await?;
            pubsub.steps(&path, dry_run).await
        }
        None => STEPS.map(|step| StepOut::new(step, "unknown", UNASKED)).into(),
    };
    Answer::ok(&GmailPushOut {
        ready: steps
            .iter()
            .all(|step| matches!(step.state, "exists" | "made" | "changed")),
        steps,
        commands: gmail_push::commands(&path),
        topic: path.topic,
        subscription: path.subscription,
        push_endpoint: path.endpoint,
        audience: path.audience,
        service_account: path.service_account,
    })
}

const UNASKED: &str = "Google was not asked: name a connection that may, or run the commands";

impl StepOut {
    fn new(step: Step, state: &'static str, message: impl Into<String>) -> Self {
        Self {
            name: step.name(),
            state,
            message: message.into(),
        }
    }
}

/// The Pub/Sub API, with a connection's token.
struct PubSub {
    base: String,
    token: Token,
    config: Rc<Config>,
}

impl PubSub {
    async fn of(access: &TenantAccess, named: &str, now: Millis) -> Result<Self, Problem> {
        let row = connection::of_body(access, named).await?;
        let spender = Spender::new(access.env(), access.organisation, access.tenant, row.id);
        let token = spender.token(now, LEASE_MS).await?;
        let base = token
            .api
            .as_ref()
            .and_then(|api| api.bases.get("pubsub"))
            .cloned();
        let unfit = |what: &str| Err(Problem::fault(&["body", "connectionId"], what));
        let Some(base) = base else {
            return unfit("is of a provider whose Pub/Sub API is not known: name a Google service account");
        };
        if !token
            .scopes
            .iter()
            .any(|scope| gmail_push::SCOPES.contains(&scope.as_str()))
        {
            return unfit("has not the scope https://www.googleapis.com/auth/pubsub");
        }
        Ok(Self {
            base,
            token,
            config: Config::from_env(access.env())?,
        })
    }

    async fn steps(&self, path: &Path, dry_run: bool) -> Vec<StepOut> {
        let mut steps = Vec::with_capacity(STEPS.len());
        for step in STEPS {
            steps.push(self.step(step, path, dry_run).await);
        }
        steps
    }

    async fn step(&self, step: Step, path: &Path, dry_run: bool) -> StepOut {
        for _ in 0..TRIES {
            let found = match self.ask(gmail_push::look(step, path)).await {
                Ok((status, answer)) => gmail_push::found(step, path, status, &answer),
                Err(sentence) => Found::Stuck(sentence),
            };
            let (state, missing, how, change) = match found {
                Found::Exists => return StepOut::new(step, "exists", step.sentence()),
                Found::Stuck(what) => return StepOut::new(step, "failed", what),
                Found::Missing(make) => ("made", "missing", step.missing().to_owned(), make),
                Found::Differs(how, change) => ("changed", "differs", how, change),
            };
            if dry_run {
                return StepOut::new(step, missing, how);
            }
            let outcome = match self.ask(change).await {
                Ok((status, answer)) => gmail_push::outcome(step, path, status, &answer),
                Err(sentence) => Outcome::Stuck(sentence),
            };
            match outcome {
                Outcome::Made => return StepOut::new(step, state, step.sentence()),
                Outcome::Stuck(what) => return StepOut::new(step, "failed", what),
                Outcome::Again => {}
            }
        }
        StepOut::new(
            step,
            "failed",
            "Somebody else changes it at the same time; try again",
        )
    }

    /// The status and the answer, JSON or null; or why there is none.
    async fn ask(&self, ask: Asked) -> Result<(u16, Value), String> {
        let target = self
            .config
            .provider_policy
            .judge(&format!("{}/{}", self.base, ask.path));
        let target = target.map_err(|refusal| refusal.to_string())?;
        let mut headers = vec![
            ("authorization", format!("Bearer {}", self.token.token.reveal())),
            ("accept", "application/json".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
        ];
        let body = ask.body.map(|body| body.to_string()).unwrap_or_default();
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let headers: Vec<_> = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let outgoing = Outgoing {
            target: &target,
            method: match ask.verb {
                Verb::Get => Method::Get,
                Verb::Put => Method::Put,
                Verb::Post => Method::Post,
            },
            headers: &headers,
            body: body.as_bytes(),
            deadline_ms: DEADLINE_MS,
            through: None,
        };
        let ended = fetch::send_keeping(outgoing, MOST_BYTES).await;
        match (ended.status, ended.cause) {
            (Some(_), None) if ended.cut => Err("Google's answer is too long to be read".to_owned()),
            (Some(status), _) => Ok((status, serde_json::from_slice(&ended.body).unwrap_or_default())),
            (None, Some(cause)) => Err(format!("Google gave no answer: {}", cause.sentence())),
            (None, None) => Err("Google gave no answer".to_owned()),
        }
    }
}
