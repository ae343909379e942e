//! The signature doctor over a source: why a request is not believed, and which common mistake would have made it pass.
//!
//! It is asked here and not at the edge, so that no secret leaves the object: neither the source's own nor those of the
//! tenant's other sources, one of which may be the one that was used. Signatures with RSA and P-256 have no secret, and are
//! checked at the edge: the answer says which, and the examination is asked for again with what came of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::problem::Problem;
use postern_domain::provider::{
    self, Headers, KeySet, Other, Outside, Request, Secret, SourceConfig, Standing, State, Step,
};
use postern_domain::seal::{self, Place};
use postern_domain::time::Millis;
use postern_domain::wire::SourceState;
use postern_domain::wire::inbound::{CheckView, Diagnosis, FindingView, RefusedGet, SourceDiagnose};

use crate::Ledger;
use crate::source::Source;
use crate::sql::Sql;

/// Secrets of other sources that are tried.
const OTHERS: usize = 20;

/// Bytes that are kept of a refused request's body.
const KEPT: usize = 4096;

impl<S: Sql> Ledger<S> {
    /// Examines a request.
    pub(crate) fn source_diagnose(
        &mut self,
        call: &SourceDiagnose,
        body: Vec<u8>,
        now: Millis,
    ) -> Result<(Diagnosis, Vec<Vec<u8>>), Problem> {
        let number = self.source_number(&call.source)?;
        let source = self.source(number)?;
        let (request, body, at) = match call.refused {
            None => (call.request.clone(), body, now),
            Some(refused) => {
                let get = RefusedGet {
                    source: call.source.clone(),
                    number: refused,
                };
                let (view, mut bodies) = self.refused_get(&get, now)?;
                (view.request, bodies.pop().unwrap_or_default(), view.time)
            }
        };
        let mut findings = Vec::new();
        if call.refused.is_some() && usize::try_from(request.size).is_ok_and(|size| size > KEPT) {
            findings.push(told(
                Step::Hint,
                "body_cut",
                "Only the first 4 KiB of this body were kept, so that no signature over it can hold here: give the whole \
                 request to examine it.",
            ));
        }
        if request
            .headers
            .iter()
            .any(|(_, value)| value.starts_with("(hidden, "))
        {
            findings.push(told(
                Step::Hint,
                "credentials_hidden",
                "Headers with credentials are not kept, so that what stood in them cannot be judged here: give the whole \
                 request to examine it.",
            ));
        }
        let config = SourceConfig::parse(&source.provider, &source.config)
            .map_err(|_| Problem::internal("the stored settings of a source cannot be read"))?;
        let secrets = self.opened(&source)?;
        let others = self.others(number)?;
        let token = self.source_view(number)?.token;
        let query = if request.query.is_empty() {
            String::new()
        } else {
            format!("?{}", request.query)
        };
        let url = source
            .options
            .address(&call.base_url, &format!("/in/{token}{query}"));
        let headers = Headers::new(request.headers.iter().cloned());
        // Fetched by the edge from the settings' address: one that cannot be read is none.
        let key_set = call.key_set.as_ref().and_then(|set| KeySet::from_value(set).ok());
        let standing = Standing {
            key_set: key_set.as_ref(),
            state: match source.state {
                SourceState::Pending => State::Pending,
                SourceState::Active => State::Active,
            },
            ..Standing::default()
        };
        let asked = Request {
            method: &request.method,
            url: Some(&url),
            headers: &headers,
            body: &body,
        };
        let mut outside = Outside::knowing(call.known.iter().cloned());
        let seen = provider::diagnose(&config, &secrets, &others, &standing, &asked, at, &outside);
        let seen = seen
            .iter()
            .map(|finding| told(finding.step, finding.code, &finding.sentence));
        let findings = seen.chain(findings).collect();
        let (mut checks, mut signed) = (Vec::new(), Vec::new());
        for check in outside.wanted() {
            checks.push(CheckView {
                name: check.name(),
                key: check.key.to_jwk(),
                signature: STANDARD.encode(&check.signature),
            });
            signed.push(check.signed);
        }
        Ok((Diagnosis { findings, checks }, signed))
    }

    /// All of a source's secrets, those that are over too.
    fn opened(&mut self, source: &Source) -> Result<Vec<Secret>, Problem> {
        let tenant = self.memory()?.tenant;
        let keys = self.master_keys()?;
        let mut opened = Vec::new();
        for secret in &source.secrets {
            let place = Place {
                tenant,
                table: "source",
                column: "secret",
                row: source.number.into(),
                generation: secret.generation,
            };
            let blob = seal::from_text(&secret.sealed);
            let plain = blob.and_then(|blob| keys.open(&place, &blob).ok());
            // One that does not open is no secret to try.
            if let Some(value) = plain.and_then(|plain| String::from_utf8(plain).ok()) {
                opened.push(Secret {
                    value,
                    not_before: Some(secret.shown.not_before),
                    not_after: secret.shown.not_after,
                });
            }
        }
        Ok(opened)
    }

    fn others(&mut self, own: u16) -> Result<Vec<Other>, Problem> {
        let sources: Vec<Source> = self
            .memory()?
            .sources
            .values()
            .filter(|source| source.number != own && source.deleted_at.is_none())
            .take(OTHERS)
            .cloned()
            .collect();
        let mut others = Vec::new();
        for source in sources {
            let label = source.name.clone();
            for secret in self.opened(&source)? {
                others.push(Other {
                    label: label.clone(),
                    secret: secret.value,
                });
            }
        }
        others.truncate(OTHERS);
        Ok(others)
    }
}

fn told(step: Step, code: &str, sentence: &str) -> FindingView {
    let step = match step {
        Step::Found => "found",
        Step::Signed => "signed",
        Step::Match => "match",
        Step::Hint => "hint",
    };
    FindingView {
        step: step.to_owned(),
        code: code.to_owned(),
        sentence: sentence.to_owned(),
    }
}
