//! Logged-out devices whose access tokens have not expired.

use crate::model::ids::DeviceId;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The logged-out devices, as far as this node has learned of them, until their access tokens have expired.
#[derive(Default)]
pub struct RevokedDevices(RwLock<HashSet<DeviceId>>);

impl RevokedDevices {
    /// Whether this device is logged out.
    pub fn contains(&self, device: DeviceId) -> bool {
        self.read().contains(&device)
    }

    /// Adds a logged-out device.
    pub fn add(&self, device: DeviceId) {
        self.write().insert(device);
    }

    /// All known logged-out devices.
    pub fn all(&self) -> HashSet<DeviceId> {
        self.read().clone()
    }

    /// Removes the `old` devices, and adds the `new` ones.
    pub fn replace(&self, old: &HashSet<DeviceId>, new: impl Iterator<Item = DeviceId>) {
        let mut known = self.write();
        known.retain(|device| !old.contains(device));
        known.extend(new);
    }

    fn read(&self) -> RwLockReadGuard<'_, HashSet<DeviceId>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashSet<DeviceId>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
