//! `/api/v1/import` and `/api/v1/app/{app_id}/import`: endpoints brought along with the secrets that their receivers know,
//! from a server that speaks Svix's API or from a table.
//!
//! A run is bounded and says where it stopped; run again with that iterator, or from the beginning: what is there already
//! is found and left alone. Nothing is written unless `dryRun` is false. The token of the other server lives in the
//! request and nowhere else, and for the same reason the answer is not kept for an `Idempotency-Key`.

pub(crate) mod create;

mod asked;
mod bounds;
mod remote;
mod rows;
mod svix;
mod take;

pub(crate) mod shape;

use postern_domain::problem::Problem;

use super::access::OrganisationAccess;
use super::ask::Ask;
use super::reply::Answer;
use crate::store::application::Application;
use asked::{Asked, Origin};
use bounds::Bounds;
use shape::Run;

/// Reads what is asked, and does it for all applications or for the one.
pub(crate) async fn run(
    access: &OrganisationAccess,
    ask: &Ask,
    only: Option<Application>,
) -> Result<Answer, Problem> {
    let policy = ask.address_policy()?;
    let asked = Asked::read(ask, &policy, only.is_some())?;
    let mut run = Run::new(asked.dry_run);
    let bounds = Bounds::new(ask.now);
    match asked.from {
        Origin::Csv(text) => {
            rows::import(
                access,
                ask.now,
                &policy,
                only,
                &text,
                asked.iterator,
                &bounds,
                &mut run,
            )
            .await?;
        }
        Origin::Svix(remote) => {
            let mut import = svix::Import {
                access,
                now: ask.now,
                policy: &policy,
                remote: remote::Remote::new(remote, &policy, &bounds),
                only,
                applications: asked.applications,
            };
            import.run(asked.iterator, &bounds, &mut run).await?;
        }
    }
    Answer::ok(&run.finish())
}
