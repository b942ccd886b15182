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
        Ok(_) => Err("give an address that begins with http:// or https://".into()),
        Err(error) => Err(format!("{error}; give an address like http://127.0.0.1:3000/hello")),
    }
}

pub fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| "give a method like GET or POST".into())
}

pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("give a name, a colon and a value")?;
    let name = name.trim().parse().map_err(|_| format!("{:?} is no name of a header", name.trim()))?;
    let value = value.trim().parse().map_err(|_| "the value has characters that a header may not have")?;
    Ok((name, value))
}

/// The request, its body in memory so that it can be sent twice.
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
            .map_err(|error| Failure::failed(format!("{path}: {error}; name the file to send behind the @"))),
    }
}
