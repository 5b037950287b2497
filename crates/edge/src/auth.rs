//! Who calls: bearer tokens of callers and operators, compared in constant time.

use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::problem::Problem;
use crate::route::Access;

/// Checks that the request's token opens a route.
///
/// # Errors
/// 401 `missing_token` or `wrong_token`; 403 `operator_only` where a caller's token is right but the
/// route belongs to operators.
pub fn check(access: Access, headers: &HeaderMap, config: &Config) -> Result<(), Problem> {
    if access == Access::Open {
        return Ok(());
    }
    let Some(token) = bearer(headers) else {
        let detail = "an Authorization header with a Bearer token is required";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "missing_token", detail));
    };
    // Both comparisons are always made, so that the time tells nothing about which token it was.
    let operator = token.ct_eq(config.operator_token.as_bytes());
    let caller = token.ct_eq(config.caller_token.as_bytes());
    if bool::from(operator) || (bool::from(caller) && access == Access::Caller) {
        Ok(())
    } else if bool::from(caller) {
        let detail = "this route is for operators";
        Err(Problem::new(StatusCode::FORBIDDEN, "operator_only", detail))
    } else {
        Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_token", "the token is not known"))
    }
}

/// RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_and_operators_are_apart() {
        let config = Config::for_tests("caller-token-of-tests", "operator-token-of-tests");
        let table = [
            (Access::Open, None, Ok(())),
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
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            let result = check(access, &headers, &config);
            let result = result.map_err(|problem| (problem.status.as_u16(), problem.code));
            assert_eq!(result, expected, "{access:?} {authorization:?}");
        }
    }
}
