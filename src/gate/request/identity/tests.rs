use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::gate::GateConfig;
use crate::gate::request::sample::Request;

const PEER: &str = "192.0.2.7";

fn key(strategy: IdentifierStrategy, user: Option<&str>, api_key: Option<&str>) -> ClientKey {
    let settings = GateConfig::builder().identifier_strategy(strategy);
    let caller = Caller { user, api_key, ..Caller::from_peer(PEER.parse::<IpAddr>().unwrap()) };
    let Identity { client, network, .. } = identify(&Request::new("GET", &[]), &caller, &settings.identity());
    assert_eq!(network, NetworkPrefix::of(Some("192.0.2.0".parse().unwrap())), "the network is the address's");
    client
}

fn custom(extract: impl Fn(&Caller<'_>) -> Option<ClientKey> + Send + Sync + 'static) -> IdentifierStrategy {
    IdentifierStrategy::custom(move |_, caller| extract(caller))
}

#[test]
fn each_strategy_takes_its_property_and_falls_back_as_it_says() {
    let address = || ClientKey::V4(PEER.parse().unwrap());
    let user = || ClientKey::User("ann".into());
    let api_key = || ClientKey::ApiKey("k1".into());
    let both = (Some("ann"), Some("k1"));
    for (strategy, with, without) in [
        (IdentifierStrategy::Ip, address(), address()),
        (IdentifierStrategy::User, user(), ClientKey::Anonymous),
        (IdentifierStrategy::ApiKey, api_key(), ClientKey::Anonymous),
        (IdentifierStrategy::UserOrIp, user(), address()),
        (
            custom(|caller| caller.api_key.map(|key| ClientKey::Custom(key.as_bytes().into()))),
            custom_key("k1"),
            address(),
        ),
    ] {
        assert_eq!(key(strategy.clone(), both.0, both.1), with);
        assert_eq!(key(strategy, None, None), without);
    }
}

fn custom_key(text: &str) -> ClientKey {
    ClientKey::Custom(text.as_bytes().into())
}

#[test]
fn an_address_in_a_prefix_of_nat64_is_the_ipv4_client_in_it() {
    let settings = GateConfig::builder().nat64_prefix("2001:db8:64::/96").nat64_prefix("2001:db8:65::/96");
    let of = |peer: &str| {
        let caller = Caller::from_peer(peer.parse::<IpAddr>().unwrap());
        identify(&Request::new("GET", &[]), &caller, &settings.identity())
    };
    assert_eq!(of("2001:db8:64::192.0.2.7"), of(PEER));
    assert_eq!(of("2001:db8:65::192.0.2.7"), of(PEER));
    assert_eq!(of("2001:db8:64::10.0.0.7"), of("10.0.0.7"), "such a prefix may embed private addresses");
    assert_ne!(of("2001:db8:64::1:192.0.2.7"), of(PEER));
    assert_ne!(of("2001:db8:66::192.0.2.7"), of(PEER));
}

#[test]
fn a_named_header_without_an_address_makes_all_such_requests_one_client_and_not_the_proxy() {
    let settings = GateConfig::builder().client_ip_header("X-Real-IP").trusted_proxy("192.0.2.0/24");
    let caller = Caller::from_peer(PEER.parse::<IpAddr>().unwrap());
    let of = |head: &dyn Head| identify(head, &caller, &settings.identity());
    let real: IpAddr = "203.0.113.9".parse().unwrap();
    let one = |client, address| Identity { client, network: NetworkPrefix::of(address), by_address: true };
    let found = of(&Request::new("GET", &[("x-real-ip", "203.0.113.9")]));
    assert_eq!(found, one(ClientKey::of_address(real, 64), Some(real)));
    for head in [
        Request::new("GET", &[]),
        Request::new("GET", &[("x-real-ip", "nonsense")]),
        Request::new("GET", &[("forwarded", "for=6.6.6.6")]),
    ] {
        assert_eq!(of(&head), one(ClientKey::Anonymous, None));
    }
}

#[test]
fn an_extractor_that_panics_has_told_nothing() {
    let broken = custom(|caller| if caller.user.is_some() { panic!("planted") } else { Some(ClientKey::Anonymous) });
    assert_eq!(key(broken.clone(), Some("ann"), None), ClientKey::V4(PEER.parse().unwrap()));
    assert_eq!(key(broken, None, None), ClientKey::Anonymous, "it is asked again");
}

#[test]
fn long_names_are_kept_as_digests_that_no_other_name_has() {
    let (short, long) = ("u".repeat(NAME_BYTES_MAX), "u".repeat(NAME_BYTES_MAX + 1));
    let user = |name: &str| key(IdentifierStrategy::User, Some(name), None);
    assert_eq!(user(&short), ClientKey::User(short.as_str().into()));
    let ClientKey::User(digested) = user(&long) else { panic!("it is a user's") };
    assert_eq!(digested.len(), 128);
    assert_ne!(user(&digested), user(&long), "who takes the digest for a name is another client");
    let huge = "k".repeat(1 << 20);
    assert_eq!(key(IdentifierStrategy::ApiKey, None, Some(&huge)).to_bytes().len(), 129);
    let made = custom(|caller| caller.user.map(|user| ClientKey::Custom(user.as_bytes().into())));
    assert_eq!(key(made, Some(&huge), None).to_bytes().len(), 129);
}

#[test]
fn no_two_kinds_of_key_share_bytes() {
    let name: Arc<str> = "ann".into();
    let keys = [
        ClientKey::V4(PEER.parse().unwrap()),
        ClientKey::V6("2001:db8::".parse().unwrap(), 64),
        ClientKey::V6("2001:db8::".parse().unwrap(), 56),
        ClientKey::User(name.clone()),
        ClientKey::ApiKey(name),
        custom_key("ann"),
        ClientKey::Anonymous,
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(keys[..at].iter().all(|other| other.to_bytes() != key.to_bytes()), "{key:?}");
    }
}
