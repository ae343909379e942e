//! What an import is asked for.

use postern_domain::address::Policy;
use postern_domain::problem::Problem;

use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::Form;

/// Applications that can be named in one request.
const MOST_NAMED: usize = 250;

/// One request.
pub(super) struct Asked {
    pub(super) from: Origin,
    pub(super) applications: Option<Vec<String>>,
    pub(super) dry_run: bool,
    pub(super) iterator: Option<String>,
}

/// Where the endpoints come from.
pub(super) enum Origin {
    Csv(String),
    Svix(Server),
}

/// A server that speaks Svix's API. Has no `Debug`: the token is a secret.
pub(super) struct Server {
    /// Without `/api/v1` and without a slash at its end.
    pub(super) url: String,
    pub(super) token: String,
}

impl Asked {
    /// Reads the body. Of one application's import from Svix the source's application has to be named, and one alone.
    pub(super) fn read(ask: &Ask, policy: &Policy, of_one: bool) -> Result<Self, Problem> {
        let mut form = ask.form()?;
        let from = match form.required("source", field::text).as_deref() {
            Some("csv") => form.required("csv", field::text).map(Origin::Csv),
            Some("svix") => server(&mut form, policy),
            Some(_) => {
                form.say(&["source"], "must be svix or csv", "value_error");
                None
            }
            None => None,
        };
        let applications = form.optional("applications", field::texts);
        let named = applications.as_ref().map(Vec::len);
        if matches!(from, Some(Origin::Svix(_))) && of_one && named != Some(1) {
            let msg = "must name one: the application at the source, by id or uid";
            form.say(&["applications"], msg, "value_error");
        } else if named.is_some_and(|named| named == 0 || named > MOST_NAMED) {
            form.say(&["applications"], "must name 1 to 250", "value_error");
        }
        let dry_run = form.optional("dryRun", field::flag).unwrap_or(true);
        let iterator = form.optional("iterator", field::text);
        let from = form.finish(from)?;
        Ok(Self {
            from,
            applications,
            dry_run,
            iterator,
        })
    }
}

fn server(form: &mut Form<'_>, policy: &Policy) -> Option<Origin> {
    let url = form.required("url", field::url);
    let token = form.required("token", field::bearer_token);
    let url = url.and_then(|url| {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/api/v1").unwrap_or(base).trim_end_matches('/');
        if base.contains(['?', '#']) {
            form.say(&["url"], "must be without a query", "value_error");
            return None;
        }
        match policy.judge(base) {
            Ok(_) => Some(base.to_owned()),
            Err(refusal) => {
                form.say(&["url"], refusal.sentence(), "value_error");
                None
            }
        }
    });
    Some(Origin::Svix(Server {
        url: url?,
        token: token?,
    }))
}
