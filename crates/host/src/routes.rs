//! Which component answers a path. A route has literal segments, `:name` segments, and may end in
//! `/...`; of all routes that match the most specific wins: segment by segment a literal before a
//! name before the rest. Slashes at either end of a path make no difference, as in Spin.

/// The routes of an app, most specific first.
#[derive(Clone, Debug)]
pub(crate) struct Router<T> {
    routes: Vec<(Route, T)>,
}

/// One route, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// As the manifest writes it.
    pub(crate) raw: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Name(String),
    Rest,
}

/// A route that matched, and what its segments stand for.
#[derive(Debug)]
pub(crate) struct Match<'r, 'p, T> {
    pub(crate) target: &'r T,
    /// Name and value of each `:name` segment.
    pub(crate) names: Vec<(&'r str, &'p str)>,
    /// What `/...` stands for, with its leading slash; empty for other routes.
    pub(crate) rest: &'p str,
}

impl Route {
    pub(crate) fn parse(raw: &str) -> Result<Self, &'static str> {
        if !raw.starts_with('/') {
            return Err("a route begins with a slash");
        }
        let trimmed = raw.trim_matches('/');
        let mut segments = Vec::new();
        for text in trimmed.split('/').filter(|text| !text.is_empty()) {
            if segments.last() == Some(&Segment::Rest) {
                return Err("`...` stands only at the end of a route");
            }
            segments.push(match text.strip_prefix(':') {
                Some("") => return Err("a name follows the colon"),
                Some(name) => Segment::Name(name.to_owned()),
                None if text == "..." => Segment::Rest,
                None if text.contains('*') => return Err("`*` is not supported, use `...`"),
                None => Segment::Literal(text.to_owned()),
            });
        }
        Ok(Self { raw: raw.to_owned(), segments })
    }

    /// Without its trailing `/...`.
    pub(crate) fn prefix(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(&self.raw)
    }

    /// Lower is more specific; compared segment by segment.
    fn rank(&self) -> Vec<u8> {
        let mut rank = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(_) => 0,
                Segment::Name(_) => 1,
                Segment::Rest => 3,
            })
            .collect::<Vec<_>>();
        // A route that ends here comes before one that goes on to anything.
        rank.push(2);
        rank
    }

    fn matches<'r, 'p>(&'r self, path: &'p str) -> Option<(Vec<(&'r str, &'p str)>, &'p str)> {
        let mut names = Vec::new();
        let mut left = path.trim_start_matches('/');
        for segment in &self.segments {
            if *segment == Segment::Rest {
                let from = path.len() - left.len();
                // The slash before the rest belongs to it.
                let rest = if left.is_empty() && !path.ends_with('/') {
                    ""
                } else {
                    &path[from - usize::from(from > 0)..]
                };
                return Some((names, rest));
            }
            let (text, after) = left.split_once('/').unwrap_or((left, ""));
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Name(name) if !text.is_empty() => names.push((name.as_str(), text)),
                _ => return None,
            }
            left = after;
        }
        left.trim_end_matches('/').is_empty().then_some((names, ""))
    }
}

impl<T> Router<T> {
    /// Refuses a route that is there twice: Spin would silently prefer the later one.
    pub(crate) fn new(mut routes: Vec<(Route, T)>) -> Result<Self, Route> {
        routes.sort_by_cached_key(|(route, _)| route.rank());
        for (index, (route, _)) in routes.iter().enumerate() {
            if routes[..index].iter().any(|(other, _)| other.segments == route.segments) {
                return Err(route.clone());
            }
        }
        Ok(Self { routes })
    }

    pub(crate) fn find<'r, 'p>(&'r self, path: &'p str) -> Option<Match<'r, 'p, T>> {
        self.routes.iter().find_map(|(route, target)| {
            let (names, rest) = route.matches(path)?;
            Some(Match { target, names, rest })
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Route, &T)> {
        self.routes.iter().map(|(route, target)| (route, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[&str]) -> Result<Router<String>, Route> {
        Router::new(
            routes.iter().map(|raw| (Route::parse(raw).expect(raw), (*raw).to_owned())).collect(),
        )
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = [
            "/...",
            "/v1/...",
            "/v1/users/:user/new",
            "/v1/users/:user/...",
            "/v1/users/check-new",
            "/v1/users/:user",
            "/v1/:kind/:id",
            "/",
        ];
        let router = router(&routes).expect("no route twice");
        let rows = [
            ("/", "/", ""),
            ("", "/", ""),
            ("/health", "/...", "/health"),
            ("/v1", "/v1/...", ""),
            ("/v1/", "/v1/...", "/"),
            ("/v1/a", "/v1/...", "/a"),
            ("/v1/a/b/c", "/v1/...", "/a/b/c"),
            ("/v1/a/b", "/v1/:kind/:id", ""),
            ("/v1/users/7", "/v1/users/:user", ""),
            ("/v1/users/7/", "/v1/users/:user", ""),
            ("/v1/users/check-new", "/v1/users/check-new", ""),
            ("/v1/users/7/new", "/v1/users/:user/new", ""),
            ("/v1/users/7/newer", "/v1/users/:user/...", "/newer"),
            ("/v1/users/7/a/", "/v1/users/:user/...", "/a/"),
            ("/v2", "/...", "/v2"),
        ];
        for (path, route, rest) in rows {
            let found = router.find(path).expect(path);
            assert_eq!(found.target, route, "{path}");
            assert_eq!(found.rest, rest, "{path}");
        }
    }

    #[test]
    fn names_are_captured_and_other_paths_find_nothing() {
        let router = router(&["/a/:first/b/:second"]).expect("one route");
        let found = router.find("/a/1/b/%20").expect("a match");
        assert_eq!(found.names, [("first", "1"), ("second", "%20")]);
        for path in ["/", "/a", "/a/1/b", "/a//b/2", "/a/1/c/2", "/a/1/b/2/3"] {
            assert!(router.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_route_that_is_there_twice_is_refused() {
        let twice = router(&["/a/...", "/b", "/a/.../"]).expect_err("twice");
        assert_eq!(twice.segments, Route::parse("/a/...").expect("a").segments);
    }

    #[test]
    fn a_route_that_cannot_be_meant_is_refused() {
        for raw in ["a", "", "/a/.../b", "/:/b", "/a/*"] {
            Route::parse(raw).expect_err(raw);
        }
    }
}
