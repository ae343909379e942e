//! `PATCH /api/v1/app/{app_id}/source/{source_id}`: changes what is given.

use postern_domain::problem::Problem;
use postern_domain::provider::SourceConfig;
use postern_domain::wire::call::SourceUpdate;

use super::options;
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
    // What is not given stays, and what is given is judged beside that.
    let (known, _) = object.call(shape::named(ask.param(1)), &[]).await?;
    let provider = form.given("provider", field::text);
    let config = if form.has("config") {
        shape::config(&mut form, provider.as_ref().unwrap_or(&known.provider))
    } else {
        None
    };
    let mut options = known.options.clone();
    let stands = SourceConfig::parse(&known.provider, &known.config).ok();
    options::read(&mut form, &mut options, config.as_ref().or(stands.as_ref()));
    let change = SourceUpdate {
        source: ask.param(1).to_owned(),
        name: form.given("name", field::name),
        uid: form.change("uid", field::uid),
        config: config.map(|config| config.to_value()),
        provider,
        options: (options != known.options).then_some(options),
    };
    let (source, _) = object.call(form.finish(Some(change))?, &[]).await?;
    Answer::ok(&SourceOut::new(source, &ask.base_url()?))
}
