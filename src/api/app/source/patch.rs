//! `PATCH /api/v1/app/{app_id}/source/{source_id}`: changes what is given.

use postern_domain::problem::Problem;
use postern_domain::wire::call::SourceUpdate;

use super::shape::{self, SourceOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200. Settings are replaced whole: which of them belong together only the preset knows.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    shape::refuse_secrets(&mut form);
    let object = access.object();
    let provider = match form.given("provider", field::text) {
        Some(provider) => Some(provider),
        // Settings without a provider are for the one that the source has.
        None if form.has("config") => Some(object.call(shape::named(ask.param(1)), &[]).await?.0.provider),
        None => None,
    };
    let config = match &provider {
        Some(provider) if form.has("config") => shape::config(&mut form, provider),
        _ => None,
    };
    let change = SourceUpdate {
        source: ask.param(1).to_owned(),
        name: form.given("name", field::name),
        uid: form.change("uid", field::uid),
        config: config.map(|config| config.to_value()),
        provider,
    };
    let (source, _) = object.call(form.finish(Some(change))?, &[]).await?;
    Answer::ok(&SourceOut::new(source, &ask.base_url()?))
}
