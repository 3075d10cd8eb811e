//! Carries one errand out: connects, lets the core speak, and closes.

use std::future::pending;
use std::time::{Duration, Instant};

use rand_core::{OsRng, TryRngCore};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};
use undertone_config::{AccountAddress, ConfigError};
use undertone_sip::registration::JoinToken;

use super::gateway_access::GatewayAccess;
use super::tls::ConnectError;
use crate::core::devices::{DeviceAnswer, DeviceQuestion};
use crate::core::errand::{Errand, Output, Problem, Settings};

/// How long one write may take; the errand's own time ends the rest.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken from the connection at once.
const READ_LEN: usize = 16 * 1024;

/// What to do at the gateway.
#[derive(Debug)]
pub struct Order {
    /// For this account.
    pub address: AccountAddress,
    /// A random `urn:uuid:…`.
    pub instance: String,
    /// Lets this device in first.
    pub invite: Option<JoinToken>,
    /// What to ask then.
    pub question: Option<DeviceQuestion>,
}

/// Why it came to nothing.
#[derive(Debug, Error)]
pub enum ErrandError {
    /// There was no connection, so nothing was asked.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The gateway's key has changed as announced, and that cannot be kept.
    #[error(transparent)]
    NotKept(#[from] ConfigError),
    /// The gateway did not do it.
    #[error(transparent)]
    Problem(#[from] Problem),
}

/// Runs one errand to its end.
///
/// # Errors
/// When the gateway cannot be reached or does not do it.
pub async fn run(access: &mut GatewayAccess, order: Order) -> Result<Option<DeviceAnswer>, ErrandError> {
    let connected = access.connect().await?;
    access.proved(connected.key)?;
    let (mut read, mut write) = tokio::io::split(connected.stream);
    let Order { address, instance, invite, question } = order;
    let settings = Settings { address, instance, invite, question, operator: access.operator() };
    let mut errand = Errand::new(settings, [OsRng.unwrap_err(), OsRng.unwrap_err()], Instant::now());
    let mut buffer = vec![0; READ_LEN];
    loop {
        while let Some(output) = errand.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    let written = async {
                        write.write_all(&bytes).await?;
                        write.flush().await
                    };
                    if !matches!(timeout(WRITE_TIMEOUT, written).await, Ok(Ok(()))) {
                        errand.handle_closed();
                    }
                }
                Output::KeepNextPin(next) => access.keep_announced(next)?,
                Output::Over(result) => {
                    // Said or not: the errand is over.
                    let _ = timeout(WRITE_TIMEOUT, write.shutdown()).await;
                    return Ok(result?);
                }
            }
        }
        tokio::select! {
            count = read.read(&mut buffer) => match count {
                Ok(0) | Err(_) => errand.handle_closed(),
                Ok(count) => errand.handle_bytes(&buffer[..count], Instant::now()),
            },
            () = wait_until(errand.poll_timeout()) => errand.handle_timeout(Instant::now()),
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
