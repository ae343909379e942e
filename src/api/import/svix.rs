//! Everything that another server knows: event types, applications, their endpoints with secrets and headers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use futures::stream;
use postern_domain::address::Policy;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::moving::ImportAction;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bounds::Bounds;
use super::remote::{Failed, Remote};
use super::shape::{PlannedOut, Run};
use super::take::{Brought, Destination, invalid_iterator};
use crate::api::access::OrganisationAccess;
use crate::api::app::shape::ApplicationIn;
use crate::api::event_type::shape::EventTypeIn;
use crate::api::field;
use crate::api::form::Form;
use crate::store;
use crate::store::application::{Application, Key};

/// Things of one page: of an endpoint each takes two more requests.
const PAGE: u8 = 50;

/// Endpoints asked about at the same time.
const AT_ONCE: usize = 4;

/// What a thing without a `uid` of its own is called here: so that it is known again.
const PREFIX: &str = "svix.";

/// One import.
pub(super) struct Import<'a> {
    pub(super) access: &'a OrganisationAccess,
    pub(super) now: Millis,
    pub(super) policy: &'a Policy,
    pub(super) remote: Remote<'a>,
    /// All goes into this one.
    pub(super) only: Option<Application>,
    /// Only these of the source; none: all, and the event types too.
    pub(super) applications: Option<Vec<String>>,
}

/// Where an import stands. Its text is opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    /// At this page of event types.
    Types(Option<String>),
    /// At the n-th application of this page, and at this page of its endpoints.
    Application {
        page: Option<String>,
        n: usize,
        endpoints: Option<String>,
    },
}

