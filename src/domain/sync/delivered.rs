//! Stores how far devices have their inboxes.

use crate::engine::delivery::Delivery;
use crate::storage::pg::Connection;
use crate::storage::pg::identity::devices;
use crate::storage::pg::sync::delivered;

/// The most positions of a transaction, which bounds how long their rows are locked.
const BATCH: usize = 1_000;

/// Stores the positions that moved since the last flush.
pub async fn flush(delivery: &Delivery) {
    for chunk in delivery.delivered.take().chunks(BATCH) {
        let positions = chunk.to_vec();
        let store = move |conn: &mut Connection| {
            let of = positions.iter().map(|one| (one.user, one.seq));
            let until = delivered::until(conn, &of.collect::<Vec<_>>())?;
            devices::store_positions(conn, &positions, &until)
        };
        match delivery.pg.read("delivered", store).await {
            Ok(()) => delivery.delivered.stored(chunk),
            // `Pg` has logged the error, and the next flush tries again.
            Err(_logged) => delivery.delivered.put_back(chunk),
        }
    }
}
