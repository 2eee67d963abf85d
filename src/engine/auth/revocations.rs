//! The devices that are logged out while their access tokens would still be good.

use crate::model::ids::DeviceId;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The devices that this node knows to be logged out while their access tokens would still be good.
#[derive(Default)]
pub struct RevokedDevices(RwLock<HashSet<DeviceId>>);

impl RevokedDevices {
    /// Whether this device is logged out.
    pub fn contains(&self, device: DeviceId) -> bool {
        self.read().contains(&device)
    }

    /// Notes that this device is logged out.
    pub fn add(&self, device: DeviceId) {
        self.write().insert(device);
    }

    /// Every device that is noted.
    pub fn all(&self) -> HashSet<DeviceId> {
        self.read().clone()
    }

    /// Forgets `old` devices, and notes `new` ones.
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
