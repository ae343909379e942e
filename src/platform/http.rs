//! Requests and answers of this Worker's own: what every way in needs of them.

use futures::StreamExt;
use postern_domain::problem::{Code, Problem};
use serde_json::json;
use wasm_bindgen_futures::JsFuture;
use worker::{Error, Headers, Request, Response, ResponseBody};

/// An error as it leaves, wherever it leaves: `{code, detail}`; of a validation `detail` lists the faults, as Svix's
/// clients expect. What happened inside is not in it.
pub struct Rendered {
    /// The status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
    /// Headers, the content's type among them.
    pub headers: Vec<(&'static str, &'static str)>,
}

/// Writes an error.
#[must_use]
pub fn render(problem: &Problem) -> Rendered {
    let detail = if problem.faults.is_empty() {
        json!(problem.detail)
    } else {
        json!(problem.faults)
    };
    let body = json!({ "code": problem.code, "detail": detail });
    let mut headers = vec![("content-type", "application/json")];
    match problem.code {
        Code::AuthenticationFailed => headers.push(("www-authenticate", "Bearer")),
        Code::Overloaded => headers.push(("retry-after", "1")),
        Code::LedgerFull | Code::SealingUnavailable => headers.push(("retry-after", "60")),
        _ => {}
    }
    Rendered {
        status: problem.code.status(),
        body: body.to_string().into_bytes(),
        headers,
    }
}

/// The same as the runtime's response.
#[must_use]
pub fn problem(problem: &Problem) -> Response {
    let rendered = render(problem);
    let headers = Headers::new();
    for (name, value) in rendered.headers {
        // Names and values stand above: none that could be refused.
        let _ = headers.set(name, value);
    }
    Response::builder()
        .with_status(rendered.status)
        .with_headers(headers)
        .body(ResponseBody::Body(rendered.body))
}

/// The body: at most `cap` bytes are ever held. One whose length is announced ends there, by HTTP, and is taken in one
/// piece, which is much cheaper than a stream; any other is counted while it comes.
///
/// # Errors
/// [`Code::PayloadTooLarge`] at the first byte too many; [`Code::BadRequest`] when the sender broke off.
pub async fn body(request: &mut Request, cap: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        Problem::new(
            Code::PayloadTooLarge,
            format!("The body is larger than {cap} bytes"),
        )
    };
    let announced = header(request, "content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > cap) {
        return Err(too_large());
    }
    if request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    if announced.is_some() && header(request, "content-encoding").is_none() {
        let bytes = request.bytes().await.map_err(|_| broken_off())?;
        return if bytes.len() > cap {
            Err(too_large())
        } else {
            Ok(bytes)
        };
    }
    let mut bytes = Vec::new();
    let mut chunks = request.stream().map_err(|_| broken_off())?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| broken_off())?;
        if bytes.len() + chunk.len() > cap {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// All of an answer's body, for one that is known to end soon. The runtime gathers it: as a stream, every answer costs
/// several hops between wasm and JavaScript, and an error made for nobody when its reader lets go.
///
/// # Errors
/// What the runtime says when the body breaks off.
pub async fn whole(answer: &Response) -> worker::Result<Vec<u8>> {
    let stream = match answer.body() {
        ResponseBody::Empty => return Ok(Vec::new()),
        ResponseBody::Body(bytes) => return Ok(bytes.clone()),
        ResponseBody::Stream(stream) => stream,
    };
    let answer = worker::web_sys::Response::new_with_opt_readable_stream(Some(stream))?;
    let buffer = JsFuture::from(answer.array_buffer()?).await?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}

/// The header in which a WebSocket's client offers protocols.
pub const PROTOCOLS: &str = "sec-websocket-protocol";

/// The protocol of streams over a WebSocket.
pub const STREAM_PROTOCOL: &str = "postern";

/// A protocol of this beginning is a token: a browser's WebSocket can send no other header, and a token has no place in
/// a URL.
const TOKEN_PROTOCOL: &str = "bearer.";

/// Whether a WebSocket is asked for.
#[must_use]
pub fn wants_socket(request: &Request) -> bool {
    header(request, "upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// `Authorization`, or what stands for it where a WebSocket is asked for.
#[must_use]
pub fn authorization(request: &Request) -> Option<String> {
    header(request, "authorization").or_else(|| {
        let offered = header(request, PROTOCOLS).filter(|_| wants_socket(request))?;
        let token = offered
            .split(',')
            .find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL))?;
        Some(format!("Bearer {token}"))
    })
}

/// A header's value, if it is there.
#[must_use]
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// What an error of the runtime says, without its stack.
#[must_use]
pub fn message(error: &Error) -> String {
    match error {
        Error::UnknownJsError { name, message, .. } => match name {
            Some(name) => format!("{name}: {message}"),
            None => message.clone(),
        },
        Error::D1(error) => error.cause(),
        other => other.to_string(),
    }
}

fn broken_off() -> Problem {
    Problem::new(Code::BadRequest, "The body broke off before its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(problem: &Problem) -> serde_json::Value {
        serde_json::from_slice(&render(problem).body).unwrap_or_default()
    }

    #[test]
    fn a_validation_says_each_place_and_the_code_beside_them() {
        assert_eq!(
            json_of(&Problem::fault(&["body", "url"], "must be https")),
            json!({
                "code": "validation",
                "detail": [{ "loc": ["body", "url"], "msg": "must be https", "type": "value_error" }],
            })
        );
    }

    #[test]
    fn what_happened_inside_never_leaves() {
        assert!(
            !json_of(&Problem::internal("the secret is 42"))
                .to_string()
                .contains("42")
        );
    }

    #[test]
    fn who_is_to_come_again_is_told_when() {
        let overloaded = render(&Problem::new(Code::Overloaded, "later"));
        assert!(overloaded.headers.contains(&("retry-after", "1")));
    }
}
