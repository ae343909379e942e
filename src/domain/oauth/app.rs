//! An `OAuth` app as the directory keeps it: one form for the edge, which writes it, and for connections' objects, which
//! read it again before they refresh.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::provider::{Kind, Provider, VariableFrom};
use super::{Client, Secret};
use crate::app_level;
use crate::id::{OAuthAppId, OrganisationId, TenantId, Uid};
use crate::json;
use crate::problem::{Code, Problem};
use crate::seal::{self, MasterKeys, OpenError, Place};
use crate::time::Millis;
use crate::wire::connection::AppTerms;

/// The directory's columns, in an order that nothing depends on.
pub const COLUMNS: &str = "id, organisation, application, uid, name, provider, entry, variables, scopes, all_scopes, \
     return_urls, client_id, secret, generation, enabled, broken_at, broken_words, probe_at, alert, created_at, updated_at";

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// Which.
    pub id: OAuthAppId,
    /// Whose.
    pub organisation: OrganisationId,
    /// The tenant whose own it is; none: the operator's.
    pub application: Option<TenantId>,
    /// Its `uid`.
    pub uid: Option<Uid>,
    /// What its owner calls it.
    pub name: String,
    /// The provider's id.
    pub provider: String,
    /// A provider that its owner configured, JSON; none: the catalogue's.
    pub entry: Option<String>,
    /// Values of the provider's variables, a JSON object.
    pub variables: String,
    /// Scopes asked for unless a session says otherwise, a JSON list.
    pub scopes: String,
    /// 1: a grant without all of the scopes asked for is refused.
    pub all_scopes: u8,
    /// Where browsers may end up, a JSON list.
    pub return_urls: String,
    /// `client_id`; none: an app without a client (API keys, service accounts).
    pub client_id: Option<String>,
    /// Sealed, base64; none: a public client.
    pub secret: Option<String>,
    /// How often id or secret were changed.
    pub generation: u64,
    /// 1: it can be used.
    pub enabled: u8,
    /// Since when the provider is known to refuse the id or secret; none: it takes them, as far as is known.
    pub broken_at: Option<Millis>,
    /// In the provider's words, at most 200 characters.
    pub broken_words: Option<String>,
    /// When one connection may ask the provider again; none: all may, since it is not broken, or was edited since.
    pub probe_at: Option<Millis>,
    /// An [`super::app_alert::Alert`] that is yet to be told, JSON.
    pub alert: Option<String>,
    /// When it was made.
    pub created_at: Millis,
    /// Last change.
    pub updated_at: Millis,
}

impl Row {
    /// Scopes asked for unless a session says otherwise.
    pub fn scopes(&self) -> Result<Vec<String>, Problem> {
        read(&self.scopes)
    }

    /// Where browsers may end up.
    pub fn return_urls(&self) -> Result<Vec<String>, Problem> {
        read(&self.return_urls)
    }

    /// Values of the provider's variables.
    pub fn variables(&self) -> Result<BTreeMap<String, String>, Problem> {
        read(&self.variables)
    }

    /// The provider's entry, as configured or as the catalogue has it now, without the app's variables.
    pub fn entry(&self) -> Result<Provider, Problem> {
        match &self.entry {
            Some(entry) => read(entry),
            None => super::catalogue::find(&self.provider)
                .ok_or_else(|| Problem::internal(format!("the catalogue has no {}", self.provider))),
        }
    }

