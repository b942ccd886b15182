//! Redirects around a payment: what was paid for is not asked for again, and no answer goes where it does not belong.

use std::sync::{Arc, Mutex};

use crate::support::scripted::{Heard, Said, Scripted, challenge, id, refusal, said, unit};
use pouw::client::reqwest::Client;
use pouw::client::{Report, Terms};
use pouw::protocol::WorkId;

const ACCEPTED: (&str, &str) = ("X-PoUW-Accepted", "true");

/// A client that asks no proxy.
fn client(terms: Terms) -> Client {
    // With TLS for `pouw fetch`, reqwest wants to know whose; the second test finds it known.
    #[cfg(feature = "fetch")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(reqwest::Client::builder().no_proxy(), terms).unwrap()
}

/// Remembers the receipts of accepted answers.
fn kept(client: Client) -> (Client, Arc<Mutex<Vec<WorkId>>>) {
    let receipts = Arc::new(Mutex::new(Vec::new()));
    let keep = receipts.clone();
    let client = client.on_report(move |report| {
        if let Report::Accepted(accepted) = report {
            keep.lock().unwrap().push(accepted.receipt);
        }
    });
    (client, receipts)
}

fn post(url: &str) -> reqwest::Request {
    let mut request = reqwest::Request::new(reqwest::Method::POST, url.parse().unwrap());
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    request.headers_mut().insert("authorization", "secret".parse().unwrap());
    request.headers_mut().insert("x-own", "1".parse().unwrap());
    *request.body_mut() = Some("an order".into());
    request
}

fn replayed() -> Said {
    said(403, &[("Content-Type", "application/problem+json")], &refusal("token_replayed", "used"))
}

/// Request lines without the version, with a `+` behind those that carry an answer.
fn lines(server: &Scripted) -> Vec<String> {
    let line = |heard: &Heard| {
        let line = heard.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
        format!("{line}{}", if heard.answer().is_some() { " +" } else { "" })
    };
    server.heard().iter().map(line).collect()
}

/// A gate that is limited at `POST /hello`, whose answer leads to `to` with `status`; everything else is open, and a used token
/// is one anywhere.
fn leads(status: u16, to: &'static str) -> impl Fn(usize, &Heard) -> Said {
    move |_, heard| match (heard.head.starts_with("POST /hello"), heard.answer()) {
        (true, None) => challenge("work_required", &unit(0)),
        (true, Some(_)) => said(status, &[("Location", to), ACCEPTED, ("X-PoUW-Joule-Award", "42")], ""),
        (false, None) => said(200, &[], "done"),
        (false, Some(_)) => replayed(),
    }
}

#[tokio::test]
async fn what_a_paid_request_leads_to_is_asked_for_without_the_used_answer() {
    for (status, then) in [(303, "GET /done"), (302, "GET /done"), (301, "GET /done"), (307, "POST /done")] {
        let server = Scripted::serve(leads(status, "/done"));
        let (client, receipts) = kept(client(Terms::default()));
        let response = client.execute(post(&server.url())).await.unwrap();
        assert_eq!((response.status().as_u16(), response.url().path()), (200, "/done"), "{status}");
        assert_eq!(response.text().await.unwrap(), "done");
        assert_eq!(lines(&server), ["POST /hello", "POST /hello +", then], "{status}");
        assert_eq!(*receipts.lock().unwrap(), [id(7)]);
        let last = server.heard().pop().unwrap();
        assert_eq!((last.header("x-own"), last.header("authorization")), (Some("1"), Some("secret")));
        match then.starts_with("POST") {
            true => assert_eq!((last.header("content-type"), &last.body[..]), (Some("text/plain"), &b"an order"[..])),
            false => assert_eq!((last.header("content-type"), &last.body[..]), (None, &b""[..])),
        }
    }
}

