//! Where the connection's token may be sent. Reading it spends nothing and writes nothing.

use postern_domain::oauth::{api_call, proxy};
use postern_domain::problem::Problem;
use postern_domain::wire::connection_api::ApiView;

use crate::Connection;
use crate::sql::Sql;

impl<S: Sql> Connection<S> {
    pub(crate) fn api_get(&mut self) -> Result<ApiView, Problem> {
        let record = &self.standing()?.record;
        let api = record.provider.api.as_ref();
        let filled = api.and_then(|api| api_call::filled(api, &record.variables).ok());
        let bases = filled
            .as_ref()
            .map(|api| proxy::bases(api).map(str::to_owned).collect());
        Ok(ApiView {
            state: record.state,
            bases: bases.unwrap_or_default(),
        })
    }
}
