//! Routes: a component's table of method, path and who may call.

use crate::problem::Problem;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Open,
    /// Callers and operators.
    Caller,
    /// Operators.
    Operator,
}

/// A route to an operation of the function.
#[derive(Clone, Copy, Debug)]
pub struct Route<O> {
    /// The method.
    pub verb: Verb,
    /// The path; a segment `{name}` matches any one segment.
    pub path: &'static str,
    /// Who may call.
    pub access: Access,
    /// What is called.
    pub operation: O,
}

/// A row of a route table.
pub const fn route<O: Copy>(
    verb: Verb,
    path: &'static str,
    access: Access,
    operation: O,
) -> Route<O> {
    Route { verb, path, access, operation }
}

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Sets.
    Put,
    /// Removes.
    Delete,
}

impl Verb {
    /// The method, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A route that was found, and the segments that its parameters matched, in order.
#[derive(Debug)]
pub struct Matched<O> {
    /// The path of the table, for logs.
    pub path: &'static str,
    /// Who may call.
    pub access: Access,
    /// What is called.
    pub operation: O,
    /// The parameters.
    pub parameters: Vec<String>,
}

/// Finds the route of a request.
///
/// # Errors
/// 404 `unknown_route` where no path matches; 405 `method_not_allowed` with `Allow` where one does.
pub fn find<O: Copy>(routes: &[Route<O>], method: &str, path: &str) -> Result<Matched<O>, Problem> {
    let mut allow = Vec::new();
    for route in routes {
        let Some(parameters) = parameters(route.path, path) else { continue };
        if route.verb.name() == method {
            let Route { path, access, operation, .. } = *route;
            return Ok(Matched { path, access, operation, parameters });
        }
        allow.push(route.verb.name());
    }
    if allow.is_empty() {
        return Err(unknown_route());
    }
    let allow = allow.join(", ");
    let detail = format!("this route allows {allow}");
    let mut problem = Problem::new(405, "method_not_allowed", detail);
    problem.allow = Some(allow);
    Err(problem)
}

/// 404 for a path that no component has.
pub fn unknown_route() -> Problem {
    Problem::new(404, "unknown_route", "there is no such route")
}

fn parameters(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut parameters = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        if expected.starts_with('{') {
            parameters.push(segment.to_owned());
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &[Route<u8>] = &[
        Route {
            verb: Verb::Get,
            path: "/v1/users/{user}/new",
            access: Access::Caller,
            operation: 1,
        },
        Route { verb: Verb::Get, path: "/v1/import", access: Access::Caller, operation: 2 },
        Route { verb: Verb::Put, path: "/v1/import", access: Access::Operator, operation: 3 },
    ];

    #[track_caller]
    fn check(method: &str, path: &str, operation: u8, parameters: &[&str]) {
        let found = find(ROUTES, method, path).unwrap();
        assert_eq!(found.operation, operation);
        assert_eq!(found.parameters, parameters);
    }

    #[track_caller]
    fn check_problem(method: &str, path: &str, status: u16, allow: Option<&str>) {
        let problem = find(ROUTES, method, path).unwrap_err();
        assert_eq!((problem.status, problem.allow.as_deref()), (status, allow));
    }

    #[test]
    fn finds_by_path_and_method() {
        check("GET", "/v1/users/7/new", 1, &["7"]);
        check("GET", "/v1/users//new", 1, &[""]);
        check("PUT", "/v1/import", 3, &[]);
    }

    #[test]
    fn a_path_that_nobody_has_is_a_404_and_a_wrong_method_a_405() {
        check_problem("GET", "/v1/users/7/new/", 404, None);
        check_problem("GET", "/v1/users/7", 404, None);
        check_problem("GET", "/", 404, None);
        check_problem("POST", "/v1/users/7/new", 405, Some("GET"));
        check_problem("DELETE", "/v1/import", 405, Some("GET, PUT"));
    }
}
