//! What a source's owner may choose beside the preset's settings, as it is read and shown.

use postern_domain::provider::SourceConfig;
use postern_domain::wire::inbound::{
    AnswerKind, ForwardHeaders, ForwardMode, Intake, MAX_BODY, OwnAnswer, SourceOptions,
};
use postern_domain::wire::{SourceState, SourceView};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::api::field::{self, Wrong};
use crate::api::form::Form;

/// Bytes of an owner's answer at the most.
const MAX_ANSWER: usize = 4096;

/// Parameters of the query that may be named.
const MAX_QUERY: usize = 20;

/// Reads what is given into `options`: a field that is absent leaves it as it is, null takes it back.
pub(super) fn read(form: &mut Form<'_>, options: &mut SourceOptions, config: Option<&SourceConfig>) {
    if let Some(intake) = form.given("state", state) {
        options.intake = intake;
    }
    if let Some(methods) = form.change("methods", methods) {
        options.methods = methods.unwrap_or_default();
    }
    if let Some(size) = form.change("maxBodyBytes", size) {
        options.max_body = size;
    }
    if let Some(answer) = form.change("answer", answer) {
        options.answer = answer;
    }
    if let Some(rate) = form.change("rateLimit", field::rate) {
        options.rate_limit = rate;
    }
    if let Some(query) = form.change("queryParameters", query) {
        options.query = query.unwrap_or_default();
    }
    if let Some(url) = form.change("publicUrl", public_url) {
        options.public_url = url;
    }
    if let Some(mode) = form.change("forward", mode) {
        options.forward = mode.unwrap_or_default();
    }
    if let Some(headers) = form.change("forwardHeaders", headers) {
        options.headers = headers.unwrap_or_default();
    }
    if let Some(split) = form.change("splitBatches", field::flag) {
        options.whole_batches = !split.unwrap_or(true);
    }
    if let Some(factor) = form.change("silenceFactor", factor) {
        options.silence_factor = factor;
    }
    if let Some(config) = config {
        check(form, options, config);
    }
}

/// What contradicts the preset.
fn check(form: &mut Form<'_>, options: &SourceOptions, config: &SourceConfig) {
    let known = config.descriptor().methods;
    let unknown = options
        .methods
        .iter()
        .any(|method| !known.contains(&method.as_str()));
    if unknown {
        let msg = format!("must be of those that the preset takes: {}", known.join(", "));
        form.say(&["methods"], &msg, "value_error");
    }
    if options.public_url.is_some() && !config.signs_url() {
        let msg = "is for presets that sign the address; this one does not";
        form.say(&["publicUrl"], msg, "value_error");
    }
}

/// The state of a source in one word.
pub(super) fn state_of(source: &SourceView) -> &'static str {
    match (source.options.intake, source.state) {
        _ if source.over => "disabled",
        (Intake::Closed, _) => "disabled",
        (Intake::Held, _) => "paused",
        (Intake::Open, SourceState::Pending) => "pending",
        (Intake::Open, SourceState::Active) => "active",
    }
}

/// As they are shown.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct OptionsOut {
    /// Methods that it takes; null: those of its preset.
    methods: Option<Vec<String>>,
    /// Bytes of a body at the most.
    max_body_bytes: u32,
    /// What the provider hears once a webhook is stored; null: what its preset says.
    answer: Option<AnswerOut>,
    /// Requests per second; null: as many as come.
    rate_limit: Option<u16>,
    /// Parameters of the query that are kept; any other is dropped.
    query_parameters: Vec<String>,
    /// The address that the provider was given, where it signs another one than `url`.
    public_url: Option<String>,
    /// `passthrough` or `envelope`.
    forward: &'static str,
    /// `named` or `all`.
    forward_headers: &'static str,
    /// Whether a request of several events is several messages.
    split_batches: bool,
    /// So many usual gaps without a webhook are told as `source.silent`; 0: never.
    silence_factor: u8,
}

/// An answer of the owner's.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct AnswerOut {
    status: u16,
    /// `text`, `json` or `xml`.
    kind: &'static str,
    body: String,
}

impl OptionsOut {
    pub(super) fn new(options: SourceOptions) -> Self {
        Self {
            max_body_bytes: options.body_cap(),
            methods: (!options.methods.is_empty()).then_some(options.methods),
            answer: options.answer.map(|answer| AnswerOut {
                status: answer.status,
                kind: match answer.kind {
                    AnswerKind::Text => "text",
                    AnswerKind::Json => "json",
                    AnswerKind::Xml => "xml",
                },
                body: answer.body,
            }),
            rate_limit: options.rate_limit,
            query_parameters: options.query,
            public_url: options.public_url,
            forward: match options.forward {
                ForwardMode::Passthrough => "passthrough",
                ForwardMode::Envelope => "envelope",
            },
            forward_headers: match options.headers {
                ForwardHeaders::Named => "named",
                ForwardHeaders::All => "all",
            },
            split_batches: !options.whole_batches,
            silence_factor: options.silence_factor.unwrap_or(3),
        }
    }
}

