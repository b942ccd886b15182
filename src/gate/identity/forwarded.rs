//! Forwarding headers: the address of the client behind trusted proxies.
//!
//! The walk begins at the peer. While the address is in a trusted network, the next one to its left in the
//! header is taken. It ends at the first address that is not trusted, at a value that is no address (the last
//! trusted hop is believed then), or at the left end. If there is a `Forwarded` header, `X-Forwarded-For` is
//! not looked at: the two are never mixed.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::super::facts::Head;

/// Reads one value of a list.
type Reader = fn(&str) -> Option<IpAddr>;

/// Values walked over at most; the walk ends there.
const HOPS_MAX: usize = 64;
/// Bytes of a header looked at, from its right end.
const BYTES_MAX: usize = 8_192;

/// The address that is believed to be the client's.
pub fn believed_address(peer: Option<IpAddr>, head: &dyn Head, proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = peer?;
    if !is_trusted(peer, proxies) {
        return Some(peer);
    }
    let (lines, read): (Vec<u8>, Reader) = match lines(head, "forwarded") {
        Some(lines) => (lines, element),
        None => match lines(head, "x-forwarded-for") {
            Some(lines) => (lines, node),
            None => return Some(peer),
        },
    };
    let mut believed = peer;
    for value in split_right(&lines).take(HOPS_MAX) {
        let Some(address) = std::str::from_utf8(value).ok().and_then(|text| read(text.trim())) else {
            break;
        };
        believed = address;
        if !is_trusted(address, proxies) {
            break;
        }
    }
    Some(believed)
}

fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let canonical = address.to_canonical();
    proxies.iter().any(|network| network.contains(&canonical) || network.contains(&address))
}

/// All lines of a header as one list, cut to its right end.
fn lines(head: &dyn Head, name: &str) -> Option<Vec<u8>> {
    let mut all: Option<Vec<u8>> = None;
    head.header(name, &mut |line| {
        let list = all.get_or_insert_default();
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(&line[line.len().saturating_sub(BYTES_MAX)..]);
        let over = list.len().saturating_sub(BYTES_MAX);
        list.drain(..over);
    });
    all
}

/// The elements of a list from right to left; a comma between quotes does not part them.
fn split_right(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut commas = Vec::new();
    for (at, byte) in list.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => commas.push(at),
            _ => {}
        }
    }
    let starts = commas.clone().into_iter().rev().map(|at| at + 1).chain([0]);
    let ends = [list.len()].into_iter().chain(commas.into_iter().rev());
    starts.zip(ends).map(|(start, end)| &list[start..end])
}

/// The `for` of one element of `Forwarded` (RFC 7239).
fn element(text: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in text.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            found = Some(node(value.trim())?);
        }
    }
    found
}

/// An address, perhaps in quotes, with a port, or in brackets. Names and `unknown` are none.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}
