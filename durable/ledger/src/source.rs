//! Sources: places where providers post webhooks for the tenant.

use std::collections::BTreeMap;

use postern_domain::digest;
use postern_domain::id::{IngestToken, SourceId, Uid};
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::SourceConfig;
use postern_domain::seal::{self, Place};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Page, Secret, SourceByToken, SourceCreate, SourceDelete, SourceGet, SourceList, SourceRotateSecret,
    SourceRotateToken, SourceUpdate,
};
use postern_domain::wire::inbound::{
    HandshakeEffect, Intake, SecretTerms, Seen, SourceCaptured, SourceHandshake, SourceOptions,
    SourceSecretRemove,
};
use postern_domain::wire::{SealedSecret, SecretHint, SourceForIngest, SourceState, SourceView};
use serde::{Deserialize, Serialize};

use crate::endpoint::{bytes, store_number, unsealable};
use crate::idempotency::Noun;
use crate::page::{self, Turn};
use crate::reseal::Slot;
use crate::source_seen::write_more;
use crate::sql::{Row, Sql, Value};
use crate::{Ledger, Random};

/// Sources of one tenant at the most.
const MOST: usize = 1000;

/// Secrets that are valid at the same time.
const SECRETS: usize = 4;

/// A source as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) number: u16,
    pub(crate) random: [u8; 7],
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) deleted_at: Option<Millis>,
    pub(crate) state: SourceState,
    pub(crate) generation: u64,
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) uid: Option<Uid>,
    pub(crate) config: serde_json::Value,
    pub(crate) secrets: Vec<SealedSecret>,
    pub(crate) tokens: Vec<Token>,
    /// What its owner chose beside the preset's settings.
    pub(crate) options: SourceOptions,
    /// What is seen of it; what is stored may lag.
    pub(crate) seen: Seen,
    pub(crate) seen_written_at: Millis,
}

/// An address of a source: found by its hash, shown again from its sealed form.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Token {
    hash: String,
    sealed: String,
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<Millis>,
}

