//! One PostgreSQL and one Redis for all tests of a run; a database for each test.

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use tideline::dev::services::{Data, Identity, Services, ServicesError};
use tideline::storage::pg::operations::instance;
use tideline::storage::pg::sync::partitions;

const TEMPLATE: &str = "template";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Creating a database from a template needs exclusive access to the template.
static CREATING: Mutex<()> = Mutex::new(());

/// The servers of this run. They end with the process; a later run reuses their directory.
pub fn services() -> &'static Services {
    static SERVICES: OnceLock<Services> = OnceLock::new();
    SERVICES.get_or_init(|| {
        let services = throw_away("tests");
        let mut postgres = PgConnection::establish(&services.database_url()).unwrap();
        postgres
            .batch_execute(&format!("CREATE DATABASE {TEMPLATE}"))
            .unwrap();
        let url = services.database_url_of(TEMPLATE);
        instance::migrate(&url).unwrap();
        partitions::make(&mut PgConnection::establish(&url).unwrap()).unwrap();
        services
    })
}

/// Separate servers, for tests that kill them.
pub fn throw_away(name: &str) -> Services {
    throw_away_as(name, None)
}

/// The same; with an identity they also accept TLS.
pub fn throw_away_as(name: &str, identity: Option<Identity<'_>>) -> Services {
    for slot in 0..32 {
        let dir = std::env::temp_dir().join(format!("tideline-{name}-{slot}"));
        match Services::start_as(&dir, Data::ThrownAway, identity) {
            Ok(services) => return services,
            Err(ServicesError::InUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("all directories for {name} are in use");
}

/// The media store of a database.
pub fn media_dir(database: &str) -> std::path::PathBuf {
    services().data_dir().join("media").join(database)
}

/// The same, as a setting.
pub fn media_url(database: &str) -> String {
    format!("file://{}", media_dir(database).display())
}

pub fn create_database() -> String {
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let services = services();
    // That of an earlier run.
    let _none = std::fs::remove_dir_all(media_dir(&name));
    let guard = CREATING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut postgres = PgConnection::establish(&services.database_url()).unwrap();
    postgres
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
        .unwrap();
    drop(guard);
    // Different epochs keep the keys of tests apart in the shared Redis.
    PgConnection::establish(&services.database_url_of(&name))
        .unwrap()
        .batch_execute("UPDATE instance SET epoch = gen_random_uuid()")
        .unwrap();
    name
}

pub fn drop_database(name: &str) {
    let mut postgres = PgConnection::establish(&services().database_url()).unwrap();
    postgres
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .unwrap();
}
