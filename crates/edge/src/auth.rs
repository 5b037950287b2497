//! Who calls: bearer tokens of callers and operators, compared in constant time.

use std::rc::Rc;

use subtle::ConstantTimeEq;

use crate::config::{Config, ConfigError, read, wrong};
use crate::http::Headers;
use crate::kept::Kept;
use crate::problem::Problem;
use crate::route::Access;
use crate::variable::{CALLER_TOKEN, OF_CALLERS, OPERATOR_TOKEN, Variable};

/// A token that can be guessed opens everything.
const TOKEN_BYTES_MIN: usize = 16;

/// The tokens of a deployment. Only components with a route that is not open read them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tokens {
    caller: String,
    operator: String,
}

thread_local! {
    static TOKENS: Kept<Tokens> = const { Kept::new() };
}

/// Checks that the request's token opens a route.
///
/// # Errors
/// 401 `missing_token` or `wrong_token`; 403 `operator_only` where a caller's token is right but the
/// route belongs to operators. 500, 503: the tokens are wrong, or cannot be read.
pub async fn check(access: Access, headers: &Headers, config: &Rc<Config>) -> Result<(), Problem> {
    if access == Access::Open {
        return Ok(());
    }
    let tokens = match TOKENS.with(|kept| kept.get(config)) {
        Some(tokens) => tokens,
        None => {
            let tokens = Tokens::parse(read(&OF_CALLERS).await?)?;
            TOKENS.with(|kept| kept.keep(config, tokens))
        }
    };
    tokens.check(access, headers)
}

impl Tokens {
    /// Of the variables in the order of [`OF_CALLERS`].
    fn parse([caller, operator]: [Option<String>; 2]) -> Result<Self, ConfigError> {
        let caller = token(&CALLER_TOKEN, caller)?;
        let operator = token(&OPERATOR_TOKEN, operator)?;
        if caller == operator {
            return Err(wrong(&OPERATOR_TOKEN, "must differ from caller_token"));
        }
        Ok(Self { caller, operator })
    }

    fn check(&self, access: Access, headers: &Headers) -> Result<(), Problem> {
        let authorization = headers.get("authorization").unwrap_or_default();
        let Some(token) = bearer(&authorization) else {
            let detail = "an Authorization header with a Bearer token is required";
            return Err(Problem::new(401, "missing_token", detail));
        };
        // Both comparisons are always made, so that the time tells nothing about which token it was.
        let operator = token.ct_eq(self.operator.as_bytes());
        let caller = token.ct_eq(self.caller.as_bytes());
        if bool::from(operator) || (bool::from(caller) && access == Access::Caller) {
            Ok(())
        } else if bool::from(caller) {
            let detail = "this route is for operators";
            Err(Problem::new(403, "operator_only", detail))
        } else {
            Err(Problem::new(401, "wrong_token", "the token is not known"))
        }
    }
}

fn token(variable: &Variable, text: Option<String>) -> Result<String, ConfigError> {
    match text {
        None => Err(wrong(variable, "is required")),
        Some(text) if text.len() < TOKEN_BYTES_MIN => {
            Err(wrong(variable, "must have at least 16 characters"))
        }
        Some(text) => Ok(text),
    }
}

/// RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "caller-token-of-tests";
    const OPERATOR: &str = "operator-token-of-tests";

    fn parse(caller: &str, operator: &str) -> Result<Tokens, ConfigError> {
        Tokens::parse(
            [caller, operator].map(|text| Some(text.to_owned()).filter(|t| !t.is_empty())),
        )
    }

    #[test]
    fn tokens_are_required_long_and_different() {
        assert!(parse(CALLER, OPERATOR).is_ok());
        assert_eq!(parse("", OPERATOR), Err(wrong(&CALLER_TOKEN, "is required")));
        assert!(parse("short", OPERATOR).is_err());
        assert!(parse(OPERATOR, OPERATOR).is_err());
    }

    #[test]
    fn callers_and_operators_are_apart() {
        let tokens = parse(CALLER, OPERATOR).unwrap();
        let table = [
            (Access::Caller, None, Err((401, "missing_token"))),
            (Access::Caller, Some("Basic abc"), Err((401, "missing_token"))),
            (Access::Caller, Some("Bearer "), Err((401, "wrong_token"))),
            (Access::Caller, Some("Bearer nonsense"), Err((401, "wrong_token"))),
            (Access::Caller, Some("Bearer caller-token-of-test"), Err((401, "wrong_token"))),
            (Access::Caller, Some("Bearer caller-token-of-tests"), Ok(())),
            (Access::Caller, Some("bearer operator-token-of-tests"), Ok(())),
            (Access::Operator, Some("Bearer caller-token-of-tests"), Err((403, "operator_only"))),
            (Access::Operator, Some("Bearer operator-token-of-tests"), Ok(())),
            (Access::Operator, Some("Bearer nonsense"), Err((401, "wrong_token"))),
        ];
        for (access, authorization, expected) in table {
            let header = |value: &str| ("authorization".to_owned(), value.as_bytes().to_vec());
            let headers = authorization.map(header).into_iter().collect();
            let result = tokens.check(access, &headers);
            let result = result.map_err(|problem| (problem.status, problem.code));
            assert_eq!(result, expected, "{access:?} {authorization:?}");
        }
    }
}
