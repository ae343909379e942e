//! Who was shown the token: a row for each reader and minute, kept for 90 days.
//!
//! That a reader read in a minute is stored before the token is shown. How often is gathered: of a reader's reads in one
//! minute the first, the second, the fourth, the eighth … is written, the rest with whatever comes after the minute. So a
//! busy reader costs some rows a minute and not one a read; an object that dies within the minute takes less than half of
//! the count with it, never the reader.

use std::collections::BTreeMap;

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Page;
use postern_domain::wire::connection::{TokenReadList, TokenReadView};

use crate::Connection;
use crate::sql::{Sql, Value};

/// Reads by one reader in a minute at the most.
const MOST: u64 = 3000;

const KEPT_MINUTES: u64 = 90 * 24 * 60;

/// The reads of one minute, as far as storage may not have them.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    minute: u64,
    by_reader: BTreeMap<String, Count>,
    /// The day, since 1970, on which what is old was dropped.
    pruned: u64,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    reads: u64,
    stored: u64,
}

impl<S: Sql> Connection<S> {
    /// Writes a read down, or refuses it: 429 above 3,000 in the minute.
    pub(crate) fn note_read(&mut self, reader: &str, now: Millis) -> Result<(), Problem> {
        let minute = minute_of(now);
        self.store_old_reads(now)?;
        self.reads.minute = minute;
        let noted = self.reads.by_reader.get(reader).copied();
        let Count { reads, stored } = match noted {
            Some(count) => count,
            None => self.stored_count(reader)?,
        };
        if reads >= MOST {
            return Err(Problem::new(
                Code::RateLimited,
                format!(
                    "A token is read up to {MOST} times a minute: keep it until it ends, or use the proxy"
                ),
            ));
        }
        let reads = reads + 1;
        let written = reads.is_power_of_two();
        if written {
            write(&self.sql, minute, reader, reads)?;
        }
        let count = Count {
            reads,
            stored: if written { reads } else { stored },
        };
        self.reads.by_reader.insert(reader.to_owned(), count);
        self.prune_reads(now)
    }

    /// Stores what is only counted yet, once its minute is over.
    pub(crate) fn store_old_reads(&mut self, now: Millis) -> Result<(), Problem> {
        if self.reads.minute == minute_of(now) {
            return Ok(());
        }
        self.store_counts()?;
        self.reads.by_reader.clear();
        Ok(())
    }

    /// Newest first.
    pub(crate) fn token_read_list(
        &mut self,
        call: &TokenReadList,
        now: Millis,
    ) -> Result<Page<TokenReadView>, Problem> {
        self.store_counts()?;
        let limit = usize::from(call.page.limit.clamp(1, 250));
        let place = call.page.iterator.as_deref().map(read_place).transpose()?;
        let backward = place.as_ref().is_some_and(|place| place.backward);
        let oldest = minute_of(now).saturating_sub(KEPT_MINUTES);
        let mut values = vec![
            Value::from(oldest),
            u64::try_from(limit + 1).unwrap_or(u64::MAX).into(),
        ];
        let up = call.page.ascending != backward;
        let (past, order) = if up { (">", "ASC") } else { ("<", "DESC") };
        let behind = place.map_or_else(String::new, |place| {
            values.extend([Value::from(place.minute), place.reader.into()]);
            format!("AND (minute, reader) {past} (?3, ?4)")
        });
        let statement = format!(
            "SELECT minute, reader, reads FROM token_read WHERE minute >= ?1 {behind}
             ORDER BY minute {order}, reader {order} LIMIT ?2"
        );
        let rows = self.sql.rows(&statement, &values)?;
        let done = rows.len() <= limit;
        let read = |row: &crate::sql::Row| {
            Ok(TokenReadView {
                at: Millis(row.number(0)?.saturating_mul(60_000)),
                reader: row.text(1)?,
                reads: row.number(2)?,
            })
        };
        let mut data: Vec<TokenReadView> = rows
            .iter()
            .take(limit)
            .map(read)
            .collect::<Result<_, Problem>>()?;
        if backward {
            data.reverse();
        }
        let iterator = |of: Option<&TokenReadView>, sign: &str| match of {
            Some(read) => Some(format!("{sign}{}:{}", minute_of(read.at), read.reader)),
            // So that whoever waits for more can ask again.
            None => call.page.iterator.clone(),
        };
        Ok(Page {
            iterator: iterator(data.last(), ""),
            prev_iterator: iterator(data.first(), "-"),
            data,
            done,
        })
    }

    /// The reader's count of this minute: an object that slept may have one.
    fn stored_count(&self, reader: &str) -> Result<Count, Problem> {
        let row = self.sql.row(
            "SELECT reads FROM token_read WHERE minute = ? AND reader = ?",
            &[Value::from(self.reads.minute), reader.into()],
        )?;
        let reads = row.map_or(Ok(0), |row| row.number(0))?;
        Ok(Count { reads, stored: reads })
    }

    fn store_counts(&mut self) -> Result<(), Problem> {
        let Reads {
            minute, by_reader, ..
        } = &mut self.reads;
        let behind = by_reader
            .iter_mut()
            .filter(|(_, count)| count.reads != count.stored);
        for (reader, count) in behind {
            write(&self.sql, *minute, reader, count.reads)?;
            count.stored = count.reads;
        }
        Ok(())
    }

    /// Drops what is old, once a day.
    fn prune_reads(&mut self, now: Millis) -> Result<(), Problem> {
        let day = now.0 / Millis::DAY;
        if self.reads.pruned != day {
            let before = minute_of(now).saturating_sub(KEPT_MINUTES);
            self.sql
                .run("DELETE FROM token_read WHERE minute < ?", &[Value::from(before)])?;
            self.reads.pruned = day;
        }
        Ok(())
    }
}

struct Place {
    backward: bool,
    minute: u64,
    reader: String,
}

fn read_place(text: &str) -> Result<Place, Problem> {
    let (place, backward) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
    let invalid = || Problem::new(Code::InvalidIterator, "The iterator is not one of this list");
    let (minute, reader) = place.split_once(':').ok_or_else(invalid)?;
    Ok(Place {
        backward,
        minute: minute.parse().map_err(|_| invalid())?,
        reader: reader.to_owned(),
    })
}

fn write<S: Sql>(sql: &S, minute: u64, reader: &str, reads: u64) -> Result<(), Problem> {
    sql.run(
        "INSERT INTO token_read (minute, reader, reads) VALUES (?, ?, ?)
         ON CONFLICT (minute, reader) DO UPDATE SET reads = excluded.reads",
        &[Value::from(minute), reader.into(), reads.into()],
    )?;
    Ok(())
}

/// Since 1970.
const fn minute_of(time: Millis) -> u64 {
    time.seconds() / 60
}
