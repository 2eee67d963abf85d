//! Access tokens (short-lived JWTs, checked without a query) and refresh tokens (long-lived, stored as a hash).

use crate::clock::{self, SharedClock};
use crate::engine::error::Error;
use crate::model::ids::{DeviceId, UserId};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

const ISSUER: &str = "tideline";
const TYPE: &str = "at+jwt";

/// The accepted difference between two nodes' readings of the shared clock.
const LEEWAY_SECONDS: i64 = 5;

/// The claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: UserId,
    /// The device.
    pub device_id: DeviceId,
    /// The refresh generation that it was issued with. Its first use invalidates the previous refresh token.
    pub generation: i64,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
    iss: String,
    aud: String,
    jti: Uuid,
}

/// Makes and checks tokens with one secret.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    refresh_key: Hmac<Sha256>,
    access_life: Duration,
    /// The clock for issuing and checking tokens.
    pub clock: SharedClock,
}

impl Tokens {
    /// Tokens signed with this secret, issued and checked by this clock.
    pub fn new(secret: &[u8], access_life: Duration, clock: SharedClock) -> Result<Self, Error> {
        // Fails if this process has installed the same provider before, in a test or for an earlier node.
        let _already_installed = HS256_ONLY.install_default();
        let key = |bytes: &[u8]| {
            Hmac::<Sha256>::new_from_slice(bytes).map_err(|e| Error::Internal(e.to_string()))
        };
        let derived = key(secret)?
            .chain_update(b"tideline refresh tokens")
            .finalize();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS.unsigned_abs();
        // Checked in `check_access`, after everything else: only a valid token may be reported as expired.
        validation.validate_exp = false;
        Ok(Self {
            encoding: EncodingKey::from_secret(secret).map_err(internal)?,
            decoding: DecodingKey::from_secret(secret).map_err(internal)?,
            validation,
            refresh_key: key(&derived.into_bytes())?,
            access_life,
            clock,
        })
    }

    /// Issues an access token.
    pub fn issue_access(
        &self,
        user: UserId,
        device: DeviceId,
        generation: i64,
        life: Duration,
    ) -> Result<String, Error> {
        let now = self.clock.now();
        let claims = Claims {
            sub: user,
            device_id: device,
            generation,
            iat: now,
            exp: now.saturating_add_unsigned(life.as_secs()),
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            jti: clock::new_id(),
        };
        let header = Header {
            typ: Some(TYPE.to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(internal)
    }

    /// The lifetime of an access token.
    pub fn access_life(&self) -> Duration {
        self.access_life
    }

    /// Checks an access token.
    pub fn check_access(&self, token: &str) -> Result<Claims, Error> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_bad| Error::Unauthenticated)?;
        if data.header.typ.as_deref() != Some(TYPE) {
            return Err(Error::Unauthenticated);
        }
        if data.claims.exp + LEEWAY_SECONDS < self.clock.now() {
            return Err(Error::TokenExpired);
        }
        Ok(data.claims)
    }

    /// The first refresh token of a device's login.
    pub fn first_refresh(&self, user: UserId, device: DeviceId, generation: i64) -> RefreshToken {
        self.seal(user, device, generation, clock::random_bytes())
    }

    /// The successor of a refresh token. It is derived from the token and the secret, so a client that lost the response, or
    /// sent two concurrent requests, gets the same one again.
    pub fn next_refresh(&self, token: &RefreshToken) -> RefreshToken {
        let derived = self
            .refresh_key
            .clone()
            .chain_update(b"next")
            .chain_update(&token.bytes);
        let mut nonce = [0; 16];
        for (to, from) in nonce.iter_mut().zip(derived.finalize().into_bytes()) {
            *to = from;
        }
        self.seal(token.user, token.device, token.generation + 1, nonce)
    }

    /// Parses a refresh token. Its MAC is checked first, so a forged token cannot log a device out.
    pub fn parse_refresh(&self, text: &str) -> Option<RefreshToken> {
        let bytes = BASE64.decode(text).ok()?;
        let (head, mac) = bytes.split_last_chunk::<32>()?;
        let sealed = self
            .refresh_key
            .clone()
            .chain_update(b"seal")
            .chain_update(head);
        sealed.verify_slice(mac).ok()?;
        let (user, rest) = head.split_first_chunk::<16>()?;
        let (device, rest) = rest.split_first_chunk::<16>()?;
        let (generation, _nonce) = rest.split_first_chunk::<8>()?;
        Some(RefreshToken {
            user: UserId(Uuid::from_bytes(*user)),
            device: DeviceId(Uuid::from_bytes(*device)),
            generation: i64::from_be_bytes(*generation),
            bytes,
        })
    }

    fn seal(
        &self,
        user: UserId,
        device: DeviceId,
        generation: i64,
        nonce: [u8; 16],
    ) -> RefreshToken {
        let mut bytes = [
            user.0.as_bytes().as_slice(),
            device.0.as_bytes(),
            &generation.to_be_bytes(),
            &nonce,
        ]
        .concat();
        let sealed = self
            .refresh_key
            .clone()
            .chain_update(b"seal")
            .chain_update(&bytes);
        bytes.extend_from_slice(&sealed.finalize().into_bytes());
        RefreshToken {
            user,
            device,
            generation,
            bytes,
        }
    }
}

fn internal(error: JwtError) -> Error {
    Error::Internal(error.to_string())
}

/// A refresh token: user, device, generation, nonce and MAC.
pub struct RefreshToken {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The number of rotations before.
    pub generation: i64,
    bytes: Vec<u8>,
}

impl RefreshToken {
    /// The token for the client.
    pub fn text(&self) -> String {
        BASE64.encode(&self.bytes)
    }

    /// The hash for the database.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.bytes).to_vec()
    }
}

/// HS256 only: a provider with all algorithms would add a dozen crates, and allow algorithm confusion.
static HS256_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes())?)),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)?)),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(key: &[u8]) -> Result<Self, JwtError> {
        Hmac::new_from_slice(key)
            .map(Self)
            .map_err(|_length| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self
            .0
            .clone()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], mac: &Vec<u8>) -> Result<(), signature::Error> {
        self.0
            .clone()
            .chain_update(message)
            .verify_slice(mac)
            .map_err(signature::Error::from_source)
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
