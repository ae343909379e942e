//! Sources: places where providers post webhooks for the tenant.

use std::collections::BTreeMap;

use postern_domain::digest;
use postern_domain::id::{IngestToken, SourceId, Uid};
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::{self, Place};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Page, SourceByToken, SourceCreate, SourceDelete, SourceGet, SourceList, SourceRejected,
    SourceRotateSecret, SourceRotateToken, SourceUpdate,
};
use postern_domain::wire::{SealedSecret, SecretHint, SourceForIngest, SourceState, SourceView};
use serde::{Deserialize, Serialize};

use crate::endpoint::{bytes, store_number, unsealable};
use crate::idempotency::Noun;
use crate::page::{self, Turn};
use crate::sql::{Row, Sql, Value};
use crate::{Ledger, Random};

/// Sources of one tenant at the most.
const MOST: usize = 1000;

/// Secrets that are valid at the same time.
const SECRETS: usize = 4;

/// Refusals that are kept per source.
const REJECTED: u64 = 100;

/// Refusals of a source that are written in one minute: nobody buys writes with bad signatures.
const REJECTED_A_MINUTE: u32 = 10;

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

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_sources(&self) -> Result<BTreeMap<u16, Source>, Problem> {
        let statement = "SELECT number, random, created_at, updated_at, deleted_at, state, generation, name, provider, \
                         uid, config, secrets, tokens FROM source";
        let mut sources = BTreeMap::new();
        for row in self.sql.rows(statement, &[])? {
            let state = serde_json::Value::String(row.text(5)?);
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
        };
        for secret in &call.secrets {
            let sealed = self.seal_secret(&mut source, secret, now, random)?;
            source.secrets.push(sealed);
        }
        let token = self.new_token(&mut source, random)?;
        source.tokens.push(token);
        let row = row_of(&source)?;
        self.sql.atomic(|sql| {
            let statement = "INSERT INTO source (number, random, created_at, updated_at, deleted_at, state, generation, \
                             name, provider, uid, config, secrets, tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            sql.run(statement, &row)?;
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

    pub(crate) fn source_update(&mut self, call: SourceUpdate, now: Millis) -> Result<SourceView, Problem> {
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
        source.updated_at = now;
        self.write_source(source)?;
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
        let sealed = self.seal_secret(&mut source, &call.secret, now, random)?;
        source.secrets.insert(0, sealed);
        source.updated_at = now;
        self.write_source(source)?;
        self.source_view(number)
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
            token_not_after: token.not_after,
            app_level: self.memory.as_ref().is_some_and(|memory| memory.routing.is_on()),
        })
    }

    /// Writes down why a request was refused: a ring of 100, ten a minute at the most.
    pub(crate) fn source_rejected(&mut self, call: &SourceRejected, now: Millis) -> Result<(), Problem> {
        self.source(call.source)?;
        let known = self.memory()?.rejections.get(&call.source).copied();
        let (slot, count, minute) = if let Some(known) = known {
            known
        } else {
            let statement = "SELECT slot FROM rejected WHERE source = ? ORDER BY time DESC LIMIT 1";
            let last = self.sql.row(statement, &[call.source.into()])?;
            (
                last.map_or(Ok(0), |row| row.number(0).map(|slot| slot + 1))?,
                0,
                0,
            )
        };
        let this_minute = now.0 / 60_000;
        let count = if minute == this_minute { count } else { 0 };
        if count >= REJECTED_A_MINUTE {
            return Ok(());
        }
        let cut = |text: &str| text.chars().take(500).collect::<String>();
        let values = [
            call.source.into(),
            (slot % REJECTED).into(),
            now.into(),
            cut(&call.reason).into(),
            Value::from(cut(&call.detail)),
        ];
        self.sql
            .run("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?)", &values)?;
        self.memory()?
            .rejections
            .insert(call.source, (slot + 1, count + 1, this_minute));
        Ok(())
    }

    fn source(&mut self, number: u16) -> Result<Source, Problem> {
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
        Ok(SourceView {
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
            not_before: now,
            not_after: None,
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
        let mut values = row_of(&source)?;
        values.rotate_left(1);
        let statement = "UPDATE source SET random = ?, created_at = ?, updated_at = ?, deleted_at = ?, state = ?, \
                         generation = ?, name = ?, provider = ?, uid = ?, config = ?, secrets = ?, tokens = ? \
                         WHERE number = ?";
        self.sql.run(statement, &values)?;
        self.memory()?.sources.insert(source.number, source);
        Ok(())
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