    /// Everything that a connection needs of it, the secret open.
    ///
    /// # Errors
    /// [`Code::SealingUnavailable`] when the secret's master key is not there; [`Code::Internal`] when the secret or
    /// the row does not read.
    pub fn terms(&self, keys: &MasterKeys, base_url: &str) -> Result<AppTerms, Problem> {
        let mut provider =
            super::template::with_app(&self.entry()?, &self.variables()?).map_err(Problem::internal)?;
        // A blank's own name says nothing to whoever is asked to sign in there.
        if super::validate::BLANKS.contains(&provider.id.as_str())
            && super::catalogue::find(&provider.id).is_some_and(|blank| blank.name == provider.name)
        {
            provider.name.clone_from(&self.name);
        }
        let client = match &self.client_id {
            None => None,
            Some(id) => Some(Client {
                id: id.clone(),
                secret: self.open(keys)?,
            }),
        };
        Ok(AppTerms {
            id: self.id,
            provider,
            client,
            generation: self.generation,
            broken: self.broken_at,
            redirect_uri: redirect_uri(base_url, self.id),
            all_scopes: self.all_scopes == 1,
        })
    }

    /// Seals a secret for this row as it stands: set the generation before.
    ///
    /// # Errors
    /// [`Code::Internal`] for one that is too long by far.
    pub fn seal(&mut self, keys: &MasterKeys, nonce: [u8; 12], secret: &Secret) -> Result<(), Problem> {
        let sealed = keys.seal(&self.place(), nonce, secret.reveal().as_bytes());
        self.secret = Some(seal::to_text(&sealed.map_err(Problem::internal)?));
        Ok(())
    }

    /// The secret; none: there is none.
    ///
    /// # Errors
    /// As [`Self::terms`].
    pub fn open(&self, keys: &MasterKeys) -> Result<Option<Secret>, Problem> {
        let Some(secret) = &self.secret else {
            return Ok(None);
        };
        let blob = seal::from_text(secret).ok_or_else(|| broken(self.id))?;
        let plain = keys.open(&self.place(), &blob).map_err(|error| match error {
            OpenError::UnknownKey => {
                let mut problem = Problem::new(
                    Code::SealingUnavailable,
                    "A secret cannot be read for now: this deployment misses a key",
                );
                problem.cause = Some(format!("{}: {error}", self.id));
                problem
            }
            OpenError::Broken => broken(self.id),
        })?;
        String::from_utf8(plain)
            .map(|text| Some(Secret(text)))
            .map_err(|_| broken(self.id))
    }

    /// The version of the master key that its secret is sealed with.
    #[must_use]
    pub fn sealed_with(&self) -> Option<u8> {
        let blob = seal::from_text(self.secret.as_deref()?)?;
        seal::version_of(&blob)
    }

    /// Under its tenant's key, or under its organisation's, which is that of the organisation's ledger.
    fn place(&self) -> Place<'static> {
        let mut number = [0; 8];
        number.copy_from_slice(&self.id.0[..8]);
        Place {
            tenant: self
                .application
                .unwrap_or_else(|| app_level::ledger_of(self.organisation)),
            table: "oauth_app",
            column: "secret",
            row: u64::from_be_bytes(number),
            generation: self.generation,
        }
    }
}

/// The id that stands for an entry of the catalogue where a connection needs no app of its own: API keys and service
/// accounts have no client.
#[must_use]
pub fn of_catalogue(provider: &str) -> OAuthAppId {
    let mut sha = Sha256::new();
    sha.update(b"catalogue");
    sha.update(provider.as_bytes());
    let mut id = [0; 20];
    for (to, from) in id.iter_mut().zip(sha.finalize()) {
        *to = from;
    }
    OAuthAppId(id)
}

/// What a connection needs of an entry that it uses without an app; `None`: the id stands for no such entry.
#[must_use]
pub fn terms_of_catalogue(id: OAuthAppId, base_url: &str) -> Option<AppTerms> {
    let provider = super::catalogue::IDS
        .iter()
        .find(|provider| of_catalogue(provider) == id)
        .and_then(|provider| super::catalogue::find(provider))?;
    let without_app = matches!(provider.kind, Kind::ApiKey | Kind::ServiceAccount)
        && provider
            .variables
            .iter()
            .all(|variable| variable.from != VariableFrom::App);
    without_app.then(|| AppTerms {
        id,
        provider,
        client: None,
        generation: 0,
        broken: None,
        redirect_uri: redirect_uri(base_url, id),
        all_scopes: false,
    })
}