#[tokio::test]
async fn the_address_led_to_may_want_work_of_its_own_and_the_first_is_not_asked_again() {
    // Free here, limited there: the order is placed once, and the answer goes where the challenge came from.
    let server = Scripted::serve(|_, heard| match (heard.head.starts_with("POST"), heard.answer()) {
        (true, None) => said(303, &[("Location", "/done")], ""),
        (true, Some(_)) => replayed(),
        (false, None) => challenge("work_required", &unit(0)),
        (false, Some(_)) => said(200, &[ACCEPTED], "done"),
    });
    let (client, receipts) = kept(client(Terms::default()));
    assert_eq!(client.execute(post(&server.url())).await.unwrap().text().await.unwrap(), "done");
    assert_eq!(lines(&server), ["POST /hello", "GET /done", "GET /done +"]);
    assert_eq!(receipts.lock().unwrap().len(), 1);
    // Limited at both: both are paid for.
    let server = Scripted::serve(|_, heard| match (heard.head.starts_with("POST"), heard.answer()) {
        (_, None) => challenge("work_required", &unit(0)),
        (true, Some(_)) => said(303, &[("Location", "/done"), ACCEPTED], ""),
        (false, Some(_)) => said(200, &[ACCEPTED], "done"),
    });
    assert_eq!(client.execute(post(&server.url())).await.unwrap().text().await.unwrap(), "done");
    assert_eq!(lines(&server), ["POST /hello", "POST /hello +", "GET /done", "GET /done +"]);
    assert_eq!(receipts.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn another_origin_is_followed_to_only_if_that_is_wanted_and_told_no_secrets() {
    for paid in [true, false] {
        let other = Scripted::serve(|_, _| said(200, &[], "elsewhere"));
        let to: &'static str = other.url().leak();
        let server = match paid {
            true => Scripted::serve(leads(302, to)),
            false => Scripted::serve(move |_, _| said(302, &[("Location", to)], "")),
        };
        let (client, receipts) = kept(client(Terms::default()));
        let response = client.execute(post(&server.url())).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["location"].to_str().unwrap(), other.heard().len()),
            (302, to, 0)
        );
        assert_eq!(
            (response.headers().contains_key("x-pouw-accepted"), receipts.lock().unwrap().len() == 1),
            (paid, paid)
        );

        let response = client.across_origins().execute(post(&server.url())).await.unwrap();
        assert_eq!(
            (response.url().to_string(), response.text().await.unwrap()),
            (to.to_owned(), "elsewhere".to_owned())
        );
        let heard = other.heard().pop().unwrap();
        let secrets = ["authorization", "x-pouw-response", "x-pouw-result"].map(|name| heard.header(name));
        assert_eq!((secrets, heard.header("x-own")), ([None; 3], Some("1")), "{heard:?}");
        assert_eq!(heard.header("host"), Some(other.address.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_challenge_of_another_origin_is_answered_there() {
    let other = Scripted::serve(|_, heard| match heard.answer() {
        None => challenge("work_required", &unit(0)),
        Some(_) => said(200, &[ACCEPTED], "elsewhere"),
    });
    let to: &'static str = other.url().leak();
    let server = Scripted::serve(move |_, _| said(308, &[("Location", to)], ""));
    let (client, _) = kept(client(Terms::default()).across_origins());
    assert_eq!(client.execute(post(&server.url())).await.unwrap().text().await.unwrap(), "elsewhere");
    assert_eq!(
        (lines(&server), lines(&other)),
        (vec!["POST /hello".into()], vec!["POST /hello".into(), "POST /hello +".into()])
    );
}

#[tokio::test]
async fn what_leads_round_and_round_or_nowhere_is_handed_back() {
    let server = Scripted::serve(|_, _| said(302, &[("Location", "/hello")], "round"));
    for (client, requests) in [(client(Terms::default()), 11), (client(Terms::default()).redirects(0), 1)] {
        let before = server.heard().len();
        let response = client.get(server.url()).await.unwrap();
        assert_eq!((response.status().as_u16(), server.heard().len() - before), (302, requests));
        assert_eq!(response.text().await.unwrap(), "round");
    }
    for (status, headers) in [
        (302, &[][..]),
        (302, &[("Location", "ftp://127.0.0.1/")]),
        (302, &[("Location", "http://[")]),
        (304, &[("Location", "/done")]),
    ] {
        let server = Scripted::serve(move |_, _| said(status, headers, ""));
        let response = client(Terms::default()).across_origins().get(server.url()).await.unwrap();
        assert_eq!((response.status().as_u16(), server.heard().len()), (status, 1), "{headers:?}");
    }
}

#[tokio::test]
async fn a_stream_is_followed_where_its_body_is_not_needed_again() {
    for (status, then) in [(303, &["POST /hello", "GET /done"][..]), (307, &["POST /hello"])] {
        let server = Scripted::serve(move |at, _| match at {
            0 => said(status, &[("Location", "/done")], ""),
            _ => said(200, &[], "done"),
        });
        let mut request = post(&server.url());
        request.headers_mut().insert("content-length", "8".parse().unwrap());
        *request.body_mut() = Some(reqwest::Body::wrap(http_body_util::Full::<bytes::Bytes>::from("streamed")));
        let response = client(Terms::default()).execute(request).await.unwrap();
        assert_eq!(
            (lines(&server), response.status().is_success()),
            (then.iter().map(|&line| line.into()).collect(), status == 303)
        );
        assert_eq!(server.heard()[0].body, b"streamed");
    }
}

#[tokio::test]
async fn one_deadline_is_for_all_addresses() {
    let server = Scripted::serve(|_, heard| match (heard.head.starts_with("POST"), heard.answer()) {
        (_, None) => challenge("work_required", &unit(600)),
        (true, Some(_)) => said(303, &[("Location", "/done"), ACCEPTED], ""),
        (false, Some(_)) => said(200, &[ACCEPTED], "done"),
    });
    let terms = Terms::default().deadline(std::time::Duration::from_secs(1));
    let (client, receipts) = kept(client(terms));
    let error = client.execute(post(&server.url())).await.unwrap_err();
    assert_eq!((error.code(), error.receipt(), receipts.lock().unwrap().len()), ("deadline", None, 1), "{error}");
    assert_eq!(lines(&server), ["POST /hello", "POST /hello +", "GET /done"]);
}
