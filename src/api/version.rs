//! `/version`: which release this is.

use postern_domain::problem::Problem;
use postern_domain::wire;
use serde_json::json;

use super::ask::Ask;
use super::reply::Answer;

/// 200.
pub(crate) async fn handle(_ask: Ask) -> Result<Answer, Problem> {
    Answer::ok(&json!({ "name": "postern", "version": env!("CARGO_PKG_VERSION"), "wire": wire::VERSION }))
}