/// Where a provider sends browsers back to: canonical, one for each app.
#[must_use]
pub fn redirect_uri(base_url: &str, id: OAuthAppId) -> String {
    format!("{base_url}/oauth/callback/{id}")
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    json::read(text).map_err(Problem::internal)
}

fn broken(id: OAuthAppId) -> Problem {
    Problem::internal(format!("the sealed secret of {id} does not open"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const KEYS: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER_KEYS: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    fn row() -> Row {
        Row {
            id: OAuthAppId([7; 20]),
            organisation: OrganisationId([1; 20]),
            application: Some(TenantId([2; 20])),
            uid: None,
            name: "Google".to_owned(),
            provider: "google".to_owned(),
            entry: None,
            variables: "{}".to_owned(),
            scopes: "[\"email\"]".to_owned(),
            all_scopes: 1,
            return_urls: "[]".to_owned(),
            client_id: Some("id".to_owned()),
            secret: None,
            generation: 3,
            enabled: 1,
            broken_at: None,
            broken_words: None,
            probe_at: None,
            alert: None,
            created_at: Millis(1),
            updated_at: Millis(1),
        }
    }

    #[test]
    fn an_app_s_secret_opens_in_its_own_row_and_generation_alone() {
        let keys = MasterKeys::parse(KEYS).unwrap();
        let mut sealed = row();
        sealed.seal(&keys, [9; 12], &Secret("s3cret".to_owned())).unwrap();
        assert_eq!(sealed.sealed_with(), Some(1));
        let terms = sealed.terms(&keys, "https://postern.example").unwrap();
        assert_eq!(terms.client.unwrap().secret.unwrap().reveal(), "s3cret");
        assert_eq!(
            terms.redirect_uri,
            format!("https://postern.example/oauth/callback/{}", sealed.id)
        );
        let elsewhere = [
            Row {
                id: OAuthAppId([8; 20]),
                ..sealed.clone()
            },
            Row {
                generation: 4,
                ..sealed.clone()
            },
            Row {
                application: None,
                ..sealed.clone()
            },
            Row {
                application: Some(TenantId([3; 20])),
                ..sealed.clone()
            },
        ];
        for other in elsewhere {
            assert_eq!(other.open(&keys).unwrap_err().code, Code::Internal);
        }
        let others = MasterKeys::parse(OTHER_KEYS).unwrap();
        assert_eq!(sealed.open(&others).unwrap_err().code, Code::SealingUnavailable);
    }

    #[test]
    fn a_blank_that_its_owner_gave_no_name_is_called_as_the_app() {
        let keys = MasterKeys::parse(KEYS).unwrap();
        let named = |provider: &str, entry: Option<&str>| {
            let row = Row {
                name: "Acme Mail".to_owned(),
                provider: provider.to_owned(),
                entry: entry.map(|name| {
                    let mut entry = super::super::catalogue::find(provider).unwrap();
                    name.clone_into(&mut entry.name);
                    serde_json::to_string(&entry).unwrap()
                }),
                ..row()
            };
            row.terms(&keys, "https://postern.example").unwrap().provider.name
        };
        assert_eq!(named("oidc", None), "Acme Mail");
        assert_eq!(named("oidc", Some("Acme")), "Acme");
        assert_eq!(named("google", None), "Google");
    }

    #[test]
    fn an_entry_without_a_client_needs_no_app() {
        let id = of_catalogue("openai");
        assert_eq!(terms_of_catalogue(id, "").unwrap().provider.id, "openai");
        let with_client = of_catalogue("google");
        assert!(terms_of_catalogue(with_client, "").is_none());
        assert!(terms_of_catalogue(OAuthAppId([7; 20]), "").is_none());
    }
}
