//! What signs an endpoint's requests: symmetric and asymmetric keys, each kind with those that are ending, and a signature
//! of an older kind beside them. All of it is sealed; only public keys stand in clear.

use postern_domain::legacy_signature::Scheme;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::{self, Place};
use postern_domain::signature::{PublicKey, SigningKey, Version};
use postern_domain::time::Millis;
use postern_domain::wire::call::{EndpointSecret, Secret};
use postern_domain::wire::lane::SealedPart;
use postern_domain::wire::signing::{
    EndpointSecretRotate, KeySet, LegacyChange, LegacyView, PublicKeys, SealedLegacy, SigningChange,
};
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, bytes, unsealable};
use crate::idempotency::{self, Noun};
use crate::memory::Memory;
use crate::reseal::Slot;
use crate::sql::Sql;
use crate::{Ledger, Random};

/// Keys of one endpoint that are ending, at the most: as many as Svix allows.
const MOST_OLD: usize = 10;

/// A signing key, sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    pub(crate) sealed: String,
    pub(crate) generation: u64,
    /// It signs until then; none: until it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<Millis>,
    /// The public half of an asymmetric key, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public: Option<String>,
}

/// A signature of an older kind, with its secret sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Legacy {
    #[serde(flatten)]
    scheme: Scheme,
    sealed: String,
    generation: u64,
    hint: String,
}

/// All that signs an endpoint's requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signing {
    /// Symmetric ones, the newest first. The release before knows only these.
    pub(crate) keys: Vec<Key>,
    /// Asymmetric ones, the newest first.
    pub(crate) asymmetric: Vec<Key>,
    pub(crate) legacy: Option<Legacy>,
}

impl Key {
    pub(crate) fn to_part(&self) -> SealedPart {
        SealedPart {
            sealed: self.sealed.clone(),
            generation: self.generation,
        }
    }

    /// Whether it still signs.
    fn signs(&self, now: Millis) -> bool {
        self.not_after.is_none_or(|end| end > now)
    }
}

impl Legacy {
    pub(crate) fn to_view(&self) -> LegacyView {
        LegacyView {
            scheme: self.scheme.clone(),
            hint: self.hint.clone(),
        }
    }

    fn to_sealed(&self) -> SealedLegacy {
        SealedLegacy {
            scheme: self.scheme.clone(),
            secret: SealedPart {
                sealed: self.sealed.clone(),
                generation: self.generation,
            },
        }
    }
}

impl Signing {
    /// Kinds of which there is a key that nothing ends.
    pub(crate) fn current(&self) -> Vec<Version> {
        let has = |keys: &[Key]| keys.iter().any(|key| key.not_after.is_none());
        let kinds = [(Version::V1, &self.keys), (Version::V1a, &self.asymmetric)];
        let current = kinds.into_iter().filter(|(_, keys)| has(keys));
        current.map(|(kind, _)| kind).collect()
    }

    /// Symmetric keys that sign now.
    pub(crate) fn parts(&self, now: Millis) -> Vec<SealedPart> {
        parts(&self.keys, now)
    }

    /// Asymmetric keys that sign now.
    pub(crate) fn asymmetric_parts(&self, now: Millis) -> Vec<SealedPart> {
        parts(&self.asymmetric, now)
    }

    /// The signature of an older kind, for a lane.
    pub(crate) fn legacy_part(&self) -> Option<SealedLegacy> {
        self.legacy.as_ref().map(Legacy::to_sealed)
    }

    /// What it takes in a lane's head, at the most.
    pub(crate) fn bytes(&self) -> usize {
        let keys = self.keys.iter().chain(&self.asymmetric);
        let legacy = self
            .legacy
            .as_ref()
            .map_or(0, |legacy| legacy.sealed.len() + 1024);
        keys.map(|key| key.sealed.len() + 48).sum::<usize>() + legacy
    }

