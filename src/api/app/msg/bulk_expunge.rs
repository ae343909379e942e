//! `POST /api/v1/app/{app_id}/msg/bulk-expunge`: takes the bodies of many messages away.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::wire::reads::MessageExpunge;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// Messages of one request at the most: each is a transaction of its own.
const MOST: usize = 250;

/// What became of each.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct BulkExpungeOut {
    /// `expunged` or `not-found`, by what was asked for.
    results: BTreeMap<String, &'static str>,
}

/// Each by its id or the publisher's. One that is not there keeps none of the others.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let ids = form.optional("ids", field::texts).unwrap_or_default();
    if ids.len() > MOST {
        form.say(&["ids"], &format!("must name at most {MOST}"), "value_error");
    }
    for (at, id) in ids.iter().enumerate() {
        if let Err(msg) = field::check_word(id) {
            form.say(&["ids", &at.to_string()], msg, "value_error");
        }
    }
    let messages = form.finish(Some(ids))?;
    let call = MessageExpunge {
        messages: messages.clone(),
    };
    let (expunged, _) = access.object().call(call, &[]).await?;
    let word = |found| if found { "expunged" } else { "not-found" };
    let results = messages.into_iter().zip(expunged.found.into_iter().map(word));
    Answer::ok(&BulkExpungeOut {
        results: results.collect(),
    })
}
