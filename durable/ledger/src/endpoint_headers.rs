//! An endpoint's own headers: every request to it carries them. Sealed whole, since any of them may be a credential.

use std::collections::BTreeMap;

use postern_domain::header::{MAX_ALL, is_sensitive};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::lane::SealedPart;
use postern_domain::wire::signing::{
    EndpointHeadersGet, EndpointHeadersPatch, EndpointHeadersPut, HeadersView,
};

use crate::sql::Sql;
use crate::{Ledger, Random};

impl<S: Sql> Ledger<S> {
    /// Those that may be shown, and the names of the others.
    pub(crate) fn endpoint_headers_get(&mut self, call: &EndpointHeadersGet) -> Result<HeadersView, Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let mut view = HeadersView::default();
        for (name, value) in self.own_headers(number)? {
            if is_sensitive(&name) {
                view.sensitive.push(name);
            } else {
                view.headers.insert(name, value);
            }
        }
        Ok(view)
    }

    pub(crate) fn endpoint_headers_put(
        &mut self,
        call: &EndpointHeadersPut,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        self.write_headers(number, &call.headers, now, random)
    }

    /// Names are the same in any case; the last one that was written stays.
    pub(crate) fn endpoint_headers_patch(
        &mut self,
        call: &EndpointHeadersPatch,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let mut headers = self.own_headers(number)?;
        for (name, value) in &call.headers {
            headers.retain(|own, _| !own.eq_ignore_ascii_case(name));
            if let Some(value) = value {
                headers.insert(name.clone(), value.clone());
            }
        }
        self.write_headers(number, &headers, now, random)
    }

    /// Seals headers; none: there are none.
    pub(crate) fn seal_headers(
        &mut self,
        number: u32,
        generation: u64,
        headers: &BTreeMap<String, String>,
        random: &mut dyn Random,
    ) -> Result<Option<SealedPart>, Problem> {
        if headers.is_empty() {
            return Ok(None);
        }
        let plain = serde_json::to_vec(headers).map_err(Problem::internal)?;
        self.seal_part(number, "headers", generation, &plain, random)
            .map(Some)
    }

    fn own_headers(&mut self, number: u32) -> Result<BTreeMap<String, String>, Problem> {
        match self.endpoint_at(number)?.headers {
            None => Ok(BTreeMap::new()),
            Some(part) => {
                let plain = self.open_part(number, "headers", &part)?;
                serde_json::from_slice(&plain).map_err(|_| Problem::internal("sealed headers are no JSON"))
            }
        }
    }

    fn write_headers(
        &mut self,
        number: u32,
        headers: &BTreeMap<String, String>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_ALL {
            return Err(Problem::fault(
                &["body", "headers"],
                "are larger than 16 KiB together",
            ));
        }
        let before = self.endpoint_at(number)?.headers;
        let generation = before.map_or(now.0, |before| now.0.max(before.generation + 1));
        let sealed = self.seal_headers(number, generation, headers, random)?;
        self.write_endpoint(number, |endpoint| {
            endpoint.headers = sealed;
            endpoint.updated_at = now;
        })
    }
}