    /// Forgets keys that have ended.
    pub(crate) fn prune(&mut self, now: Millis) {
        self.keys.retain(|key| key.signs(now));
        self.asymmetric.retain(|key| key.signs(now));
    }

    /// All that is sealed of it.
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = Slot<'_>> {
        let kinds = [
            (Version::V1, &mut self.keys),
            (Version::V1a, &mut self.asymmetric),
        ];
        let keys = kinds
            .into_iter()
            .flat_map(|(kind, keys)| keys.iter_mut().map(move |key| (kind, key)));
        let keys = keys.map(|(kind, key)| Slot::new(column(kind), key.generation, &mut key.sealed));
        let legacy = self.legacy.iter_mut();
        keys.chain(legacy.map(|legacy| Slot::new("legacy", legacy.generation, &mut legacy.sealed)))
    }

    fn of(&mut self, kind: Version) -> &mut Vec<Key> {
        match kind {
            Version::V1 => &mut self.keys,
            Version::V1a => &mut self.asymmetric,
        }
    }

    /// A generation that none of its sealed values ever had.
    fn next_generation(&self, now: Millis) -> u64 {
        let keys = self.keys.iter().chain(&self.asymmetric).map(|key| key.generation);
        let legacy = self.legacy.iter().map(|legacy| legacy.generation);
        keys.chain(legacy).max().map_or(now.0, |last| now.0.max(last + 1))
    }
}

fn parts(keys: &[Key], now: Millis) -> Vec<SealedPart> {
    keys.iter()
        .filter(|key| key.signs(now))
        .map(Key::to_part)
        .collect()
}

const fn column(kind: Version) -> &'static str {
    match kind {
        Version::V1 => "secret",
        Version::V1a => "asymmetric",
    }
}

fn new_key(kind: Version, random: &mut dyn Random) -> SigningKey {
    match kind {
        Version::V1 => SigningKey::from_random(bytes(random)),
        Version::V1a => SigningKey::asymmetric_from_random(bytes(random)),
    }
}

fn given_key(text: &str, field: &str) -> Result<SigningKey, Problem> {
    let sentence = "must be whsec_ and base64 of 24 to 75 bytes, or whsk_ and base64 of an Ed25519 key";
    SigningKey::parse(text).map_err(|_| Problem::fault(&["body", field], sentence))
}

