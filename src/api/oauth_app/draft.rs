//! What a caller says of an app, laid over the row that stands and judged whole before anything is written.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::id::OAuthAppId;
use postern_domain::oauth::app::Row;
use postern_domain::oauth::provider::{Kind, Provider, VariableFrom};
use postern_domain::oauth::{Request, Secret, app, catalogue, discovery, return_url, template, validate};
use postern_domain::problem::Problem;
use postern_platform::config::Config;
use postern_platform::{provider as outgoing, random};
use serde_json::Value;

use crate::api::ask::Ask;
use crate::api::field::{self, Wrong};
use crate::api::form::Form;
use crate::store::oauth_app::Owner;

/// Scopes of one app at the most.
const MAX_SCOPES: usize = 100;

/// An issuer's document may take so long.
const DISCOVERY_MS: u64 = 20_000;

/// Bytes of it that are read.
const DISCOVERY_CAP: usize = 256 * 1024;

/// Whether what is not said stays, or is as in a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A new one, or one that is replaced.
    Whole,
    /// What is given changes.
    Change,
}

/// An app that may be written.
pub(super) struct Draft {
    /// With its new generation, its secret sealed.
    pub(super) row: Row,
    /// Its connections have to look again.
    pub(super) tell: bool,
}

/// Reads and judges all of it.
///
/// # Errors
/// 422 with each fault.
pub(super) async fn read(
    ask: &Ask,
    owner: Owner,
    before: Option<&Row>,
    manner: Manner,
) -> Result<Draft, Problem> {
    let config = Config::from_env(ask.env())?;
    let mut form = ask.form()?;
    let mut row = match before {
        Some(row) => row.clone(),
        None => new(owner, ask),
    };
    let whole = manner == Manner::Whole;
    let name = if whole {
        form.required("name", field::name)
    } else {
        form.given("name", field::name)
    };
    row.name = name.unwrap_or(row.name);
    match form.change("uid", field::uid) {
        Some(uid) => row.uid = uid,
        None if whole => row.uid = None,
        None => {}
    }
    if before.is_none() {
        row.id = form.optional("id", id).unwrap_or(row.id);
    }
    let provider = provider(&mut form, &mut row, before, whole, &config).await?;
    if let Some(provider) = &provider {
        variables(&mut form, &mut row, provider, whole, &config.provider_policy)?;
        client(&mut form, &mut row, provider.kind, whole);
    }
    lists(&mut form, &mut row, provider.as_ref(), whole, &config.base_url)?;
    let enabled = form.given("enabled", field::flag);
    row.enabled = u8::from(enabled.unwrap_or(whole || row.enabled == 1));
    let secret = form.change("clientSecret", secret);
    let kind = provider.as_ref().map(|provider| provider.kind);
    if matches!(secret, Some(Some(_))) && matches!(kind, Some(Kind::ApiKey | Kind::ServiceAccount)) {
        form.say(
            &["clientSecret"],
            "this provider has no client: the key belongs to the connection",
            "value_error",
        );
    }
    form.finish(Some(()))?;
    row.updated_at = ask.now;
    let secret = match (secret, before) {
        (Some(secret), _) => secret,
        (None, Some(before)) => before.open(&config.master_keys)?,
        (None, None) => None,
    };
    write_secret(&mut row, before, secret, &config)?;
    let tell = before.is_some_and(|before| {
        // Whoever edits a broken one has mended something, if only at the provider.
        before.probe_at.is_some()
            || (before.generation, before.enabled) != (row.generation, row.enabled)
            || before.entry != row.entry
    });
    if tell {
        row.probe_at = None; // each of its connections asks the provider anew
    }
    Ok(Draft { row, tell })
}

fn new(owner: Owner, ask: &Ask) -> Row {
    Row {
        id: OAuthAppId(random::bytes()),
        organisation: owner.organisation,
        application: owner.application,
        uid: None,
        name: String::new(),
        provider: String::new(),
        entry: None,
        variables: "{}".to_owned(),
        scopes: "[]".to_owned(),
        all_scopes: 0,
        return_urls: "[]".to_owned(),
        client_id: None,
        secret: None,
        generation: 1,
        enabled: 1,
        broken_at: None,
        broken_words: None,
        probe_at: None,
        alert: None,
        created_at: ask.now,
        updated_at: ask.now,
    }
}

