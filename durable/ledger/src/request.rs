//! The request that a message came in. One that told of a single event is that message's own body; one of several stands
//! beside its parts, for as long as all of them do.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::MessageGet;
use postern_domain::wire::request::{MessageRequest, RequestView};

use crate::Ledger;
use crate::decided::Decided;
use crate::sql::{Row, Sql};

impl<S: Sql> Ledger<S> {
    /// The request of one of its messages.
    pub(crate) fn message_request(
        &mut self,
        call: &MessageRequest,
    ) -> Result<(RequestView, Vec<Vec<u8>>), Problem> {
        let get = MessageGet {
            message: call.message.clone(),
        };
        let (view, bodies) = self.message_get(&get)?;
        if view.expunged {
            return Err(Problem::new(Code::NotFound, "The message's content was expunged"));
        }
        let Some(batch) = self.batch_of(view.id.0.sequence)? else {
            let alone = RequestView {
                content_type: view.content_type,
                messages: 1,
                body_at: view.body_at,
            };
            return Ok((alone, bodies));
        };
        let row = self.sql.row(
            "SELECT content_type, count, body FROM request WHERE sequence = ?",
            &[batch.into()],
        )?;
        let row = row.ok_or_else(|| {
            let detail = "The request is not kept: it was larger than 1 MiB, or the content of one of its messages was \
                          expunged. Each message has its own part";
            Problem::new(Code::NotFound, detail)
        })?;
        let request = RequestView {
            content_type: row.text(0)?,
            messages: row.number(1)?,
            body_at: None,
        };
        Ok((request, vec![row.blob(2)?]))
    }

    /// The number that the request of a message is known by, if it told of several events.
    fn batch_of(&mut self, sequence: u64) -> Result<Option<u64>, Problem> {
        let Some(segment) = self.memory()?.segment_of(sequence).map(|segment| segment.number) else {
            return Ok(None);
        };
        let statement = format!("SELECT not_sent FROM message_{segment} WHERE sequence = ?");
        let row = self.sql.row(&statement, &[sequence.into()])?;
        let column = row.map(|row| row.maybe(0, Row::text)).transpose()?;
        Ok(Decided::read(column.flatten()).batch)
    }
}