impl<S: Sql> Ledger<S> {
    /// What signs the requests of a new endpoint: with the given key, and a random one of each other kind that is wanted.
    pub(crate) fn first_signing(
        &mut self,
        number: u32,
        secret: Option<&str>,
        change: &SigningChange,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Signing, Problem> {
        let given = secret.map(|text| given_key(text, "secret")).transpose()?;
        let own = given.as_ref().map_or(Version::V1, SigningKey::version);
        let wanted = change.signatures.clone().unwrap_or_else(|| vec![own]);
        if given.is_some() && !wanted.contains(&own) {
            let sentence = "must name the kind of the secret: v1 for whsec_, v1a for whsk_";
            return Err(Problem::fault(&["body", "signatures"], sentence));
        }
        let mut signing = Signing::default();
        for kind in sorted(&wanted)? {
            let key = match &given {
                Some(key) if key.version() == kind => key.clone(),
                _ => new_key(kind, random),
            };
            // A row of its own has no earlier generation.
            let generation = if kind == Version::V1 { 1 } else { now.0 };
            let key = self.seal_key(number, generation, &key, random)?;
            signing.of(kind).push(key);
        }
        let change = SigningChange {
            signatures: None,
            legacy: change.legacy.clone(),
        };
        self.changed_signing(number, signing, &change, now, random)
    }

    /// What signs an endpoint's requests after a change.
    pub(crate) fn changed_signing(
        &mut self,
        number: u32,
        mut signing: Signing,
        change: &SigningChange,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Signing, Problem> {
        signing.prune(now);
        if let Some(wanted) = &change.signatures {
            let wanted = sorted(wanted)?;
            let current = signing.current();
            for kind in [Version::V1, Version::V1a] {
                if !wanted.contains(&kind) {
                    signing.of(kind).clear();
                } else if !current.contains(&kind) {
                    let generation = signing.next_generation(now);
                    let key = new_key(kind, random);
                    let key = self.seal_key(number, generation, &key, random)?;
                    signing.of(kind).insert(0, key);
                }
            }
        }
        match &change.legacy {
            None => {}
            Some(None) => signing.legacy = None,
            Some(Some(legacy)) => {
                let generation = signing.next_generation(now);
                let legacy =
                    self.changed_legacy(number, signing.legacy.take(), legacy, generation, random)?;
                signing.legacy = Some(legacy);
            }
        }
        Ok(signing)
    }

    fn changed_legacy(
        &mut self,
        number: u32,
        before: Option<Legacy>,
        change: &LegacyChange,
        generation: u64,
        random: &mut dyn Random,
    ) -> Result<Legacy, Problem> {
        let scheme = change.scheme.clone();
        match (&change.secret, before) {
            (Some(secret), _) => {
                let sealed = self.seal_part(number, "legacy", generation, secret.as_bytes(), random)?;
                Ok(Legacy {
                    scheme,
                    sealed: sealed.sealed,
                    generation,
                    hint: secret.hint(),
                })
            }
            (None, Some(before)) => Ok(Legacy { scheme, ..before }),
            (None, None) => Err(Problem::fault(
                &["body", "legacySignature", "secret"],
                "is missing: there is none yet",
            )),
        }
    }

    /// The key that is current, as its receiver needs it.
    pub(crate) fn endpoint_secret(&mut self, call: &EndpointSecret) -> Result<Secret, Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let endpoint = self.endpoint_at(number)?;
        let current = |keys: &[Key]| keys.iter().find(|key| key.not_after.is_none()).cloned();
        let public_key = current(&endpoint.signing.asymmetric)
            .map(|key| public_of(&key))
            .transpose()?
            .map(PublicKey::to_text);
        let key = match (current(&endpoint.signing.keys), &public_key) {
            (Some(key), _) => {
                let plain = self.open_part(number, "secret", &key.to_part())?;
                SigningKey::from_bytes(&plain)
                    .map_err(Problem::internal)?
                    .to_text()
            }
            (None, Some(public)) => public.clone(),
            (None, None) => return Err(Problem::internal("an endpoint without a key")),
        };
        Ok(Secret { key, public_key })
    }

    /// Puts a new key before those that are there. The one that was current signs for the grace period; with none, all
    /// before end at once.
    pub(crate) fn endpoint_secret_rotate(
        &mut self,
        call: &EndpointSecretRotate,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        if self
            .replay(call.idempotency.as_ref(), Noun::Endpoint, now)?
            .is_some()
        {
            return Ok(());
        }
        let given = call
            .key
            .as_deref()
            .map(|text| given_key(text, "key"))
            .transpose()?;
        let mut signing = self.endpoint_at(number)?.signing;
        signing.prune(now);
        let current = signing.current();
        let kinds = given
            .as_ref()
            .map_or_else(|| current.clone(), |key| vec![key.version()]);
        // A key of another kind takes the place of the one that stands alone.
        let replaced = if kinds.iter().any(|kind| current.contains(kind)) {
            kinds.clone()
        } else {
            current
        };
        let ends = now.plus(u64::from(call.grace_seconds) * Millis::SECOND);
        for kind in replaced {
            for key in signing.of(kind) {
                key.not_after = Some(
                    key.not_after
                        .map_or(ends, |end| if ends == now { now } else { end }),
                );
            }
        }
        if call.grace_seconds == 0 {
            for kind in [Version::V1, Version::V1a] {
                signing.of(kind).retain(|key| key.not_after.is_none());
            }
        }
        let old = signing.keys.iter().chain(&signing.asymmetric);
        if old.filter(|key| key.not_after.is_some()).count() > MOST_OLD {
            return Err(Problem::new(
                Code::BadRequest,
                format!(
                    "{MOST_OLD} old keys sign beside the current one already; wait until one has ended, or rotate with \
                     gracePeriodSeconds 0"
                ),
            ));
        }
        let generation = signing.next_generation(now);
        for kind in kinds {
            let key = given.clone().unwrap_or_else(|| new_key(kind, random));
            let key = self.seal_key(number, generation, &key, random)?;
            signing.of(kind).insert(0, key);
        }
        self.write_endpoint_and(
            number,
            |endpoint| {
                endpoint.signing = signing;
                endpoint.updated_at = now;
            },
            |sql| idempotency::keep(sql, call.idempotency.as_ref(), Noun::Endpoint, number.into(), now),
        )
    }

    /// What receivers check `v1a` with, of every endpoint. Nothing is opened for it.
    pub(crate) fn public_keys(&mut self, _: &PublicKeys, now: Millis) -> Result<KeySet, Problem> {
        let mut keys = Vec::new();
        let endpoints = self.memory()?.endpoints.values();
        for endpoint in endpoints.filter(|endpoint| endpoint.deleted_at.is_none()) {
            for key in endpoint.signing.asymmetric.iter().filter(|key| key.signs(now)) {
                let kid = format!("{}.{}", Memory::endpoint_id(endpoint), key.generation);
                keys.push(public_of(key)?.to_jwk(kid));
            }
        }
        Ok(KeySet { keys })
    }

    fn seal_key(
        &mut self,
        number: u32,
        generation: u64,
        key: &SigningKey,
        random: &mut dyn Random,
    ) -> Result<Key, Problem> {
        let column = column(key.version());
        let part = self.seal_part(number, column, generation, key.as_bytes(), random)?;
        Ok(Key {
            sealed: part.sealed,
            generation,
            not_after: None,
            public: key.public().map(PublicKey::to_base64),
        })
    }

    /// Seals a value for a column of an endpoint's row.
    pub(crate) fn seal_part(
        &mut self,
        number: u32,
        column: &'static str,
        generation: u64,
        plain: &[u8],
        random: &mut dyn Random,
    ) -> Result<SealedPart, Problem> {
        let place = self.place(number, column, generation)?;
        let blob = self
            .master_keys()?
            .seal(&place, bytes(random), plain)
            .map_err(Problem::internal)?;
        Ok(SealedPart {
            sealed: seal::to_text(&blob),
            generation,
        })
    }

    /// Opens a value of a column of an endpoint's row.
    pub(crate) fn open_part(
        &mut self,
        number: u32,
        column: &'static str,
        part: &SealedPart,
    ) -> Result<Vec<u8>, Problem> {
        let place = self.place(number, column, part.generation)?;
        let blob = seal::from_text(&part.sealed)
            .ok_or_else(|| Problem::internal("a sealed value that is no base64"))?;
        self.master_keys()?.open(&place, &blob).map_err(unsealable)
    }

    fn place(
        &mut self,
        number: u32,
        column: &'static str,
        generation: u64,
    ) -> Result<Place<'static>, Problem> {
        Ok(Place {
            tenant: self.memory()?.tenant,
            table: "endpoint",
            column,
            row: number.into(),
            generation,
        })
    }

    /// A copy of an endpoint.
    pub(crate) fn endpoint_at(&mut self, number: u32) -> Result<Endpoint, Problem> {
        let memory = self.memory()?;
        memory
            .endpoints
            .get(&number)
            .cloned()
            .ok_or_else(Problem::not_found)
    }
}

/// Each kind once, `v1` first: one at least.
fn sorted(wanted: &[Version]) -> Result<Vec<Version>, Problem> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Err(Problem::fault(
            &["body", "signatures"],
            "must name v1, v1a or both",
        ));
    }
    Ok(wanted)
}

fn public_of(key: &Key) -> Result<PublicKey, Problem> {
    let public = key.public.as_deref().unwrap_or_default();
    PublicKey::from_base64(public).map_err(Problem::internal)
}
