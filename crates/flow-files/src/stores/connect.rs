//! Opens a store, with the credentials that the cloud's own tools would find.

use super::answers::not_configured;
use super::profile;
use crate::address::{Remote, Scheme};
use crate::options::StoreOptions;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, resolve_bucket_region};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The store in which a path is.
pub async fn open(remote: &Remote, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    // The HTTP client asks the process for its provider and has none of its own; one that is there stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match remote.scheme {
        Scheme::S3 => s3(remote, options).await,
        Scheme::Gcs => gcs(remote, options),
        Scheme::Azure => azure(remote, options),
        Scheme::Http | Scheme::Https => web(remote),
    }
}

/// Six further tries within some seconds: a store that is away for longer is the scheduler's business.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(60),
    }
}

/// A large file takes as long as it takes; silence does not.
fn client(endpoint: Option<&str>) -> ClientOptions {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    // Without any certificate of an authority the client is not even made, and here none is needed.
    let without = plain && rustls_native_certs::load_native_certs().certs.is_empty();
    ClientOptions::new()
        .with_no_system_certificates(without)
        .with_allow_http(plain)
        .with_timeout_disabled()
        .with_read_timeout(Duration::from_secs(60))
        .with_connect_timeout(Duration::from_secs(10))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn s3(remote: &Remote, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    // A profile that is named goes before the environment, of which nothing is mixed in.
    let mut builder = match options.profile {
        Some(_) => AmazonS3Builder::new(),
        None => AmazonS3Builder::from_env(),
    };
    let from_elsewhere = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    let has_own = options.profile.is_none() && from_elsewhere.iter().any(|name| variable(name).is_some());
    let profile = match options.anonymous || has_own {
        true => profile::read(options.profile.as_deref()).unwrap_or_default(),
        false => profile::read(options.profile.as_deref())?,
    };
    let told = |name: &str| profile.get(name).filter(|value| !value.is_empty());
    if !has_own && let (Some(id), Some(secret)) = (told("aws_access_key_id"), told("aws_secret_access_key")) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        if let Some(token) = told("aws_session_token") {
            builder = builder.with_token(token);
        }
    }
    let endpoint = options
        .endpoint
        .clone()
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint))
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
        .or_else(|| told("endpoint_url").cloned());
    let known = options
        .region
        .clone()
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Region))
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::DefaultRegion))
        .or_else(|| told("region").cloned());
    let region = match (known, &endpoint) {
        (Some(region), _) => region,
        (None, Some(_)) => "us-east-1".to_owned(),
        // The bucket says it to everybody. Where it does not, the first answer of S3 tells what is wrong.
        (None, None) => resolve_bucket_region(&remote.authority, &client(None))
            .await
            .unwrap_or_else(|_| "us-east-1".to_owned()),
    };
    builder = builder
        .with_bucket_name(&remote.authority)
        .with_region(region)
        .with_client_options(client(endpoint.as_deref()))
        .with_retry(retries())
        .with_skip_signature(options.anonymous);
    if let Some(endpoint) = endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    Ok(Arc::new(builder.build().map_err(|error| not_configured(remote, error))?))
}

fn gcs(remote: &Remote, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&remote.authority)
        .with_client_options(client(options.endpoint.as_deref()))
        .with_retry(retries())
        .with_skip_signature(options.anonymous);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    Ok(Arc::new(builder.build().map_err(|error| not_configured(remote, error))?))
}

fn azure(remote: &Remote, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    // What `az` knows by names of its own.
    let told = variable("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default();
    let part = |name: &str| {
        told.split(';')
            .filter_map(|part| part.split_once('='))
            .find(|(own, _)| own.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let known = |names: &[AzureConfigKey]| names.iter().any(|name| builder.get_config_value(name).is_some());
    let has_key = known(&[
        AzureConfigKey::AccessKey,
        AzureConfigKey::SasKey,
        AzureConfigKey::ClientSecret,
        AzureConfigKey::Token,
        AzureConfigKey::FederatedTokenFile,
        AzureConfigKey::MsiEndpoint,
    ]);
    let account = options
        .account
        .clone()
        .or_else(|| builder.get_config_value(&AzureConfigKey::AccountName))
        .or_else(|| variable("AZURE_STORAGE_ACCOUNT"))
        .or_else(|| part("AccountName"));
    let key = variable("AZURE_STORAGE_KEY").or_else(|| part("AccountKey"));
    let signature = part("SharedAccessSignature");
    let endpoint = options.endpoint.clone().or_else(|| part("BlobEndpoint"));
    let Some(account) = account else {
        return Err(FlowError::new(
            ErrorCode::MissingOption,
            format!("{}: the storage account is not known", remote.address("")),
        )
        .hint("say it: store = { account = \"…\" }, or set AZURE_STORAGE_ACCOUNT"));
    };
    let has_other = key.is_some() || signature.is_some();
    builder = builder
        .with_account(account)
        .with_container_name(&remote.authority)
        .with_client_options(client(endpoint.as_deref()))
        .with_retry(retries())
        .with_skip_signature(options.anonymous);
    match (has_key, key, signature) {
        (true, ..) => {}
        (false, Some(key), _) => builder = builder.with_access_key(key),
        (false, None, Some(signature)) => builder = builder.with_config(AzureConfigKey::SasKey, signature),
        (false, None, None) => {}
    }
    // Who has logged in by `az login` has its folder; a machine of the cloud has an identity of its own.
    let folder = variable("AZURE_CONFIG_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".azure")));
    if !has_key && !has_other && folder.is_some_and(|folder| folder.is_dir()) {
        builder = builder.with_use_azure_cli(true);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Arc::new(builder.build().map_err(|error| not_configured(remote, error))?))
}

fn web(remote: &Remote) -> Result<Arc<dyn ObjectStore>> {
    let host = format!("{}://{}/", remote.scheme.name(), remote.authority);
    let url = match &remote.query {
        Some(query) => format!("{host}?{query}"),
        None => host.clone(),
    };
    let builder =
        HttpBuilder::new().with_url(url).with_client_options(client(Some(&host))).with_retry(retries());
    Ok(Arc::new(builder.build().map_err(|error| not_configured(remote, error))?))
}
