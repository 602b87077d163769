//! The certificate of the webhook. Pure but for the randomness of its keys: the time is an argument.
//!
//! Each certificate has an authority of its own, whose key is thrown away when it has signed: nobody can steal it. Clients trust the
//! authority before the present one, too, so that a replica that has not read the new certificate yet goes on being trusted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

/// How long a certificate is good for.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long before its end it is renewed.
const AHEAD: Duration = Duration::from_secs(90 * 24 * 3600);

/// How far the clocks of two machines may be apart.
const SKEW: Duration = Duration::from_secs(3600);

/// Where the end of an authority's certificate is in a list of them.
const PEM_END: &str = "-----END CERTIFICATE-----\n";

/// A certificate, its key, and whom a client has to trust, as they stand in the Secret. The names of the entries are those of
/// `kubernetes.io/tls`, and two of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The authorities to be trusted, the present one first.
    pub ca: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The host names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub expires: Timestamp,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It can't be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It can't be read.
    #[error("the certificate of the Secret can't be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// It can't be used.
    #[error("the certificate of the Secret can't be used: {0}")]
    Use(#[from] rustls::Error),
    /// The time is out of range.
    #[error("the time is out of range: {0}")]
    Time(#[from] time::error::ComponentRange),
}

impl Bundle {
    /// What a Secret holds, if it is all there.
    #[must_use]
    pub fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
        Some(Self {
            ca: text("ca.crt")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            names: text("names")?.split(' ').map(str::to_owned).collect(),
            expires: text("expires")?.parse().ok()?,
        })
    }

    /// What a Secret is to hold.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, ByteString> {
        let entry = |name: &str, text: String| (name.to_owned(), ByteString(text.into_bytes()));
        [
            entry("ca.crt", self.ca.clone()),
            entry("tls.crt", self.certificate.clone()),
            entry("tls.key", self.key.clone()),
            entry("names", self.names.join(" ")),
            entry("expires", self.expires.to_string()),
        ]
        .into()
    }

    /// Makes a new one, whose clients trust the one before, too.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn issue(names: &[String], now: Timestamp, before: Option<&Self>) -> Result<Self, CertificateError> {
        let expires = now + LIFETIME;
        let mut authority = params(&[], now, expires)?;
        authority
            .distinguished_name
            .push(DnType::CommonName, format!("lodestone-webhook-ca-{}", now.as_second()));
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut leaf = params(names, now, expires)?;
        let common = names.first().cloned().unwrap_or_default();
        leaf.distinguished_name.push(DnType::CommonName, common);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        // Only the last one: a list that grows for ever would be of no use.
        let trusted_before = before.and_then(|before| Some(before.ca.split_once(PEM_END)?.0.to_owned() + PEM_END));
        Ok(Self {
            ca: normal(&authority.pem()) + &trusted_before.unwrap_or_default(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            names: names.to_vec(),
            expires,
        })
    }

    /// Whether a new one has to be made: it ends soon, is for other names, or can't be used.
    #[must_use]
    pub fn is_due(&self, names: &[String], now: Timestamp) -> bool {
        now + AHEAD >= self.expires
            // It was made by a clock that went ahead: it may not be valid yet.
            || self.expires > now + LIFETIME + SKEW
            || self.names != names || self.certified().is_err()
    }

    /// Whether whoever trusts these authorities trusts this certificate.
    #[must_use]
    pub fn is_trusted_by(&self, authorities: &str) -> bool {
        let own = self.ca.split_once(PEM_END).map_or(self.ca.as_str(), |(own, _)| own);
        !own.is_empty() && authorities.contains(own)
    }

    /// As the server needs it.
    ///
    /// # Errors
    /// When it is not a certificate with its key.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok(Arc::new(certified))
    }
}

fn params(names: &[String], now: Timestamp, expires: Timestamp) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names)?;
    params.not_before = OffsetDateTime::from_unix_timestamp((now - SKEW).as_second())?;
    params.not_after = OffsetDateTime::from_unix_timestamp(expires.as_second())?;
    Ok(params)
}

/// With plain line ends, so that certificates can be put one after another and taken apart.
fn normal(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["webhook.here.svc".to_owned(), "webhook.here".to_owned()]
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 24 * 3600).unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_ninety_days_before_its_end_and_for_other_names() {
        let bundle = Bundle::issue(&names(), at(0), None).unwrap();
        assert!(!bundle.is_due(&names(), at(0)));
        assert!(!bundle.is_due(&names(), at(274)));
        assert!(bundle.is_due(&names(), at(276)));
        assert!(bundle.is_due(&["other".to_owned()], at(0)));
        assert!(bundle.is_due(&names(), at(-1)), "made by a clock that went ahead");
        let broken = Bundle {
            key: "nonsense".to_owned(),
            ..bundle
        };
        assert!(broken.is_due(&names(), at(0)));
    }

    #[test]
    fn what_stands_in_the_secret_is_read_back() {
        let bundle = Bundle::issue(&names(), at(0), None).unwrap();
        assert_eq!(Bundle::read(&bundle.write()), Some(bundle.clone()));
        let mut data = bundle.write();
        data.remove("tls.key");
        assert_eq!(Bundle::read(&data), None);
        assert_eq!(Bundle::read(&BTreeMap::new()), None);
    }

    #[test]
    fn clients_of_a_renewed_certificate_trust_the_one_before_and_none_that_is_older() {
        let first = Bundle::issue(&names(), at(0), None).unwrap();
        let second = Bundle::issue(&names(), at(300), Some(&first)).unwrap();
        let third = Bundle::issue(&names(), at(600), Some(&second)).unwrap();
        assert!(second.ca.ends_with(&first.ca) && second.ca.len() > first.ca.len());
        assert!(third.ca.contains(second.ca.strip_suffix(&first.ca).unwrap()));
        assert!(!third.ca.contains(&first.ca));
        assert_eq!(third.ca.matches(PEM_END).count(), 2);
        assert!(first.is_trusted_by(&second.ca) && second.is_trusted_by(&second.ca));
        assert!(!second.is_trusted_by(&first.ca) && !first.is_trusted_by(&third.ca));
    }
}
