//! `POST /api/v1/app/{app_id}/source/{source_id}/secret/rotate`: a new secret beside the old ones, which end later.

use postern_domain::problem::Problem;
use postern_domain::provider::SourceConfig;
use postern_domain::wire::call::SourceRotateSecret;
use postern_domain::wire::inbound::SecretTerms;

use super::{rotate, shape};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200 with the source.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let secret = form.required("secret", field::text);
    let overlap_seconds = form.optional("overlapSeconds", field::seconds);
    let terms = SecretTerms {
        label: form.optional("label", field::name),
        not_before: form.optional("notBefore", field::time),
        not_after: form.optional("notAfter", field::time),
    };
    let secret = form.finish(secret)?;
    // What a secret must look like, the source's own preset says.
    let (source, _) = access.object().call(shape::named(ask.param(1)), &[]).await?;
    SourceConfig::parse(&source.provider, &source.config)
        .map_err(|_| Problem::internal("the stored settings of a source cannot be read"))?
        .check_secret(&secret)
        .map_err(|sentence| Problem::fault(&["body", "secret"], sentence))?;
    let call = SourceRotateSecret {
        source: ask.param(1).to_owned(),
        secret,
        overlap_seconds: overlap_seconds.unwrap_or(shape::OVERLAP_SECONDS),
        terms,
    };
    rotate::rotate(&access, &ask, call).await
}
