//! The settings of `pouw serve`: the command line takes precedence over the file, the file over the
//! defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use pouw::settings::Settings;
use pouw::{Config, ConfigBuilder, GateConfig, PouwEngine};

use crate::config_file::{ConfigFile, OnStoreFailure, open};
use crate::failure::Failure;
use crate::secret;
use crate::store::StoreArguments;

use super::Options;
use super::pages::ASSETS;

/// Checked settings.
#[derive(Debug)]
pub struct Chosen {
    pub listen: SocketAddr,
    pub store: StoreArguments,
    pub rate_limit: u32,
    pub window_ms: u64,
    pub on_store_failure: OnStoreFailure,
    settings: Settings,
    previous_secret_files: Vec<PathBuf>,
}

/// Default address of the server.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3_000);

impl Chosen {
    pub fn new(options: &Options) -> Result<Self, Failure> {
        let file = options.config.as_deref().map(open).transpose()?;
        let file = file.as_ref();
        let mut settings = file.map(|file| file.settings.clone()).unwrap_or_default();
        let given = take_flags(options, &mut settings)?;
        if let Some(problem) = settings.problems().first() {
            let flag = given.iter().find(|(key, _)| problem.key.starts_with(key) || problem.error.field == *key);
            return Err(Failure::Failed(match flag {
                Some((_, flag)) => format!("{flag}: {problem}"),
                None => problem.to_string(),
            }));
        }
        let all = settings.effective();
        let store = &options.store;
        Ok(Self {
            listen: options.listen.or(file.and_then(|file| file.listen)).unwrap_or(LISTEN),
            store: StoreArguments {
                db: store.db.clone(),
                secret_file: store.secret_file.clone().or(file.and_then(ConfigFile::secret_file)),
            },
            rate_limit: all.rate_limit.unwrap_or_default(),
            window_ms: all.window_ms.unwrap_or_default(),
            on_store_failure: file.and_then(|file| file.on_store_failure).unwrap_or_default(),
            previous_secret_files: file.map(ConfigFile::previous_secret_files).unwrap_or_default(),
            settings,
        })
    }

    /// Opens the store under these settings.
    pub fn open(&self) -> Result<PouwEngine, Failure> {
        let files = self.previous_secret_files.iter();
        let older = files.map(|file| secret::of_file(file)).collect::<Result<Vec<_>, Failure>>()?;
        self.store.open_to_serve(|secret| {
            older.into_iter().fold(self.settings.engine(Config::builder(secret)), ConfigBuilder::previous_secret)
        })
    }

    pub fn gate(&self) -> Result<GateConfig, Failure> {
        Ok(self.settings.gate(GateConfig::builder()).build()?)
    }
}

/// Overrides the file's settings by those of the command line. Returns their keys and flags.
fn take_flags(options: &Options, settings: &mut Settings) -> Result<Vec<(&'static str, &'static str)>, Failure> {
    let mut given = Vec::new();
    if let Some(rate) = options.rate {
        settings.rate_limit = Some(rate);
        given.push(("rate_limit", "--rate"));
    }
    if let Some(seconds) = options.window {
        settings.window_ms = Some(seconds.saturating_mul(1_000));
        given.push(("window_ms", "--window"));
    }
    if options.challenge_page {
        settings.challenge_page = Some(ASSETS.to_owned());
        given.push(("challenge_page", "--challenge-page"));
    }
    if let Some(shadow) = options.shadow {
        settings.shadow = Some(shadow);
        given.push(("shadow", "--shadow"));
    }
    if !options.trusted_proxy.is_empty() {
        settings.trusted_proxies = Some(options.trusted_proxy.clone());
        given.push(("trusted_proxies", "--trusted-proxy"));
    }
    match options.floor[..] {
        [] => {}
        [low, medium, high] => {
            settings.floor_ms = Some([low, medium, high]);
            given.push(("floor_ms", "--floor"));
        }
        ref other => {
            let found = other.len();
            return Err(Failure::Usage(format!("--floor: expected three numbers like 1500,4000,7500, found {found}")));
        }
    }
    Ok(given)
}
