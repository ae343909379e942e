//! Attempts: a browser leaves for the provider and comes back.
//!
//! Guaranteed: of all callbacks with one state, however many at once, one claims it, in one statement, and only one that
//! comes from the browser that began, to the app that it began with, from the issuer that was asked. What does not match
//! burns nothing. Unknown, used and expired states say the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_domain::address::Policy;
use postern_domain::digest;
use postern_domain::json;
use postern_domain::oauth::Secret;
use postern_domain::oauth::callback_proof;
use postern_domain::oauth::link::Link;
use postern_domain::oauth::provider::{Class, Kind, OAuth, Pkce, VariableFrom};
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::oauth::template;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{
    Arrival, Callback, Departure, Outcome, ResultAgain, ResultPage, ResultShow, SessionGo,
};
use serde::{Deserialize, Serialize};

use crate::air::Purpose;
use crate::call::{Answer, Turn};
use crate::exchange::Begun;
use crate::sealing::{self, Column};
use crate::session::{self, Session};
use crate::sql::{Random, Row, Sql, Value, broken};
use crate::{Connection, history};

/// How long a browser may take at the provider.
const LIFE_MS: u64 = 600_000;

/// Attempts of one session that live at a time. Another one ends the oldest: what a scanner of links began does not keep
/// a person out.
const LIVE: usize = 5;

/// Attempts of one session in all.
const MOST: usize = 50;

/// What is sealed of an attempt is written once.
const GENERATION: u64 = 1;

/// An exchange that is not in the air any more, and has stored nothing, is lost after this.
const LOST_MS: u64 = 90_000;

/// An attempt's row.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) hash: Vec<u8>,
    number: u64,
    pub(crate) session: Vec<u8>,
    cookie_name: String,
    cookie: Vec<u8>,
    verifier: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    expires_at: Millis,
    used_at: Option<Millis>,
    result: Vec<u8>,
    outcome: Option<Outcome>,
    detail: Detail,
}

/// What the result page shows beside the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Detail {
    /// The account that is connected.
    #[serde(default)]
    pub(crate) account: Option<String>,
    /// The account that came instead.
    #[serde(default)]
    pub(crate) other_account: Option<String>,
    /// Scopes that were not given, in words.
    #[serde(default)]
    pub(crate) missing: Vec<String>,
    /// The provider's own sentence.
    #[serde(default)]
    pub(crate) words: Option<String>,
}

