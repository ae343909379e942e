//! A provider that an operator or a tenant configures: settings laid over an entry of the catalogue, and judged whole.
//!
//! Guaranteed: every URL of what comes out is one that may be called whatever its variables are, nothing in it can set
//! what is the protocol's, and all of it is bounded. A setting that is not known is refused, not passed over.

use std::collections::BTreeMap;

use serde_json::Value;

use super::authorize;
use super::provider::{
    Check, IdentityFrom, Kind, OAuth, Pkce, Provider, Rotation, TokenPlace, VariableForm, VariableFrom,
};
use super::template;
use crate::address::Policy;
use crate::json;
use crate::problem::Fault;

/// Bytes of a provider as JSON.
const MAX_BYTES: usize = 64 * 1024;

/// Entries of one map or list.
const MAX_ENTRIES: usize = 256;

/// Bytes of one text.
const MAX_TEXT: usize = 2048;

/// Twenty years, in seconds: what is said to live longer is a slip of the pen.
const MAX_SECONDS: u64 = 20 * 365 * 86_400;

/// Settings that are written anew as a whole: one of several forms, which do not mix.
const WHOLE: [&str; 6] = ["pkce", "rotation", "form", "place", "from", "callback"];

/// Settings that stay the entry's.
const FIXED: [&str; 3] = ["id", "kind", "verified"];

/// Entries that are made to be filled in.
pub(super) const BLANKS: [&str; 3] = ["oidc", "oauth2", "api-key"];

/// Fields of token requests that are ours.
const TOKEN_FIELDS: [&str; 11] = [
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "token",
];

/// Headers that are ours or the connection's.
const HEADERS: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// `given` laid over an entry: members take the place of the entry's, `null` takes one away (RFC 7396). `at` is where
/// `given` stands in the request. What changes an entry makes it unverified, but for those that are made to be filled in.
///
/// # Errors
/// All faults, each with its place.
pub fn configured(
    entry: &Provider,
    given: &Value,
    policy: &Policy,
    at: &[&str],
) -> Result<Provider, Vec<Fault>> {
    let whole = |sentence: &str| vec![fault(at, &[], sentence)];
    let settings = given
        .as_object()
        .ok_or_else(|| whole("These settings must be an object"))?;
    if given.to_string().len() > MAX_BYTES {
        return Err(whole("These settings must be at most 64 KB of JSON"));
    }
    let fixed: Vec<Fault> = FIXED
        .iter()
        .filter(|name| settings.contains_key(**name))
        .map(|name| fault(at, &[name], "This cannot be set: it is the catalogue's"))
        .collect();
    if !fixed.is_empty() {
        return Err(fixed);
    }
    let mut merged = json::tree(entry).map_err(|error| whole(&error.to_string()))?;
    lay(&mut merged, given);
    // Read from text: a copy of all readers for values would be a tenth of the Worker.
    let mut provider: Provider = json::read(&merged.to_string()).map_err(|error| {
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        whole(&format!("These settings cannot be read: {words}"))
    })?;
    if provider != *entry && !BLANKS.contains(&entry.id.as_str()) {
        provider.verified = false;
    }
    let kept = json::tree(&provider).map_err(|error| whole(&error.to_string()))?;
    let mut faults = Vec::new();
    find_unknown(given, &kept, &mut Vec::new(), at, &mut faults);
    if faults.is_empty() {
        faults = judge(&provider, policy, at);
    }
    if faults.is_empty() {
        Ok(provider)
    } else {
        Err(faults)
    }
}

/// What is wrong with a provider; nothing: it can be used. `at` is put before each place.
#[must_use]
pub fn judge(provider: &Provider, policy: &Policy, at: &[&str]) -> Vec<Fault> {
    let mut judge = Judge {
        provider,
        policy,
        at,
        faults: Vec::new(),
    };
    judge.all();
    judge.faults
}

