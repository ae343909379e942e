//! Takes endpoints into an application: reads each as a create would, and has the object compare and make them.

use postern_domain::address::Policy;
use postern_domain::import::{self, Known};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::moving::{EndpointImport, EndpointsImport, ImportAction, ImportOutcome};
use serde_json::Value;

use super::bounds::Bounds;
use super::shape::{PlannedOut, Run};
use crate::api::access::OrganisationAccess;
use crate::api::app::endpoint;
use crate::api::app::lifecycle;
use crate::api::app::shape::ApplicationIn;
use crate::api::field;
use crate::api::form::Form;
use crate::store::application::{self, Application, Key, State};

/// An endpoint as it was brought along.
pub(super) struct Brought {
    /// What it is called in the plan.
    pub(super) name: String,
    /// Without the values of its query.
    pub(super) url: Option<String>,
    /// What could not be taken along.
    pub(super) left: Vec<String>,
    /// As it shall be, or why it cannot be.
    pub(super) endpoint: Result<EndpointImport, String>,
}

impl Brought {
    /// Reads an endpoint in the form in which the API takes one, with its `secret`.
    pub(super) fn read(name: String, body: &Value, left: Vec<String>, policy: &Policy) -> Self {
        let url = body.get("url").and_then(Value::as_str);
        let url = url
            .and_then(|url| policy.judge(url).ok())
            .map(|target| target.shown());
        let endpoint = read(body, policy).map_err(|problem| why(&problem, body));
        Self {
            name,
            url,
            left,
            endpoint,
        }
    }
}

fn read(body: &Value, policy: &Policy) -> Result<EndpointImport, Problem> {
    let bytes = serde_json::to_vec(body).map_err(Problem::internal)?;
    let mut form = Form::read(&bytes)?;
    let config = endpoint::shape::read(&mut form, policy);
    let secret = form.required("secret", field::signing_key);
    let read = config
        .zip(secret)
        .map(|(config, secret)| EndpointImport { config, secret });
    form.finish(read)
}

/// All that is wrong, with its places and never with what stood there.
fn why(problem: &Problem, body: &Value) -> String {
    let told = problem.faults.iter().map(|fault| {
        let place: Vec<&str> = fault.loc.iter().skip(1).map(String::as_str).collect();
        format!("{} {}", place.join("."), fault.msg)
    });
    let mut told: Vec<String> = told.collect();
    let secret = body.get("secret").and_then(Value::as_str).unwrap_or_default();
    if secret.starts_with("whsk_")
        && problem
            .faults
            .iter()
            .any(|fault| fault.loc.iter().any(|part| part == "secret"))
    {
        told.push("it is an asymmetric key (whsk_), which this release does not take".to_owned());
    }
    if told.is_empty() {
        problem.detail.clone()
    } else {
        told.join("; ")
    }
}

/// The application that endpoints go to.
pub(super) enum Destination {
    /// It is there.
    There { row: Box<Application>, name: String },
    /// It would be made: a dry run.
    Planned { name: String, known: Vec<Known> },
}

impl Destination {
    /// The one that was named in the path.
    pub(super) fn of(row: Application) -> Self {
        let name = row
            .uid
            .as_ref()
            .map_or_else(|| row.id.to_string(), ToString::to_string);
        Self::There {
            row: Box::new(row),
            name,
        }
    }

