//! Forwarding headers: the address of the client behind trusted proxies.
//!
//! **Guarantee.** Without a trusted peer no header changes anything. Behind one, only values
//! written by a trusted hop count: lists are read from their right end, where the last hop wrote.
//! Values that a client put to the left of it, including open quotes, cannot change it.
//!
//! The walk begins at the peer. While the address is in a trusted network, the next one to its left
//! in the list is taken. The walk ends at the first address that is not trusted, at a value that is
//! not an address (then the last trusted hop is the result), or at the left end. All lines of a
//! header are one list. Empty values are skipped (RFC 9110, 5.6.1), but they count as hops, so that
//! a list of commas ends soon.
//!
//! `Forwarded` and `X-Forwarded-For` are never mixed. A proxy that writes one of them usually
//! forwards the other as the client sent it, and the gate does not know which one the proxy writes.
//! So if both are present, each is walked alone. If they lead to different addresses, neither is
//! used: such requests count together as one client, and not as the proxy.
//!
//! If the setting `client_ip_header` names a header that the proxies set themselves, neither of the
//! two is read. That header must be there once, with one address; otherwise the request counts like
//! one whose two headers contradict each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::head::Head;

/// Maximum number of values looked at, empty ones too; the walk ends there.
const HOPS_MAX: usize = 64;
/// Maximum number of bytes of a header that are read, from its right end.
const BYTES_MAX: usize = 8_192;

/// Returns the client's address. `None` if there is no peer, if the two forwarding headers of a
/// trusted peer contradict each other, or if a trusted peer sends no single address in the header
/// `named` (lower case; empty for none).
pub fn believed_address(peer: Option<IpAddr>, head: &dyn Head, proxies: &[IpNet], named: &str) -> Option<IpAddr> {
    let peer = peer?;
    if !is_trusted(peer, proxies) {
        return Some(peer);
    }
    if !named.is_empty() {
        return single_address(head, named);
    }
    let walk = |form: Form| List::read(head, form).map(|list| list.walk(peer, proxies));
    match (walk(Form::Forwarded), walk(Form::XForwardedFor)) {
        (None, None) => Some(peer),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(one), Some(other)) => (one.to_canonical() == other.to_canonical()).then_some(one),
    }
}

/// Returns the address in a header that has one value; `None` if it is missing or repeated, or has
/// anything else.
fn single_address(head: &dyn Head, name: &str) -> Option<IpAddr> {
    let (mut found, mut count) = (None, 0_u32);
    head.header(name, &mut |value| {
        count = count.saturating_add(1);
        found = std::str::from_utf8(value).ok().and_then(|text| node(text.trim()));
    });
    found.filter(|_| count == 1)
}

/// Returns whether an address is in a network of trusted proxies.
pub(in crate::gate) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let canonical = address.to_canonical();
    proxies.iter().any(|network| network.contains(&canonical) || network.contains(&address))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Forwarded,
    XForwardedFor,
}

/// All lines of a header as one list.
struct List {
    form: Form,
    bytes: Vec<u8>,
    // Whether values at the left end were cut off.
    cut: bool,
}

impl List {
    fn read(head: &dyn Head, form: Form) -> Option<Self> {
        let name = match form {
            Form::Forwarded => "forwarded",
            Form::XForwardedFor => "x-forwarded-for",
        };
        let mut list: Option<Self> = None;
        head.header(name, &mut |line| match &mut list {
            None => {
                let mut first = Self { form, bytes: Vec::new(), cut: false };
                first.append(line);
                list = Some(first);
            }
            Some(list) => {
                list.append(b",");
                list.append(line);
            }
        });
        list
    }

    fn append(&mut self, line: &[u8]) {
        let kept = &line[line.len().saturating_sub(BYTES_MAX)..];
        self.bytes.extend_from_slice(kept);
        let over = self.bytes.len().saturating_sub(BYTES_MAX);
        self.bytes.drain(..over);
        self.cut |= over > 0 || kept.len() < line.len();
    }

    fn walk(&self, peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
        let mut believed = peer;
        let filled = |value: &&[u8]| !value.trim_ascii().is_empty();
        for value in self.values().take(HOPS_MAX).filter(filled) {
            let Some(address) = std::str::from_utf8(value).ok().and_then(|text| self.address(text.trim())) else {
                break;
            };
            believed = address;
            if !is_trusted(address, proxies) {
                break;
            }
        }
        believed
    }

    fn address(&self, value: &str) -> Option<IpAddr> {
        match self.form {
            Form::Forwarded => element(value),
            Form::XForwardedFor => node(value),
        }
    }

    /// Returns the values from right to left, without one whose beginning was cut off. In
    /// `Forwarded`, a comma in quotes does not separate values.
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(self.bytes.as_slice());
        std::iter::from_fn(move || {
            let all = rest?;
            let mut quoted = false;
            for (at, byte) in all.iter().enumerate().rev() {
                match byte {
                    b'"' if self.form == Form::Forwarded && !is_escaped(all, at) => quoted = !quoted,
                    b',' if !quoted => {
                        rest = Some(&all[..at]);
                        return Some(&all[at + 1..]);
                    }
                    _ => {}
                }
            }
            rest = None;
            (!self.cut).then_some(all)
        })
    }
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Returns the `for` of one element of `Forwarded` (RFC 7239, 4); `None` if it is missing or
/// repeated.
fn element(text: &str) -> Option<IpAddr> {
    let (mut found, mut from, mut quoted) = (None, 0, false);
    let ends = text.bytes().enumerate().filter(|(at, byte)| {
        quoted ^= *byte == b'"' && !is_escaped(text.as_bytes(), *at);
        *byte == b';' && !quoted
    });
    for end in ends.map(|(at, _)| at).chain([text.len()]) {
        let pair = text[from..end].trim();
        from = end + 1;
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(node(value.trim())?).is_some() {
            return None;
        }
    }
    found
}

/// Parses an address: optionally in quotes, IPv6 optionally in brackets, optionally with a port
/// (RFC 7239, 6). Returns `None` for names that hide an address (`_x`) and for `unknown`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| good).map(IpAddr::V6);
    }
    text.parse().ok().or_else(|| {
        let (address, port) = text.split_once(':')?;
        address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
    })
}

/// Returns whether this is a port, as a number or hidden behind a name.
fn is_port(text: &str) -> bool {
    let named = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    text.parse::<u16>().is_ok() || text.strip_prefix('_').is_some_and(named)
}
