//! The request that the options describe.

use std::io::Read;

use pouw::client::reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use crate::failure::Failure;

use super::Options;

pub fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) => Err("expected an address that begins with http:// or https://".into()),
        Err(error) => Err(format!("{error}; expected an address like http://127.0.0.1:3000/hello")),
    }
}

pub fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| "expected a method like GET or POST".into())
}

pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value")?;
    let name = name.trim().parse().map_err(|_| format!("{:?} is not a header name", name.trim()))?;
    let value = value.trim().parse().map_err(|_| "the value has characters that a header must not contain")?;
    Ok((name, value))
}

/// Builds the request. Its body is in memory, so that it can be sent twice.
pub fn build(options: &Options, client: &Client) -> Result<Request, Failure> {
    let usual = if options.data.is_some() { Method::POST } else { Method::GET };
    let method = options.method.clone().unwrap_or(usual);
    let mut request = client.request(method, options.url.clone());
    for (name, value) in &options.headers {
        request = request.header(name, value);
    }
    if let Some(data) = &options.data {
        request = request.body(body(data)?);
    }
    Ok(request.build()?)
}

fn body(data: &str) -> Result<Vec<u8>, Failure> {
    match data.strip_prefix('@') {
        None => Ok(data.as_bytes().to_vec()),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Some(path) => std::fs::read(path)
            .map_err(|error| Failure::failed(format!("{path}: {error}; name a readable file after the @"))),
    }
}