impl Source {
    /// All that is sealed of it.
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = Slot<'_>> {
        let secrets = self.secrets.iter_mut();
        let secrets = secrets.map(|secret| Slot::new("secret", secret.generation, &mut secret.sealed));
        let tokens = self.tokens.iter_mut();
        secrets.chain(tokens.map(|token| Slot::new("token", token.generation, &mut token.sealed)))
    }

    /// Stores its row. Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        write_row(sql, self)
    }
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_sources(&self) -> Result<BTreeMap<u16, Source>, Problem> {
        let statement = "SELECT number, random, created_at, updated_at, deleted_at, state, generation, name, provider, \
                         uid, config, secrets, tokens FROM source";
        let mut sources = BTreeMap::new();
        let mut more = self.read_more()?;
        for row in self.sql.rows(statement, &[])? {
            let state = serde_json::Value::String(row.text(5)?);
            let (options, seen) = more.remove(&row.small(0)?).unwrap_or_default();
            let source = Source {
                number: row.small(0)?,
                random: row
                    .blob(1)?
                    .try_into()
                    .map_err(|_| Problem::internal("a source's random part"))?,
                created_at: row.time(2)?,
                updated_at: row.time(3)?,
                deleted_at: row.maybe(4, Row::time)?,
                state: serde_json::from_value(state).map_err(Problem::internal)?,
                generation: row.number(6)?,
                name: row.text(7)?,
                provider: row.text(8)?,
                uid: row
                    .maybe(9, Row::text)?
                    .map(Uid::try_from)
                    .transpose()
                    .map_err(Problem::internal)?,
                config: json::read(&row.text(10)?).map_err(Problem::internal)?,
                secrets: json::read(&row.text(11)?).map_err(Problem::internal)?,
                tokens: json::read(&row.text(12)?).map_err(Problem::internal)?,
                seen_written_at: seen.last_success.unwrap_or_default(),
                options,
                seen,
            };
            sources.insert(source.number, source);
        }
        Ok(sources)
    }

    pub(crate) fn source_create(
        &mut self,
        call: SourceCreate,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<SourceView, Problem> {
        if let Some(number) = self.replay(call.idempotency.as_ref(), Noun::Source, now)? {
            return self.source_view(u16::try_from(number).map_err(Problem::internal)?);
        }
        if self
            .memory()?
            .sources
            .values()
            .filter(|source| source.deleted_at.is_none())
            .count()
            >= MOST
        {
            return Err(Problem::new(
                Code::Conflict,
                format!("An application has {MOST} sources at the most"),
            ));
        }
        self.source_uid_is_free(call.uid.as_ref(), None)?;
        let number = u16::try_from(self.next_config_number("source_number")?).map_err(|_| {
            Problem::new(
                Code::Conflict,
                "This application has used up its 65,535 source numbers",
            )
        })?;
        let mut source = Source {
            number,
            random: bytes(random),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            state: SourceState::Pending,
            generation: 0,
            name: call.name,
            provider: call.provider,
            uid: call.uid,
            config: call.config,
            secrets: Vec::new(),
            tokens: Vec::new(),
            options: SourceOptions {
                closed_at: (call.options.intake == Intake::Closed).then_some(now),
                held_from: None,
                ends_at: None,
                ..call.options
            },
            seen: Seen::default(),
            seen_written_at: Millis(0),
        };
        source.options.ends_at = ends_at(&source, now);
        if source.options.intake == Intake::Held {
            source.options.held_from = Some(self.memory()?.last_sequence + 1);
        }
        let mut terms = call.terms.into_iter();
        for secret in &call.secrets {
            let terms = terms.next().unwrap_or_default();
            let sealed = self.seal_secret(&mut source, secret, terms, now, random)?;
            source.secrets.push(sealed);
        }
        let token = self.new_token(&mut source, random)?;
        source.tokens.push(token);
        let row = row_of(&source)?;
        self.sql.atomic(|sql| {
            let statement = "INSERT INTO source (number, random, created_at, updated_at, deleted_at, state, generation, \
                             name, provider, uid, config, secrets, tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            sql.run(statement, &row)?;
            if source.options != SourceOptions::default() {
                write_more(sql, &source)?;
            }
            store_number(sql, "source_number", number.into())?;
            crate::idempotency::keep(sql, call.idempotency.as_ref(), Noun::Source, number.into(), now)
        })?;
        self.memory()?.sources.insert(number, source);
        self.source_view(number)
    }

    pub(crate) fn source_get(&mut self, call: &SourceGet) -> Result<SourceView, Problem> {
        let number = self.source_number(&call.source)?;
        self.source_view(number)
    }

    pub(crate) fn source_list(&mut self, call: &SourceList) -> Result<Page<SourceView>, Problem> {
        let turn = Turn::parse::<SourceId>(&call.page, |id| id.0.sequence)?;
        let sources = self.memory()?.sources.values();
        let numbers: Vec<u64> = sources
            .filter(|source| source.deleted_at.is_none())
            .map(|source| source.number.into())
            .collect();
        let (numbers, done) = turn.cut(&numbers, call.page.ascending);
        let mut data = Vec::new();
        for number in numbers {
            data.push(self.source_view(u16::try_from(number).map_err(Problem::internal)?)?);
        }
        Ok(page::of(data, done, |view| view.id.to_string()))
    }

    pub(crate) fn source_update(
        &mut self,
        call: SourceUpdate,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<SourceView, Problem> {
        let number = self.source_number(&call.source)?;
        if let Some(uid) = &call.uid {
            self.source_uid_is_free(uid.as_ref(), Some(number))?;
        }
        let mut source = self.source(number)?;
        if call.provider.is_some_and(|provider| provider != source.provider) {
            let sentence = format!("is {} and cannot change; make another source", source.provider);
            return Err(Problem::fault(&["body", "provider"], sentence));
        }
        source.name = call.name.unwrap_or(source.name);
        source.uid = call.uid.unwrap_or(source.uid);
        source.config = call.config.unwrap_or(source.config);
        source.options.ends_at = ends_at(&source, now);
        source.updated_at = now;
        let release = call.options.and_then(|options| {
            let last = self.memory.as_ref().map_or(0, |memory| memory.last_sequence);
            change_options(&mut source, options, last, now)
        });
        self.sql.atomic(|sql| {
            write_more(sql, &source)?;
            write_row(sql, &source)
        })?;
        self.memory()?.sources.insert(number, source);
        // The job finds what was held by its mark: should it not be started, opening it once more starts it.
        if let Some(from) = release {
            self.release(number, from, now, random)?;
            let mut source = self.source(number)?;
            source.options.held_from = None;
            self.write_more(&source)?;
            self.memory()?.sources.insert(number, source);
        }
        self.source_view(number)
    }

    /// Deletes it, its secrets first: its address answers 404 from then on. Messages that came through it stay.
    pub(crate) fn source_delete(&mut self, call: &SourceDelete, now: Millis) -> Result<(), Problem> {
        let number = self.source_number(&call.source)?;
        let mut source = self.source(number)?;
        source.deleted_at = Some(now);
        source.uid = None;
        source.secrets.clear();
        source.tokens.clear();
        self.forget_refused(number)?;
        self.write_source(source)
    }

    /// A new secret beside the old ones, which end after the overlap.
    pub(crate) fn source_rotate_secret(
        &mut self,
        call: &SourceRotateSecret,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<SourceView, Problem> {
        let number = self.source_number(&call.source)?;
        let mut source = self.source(number)?;
        source
            .secrets
            .retain(|secret| secret.shown.not_after.is_none_or(|end| end > now));
        let ends = now.plus(u64::from(call.overlap_seconds) * Millis::SECOND);
        for secret in &mut source.secrets {
            secret.shown.not_after = Some(secret.shown.not_after.map_or(ends, |end| end.min(ends)));
        }
        if call.overlap_seconds == 0 {
            source.secrets.clear();
        }
        if source.secrets.len() >= SECRETS {
            return Err(Problem::new(
                Code::Conflict,
                format!(
                    "{SECRETS} secrets are valid already; rotate again when one has ended, or with overlapSeconds 0"
                ),
            ));
        }
        let sealed = self.seal_secret(&mut source, &call.secret, call.terms.clone(), now, random)?;
        source.secrets.insert(0, sealed);
        source.updated_at = now;
        self.write_source(source)?;
        self.source_view(number)
    }

    /// Takes one secret away.
    pub(crate) fn source_secret_remove(
        &mut self,
        call: &SourceSecretRemove,
        now: Millis,
    ) -> Result<SourceView, Problem> {
        let number = self.source_number(&call.source)?;
        let mut source = self.source(number)?;
        let before = source.secrets.len();
        source.secrets.retain(|secret| secret.generation != call.secret);
        if source.secrets.len() == before {
            return Err(Problem::not_found());
        }
        source.updated_at = now;
        self.write_source(source)?;
        self.source_view(number)
    }

    /// What a handshake leaves behind. A secret is taken once, and only while nothing was verified: whoever repeats the
    /// handshake changes nothing.
    pub(crate) fn source_handshake(
        &mut self,
        call: &SourceHandshake,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let HandshakeEffect::Capture(secret) = &call.effect else {
            return self.source_active(call.source);
        };
        let mut source = self.source(call.source)?;
        if source.state != SourceState::Pending || source.seen.captured.is_some() {
            return Err(Problem::new(
                Code::Conflict,
                "This source has the secret of a handshake already",
            ));
        }
        let terms = SecretTerms {
            label: Some("from the handshake".to_owned()),
            ..SecretTerms::default()
        };
        let sealed = self.seal_secret(&mut source, secret, terms, now, random)?;
        source.seen.captured = Some(sealed.generation);
        source.secrets = vec![sealed];
        source.updated_at = now;
        self.sql.atomic(|sql| {
            write_more(sql, &source)?;
            write_row(sql, &source)
        })?;
        self.memory()?.sources.insert(call.source, source);
        Ok(())
    }

    /// The secret that a handshake brought, for its owner to confirm: until something was verified with it.
    pub(crate) fn source_captured(&mut self, call: &SourceCaptured) -> Result<Secret, Problem> {
        let number = self.source_number(&call.source)?;
        let source = self.source(number)?;
        let found = source.seen.captured.and_then(|generation| {
            let mut secrets = source.secrets.iter();
            secrets.find(|secret| secret.generation == generation)
        });
        let secret = found.ok_or_else(Problem::not_found)?;
        let place = Place {
            tenant: self.memory()?.tenant,
            table: "source",
            column: "secret",
            row: number.into(),
            generation: secret.generation,
        };
        let blob = seal::from_text(&secret.sealed).ok_or_else(|| Problem::internal("a sealed secret"))?;
        let plain = self.master_keys()?.open(&place, &blob).map_err(unsealable)?;
        Ok(Secret {
            key: String::from_utf8(plain).map_err(Problem::internal)?,
            public_key: None,
        })
    }

    /// A new address beside the old one, which ends after the overlap. An older one than that ends now.
    pub(crate) fn source_rotate_token(
        &mut self,
        call: &SourceRotateToken,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<SourceView, Problem> {
        let number = self.source_number(&call.source)?;
        let mut source = self.source(number)?;
        let token = self.new_token(&mut source, random)?;
        let ends = now.plus(u64::from(call.overlap_seconds) * Millis::SECOND);
        source.tokens.truncate(usize::from(call.overlap_seconds > 0));
        for old in &mut source.tokens {
            old.not_after = Some(ends);
        }
        source.tokens.insert(0, token);
        source.updated_at = now;
        self.write_source(source)?;
        self.source_view(number)
    }

    /// What the edge needs to verify a request. Another token, an ended one, a deleted source: all the same 404.
    pub(crate) fn source_by_token(
        &mut self,
        call: &SourceByToken,
        now: Millis,
    ) -> Result<SourceForIngest, Problem> {
        let source = self.source(call.source)?;
        let token = source
            .tokens
            .iter()
            .find(|token| token.hash == call.token_hash && token.not_after.is_none_or(|end| end > now))
            .ok_or_else(Problem::not_found)?;
        Ok(SourceForIngest {
            id: self
                .memory()?
                .source_id(source.number)
                .ok_or_else(Problem::not_found)?,
            provider: source.provider.clone(),
            config: source.config.clone(),
            secrets: source.secrets.clone(),
            state: source.state,
            options: source.options.clone().at(now),
            token_not_after: token.not_after,
            app_level: self.memory.as_ref().is_some_and(|memory| memory.routing.is_on()),
        })
    }

    pub(crate) fn source(&mut self, number: u16) -> Result<Source, Problem> {
        let source = self
            .memory()?
            .sources
            .get(&number)
            .filter(|source| source.deleted_at.is_none());
        source.cloned().ok_or_else(Problem::not_found)
    }

    pub(crate) fn source_number(&mut self, text: &str) -> Result<u16, Problem> {
        let memory = self.memory()?;
        let id = text.parse::<SourceId>().ok();
        let found = memory
            .sources
            .values()
            .filter(|source| source.deleted_at.is_none())
            .find(|source| match id {
                Some(id) => memory.source_id(source.number) == Some(id),
                None => source.uid.as_ref().is_some_and(|uid| uid.as_str() == text),
            });
        found.map(|source| source.number).ok_or_else(Problem::not_found)
    }

    pub(crate) fn source_view(&mut self, number: u16) -> Result<SourceView, Problem> {
        let source = self.source(number)?;
        let tenant = self.memory()?.tenant;
        let id = self.memory()?.source_id(number).ok_or_else(Problem::not_found)?;
        let token = source
            .tokens
            .first()
            .ok_or_else(|| Problem::internal("a source without an address"))?;
        let generation = token.generation;
        let place = Place {
            tenant,
            table: "source",
            column: "token",
            row: number.into(),
            generation,
        };
        let blob = seal::from_text(&token.sealed).ok_or_else(|| Problem::internal("a sealed token"))?;
        let random = self.master_keys()?.open(&place, &blob).map_err(unsealable)?;
        let random = random
            .try_into()
            .map_err(|_| Problem::internal("a token of another length"))?;
        let seen = &source.seen;
        let matched = source.secrets.iter().map(|secret| {
            let generation = secret.generation;
            (generation, seen.secrets.get(&generation).copied())
        });
        Ok(SourceView {
            matched: matched.collect(),
            over: source.options.is_over(self.clock),
            options: source.options,
            id,
            name: source.name,
            provider: source.provider,
            uid: source.uid,
            config: source.config,
            secrets: source.secrets.into_iter().map(|secret| secret.shown).collect(),
            state: source.state,
            token: IngestToken {
                tenant,
                source: number,
                random,
            }
            .to_string(),
            created_at: source.created_at,
            updated_at: source.updated_at,
        })
    }

    fn source_uid_is_free(&mut self, uid: Option<&Uid>, own: Option<u16>) -> Result<(), Problem> {
        let Some(uid) = uid else { return Ok(()) };
        let mut sources = self.memory()?.sources.values();
        let taken = sources.any(|source| {
            source.deleted_at.is_none() && Some(source.number) != own && source.uid.as_ref() == Some(uid)
        });
        if taken {
            Err(Problem::new(
                Code::Conflict,
                "A source with this uid exists already",
            ))
        } else {
            Ok(())
        }
    }

    fn seal_secret(
        &mut self,
        source: &mut Source,
        secret: &str,
        terms: SecretTerms,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<SealedSecret, Problem> {
        source.generation += 1;
        let (row, generation) = (source.number.into(), source.generation);
        let place = Place {
            tenant: self.memory()?.tenant,
            table: "source",
            column: "secret",
            row,
            generation,
        };
        let blob = self
            .master_keys()?
            .seal(&place, bytes(random), secret.as_bytes())
            .map_err(Problem::internal)?;
        // Of a short secret four characters would be too much of it.
        let shown = (secret.chars().count() / 4).min(4);
        let hint: String = secret.chars().skip(secret.chars().count() - shown).collect();
        let shown = SecretHint {
            hint,
            label: terms.label,
            not_before: terms.not_before.unwrap_or(now),
            not_after: terms.not_after,
        };
        Ok(SealedSecret {
            sealed: seal::to_text(&blob),
            generation,
            shown,
        })
    }

    fn new_token(&mut self, source: &mut Source, random: &mut dyn Random) -> Result<Token, Problem> {
        source.generation += 1;
        let (row, generation) = (source.number.into(), source.generation);
        let secret: [u8; 16] = bytes(random);
        let place = Place {
            tenant: self.memory()?.tenant,
            table: "source",
            column: "token",
            row,
            generation,
        };
        let blob = self
            .master_keys()?
            .seal(&place, bytes(random), &secret)
            .map_err(Problem::internal)?;
        Ok(Token {
            hash: digest::of(&secret),
            sealed: seal::to_text(&blob),
            generation,
            not_after: None,
        })
    }

    /// Marks that something was verified. Written once.
    pub(crate) fn source_active(&mut self, number: u16) -> Result<(), Problem> {
        let mut source = self.source(number)?;
        if source.state == SourceState::Active {
            return Ok(());
        }
        source.state = SourceState::Active;
        self.write_source(source)
    }

    fn write_source(&mut self, source: Source) -> Result<(), Problem> {
        write_row(&self.sql, &source)?;
        self.memory()?.sources.insert(source.number, source);
        Ok(())
    }

    fn read_more(&self) -> Result<BTreeMap<u16, (SourceOptions, Seen)>, Problem> {
        let rows = self
            .sql
            .rows("SELECT number, options, seen FROM source_more", &[])?;
        let read = |row: &Row| {
            let options = json::read(&row.text(1)?).map_err(Problem::internal)?;
            let seen = json::read(&row.text(2)?).map_err(Problem::internal)?;
            Ok((row.small(0)?, (options, seen)))
        };
        rows.iter().map(read).collect()
    }
}

fn write_row<S: Sql>(sql: &S, source: &Source) -> Result<(), Problem> {
    let mut values = row_of(source)?;
    values.rotate_left(1);
    let statement = "UPDATE source SET random = ?, created_at = ?, updated_at = ?, deleted_at = ?, state = ?, \
                     generation = ?, name = ?, provider = ?, uid = ?, config = ?, secrets = ?, tokens = ? \
                     WHERE number = ?";
    sql.run(statement, &values)?;
    Ok(())
}

/// When a source is over, by its settings: one that has an end keeps it, and one that had none begins its time now.
fn ends_at(source: &Source, now: Millis) -> Option<Millis> {
    let config = SourceConfig::parse(&source.provider, &source.config).ok()?;
    let ends_after = config.ends_after()?;
    Some(source.options.ends_at.unwrap_or_else(|| now.plus(ends_after)))
}

/// Takes over what its owner chose. Answers from which message on what was held goes out, if it does now.
fn change_options(source: &mut Source, options: SourceOptions, last: u64, now: Millis) -> Option<u64> {
    let before = std::mem::replace(&mut source.options, options);
    let options = &mut source.options;
    options.closed_at = match options.intake {
        Intake::Closed => before.closed_at.or(Some(now)),
        Intake::Open | Intake::Held => None,
    };
    options.held_from = before.held_from;
    options.ends_at = before.ends_at;
    match options.intake {
        Intake::Held => {
            options.held_from = before.held_from.or(Some(last + 1));
            None
        }
        // Closed for good or for a while: what was held stays so until it is open.
        Intake::Closed => None,
        Intake::Open => before.held_from,
    }
}

/// All columns, the number first.
fn row_of(source: &Source) -> Result<Vec<Value>, Problem> {
    let json = |value: Result<String, serde_json::Error>| value.map(Value::from).map_err(Problem::internal);
    let state = match source.state {
        SourceState::Pending => "pending",
        SourceState::Active => "active",
    };
    Ok(vec![
        source.number.into(),
        Value::Blob(source.random.to_vec()),
        source.created_at.into(),
        source.updated_at.into(),
        source.deleted_at.into(),
        state.into(),
        source.generation.into(),
        source.name.as_str().into(),
        source.provider.as_str().into(),
        source.uid.as_ref().map(|uid| uid.as_str().to_owned()).into(),
        source.config.to_string().into(),
        json(serde_json::to_string(&source.secrets))?,
        json(serde_json::to_string(&source.tokens))?,
    ])
}
