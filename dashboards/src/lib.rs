//! The files of the web UI, inside the binary.
//!
//! It is: what `build.rs` made of the Svelte sources in this folder, or a page that says how to get
//! the UI. It is not: a server; `sluice-api` serves these files and decides their headers.

#![forbid(unsafe_code)]

use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$OUT_DIR/ui");

/// A file of the UI.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its bytes, compressed if [`Asset::gzip`] says so.
    pub bytes: &'static [u8],
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// A hash of the content, for `ETag`: 32 hex digits.
    pub hash: String,
    /// Whether `bytes` are gzip.
    pub gzip: bool,
    /// Whether the name changes with the content, so that a cache may keep it for ever.
    pub immutable: bool,
}

/// The file at a path below `/`, such as `index.html` or `assets/index-4f1c.js`. With `gzip` the
/// compressed form is returned where there is one.
pub fn asset(path: &str, gzip: bool) -> Option<Asset> {
    let media_type = media_type(path)?;
    let packed = if gzip { FILES.get_file(format!("{path}.gz")) } else { None };
    let gzip = packed.is_some();
    let bytes = packed.or_else(|| FILES.get_file(path))?.contents();
    Some(Asset {
        hash: blake3::hash(bytes).to_hex().chars().take(32).collect(),
        bytes,
        media_type,
        gzip,
        immutable: path.starts_with("assets/") && path.contains('-'),
    })
}

/// Paths of all files, without their compressed forms.
pub fn paths() -> Vec<String> {
    fn walk(dir: &Dir<'_>, found: &mut Vec<String>) {
        found.extend(dir.files().map(|file| file.path().to_string_lossy().replace('\\', "/")));
        dir.dirs().for_each(|dir| walk(dir, found));
    }
    let mut found = Vec::new();
    walk(&FILES, &mut found);
    found.retain(|path| !path.ends_with(".gz"));
    found
}

/// Why the page in this binary is not the UI; `None` if it is.
pub fn missing() -> Option<String> {
    let reason = FILES.get_file("missing.txt")?;
    Some(String::from_utf8_lossy(reason.contents()).trim().to_owned())
}

/// The media type by extension; `None` for a file that is not served.
fn media_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_whether_or_not_the_ui_was_built() {
        let page = asset("index.html", false).unwrap();
        let text = String::from_utf8(page.bytes.to_vec()).unwrap();
        assert_eq!(text.contains("<script"), missing().is_none(), "{:?}", missing());
        assert!(!page.immutable);
        assert_eq!(page.hash.len(), 32);
    }

    #[test]
    fn every_file_has_a_type_and_nothing_inline() {
        let mut seen = 0;
        for path in paths().into_iter().filter(|p| p != "missing.txt") {
            let file = asset(&path, false).unwrap_or_else(|| panic!("{path} has no media type"));
            if path.ends_with(".html") {
                let text = String::from_utf8(file.bytes.to_vec()).unwrap();
                for inline in ["style=", "<style", "onclick", "<script>", "http:", "https:"] {
                    assert!(!text.contains(inline), "{path}: {inline}");
                }
            }
            seen += 1;
        }
        assert!(seen >= 1);
    }

    #[test]
    fn nothing_outside_is_found() {
        for path in ["", "/", "..", "../Cargo.toml", "assets/", "missing.txt", "index"] {
            assert!(asset(path, true).is_none(), "{path}");
        }
    }
}
