//! `/api/v1/app/{app_id}/connection/{connection_id}/watch`: what changes in the account comes as messages of the tenant.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;

pub(crate) mod shape;
pub(super) mod wanted;

use postern_domain::problem::Problem;

use crate::api::ask::Ask;

/// The watch that the path names.
fn named(ask: &Ask) -> Result<u64, Problem> {
    let text = ask.param(2);
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(Problem::not_found)
}
