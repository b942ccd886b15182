//! Files of the browser client, for servers that serve them: the WebAssembly solver, its worker,
//! and the scripts of the two pages.
//!
//! They refer to each other by relative address, so serve them from one folder. They are built from
//! `clients/js` and included here, so that building a server does not need Node. They load nothing
//! else.
//!
#![cfg_attr(feature = "page", doc = "```")]
#![cfg_attr(not(feature = "page"), doc = "```ignore")]
//! let script = pouw::page::asset("challenge.js").expect("it is one of them");
//! assert_eq!(script.content_type, "text/javascript; charset=utf-8");
//! assert_eq!(pouw::page::asset("../secret"), None);
//! ```

#[cfg(feature = "gate")]
pub(crate) mod languages;

/// A file of the browser client.
#[cfg(feature = "page")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asset {
    /// The name in the folder.
    pub name: &'static str,
    /// The value for `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub bytes: &'static [u8],
}

/// The `Content-Security-Policy` for a page that uses them: scripts and workers of the page's own
/// origin, WebAssembly, and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
     connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(feature = "page")]
const SCRIPT: &str = "text/javascript; charset=utf-8";

#[cfg(feature = "page")]
macro_rules! assets {
    ($($name:literal: $content_type:expr,)*) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("assets/", $name)),
        },)*]
    };
}

/// All files.
#[cfg(feature = "page")]
pub const ASSETS: &[Asset] = assets! {
    "challenge.js": SCRIPT,
    "page.js": SCRIPT,
    "worker.js": SCRIPT,
    "pouw.wasm": "application/wasm",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "index.html": "text/html; charset=utf-8",
};

/// Returns the file with this name.
#[cfg(feature = "page")]
pub fn asset(name: &str) -> Option<Asset> {
    ASSETS.iter().copied().find(|asset| asset.name == name)
}