/// The secret belongs to the generation: whichever of both changes, it is sealed anew.
fn write_secret(
    row: &mut Row,
    before: Option<&Row>,
    secret: Option<Secret>,
    config: &Config,
) -> Result<(), Problem> {
    if let Some(before) = before {
        let same = before.client_id == row.client_id && before.open(&config.master_keys)? == secret;
        if same {
            return Ok(());
        }
        row.generation = before.generation + 1;
    }
    row.secret = None;
    match secret {
        Some(secret) => row.seal(&config.master_keys, random::bytes(), &secret),
        None => Ok(()),
    }
}

/// The entry as it will stand; `None`: the form knows why.
async fn provider(
    form: &mut Form<'_>,
    row: &mut Row,
    before: Option<&Row>,
    whole: bool,
    config: &Config,
) -> Result<Option<Provider>, Problem> {
    let id = match before {
        None => form.required("provider", field::text),
        Some(_) => form.given("provider", field::text).or(Some(row.provider.clone())),
    };
    let Some(id) = id else {
        return Ok(None);
    };
    if before.is_some_and(|before| before.provider != id) {
        let msg = "cannot be changed: make another app";
        form.say(&["provider"], msg, "value_error");
        return Ok(None);
    }
    let Some(entry) = catalogue::find(&id) else {
        let msg = "names no provider; see GET /api/v1/connection-provider";
        form.say(&["provider"], msg, "value_error");
        return Ok(None);
    };
    row.provider = id;
    let settings = form.change("providerConfig", field::object);
    let issuer = form.optional("issuer", field::url);
    if settings.is_none() && issuer.is_none() && !whole {
        return row.entry().map(Some);
    }
    let entry = match issuer {
        Some(issuer) => match discovered(form, &entry, &issuer, config).await {
            Some(entry) => entry,
            None => return Ok(None),
        },
        None => entry,
    };
    // A blank is judged even if nothing is laid over it: it cannot be used as it is.
    let settings = settings
        .flatten()
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let at = ["body", "providerConfig"];
    match validate::configured(&entry, &settings, &config.provider_policy, &at) {
        Ok(provider) => {
            row.entry = if catalogue::find(&row.provider).as_ref() == Some(&provider) {
                None
            } else {
                Some(written(&provider)?)
            };
            Ok(Some(provider))
        }
        Err(faults) => {
            form.found(faults);
            Ok(None)
        }
    }
}

/// The entry that an issuer's own document makes.
async fn discovered(
    form: &mut Form<'_>,
    entry: &Provider,
    issuer: &str,
    config: &Config,
) -> Option<Provider> {
    if entry.id != "oidc" {
        form.say(&["issuer"], "is for the provider oidc", "value_error");
        return None;
    }
    let found = match discovery::url(issuer, &config.provider_policy) {
        Ok(url) => {
            let request = Request {
                method: "GET",
                url,
                headers: vec![("accept".to_owned(), "application/json".to_owned())],
                body: Vec::new(),
            };
            let ended = outgoing::ask(config, &request, DISCOVERY_MS, DISCOVERY_CAP).await;
            discovery::provider(issuer, &ended, &config.provider_policy)
        }
        Err(undiscovered) => Err(undiscovered),
    };
    found
        .map_err(|undiscovered| form.say(&["issuer"], &undiscovered.to_string(), "value_error"))
        .ok()
}

fn variables(
    form: &mut Form<'_>,
    row: &mut Row,
    provider: &Provider,
    whole: bool,
    policy: &Policy,
) -> Result<(), Problem> {
    let given: BTreeMap<String, String> = match form.optional("variables", field::metadata) {
        Some(given) => given,
        None if whole || form.names("variables") => BTreeMap::new(),
        None => row.variables()?,
    };
    match template::admit(provider, VariableFrom::App, &given, policy) {
        Ok(variables) => row.variables = written(&variables)?,
        Err(refused) => form.say(&["variables", &refused.name], &refused.sentence, "value_error"),
    }
    Ok(())
}

fn client(form: &mut Form<'_>, row: &mut Row, kind: Kind, whole: bool) {
    match form.change("clientId", client_id) {
        Some(id) => row.client_id = id,
        None if whole => row.client_id = None,
        None => {}
    }
    match kind {
        Kind::Oauth2 | Kind::Oidc if row.client_id.is_none() && !form.has("clientId") => {
            form.say(&["clientId"], "is missing", "missing");
        }
        Kind::ApiKey | Kind::ServiceAccount if row.client_id.is_some() => {
            form.say(&["clientId"], "this provider has no client", "value_error");
        }
        _ => {}
    }
}