/// RFC 7396, but for the settings that do not mix.
fn lay(under: &mut Value, over: &Value) {
    let (Some(under_map), Some(over_map)) = (under.as_object_mut(), over.as_object()) else {
        *under = over.clone();
        return;
    };
    for (name, value) in over_map {
        match under_map.get_mut(name) {
            _ if value.is_null() => {
                under_map.remove(name);
            }
            Some(known) if known.is_object() && value.is_object() && !WHOLE.contains(&name.as_str()) => {
                lay(known, value);
            }
            _ => {
                under_map.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Members that were given and that nothing of the provider holds.
fn find_unknown(given: &Value, kept: &Value, path: &mut Vec<String>, at: &[&str], faults: &mut Vec<Fault>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                path.push(name.clone());
                if let Some(kept) = kept.get(name) {
                    find_unknown(value, kept, path, at, faults);
                } else {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    faults.push(fault(at, &path, "There is no such setting"));
                }
                path.pop();
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (value, kept)) in given.iter().zip(kept).enumerate() {
                path.push(index.to_string());
                find_unknown(value, kept, path, at, faults);
                path.pop();
            }
        }
        _ => {}
    }
}

fn fault(at: &[&str], path: &[&str], sentence: &str) -> Fault {
    Fault {
        loc: at.iter().chain(path).map(|part| (*part).to_owned()).collect(),
        msg: sentence.to_owned(),
        kind: "value_error".to_owned(),
    }
}

struct Judge<'a> {
    provider: &'a Provider,
    policy: &'a Policy,
    at: &'a [&'a str],
    faults: Vec<Fault>,
}

