//! The yardstick of the benchmark: what a component on the SDK costs that sends one `EVALSHA` on a
//! connection that it keeps, and nothing else. No tokens, no parsing, no limits, no time-out, and the
//! same answer to everybody.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, reason = "the exports that the SDK generates")
)]

use std::cell::RefCell;
use std::rc::Rc;

use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use spin_sdk::http::{Request, Response};
use spin_sdk::redis::{Connection, RedisParameter};
use spin_sdk::variables;

/// As long as the answer of the function that is measured against this one.
const BODY: &str = r#"{"user":"652024209997893632","new":true}"#;

struct Kept {
    connection: Connection,
    arguments: Vec<RedisParameter>,
}

thread_local! {
    static KEPT: RefCell<Option<Rc<Kept>>> = const { RefCell::new(None) };
}

/// Runs the command and answers.
///
/// # Errors
/// Whatever went wrong, in words.
#[cfg_attr(target_arch = "wasm32", spin_sdk::http_service)]
pub async fn check(request: Request) -> Result<Response<String>, String> {
    // What is sent has to be taken in, whatever comes of it.
    if request.method() == Method::POST {
        request.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
    }
    // Requests that find no connection open one each, and the last one is kept: to wait for one
    // another they would have to wake tasks of other requests, which traps.
    let kept = match KEPT.with_borrow(Clone::clone) {
        Some(kept) => kept,
        None => {
            let kept = Rc::new(Kept::open().await?);
            KEPT.set(Some(Rc::clone(&kept)));
            kept
        }
    };
    let replies = kept.connection.execute("EVALSHA", kept.arguments.iter().cloned()).await;
    replies.map_err(|error| error.to_string())?;
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header(CONTENT_LENGTH, BODY.len())
        .body(BODY.to_owned())
        .map_err(|error| error.to_string())
}

impl Kept {
    async fn open() -> Result<Self, String> {
        let variable = async |name| variables::get(name).await.map_err(|error| error.to_string());
        let address = variable("redis").await?;
        let arguments = parse(&variable("arguments").await?)?;
        let connection = Connection::open(address).await.map_err(|error| error.to_string())?;
        Ok(Self { connection, arguments })
    }
}

/// Arguments between spaces: `i` and a decimal integer, or `b` and bytes in hexadecimal.
fn parse(text: &str) -> Result<Vec<RedisParameter>, String> {
    let argument = |word: &str| match word.split_at_checked(1)? {
        ("i", integer) => Some(RedisParameter::Int64(integer.parse().ok()?)),
        ("b", digits) => {
            let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
            Some(RedisParameter::Binary(bytes?))
        }
        _ => None,
    };
    let words = text.split(' ');
    words.map(|word| argument(word).ok_or_else(|| format!("not an argument: {word}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_integers_and_bytes() {
        let parsed = parse("b00ff i-7 b").unwrap();
        let expected = [
            RedisParameter::Binary(vec![0, 255]),
            RedisParameter::Int64(-7),
            RedisParameter::Binary(vec![]),
        ];
        assert_eq!(format!("{parsed:?}"), format!("{expected:?}"));
        for wrong in ["", "x1", "i", "b0", "bxy"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