impl At {
    fn read(text: &str) -> Result<Self, Problem> {
        let at = URL_SAFE_NO_PAD.decode(text).ok();
        let at = at.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        at.ok_or_else(invalid_iterator)
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Why an import does not go on.
enum Halt {
    /// The source failed.
    Source(Failed),
    /// We did.
    Own(Problem),
}

impl From<Failed> for Halt {
    fn from(failed: Failed) -> Self {
        Self::Source(failed)
    }
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Own(problem)
    }
}

impl Import<'_> {
    /// Goes on from the iterator until all is done or the bounds are reached. A source that fails in the middle takes
    /// nothing back: the answer says what was done, why it stopped, and where to go on.
    pub(super) async fn run(
        &mut self,
        iterator: Option<String>,
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<(), Problem> {
        let begin = if self.applications.is_some() {
            At::Application {
                page: None,
                n: 0,
                endpoints: None,
            }
        } else {
            At::Types(None)
        };
        let mut at = iterator.map_or(Ok(begin), |text| At::read(&text))?;
        loop {
            if bounds.are_reached() {
                run.pause(at.text());
                return Ok(());
            }
            let next = match &at {
                At::Types(page) => self.event_types(page.as_deref(), bounds, run).await,
                At::Application { page, n, endpoints } => {
                    let mut place = (page.clone(), *n, endpoints.clone());
                    let done = self.applications(&mut place, bounds, run).await;
                    let (page, n, endpoints) = place;
                    at = At::Application { page, n, endpoints };
                    done.map(|done| (!done).then(|| at.clone()))
                }
            };
            match next {
                Ok(Some(next)) => at = next,
                Ok(None) => return Ok(()),
                Err(Halt::Source(failed)) if run.is_empty() => return Err(failed.problem()),
                Err(Halt::Source(failed)) => {
                    run.stop(at.text(), failed.sentence());
                    return Ok(());
                }
                Err(Halt::Own(problem)) => return Err(problem),
            }
        }
    }

    async fn event_types(
        &self,
        page: Option<&str>,
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<Option<At>, Halt> {
        let more = "&with_content=true&include_archived=true";
        let list = self.remote.page(&["event-type"], PAGE, page, more).await?;
        let directory = self.access.directory()?;
        for found in &list.data {
            let name = found.get("name").and_then(Value::as_str).unwrap_or_default();
            let row = match event_type_row(found, self.now) {
                Ok(row) => row,
                Err(problem) => {
                    let why = problem.faults.first().map_or(problem.detail.clone(), |fault| {
                        format!("{} {}", fault.loc.last().map_or("", String::as_str), fault.msg)
                    });
                    run.say(PlannedOut::event_type(name, ImportAction::Invalid, Some(why)));
                    continue;
                }
            };
            bounds.spend(1);
            let organisation = self.access.organisation;
            let there = store::event_type::find(&directory, organisation, name).await?;
            if there.is_some() {
                run.say(PlannedOut::event_type(name, ImportAction::Exists, None));
                continue;
            }
            if !run.dry() {
                bounds.spend(1);
                store::event_type::insert(&directory, organisation, &row).await?;
            }
            run.say(PlannedOut::event_type(name, ImportAction::Create, None));
        }
        let next = list.next().map(|next| At::Types(Some(next)));
        Ok(next.or(Some(At::Application {
            page: None,
            n: 0,
            endpoints: None,
        })))
    }

    /// The rest of a page of applications. True: there is no other page. `place` is where it stands, whatever happens.
    async fn applications(
        &mut self,
        place: &mut (Option<String>, usize, Option<String>),
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<bool, Halt> {
        let (found, next) = if let Some(names) = &self.applications {
            (names.iter().map(|name| json!(name)).collect(), None)
        } else {
            let list = self.remote.page(&["app"], PAGE, place.0.as_deref(), "").await?;
            let next = list.next();
            (list.data, next)
        };
        for entry in found.iter().skip(place.1) {
            if bounds.are_reached() {
                return Ok(false);
            }
            // By its name alone, it has to be asked for.
            let asked = match entry.as_str() {
                Some(name) => self.remote.get(&["app", name], "").await,
                None => Ok(entry.clone()),
            };
            match asked {
                Ok(application) => {
                    if !self.application(&application, &mut place.2, bounds, run).await? {
                        return Ok(false);
                    }
                }
                Err(Failed::NothingThere) => {
                    let name = entry.as_str().unwrap_or_default();
                    let why = "The source has no such application".to_owned();
                    run.say(PlannedOut::invalid_application(name, why));
                }
                Err(failed) => return Err(failed.into()),
            }
            place.1 += 1;
            place.2 = None;
        }
        let Some(next) = next else { return Ok(true) };
        *place = (Some(next), 0, None);
        Ok(false)
    }

    /// One application's endpoints. False: the bounds were reached before its end.
    async fn application(
        &mut self,
        found: &Value,
        endpoints: &mut Option<String>,
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<bool, Halt> {
        let id = found.get("id").and_then(Value::as_str).ok_or(Failed::Form)?;
        let destination = match self.only.clone() {
            Some(row) => Some(Destination::of(row)),
            None => self.destination(found, id, bounds, run).await?,
        };
        let Some(mut destination) = destination else {
            return Ok(true);
        };
        loop {
            if bounds.are_reached() {
                return Ok(false);
            }
            let path = ["app", id, "endpoint"];
            let list = self.remote.page(&path, PAGE, endpoints.as_deref(), "").await?;
            let asked = stream::iter(&list.data).map(|endpoint| self.brought(id, endpoint));
            let asked: Vec<Result<Brought, Failed>> = asked.buffered(AT_ONCE).collect().await;
            let brought = asked.into_iter().collect::<Result<Vec<_>, Failed>>()?;
            destination.take(self.access, brought, bounds, run).await?;
            *endpoints = list.next();
            if endpoints.is_none() {
                return Ok(true);
            }
        }
    }

    async fn destination(
        &self,
        found: &Value,
        id: &str,
        bounds: &Bounds,
        run: &mut Run,
    ) -> Result<Option<Destination>, Problem> {
        let uid = text(found, "uid").unwrap_or_else(|| format!("{PREFIX}{id}"));
        let read = || -> Result<(Key, ApplicationIn), Problem> {
            let body = json!({
                "name": text(found, "name").unwrap_or_else(|| uid.clone()),
                "uid": uid,
                "metadata": found.get("metadata"),
                "throttleRate": either(found, "throttleRate", "rateLimit"),
            });
            let body = body.to_string();
            let mut form = Form::read(body.as_bytes())?;
            let new = ApplicationIn::read(&mut form);
            let new = form.finish(new)?;
            let uid = new
                .uid
                .clone()
                .ok_or_else(|| Problem::internal("a uid that was read is gone"))?;
            Ok((Key::Uid(uid), new))
        };
        match read() {
            Ok((key, new)) => Destination::find(self.access, key, Some(new), self.now, bounds, run).await,
            Err(problem) => {
                let fault = problem.faults.first();
                let why = fault.map_or(problem.detail.clone(), |fault| {
                    format!("{} {}", fault.loc.last().map_or("", String::as_str), fault.msg)
                });
                run.say(PlannedOut::invalid_application(&uid, why));
                Ok(None)
            }
        }
    }

    /// An endpoint with its secret and its headers. What the source does not give is said; a source that fails altogether
    /// ends the run.
    async fn brought(&self, application: &str, found: &Value) -> Result<Brought, Failed> {
        let id = found.get("id").and_then(Value::as_str).ok_or(Failed::Form)?;
        let uid = text(found, "uid").unwrap_or_else(|| format!("{PREFIX}{id}"));
        let mut left = Vec::new();
        let mut body = Map::new();
        for (name, value) in [
            ("url", found.get("url").cloned()),
            ("description", found.get("description").cloned()),
            ("uid", Some(json!(uid))),
            ("eventTypes", listed(either(found, "eventTypes", "filterTypes"))),
            ("channels", listed(found.get("channels").cloned())),
            ("throttleRate", either(found, "throttleRate", "rateLimit")),
            ("disabled", found.get("disabled").cloned()),
            ("metadata", found.get("metadata").cloned()),
            ("retrySchedule", found.get("retrySchedule").cloned()),
            // Receivers of Svix look for its own names; those of Postern's say what they look for.
            (
                "headerNames",
                Some(either(found, "headerNames", "header_names").unwrap_or_else(|| json!("both"))),
            ),
        ] {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                body.insert(name.to_owned(), value);
            }
        }
        let path = ["app", application, "endpoint", id];
        match self
            .remote
            .get(&[path.as_slice(), &["headers"]].concat(), "")
            .await
        {
            Ok(headers) => {
                body.insert("headers".to_owned(), taken_headers(&headers, &mut left));
            }
            Err(Failed::Token) => return Err(Failed::Token),
            Err(failed @ (Failed::NothingThere | Failed::Status(400..=499 | 501)))
                if failed != Failed::Status(429) =>
            {
                left.push("headers: the source does not tell them".to_owned());
            }
            Err(failed) => return Err(failed),
        }
        let secret = self
            .remote
            .get(&[path.as_slice(), &["secret"]].concat(), "")
            .await;
        let secret = match secret {
            Ok(secret) => text(&secret, "key").ok_or("The source gives no secret for it".to_owned()),
            Err(failed @ (Failed::NothingThere | Failed::Status(400..=499 | 501)))
                if failed != Failed::Status(429) =>
            {
                Err("The source gives no secret for it".to_owned())
            }
            Err(failed) => return Err(failed),
        };
        Ok(match secret {
            Ok(secret) => {
                body.insert("secret".to_owned(), json!(secret));
                Brought::read(uid, &Value::Object(body), left, self.policy)
            }
            Err(why) => {
                let mut brought = Brought::read(uid, &Value::Object(body), left, self.policy);
                brought.endpoint = Err(why);
                brought
            }
        })
    }
}

/// Headers that may be taken; the others are named, without their values.
fn taken_headers(found: &Value, left: &mut Vec<String>) -> Value {
    let mut taken = Map::new();
    let headers = found.get("headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        let one = json!({ name: value });
        match field::headers(&one) {
            Ok(_) => {
                taken.insert(name.clone(), value.clone());
            }
            Err(_) => left.push(format!(
                "headers: {name} cannot be one of an endpoint's headers here"
            )),
        }
    }
    let secret = found.get("sensitive").and_then(Value::as_array);
    for name in secret.into_iter().flatten().filter_map(Value::as_str) {
        taken.remove(name);
        left.push(format!(
            "headers: the source keeps the value of {name} to itself; set it here"
        ));
    }
    Value::Object(taken)
}

fn event_type_row(found: &Value, now: Millis) -> Result<store::event_type::EventType, Problem> {
    let body = json!({
        "name": found.get("name"),
        "description": text(found, "description").unwrap_or_default(),
        "archived": found.get("archived"),
        "deprecated": found.get("deprecated"),
        "schemas": found.get("schemas"),
        "featureFlag": found.get("featureFlag"),
        "groupName": found.get("groupName"),
    });
    let body = body.to_string();
    let mut form = Form::read(body.as_bytes())?;
    let read = EventTypeIn::read(&mut form);
    form.finish(read)?.row(None, now)
}

/// A text that says something.
fn text(found: &Value, name: &str) -> Option<String> {
    let text = found.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A field that has two names.
fn either(found: &Value, name: &str, other: &str) -> Option<Value> {
    let field = |name| found.get(name).filter(|value| !value.is_null());
    field(name).or_else(|| field(other)).cloned()
}

/// No names are all of them.
fn listed(value: Option<Value>) -> Option<Value> {
    value.filter(|value| value.as_array().is_none_or(|list| !list.is_empty()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn headers_that_cannot_be_taken_are_named_without_their_values() {
        let found = json!({
            "headers": { "x-plain": "1", "host": "secret.example", "x-masked": "***" }, "sensitive": ["x-masked", "x-api-key"],
        });
        let mut left = Vec::new();
        assert_eq!(taken_headers(&found, &mut left), json!({ "x-plain": "1" }));
        assert_eq!(left.len(), 3);
        assert!(!left.join(" ").contains("secret.example"));
    }

    #[test]
    fn an_iterator_reads_back_and_nothing_else_does() {
        let at = At::Application {
            page: Some("x".to_owned()),
            n: 3,
            endpoints: None,
        };
        assert_eq!(At::read(&at.text()).unwrap(), at);
        assert!(At::read("x").is_err());
        assert!(At::read("").is_err());
    }
}