    /// Finds the application of this key, or makes it of `new`. `None`: neither may be, and the plan says why.
    pub(super) async fn find(
        access: &OrganisationAccess,
        key: Key,
        new: Option<ApplicationIn>,
        now: Millis,
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<Option<Self>, Problem> {
        bounds.begin_application();
        bounds.spend(1);
        let name = match &key {
            Key::Id(id) => id.to_string(),
            Key::Uid(uid) => uid.to_string(),
        };
        let row = application::find(&access.directory()?, access.organisation, &key).await?;
        if let Some(row) = row.filter(|row| row.state != State::Deleting) {
            if row.state == State::Creating && !run.dry() {
                bounds.spend(2);
                lifecycle::set_up(access, &access.directory()?, &row).await?;
            }
            run.say(PlannedOut::application(
                &name,
                Some(row.id.to_string()),
                ImportAction::Exists,
            ));
            let row = Box::new(row);
            return Ok(Some(Self::There { row, name }));
        }
        let Some(new) = new else {
            let why = "There is no such application, and an id cannot be chosen".to_owned();
            run.say(PlannedOut::invalid_application(&name, why));
            return Ok(None);
        };
        if run.dry() {
            run.say(PlannedOut::application(&name, None, ImportAction::Create));
            let known = Vec::new();
            return Ok(Some(Self::Planned { name, known }));
        }
        bounds.spend(3);
        let row = match lifecycle::make(access, new, now).await? {
            Ok(row) => {
                run.say(PlannedOut::application(
                    &name,
                    Some(row.id.to_string()),
                    ImportAction::Create,
                ));
                row
            }
            // Somebody made it in this moment.
            Err(row) => {
                run.say(PlannedOut::application(
                    &name,
                    Some(row.id.to_string()),
                    ImportAction::Exists,
                ));
                row
            }
        };
        let row = Box::new(row);
        Ok(Some(Self::There { row, name }))
    }

    /// Takes the endpoints, and says of each what became of it.
    pub(super) async fn take(
        &mut self,
        access: &OrganisationAccess,
        brought: Vec<Brought>,
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<(), Problem> {
        let endpoints: Vec<EndpointImport> = brought
            .iter()
            .filter_map(|brought| brought.endpoint.as_ref().ok().cloned())
            .collect();
        let (outcomes, name) = match self {
            _ if endpoints.is_empty() => (Vec::new(), self.name()),
            Self::There { row, name } => {
                bounds.spend(1);
                let call = EndpointsImport {
                    endpoints,
                    dry_run: run.dry(),
                };
                let done = access.tenant(row.id).object().call(call, &[]).await;
                (done?.0.outcomes, name.as_str())
            }
            Self::Planned { name, known } => {
                let judged = endpoints.iter().map(|endpoint| judge(endpoint, known)).collect();
                (judged, name.as_str())
            }
        };
        let mut outcomes = outcomes.into_iter();
        for brought in brought {
            let outcome = match brought.endpoint {
                Ok(_) => outcomes
                    .next()
                    .ok_or_else(|| Problem::internal("an import without an outcome"))?,
                Err(why) => ImportOutcome {
                    action: ImportAction::Invalid,
                    why: Some(why),
                    endpoint: None,
                },
            };
            run.say(PlannedOut::endpoint(
                name,
                &brought.name,
                brought.url,
                brought.left,
                outcome,
            ));
        }
        Ok(())
    }

    /// Whether a row means this one.
    pub(super) fn is_called(&self, text: &str) -> bool {
        self.name() == text || matches!(self, Self::There { row, .. } if row.id.to_string() == text)
    }

    fn name(&self) -> &str {
        match self {
            Self::There { name, .. } | Self::Planned { name, .. } => name,
        }
    }
}

/// Of an application that is not there yet: as its object would judge.
fn judge(endpoint: &EndpointImport, known: &mut Vec<Known>) -> ImportOutcome {
    let wanted = Known {
        uid: endpoint.config.uid.clone(),
        url: endpoint.config.url.clone(),
        secret: import::secret_digest(&endpoint.secret),
    };
    let (action, why, _) = import::judge(&wanted, known);
    if action == ImportAction::Create {
        known.push(wanted);
    }
    ImportOutcome {
        action,
        why: why.map(str::to_owned),
        endpoint: None,
    }
}

/// 400.
pub(super) fn invalid_iterator() -> Problem {
    Problem::new(
        Code::InvalidIterator,
        "The iterator is not one that an import of this source gave; begin without it",
    )
}
