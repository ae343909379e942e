//! Which tenant a `uid` names, remembered for 30 s in the isolate: a tenant that is asked for by its `uid` at every
//! message costs the directory one read in that time.

use std::cell::RefCell;
use std::collections::HashMap;

use postern_domain::id::{OrganisationId, TenantId, Uid};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use super::Directory;
use super::application::{self, Key, State};

const AGE_MS: u64 = 30 * Millis::SECOND;

/// More than this and everything is forgotten: an isolate's memory is for requests.
const MOST: usize = 10_000;

type Known = HashMap<(OrganisationId, String), (TenantId, Millis)>;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The tenant, if there is one. That there is none is not remembered: it may be made in the next moment.
pub(crate) async fn resolve(
    directory: &Directory,
    organisation: OrganisationId,
    uid: &Uid,
    now: Millis,
) -> Result<Option<TenantId>, Problem> {
    let name = (organisation, uid.to_string());
    let known = KNOWN.with_borrow(|known| known.get(&name).copied());
    if let Some((tenant, until)) = known
        && now < until
    {
        return Ok(Some(tenant));
    }
    let row = application::find(directory, organisation, &Key::Uid(uid.clone())).await?;
    let tenant = row.filter(|row| row.state == State::Active).map(|row| row.id);
    if let Some(tenant) = tenant {
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(name, (tenant, now.plus(AGE_MS)));
        });
    }
    Ok(tenant)
}

/// The `uid` was given away or freed: this isolate asks again. Others may believe it for up to 30 s.
pub(crate) fn forget(organisation: OrganisationId, uid: Option<&Uid>) {
    if let Some(uid) = uid {
        KNOWN.with_borrow_mut(|known| known.remove(&(organisation, uid.to_string())));
    }
}
