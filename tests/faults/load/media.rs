//! Files: uploaded in parts, sent, and downloaded. Some uploads are left on the way, and are continued after the run.

use super::Actor;
use crate::history::{Ask, File, PART};
use crate::support::id;
use rand::RngExt;

impl Actor<'_> {
    /// Uploads a file and sends it.
    pub(super) async fn share(&mut self, chat: usize, count: &mut u64) {
        let full = if self.rng.random_bool(0.08) { PART } else { 0 };
        let size = full + self.rng.random_range(1..6_000);
        *count += 1;
        let canary = &self.deployment.cast.chats[chat].canary;
        let file = File {
            id: id(),
            name: format!("{canary} {} {count}", self.user),
            size,
        };
        let created = self.persist(Ask::Create { file: file.clone() }).await;
        let Some(media) = created.body["media"]["id"].as_str() else {
            return;
        };
        for part in 1..=size.div_ceil(PART) {
            let ask = Ask::Part {
                file: file.clone(),
                media: media.to_owned(),
                part,
            };
            if self.rng.random_bool(0.05) || !self.persist(ask.clone()).await.is_ok() {
                return;
            }
            // Sometimes a part is sent again although its answer arrived.
            if self.rng.random_bool(0.1) && !self.persist(ask).await.is_ok() {
                return;
            }
        }
        let ask = Ask::Complete {
            file: file.clone(),
            media: media.to_owned(),
        };
        let mut completed = self.persist(ask.clone()).await;
        while completed.body["state"] == "processing" && !self.stopped() {
            completed = self.persist(ask.clone()).await;
        }
        if completed.ready().is_none() || self.rng.random_bool(0.1) {
            return;
        }
        let ask = Ask::Send {
            chat,
            messages: vec![(id(), file.name.clone())],
            file: Some((media.to_owned(), file)),
        };
        self.post(ask).await;
    }

    /// Downloads a file of a conversation of this user.
    pub(super) async fn download(&mut self) {
        let files = self.deployment.files.lock().unwrap().clone();
        let cast = &self.deployment.cast;
        let knows = |(chat, _): &(usize, i64)| cast.chats[*chat].knows(self.user);
        let files: Vec<_> = files.into_iter().filter(knows).collect();
        if !files.is_empty() {
            let (chat, seq) = files[self.rng.random_range(0..files.len())];
            self.ask(Ask::Download { chat, seq }).await;
        }
    }
}