impl Judge<'_> {
    fn refuse(&mut self, path: &[&str], sentence: &str) {
        self.faults.push(fault(self.at, path, sentence));
    }

    fn must(&mut self, holds: bool, path: &[&str], sentence: &str) {
        if !holds {
            self.refuse(path, sentence);
        }
    }

    fn all(&mut self) {
        let provider = self.provider;
        self.text(&provider.name, 80, &["name"]);
        for (name, list) in [("unsure", &provider.unsure), ("docs", &provider.docs)] {
            self.count(list.len(), &[name]);
            for sentence in list {
                self.text(sentence, MAX_TEXT, &[name]);
            }
        }
        for page in &provider.docs {
            let is_page = page.starts_with("https://");
            self.must(is_page, &["docs"], "A page's address must begin with https://");
        }
        self.variables();
        let wanted = match provider.kind {
            Kind::Oauth2 | Kind::Oidc | Kind::ServiceAccount => ("oauth", provider.oauth.is_some()),
            Kind::ApiKey => ("key", provider.key.is_some()),
        };
        self.must(wanted.1, &[wanted.0], "This provider cannot be without it");
        if let Some(oauth) = &provider.oauth {
            self.oauth(oauth);
        }
        if let Some(key) = &provider.key {
            self.text(&key.label, 80, &["key", "label"]);
            self.count(key.prefixes.len(), &["key", "prefixes"]);
        }
        self.api();
        if let Some(identity) = &provider.identity {
            self.must(
                (1..=8).contains(&identity.key.len()),
                &["identity", "key"],
                "One to eight places make the account's key",
            );
            for part in &identity.key {
                let names = template::names(part);
                let is_variable = names.len() == 1 && *part == format!("{{{}}}", names[0]);
                let known = is_variable && self.form_of(&names[0]).is_some();
                self.must(
                    known || is_pointer(part),
                    &["identity", "key"],
                    "A place is a JSON pointer such as /sub, or a variable in braces",
                );
            }
            for part in &identity.label {
                self.must(
                    is_pointer(part),
                    &["identity", "label"],
                    "A place is a JSON pointer such as /email",
                );
            }
            self.must(
                identity.routing.len() <= 8,
                &["identity", "routing"],
                "At most eight places name the account to webhooks",
            );
            for part in &identity.routing {
                self.must(
                    is_pointer(part),
                    &["identity", "routing"],
                    "A place is a JSON pointer such as /team_id",
                );
            }
            if let IdentityFrom::Call(call) = &identity.from {
                self.call(call, &["identity", "from", "call"]);
            }
            if identity.from == IdentityFrom::IdToken {
                let has_token = provider.kind == Kind::Oidc;
                self.must(
                    has_token,
                    &["identity", "from"],
                    "Only OpenID Connect has an id token",
                );
            }
        }
        if let Some(check) = &provider.check {
            self.call(check, &["check"]);
        }
    }

    fn variables(&mut self) {
        let variables = &self.provider.variables;
        self.must(variables.len() <= 16, &["variables"], "At most 16 variables");
        for (index, variable) in variables.iter().enumerate() {
            let place = index.to_string();
            let reserved = matches!(variable.name.as_str(), "account" | "client_id" | "tenantid");
            self.must(
                template::is_name(&variable.name) && !reserved,
                &["variables", &place, "name"],
                "A variable's name is a letter and up to 31 letters, digits and `_`; account, client_id and tenantid are taken",
            );
            let again = variables[..index]
                .iter()
                .any(|before| before.name == variable.name);
            self.must(
                !again,
                &["variables", &place, "name"],
                "Two variables have this name",
            );
            self.text(&variable.label, 80, &["variables", &place, "label"]);
            if let VariableForm::OriginUnder(parents) = &variable.form {
                let is_parent = |parent: &String| {
                    parent.contains('.') && self.policy.judge(&format!("https://{parent}")).is_ok()
                };
                let good = (1..=16).contains(&parents.len()) && parents.iter().all(is_parent);
                self.must(
                    good,
                    &["variables", &place, "form"],
                    "One to sixteen public names, such as example.com",
                );
            }
            if let Some(default) = &variable.default
                && let Err(refused) = template::admit_value(variable, default, self.policy)
            {
                self.refuse(&["variables", &place, "default"], &refused.sentence);
            }
        }
    }

    fn oauth(&mut self, oauth: &OAuth) {
        let provider = self.provider;
        let browser = provider.kind != Kind::ServiceAccount;
        if browser {
            self.endpoint(&oauth.authorize_url, &["oauth", "authorizeUrl"]);
            let taken = url::Url::parse(&oauth.authorize_url).ok().and_then(|url| {
                let mut names = url.query_pairs().map(|(name, _)| name.into_owned());
                names.find(|name| authorize::is_ours(oauth, name))
            });
            if let Some(name) = taken {
                let sentence = format!("`{name}` is set for each attempt and cannot stand in the URL");
                self.refuse(&["oauth", "authorizeUrl"], &sentence);
            }
        }
        self.endpoint(&oauth.token_url, &["oauth", "tokenUrl"]);
        if let Some(url) = &oauth.refresh_url {
            self.url(url, &[], &["oauth", "refreshUrl"]);
        }
        self.issuer(oauth);
        if let Some(revoke) = &oauth.revoke {
            self.url(&revoke.url, &["client_id"], &["oauth", "revoke", "url"]);
            let known = matches!(revoke.method.as_str(), "POST" | "DELETE");
            self.must(known, &["oauth", "revoke", "method"], "POST or DELETE");
            self.count(revoke.fields.len(), &["oauth", "revoke", "fields"]);
        }
        if let Pkce::Off { reason } = &oauth.pkce {
            self.text(reason, 300, &["oauth", "pkce", "off", "reason"]);
        }
        self.scopes(oauth);
        for (place, map, taken) in [
            (
                "authorizeParameters",
                &oauth.authorize_parameters,
                &authorize::RESERVED[..],
            ),
            (
                "reconnectParameters",
                &oauth.reconnect_parameters,
                &authorize::RESERVED[..],
            ),
            ("tokenParameters", &oauth.token_parameters, &TOKEN_FIELDS[..]),
        ] {
            self.count(map.len(), &["oauth", place]);
            for (name, value) in map {
                let ours = taken.contains(&name.as_str())
                    || (place != "tokenParameters" && authorize::is_ours(oauth, name));
                self.must(!ours, &["oauth", place, name], "This is set for each attempt");
                self.text(name, 64, &["oauth", place, name]);
                self.text(value, MAX_TEXT, &["oauth", place, name]);
                let account: &[&str] = if place == "reconnectParameters" {
                    &["account"]
                } else {
                    &[]
                };
                self.known_names(value, account, &["oauth", place, name]);
            }
        }
        self.headers(&oauth.token_headers, &["oauth", "tokenHeaders"]);
        self.spans(oauth);
        let statuses = oauth
            .answer
            .success
            .iter()
            .all(|status| (200..=299).contains(status));
        self.must(
            statuses,
            &["oauth", "answer", "success"],
            "A success has a status from 200 to 299",
        );
        let object = oauth.answer.object.as_deref().is_none_or(is_pointer);
        self.must(
            object,
            &["oauth", "answer", "object"],
            "A place is a JSON pointer such as /authed_user",
        );
        for (name, pointer) in &oauth.answer.learn {
            self.must(
                is_pointer(pointer),
                &["oauth", "answer", "learn", name],
                "A place is a JSON pointer such as /team/id",
            );
        }
    }

    fn issuer(&mut self, oauth: &OAuth) {
        if let Some(issuer) = &oauth.issuer {
            self.url(issuer, &["tenantid"], &["oauth", "issuer"]);
        }
        if let Some(url) = &oauth.jwks_url {
            self.url(url, &[], &["oauth", "jwksUrl"]);
        }
        if self.provider.kind == Kind::Oidc {
            let sentence = "OpenID Connect cannot be without it: discover it by its issuer";
            self.must(oauth.issuer.is_some(), &["oauth", "issuer"], sentence);
            self.must(oauth.jwks_url.is_some(), &["oauth", "jwksUrl"], sentence);
            let has_openid = oauth.scopes.iter().any(|scope| scope == "openid");
            self.must(
                has_openid,
                &["oauth", "scopes"],
                "Without the scope openid there is no id token",
            );
        }
        let issuer_without_keys = oauth.iss_required && oauth.issuer.is_none();
        self.must(
            !issuer_without_keys,
            &["oauth", "issRequired"],
            "Without an issuer there is nothing that `iss` could be compared with",
        );
    }

    fn scopes(&mut self, oauth: &OAuth) {
        let separator = &oauth.scope_separator;
        self.must(
            matches!(separator.as_str(), "" | " " | "," | ";" | "+" | "|"),
            &["oauth", "scopeSeparator"],
            "A blank, a comma, `;`, `+`, `|`, or nothing where the provider takes no scopes",
        );
        self.must(
            !separator.is_empty() || oauth.scopes.is_empty(),
            &["oauth", "scopes"],
            "This provider takes no scopes",
        );
        self.count(oauth.scopes.len(), &["oauth", "scopes"]);
        for scope in &oauth.scopes {
            let good = is_scope(scope, oauth);
            self.must(
                good,
                &["oauth", "scopes"],
                "A scope is of printable characters without blanks, quotes and backslashes, and without the separator",
            );
        }
        self.count(oauth.scope_words.len(), &["oauth", "scopeWords"]);
        for (scope, words) in &oauth.scope_words {
            self.text(words, 200, &["oauth", "scopeWords", scope]);
        }
        self.count(oauth.scope_answers.len(), &["oauth", "scopeAnswers"]);
    }

    fn spans(&mut self, oauth: &OAuth) {
        let lifetime = &oauth.lifetime;
        for (name, seconds) in [
            ("access", lifetime.access),
            ("idle", lifetime.idle),
            ("absolute", lifetime.absolute),
        ] {
            let good = seconds.is_none_or(|seconds| (1..=MAX_SECONDS).contains(&seconds));
            self.must(
                good,
                &["oauth", "lifetime", name],
                "Seconds, at most twenty years of them",
            );
        }
        if let Rotation::Grace { seconds } = oauth.rotation {
            let good = (1..=MAX_SECONDS).contains(&seconds);
            self.must(
                good,
                &["oauth", "rotation", "grace", "seconds"],
                "Seconds, at most twenty years of them",
            );
        }
    }

    fn api(&mut self) {
        let Some(api) = &self.provider.api else {
            return;
        };
        self.url(&api.base, &[], &["api", "base"]);
        self.count(api.bases.len(), &["api", "bases"]);
        for (name, base) in &api.bases {
            let good = template::is_name(name);
            self.must(
                good,
                &["api", "bases", name],
                "A base's name is of letters and digits",
            );
            self.url(base, &[], &["api", "bases", name]);
        }
        for base in api.bases.values().chain([&api.base]) {
            self.must(
                !base.contains(['?', '#']),
                &["api", "base"],
                "A base has neither query nor fragment",
            );
        }
        self.headers(&api.headers, &["api", "headers"]);
        self.count(api.caller_headers.len(), &["api", "callerHeaders"]);
        for name in &api.caller_headers {
            let good = is_free_header(name) && *name == name.to_ascii_lowercase();
            self.must(
                good && name != "authorization",
                &["api", "callerHeaders"],
                "A header's name in lower case, and none that is ours",
            );
        }
        if let TokenPlace::Header(name) = &api.place {
            self.must(
                is_free_header(name),
                &["api", "place", "header"],
                "A header's name, and none that is ours",
            );
        }
        let limits = api.limits;
        for (name, limit) in [
            ("perSecond", limits.per_second),
            ("perMinute", limits.per_minute),
            ("perDay", limits.per_day),
        ] {
            self.must(limit != Some(0), &["api", "limits", name], "At least one");
        }
    }

    fn call(&mut self, call: &Check, path: &[&str]) {
        let with = |name: &'static str| [path, &[name]].concat();
        let known = matches!(call.method.as_str(), "GET" | "POST");
        self.must(known, &with("method"), "GET or POST");
        self.url(&call.url, &[], &with("url"));
        let body = call.body.as_deref().unwrap_or_default();
        self.must(body.len() <= 8192, &with("body"), "At most 8 KB");
        self.must(
            body.is_empty() || call.method == "POST",
            &with("body"),
            "Only POST has a body",
        );
        let holds = call.holds.as_deref().is_none_or(is_pointer);
        self.must(holds, &with("holds"), "A JSON pointer such as /data/viewer/id");
    }

    fn headers(&mut self, headers: &BTreeMap<String, String>, path: &[&str]) {
        self.count(headers.len(), path);
        for (name, value) in headers {
            let good = is_free_header(name) && !name.eq_ignore_ascii_case("authorization");
            let printable = value.bytes().all(|c| (0x20..=0x7e).contains(&c));
            let path = [path, &[name.as_str()]].concat();
            self.must(good, &path, "A header's name, and none that is ours");
            self.must(
                printable && (1..=1024).contains(&value.len()),
                &path,
                "1 to 1024 printable ASCII characters",
            );
        }
    }

    /// A URL that tokens and codes are asked for at: where it leads is settled before anybody answers.
    fn endpoint(&mut self, url: &str, path: &[&str]) {
        if url.is_empty() {
            self.refuse(path, "This provider cannot be without it");
            return;
        }
        let late = template::names(url).iter().any(|name| {
            let variables = &self.provider.variables;
            variables.iter().any(|variable| {
                variable.name == *name
                    && matches!(variable.from, VariableFrom::Answer | VariableFrom::Callback)
            })
        });
        self.must(
            !late,
            path,
            "No variable can stand here that an answer or a callback sets",
        );
        self.url(url, &[], path);
    }

    /// Judges a URL with a sample in the place of each variable. `also`: names that are filled in beside the variables.
    fn url(&mut self, url: &str, also: &[&str], path: &[&str]) {
        if url.contains('#') {
            self.refuse(path, "A fragment cannot stand here");
            return;
        }
        let mut samples = BTreeMap::new();
        for name in template::names(url) {
            let leads = url.starts_with(&format!("{{{name}}}"));
            let sample = match self.form_of(&name) {
                Some(VariableForm::Word | VariableForm::Label) if !leads => "a".to_owned(),
                Some(VariableForm::Digits) if !leads => "1".to_owned(),
                Some(VariableForm::OriginUnder(parents)) if leads => {
                    format!("https://{}", parents.first().map_or("", String::as_str))
                }
                Some(VariableForm::Origin) if leads => "https://origin.example.com".to_owned(),
                Some(_) => {
                    let sentence = format!(
                        "`{{{name}}}` cannot stand there: an origin stands at the beginning, anything else behind it"
                    );
                    self.refuse(path, &sentence);
                    return;
                }
                None if also.contains(&name.as_str()) && !leads => "a".to_owned(),
                None => {
                    self.refuse(path, &format!("There is no variable `{{{name}}}`"));
                    return;
                }
            };
            samples.insert(name, sample);
        }
        match template::fill(url, &samples) {
            Ok(filled) => {
                if let Err(refusal) = self.policy.judge(&filled) {
                    self.refuse(path, refusal.sentence());
                }
            }
            Err(unfilled) => self.refuse(path, &unfilled.to_string()),
        }
    }

    fn known_names(&mut self, text: &str, also: &[&str], path: &[&str]) {
        for name in template::names(text) {
            if self.form_of(&name).is_none() && !also.contains(&name.as_str()) {
                self.refuse(path, &format!("There is no variable `{{{name}}}`"));
            }
        }
    }

    fn form_of(&self, name: &str) -> Option<&VariableForm> {
        let mut variables = self.provider.variables.iter();
        variables
            .find(|variable| variable.name == name)
            .map(|variable| &variable.form)
    }

    fn text(&mut self, text: &str, longest: usize, path: &[&str]) {
        let good = (1..=longest).contains(&text.len()) && !text.contains(char::is_control);
        let sentence = format!("1 to {longest} characters, none of them a control character");
        self.must(good, path, &sentence);
    }

    fn count(&mut self, count: usize, path: &[&str]) {
        self.must(count <= MAX_ENTRIES, path, "At most 256 of these");
    }
}

/// Whether a scope that somebody asks for can be asked for (RFC 6749 section 3.3), and stays one scope in the list.
#[must_use]
pub fn is_scope(scope: &str, oauth: &OAuth) -> bool {
    let separator = &oauth.scope_separator;
    (1..=256).contains(&scope.len())
        && scope
            .bytes()
            .all(|c| matches!(c, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        && !separator.is_empty()
        && !scope.contains(separator.as_str())
}

fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 256 && !text.contains(char::is_control)
}

/// RFC 9110 section 5.6.2's token, and none that is ours.
fn is_free_header(name: &str) -> bool {
    let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    (1..=64).contains(&name.len())
        && name.bytes().all(token)
        && !HEADERS.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
