//! The RSA keys that SETs are signed with, and the key set that receivers fetch. Where the keys are
//! kept is the caller's business.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest, rand,
    rsa::{KeyPair, PublicKeyComponents},
    signature::RSA_PKCS1_SHA256,
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

/// The keys of a transmitter: the first one signs, all of them are published.
///
/// To change the key: append the next one, wait until receivers have fetched the set anew (an hour;
/// they keep it 5 to 60 minutes), put it first, and remove the old one a day later.
#[derive(Debug)]
pub struct SigningKeys {
    signer: SigningKey,
    published: Vec<Value>,
}

/// Why keys cannot be used. No text of a key is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text holds no private key.
    #[error("there is no RSA private key in it: it begins with -----BEGIN PRIVATE KEY-----")]
    Pem,
    /// The key is damaged, of another kind or shorter than 2048 bits.
    #[error("the private key is not accepted ({0}): RSA of 2048 to 4096 bits is needed")]
    Rsa(String),
    /// There are no keys.
    #[error("no signing key is given")]
    Missing,
    /// Signing failed.
    #[error("the token could not be signed")]
    Sign,
}

#[derive(Debug)]
struct SigningKey {
    pair: KeyPair,
    kid: String,
}

impl SigningKeys {
    /// The keys of PEM texts (PKCS #8 or PKCS #1), the one that signs first.
    ///
    /// # Errors
    /// If there is none, or one cannot be used.
    pub fn from_pems<'p>(pems: impl IntoIterator<Item = &'p str>) -> Result<SigningKeys, KeyError> {
        let mut signer = None;
        let mut published = Vec::new();
        for pem in pems {
            let (key, jwk) = SigningKey::from_pem(pem)?;
            published.push(jwk);
            signer.get_or_insert(key);
        }
        Ok(SigningKeys { signer: signer.ok_or(KeyError::Missing)?, published })
    }

    /// The key set as receivers fetch it (RFC 7517): public members only.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.published})
    }

    /// The id of the key that signs.
    pub fn kid(&self) -> &str {
        &self.signer.kid
    }

    /// A compact JWS over `claims`, RS256, with the header type given.
    ///
    /// # Errors
    /// If the key refuses.
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<String, KeyError> {
        let header = json!({"typ": typ, "alg": "RS256", "kid": self.signer.kid});
        let mut token = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.signer.pair.public().modulus_len()];
        self.signer
            .pair
            .sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| KeyError::Sign)?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

impl SigningKey {
    fn from_pem(pem: &str) -> Result<(SigningKey, Value), KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(KeyError::Rsa("another kind of key".into())),
        }
        .map_err(|e| KeyError::Rsa(e.to_string()))?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(&public.n), URL_SAFE_NO_PAD.encode(&public.e));
        // The thumbprint of RFC 7638: these members, in this order, without spaces.
        let thumb = format!("{{\"e\":\"{e}\",\"kty\":\"RSA\",\"n\":\"{n}\"}}");
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, thumb.as_bytes()));
        let jwk = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e});
        Ok((SigningKey { pair, kid }, jwk))
    }
}
