//! A new master key: what another one sealed is sealed anew, when the clock asks for it.
//!
//! A turn writes a bounded number of rows, all or none, and whoever asks comes again: an eviction between two turns loses
//! nothing, since what is left is found by what it is sealed with. A value that does not open stays as it is and is told:
//! it may open when its master key is put back, and else it is evidence. Where nothing is old, nothing is written.

use std::rc::Rc;

use postern_domain::id::TenantId;
use postern_domain::problem::Problem;
use postern_domain::seal::{self, MasterKeys, OpenError, Place};
use postern_domain::wire::entitlement::KEY_TABLE;
use postern_domain::wire::reseal::Resealed;

use crate::endpoint::{Endpoint, bytes};
use crate::entitlement::Kept;
use crate::poller_token::{self, SealedToken};
use crate::source::Source;
use crate::sql::Sql;
use crate::{Ledger, Random};

/// Rows that a turn writes at the most.
const ROWS: usize = 100;

/// Tokens of pollers that are read at a time.
const TOKENS: u64 = 250;

/// Values that a notice names.
const NAMED: usize = 5;

/// A sealed value in a row, and what its place says beside the row's number.
pub(crate) struct Slot<'a> {
    column: &'static str,
    generation: u64,
    sealed: &'a mut String,
}

impl<'a> Slot<'a> {
    pub(crate) const fn new(column: &'static str, generation: u64, sealed: &'a mut String) -> Self {
        Self {
            column,
            generation,
            sealed,
        }
    }
}

/// Rows with values that were sealed anew, not stored yet.
#[derive(Default)]
struct Changed {
    endpoints: Vec<Endpoint>,
    sources: Vec<Source>,
    entitlement: Option<Kept>,
    tokens: Vec<SealedToken>,
}

impl Changed {
    fn rows(&self) -> usize {
        self.endpoints.len()
            + self.sources.len()
            + usize::from(self.entitlement.is_some())
            + self.tokens.len()
    }

    fn is_full(&self) -> bool {
        self.rows() >= ROWS
    }
}

/// One turn.
struct Pass<'a> {
    keys: &'a MasterKeys,
    tenant: TenantId,
    random: &'a mut dyn Random,
    /// The oldest key of a value that does not open.
    other: Option<u8>,
    kept: usize,
    named: Vec<String>,
}

impl Pass<'_> {
    /// Seals the values of a row anew, as far as another key sealed them and they open. Whether any was.
    fn row<'s>(
        &mut self,
        table: &'static str,
        row: u64,
        slots: impl Iterator<Item = Slot<'s>>,
    ) -> Result<bool, Problem> {
        let active = self.keys.active_version();
        let mut changed = false;
        for slot in slots {
            let blob = seal::from_text(slot.sealed).unwrap_or_default();
            let version = seal::version_of(&blob);
            if version == Some(active) {
                continue;
            }
            let place = Place {
                tenant: self.tenant,
                table,
                column: slot.column,
                row,
                generation: slot.generation,
            };
            match self.keys.open(&place, &blob) {
                Ok(plain) => {
                    let nonce = bytes(self.random);
                    let blob = self.keys.seal(&place, nonce, &plain).map_err(Problem::internal)?;
                    *slot.sealed = seal::to_text(&blob);
                    changed = true;
                }
                Err(error) => self.keep(&place, version, error),
            }
        }
        Ok(changed)
    }

    fn keep(&mut self, place: &Place<'_>, version: Option<u8>, error: OpenError) {
        self.other = self.other.into_iter().chain(version).min();
        self.kept += 1;
        if self.named.len() < NAMED {
            let key = version.map_or_else(|| "no".to_owned(), |version| version.to_string());
            let Place {
                table, column, row, ..
            } = place;
            self.named
                .push(format!("{table} {row}, {column}, master key {key}: {error}"));
        }
    }
}

impl<S: Sql> Ledger<S> {
    /// Seals anew, with the active master key, what another one sealed: one turn.
    pub(crate) fn reseal(&mut self, random: &mut dyn Random) -> Result<Resealed, Problem> {
        let keys = self.master_keys()?.clone();
        let mut pass = Pass {
            keys: &keys,
            tenant: self.memory()?.tenant,
            random,
            other: None,
            kept: 0,
            named: Vec::new(),
        };
        let changed = self.sealed_anew(&mut pass)?;
        let resealed = Resealed {
            active: keys.active_version(),
            more: changed.is_full(),
            other: pass.other,
        };
        let (kept, named) = (pass.kept, pass.named.join("; "));
        self.keep_changed(changed)?;
        if kept > 0 {
            self.notice(
                "not_sealed_anew",
                format!("{kept} values do not open and stay as they are: {named}"),
            );
        }
        Ok(resealed)
    }

    fn sealed_anew(&mut self, pass: &mut Pass<'_>) -> Result<Changed, Problem> {
        let mut changed = Changed::default();
        let memory = self.memory()?;
        if let Some(kept) = &memory.entitlement {
            let mut kept = Kept::clone(kept);
            if pass.row(KEY_TABLE, 0, kept.slots())? {
                changed.entitlement = Some(kept);
            }
        }
        for endpoint in memory.endpoints.values() {
            if changed.is_full() {
                return Ok(changed);
            }
            let mut endpoint = endpoint.clone();
            if pass.row("endpoint", endpoint.number.into(), endpoint.slots())? {
                changed.endpoints.push(endpoint);
            }
        }
        for source in memory.sources.values() {
            if changed.is_full() {
                return Ok(changed);
            }
            let mut source = source.clone();
            if pass.row("source", source.number.into(), source.slots())? {
                changed.sources.push(source);
            }
        }
        let mut behind = (0, 0);
        loop {
            let tokens = SealedToken::behind(&self.sql, behind, TOKENS)?;
            let Some(last) = tokens.last() else {
                return Ok(changed);
            };
            behind = (last.endpoint, last.generation);
            for mut token in tokens {
                if changed.is_full() {
                    return Ok(changed);
                }
                if pass.row(
                    poller_token::TABLE,
                    token.endpoint.into(),
                    std::iter::once(token.slot()),
                )? {
                    changed.tokens.push(token);
                }
            }
        }
    }

    /// Stores the rows of a turn, all or none. It is no change of their owner's: their times stay.
    fn keep_changed(&mut self, changed: Changed) -> Result<(), Problem> {
        if changed.rows() == 0 {
            return Ok(());
        }
        self.sql.atomic(|sql| {
            for endpoint in &changed.endpoints {
                endpoint.write(sql)?;
            }
            for source in &changed.sources {
                source.write(sql)?;
            }
            for token in &changed.tokens {
                token.write(sql)?;
            }
            changed
                .entitlement
                .as_ref()
                .map_or(Ok(()), |kept| kept.write(sql))
        })?;
        let memory = self.memory()?;
        for endpoint in changed.endpoints {
            memory.endpoints.insert(endpoint.number, endpoint);
        }
        for source in changed.sources {
            memory.sources.insert(source.number, source);
        }
        if let Some(kept) = changed.entitlement {
            memory.entitlement = Some(Rc::new(kept));
        }
        Ok(())
    }
}
