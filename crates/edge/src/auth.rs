//! Who calls: bearer tokens of callers and operators, compared in constant time.

use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::http::Headers;
use crate::problem::Problem;
use crate::route::Access;

/// Checks that the request's token opens a route.
///
/// # Errors
/// 401 `missing_token` or `wrong_token`; 403 `operator_only` where a caller's token is right but the
/// route belongs to operators.
pub fn check(access: Access, headers: &Headers, config: &Config) -> Result<(), Problem> {
    if access == Access::Open {
        return Ok(());
    }
    let authorization = headers.get("authorization").unwrap_or_default();
    let Some(token) = bearer(&authorization) else {
        let detail = "an Authorization header with a Bearer token is required";
        return Err(Problem::new(401, "missing_token", detail));
    };
    // Both comparisons are always made, so that the time tells nothing about which token it was.
    let operator = token.ct_eq(config.operator_token.as_bytes());
    let caller = token.ct_eq(config.caller_token.as_bytes());
    if bool::from(operator) || (bool::from(caller) && access == Access::Caller) {
        Ok(())
    } else if bool::from(caller) {
        let detail = "this route is for operators";
        Err(Problem::new(403, "operator_only", detail))
    } else {
        Err(Problem::new(401, "wrong_token", "the token is not known"))
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
            let header = |value: &str| ("authorization".to_owned(), value.as_bytes().to_vec());
            let headers = authorization.map(header).into_iter().collect();
            let result = check(access, &headers, &config);
            let result = result.map_err(|problem| (problem.status, problem.code));
            assert_eq!(result, expected, "{access:?} {authorization:?}");
        }
    }
}
