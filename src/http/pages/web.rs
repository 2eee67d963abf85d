//! The browser client at `/` (files of `web/`) and its JavaScript SDK at `/tideline/` (files of `sdk/javascript/src/`), inside the
//! program.
//!
//! They are served under a strict policy (`kit/security_headers.rs`).

use crate::http::kit::security_headers::ResponseClass;
use crate::http::pages::files::{CSS, File, HTML, SCRIPT, inside};
use crate::telemetry::Metrics;
use actix_web::web;
use std::sync::Arc;

/// For type definitions, which editors and compilers load.
const TYPES: &str = "text/plain; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

/// A file of `web/`, named by its path there.
macro_rules! file {
    ($kind:expr, $name:literal) => {
        file!($kind, $name, concat!("/", $name))
    };
    ($kind:expr, $name:literal, $path:expr) => {
        inside!($kind, concat!("web/", $name), $path)
    };
}

/// A file of the SDK.
macro_rules! sdk {
    ($name:literal) => {
        sdk!(SCRIPT, $name, concat!("/tideline/", $name))
    };
    ($kind:expr, $name:literal, $path:expr) => {
        inside!($kind, concat!("sdk/javascript/src/", $name), $path)
    };
}

/// Every file.
static FILES: &[File] = &[
    file!(HTML, "index.html", "/"),
    file!(CSS, "app.css"),
    file!(CSS, "people.css"),
    file!(SCRIPT, "app.js"),
    file!(SCRIPT, "app/account.js"),
    file!(SCRIPT, "app/actions.js"),
    file!(SCRIPT, "app/addresses.js"),
    file!(SCRIPT, "app/announce.js"),
    file!(SCRIPT, "app/arrange.js"),
    file!(SCRIPT, "app/attach.js"),
    file!(SCRIPT, "app/bubble.js"),
    file!(SCRIPT, "app/chat.js"),
    file!(SCRIPT, "app/composer.js"),
    file!(SCRIPT, "app/dates.js"),
    file!(SCRIPT, "app/contacts.js"),
    file!(SCRIPT, "app/details.js"),
    file!(SCRIPT, "app/dom.js"),
    file!(SCRIPT, "app/drafts.js"),
    file!(SCRIPT, "app/editing.js"),
    file!(SCRIPT, "app/emoji.js"),
    file!(SCRIPT, "app/ends.js"),
    file!(SCRIPT, "app/errors.js"),
    file!(SCRIPT, "app/faces.js"),
    file!(SCRIPT, "app/filters.js"),
    file!(SCRIPT, "app/finder.js"),
    file!(SCRIPT, "app/format.js"),
    file!(SCRIPT, "app/forms.js"),
    file!(SCRIPT, "app/forward.js"),
    file!(SCRIPT, "app/info.js"),
    file!(SCRIPT, "app/list.js"),
    file!(SCRIPT, "app/log.js"),
    file!(SCRIPT, "app/looks.js"),
    file!(SCRIPT, "app/marks.js"),
    file!(SCRIPT, "app/media.js"),
    file!(SCRIPT, "app/mention.js"),
    file!(SCRIPT, "app/mentioned.js"),
    file!(SCRIPT, "app/new.js"),
    file!(SCRIPT, "app/notify.js"),
    file!(SCRIPT, "app/people.js"),
    file!(SCRIPT, "app/person.js"),
    file!(SCRIPT, "app/pictures.js"),
    file!(SCRIPT, "app/pins.js"),
    file!(SCRIPT, "app/presence.js"),
    file!(SCRIPT, "app/privacy.js"),
    file!(SCRIPT, "app/profile.js"),
    file!(SCRIPT, "app/reactions.js"),
    file!(SCRIPT, "app/reading.js"),
    file!(SCRIPT, "app/rules.js"),
    file!(SCRIPT, "app/scheduled.js"),
    file!(SCRIPT, "app/search.js"),
    file!(SCRIPT, "app/settings.js"),
    file!(SCRIPT, "app/sign.js"),
    file!(SCRIPT, "app/status.js"),
    file!(SCRIPT, "app/steady.js"),
    file!(SCRIPT, "app/store.js"),
    file!(SCRIPT, "app/suggest.js"),
    file!(SCRIPT, "app/tabs.js"),
    file!(SCRIPT, "app/texts.js"),
    file!(SCRIPT, "app/texts/en.js"),
    file!(SCRIPT, "app/texts/people/en.js"),
    file!(SCRIPT, "app/texts/people/zh.js"),
    file!(SCRIPT, "app/texts/zh.js"),
    file!(SCRIPT, "app/thread.js"),
    file!(SCRIPT, "app/typing.js"),
    file!(SCRIPT, "app/within.js"),
    file!(DRAWING, "icon.svg"),
    file!(DRAWING, "squiggle.svg"),
    file!(SCRIPT, "tideline.js"),
    sdk!(TYPES, "tideline.d.ts", "/tideline.d.ts"),
    sdk!("api.js"),
    sdk!("changes.js"),
    sdk!("core.js"),
    sdk!("desks.js"),
    sdk!("drafts.js"),
    sdk!("environment.js"),
    sdk!("errors.js"),
    sdk!("ids.js"),
    sdk!("limits.js"),
    sdk!("locks.js"),
    sdk!("outbox.js"),
    sdk!("people.js"),
    sdk!("presence.js"),
    sdk!("session.js"),
    sdk!("signals.js"),
    sdk!("storage.js"),
    sdk!("sync.js"),
    sdk!("tabs.js"),
    sdk!("tideline.js"),
    sdk!("timelines.js"),
    sdk!("typing.js"),
    sdk!("uploads.js"),
];

/// The element with the hosts whose media the page loads without asking the user.
const MEDIA_HOSTS: &str = r#"<meta name="media-hosts" content="">"#;

/// Mounts the files, and writes the hosts that the operator trusts into the page.
pub fn configure(config: &mut web::ServiceConfig, metrics: &Arc<Metrics>, media_hosts: &[String]) {
    let named = format!("\"{}\">", media_hosts.join(" "));
    let named = MEDIA_HOSTS.replace(r#""">"#, &named);
    for file in FILES {
        let file = if file.path == "/" && !media_hosts.is_empty() {
            file.with(MEDIA_HOSTS, &named)
        } else {
            file.clone()
        };
        config.service(file.resource(metrics.route(file.path), ResponseClass::Client));
    }
}
