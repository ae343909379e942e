//! Answers, and the one place that writes errors.

use futures::stream::LocalBoxStream;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::Page;
use postern_platform::http;
use serde::Serialize;
use worker::{Headers, Response, ResponseBody};

const JSON: &str = "application/json";

/// What goes back.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    /// A body that is still being made, or a socket, in place of `body`.
    live: Option<Response>,
    stream: Option<Chunks>,
}

/// A body that is made while it is read: nobody asks for the next part before the reader has taken the last.
pub(crate) type Chunks = LocalBoxStream<'static, worker::Result<Vec<u8>>>;

impl Answer {
    /// A JSON document.
    pub(crate) fn json<T: Serialize>(status: u16, value: &T) -> Result<Self, Problem> {
        Self::written(status, serde_json::to_vec(value))
    }

    /// 200 with a JSON document.
    pub(crate) fn ok<T: Serialize>(value: &T) -> Result<Self, Problem> {
        Self::json(200, value)
    }

    /// What goes on after the headers have left: a body that is still being made, or a socket.
    pub(crate) fn live(response: Response) -> Self {
        let answer = Self::new(response.status_code(), Vec::new());
        Self {
            live: Some(response),
            ..answer
        }
    }

    /// 204.
    pub(crate) fn empty() -> Self {
        Self::new(204, Vec::new())
    }

    /// 200 with a body that comes part by part.
    pub(crate) fn stream(content_type: &str, chunks: Chunks) -> Self {
        let mut answer = Self::new(200, Vec::new()).with("content-type", content_type);
        answer.stream = Some(chunks);
        answer
    }

    /// An answer that was given before.
    pub(crate) fn again(status: u16, body: String) -> Self {
        Self::new(status, body.into_bytes())
            .with("content-type", JSON)
            .with("idempotent-replayed", "true")
    }

    /// Says that it was given before, if it was.
    pub(crate) fn replayed_if(self, replayed: bool) -> Self {
        if replayed {
            self.with("idempotent-replayed", "true")
        } else {
            self
        }
    }

    /// Bytes that a stranger chose: no browser may run them, guess their type or show them as a page of ours.
    pub(crate) fn stranger(content_type: &str, bytes: Vec<u8>) -> Self {
        let content_type = if is_header_value(content_type) {
            content_type
        } else {
            "application/octet-stream"
        };
        Self::new(200, bytes)
            .with("content-type", content_type)
            .with("content-security-policy", "sandbox; default-src 'none'")
            .with("content-disposition", "attachment")
    }

    /// With a body that comes part by part in place of its own.
    pub(crate) fn streaming(mut self, chunks: Chunks) -> Self {
        self.stream = Some(chunks);
        self
    }

    /// An error.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let rendered = http::render(problem);
        let answer = Self::new(rendered.status, rendered.body);
        rendered
            .headers
            .into_iter()
            .fold(answer, |answer, (name, value)| answer.with(name, value))
    }

    /// 405, with the methods that the path knows.
    pub(crate) fn method_not_allowed(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        let detail = format!("This path takes {allowed}");
        Self::problem(&Problem::new(Code::MethodNotAllowed, detail)).with("allow", &allowed)
    }

    /// With a header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// As the runtime wants it.
    pub(crate) fn into_response(self) -> worker::Result<Response> {
        let headers = Headers::new();
        headers.set("cache-control", "no-store")?;
        headers.set("x-content-type-options", "nosniff")?;
        for (name, value) in &self.headers {
            headers.set(name, value)?;
        }
        if let Some(live) = self.live {
            return Ok(live.with_headers(headers));
        }
        if let Some(chunks) = self.stream {
            return Response::builder()
                .with_status(self.status)
                .with_headers(headers)
                .from_stream(chunks);
        }
        let body = if self.body.is_empty() {
            ResponseBody::Empty
        } else {
            ResponseBody::Body(self.body)
        };
        Ok(Response::builder()
            .with_status(self.status)
            .with_headers(headers)
            .body(body))
    }

    fn written(status: u16, body: serde_json::Result<Vec<u8>>) -> Result<Self, Problem> {
        let body = body.map_err(Problem::internal)?;
        Ok(Self::new(status, body).with("content-type", JSON))
    }

    fn new(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            body,
            headers: Vec::new(),
            live: None,
            stream: None,
        }
    }
}

/// A page of other things in the same places.
pub(crate) fn page<A, B>(page: Page<A>, shape: impl FnMut(A) -> B) -> Page<B> {
    Page {
        data: page.data.into_iter().map(shape).collect(),
        iterator: page.iterator,
        prev_iterator: page.prev_iterator,
        done: page.done,
    }
}

/// The same for a shape that may fail.
pub(crate) fn try_page<A, B>(
    of: Page<A>,
    shape: impl FnMut(A) -> Result<B, Problem>,
) -> Result<Page<B>, Problem> {
    let data: Result<Vec<B>, Problem> = of.data.into_iter().map(shape).collect();
    Ok(Page {
        data: data?,
        iterator: of.iterator,
        prev_iterator: of.prev_iterator,
        done: of.done,
    })
}

fn is_header_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_s_content_type_cannot_break_out_of_its_header() {
        let answer = Answer::stranger("text/html\r\nset-cookie: a=b", Vec::new());
        assert!(
            answer
                .headers
                .contains(&("content-type", "application/octet-stream".to_owned()))
        );
    }
}
