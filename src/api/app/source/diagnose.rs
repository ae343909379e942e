//! `POST /api/v1/app/{app_id}/source/{source_id}/diagnose`: why a request is not believed, step by step.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::problem::Problem;
use postern_domain::provider::{Check, PublicKey, SourceConfig};
use postern_domain::wire::SourceView;
use postern_domain::wire::inbound::{CheckView, RefusedRequest, SourceDiagnose};
use postern_platform::config::Config;
use postern_platform::{key_set, signature};
use serde::Serialize;
use serde_json::Value;

use super::shape;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field::{self, Wrong};
use crate::api::reply::Answer;

/// How often an examination goes on with what came of signatures.
const ROUNDS: usize = 2;

/// What the doctor found.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiagnosisOut {
    findings: Vec<FindingOut>,
}

/// One thing that the doctor saw. Never a secret, never anything computed from one.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct FindingOut {
    /// `found`, `signed`, `match` (undone, the signature holds) or `hint`.
    step: String,
    /// A short name that does not change.
    code: String,
    sentence: String,
}

/// 200. Nothing of the request is stored.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    // Whose source it is goes before what is wrong with the question.
    let (source, _) = access.object().call(shape::named(ask.param(1)), &[]).await?;
    let mut form = ask.form()?;
    let refused = form.optional("rejectedId", number);
    let method = form.optional("method", field::text);
    let query = form.optional("query", field::text);
    let headers = form.optional("headers", headers);
    let text = form.optional("body", field::text);
    let bytes = form.optional("bodyBase64", base64);
    if refused.is_none() && headers.is_none() && !form.has("rejectedId") && !form.has("headers") {
        let msg = "give the request's headers (and its body), or the id of one that was refused";
        form.say(&["headers"], msg, "missing");
    }
    form.finish(Some(()))?;
    let body = bytes.unwrap_or_else(|| text.unwrap_or_default().into_bytes());
    let mut call = SourceDiagnose {
        source: ask.param(1).to_owned(),
        refused,
        request: RefusedRequest {
            method: method.unwrap_or_else(|| "POST".to_owned()),
            query: query.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            size: u32::try_from(body.len()).unwrap_or(u32::MAX),
        },
        base_url: ask.base_url()?,
        key_set: key_set(&ask, &source).await?,
        known: Vec::new(),
    };
    let object = access.object();
    let bodies = [body];
    let (mut diagnosis, mut signed) = object.call(call.clone(), &bodies).await?;
    // The request's own signature first, then those of its variations.
    for _ in 0..ROUNDS {
        if diagnosis.checks.is_empty() {
            break;
        }
        call.known.extend(held(&diagnosis.checks, signed).await);
        (diagnosis, signed) = object.call(call.clone(), &bodies).await?;
    }
    let findings = diagnosis.findings.into_iter().map(|finding| FindingOut {
        step: finding.step,
        code: finding.code,
        sentence: finding.sentence,
    });
    Answer::ok(&DiagnosisOut {
        findings: findings.collect(),
    })
}

/// The key set that the source's settings name, as it is known here. None: they name none, or it cannot be had, and the
/// findings say that.
async fn key_set(ask: &Ask, source: &SourceView) -> Result<Option<Value>, Problem> {
    let config = SourceConfig::parse(&source.provider, &source.config)
        .map_err(|_| Problem::internal("the stored settings of a source cannot be read"))?;
    let Some(url) = config.key_set_url() else {
        return Ok(None);
    };
    let known = key_set::get(&*Config::from_env(ask.env())?, url).await;
    Ok(known.map(|set| set.to_value()))
}

/// What came of the signatures that only the edge can check. One that cannot be read does not hold.
async fn held(checks: &[CheckView], signed: Vec<Vec<u8>>) -> Vec<(String, bool)> {
    let mut known = Vec::with_capacity(checks.len());
    for (view, signed) in checks.iter().zip(signed) {
        let key = PublicKey::of_jwk(&view.key);
        let signature = STANDARD.decode(&view.signature).ok();
        let held = match key.zip(signature) {
            Some((key, signature)) => {
                let check = Check {
                    key,
                    signed,
                    signature,
                };
                signature::hold(&[check]).await == [true]
            }
            None => false,
        };
        known.push((view.name.clone(), held));
    }
    known
}

fn number(value: &Value) -> Result<u64, Vec<Wrong>> {
    let text = field::text(value)?;
    text.parse()
        .map_err(|_| wrong("must be the id of a request that was refused"))
}

fn headers(value: &Value) -> Result<Vec<(String, String)>, Vec<Wrong>> {
    let headers: BTreeMap<String, String> = serde_json::from_value(value.clone())
        .map_err(|_| wrong("must be an object of texts by their names"))?;
    Ok(headers.into_iter().collect())
}

fn base64(value: &Value) -> Result<Vec<u8>, Vec<Wrong>> {
    STANDARD
        .decode(field::text(value)?)
        .map_err(|_| wrong("must be base64"))
}

fn wrong(msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: Vec::new(),
        msg: msg.to_owned(),
        kind: "value_error",
    }]
}
