//! How the response gives a pass to its client.

use crate::gate::memory::passes::PassLeft;
use crate::protocol::header;

use super::rate_headers::{Headers, seconds};

/// What is left of a pass, and how its client presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Bought {
    pub(in crate::gate) left: PassLeft,
    pub(in crate::gate) carrier: Carrier,
}

/// What holds the name of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Carrier {
    Header,
    /// A cookie that the response sets; `secure` over TLS.
    NewCookie {
        secure: bool,
    },
    /// A cookie that the client has already.
    OldCookie,
}

impl Bought {
    /// Adds the header or cookie.
    pub(super) fn write(&self, headers: &mut Headers) {
        let PassLeft { id, requests, time_ms } = self.left;
        match self.carrier {
            Carrier::Header => {
                headers.write(&id.to_string());
                headers.write(";r=");
                headers.write_number(requests.into());
                headers.write(";t=");
                headers.write_number(time_ms / 1_000);
                headers.end(header::PASS);
            }
            // Scripts of the site may replace it by a pass of their own.
            Carrier::NewCookie { secure } => {
                headers.write(if secure { "__Host-pouw-pass=" } else { "pouw-pass=" });
                headers.write(&id.to_string());
                headers.write("; Path=/; Max-Age=");
                headers.write_number(seconds(time_ms));
                headers.write(if secure { "; Secure; SameSite=Lax" } else { "; SameSite=Lax" });
                headers.end("set-cookie");
            }
            Carrier::OldCookie => {}
        }
    }
}
