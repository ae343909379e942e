//! Answers that strangers can make us give.

use super::verdict::{Answer, Challenge, Effect, Reason, Rejection};

/// Characters of a challenge at the most.
const MAX: usize = 1024;

/// Answers with a text of the request, if it can be nothing but a text: printable ASCII, short, and no mark-up.
pub(super) fn echo(text: &str, effect: Effect) -> Result<Challenge, Rejection> {
    let harmless = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'>' | b'&');
    if text.is_empty() || text.len() > MAX || !text.bytes().all(harmless) {
        return Err(refused(
            "The challenge is empty, too long, or has characters that none has",
        ));
    }
    Ok(Challenge {
        answer: Answer::text(text),
        effect,
    })
}

/// Checks an input that is to be signed for whoever asks: a short token, which can never be a string that this key signs
/// as an event. Those have a colon or a brace in them.
pub(super) fn token(text: &str) -> Result<&str, Rejection> {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+/=.".contains(&byte);
    if text.is_empty() || text.len() > 256 || !text.bytes().all(of_token) {
        return Err(refused(
            "The challenge is no token: nothing else is signed for a stranger",
        ));
    }
    Ok(text)
}

/// A handshake that is not answered.
pub(super) fn refused(detail: &str) -> Rejection {
    Rejection::new(Reason::HandshakeRefused, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_with_its_own_bytes() {
        let answer = echo("1158201444", Effect::Activate).map(|challenge| challenge.answer);
        assert_eq!(answer, Ok(Answer::text("1158201444")));
    }

    #[test]
    fn what_a_browser_could_run_is_never_answered() {
        for text in [
            "",
            "<script>",
            "a\nb",
            "a\r\nset-cookie: b",
            "é",
            &"a".repeat(1025),
        ] {
            assert!(echo(text, Effect::Nothing).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_that_could_be_an_event_is_signed_for_a_stranger() {
        for text in ["", "v0:1700000000:{}", "{}", "a b", &"a".repeat(257)] {
            assert!(token(text).is_err(), "{text}");
        }
        assert_eq!(token("qgg8vlvZRS6UYooatFL8Aw"), Ok("qgg8vlvZRS6UYooatFL8Aw"));
    }
}
