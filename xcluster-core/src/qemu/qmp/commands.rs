//! Typed functions for common commands.

use std::os::fd::OwnedFd;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Qmp, QmpError, Version};

/// The state of the VM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RunState {
    /// Whether its processors run.
    pub running: bool,
    /// QEMU's name for the state: `running`, `paused`, `prelaunch`, `shutdown`, `guest-panicked`….
    pub status: String,
}

impl Qmp {
    /// Returns the state of the VM.
    pub async fn query_status(&self) -> Result<RunState, QmpError> {
        self.ask("query-status").await
    }

    /// Asks for QEMU's version. [`Qmp::version`] has it without a request.
    pub async fn query_version(&self) -> Result<Version, QmpError> {
        #[derive(Deserialize)]
        struct Answer {
            qemu: Version,
        }
        self.ask::<Answer>("query-version").await.map(|answer| answer.qemu)
    }

    /// Presses the VM's power button. The guest may ignore it.
    pub async fn system_powerdown(&self) -> Result<(), QmpError> {
        self.tell("system_powerdown", Value::Null).await
    }

    /// Pauses the VM's processors.
    pub async fn stop(&self) -> Result<(), QmpError> {
        self.tell("stop", Value::Null).await
    }

    /// Resumes the VM's processors.
    pub async fn cont(&self) -> Result<(), QmpError> {
        self.tell("cont", Value::Null).await
    }

    /// Ends QEMU. It is a success if QEMU ends before it has answered.
    pub async fn quit(&self) -> Result<(), QmpError> {
        match self.tell("quit", Value::Null).await {
            Err(QmpError::Closed) => Ok(()),
            other => other,
        }
    }

    /// Sends a descriptor to QEMU, which args can then name as `fd=NAME`.
    pub async fn getfd(&self, name: &str, fd: OwnedFd) -> Result<(), QmpError> {
        self.execute_within("getfd", json!({ "fdname": name }), Some(fd), super::client::WITHIN).await.map(drop)
    }

    /// Adds a device: an object with its `driver` and properties.
    pub async fn device_add(&self, device: Value) -> Result<(), QmpError> {
        self.tell("device_add", device).await
    }

    async fn tell(&self, command: &str, arguments: Value) -> Result<(), QmpError> {
        self.execute(command, arguments).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(&self, command: &str) -> Result<T, QmpError> {
        let answer = self.execute(command, Value::Null).await?;
        serde_json::from_value(answer).map_err(|source| QmpError::Answer { command: command.into(), source })
    }
}
