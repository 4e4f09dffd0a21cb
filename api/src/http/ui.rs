//! The web UI at `/`: files from the binary under a policy that lets in nothing else. They hold no
//! data: what the UI shows it asks the API for, with the token of whoever looks.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::problem::{Code, Problem};

/// Nothing but our own files, no inline script or style, no frame, no form; strings become HTML only
/// through the templates of Svelte.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// `/`
pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    file("index.html", &headers)
}

/// `/assets/…`
pub(super) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    file(&format!("assets/{name}"), &headers)
}

fn file(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let gzip = accepts_gzip(headers);
    let Some(asset) = sluice_dashboards::asset(path, gzip) else {
        return Err(Problem::new(Code::NotFound, format!("the web UI has no file {path}")));
    };
    // The two forms are different bytes: each has its own tag.
    let tag = format!("\"{}\"", asset.hash);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|h| h.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(asset.bytes).into_response(),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let keep = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    if asset.gzip {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Whether `Accept-Encoding` has gzip with a weight other than 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let text = headers.get(header::ACCEPT_ENCODING).and_then(|h| h.to_str().ok()).unwrap_or("");
    text.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |p: &str| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (text, expected) in [
            ("gzip", true),
            ("br, GZip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("br", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(text);
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(accepts_gzip(&headers), expected, "{text}");
        }
    }
}
