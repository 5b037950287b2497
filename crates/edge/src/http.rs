//! HTTP as `wasi:http` carries it: just what the functions need, without a second model of requests
//! in between, which would cost every component 60 kB and every request a copy of all headers.

use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, Request, Response as WasiResponse};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};
use wit_bindgen::StreamResult;

use crate::problem::Problem;

/// Bytes of a body. The largest that has a use is a batch of 1,000 events of some hundred bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes that are read of a body that is too large, and thrown away: a server that closes a connection
/// with bytes unread resets it, and a client that was still sending would never see why it was
/// refused. Nobody sends more than this by mistake.
const BODY_BYTES_READ_MAX: usize = 8 << 20;
/// What is read of a body at once.
const CHUNK_BYTES: usize = 16 << 10;

/// The headers of a request. Names are compared without regard to case.
#[derive(Debug)]
pub struct Headers(Source);

#[derive(Debug)]
enum Source {
    /// The host is asked for the two or three that matter: a request has a dozen, most of them the
    /// runtime's own, and copying them all costs two allocations each.
    Host(Fields),
    /// As a test gives them.
    Given(Vec<(String, Vec<u8>)>),
}

impl Headers {
    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        match &self.0 {
            Source::Host(fields) => fields.get(name).into_iter().next(),
            Source::Given(headers) => {
                let named = |(each, _): &&(String, Vec<u8>)| each.eq_ignore_ascii_case(name);
                headers.iter().find(named).map(|(_, value)| value.clone())
            }
        }
    }

    /// The first value of a header, if it is text.
    pub fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.get(name)?).ok()
    }
}

impl FromIterator<(String, Vec<u8>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, Vec<u8>)>>(headers: I) -> Self {
        Self(Source::Given(headers.into_iter().collect()))
    }
}

/// The parts of a request that come before its body.
#[derive(Debug)]
pub struct Head {
    /// The method, in capitals.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// What stands behind the question mark.
    pub query: Option<String>,
    /// The headers.
    pub headers: Headers,
}

impl Head {
    /// Reads the head of a request.
    pub fn of(request: &Request) -> Self {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (target, None),
        };
        let method = match request.get_method() {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Connect => "CONNECT",
            Method::Trace => "TRACE",
            Method::Other(_) => "OTHER",
        };
        let headers = Headers(Source::Host(request.get_headers()));
        Self { method, path, query, headers }
    }
}

/// Reads the body of a request within the limit.
///
/// # Errors
/// 413 `body_too_large`; 400 `incomplete_body` where the client stopped half-way.
pub async fn read_body(request: Request, headers: &Headers) -> Result<Vec<u8>, Problem> {
    let declared = headers.text("content-length").and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_READ_MAX) {
        return Err(too_large());
    }
    let (_done, done) = wit_future::new(|| Ok(()));
    let (mut stream, _trailers) = Request::consume_body(request, done);
    let mut body = Vec::with_capacity(declared.unwrap_or(0).min(BODY_BYTES_MAX));
    let mut bytes_read = 0;
    loop {
        let (result, chunk) = stream.read(Vec::with_capacity(CHUNK_BYTES)).await;
        bytes_read += chunk.len();
        if bytes_read <= BODY_BYTES_MAX {
            body.extend_from_slice(&chunk);
        }
        if bytes_read > BODY_BYTES_READ_MAX || !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    if bytes_read > BODY_BYTES_MAX {
        return Err(too_large());
    }
    // A chunked body that ends early is no JSON either.
    if declared.is_some_and(|bytes| bytes != body.len()) {
        return Err(Problem::malformed("incomplete_body", "the body ended early"));
    }
    Ok(body)
}

fn too_large() -> Problem {
    Problem::new(413, "body_too_large", format!("a body has at most {BODY_BYTES_MAX} bytes"))
}

/// A response with its whole body: its length is always known, because a chunked body costs 40 ms on
/// a kept connection of a server without TCP_NODELAY.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, but for `content-length`.
    pub headers: Vec<(&'static str, String)>,
    /// The body; none is sent with a 204 (RFC 9110, section 15.3.5).
    pub body: Vec<u8>,
}

const OK: u16 = 200;
const NO_CONTENT: u16 = 204;

impl Response {
    /// Hands the response to the host. The body follows in a task of its own.
    ///
    /// # Errors
    /// A header that HTTP does not allow, which would be a fault of ours.
    pub fn send(mut self) -> Result<WasiResponse, ErrorCode> {
        let internal = || ErrorCode::InternalError(None);
        if self.status != NO_CONTENT {
            let length = itoa::Buffer::new().format(self.body.len()).to_owned();
            self.headers.push(("content-length", length));
        }
        let headers: Vec<_> = self
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect();
        let headers = Fields::from_list(&headers).map_err(|_| internal())?;
        let (trailers, trailers_out) = wit_future::new(|| Ok(None));
        let body = (self.status != NO_CONTENT).then(wit_stream::new);
        let (writer, reader) = body.unzip();
        // Whether the client took it all is the host's to know.
        let (response, _) = WasiResponse::new(headers, reader, trailers_out);
        // What a response has unless it is told otherwise.
        if self.status != OK {
            response.set_status_code(self.status).map_err(|()| internal())?;
        }
        let body = self.body;
        spawn(async move {
            if let Some(mut writer) = writer {
                writer.write_all(body).await;
            }
            // A client that has gone takes no trailers either.
            let _ = trailers.write(Ok(None)).await;
        });
        Ok(response)
    }
}

/// Exports a handler `async fn(Request) -> Response` as the component's HTTP trigger.
#[macro_export]
macro_rules! export_http {
    ($handler:path) => {
        #[cfg(target_arch = "wasm32")]
        mod http_trigger {
            use $crate::wasip3::exports::http::handler::Guest;
            use $crate::wasip3::http::types::{ErrorCode, Request, Response};

            struct Component;

            $crate::wasip3::http::service::export!(Component);

            impl Guest for Component {
                async fn handle(request: Request) -> Result<Response, ErrorCode> {
                    $handler(request).await.send()
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_whatever_their_case() {
        let headers: Headers =
            [("Content-Type".to_owned(), b"text/plain".to_vec())].into_iter().collect();
        assert_eq!(headers.text("content-type").as_deref(), Some("text/plain"));
        assert_eq!(headers.get("accept"), None);
    }
}
