//! Sessions: the links that begin attempts. Everything that an attempt needs is pinned when the session is made: what
//! changes of the app or the catalogue later changes nothing of what runs.

use std::collections::BTreeMap;

use postern_domain::json;
use postern_domain::oauth::authorize::{self, Unasked};
use postern_domain::oauth::provider::OAuth;
use postern_domain::oauth::standing::State;
use postern_domain::oauth::{Client, Secret};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{
    AppTerms, SessionOpen, SessionOpened, SessionPage, SessionShow, SessionState,
};
use serde::{Deserialize, Serialize};

use crate::Connection;
use crate::call::Maker;
use crate::change::Change;
use crate::credential::Opener;
use crate::record::{Fresh, Record};
use crate::sealing::{self, Column};
use crate::sql::{Random, Row, Sql, Value, broken};

/// How long a link works.
const LIFE_MS: u64 = 30 * 60_000;

/// How long it is known after that, so that it says that it has expired.
pub(crate) const KNOWN_MS: u64 = Millis::DAY;

/// Links of one connection that stand at a time; another one takes the oldest one's place.
const MOST: usize = 20;

/// What is sealed of a session is written once.
const GENERATION: u64 = 1;

/// A session's row.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) hash: Vec<u8>,
    number: u64,
    pub(crate) expires_at: Millis,
    pub(crate) terms: Terms,
    secret: Option<Vec<u8>>,
    pub(crate) done_at: Option<Millis>,
}

/// All that is pinned, but for the client's secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// Its client without a secret.
    pub(crate) app: AppTerms,
    /// Asked for, the entry's own among them.
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) return_url: Option<String>,
    /// Given with the session.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
}

impl Terms {
    /// The entry's `OAuth` part: there is no session without one.
    pub(crate) fn oauth(&self) -> Result<&OAuth, Problem> {
        let oauth = self.app.provider.oauth.as_ref();
        oauth.ok_or_else(|| Problem::internal("a session of a provider without OAuth"))
    }

    fn client_id(&self) -> Result<&str, Problem> {
        let client = self.app.client.as_ref();
        client
            .map(|client| client.id.as_str())
            .ok_or_else(|| Problem::internal("a session of an app without a client"))
    }

    /// Where the browser is sent to.
    pub(crate) fn url(
        &self,
        state: &Secret,
        verifier: Option<&Secret>,
        nonce: Option<&Secret>,
        account: Option<&str>,
    ) -> Result<Result<String, Unasked>, Problem> {
        let ask = authorize::Ask {
            client_id: self.client_id()?,
            redirect_uri: &self.app.redirect_uri,
            state,
            scopes: &self.scopes,
            verifier,
            nonce,
            reconnect_account: account,
            variables: &self.variables,
        };
        Ok(authorize::url(&self.app.provider, &ask))
    }
}

impl Session {
    /// Whether it can be followed.
    pub(crate) fn is_open(&self, record: &Record, now: Millis) -> bool {
        self.done_at.is_none() && now < self.expires_at && !is_over(record)
    }

    /// The client, its secret open.
    pub(crate) fn client(&self, opener: &Opener<'_>) -> Result<Client, Problem> {
        let secret = self
            .secret
            .as_deref()
            .map(|blob| sealing::open(opener, Column::SessionSecret, self.number, GENERATION, blob))
            .transpose()?;
        Ok(Client {
            id: self.terms.client_id()?.to_owned(),
            secret,
        })
    }
}

/// Whether nothing can be connected here any more.
pub(crate) fn is_over(record: &Record) -> bool {
    record.state == State::Revoked || record.ending.is_some()
}

