//! The key that identifies a client, and the network it is in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Maximum length of a user's name or a key that is kept unchanged; a longer one is replaced by its
/// digest. A digest has 128 characters, so no unchanged name equals the digest of another.
pub(super) const NAME_BYTES_MAX: usize = 127;

/// Identifies a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientKey {
    /// An IPv4 address, also if it is mapped into IPv6 or translated by NAT64 (64:ff9b::/96).
    V4(Ipv4Addr),
    /// An IPv6 network: the address with all bits after the prefix zero, and the prefix length.
    V6(Ipv6Addr, u8),
    /// A user whom the host authenticated.
    User(Arc<str>),
    /// An API key that the host validated.
    ApiKey(Arc<str>),
    /// A key from the host's own function.
    Custom(Arc<[u8]>),
    /// No identity: no peer address, or no user or key where the strategy needs one. All such
    /// requests count as one client.
    Anonymous,
}

impl ClientKey {
    /// Returns the key of an address: IPv4 whole, IPv6 cut to `v6_prefix` bits.
    pub fn of_address(address: IpAddr, v6_prefix: u8) -> Self {
        match canonical(address) {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let bits = v6_prefix.min(128);
                Self::V6(Ipv6Addr::from_bits(cut(v6.to_bits(), bits)), bits)
            }
        }
    }

    /// Returns whether several people may share this key: an address, or no identity.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::V4(_) | Self::V6(..) | Self::Anonymous)
    }

    /// Returns whether this is an address.
    pub(in crate::gate) fn is_address(&self) -> bool {
        matches!(self, Self::V4(_) | Self::V6(..))
    }

    /// Returns the key as bytes, which differ for all different keys. The engine digests them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Passes the bytes of [`ClientKey::to_bytes`] to `show`, without an allocation unless they are
    /// longer than any key made by the gate.
    pub(in crate::gate) fn with_bytes<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        let (octets, octets6);
        let (kind, rest): (&[u8], &[u8]) = match self {
            Self::V4(address) => {
                octets = address.octets();
                (&[4], &octets)
            }
            Self::V6(address, bits) => {
                octets6 = address.octets();
                (&[6, *bits], &octets6)
            }
            Self::User(name) => (b"u", name.as_bytes()),
            Self::ApiKey(key) => (b"k", key.as_bytes()),
            Self::Custom(bytes) => (b"c", bytes),
            Self::Anonymous => (&[0], &[]),
        };
        let (kinds, length) = (kind.len(), kind.len() + rest.len());
        let mut buffer = [0; 1 + NAME_BYTES_MAX + 16];
        match buffer.get_mut(..length) {
            Some(bytes) => {
                bytes[..kinds].copy_from_slice(kind);
                bytes[kinds..].copy_from_slice(rest);
                show(bytes)
            }
            None => show(&[kind, rest].concat()),
        }
    }
}

impl fmt::Display for ClientKey {
    /// Writes the key for the server's logs. An API key is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address, bits) => write!(f, "{address}/{bits}"),
            Self::User(name) => write!(f, "user {name:?}"),
            Self::ApiKey(_) => f.write_str("api key"),
            Self::Custom(bytes) => write!(f, "custom {:?}", String::from_utf8_lossy(bytes)),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// A network whose clients share a budget: IPv4 /24 or IPv6 /48 of the client's address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NetworkPrefix([u8; 7]);

impl NetworkPrefix {
    /// Returns the prefix of an address. All requests without an address share one.
    pub fn of(address: Option<IpAddr>) -> Self {
        let mut out = [0; 7];
        match address.map(canonical) {
            Some(IpAddr::V4(v4)) => {
                out[0] = 4;
                out[1..4].copy_from_slice(&v4.octets()[..3]);
            }
            Some(IpAddr::V6(v6)) => {
                out[0] = 6;
                out[1..7].copy_from_slice(&v6.octets()[..6]);
            }
            None => {}
        }
        Self(out)
    }

    /// Returns the prefix as bytes.
    pub fn as_bytes(&self) -> &[u8; 7] {
        &self.0
    }
}

/// The prefix of IPv4 addresses that NAT64 translates, if the network has no prefix of its own
/// (RFC 6052, 2.1).
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// Returns the IPv4 address that an IPv6 address represents; any other address unchanged. Without
/// this, all IPv4 clients behind a NAT64 translator would be one client, since they share a /64.
fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match embedded(v6, NAT64) {
            // This prefix must not be used for an address that is not global (RFC 6052, 3.1).
            Some(v4) if is_public(v4) => IpAddr::V4(v4),
            _ => address,
        },
        v4 => v4,
    }
}

/// Returns the IPv4 address in the low 32 bits of an address that begins with one of these NAT64
/// prefixes of 96 bits; any other address unchanged.
pub(super) fn translated(address: IpAddr, prefixes: &[Ipv6Addr]) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    prefixes.iter().find_map(|prefix| embedded(v6, *prefix)).map_or(address, IpAddr::V4)
}

fn embedded(address: Ipv6Addr, prefix: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    (cut(bits, 96) == prefix.to_bits()).then(|| Ipv4Addr::from_bits(bits as u32))
}

fn is_public(v4: Ipv4Addr) -> bool {
    !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast())
}

fn cut(bits: u128, keep: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(keep)).unwrap_or(0)
}
