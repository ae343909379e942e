//! Endpoints that come with the secrets that their receivers know.

use postern_domain::import::{self, Known};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{EndpointCreate, EndpointSecret};
use postern_domain::wire::moving::{
    EndpointImport, EndpointsImport, EndpointsImported, ImportAction, ImportOutcome,
};
use postern_domain::wire::signing::SigningChange;

use crate::memory::Memory;
use crate::sql::Sql;
use crate::{Ledger, Random};

/// Endpoints of one call at the most: each is sealed and written in this turn.
const MOST: usize = 500;

/// What an endpoint is compared by, and its id if it is more than a plan.
type Beside = (Vec<Known>, Vec<Option<postern_domain::id::EndpointId>>);

impl<S: Sql> Ledger<S> {
    /// Takes each endpoint that is not there yet. Again with the same: all are there. A dry run looks and writes nothing,
    /// and sees those before it in the same call as if they had been made.
    pub(crate) fn endpoints_import(
        &mut self,
        call: &EndpointsImport,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<EndpointsImported, Problem> {
        if call.endpoints.len() > MOST {
            let detail = format!("One call imports {MOST} endpoints at the most");
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        let (mut planned, mut outcomes) = (Vec::new(), Vec::new());
        for brought in &call.endpoints {
            let wanted = Known {
                uid: brought.config.uid.clone(),
                url: brought.config.url.clone(),
                secret: import::secret_digest(&brought.secret),
            };
            let (mut there, mut ids) = self.like(&wanted)?;
            there.extend(planned.iter().cloned());
            ids.resize(there.len(), None);
            let (action, why, at) = import::judge(&wanted, &there);
            let mut outcome = ImportOutcome {
                action,
                why: why.map(str::to_owned),
                endpoint: at.and_then(|at| ids.get(at).copied().flatten()),
            };
            if action == ImportAction::Create {
                if call.dry_run {
                    planned.push(wanted);
                } else {
                    self.take_in(brought, &mut outcome, now, random)?;
                }
            }
            outcomes.push(outcome);
        }
        Ok(EndpointsImported { outcomes })
    }

    /// Makes one. What refuses it (too many) is its outcome; what is our fault ends the call.
    fn take_in(
        &mut self,
        brought: &EndpointImport,
        outcome: &mut ImportOutcome,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let create = EndpointCreate {
            config: brought.config.clone(),
            secret: Some(brought.secret.clone()),
            signing: SigningChange::default(),
            idempotency: None,
        };
        match self.endpoint_create(&create, now, random) {
            Ok(view) => outcome.endpoint = Some(view.id),
            Err(problem) if problem.code.status() < 500 => {
                outcome.action = match problem.code {
                    Code::Conflict => ImportAction::Conflict,
                    _ => ImportAction::Invalid,
                };
                let problem = problem.into_parts();
                let fault = problem.faults.into_iter().next();
                outcome.why = Some(fault.map_or(problem.detail, |fault| fault.msg));
            }
            Err(problem) => return Err(problem),
        }
        Ok(())
    }

    /// Live endpoints that could be the wanted one: by `uid` or URL. No other key is opened.
    fn like(&mut self, wanted: &Known) -> Result<Beside, Problem> {
        let endpoints = self.memory()?.endpoints.values();
        let alike: Vec<_> = endpoints
            .filter(|endpoint| endpoint.deleted_at.is_none())
            .filter(|endpoint| {
                let uid = &endpoint.config.uid;
                endpoint.config.url == wanted.url || (uid.is_some() && *uid == wanted.uid)
            })
            .map(|endpoint| {
                (
                    Memory::endpoint_id(endpoint),
                    endpoint.config.uid.clone(),
                    endpoint.config.url.clone(),
                )
            })
            .collect();
        let (mut there, mut ids) = (Vec::new(), Vec::new());
        for (id, uid, url) in alike {
            let secret = self.endpoint_secret(&EndpointSecret {
                endpoint: id.to_string(),
            })?;
            there.push(Known {
                uid,
                url,
                secret: import::secret_digest(&secret.key),
            });
            ids.push(Some(id));
        }
        Ok((there, ids))
    }
}
