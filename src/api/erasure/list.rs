//! `GET /api/v1/erasure`.

use postern_domain::id::TenantId;
use postern_domain::problem::Problem;
use postern_domain::wire::call::Page;

use super::shape::ErasureOut;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};
use crate::store::erasure;

/// A page of erasures, in the order they were asked for; with `application` the one of that id.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    let application = query.read("application", "must be an application's id", |text| {
        text.parse::<TenantId>().ok()
    });
    query.finish()?;
    let directory = access.directory()?;
    let Some(tenant) = application else {
        let rows = erasure::list(&directory, access.organisation, of).await?;
        return Answer::ok(&page(rows, |row| ErasureOut::new(&row)));
    };
    let line = erasure::find(&directory, access.organisation, tenant).await?;
    Answer::ok(&Page {
        data: line.iter().map(ErasureOut::new).collect(),
        iterator: None,
        prev_iterator: None,
        done: true,
    })
}