impl<S: Sql> Connection<S> {
    pub(crate) fn session_go(
        &mut self,
        call: &SessionGo,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Departure, Problem> {
        let session = self.session_of(&call.random)?;
        self.depart(&session, now, random)
    }

    /// The same browser as in the attempt before, which its cookie says.
    pub(crate) fn result_again(
        &mut self,
        call: &ResultAgain,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Departure, Problem> {
        let attempt = self.attempt_of_result(&call.result)?;
        let cookie = call.cookies.get(&attempt.cookie_name);
        if !cookie.is_some_and(|cookie| is_cookie_of(cookie, &attempt)) {
            return Ok(no_departure());
        }
        match session::load(&self.sql, &attempt.session)? {
            Some(session) => self.depart(&session, now, random),
            None => Ok(no_departure()),
        }
    }

    fn depart(
        &mut self,
        session: &Session,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Departure, Problem> {
        let change = self.change()?;
        let record = &change.record;
        if !session.is_open(record, now) {
            return Ok(no_departure());
        }
        let attempts = self.sql.rows(
            "SELECT hash FROM attempt WHERE session = ? AND used_at IS NULL AND expires_at > ? ORDER BY made_at",
            &[session.hash.clone().into(), now.into()],
        )?;
        let all = self.sql.row(
            "SELECT count(*), max(made_at) FROM attempt WHERE session = ?",
            &[session.hash.clone().into()],
        )?;
        let Some(all) = all else {
            return Err(Problem::internal("count(*) gave no row"));
        };
        // Two of one millisecond still have an order.
        let made_at = all.maybe(1, Row::time)?.map_or(now, |last| now.max(last.plus(1)));
        let all = usize::from(all.small::<u16>(0)?);
        if all >= MOST {
            return Err(Problem::new(
                Code::RateLimited,
                "This link was followed too often; open a new session",
            ));
        }
        let too_many = (attempts.len() + 1).saturating_sub(LIVE);
        let mut state = [0; 32];
        random.fill(&mut state);
        let mut cookie = [0; 32];
        random.fill(&mut cookie);
        let mut name = [0; 4];
        random.fill(&mut name);
        let mut result = [0; 16];
        random.fill(&mut result);
        let provider = &session.terms.app.provider;
        let verifier = (session.terms.oauth()?.pkce == Pkce::S256).then(|| unguessable(random));
        let nonce = (provider.kind == Kind::Oidc).then(|| unguessable(random));
        let link = Secret(
            Link {
                connection: record.id,
                random: state,
            }
            .to_string(),
        );
        // One that was connected before comes back as itself.
        let account = record.account_key.as_ref().and(record.account.as_deref());
        let url = session
            .terms
            .url(&link, verifier.as_ref(), nonce.as_ref(), account)?
            .map_err(Problem::internal)?;
        let number = random.number() >> 12;
        let opener = self.opener(record);
        let mut seal = |column, secret: Option<&Secret>| {
            secret
                .map(|secret| sealing::seal(&opener, column, number, GENERATION, secret, random))
                .transpose()
        };
        let verifier = seal(Column::Verifier, verifier.as_ref())?;
        let nonce = seal(Column::Nonce, nonce.as_ref())?;
        let cookie = Secret(hex::encode(cookie));
        let cookie_name = format!("pc_{}", hex::encode(name));
        let row = [
            hash_of(&state).into(),
            number.into(),
            session.hash.clone().into(),
            cookie_name.clone().into(),
            hash_of(cookie.reveal().as_bytes()).into(),
            verifier.into(),
            nonce.into(),
            made_at.into(),
            now.plus(LIFE_MS).into(),
            Value::Blob(result.to_vec()),
        ];
        self.commit(change, now, |sql| {
            for old in &attempts[..too_many] {
                let outcome = [now.into(), word(Outcome::Expired)?, old.blob(0)?.into()];
                sql.run(
                    "UPDATE attempt SET used_at = ?, outcome = ?, verifier = NULL, nonce = NULL WHERE hash = ?",
                    &outcome,
                )?;
            }
            sql.run(
                "INSERT INTO attempt (hash, number, session, cookie_name, cookie, verifier, nonce, made_at,
                   expires_at, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                &row,
            )?;
            Ok(())
        })?;
        Ok(Departure {
            url: Some(Secret(url)),
            cookie_name,
            cookie,
            cookie_seconds: LIFE_MS / 1000,
        })
    }

    pub(crate) fn callback(
        &mut self,
        call: &Callback,
        turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<Arrival>, Problem> {
        let now = turn.now;
        let untouched = |outcome| Ok(Answer::Now(nothing_touched(outcome)));
        let state = bytes_of(&call.state).map(|bytes| hash_of(&bytes));
        let Some(attempt) = state.map(|hash| load(&self.sql, &hash)).transpose()?.flatten() else {
            return untouched(Outcome::Expired);
        };
        let is_spent = attempt.used_at.is_some() || attempt.expires_at <= now;
        let cookie = call.cookies.get(&attempt.cookie_name);
        if !cookie.is_some_and(|cookie| is_cookie_of(cookie, &attempt)) {
            return untouched(if is_spent {
                Outcome::Expired
            } else {
                Outcome::OtherBrowser
            });
        }
        let Some(session) = session::load(&self.sql, &attempt.session)? else {
            return untouched(Outcome::Expired);
        };
        let oauth = session.terms.oauth()?;
        if session.terms.app.id != call.app || !is_from(call.iss.as_deref(), oauth) {
            return untouched(Outcome::ProviderError);
        }
        if attempt.used_at.is_some() {
            let arrival = self.arrival_of(&attempt, &session, now)?;
            return Ok(match arrival {
                // It came again while the first one's code is being exchanged.
                Answer::Late(arrival) if turn.since.is_none() => Answer::Soon(arrival),
                arrival => arrival,
            });
        }
        if is_spent || session::is_over(&self.standing()?.record) {
            return untouched(Outcome::Expired);
        }
        if session.done_at.is_some() {
            self.end_attempt(
                &attempt.hash,
                Outcome::AlreadyConnected,
                &Detail::default(),
                None,
                now,
            )?;
            return self.arrival_again(&attempt.hash, &session, now);
        }
        let Some(code) = &call.code else {
            let (outcome, detail) = said_no(call);
            self.end_attempt(&attempt.hash, outcome, &detail, None, now)?;
            return self.arrival_again(&attempt.hash, &session, now);
        };
        let Some((begun, verifier)) = self.begin(call, code, &attempt, &session)? else {
            return untouched(Outcome::ProviderError);
        };
        match begun.request(code, verifier.as_ref()) {
            Ok(request) if self.claim(&attempt.hash, code, now)? => {
                self.ask(request, Purpose::Exchange(Box::new(begun.first())));
            }
            Ok(_) => {} // another one was first
            Err(error) => {
                let detail = Detail {
                    words: Some(error.to_string()),
                    ..Detail::default()
                };
                let class = Some(Class::BrokenConfig);
                self.end_attempt(&attempt.hash, Outcome::ExchangeFailed, &detail, class, now)?;
            }
        }
        self.arrival_again(&attempt.hash, &session, now)
    }

    /// What an exchange needs, its secrets open; none: the callback does not prove what the provider's must.
    fn begin(
        &mut self,
        call: &Callback,
        code: &Secret,
        attempt: &Attempt,
        session: &Session,
    ) -> Result<Option<(Begun, Option<Secret>)>, Problem> {
        let record = self.standing()?.record.clone();
        let opener = self.opener(&record);
        let client = session.client(&opener)?;
        let provider = &session.terms.app.provider;
        if let Some(proof) = session.terms.oauth()?.callback {
            let mut said = call.others.clone();
            said.insert("code".to_owned(), code.reveal().to_owned());
            said.insert("state".to_owned(), link_text(record.id, &call.state)?);
            let shop = session.terms.variables.get("shop").map(String::as_str);
            if !callback_proof::holds(proof, client.secret.as_ref(), shop, &said) {
                return Ok(None);
            }
        }
        let is_known = |name: &str| {
            let mut variables = provider.variables.iter();
            variables.any(|known| known.from == VariableFrom::Callback && known.name == name)
        };
        let told = call.others.iter().filter(|(name, _)| is_known(name));
        let told = told.map(|(name, value)| (name.clone(), value.clone())).collect();
        let policy = Policy::default().https_only(true);
        let Ok(told) = template::admit(provider, VariableFrom::Callback, &told, &policy) else {
            return Ok(None);
        };
        let open = |column, blob: &Option<Vec<u8>>| {
            let secret = blob
                .as_deref()
                .map(|blob| sealing::open(&opener, column, attempt.number, GENERATION, blob));
            secret.transpose()
        };
        let verifier = open(Column::Verifier, &attempt.verifier)?;
        let nonce = open(Column::Nonce, &attempt.nonce)?;
        let mut variables = session.terms.variables.clone();
        variables.extend(told);
        let begun = Begun {
            attempt: attempt.hash.clone(),
            session: session.hash.clone(),
            terms: session.terms.clone(),
            client,
            nonce,
            variables,
        };
        Ok(Some((begun, verifier)))
    }

    /// Spends the state: the one statement that of all who come at once lets one through.
    fn claim(&mut self, hash: &[u8], code: &Secret, now: Millis) -> Result<bool, Problem> {
        let change = self.change()?;
        let mut claimed = false;
        self.commit(change, now, |sql| {
            let rows = sql.rows(
                "UPDATE attempt SET used_at = ?, code = ?, verifier = NULL
                 WHERE hash = ? AND used_at IS NULL AND expires_at > ? RETURNING number",
                &[
                    now.into(),
                    hash_of(code.reveal().as_bytes()).into(),
                    hash.into(),
                    now.into(),
                ],
            )?;
            claimed = rows.len() == 1;
            Ok(())
        })?;
        Ok(claimed)
    }

    /// An attempt ends without a connection.
    pub(crate) fn end_attempt(
        &mut self,
        hash: &[u8],
        outcome: Outcome,
        detail: &Detail,
        class: Option<Class>,
        now: Millis,
    ) -> Result<(), Problem> {
        let mut change = self.change()?;
        if outcome != Outcome::AlreadyConnected && !session::is_over(&change.record) {
            let mut line = history::line("connect", sentence(outcome), now);
            line.words.clone_from(&detail.words);
            line.class = class;
            change.line(line);
            let reason = match outcome {
                Outcome::Denied => Reason::Denied,
                _ => Reason::ExchangeFailed,
            };
            if change.record.state == State::Pending {
                change.go(State::Pending, Some(reason), now)?;
            }
        }
        self.commit(change, now, |sql| end(sql, hash, outcome, detail, now))?;
        self.has_moved();
        Ok(())
    }

    fn arrival_again(
        &mut self,
        hash: &[u8],
        session: &Session,
        now: Millis,
    ) -> Result<Answer<Arrival>, Problem> {
        let attempt = load(&self.sql, hash)?.ok_or_else(Problem::not_found)?;
        self.arrival_of(&attempt, session, now)
    }

    /// How an attempt that was claimed stands.
    fn arrival_of(
        &mut self,
        attempt: &Attempt,
        session: &Session,
        now: Millis,
    ) -> Result<Answer<Arrival>, Problem> {
        let outcome = match attempt.outcome {
            Some(outcome) => outcome,
            None if self.is_exchanging(&attempt.hash) => {
                return Ok(Answer::Late(Ok(arrival(attempt, session, Outcome::Underway))));
            }
            None => {
                self.end_attempt(
                    &attempt.hash,
                    Outcome::Lost,
                    &Detail::default(),
                    Some(Class::Lost),
                    now,
                )?;
                Outcome::Lost
            }
        };
        Ok(Answer::Now(arrival(attempt, session, outcome)))
    }

    fn is_exchanging(&self, hash: &[u8]) -> bool {
        self.flies(|purpose| match purpose {
            Purpose::Exchange(step) => step.is_of(hash),
            Purpose::Account(step) => step.is_of(hash),
            _ => false,
        })
    }

    pub(crate) fn result_show(&mut self, call: &ResultShow, now: Millis) -> Result<ResultPage, Problem> {
        let attempt = self.attempt_of_result(&call.result)?;
        if attempt.used_at.is_none() {
            return Err(Problem::not_found());
        }
        let session = session::load(&self.sql, &attempt.session)?.ok_or_else(Problem::not_found)?;
        let outcome = match attempt.outcome {
            Some(outcome) => outcome,
            None if self.is_exchanging(&attempt.hash) => Outcome::Underway,
            None => Outcome::Lost,
        };
        let record = &self.standing()?.record;
        let again = session.is_open(record, now) && begins_again(outcome);
        Ok(ResultPage {
            outcome,
            provider: session.terms.app.provider.name.clone(),
            account: attempt.detail.account,
            other_account: attempt.detail.other_account,
            missing: attempt.detail.missing,
            words: attempt.detail.words,
            again,
            return_url: session.terms.return_url,
        })
    }

    fn attempt_of_result(&mut self, result: &str) -> Result<Attempt, Problem> {
        self.standing()?;
        let result = unhex::<16>(result).ok_or_else(Problem::not_found)?;
        let row = self.sql.row(
            &format!("SELECT {COLUMNS} FROM attempt WHERE result = ?"),
            &[Value::Blob(result.to_vec())],
        )?;
        row.map(|row| read(&row))
            .transpose()?
            .ok_or_else(Problem::not_found)
    }

    /// By the alarm: attempts that were exchanging when the object died are lost, old rows go.
    pub(crate) fn tidy_attempts(&mut self, now: Millis) -> Result<(), Problem> {
        let rows = self.sql.rows(
            &format!("SELECT {COLUMNS} FROM attempt WHERE outcome IS NULL AND used_at <= ?"),
            &[now.minus(LOST_MS).into()],
        )?;
        for row in rows {
            let attempt = read(&row)?;
            if !self.is_exchanging(&attempt.hash) {
                self.end_attempt(
                    &attempt.hash,
                    Outcome::Lost,
                    &Detail::default(),
                    Some(Class::Lost),
                    now,
                )?;
            }
        }
        self.sql.atomic(|sql| session::tidy(sql, now))
    }
}

/// When [`Connection::tidy_attempts`] has something to do next, as it is stored. Asked at the end of every transaction.
pub(crate) fn next_at<S: Sql>(sql: &S, now: Millis) -> Result<Option<Millis>, Problem> {
    let row = sql.row("SELECT min(expires_at) FROM session", &[])?;
    let old = row.map(|row| row.maybe(0, Row::time)).transpose()?.flatten();
    let Some(old) = old else {
        return Ok(None); // no session, no attempt
    };
    let row = sql.row(
        "SELECT min(used_at) FROM attempt WHERE outcome IS NULL AND used_at IS NOT NULL",
        &[],
    )?;
    let used = row.map(|row| row.maybe(0, Row::time)).transpose()?.flatten();
    // One whose exchange still hangs is looked at again in a while.
    let lost = used.map(|used| used.plus(LOST_MS).max(now.plus(1000)));
    Ok(crate::alarm::earlier(Some(old.plus(session::KNOWN_MS)), lost))
}

/// Nothing is left of links and attempts: a disconnect or a reset takes their secrets too.
pub(crate) fn shred<S: Sql>(sql: &S) -> Result<(), Problem> {
    sql.run("UPDATE attempt SET verifier = NULL, nonce = NULL", &[])?;
    sql.run("UPDATE session SET secret = NULL", &[])?;
    sql.run("DELETE FROM attempt", &[])?;
    sql.run("DELETE FROM session", &[])?;
    Ok(())
}

/// Writes down how an attempt ended. Part of a transaction.
pub(crate) fn end<S: Sql>(
    sql: &S,
    hash: &[u8],
    outcome: Outcome,
    detail: &Detail,
    now: Millis,
) -> Result<(), Problem> {
    let detail = serde_json::to_string(detail).map_err(Problem::internal)?;
    sql.run(
        "UPDATE attempt SET used_at = ifnull(used_at, ?), outcome = ?, detail = ?, verifier = NULL, nonce = NULL
         WHERE hash = ? AND outcome IS NULL",
        &[now.into(), word(outcome)?, detail.into(), hash.into()],
    )?;
    Ok(())
}

/// The attempt of that hash.
pub(crate) fn load<S: Sql>(sql: &S, hash: &[u8]) -> Result<Option<Attempt>, Problem> {
    let row = sql.row(
        &format!("SELECT {COLUMNS} FROM attempt WHERE hash = ?"),
        &[Value::from(hash)],
    )?;
    row.map(|row| read(&row)).transpose()
}

const COLUMNS: &str = "hash, number, session, cookie_name, cookie, verifier, nonce, expires_at, used_at, result, outcome, detail";

fn read(row: &Row) -> Result<Attempt, Problem> {
    let parse = |error: serde_json::Error| broken(&error.to_string());
    let outcome = row.maybe(10, Row::text)?;
    let detail = row.maybe(11, Row::text)?;
    Ok(Attempt {
        hash: row.blob(0)?,
        number: row.number(1)?,
        session: row.blob(2)?,
        cookie_name: row.text(3)?,
        cookie: row.blob(4)?,
        verifier: row.maybe(5, Row::blob)?,
        nonce: row.maybe(6, Row::blob)?,
        expires_at: row.time(7)?,
        used_at: row.maybe(8, Row::time)?,
        result: row.blob(9)?,
        outcome: outcome
            .map(|word| serde_json::from_value(word.into()).map_err(parse))
            .transpose()?,
        detail: detail
            .map(|detail| json::read(&detail).map_err(parse))
            .transpose()?
            .unwrap_or_default(),
    })
}

fn word(outcome: Outcome) -> Result<Value, Problem> {
    match serde_json::to_value(outcome) {
        Ok(serde_json::Value::String(word)) => Ok(word.into()),
        _ => Err(Problem::internal("an outcome is a word")),
    }
}

fn arrival(attempt: &Attempt, session: &Session, outcome: Outcome) -> Arrival {
    let is_returned = matches!(
        outcome,
        Outcome::Connected | Outcome::MissingScopes | Outcome::AlreadyConnected | Outcome::Denied
    );
    let return_url = session.terms.return_url.clone().filter(|_| is_returned);
    // As long as our page offers to begin again, the cookie says that it is the same browser.
    let is_needed = outcome == Outcome::Underway || (return_url.is_none() && begins_again(outcome));
    Arrival {
        outcome,
        return_url,
        result: Some(hex::encode(&attempt.result)),
        cookie_name: (!is_needed).then(|| attempt.cookie_name.clone()),
    }
}

const fn nothing_touched(outcome: Outcome) -> Arrival {
    Arrival {
        outcome,
        return_url: None,
        result: None,
        cookie_name: None,
    }
}

fn no_departure() -> Departure {
    Departure {
        url: None,
        cookie_name: String::new(),
        cookie: Secret(String::new()),
        cookie_seconds: 0,
    }
}

/// Whether somebody may want to begin again after it.
const fn begins_again(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Denied
            | Outcome::Expired
            | Outcome::Lost
            | Outcome::OtherAccount
            | Outcome::RefusedScopes
            | Outcome::ProviderError
            | Outcome::ExchangeFailed
    )
}

/// Whether an authorization response is from the issuer that was asked (RFC 9207 section 2.4). One of a provider whose
/// issuer is not known says nothing that could be compared: the redirect URI, one per app, keeps it apart.
fn is_from(told: Option<&str>, oauth: &OAuth) -> bool {
    let Some(told) = told else {
        return !oauth.iss_required;
    };
    let mut known = oauth.issuer.iter().chain(&oauth.issuer_also).peekable();
    if known.peek().is_none() {
        return !oauth.iss_required;
    }
    known.any(|known| match known.split_once("{tenantid}") {
        None => known == told,
        Some((before, behind)) => told
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(behind))
            .is_some_and(|tid| tid.len() == 36 && tid.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-')),
    })
}

/// What an authorization error means (RFC 6749 section 4.1.2.1).
fn said_no(call: &Callback) -> (Outcome, Detail) {
    let error = call.error.clone().unwrap_or_default();
    if matches!(
        error.as_str(),
        "access_denied" | "user_denied" | "user_cancelled_login" | "user_cancelled_authorize"
    ) {
        return (Outcome::Denied, Detail::default());
    }
    let words = match &call.error_description {
        Some(description) => format!("{error}: {description}"),
        None => error,
    };
    let detail = Detail {
        words: Some(words.chars().take(200).collect()),
        ..Detail::default()
    };
    (Outcome::ProviderError, detail)
}

/// One line of the history.
pub(crate) const fn sentence(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Connected => "Connected",
        Outcome::MissingScopes => "Connected, with fewer scopes than asked for",
        Outcome::RefusedScopes => "Not connected: scopes were left out, and the app takes all or nothing",
        Outcome::AlreadyConnected => "Connected already",
        Outcome::Denied => "Not connected: whoever was asked said no",
        Outcome::Expired => "Not connected: the attempt expired",
        Outcome::OtherBrowser => "Not connected: another browser came back",
        Outcome::OtherAccount => "Not connected: another account came back; its grant is revoked",
        Outcome::ProviderError => "Not connected: the provider answered with an error",
        Outcome::ExchangeFailed => "Not connected: the code could not be exchanged",
        Outcome::Lost => "Not connected: the exchange's answer was lost; the code is not sent again",
        Outcome::Underway => "The code is being exchanged",
    }
}

fn is_cookie_of(cookie: &Secret, attempt: &Attempt) -> bool {
    digest::same(&hash_of(cookie.reveal().as_bytes()), &attempt.cookie)
}

fn link_text(connection: postern_domain::id::ConnectionId, state: &Secret) -> Result<String, Problem> {
    let random = bytes_of(state).ok_or_else(Problem::not_found)?;
    Ok(Link { connection, random }.to_string())
}

/// 32 random bytes as 43 characters.
fn unguessable(random: &mut dyn Random) -> Secret {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    Secret(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256.
pub(crate) fn hash_of(bytes: &[u8]) -> Vec<u8> {
    digest::bytes_of(bytes).to_vec()
}

/// The random part of a link or a state.
pub(crate) fn bytes_of(text: &Secret) -> Option<[u8; 32]> {
    unhex(text.reveal())
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