impl<S: Sql> Connection<S> {
    pub(crate) fn session_open(
        &mut self,
        call: SessionOpen,
        maker: Maker,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<SessionOpened, Problem> {
        let mut change = self.change_for(&call, maker, now)?;
        let mut app = call.app;
        let secret = app.client.as_mut().and_then(|client| client.secret.take());
        let terms = Terms {
            app,
            scopes: call.scopes,
            return_url: call.return_url,
            variables: call.variables,
        };
        can_be_asked(&terms)?;
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let number = random.number() >> 12;
        let opener = self.opener(&change.record);
        let secret = secret
            .map(|secret| {
                sealing::seal(
                    &opener,
                    Column::SessionSecret,
                    number,
                    GENERATION,
                    &secret,
                    random,
                )
            })
            .transpose()?;
        let expires_at = now.plus(LIFE_MS);
        let session = Session {
            hash: crate::attempt::hash_of(&bytes),
            number,
            expires_at,
            terms,
            secret,
            done_at: None,
        };
        if change.record.state == State::Pending {
            change.touch(now); // kept for another while
        }
        self.commit(change, now, |sql| insert(sql, &session, now))?;
        self.begin_watches(call.watches, now)?;
        Ok(SessionOpened {
            random: Secret(hex::encode(bytes)),
            expires_at,
            connection: self.view(now)?,
        })
    }

    pub(crate) fn session_show(&mut self, call: &SessionShow, now: Millis) -> Result<SessionPage, Problem> {
        let session = self.session_of(&call.random)?;
        let record = &self.standing()?.record;
        let state = if session.done_at.is_some() {
            SessionState::Connected
        } else if session.is_open(record, now) {
            SessionState::Open
        } else {
            SessionState::Expired
        };
        Ok(SessionPage {
            state,
            provider: session.terms.app.provider.name.clone(),
            asked: authorize::in_words(session.terms.oauth()?, &session.terms.scopes),
            account: record.account.clone(),
            label: record.label.clone(),
        })
    }

    /// The session of a link; 404 if there is none.
    pub(crate) fn session_of(&mut self, random: &Secret) -> Result<Session, Problem> {
        self.standing()?;
        let bytes = crate::attempt::bytes_of(random).ok_or_else(Problem::not_found)?;
        load(&self.sql, &crate::attempt::hash_of(&bytes))?.ok_or_else(Problem::not_found)
    }

    /// The connection that the session is for: a new one, or one that stands with this app.
    fn change_for(&mut self, call: &SessionOpen, maker: Maker, now: Millis) -> Result<Change, Problem> {
        if self.memory.is_none() {
            if call.reconnect {
                return Err(Problem::not_found());
            }
            let fresh = || Fresh {
                label: call.label.clone(),
                uid: call.uid.clone(),
                variables: call.variables.clone(),
                ..maker.makes(&call.app)
            };
            return self.change_or_make(fresh, now);
        }
        let mut change = self.change()?;
        let record = &mut change.record;
        if is_over(record) {
            return Err(Problem::new(
                Code::Conflict,
                "The connection was disconnected for good; make a new one",
            ));
        }
        if record.app != call.app.id {
            return Err(Problem::new(
                Code::Conflict,
                "The connection was made with another OAuth app; make a new one, or name its own",
            ));
        }
        let told = (record.label.clone(), record.uid.clone());
        record.label = call.label.clone().or(record.label.take());
        record.uid = call.uid.clone().or(record.uid.take());
        if told != (change.record.label.clone(), change.record.uid.clone()) {
            change.touch(now);
        }
        Ok(change)
    }
}

/// Whether an attempt of it could begin: whoever makes the session can mend it, whoever follows the link cannot.
fn can_be_asked(terms: &Terms) -> Result<(), Problem> {
    let stand_in = Secret("0".repeat(71));
    match terms.url(&stand_in, Some(&stand_in), Some(&stand_in), None)? {
        Ok(_) => Ok(()),
        Err(Unasked::TakesNoScopes | Unasked::TooLong) => Err(Problem::fault(
            &["body", "scopes"],
            "cannot be asked for: the provider takes no scopes, or these are more than fit into a URL",
        )),
        Err(error) => Err(Problem::new(
            Code::Conflict,
            format!("The OAuth app cannot be used: {error}"),
        )),
    }
}

fn insert<S: Sql>(sql: &S, session: &Session, now: Millis) -> Result<(), Problem> {
    let standing = sql.rows("SELECT hash, made_at FROM session ORDER BY made_at", &[])?;
    // Two of one millisecond still have an order.
    let made_at = match standing.last() {
        Some(row) => now.max(row.time(1)?.plus(1)),
        None => now,
    };
    let too_many = (standing.len() + 1).saturating_sub(MOST);
    for row in &standing[..too_many] {
        remove(sql, row.blob(0)?)?;
    }
    let terms = serde_json::to_string(&session.terms).map_err(Problem::internal)?;
    sql.run(
        "INSERT INTO session (hash, number, made_at, expires_at, terms, secret) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            session.hash.clone().into(),
            session.number.into(),
            made_at.into(),
            session.expires_at.into(),
            terms.into(),
            session.secret.clone().into(),
        ],
    )?;
    Ok(())
}

/// The session of that hash.
pub(crate) fn load<S: Sql>(sql: &S, hash: &[u8]) -> Result<Option<Session>, Problem> {
    let row = sql.row(
        "SELECT hash, number, expires_at, terms, secret, done_at FROM session WHERE hash = ?",
        &[Value::from(hash)],
    )?;
    let Some(row) = row else { return Ok(None) };
    let terms = json::read(&row.text(3)?).map_err(|error| broken(&error.to_string()))?;
    Ok(Some(Session {
        hash: row.blob(0)?,
        number: row.number(1)?,
        expires_at: row.time(2)?,
        terms,
        secret: row.maybe(4, Row::blob)?,
        done_at: row.maybe(5, Row::time)?,
    }))
}

/// It connected: it begins nothing any more, and keeps no secret.
pub(crate) fn burn<S: Sql>(sql: &S, hash: &[u8], now: Millis) -> Result<(), Problem> {
    sql.run(
        "UPDATE session SET done_at = ?, secret = NULL WHERE hash = ?",
        &[now.into(), hash.into()],
    )?;
    Ok(())
}

/// Takes away what has expired long ago, and the attempts with it.
pub(crate) fn tidy<S: Sql>(sql: &S, now: Millis) -> Result<(), Problem> {
    let old = sql.rows(
        "SELECT hash FROM session WHERE expires_at <= ?",
        &[now.minus(KNOWN_MS).into()],
    )?;
    for row in old {
        remove(sql, row.blob(0)?)?;
    }
    Ok(())
}

fn remove<S: Sql>(sql: &S, hash: Vec<u8>) -> Result<(), Problem> {
    let hash = [Value::from(hash)];
    sql.run("DELETE FROM attempt WHERE session = ?", &hash)?;
    sql.run("DELETE FROM session WHERE hash = ?", &hash)?;
    Ok(())
}