fn lists(
    form: &mut Form<'_>,
    row: &mut Row,
    provider: Option<&Provider>,
    whole: bool,
    base_url: &str,
) -> Result<(), Problem> {
    let oauth = provider.and_then(|provider| provider.oauth.as_ref());
    match form.given("scopes", scopes) {
        Some(scopes) => {
            let odd = |scope: &String| oauth.is_some_and(|oauth| !validate::is_scope(scope, oauth));
            if scopes.iter().any(odd) {
                let msg = "holds what this provider takes for no scope, or for several";
                form.say(&["scopes"], msg, "value_error");
            }
            row.scopes = written(&scopes)?;
        }
        None if whole => "[]".clone_into(&mut row.scopes),
        None => {}
    }
    let all = form.given("allScopes", field::flag);
    row.all_scopes = u8::from(all.unwrap_or(!whole && row.all_scopes == 1));
    let development = base_url.starts_with("http://");
    match form.given("returnUrls", |value| return_urls(value, development)) {
        Some(urls) => row.return_urls = written(&urls)?,
        None if whole => "[]".clone_into(&mut row.return_urls),
        None => {}
    }
    Ok(())
}

fn written<T: serde::Serialize>(value: &T) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(Problem::internal)
}

/// Each 1 to 512 visible characters (RFC 6749 section 3.3), once.
pub(in crate::api) fn scopes(value: &Value) -> Result<Vec<String>, Vec<Wrong>> {
    let scopes = field::texts(value)?;
    let form = |byte: u8| (b'!'..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if scopes.len() > MAX_SCOPES {
        return Err(wrong(&[], &format!("must be at most {MAX_SCOPES}")));
    }
    let mut faults = Vec::new();
    for (at, scope) in scopes.iter().enumerate() {
        if !(1..=512).contains(&scope.len()) || !scope.bytes().all(form) {
            let msg = "must be 1 to 512 visible ASCII characters without blanks";
            faults.extend(wrong(&[&at.to_string()], msg));
        } else if scopes[..at].contains(scope) {
            faults.extend(wrong(&[&at.to_string()], "stands twice"));
        }
    }
    if faults.is_empty() {
        Ok(scopes)
    } else {
        Err(faults)
    }
}

fn return_urls(value: &Value, development: bool) -> Result<Vec<String>, Vec<Wrong>> {
    let urls = field::texts(value)?;
    if urls.len() > return_url::MAX_ENTRIES {
        return Err(wrong(
            &[],
            &format!("must be at most {}", return_url::MAX_ENTRIES),
        ));
    }
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    for (at, url) in urls.iter().enumerate() {
        match return_url::entry(url, development) {
            Ok(entry) => entries.push(entry),
            Err(error) => faults.extend(wrong(&[&at.to_string()], &error.to_string())),
        }
    }
    if faults.is_empty() {
        Ok(entries)
    } else {
        Err(faults)
    }
}

/// The id that the doctor gave, so that the redirect URI which was registered stays.
fn id(value: &Value) -> Result<OAuthAppId, Vec<Wrong>> {
    let id: Option<OAuthAppId> = field::text(value)?.parse().ok();
    id.filter(|id| app::terms_of_catalogue(*id, "").is_none())
        .ok_or_else(|| wrong(&[], "must be an id that POST …/oauth-app/doctor gave"))
}

/// VSCHAR (RFC 6749 appendix A.1), at least one.
fn client_id(value: &Value) -> Result<String, Vec<Wrong>> {
    visible(value, 1024)
}

/// VSCHAR (RFC 6749 appendix A.2). What was wrong with it is said without it.
fn secret(value: &Value) -> Result<Secret, Vec<Wrong>> {
    visible(value, 4096).map(Secret)
}

fn visible(value: &Value, most: usize) -> Result<String, Vec<Wrong>> {
    let text = field::text(value)?;
    if (1..=most).contains(&text.len())
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim() == text
    {
        Ok(text)
    } else {
        let msg = format!("must be 1 to {most} ASCII characters, without blanks at its ends");
        Err(wrong(&[], &msg))
    }
}

fn wrong(at: &[&str], msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: at.iter().map(|part| (*part).to_owned()).collect(),
        msg: msg.to_owned(),
        kind: "value_error",
    }]
}
