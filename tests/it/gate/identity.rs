//! Who counts as one client: addresses, networks, and forwarding headers that clients can write too.
use std::net::IpAddr;

use ipnet::IpNet;
use pouw::internal::gate::identity::believed_address;
use pouw::{ClientKey, Head, NetworkPrefix};
use quickcheck::quickcheck;

/// Header lines: name and value.
struct Lines(Vec<(&'static str, Vec<u8>)>);

impl Head for Lines {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        "/"
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.0.iter().filter(|(own, _)| *own == name).for_each(|(_, value)| each(value));
    }

    fn has_body(&self) -> bool {
        false
    }
}

const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";
const PROXY: &str = "10.0.0.1";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn proxies() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()]
}

fn lines(lines: &[(&'static str, &str)]) -> Lines {
    Lines(lines.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect())
}

/// Who is believed behind the proxy.
fn behind(proxy: &str, head: &[(&'static str, &str)]) -> Option<IpAddr> {
    believed_address(Some(address(proxy)), &lines(head), &proxies(), "")
}

fn expect(name: &'static str, value: &str, expected: &str) {
    assert_eq!(behind(PROXY, &[(name, value)]), Some(address(expected)), "{name}: {value}");
}

#[test]
fn an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address_and_only_that_mapping_is() {
    let v4 = ClientKey::of_address(address("192.0.2.7"), 64);
    assert_eq!(ClientKey::of_address(address("::ffff:192.0.2.7"), 64), v4);
    assert_eq!(ClientKey::of_address(address("::ffff:c000:207"), 0), v4);
    for other in ["::192.0.2.7", "::fffe:192.0.2.7", "1::ffff:192.0.2.7"] {
        assert_ne!(ClientKey::of_address(address(other), 128), v4, "{other}");
    }
    assert_eq!(NetworkPrefix::of(Some(address("::ffff:192.0.2.7"))), NetworkPrefix::of(Some(address("192.0.2.200"))),);
}

#[test]
fn an_address_that_nat64_translated_is_the_ipv4_client_in_it() {
    let of = |text: &str| ClientKey::of_address(address(text), 64);
    assert_eq!(of("64:ff9b::192.0.2.7"), of("192.0.2.7"));
    assert_ne!(of("64:ff9b::192.0.2.7"), of("64:ff9b::192.0.2.8"));
    let network = |text| NetworkPrefix::of(Some(address(text)));
    assert_eq!(network("64:ff9b::192.0.2.7"), network("192.0.2.200"));
    assert_ne!(network("64:ff9b::192.0.2.7"), network("64:ff9b::192.0.3.7"));
    for other in ["64:ff9b:1::192.0.2.7", "64:ff9b::1:192.0.2.7", "64:ff9c::192.0.2.7"] {
        assert_ne!(of(other), of("192.0.2.7"), "{other}");
    }
    // The prefix is for global addresses only.
    for inner in ["10.0.0.1", "127.0.0.1", "192.168.0.1", "169.254.0.1", "0.0.0.0"] {
        let own = of(&format!("64:ff9b::{inner}"));
        assert!(matches!(own, ClientKey::V6(..)), "{inner} is {own}");
        assert_ne!(own, of(inner), "{inner}");
    }
}

/// The embedded address is that of a client, and never that of a proxy.
#[test]
fn an_address_embedded_by_nat64_is_not_trusted_as_a_proxy() {
    for peer in ["64:ff9b::10.0.0.1", "2001:db8:64::10.0.0.1"] {
        assert_eq!(behind(peer, &[(X_FORWARDED_FOR, "203.0.113.9")]), Some(address(peer)));
    }
    expect(X_FORWARDED_FOR, "6.6.6.6, 64:ff9b::10.0.0.2", "64:ff9b::10.0.0.2");
}

#[test]
fn an_ipv6_client_is_its_network_for_any_prefix_length() {
    let full = address("2001:db8:1:2:3:4:5:6");
    for (bits, network) in [
        (64, "2001:db8:1:2::"),
        (128, "2001:db8:1:2:3:4:5:6"),
        (0, "::"),
        (1, "::"),
        (56, "2001:db8:1::"),
        (255, "2001:db8:1:2:3:4:5:6"),
    ] {
        let IpAddr::V6(network) = address(network) else { panic!("it is IPv6") };
        assert_eq!(ClientKey::of_address(full, bits), ClientKey::V6(network, bits.min(128)), "/{bits}");
    }
    assert_eq!(ClientKey::of_address(address("2001:db8:1:2:ffff::"), 64), ClientKey::of_address(full, 64));
    assert_ne!(ClientKey::of_address(address("2001:db8:1:3::"), 64), ClientKey::of_address(full, 64));
}

#[test]
fn network_prefixes_are_24_bits_of_ipv4_and_48_of_ipv6() {
    let of = |text| NetworkPrefix::of(Some(address(text)));
    assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
    assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
    assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::"));
    assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    let all = [of("0.0.0.0"), of("::"), NetworkPrefix::of(None)];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
}

#[test]
fn without_a_trusted_peer_no_header_is_believed() {
    for peer in ["192.0.2.7", "11.0.0.1", "2001:db8::1"] {
        for name in [FORWARDED, X_FORWARDED_FOR] {
            for value in ["203.0.113.9", "for=203.0.113.9", "10.0.0.1", "for=10.0.0.2"] {
                assert_eq!(behind(peer, &[(name, value)]), Some(address(peer)), "{name}: {value}");
            }
        }
    }
    let none = believed_address(None, &lines(&[(X_FORWARDED_FOR, "203.0.113.9")]), &proxies(), "");
    assert_eq!(none, None, "without a peer nobody is trusted");
    let nobody = believed_address(Some(address(PROXY)), &lines(&[(X_FORWARDED_FOR, "203.0.113.9")]), &[], "");
    assert_eq!(nobody, Some(address(PROXY)), "without configured networks neither");
}

#[test]
fn chains_are_walked_from_the_right_to_the_first_address_that_is_not_trusted() {
    for (list, expected) in [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.3,10.0.0.2", "203.0.113.9"),
        ("10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.9, 2001:db8:ffff::5", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
    ] {
        expect(X_FORWARDED_FOR, list, expected);
        let elements: Vec<String> = list.split(',').map(|ip| format!("for=\"{}\"", ip.trim())).collect();
        expect(FORWARDED, &elements.join(", "), expected);
    }
    assert_eq!(behind("::ffff:10.0.0.1", &[(X_FORWARDED_FOR, "203.0.113.9")]), Some(address("203.0.113.9")));
    assert_eq!(behind(PROXY, &[]), Some(address(PROXY)));
}

#[test]
fn several_lines_are_one_list_in_their_order() {
    let chain = [(X_FORWARDED_FOR, "6.6.6.6"), (X_FORWARDED_FOR, "203.0.113.9"), (X_FORWARDED_FOR, "10.0.0.2")];
    assert_eq!(behind(PROXY, &chain), Some(address("203.0.113.9")));
    let chain = [(FORWARDED, "for=6.6.6.6;by=\""), (FORWARDED, "for=203.0.113.9, for=10.0.0.2")];
    assert_eq!(behind(PROXY, &chain), Some(address("203.0.113.9")));
}

#[test]
fn every_form_of_an_address_is_read() {
    for (value, expected) in [
        ("203.0.113.9:443", "203.0.113.9"),
        ("203.0.113.9:_hidden", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ("  203.0.113.9\t", "203.0.113.9"),
    ] {
        expect(X_FORWARDED_FOR, value, expected);
    }
    for (value, expected) in [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ("by=10.0.0.1; FOR=\"203.0.113.9:443\" ;", "203.0.113.9"),
        ("for=\"[2001:db8::9]\"", "2001:db8::9"),
        ("for=\"[2001:db8::9]:_x\"", "2001:db8::9"),
        ("for=203.0.113.9;host=\"a;for=6.6.6.6\"", "203.0.113.9"),
        ("host=\"a,b;\\\"for=6.6.6.6\";for=203.0.113.9", "203.0.113.9"),
        ("for=203.0.113.9;host=\"a\\\\\"", "203.0.113.9"),
    ] {
        expect(FORWARDED, value, expected);
    }
}

#[test]
fn empty_values_are_skipped_and_count_as_hops() {
    for (list, expected) in [
        ("203.0.113.9,", "203.0.113.9"),
        (",203.0.113.9, ,", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9,, \t ,10.0.0.2,", "203.0.113.9"),
        ("", PROXY),
        (" , ,,", PROXY),
    ] {
        expect(X_FORWARDED_FOR, list, expected);
        let in_elements = |value: &str| match value.trim() {
            "" => value.to_owned(),
            address => format!("for={address}"),
        };
        expect(FORWARDED, &list.split(',').map(in_elements).collect::<Vec<_>>().join(","), expected);
    }
    // An element with separators only is not empty.
    expect(FORWARDED, "for=6.6.6.6, ;, for=10.0.0.2", "10.0.0.2");
    let commas = |count: usize| format!("203.0.113.9{}", ",".repeat(count));
    expect(X_FORWARDED_FOR, &commas(63), "203.0.113.9");
    expect(X_FORWARDED_FOR, &commas(64), PROXY);
    expect(X_FORWARDED_FOR, &commas(8_000), PROXY);
}

#[test]
fn a_value_that_is_no_address_ends_the_walk_at_the_last_trusted_hop() {
    for garbage in ["unknown", "_hidden", "localhost", "1.2.3", "256.0.0.1", "[1.2.3.4]", "1.2.3.4:", "1.2.3.4:x"] {
        expect(X_FORWARDED_FOR, garbage, PROXY);
        expect(X_FORWARDED_FOR, &format!("6.6.6.6, {garbage}, 10.0.0.2"), "10.0.0.2");
        expect(FORWARDED, &format!("for={garbage}"), PROXY);
        expect(FORWARDED, &format!("for=6.6.6.6, for=\"{garbage}\", for=10.0.0.2"), "10.0.0.2");
    }
    for garbage in [
        "proto=https",
        "for",
        "for=",
        "for=\"\"",
        "203.0.113.9",
        "for=6.6.6.6;for=7.7.7.7",
        "for=\"6.6.6.6",
        "[::1",
        "for=[::1]x",
    ] {
        expect(FORWARDED, garbage, PROXY);
    }
}

/// A proxy that appends without reading what is there must not be led into the client's quotes.
#[test]
fn quotes_that_a_client_leaves_open_do_not_reach_what_a_proxy_appended() {
    for forged in
        ["for=6.6.6.6;by=\"", "for=\"6.6.6.6", "\"", "for=6.6.6.6;by=\"\\", "for=6.6.6.6, \"", "\\\"", "for=6.6.6.6;\""]
    {
        expect(FORWARDED, &format!("{forged}, for=203.0.113.9"), "203.0.113.9");
        expect(FORWARDED, &format!("{forged}, for=203.0.113.9;host=\"a,b\", for=10.0.0.2"), "203.0.113.9");
        expect(X_FORWARDED_FOR, &format!("{forged}, 203.0.113.9"), "203.0.113.9");
    }
    let padded = format!("\"{}for=6.6.6.6;by=\", for=203.0.113.9", ",".repeat(9_000));
    expect(FORWARDED, &padded, "203.0.113.9");
}

/// Most proxies write one of the two and pass the other on as it came.
#[test]
fn a_header_that_the_proxy_does_not_write_cannot_speak_against_the_one_it_writes() {
    let real = "203.0.113.9";
    for forged in ["6.6.6.6", "10.0.0.5", "unknown", ""] {
        let forwarded = format!("for={forged}");
        assert_eq!(behind(PROXY, &[(FORWARDED, &forwarded), (X_FORWARDED_FOR, real)]), None, "{forged}");
        assert_eq!(behind(PROXY, &[(X_FORWARDED_FOR, forged), (FORWARDED, "for=203.0.113.9")]), None, "{forged}");
    }
    let agreeing = [(FORWARDED, "for=\"[::ffff:203.0.113.9]\""), (X_FORWARDED_FOR, real)];
    assert_eq!(behind(PROXY, &agreeing).map(|ip| ip.to_canonical()), Some(address(real)));
}

#[test]
fn a_named_header_of_a_trusted_peer_has_the_address_and_the_lists_are_not_read() {
    let name = "x-real-ip";
    let of = |peer: &str, head: &[(&'static str, &str)]| {
        believed_address(Some(address(peer)), &lines(head), &proxies(), name)
    };
    let real = Some(address("203.0.113.9"));
    for value in ["203.0.113.9", " 203.0.113.9\t", "203.0.113.9:443"] {
        assert_eq!(of(PROXY, &[(name, value)]), real, "{value:?}");
    }
    assert_eq!(of(PROXY, &[(name, "2001:db8::9")]), Some(address("2001:db8::9")));
    let lists = [(X_FORWARDED_FOR, "6.6.6.6"), (FORWARDED, "for=7.7.7.7"), (name, "203.0.113.9")];
    assert_eq!(of(PROXY, &lists), real);
    assert_eq!(of(PROXY, &lists[..2]), None, "a list takes its place");
    assert_eq!(of(PROXY, &[]), None, "the proxy counts as a client");
    for broken in ["", "unknown", "203.0.113.9, 203.0.113.9", "203.0.113.9,", "for=203.0.113.9", "203.0.113"] {
        assert_eq!(of(PROXY, &[(name, broken)]), None, "{broken:?}");
    }
    assert_eq!(of(PROXY, &[(name, "203.0.113.9"), (name, "203.0.113.9")]), None, "it is there twice");
    // An address in the proxies' own network is not walked on from.
    assert_eq!(of(PROXY, &[(name, "10.0.0.9"), (X_FORWARDED_FOR, "6.6.6.6")]), Some(address("10.0.0.9")));
    assert_eq!(of("192.0.2.7", &[(name, "203.0.113.9")]), Some(address("192.0.2.7")), "this peer is not trusted");
    assert_eq!(believed_address(None, &lines(&[(name, "203.0.113.9")]), &proxies(), name), None);
}

#[test]
fn a_walk_looks_at_64_hops_and_8_kibibytes() {
    let hops = |trusted: usize| format!("203.0.113.9{}", ", 10.0.0.2".repeat(trusted));
    expect(X_FORWARDED_FOR, &hops(63), "203.0.113.9");
    expect(X_FORWARDED_FOR, &hops(64), "10.0.0.2");
    // A value that lost its beginning would read 23.0.113.9 or 3.0.113.9; it is not looked at.
    for spaces in 8_150..=8_183 {
        let list = format!("123.0.113.9,{}10.0.0.2", " ".repeat(spaces));
        let found = behind(PROXY, &[(X_FORWARDED_FOR, &list)]).map(|ip| ip.to_string());
        let whole = list.len() <= 8_192;
        assert_eq!(found.as_deref(), Some(if whole { "123.0.113.9" } else { "10.0.0.2" }), "{spaces} spaces");
    }
    let split: Vec<_> =
        (0..2_000).map(|_| (X_FORWARDED_FOR, "6.6.6.6,")).chain([(X_FORWARDED_FOR, "203.0.113.9")]).collect();
    assert_eq!(behind(PROXY, &split), Some(address("203.0.113.9")));
}

quickcheck! {
    fn no_header_changes_anything_when_the_peer_is_not_trusted(peer: u128, values: Vec<(bool, Vec<u8>)>) -> bool {
        let peer = IpAddr::V6((peer | 1 << 127).into());
        let head = Lines(values.into_iter().map(|(x, value)| (if x { X_FORWARDED_FOR } else { FORWARDED }, value)).collect());
        believed_address(Some(peer), &head, &proxies(), "") == Some(peer)
    }

    fn whatever_a_client_sent_the_address_its_proxy_appended_counts(sent: Vec<Vec<u8>>, client: u32, syntax: Vec<u8>) -> bool {
        let client = IpAddr::V4((client | 1 << 31).into());
        // Bytes that mean something, so that they meet more often than by chance.
        let forged: Vec<u8> = syntax.iter().map(|byte| b"\"\\,;=for6. []:\t"[usize::from(*byte) % 15]).collect();
        [(X_FORWARDED_FOR, format!("{client}")), (FORWARDED, format!("for={client};host=\"a,b\""))].into_iter().all(|(name, own)| {
            let appended = [forged.as_slice(), b", ", own.as_bytes()].concat();
            let sent = sent.iter().map(|value| (name, value.clone()));
            let head = Lines(sent.chain([(name, appended)]).collect());
            believed_address(Some(address(PROXY)), &head, &proxies(), "") == Some(client)
        })
    }
}