fn state(value: &Value) -> Result<Intake, Vec<Wrong>> {
    match value.as_str() {
        Some("active") => Ok(Intake::Open),
        Some("paused") => Ok(Intake::Held),
        Some("disabled") => Ok(Intake::Closed),
        _ => Err(wrong("must be active, paused or disabled")),
    }
}

fn methods(value: &Value) -> Result<Vec<String>, Vec<Wrong>> {
    let methods = field::texts(value)?;
    let known = ["GET", "POST", "PUT", "PATCH"];
    if methods.is_empty() || !methods.iter().all(|method| known.contains(&method.as_str())) {
        return Err(wrong("must name some of GET, POST, PUT and PATCH"));
    }
    Ok(methods)
}

fn size(value: &Value) -> Result<u32, Vec<Wrong>> {
    value
        .as_u64()
        .and_then(|size| u32::try_from(size).ok())
        .filter(|size| (1..=MAX_BODY).contains(size))
        .ok_or_else(|| wrong(&format!("must be a whole number from 1 to {MAX_BODY}")))
}

fn factor(value: &Value) -> Result<u8, Vec<Wrong>> {
    value
        .as_u64()
        .and_then(|factor| u8::try_from(factor).ok())
        .filter(|factor| *factor <= 100)
        .ok_or_else(|| wrong("must be a whole number from 0 to 100"))
}

fn answer(value: &Value) -> Result<OwnAnswer, Vec<Wrong>> {
    let inside = |at: &str, msg: &str| {
        vec![Wrong {
            at: vec![at.to_owned()],
            msg: msg.to_owned(),
            kind: "value_error",
        }]
    };
    let given = value
        .as_object()
        .ok_or_else(|| wrong("must be an object of status, kind and body"))?;
    let status = match given.get("status") {
        None | Some(Value::Null) => 200,
        Some(status) => status
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (200..300).contains(status))
            .ok_or_else(|| inside("status", "must be a whole number from 200 to 299"))?,
    };
    let body = match given.get("body") {
        None | Some(Value::Null) => "",
        Some(Value::String(body)) if body.len() <= MAX_ANSWER => body,
        Some(_) => return Err(inside("body", "must be a text of up to 4096 bytes")),
    };
    let kind = match given.get("kind").and_then(Value::as_str) {
        Some("text") => AnswerKind::Text,
        Some("json") => AnswerKind::Json,
        Some("xml") => AnswerKind::Xml,
        _ => {
            return Err(inside(
                "kind",
                "must be text, json or xml: an answer is never HTML",
            ));
        }
    };
    if kind == AnswerKind::Json && serde_json::from_str::<serde::de::IgnoredAny>(body).is_err() {
        return Err(inside("body", "must be JSON"));
    }
    if matches!(status, 204 | 205) && !body.is_empty() {
        return Err(inside("body", "must be empty: an answer of this status has none"));
    }
    Ok(OwnAnswer {
        status,
        kind,
        body: body.to_owned(),
    })
}

fn query(value: &Value) -> Result<Vec<String>, Vec<Wrong>> {
    let names = field::texts(value)?;
    let holds = |name: &String| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.[]~%".contains(&byte))
    };
    if names.len() > MAX_QUERY || !names.iter().all(holds) {
        return Err(wrong(
            "must be up to 20 names of up to 64 letters, digits and - _ . [ ] ~ %",
        ));
    }
    Ok(names)
}

fn public_url(value: &Value) -> Result<String, Vec<Wrong>> {
    let text = field::url(value)?;
    let url = Url::parse(&text).ok();
    let holds = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    if holds && text.is_ascii() {
        Ok(text)
    } else {
        Err(wrong(
            "must be the address as the provider has it, such as https://hooks.example.com",
        ))
    }
}

fn mode(value: &Value) -> Result<ForwardMode, Vec<Wrong>> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be passthrough or envelope"))
}

fn headers(value: &Value) -> Result<ForwardHeaders, Vec<Wrong>> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be named or all"))
}

fn wrong(msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: Vec::new(),
        msg: msg.to_owned(),
        kind: "value_error",
    }]
}
