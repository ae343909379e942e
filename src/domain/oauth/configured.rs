//! A provider as an operator or tenant configures it: an entry of the catalogue, often one of its blanks (`oidc`, `oauth2`,
//! `api-key`), with their own settings laid over it.

use serde_json::{Map, Value};

use super::provider::Provider;
use crate::json;
use crate::problem::Fault;

/// The entry with `settings` laid over it: objects are merged, anything else replaces, null takes away. Its `id` and `kind`
/// stay. Whether its URLs may be called is not judged here.
///
/// # Errors
/// Each setting that no entry has, and what does not read. Places are inside of the settings.
pub fn over(entry: &Provider, settings: &Map<String, Value>) -> Result<Provider, Vec<Fault>> {
    let blank = entry
        .oauth
        .as_ref()
        .is_some_and(|oauth| oauth.token_url.is_empty())
        || entry.api.as_ref().is_some_and(|api| api.base.is_empty());
    let fixed = ["id", "kind", "verified"];
    if let Some(name) = fixed.into_iter().find(|name| settings.contains_key(*name)) {
        return Err(vec![fault(
            vec![name.to_owned()],
            "cannot be set: choose another provider",
        )]);
    }
    let Ok(mut merged) = serde_json::to_value(entry) else {
        return Err(vec![fault(Vec::new(), "cannot be laid over this provider")]);
    };
    lay(&mut merged, &Value::Object(settings.clone()));
    let mut provider: Provider = json::read(&merged.to_string())
        .map_err(|error| vec![fault(Vec::new(), &format!("cannot be read: {error}"))])?;
    // Whatever reads back without a setting does not know it.
    let read = serde_json::to_value(&provider).unwrap_or_default();
    let mut unknown = Vec::new();
    missing(
        &mut Vec::new(),
        &Value::Object(settings.clone()),
        &read,
        &mut unknown,
    );
    if !unknown.is_empty() {
        return Err(unknown);
    }
    // What somebody changed is proven by nobody, but a blank is proven as such.
    provider.verified = entry.verified && blank;
    Ok(provider)
}

fn lay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    under.remove(name);
                } else {
                    lay(under.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// Settings that are not in what was read.
fn missing(at: &mut Vec<String>, settings: &Value, read: &Value, faults: &mut Vec<Fault>) {
    let (Value::Object(settings), Value::Object(read)) = (settings, read) else {
        return;
    };
    for (name, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        at.push(name.clone());
        match read.get(name) {
            Some(read) => missing(at, value, read, faults),
            None => faults.push(fault(at.clone(), "is no setting of a provider")),
        }
        at.pop();
    }
}

fn fault(loc: Vec<String>, msg: &str) -> Fault {
    Fault {
        loc,
        msg: msg.to_owned(),
        kind: "value_error".to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use serde_json::json;

    use super::super::catalogue;
    use super::*;

    fn laid(id: &str, settings: &Value) -> Result<Provider, Vec<String>> {
        let settings = settings.as_object().unwrap();
        over(&catalogue::find(id).unwrap(), settings)
            .map_err(|faults| faults.iter().map(|fault| fault.loc.join(".")).collect())
    }

    #[test]
    fn settings_lie_over_the_entry_and_the_rest_of_it_stands() {
        let settings = json!({
            "name": "Acme",
            "oauth": { "tokenUrl": "https://acme.example/token", "scopeWords": { "read": "Read" }, "issuer": null },
        });
        let provider = laid("oidc", &settings).unwrap();
        let oauth = provider.oauth.unwrap();
        assert_eq!((provider.id.as_str(), provider.name.as_str()), ("oidc", "Acme"));
        assert_eq!(oauth.token_url, "https://acme.example/token");
        assert_eq!(oauth.scopes, ["openid"]);
        assert_eq!(oauth.scope_words["read"], "Read");
        assert!(oauth.scope_words.contains_key("email"));
        assert!(provider.verified, "a blank is proven as such");
    }

    #[test]
    fn an_entry_that_somebody_changed_is_not_a_verified_one() {
        let changed = laid(
            "github",
            &json!({ "api": { "base": "https://github.acme.example" } }),
        );
        assert!(!changed.unwrap().verified);
    }

    #[test]
    fn a_setting_that_no_entry_has_is_refused_with_its_place() {
        let settings = json!({ "oauth": { "tokenURL": "https://acme.example/", "lifetime": { "acces": 1 } }, "nam": "x" });
        let mut places = laid("oauth2", &settings).unwrap_err();
        places.sort();
        assert_eq!(places, ["nam", "oauth.lifetime.acces", "oauth.tokenURL"]);
        assert_eq!(laid("oauth2", &json!({ "id": "google" })).unwrap_err(), ["id"]);
        assert_eq!(
            laid("oauth2", &json!({ "kind": "api_key" })).unwrap_err(),
            ["kind"]
        );
    }

    #[test]
    fn what_does_not_read_is_refused_and_does_not_panic() {
        for settings in [
            json!({ "oauth": 7 }),
            json!({ "oauth": { "pkce": "plain" } }),
            json!({ "name": ["x"] }),
            json!({ "oauth": { "rotation": { "grace": { "seconds": -1 } } } }),
        ] {
            assert!(laid("oauth2", &settings).is_err(), "{settings}");
        }
    }
}
